"""What `auto` decides at a moment of a solve: another wave, a reason to stop, or to wait."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_parts import PROMPT, SLOW, SURE, candidate, moment, policy, row, slower, standing, steady, votes

from edgesearch import answer, search
from edgesearch.jobs import Situation, Wave
from edgesearch.planner.auto import PROBE_N, AutoPlanner, Wish
from edgesearch.planner.pace import PaceMeter
from edgesearch.planner.policy import Policy
from edgesearch.planner.predict import Outlook, predict_row_s, predict_s
from edgesearch.planner.standing import Tally
from edgesearch.planner.width import SHARE
from edgesearch.search.base import SearchConfig, Strategy
from edgesearch.types import Beam, Candidate, Step, StopReason

MAJORITY, WEIGHTED, REBASE, GREEDY = map(search.strategy, ("majority", "weighted", "rebase", "greedy"))
NOBODY = Tally().standing()
PASS_S = 0.01
EVEN = {"7": 3, "8": 3}
"""A vote that nothing ends."""


class FixedPace(PaceMeter):
    """A meter that has been told how slow the device is."""

    def __init__(self, outlook: Outlook, slowdown: float = 1.0) -> None:
        super().__init__(outlook.profile)
        self.slowdown = slowdown


def planner(
    *,
    strategy: Strategy = MAJORITY,
    max_n: int = 16,
    outlook: Outlook | None = None,
    policy: Policy | None = None,
    confidence: float | None = None,
    begun_s: float | None = 1000.0,
    slowdown: float = 1.0,
) -> AutoPlanner:
    """One that has begun with so many seconds; None: not begun."""
    outlook = steady(PASS_S) if outlook is None else outlook
    made = AutoPlanner(
        Wish(strategy, "last", max_n, confidence=confidence), outlook, policy, FixedPace(outlook, slowdown)
    )
    if begun_s is not None:
        made.begin(begun_s)
    return made


def wave_of(decision: Wave | StopReason | None) -> Wave:
    assert isinstance(decision, Wave)
    return decision


# -- the first wave ----------------------------------------------------------------------------------------------------


def test_without_a_policy_the_first_wave_is_the_widest_that_should_end_in_time() -> None:
    made = planner(outlook=SLOW, strategy=REBASE, begun_s=None)
    assert made.begin(1000.0).config.n == 16
    narrow = made.begin(10.0)
    assert 2 <= narrow.config.n < 16
    assert narrow.predicted_s <= SHARE * 10.0


def test_a_greedy_draft_runs_beside_it_from_the_start_unless_it_is_one_itself() -> None:
    made = planner(outlook=SLOW, begun_s=None)
    assert made.begin(1000.0).has_safety_lane
    alone = made.begin(1.0)
    assert (alone.strategy.name, alone.has_safety_lane) == ("greedy", False)


def test_with_a_calibrated_policy_a_narrow_wave_comes_first() -> None:
    made = planner(strategy=REBASE, max_n=64, policy=policy([row("rebase", 64, 0.9)]), begun_s=None)
    first = made.begin(1000.0)
    assert (first.strategy.name, first.config.n, first.has_safety_lane) == ("rebase", PROBE_N, True)
    assert "tell how hard it is" in first.reason
    assert first.least_s == pytest.approx(10 * PASS_S)


@pytest.mark.parametrize(
    ("strategy", "calibration", "left_s"),
    [(MAJORITY, SURE, 1000.0), (REBASE, None, 1000.0), (REBASE, SURE, 0.3)],
    ids=["no scores", "no calibration", "no time for two waves"],
)
def test_where_its_scores_tell_nothing_or_cost_too_much_no_narrow_wave_comes_first(
    strategy: Strategy, calibration: object, left_s: float
) -> None:
    found = dataclasses.replace(policy([row("rebase", 64, 0.9)]), calibration=calibration)
    made = planner(strategy=strategy, max_n=64, policy=found, begun_s=None)
    assert made.begin(left_s).config.n == 64


# -- the next wave -----------------------------------------------------------------------------------------------------


def test_it_is_not_asked_before_half_of_the_wave_has_ended() -> None:
    made = planner(max_n=16)
    assert [n for n in range(17) if made.is_due(n)] == list(range(9))


def test_it_waits_while_more_than_half_of_the_wave_grows() -> None:
    assert planner(max_n=16).decide(moment(votes(EVEN), num_living=9)) is None


@pytest.mark.parametrize("num_living", [8, 5, 1, 0])
def test_at_half_width_the_batch_is_filled_up_again(num_living: int) -> None:
    made = planner(max_n=16)
    wave = wave_of(made.decide(moment(votes(EVEN), num_living=num_living, left_s=1000.0)))
    assert (wave.strategy.name, wave.config.n) == ("majority", 16 - num_living)
    assert not made.is_due(16 - 7)
    assert made.is_due(16 // 2)


def test_a_wave_says_why_and_how_long_it_should_last() -> None:
    wave = wave_of(planner().decide(moment(votes(EVEN), left_s=5.0)))
    assert wave.reason == "5 s are left for 16 more"
    assert wave.predicted_s == pytest.approx(1.6 * 10 * PASS_S)


def test_what_cannot_end_in_time_is_not_started() -> None:
    assert planner().decide(moment(votes(EVEN), left_s=0.9 * 10 * PASS_S, num_living=3)) is None
    assert planner().decide(moment(votes(EVEN), left_s=0.9 * 10 * PASS_S, num_living=0, num_waves=0)) == "no_time"


def test_where_only_one_more_solution_fits_one_is_drawn() -> None:
    enough_s = 10 * PASS_S / SHARE  # a single solution is of the mean length, the longest of several is not
    assert wave_of(planner().decide(moment(votes(EVEN), left_s=1.01 * enough_s))).config.n == 1


def test_it_knows_that_the_drafts_beside_a_wave_slow_it_down() -> None:
    left_s = (
        1.01 * predict_s(MAJORITY, SearchConfig(8, 1), None, dataclasses.replace(SLOW, is_prompt_read=True)) / SHARE
    )
    alone, beside = (
        wave_of(
            planner(outlook=SLOW, max_n=32).decide(moment(votes(EVEN), left_s=left_s, num_living=living, tokens=200.0))
        )
        for living in (0, 4)
    )
    assert alone.config.n == 8
    assert beside.config.n < 8


def test_once_nothing_fits_it_does_not_ask_to_be_asked() -> None:
    made = planner()
    made.decide(moment(votes(EVEN), left_s=0.01, num_living=4))
    assert not any(made.is_due(num_living) for num_living in range(17))


def test_before_any_candidate_it_goes_on_too() -> None:
    assert wave_of(planner().decide(moment(NOBODY, num_living=2, num_finished=0))).config.n == 14


# -- beside other problems ---------------------------------------------------------------------------------------------


def test_no_more_is_begun_than_there_is_room_for_beside_other_problems() -> None:
    made = planner(max_n=16, begun_s=None)
    assert made.begin(1000.0, room=5).config.n == 5
    now = moment(votes(EVEN), num_living=2)
    assert wave_of(made.decide(dataclasses.replace(now, room=3))).config.n == 3
    assert wave_of(planner(max_n=16).decide(dataclasses.replace(now, room=100))).config.n == 14
    probing = planner(strategy=REBASE, max_n=64, policy=policy([row("rebase", 64, 0.9)]), begun_s=None)
    assert probing.begin(1000.0, room=3).config.n == 3


def test_what_there_was_no_room_for_is_begun_once_there_is() -> None:
    made, now = planner(max_n=16), moment(votes(EVEN), num_living=2)
    assert made.decide(dataclasses.replace(now, room=0)) is None
    assert not made.is_due(2)
    assert wave_of(made.decide(dataclasses.replace(now, room=6))).config.n == 6
    assert made.is_due(4)


def test_drafts_of_other_problems_slow_its_waves_down() -> None:
    now = moment(votes(EVEN), left_s=30.0, tokens=200.0)
    alone, beside = (
        wave_of(planner(outlook=SLOW, strategy=REBASE, max_n=32).decide(dataclasses.replace(now, num_elsewhere=each)))
        for each in (0, 16)
    )
    assert beside.config.n < alone.config.n


def test_other_problems_may_end_at_any_time_so_they_make_no_vote_dominant() -> None:
    outlook = dataclasses.replace(SLOW, is_prompt_read=True, mean_solution_tokens=10.0)
    now = moment(votes({"7": 20}), left_s=0.2 * 0.07 * 10, num_living=9)
    assert planner(outlook=outlook, max_n=16).decide(now) == "dominance"
    now = dataclasses.replace(now, left_s=0.4 * 0.07 * 10)
    for num_elsewhere in (0, 100):
        assert planner(outlook=outlook, max_n=16).decide(dataclasses.replace(now, num_elsewhere=num_elsewhere)) is None


# -- any situation -----------------------------------------------------------------------------------------------------


SITUATIONS = st.builds(
    lambda counts, left_s, num_living, tokens, extra: moment(
        votes(counts), left_s=left_s, num_living=num_living, num_waves=int(num_living > 0), tokens=tokens,
        num_finished=sum(counts.values()) + extra,
    ),
    st.dictionaries(st.sampled_from(["7", "8", "9"]), st.integers(1, 40), max_size=3),
    st.floats(-1, 1000),
    st.integers(0, 64),
    st.integers(1, 1000),
    st.integers(0, 5),
)  # fmt: skip


@settings(deadline=None)
@given(
    st.lists(SITUATIONS, min_size=1, max_size=4),
    st.integers(1, 64),
    st.sampled_from([MAJORITY, WEIGHTED, REBASE]),
    st.booleans(),
    st.floats(0.1, 10),
)
def test_whatever_happens_waves_fit_the_room_and_the_time(
    moments: list[Situation], max_n: int, strategy: Strategy, has_policy: bool, slowdown: float
) -> None:
    rows = [row("rebase", n, 0.5 + n / 200, passes=10 + n) for n in (4, 16, 64)]
    made = planner(
        strategy=strategy, max_n=max_n, policy=policy(rows) if has_policy else None, confidence=0.95, slowdown=slowdown
    )
    for now in moments:
        decision = made.decide(now)
        if isinstance(decision, Wave):
            assert 1 <= decision.config.n <= max_n - now.num_living
            assert decision.config.m <= decision.config.n
            assert decision.strategy.selection == strategy.selection
            assert decision.predicted_s > 0
            assert decision.predicted_s <= max(0.0, now.left_s) or has_policy
            decision.strategy.check(decision.config, decision.options)
        elif decision is None:
            assert now.num_waves
        elif decision != "no_time":
            assert now.standing.num_candidates >= 4


# -- what it learns ----------------------------------------------------------------------------------------------------


def test_solutions_that_turn_out_longer_make_narrower_waves() -> None:
    def n(tokens: float) -> int:
        now = moment(votes(EVEN), left_s=30.0, tokens=tokens, num_finished=100)
        return wave_of(planner(outlook=SLOW, strategy=REBASE, max_n=32).decide(now)).config.n

    assert n(100.0) > n(200.0) > n(400.0)


def test_the_length_that_the_manifest_gives_is_soon_outvoted() -> None:
    made = planner(outlook=steady(PASS_S, mean=1000))
    left_s = 16 * PASS_S / SHARE * 1.3  # enough for solutions of ten tokens
    assert made.decide(moment(NOBODY, left_s=left_s, num_finished=0, num_waves=0)) == "no_time"
    many = moment(votes({"7": 900, "8": 900}), left_s=left_s, tokens=10)
    assert wave_of(planner(outlook=steady(PASS_S, mean=1000)).decide(many)).config.n == 16


def test_a_device_that_has_become_slower_gets_narrower_waves() -> None:
    def n(slowdown: float) -> int:
        now = moment(votes(EVEN), left_s=30.0, tokens=200.0)
        made = planner(outlook=SLOW, strategy=REBASE, max_n=32, slowdown=slowdown)
        return wave_of(made.decide(now)).config.n

    assert n(0.5) > n(1.0) > n(2.0)


# -- stopping: confidence ----------------------------------------------------------------------------------------------

AGREED = votes({"7": 9}, score=0.5)
"""Of which `SURE` says 0.95 or so, and nothing else stops."""


@pytest.mark.parametrize(("target", "is_stopped"), [(0.9, True), (0.999, False), (None, False)])
def test_a_probability_as_high_as_asked_for_ends_it(target: float | None, is_stopped: bool) -> None:
    assert 0.9 < SURE.probability(AGREED) < 0.999
    made = planner(strategy=REBASE, policy=policy([row("rebase", 16, 0.9)]), confidence=target)
    assert (made.decide(moment(AGREED, num_living=9)) == "confidence") is is_stopped


@pytest.mark.parametrize(
    "found", [None, policy([row("rebase", 16, 0.9)], calibration=None)], ids=["none", "uncalibrated"]
)
def test_a_share_of_the_vote_is_no_probability_and_ends_nothing(found: Policy | None) -> None:
    assert planner(strategy=REBASE, policy=found, confidence=0.51).decide(moment(AGREED, num_living=9)) is None


def test_a_vote_without_scores_has_no_probability_and_ends_nothing() -> None:
    made = planner(strategy=REBASE, policy=policy([row("rebase", 16, 0.9)]), confidence=0.51)
    assert made.decide(moment(votes({"7": 9}), num_living=9)) is None


def test_after_a_greedy_start_what_follows_votes_with_it_without_scores() -> None:
    made = planner(strategy=REBASE, policy=policy([row("rebase", 8, 0.99)]), confidence=0.51, begun_s=0.1)
    wave = wave_of(made.decide(moment(votes({"7": 1}), num_waves=0)))
    assert wave.strategy.name == "majority"


@pytest.mark.parametrize("num", [1, 2, 3])
def test_three_candidates_are_too_few_to_stop_however_sure(num: int) -> None:
    made = planner(strategy=REBASE, policy=policy([row("rebase", 16, 0.9)]), confidence=0.51)
    assert made.decide(moment(votes({"7": num}, score=1.0), num_living=9)) is None


@pytest.mark.parametrize("confidence", [0.5, 1.0, 0.0, -1.0, float("nan")])
def test_a_probability_that_makes_no_sense_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"confidence must be in \(0.5, 1\)"):
        Wish(MAJORITY, "last", 16, confidence=confidence)


# -- stopping: dominance -----------------------------------------------------------------------------------------------


def test_a_lead_that_all_solutions_under_way_cannot_catch_up_with_ends_it() -> None:
    now = votes({"7": 8, "8": 2})
    assert planner(max_n=20).decide(moment(now, left_s=0.0, num_living=5)) == "dominance"
    assert planner(max_n=20).decide(moment(now, left_s=0.0, num_living=6)) is None


def test_the_seconds_left_count_as_solutions_that_could_still_be_drawn() -> None:
    now = votes({"7": 12})  # in 1 s 100 passes of 16 tokens, solutions of no less than 5
    assert planner().decide(moment(now, left_s=0.03)) == "dominance"
    assert not isinstance(planner().decide(moment(now, left_s=0.04)), str)
    assert planner(slowdown=2.0).decide(moment(now, left_s=0.06)) == "dominance"  # as many passes


def test_solutions_that_have_ended_but_wait_for_their_scores_could_still_change_the_vote() -> None:
    now = votes({"7": 8, "8": 2})
    assert planner().decide(moment(now, left_s=0.0, num_living=3, num_finished=12)) == "dominance"
    assert planner().decide(moment(now, left_s=0.0, num_living=3, num_finished=13)) is None


def test_votes_that_weigh_nothing_dominate_nothing() -> None:
    assert planner(strategy=REBASE).decide(moment(votes({"7": 20}, score=0.0), left_s=0.0, num_living=1)) is None


def _is_changed(cast: list[Candidate], more: tuple[Candidate, ...]) -> bool:
    before, after = standing(cast).answer, standing([*cast, *more]).answer
    return answer.canonical(before or "") != answer.canonical(after or "")


LATER = [candidate(stated, score) for stated in ("7", "8", "9", "new") for score in (0.0, 0.5, 1.0)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("789"), st.integers(0, 4)), min_size=4, max_size=10), st.integers(0, 3))
def test_it_ends_by_dominance_never_where_the_rest_could_change_the_vote_and_always_where_it_is_far_from_it(
    given_votes: list[tuple[str, int]], num_left: int
) -> None:
    cast = [candidate(stated, quarters / 4) for stated, quarters in given_votes]
    now = standing(cast)
    made = planner(strategy=WEIGHTED, max_n=16)
    made._refill_at = -1  # nothing more is begun
    decision = made.decide(moment(now, left_s=0.0, num_living=num_left))
    if decision == "dominance":
        assert not any(_is_changed(cast, more) for more in itertools.product(LATER, repeat=num_left))
    else:
        assert now.weight - now.rival_weight <= num_left


def test_it_ends_by_dominance_only_where_no_draw_of_the_seconds_left_could_change_the_vote() -> None:
    """Solutions of half the mean length, drawn at full width for all the time left, all for the rival."""
    for lead in range(4, 60):
        now = votes({"7": lead})
        decision = planner(max_n=4, outlook=steady(PASS_S, mean=10)).decide(moment(now, left_s=0.5))
        drawn = 4 * (0.5 / PASS_S) / 5
        assert (decision == "dominance") is (lead > drawn and lead >= 4) or decision == "settled"


# -- stopping: settled -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("num", "expected"), [(31, None), (32, "settled")])
def test_a_vote_is_called_settled_by_no_fewer_than_32_candidates(num: int, expected: str | None) -> None:
    assert planner().decide(moment(votes({"7": num}), left_s=1000.0, num_living=9)) == expected


def test_candidates_without_an_answer_do_not_settle_a_vote() -> None:
    now = standing([candidate("7")] * 4 + [candidate(None)] * 60)
    assert planner().decide(moment(now, left_s=1000.0, num_living=9)) is None


@pytest.mark.parametrize(
    ("counts", "is_settled"),
    [
        ({"7": 32, "8": 8}, True),
        ({"7": 24, "8": 16}, False),
        ({"7": 70, "8": 45}, False),
        ({"7": 80, "8": 40}, True),
        ({"7": 500, "8": 480}, False),
        ({"7": 600, "8": 480}, True),
    ],
)
def test_more_samples_would_hardly_change_a_vote_with_a_clear_lead(counts: dict[str, int], is_settled: bool) -> None:
    decision = planner().decide(moment(votes(counts), left_s=1e6, num_living=9))
    assert decision == ("settled" if is_settled else None)


def test_votes_that_weigh_little_settle_nothing() -> None:
    now = votes({"7": 40}, score=0.125)
    assert planner(strategy=REBASE).decide(moment(now, left_s=1000.0, num_living=9)) is None
    assert (
        planner(strategy=REBASE).decide(moment(votes({"7": 40}, score=0.75), left_s=1000.0, num_living=9)) == "settled"
    )


def test_the_exact_rule_and_the_one_for_many_votes_agree_where_they_meet() -> None:
    def is_settled(leader: int, rival: int) -> bool:
        return planner().decide(moment(votes({"7": leader, "8": rival}), left_s=1e6, num_living=9)) == "settled"

    least = {
        total: next(lead for lead in range(total // 2, total + 1) if is_settled(lead, total - lead))
        for total in (99, 100, 101, 102)
    }
    assert max(least.values()) - min(least.values()) <= 2


def test_only_wrong_answers_settle_and_dominate_nothing() -> None:
    now = standing([candidate("7", proof=False)] * 50)
    assert planner().decide(moment(now, left_s=0.0, num_living=1)) is None
    assert wave_of(planner().decide(moment(now, left_s=1000.0, num_living=1))).config.n == 15


# -- the policy --------------------------------------------------------------------------------------------------------


def test_the_best_setting_that_fits_the_seconds_left_comes_next() -> None:
    rows = [row("rebase", 4, 0.6), row("rebase", 16, 0.8, passes=50), row("weighted", 16, 0.7, passes=20)]
    made = planner(strategy=REBASE, policy=policy(rows))
    now = votes(EVEN, score=0.5)
    chosen = [
        wave_of(planner(strategy=REBASE, policy=policy(rows)).decide(moment(now, left_s=left_s)))
        for left_s in (10.0, 50 * PASS_S / SHARE * 0.99, 20 * PASS_S / SHARE * 0.99)
    ]
    assert [(wave.strategy.name, wave.config.n) for wave in chosen] == [("rebase", 16), ("weighted", 16), ("rebase", 4)]
    assert chosen[0].reason == "rebase with n=16 answers 80% of problems like this, 10 s are left"
    assert made.difficulty is None


def test_where_no_setting_fits_the_room_the_batch_is_filled_all_the_same() -> None:
    made = planner(strategy=REBASE, max_n=16, policy=policy([row("rebase", 16, 0.9)]), begun_s=1000.0)
    made.decide(moment(votes(EVEN, score=0.5)))
    wave = wave_of(made.decide(moment(votes(EVEN, score=0.5), num_living=8)))
    assert (wave.strategy.name, wave.config.n) == ("rebase", 8)


@pytest.mark.parametrize(("room", "expected"), [(16, ("weighted", 16)), (11, ("weighted", 11)), (10, ("rebase", 4))])
def test_a_setting_a_little_wider_than_the_room_is_run_as_wide_as_there_is_room(
    room: int, expected: tuple[str, int]
) -> None:
    made = planner(strategy=REBASE, policy=policy([row("weighted", 16, 0.9), row("rebase", 4, 0.5)]))
    wave = wave_of(made.decide(dataclasses.replace(moment(votes(EVEN, score=0.5)), room=room)))
    assert (wave.strategy.name, wave.config.n) == expected
    assert ("and room for" in wave.reason) is (expected == ("weighted", 11))


@pytest.mark.parametrize("name", ["beam", "best_of_n", "greedy", "majority", "dvts", "unheard_of"])
def test_a_setting_that_cannot_vote_with_the_others_is_passed_over(name: str) -> None:
    rows = [row(name, 4, 0.99), row("rebase", 4, 0.5)]
    wave = wave_of(planner(strategy=REBASE, policy=policy(rows)).decide(moment(votes(EVEN, score=0.5))))
    assert (wave.strategy.name, wave.config.n) == ("rebase", 4)


def test_a_setting_that_needs_step_scores_is_passed_over_where_whole_solutions_are_scored() -> None:
    rows = [row("rebase", 4, 0.99), row("weighted", 4, 0.5)]
    wave = wave_of(planner(strategy=WEIGHTED, policy=policy(rows)).decide(moment(votes(EVEN, score=0.5))))
    assert (wave.strategy.name, wave.config.n) == ("weighted", 4)


def test_the_seconds_of_a_setting_are_those_of_this_device_now() -> None:
    measured = row("rebase", 4, 0.9, passes=300)
    outlook = dataclasses.replace(SLOW, is_prompt_read=True)
    enough_s = predict_row_s(measured, outlook) / SHARE

    def reason(slowdown: float) -> str:
        made = planner(outlook=SLOW, strategy=REBASE, policy=policy([measured]), slowdown=slowdown)
        return wave_of(made.decide(moment(votes(EVEN, score=0.5), left_s=1.01 * enough_s, tokens=200.0))).reason

    assert "answers 90%" in reason(1.0)
    assert "answers 90%" not in reason(1.1)
    assert predict_row_s(measured, slower(outlook, 2.0)) == pytest.approx(2 * predict_row_s(measured, outlook))


@pytest.mark.parametrize(("score", "difficulty"), [(0.9, 1), (0.8, 1), (0.7, 2), (0.5, 3), (0.3, 4), (0.1, 5)])
def test_the_mean_score_of_the_first_candidates_says_how_hard_it_is(score: float, difficulty: int) -> None:
    bins = [[row("rebase", n, 0.5)] for n in (1, 2, 3, 4, 5)]
    made = planner(strategy=REBASE, policy=policy([row("rebase", 8, 0.5)], bins=bins))
    assert made.difficulty is None
    wave = wave_of(made.decide(moment(votes({"7": 2, "8": 2}, score=score))))
    assert made.difficulty == difficulty
    assert wave.config.n == difficulty
    assert f"of problems of difficulty {difficulty} of 5" in wave.reason


def test_three_candidates_do_not_say_how_hard_it_is() -> None:
    made = planner(strategy=REBASE, policy=policy([row("rebase", 8, 0.5)], bins=[[row("rebase", 2, 0.5)]] * 5))
    wave = wave_of(made.decide(moment(votes({"7": 3}, score=0.5))))
    assert (made.difficulty, wave.config.n) == (None, 8)


# -- narrowing ---------------------------------------------------------------------------------------------------------


def grown(num_tokens: int, count: int) -> list[Beam]:
    return [Beam(PROMPT, (Step("x", (1,) * num_tokens, -1.0, "step"),)) for _ in range(count)]


WAVE = Wave(REBASE, SearchConfig(16, 1))


def test_a_wave_in_time_keeps_its_width() -> None:
    assert planner(outlook=SLOW, strategy=REBASE).width(WAVE, grown(100, 16), 100 * 0.07 * 1.01) == 16


def test_a_late_wave_is_narrowed_to_what_should_still_end() -> None:
    made = planner(outlook=SLOW, strategy=REBASE)
    widths = [made.width(WAVE, grown(100, 16), left_s) for left_s in (7.01, 6.9, 3.01, 2.3, 0.0, -1.0)]
    assert widths == sorted(widths, reverse=True)
    assert (widths[0], widths[-1]) == (16, 1)
    assert all(
        100 * SLOW.pass_s(width) <= left_s for width, left_s in zip(widths[:4], (7.01, 6.9, 3.01, 2.3), strict=True)
    )


def test_beams_beyond_the_mean_length_are_taken_to_need_one_more_step() -> None:
    made = planner(outlook=SLOW, strategy=REBASE)
    assert made.width(WAVE, grown(500, 16), 20 * 0.07 * 1.01) == 16
    assert made.width(WAVE, grown(500, 16), 20 * 0.07 * 0.99) == 8


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(0, 500), st.floats(-10, 1000))
def test_at_least_one_beam_goes_on_and_never_more_than_there_are(count: int, tokens: int, left_s: float) -> None:
    assert 1 <= planner(outlook=SLOW, strategy=REBASE).width(WAVE, grown(tokens, count), left_s) <= count


# -- programs ----------------------------------------------------------------------------------------------------------


def of_programs(*, begun_s: float = 1000.0, max_n: int = 16) -> AutoPlanner:
    outlook = steady(PASS_S)
    wish = Wish(search.strategy("best_of_n"), "last", max_n, confidence=0.51, is_tested=True)
    made = AutoPlanner(wish, outlook, None, FixedPace(outlook))
    made.begin(begun_s)
    return made


def test_no_vote_of_programs_ends_the_search_while_another_wave_fits() -> None:
    sure = votes({"def f(): return 1\n": 500, "def f(): return 2\n": 1}, score=0.9)
    assert planner(max_n=16).decide(moment(votes({"7": 500, "8": 1}), left_s=0.5)) in ("dominance", "settled")
    wave = wave_of(of_programs().decide(moment(sure, left_s=0.5)))
    assert (wave.strategy.name, wave.config.n) == ("best_of_n", 16)


def test_a_search_for_a_program_ends_where_no_other_fits() -> None:
    assert (
        of_programs().decide(moment(votes({"def f(): return 1\n": 9}, score=0.9), left_s=0.0, num_waves=0)) == "no_time"
    )


def test_after_a_single_greedy_program_others_are_still_scored() -> None:
    made = of_programs(begun_s=0.12)
    wave = wave_of(made.decide(moment(votes({"def f(): return 1\n": 1}, score=0.5), num_waves=0)))
    assert wave.strategy.name == "best_of_n"
