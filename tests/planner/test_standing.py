"""The vote under way: it is the vote at the end, at every moment, whatever came in and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_parts import candidate, standing

from edgesearch import answer
from edgesearch.choice import choose
from edgesearch.planner.standing import Tally
from edgesearch.types import Candidate

ANSWERS = st.sampled_from(["1/2", "0.5", r"\frac{1}{2}", "7", "7.0", "8", None])
SCORES = st.integers(0, 16).map(lambda sixteenths: sixteenths / 16)  # so that sums are exact in any order
PROOFS = st.sampled_from([None, None, None, True, False])


def counted(candidates: list[Candidate]) -> Tally:
    tally = Tally()
    for each in candidates:
        tally.add(each)
    return tally


def drawn(scores: st.SearchStrategy[float | None], proofs: st.SearchStrategy[bool | None]) -> st.SearchStrategy:
    return st.lists(st.builds(candidate, ANSWERS, scores, proofs), max_size=12)


def test_nobody_has_voted_at_first() -> None:
    now = Tally().standing()
    assert (now.answer, now.share, now.weight, now.num_votes, now.num_candidates) == (None, 0.0, 0.0, 0, 0)
    assert (now.best_score, now.mean_score, now.is_proven) == (None, None, False)
    assert Tally().best is None


def test_without_scores_each_vote_counts_one() -> None:
    now = standing(candidate(stated) for stated in ("8", "7", "7.0", None))
    assert (now.answer, now.num_votes, now.num_rival_votes, now.num_cast, now.num_candidates) == ("7", 2, 1, 3, 4)
    assert (now.weight, now.rival_weight, now.share) == (2.0, 1.0, pytest.approx(2 / 3))


def test_with_scores_each_vote_weighs_its_score() -> None:
    now = standing([candidate("8", 0.75), candidate("7", 0.25), candidate("7", 0.25)])
    assert (now.answer, now.num_votes, now.num_rival_votes) == ("8", 1, 2)
    assert (now.weight, now.rival_weight, now.share) == (0.75, 0.5, 0.6)
    assert (now.best_score, now.mean_score) == (0.75, pytest.approx(1.25 / 3))


def test_a_vote_without_a_score_weighs_nothing_beside_votes_with_scores() -> None:
    now = standing([candidate("8"), candidate("8"), candidate("7", 0.25)])
    assert (now.answer, now.share, now.weight, now.rival_weight) == ("7", 1.0, 0.25, 0.0)


def test_where_all_scores_are_zero_each_vote_counts_one_and_weighs_nothing() -> None:
    now = standing([candidate("8", 0.0), candidate("7", 0.0), candidate("7", 0.0)])
    assert (now.answer, now.share) == ("7", pytest.approx(2 / 3))
    assert (now.weight, now.rival_weight) == (0.0, 0.0)  # one vote with a score would overturn it


def test_a_tie_goes_to_the_answer_that_appeared_first() -> None:
    assert standing([candidate("8"), candidate("7"), candidate("7"), candidate("8")]).answer == "8"


def test_the_answer_is_spelled_as_its_first_voter_did() -> None:
    assert standing([candidate("1/2"), candidate("0.5")]).answer == "1/2"


def test_an_answer_that_is_proven_wrong_has_no_vote() -> None:
    now = standing([candidate("8", proof=False)] * 5 + [candidate("7", 0.1)])
    assert (now.answer, now.share, now.num_cast, now.num_disproven, now.num_candidates) == ("7", 1.0, 1, 5, 6)


def test_an_answer_that_is_proven_wrong_is_the_best_where_there_is_no_other() -> None:
    wrong = candidate("8", proof=False)
    tally = counted([wrong])
    assert tally.best is wrong
    assert tally.standing().answer is None
    tally.add(candidate("7"))
    assert tally.best is not None
    assert tally.best.answer == "7"


def test_an_answer_that_is_proven_right_wins_with_one_vote_against_many() -> None:
    right = candidate("7", proof=True)
    tally = counted([*(candidate("8", 1.0) for _ in range(9)), right])
    assert tally.best is right
    now = tally.standing()
    assert (now.answer, now.is_proven, now.share) == ("7", True, 1.0)


def test_the_best_is_the_leader_s_voter_with_the_highest_score() -> None:
    tally = counted([candidate("7", 0.5), candidate("7", 0.75), candidate("7", 0.75), candidate("8", 1.0)])
    assert tally.best is not None
    assert (tally.best.answer, tally.best.score) == ("7", 0.75)


@settings(deadline=None)
@given(st.one_of(drawn(SCORES, PROOFS), drawn(st.none(), PROOFS), drawn(st.none() | SCORES, PROOFS)))
def test_the_vote_is_at_every_moment_what_the_choice_at_the_end_would_be(candidates: list[Candidate]) -> None:
    tally = Tally()
    for num, each in enumerate(candidates, 1):
        tally.add(each)
        so_far, now = candidates[:num], tally.standing()
        choice = choose(so_far, "weighted")
        undecided = [each for each in so_far if each.answer is not None and each.beam.proof is not False]
        assert (now.num_candidates, now.num_cast) == (num, len(undecided))
        assert now.is_proven is any(each.beam.proof for each in undecided)
        assert 0 <= now.share <= 1
        if not undecided:
            assert now.answer is None
            continue
        if now.is_proven:  # of several that are proven right, any may be chosen
            assert now.share == choice.confidence == 1
            proven = {answer.canonical(each.answer or "") for each in undecided if each.beam.proof}
            assert answer.canonical(now.answer or "") in proven
            continue
        assert tally.best is choice.candidate
        vote = answer.vote([each.answer for each in undecided], [each.score or 0.0 for each in undecided])
        assert vote is not None
        assert (now.answer, now.share) == (vote.answer, pytest.approx(vote.share))
        assert now.num_votes == sum(
            answer.canonical(each.answer or "") == answer.canonical(vote.answer) for each in undecided
        )


@settings(deadline=None)
@given(drawn(SCORES, st.just(None)))
def test_weights_are_sums_of_scores_and_the_rival_is_the_best_of_the_others(candidates: list[Candidate]) -> None:
    now = standing(candidates)
    sums: dict[str, float] = {}
    for each in candidates:
        if each.answer is not None:
            key = answer.canonical(each.answer)
            sums[key] = sums.get(key, 0.0) + (each.score or 0.0)
    weights = sorted(sums.values(), reverse=True)
    assert [now.weight, now.rival_weight][: len(weights)] == weights[:2]


@settings(deadline=None)
@given(drawn(st.floats(0, 1), st.just(None)))
def test_any_scores_at_all_give_a_share_between_0_and_1(candidates: list[Candidate]) -> None:
    now = standing(candidates)
    assert 0 <= now.share <= 1
    assert now.weight >= now.rival_weight >= 0


def test_asking_again_gives_the_same_and_a_new_candidate_another_standing() -> None:
    tally = counted([candidate("7")])
    before = tally.standing()
    assert tally.standing() is before
    tally.add(candidate("7"))
    assert (before.num_votes, tally.standing().num_votes) == (1, 2)


# ------------------------------------------------------------------------------------------------------- programs


def test_the_program_with_the_highest_score_leads_however_many_votes_another_has() -> None:
    now = standing(
        [
            *[candidate("def f(): return 1\n", 0.5)] * 9,
            candidate("def f(): return 2\n", 0.75),
            candidate("def f(): return 3\n", 0.75),
        ]
    )
    assert (now.answer, now.best_score, now.num_votes) == ("def f(): return 2\n", 0.75, 1)


def test_programs_without_scores_are_voted_on() -> None:
    now = standing([candidate("def f(): return 2\n"), *[candidate("def f(): return 1\n")] * 2])
    assert (now.answer, now.num_votes) == ("def f(): return 1\n", 2)


def test_programs_that_all_score_nothing_have_no_share() -> None:
    now = standing([candidate("def f(): return 1\n", 0.0), candidate("def f(): return 2\n", 0.0)])
    assert (now.answer, now.share) == ("def f(): return 1\n", 0.0)
