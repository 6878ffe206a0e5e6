"""The driver with a planner: waves that share one prompt and one vote, forced answers, and the events of a trace."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch import search
from edgesearch.budget import Budget, ManualClock
from edgesearch.choice import choose
from edgesearch.driver import Driver
from edgesearch.engines.sampling import mix_seed
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.events import Event, Grew, Scored, WaveStarted
from edgesearch.jobs import LANE, Closing, Job, JobResult, Situation, Wave
from edgesearch.planner.auto import AutoPlanner, Wish
from edgesearch.planner.pace import PaceMeter
from edgesearch.planner.predict import Outlook
from edgesearch.planner.profile import Profile
from edgesearch.search.base import Expand, Judge, Search, SearchConfig, Strategy
from edgesearch.types import Beam, Prompt, Sampling, StopReason
from edgesearch.verifiers.scripted import ScriptedVerifier

MAJORITY, WEIGHTED, REBASE, GREEDY = map(search.strategy, ("majority", "weighted", "rebase", "greedy"))
CLOSING = Closing("\n\nThe answer is \\boxed{", max_tokens=12, seconds=0.3)
GREEDY_SEED = mix_seed(0, 0)


def write_many(beam: Beam, seed: int) -> str:
    """Three steps of some words and one of five answers; the seed says which."""
    rest = [
        "so " * (seed % 5) + f"s{seed % 9973}\n\n",
        "and " * (seed % 3) + f"t{seed % 997}\n\n",
        rf"\boxed{{{seed % 5}}}",
    ]
    return "".join(rest[len(beam.steps) :])


def write_seven(beam: Beam, seed: int) -> str:
    return rf"s{seed % 9973} \boxed{{7}}"


def write_copies(beam: Beam, seed: int) -> str:
    return "".join(["one\n\n", "two\n\n", rf"\boxed{{{7}}}"][len(beam.steps) :])


def ramble(beam: Beam, seed: int) -> str:
    """Never comes to an answer by itself; has one when it is made to state it."""
    return "and so on " * 200 + rf"\boxed{{{seed % 3}}}"


class Script:
    """A planner that says what it was told to, whatever the situation."""

    def __init__(self, *decisions: Wave | StopReason | None, width: int | None = None, is_due: bool = True) -> None:
        self.decisions, self._width, self._is_due = list(decisions), width, is_due
        self.asked: list[Situation] = []

    def decide(self, now: Situation) -> Wave | StopReason | None:
        self.asked.append(now)
        if self.decisions:
            return self.decisions.pop(0)
        return None if now.num_waves else "no_time"

    def is_due(self, num_living: int) -> bool:
        return self._is_due and bool(self.decisions)

    def width(self, wave: Wave, beams: Sequence[Beam], left_s: float) -> int:
        return len(beams) if self._width is None else self._width


class World:
    """A driver over scripted models on one manual clock."""

    def __init__(
        self,
        write: Callable[[Beam, int], str] = write_many,
        *,
        pass_s: float = 0.01,
        token_s: float = 0.0,
        score: Callable[[Beam, int], float] = lambda beam, index: 0.5,
        check: Callable[[str, str], bool | None] | None = None,
        engine: type[ScriptedEngine] = ScriptedEngine,
    ) -> None:
        self.clock = ManualClock()
        self.engine = engine(write, clock=self.clock, pass_s=pass_s)
        self.verifier = ScriptedVerifier(score, clock=self.clock, token_s=token_s)
        self.pass_s = pass_s
        self.profile = Profile.of_pace(self.engine.pace, token_s)
        self.meter = PaceMeter(self.profile)
        self.driver = Driver(self.engine, self.verifier, check, meter=self.meter, clock=self.clock)

    def auto(self, strategy: Strategy = WEIGHTED, max_n: int = 8, mean: float = 12) -> AutoPlanner:
        """The planner of `--strategy auto`."""
        return AutoPlanner(Wish(strategy, "last", max_n), Outlook(self.profile, 9, mean, 4, 200), None, self.meter)

    def job(
        self,
        strategy: Strategy = WEIGHTED,
        *,
        planner: Script | AutoPlanner | None = None,
        budget_s: float = 1.0,
        n: int = 8,
        max_tokens: int = 200,
        has_safety_lane: bool = True,
        seed: int = 0,
        closing: Closing | None = None,
        is_traced: bool = False,
    ) -> Job:
        planner = self.auto(strategy) if planner is None else planner
        if isinstance(planner, AutoPlanner):
            planner.begin(budget_s)
        return Job(
            prompt=Prompt(user="how many apples are there"),
            strategy=strategy,
            config=SearchConfig(n=n, m=1, seed=seed),
            sampling=Sampling(),
            deadline=Budget(budget_s).start(self.clock),
            max_tokens=max_tokens,
            seed=seed,
            has_safety_lane=has_safety_lane,
            planner=planner,
            closing=closing,
            is_traced=is_traced,
        )

    def run(self, *jobs: Job) -> list[JobResult]:
        numbers = [self.driver.submit(job) for job in jobs]
        return self.finish(numbers)

    def finish(self, numbers: list[int]) -> list[JobResult]:
        results: dict[int, JobResult] = {}
        for _ in range(20_000):
            results |= dict(self.driver.turn())
            if len(results) == len(numbers):
                return [results[number] for number in numbers]
        raise AssertionError("the driver never came to an end")

    def is_empty(self) -> bool:
        """Whether nothing is kept anywhere."""
        return not self.engine.nodes and not self.verifier.nodes and not self.engine._running and not self.engine._queue


def wave(strategy: Strategy = WEIGHTED, n: int = 4) -> Wave:
    return Wave(strategy, SearchConfig(n=n, m=1), reason="more")


def told(result: JobResult) -> list[tuple[str, str | None, float | None, float | None]]:
    return [(each.beam.text, each.answer, each.score, each.finished_s) for each in result.candidates]


PLANNED = [MAJORITY, WEIGHTED, REBASE]


# -- nothing is done twice ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", PLANNED, ids=lambda each: each.name)
def test_waves_follow_each_other_until_the_time_is_used(strategy: Strategy) -> None:
    world = World()
    [result] = world.run(world.job(strategy))
    assert len(result.waves) >= 2
    assert world.clock.now_s > 0.7
    assert len(result.candidates) > 16
    assert [used.started_s for used in result.waves] == sorted(used.started_s for used in result.waves)
    assert world.is_empty()


@pytest.mark.parametrize("strategy", PLANNED, ids=lambda each: each.name)
def test_all_waves_share_one_prompt_and_no_token_is_drawn_twice(strategy: Strategy) -> None:
    world = World()
    [result] = world.run(world.job(strategy))
    usage = result.usage
    assert usage.prefilled_tokens == usage.prompt_tokens == 9
    assert usage.verifier_prompt_tokens == (9 if strategy.needs_scores else 0)
    assert usage.decoded_tokens == sum(world.engine.passes)
    assert usage.decode_passes == len(world.engine.passes)
    assert usage.verifier_calls == len(world.verifier.calls)


@pytest.mark.parametrize("strategy", [WEIGHTED, REBASE], ids=lambda each: each.name)
@pytest.mark.parametrize("write", [write_many, write_copies, write_seven])
def test_no_step_is_judged_twice_in_whatever_wave(strategy: Strategy, write: Callable[[Beam, int], str]) -> None:
    world = World(write)
    [result] = world.run(world.job(strategy))
    assert len(world.verifier.judged_nodes) == len(set(world.verifier.judged_nodes))
    assert 0 < result.usage.verified_tokens <= result.usage.decoded_tokens


@pytest.mark.parametrize("strategy", PLANNED, ids=lambda each: each.name)
@pytest.mark.parametrize("write", [write_many, write_copies])
def test_every_candidate_of_every_wave_is_counted_once_copies_too(
    strategy: Strategy, write: Callable[[Beam, int], str]
) -> None:
    world = World(write)
    [result] = world.run(world.job(strategy))
    assert result.standing is not None
    assert result.standing.num_candidates == len(result.candidates) > 8
    choice = choose(result.candidates, result.job.selection)
    assert choice.candidate is not None
    assert (result.standing.answer, result.standing.share) == (choice.candidate.answer, pytest.approx(choice.share))


def test_a_solution_whose_limit_falls_on_a_step_s_end_is_one_candidate_however_many_children_it_was_to_have() -> None:
    def write(beam: Beam, seed: int) -> str:
        return "w x \\boxed{7}\n\n" * 9

    world = World(write, score=lambda beam, index: 0.9 if "0" in str(beam.node) else 0.1)
    [result] = world.run(world.job(REBASE, planner=Script(), max_tokens=24, has_safety_lane=False))
    assert {each.beam.finish for each in result.candidates} == {"length"}
    assert result.standing is not None
    assert result.standing.num_candidates == len(result.candidates) <= 8


def test_the_steps_of_all_waves_are_read_once_also_when_one_text_was_drawn_in_several() -> None:
    world = World(write_copies)
    [result] = world.run(world.job(WEIGHTED, planner=Script(wave(), wave()), has_safety_lane=False))
    assert len(result.candidates) == 16
    assert len(world.verifier.judged_nodes) == 3
    assert {each.score for each in result.candidates} == {0.5}


def test_the_engine_is_told_to_keep_the_prompt_for_the_waves_to_come() -> None:
    drafts = []

    class Spy(ScriptedEngine):
        def start(self, draft) -> None:
            drafts.append(draft)
            super().start(draft)

    for planner in (Script(wave(REBASE), wave()), None):
        world = World(engine=Spy)
        world.run(world.job(REBASE, planner=planner))
    assert not any(draft.is_last_use for draft in drafts if not draft.beam.steps)
    assert all(draft.is_last_use for draft in drafts if draft.beam.steps)


# -- draws -------------------------------------------------------------------------------------------------------------


def test_waves_draw_other_samples_than_each_other_and_the_same_as_the_last_time() -> None:
    def texts(seed: int) -> list[str]:
        world = World(write_seven)
        planner = Script(wave(MAJORITY, 8), wave(MAJORITY, 8))
        [result] = world.run(world.job(MAJORITY, planner=planner, has_safety_lane=False, seed=seed))
        return [each.beam.text for each in result.candidates]

    assert len(set(texts(0))) == 24
    assert texts(0) == texts(0)
    assert not set(texts(0)) & set(texts(1))


@pytest.mark.parametrize("strategy", PLANNED, ids=lambda each: each.name)
def test_a_planned_solve_is_the_same_each_time(strategy: Strategy) -> None:
    def outcome() -> object:
        world = World(token_s=0.0005 if strategy.needs_scores else 0.0)
        [result] = world.run(world.job(strategy, closing=CLOSING))
        return told(result), result.usage, result.waves, result.standing, world.clock.now_s

    assert outcome() == outcome()


def test_a_strategy_that_draws_by_itself_gets_another_seed_in_each_wave() -> None:
    seeds = []

    def spy(root: Beam, config: SearchConfig, options: object) -> Search:
        seeds.append(config.seed)
        yield Expand([root], is_to_end=True)

    strategy = Strategy("spy", spy, "majority", False, False, "a test")
    world = World(write_seven)
    world.run(world.job(strategy, planner=Script(wave(strategy), wave(strategy)), seed=5))
    assert seeds[0] == 5
    assert len(set(seeds)) == 3


# -- the safety lane ---------------------------------------------------------------------------------------------------


def test_the_safety_lane_is_a_candidate_like_any_other() -> None:
    drawn: dict[int, float] = {}

    class Spy(ScriptedEngine):
        def start(self, draft) -> None:
            drawn[draft.seed] = draft.sampling.temperature
            super().start(draft)

    world = World(lambda beam, seed: rf"\boxed{{{5 if seed == GREEDY_SEED else 7}}}", engine=Spy)
    [result] = world.run(world.job(planner=Script()))
    assert sorted(each.answer or "" for each in result.candidates) == ["5"] + ["7"] * 8
    assert [each.score for each in result.candidates] == [0.5] * 9
    assert [temperature for seed, temperature in drawn.items() if seed == GREEDY_SEED] == [0.0]
    assert result.standing is not None
    assert (result.standing.num_votes, result.standing.num_rival_votes) == (8, 1)


def test_the_safety_lane_is_no_wave_among_those_that_are_told() -> None:
    world = World()
    [result] = world.run(world.job(planner=Script(wave())))
    assert [used.reason for used in result.waves] == ["more"]


def test_the_safety_lane_s_answer_is_there_long_before_a_slow_wave_has_one() -> None:
    world = World(lambda beam, seed: r"\boxed{5}" if seed == GREEDY_SEED else "and so on " * 500)
    [result] = world.run(world.job(planner=Script(), max_tokens=5000, closing=CLOSING))
    assert [each.answer for each in result.candidates if each.answer] == ["5"]


# -- how it ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["confidence", "dominance", "settled", "no_time"])
@pytest.mark.parametrize("when", [0, 1, 5])
@pytest.mark.parametrize("strategy", PLANNED, ids=lambda each: each.name)
def test_a_reason_to_stop_ends_it_at_once_and_is_told(reason: StopReason, when: int, strategy: Strategy) -> None:
    world = World()
    planner = Script(*[None] * when, reason)
    [result] = world.run(world.job(strategy, planner=planner))
    assert result.early_stop == reason
    assert not result.is_cut
    assert world.is_empty()
    assert result.standing is not None
    if result.standing.answer is not None:
        assert result.standing.num_candidates == len(result.candidates)


def test_a_stop_takes_no_more_than_the_pass_under_way() -> None:
    world = World(ramble)
    number = world.driver.submit(world.job(planner=Script(None, "settled"), budget_s=100.0, max_tokens=10_000))
    world.finish([number])
    assert len(world.engine.passes) <= 3


def test_what_is_finished_when_it_stops_still_gets_its_score_and_its_vote() -> None:
    world = World(write_seven)
    planner = Script(is_due=False)
    number = world.driver.submit(world.job(planner=planner, n=4))
    while not world.engine.passes or world.engine._running:
        world.driver.turn()
    planner.decisions = ["settled"]
    [result] = world.finish([number])
    assert result.standing is not None
    assert result.standing.num_candidates == len(result.candidates) == 5
    assert {each.score for each in result.candidates} == {0.5}


@pytest.mark.parametrize("strategy", PLANNED, ids=lambda each: each.name)
def test_a_vote_that_is_settled_gives_the_seconds_back(strategy: Strategy) -> None:
    world = World(write_seven, score=lambda beam, index: 0.9)
    [result] = world.run(world.job(strategy, budget_s=60.0))
    assert result.early_stop == "settled"
    assert world.clock.now_s < 6
    assert {each.answer for each in result.candidates} == {"7"}
    assert len(result.candidates) >= 32


def test_a_vote_that_the_seconds_left_cannot_change_gives_them_back() -> None:
    world = World(write_seven, pass_s=0.01)
    [result] = world.run(world.job(MAJORITY, planner=world.auto(MAJORITY, max_n=8, mean=4), budget_s=0.14))
    assert result.early_stop == "dominance"
    assert world.clock.now_s < 0.14


def test_where_no_further_solution_fits_the_seconds_left_are_given_back() -> None:
    world = World(pass_s=0.01)
    [result] = world.run(world.job(budget_s=0.3))
    assert result.early_stop == "no_time"
    assert not result.is_cut
    assert world.clock.now_s < 0.3


def test_a_proof_ends_all_waves_by_the_pass_that_brings_it() -> None:
    world = World(check=lambda problem, stated: stated == "3")
    [result] = world.run(world.job(budget_s=60.0))
    assert result.early_stop == "proof"
    assert {each.answer for each in result.candidates if each.beam.proof} == {"3"}
    assert result.standing is not None
    assert (result.standing.is_proven, result.standing.answer) == (True, "3")
    assert world.is_empty()


def test_where_all_answers_are_proven_wrong_it_goes_on_to_the_deadline() -> None:
    world = World(write_seven, check=lambda problem, stated: False)
    [result] = world.run(world.job(budget_s=1.0))
    assert result.early_stop in (None, "no_time")
    assert world.clock.now_s > 0.8
    assert result.standing is not None
    assert (result.standing.answer, result.standing.num_disproven) == (None, len(result.candidates))


def test_a_cancelled_solve_ends_with_the_best_so_far() -> None:
    world = World()
    job = world.job(budget_s=100.0)
    number = world.driver.submit(job)
    while world.driver.view(number).num_candidates < 10:
        world.driver.turn()
    num_passes = len(world.engine.passes)
    job.deadline.cancel()
    [result] = world.finish([number])
    assert result.is_cut
    assert result.early_stop is None
    assert len(result.candidates) >= 10
    assert len(world.engine.passes) == num_passes
    assert world.is_empty()


@pytest.mark.parametrize("where", ["between passes", "in a pass", "in a call of the verifier"])
@pytest.mark.parametrize("strategy", [WEIGHTED, REBASE], ids=lambda each: each.name)
def test_a_machine_that_was_suspended_for_an_hour_ends_with_the_best_so_far(where: str, strategy: Strategy) -> None:
    world = World()
    engine, verifier = world.engine, world.verifier
    advance, judge = engine.advance, verifier.judge

    def sleep_in_pass(deadline):
        if len(engine.passes) == 30:
            world.clock.advance(3600)
        return advance(deadline)

    def sleep_in_call(beams):
        if len(verifier.calls) == 4:
            world.clock.advance(3600)
        return judge(beams)

    if where == "in a pass":
        engine.advance = sleep_in_pass
    if where == "in a call of the verifier":
        verifier.judge = sleep_in_call
    number = world.driver.submit(world.job(strategy, budget_s=100.0, closing=CLOSING))
    for turn in itertools.count():
        if where == "between passes" and turn == 30:
            world.clock.advance(3600)
        if ended := world.driver.turn():
            break
    [(_, result)] = ended
    assert number == 0
    assert result.is_cut
    assert {each.answer for each in result.candidates} - {None}
    assert world.is_empty()
    assert world.meter.slowdown < 1.2


def test_a_strategy_that_fails_leaves_nothing_behind_once_the_driver_is_closed() -> None:
    def fail(root: Beam, config: SearchConfig, options: object) -> Search:
        yield Judge((yield Expand([root] * 4)))
        raise RuntimeError("a surprise")

    failing = Strategy("failing", fail, "weighted", True, True, "a test")
    world = World()
    world.driver.submit(world.job(planner=Script(wave(failing))))
    with pytest.raises(RuntimeError, match="a surprise"):
        world.finish([0])
    world.driver.close()
    assert world.is_empty()
    [result] = world.run(world.job())
    assert result.candidates


def test_a_strategy_that_fails_at_once_leaves_nothing_of_its_job_beside_others() -> None:
    def fail(root: Beam, config: SearchConfig, options: object) -> Search:
        raise RuntimeError("a surprise")
        yield Expand([root])

    world = World()
    number = world.driver.submit(world.job(budget_s=0.5))
    with pytest.raises(RuntimeError, match="a surprise"):
        world.driver.submit(world.job(Strategy("failing", fail, "weighted", True, True, "a test")))
    [result] = world.finish([number])
    assert result.candidates
    assert world.is_empty()


ENDINGS = st.sampled_from([None, None, "cancel", "jump"])
PROOFS = st.dictionaries(st.sampled_from("012"), st.booleans())
"""Of the answers that a check can tell."""


@settings(max_examples=60, deadline=None)
@given(
    strategy=st.sampled_from(PLANNED),
    n=st.integers(1, 16),
    budget_s=st.floats(0.005, 3),
    pass_s=st.floats(0.001, 0.05),
    token_s=st.floats(0, 0.01),
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    mean=st.floats(1, 100),
    has_safety_lane=st.booleans(),
    has_closing=st.booleans(),
    max_tokens=st.integers(1, 100),
    proofs=PROOFS,
    has_blank_end=st.booleans(),
    ending=ENDINGS,
)
def test_any_planned_solve_ends_in_time_counts_right_and_leaves_nothing_behind(
    strategy: Strategy,
    n: int,
    budget_s: float,
    pass_s: float,
    token_s: float,
    lengths: list[int],
    mean: float,
    has_safety_lane: bool,
    has_closing: bool,
    max_tokens: int,
    proofs: dict[str, bool],
    has_blank_end: bool,
    ending: str | None,
) -> None:
    def write(beam: Beam, seed: int) -> str:
        words = lengths[(seed + len(beam.steps)) % len(lengths)]
        is_last = len(beam.steps) >= seed % 4
        end = "\n\n" if has_blank_end else ""
        return "w " * words + (rf"\boxed{{{seed % 3}}}{end}" if is_last else "x\n\ny\n\n\\boxed{2}")

    world = World(write, pass_s=pass_s, token_s=token_s, check=lambda problem, stated: proofs.get(stated))
    job = world.job(
        strategy,
        n=n,
        planner=world.auto(strategy, max_n=n, mean=mean),
        budget_s=budget_s,
        max_tokens=max_tokens,
        has_safety_lane=has_safety_lane,
        closing=CLOSING if has_closing else None,
        is_traced=True,
    )
    number, events = world.driver.submit(job), []
    for turn in itertools.count():
        assert turn < 20_000
        if ending == "cancel" and turn == 7:
            job.deadline.cancel()
        if ending == "jump" and turn == 7:
            world.clock.advance(3600)
        if ended := world.driver.turn():
            break
        events += world.driver.events(number)
    [(_, result)] = ended
    if ending != "jump" or turn < 7:
        assert world.clock.now_s <= budget_s + pass_s + 1e-9
    assert world.is_empty()
    usage = result.usage
    assert usage.prefilled_tokens in (0, usage.prompt_tokens)
    assert usage.decoded_tokens == sum(world.engine.passes)
    assert usage.verified_tokens <= usage.decoded_tokens
    assert len(world.verifier.judged_nodes) == len(set(world.verifier.judged_nodes))
    nodes = [each.beam.node for each in result.candidates]
    assert result.standing is not None
    if result.standing.num_candidates:
        assert result.standing.num_candidates <= len(nodes)
    if result.standing.answer is not None:
        choice = choose(result.candidates, result.job.selection)
        assert choice.candidate is not None
        assert result.standing.num_candidates == len(nodes)
        if not result.standing.is_proven:
            assert result.standing.share == pytest.approx(choice.share if choice.share is not None else 1.0)
    is_forest(job, [*events, *result.events], result)


# -- several problems --------------------------------------------------------------------------------------------------


def test_several_planned_problems_run_side_by_side_and_end_by_their_own_deadlines() -> None:
    world = World(pass_s=0.005)
    jobs = [
        world.job(strategy, budget_s=budget_s)
        for strategy, budget_s in ((REBASE, 0.4), (WEIGHTED, 0.8), (MAJORITY, 1.2))
    ]
    numbers, ended_s = [world.driver.submit(job) for job in jobs], {}
    results: dict[int, JobResult] = {}
    while len(results) < 3:
        for number, result in world.driver.turn():
            results[number], ended_s[number] = result, world.clock.now_s
    for number, job, budget_s in zip(numbers, jobs, (0.4, 0.8, 1.2), strict=True):
        result = results[number]
        assert result.job is job
        assert ended_s[number] <= budget_s + 0.005
        assert result.usage.prefilled_tokens == result.usage.prompt_tokens
        assert {each.beam.prompt.id for each in result.candidates} == {job.prompt.id}
        assert len(result.candidates) > 8
    assert world.is_empty()
    assert len(world.verifier.judged_nodes) == len(set(world.verifier.judged_nodes))


def test_a_proof_of_one_problem_ends_no_other() -> None:
    world = World(check=lambda problem, stated: True if stated == "4" else None)
    proven, other = world.run(
        world.job(seed=1), world.job(GREEDY, planner=Script("settled"), n=1, has_safety_lane=False)
    )
    assert proven.early_stop == "proof"
    assert other.early_stop in ("settled", "proof")


# -- what the planner is asked -----------------------------------------------------------------------------------------


def test_a_planner_that_is_not_due_is_asked_only_when_candidates_came() -> None:
    world = World(ramble)
    planner = Script(is_due=False)
    world.run(world.job(planner=planner, budget_s=1.0, max_tokens=5000, has_safety_lane=False))
    assert len(planner.asked) == 1


def test_the_planner_sees_how_it_stands() -> None:
    world = World(write_seven)
    planner = Script()
    world.run(world.job(planner=planner, n=4, budget_s=1.0))
    first, last = planner.asked[0], planner.asked[-1]
    assert (first.num_living, first.num_waves, first.num_finished, first.standing.answer) == (5, 2, 0, None)
    assert (last.num_living, last.num_waves, last.num_finished) == (0, 0, 5)
    assert (last.standing.answer, last.standing.num_votes, last.prompt_tokens) == ("7", 5, 9)
    assert last.finished_tokens == 5 * 4
    assert first.left_s == pytest.approx(1.0, abs=0.02)
    assert last.left_s == pytest.approx(1.0 - world.clock.now_s, abs=0.02)


def test_a_wave_that_is_late_goes_on_with_its_best_beams_only() -> None:
    def score(beam: Beam, index: int) -> float:
        return int(beam.steps[0].text[1:3] or 0) / 100

    def write(beam: Beam, seed: int) -> str:
        return "".join([f"s{seed % 90 + 10}\n\n", "t\n\n", r"\boxed{7}"][len(beam.steps) :])

    world = World(write, score=score)
    [result] = world.run(world.job(REBASE, planner=Script(width=2), n=8, has_safety_lane=False))
    assert world.engine.passes[0] == 8
    assert world.engine.passes[-1] == 2
    assert len(result.candidates) == 2
    tops = {each.beam.steps[0].text.strip() for each in result.candidates}
    assert max(world_texts(world)) in tops


def world_texts(world: World) -> list[str]:
    """First steps that were judged, of what the engine was asked to write."""
    return [piece for piece in world.engine._vocabulary if piece.startswith("s") and piece[1:].isdigit()]


def test_a_view_of_a_planned_solve_tells_the_best_of_all_waves() -> None:
    world = World(write_seven)
    number = world.driver.submit(world.job(planner=Script(None, None, wave(), wave()), budget_s=10.0))
    seen = []
    while not world.driver.turn():
        seen.append(world.driver.view(number))
    assert seen[0].best is None or seen[0].best.answer is None
    assert seen[-1].best is not None
    assert seen[-1].best.answer == "7"
    counts = [view.num_candidates for view in seen]
    assert counts == sorted(counts)


# -- forced answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [MAJORITY, WEIGHTED], ids=lambda each: each.name)
@pytest.mark.parametrize("is_planned", [True, False])
def test_solutions_under_way_state_their_answer_where_none_is_in_hand(strategy: Strategy, is_planned: bool) -> None:
    world = World(ramble)
    job = world.job(strategy, planner=Script(), budget_s=1.0, max_tokens=5000, closing=CLOSING)
    job = job if is_planned else dataclasses.replace(job, planner=None, has_safety_lane=False)
    [result] = world.run(job)
    answers = [each.answer for each in result.candidates]
    assert len(answers) == (9 if is_planned else 8)
    assert set(answers) <= {"0", "1", "2"}
    assert all(each.beam.text.endswith(f"\n\nThe answer is \\boxed{{{each.answer}}}") for each in result.candidates)
    assert result.usage.decoded_tokens == sum(world.engine.passes)
    assert world.clock.now_s <= 1.0 + 0.01
    assert world.is_empty()


def test_forced_answers_have_scores_and_votes() -> None:
    world = World(ramble, score=lambda beam, index: 0.75)
    [result] = world.run(world.job(planner=Script(), budget_s=1.0, max_tokens=5000, closing=CLOSING))
    assert {each.score for each in result.candidates} == {0.75}
    assert result.standing is not None
    assert result.standing.num_cast == len(result.candidates) == 9


def slow_steps(beam: Beam, seed: int) -> str:
    """Step after step, without end; has an answer when it is made to state it."""
    return f"one two s{seed % 997}\n\n" * 40 + rf"\boxed{{{seed % 3}}}"


@pytest.mark.parametrize("budget_s", [0.5 + 0.01 * extra for extra in range(13)])
def test_beams_between_two_steps_state_their_answer_too(budget_s: float) -> None:
    world = World(slow_steps)
    [result] = world.run(world.job(REBASE, planner=Script(), budget_s=budget_s, max_tokens=5000, closing=CLOSING))
    assert len([each for each in result.candidates if each.answer is not None]) >= 8
    assert all("The answer is \\boxed{" in each.beam.text for each in result.candidates)
    assert not any("\n\n\n" in each.beam.text for each in result.candidates)
    assert len(world.verifier.judged_nodes) == len(set(world.verifier.judged_nodes))
    assert result.usage.decoded_tokens == sum(world.engine.passes)
    assert world.clock.now_s <= budget_s + 0.01
    assert world.is_empty()


def test_beams_that_wait_for_slower_ones_of_their_step_state_their_answer_too() -> None:
    def write(beam: Beam, seed: int) -> str:
        return "quick\n\nmore\n\n\\boxed{7}" if seed % 2 else "slow " * 500 + r"\boxed{8}"

    world = World(write)
    [result] = world.run(
        world.job(REBASE, planner=Script(), budget_s=1.0, max_tokens=5000, closing=CLOSING, has_safety_lane=False)
    )
    assert {each.answer for each in result.candidates} == {"7", "8"}


def test_no_answer_is_forced_where_one_is_in_hand() -> None:
    hurried = []

    class Spy(ScriptedEngine):
        def hurry(self, draft_ids, closing, max_tokens) -> None:
            hurried.append(draft_ids)
            super().hurry(draft_ids, closing, max_tokens)

    def write(beam: Beam, seed: int) -> str:
        return r"\boxed{5}" if seed == GREEDY_SEED else ramble(beam, seed)

    for strategy, is_planned in itertools.product((MAJORITY, WEIGHTED), (True, False)):
        world = World(write, engine=Spy)
        job = world.job(strategy, planner=Script(), budget_s=1.0, max_tokens=5000, closing=CLOSING)
        [result] = world.run(job if is_planned else dataclasses.replace(job, planner=None))
        assert [each.answer for each in result.candidates if each.answer] == ["5"]
    assert hurried == []


def test_an_answer_that_is_proven_wrong_is_none_in_hand() -> None:
    def write(beam: Beam, seed: int) -> str:
        return r"\boxed{5}" if seed == GREEDY_SEED else ramble(beam, seed)

    world = World(write, check=lambda problem, stated: False if stated == "5" else None)
    [result] = world.run(world.job(planner=Script(), budget_s=1.0, max_tokens=5000, closing=CLOSING))
    assert len([each for each in result.candidates if each.answer in ("0", "1", "2")]) == 8


def test_an_engine_that_cannot_hurry_is_left_alone() -> None:
    world = World(ramble)
    world.engine.info = dataclasses.replace(world.engine.info, can_hurry=False)
    [result] = world.run(world.job(planner=Script(), budget_s=1.0, max_tokens=5000, closing=CLOSING))
    assert {each.answer for each in result.candidates} == {None}
    assert world.clock.now_s == pytest.approx(1.0, abs=0.02)


def test_solutions_that_are_not_to_be_closed_are_left_as_they_are() -> None:
    world = World(ramble)
    [result] = world.run(world.job(planner=Script(), budget_s=1.0, max_tokens=5000))
    assert {(each.answer, each.beam.finish) for each in result.candidates} == {(None, "deadline")}


def test_answers_are_forced_no_earlier_than_there_is_just_time_for_them() -> None:
    world = World(ramble)
    world.run(world.job(planner=Script(), budget_s=10.0, max_tokens=5000, closing=CLOSING))
    assert world.clock.now_s >= 10.0 - CLOSING.seconds - 0.05


def test_of_a_short_budget_at_most_a_third_is_for_forced_answers() -> None:
    world = World(ramble, pass_s=0.001)
    [result] = world.run(world.job(planner=Script(), budget_s=0.1, max_tokens=5000, closing=CLOSING))
    assert {each.answer for each in result.candidates} <= {"0", "1", "2"}
    assert world.clock.now_s >= 0.065


def test_steps_that_wait_for_a_verifier_that_is_too_slow_state_their_answer_instead() -> None:
    world = World(slow_steps, token_s=10.0)
    job = world.job(REBASE, planner=Script(), budget_s=5.0, max_tokens=5000, closing=CLOSING, has_safety_lane=False)
    [result] = world.run(job)
    assert {each.answer for each in result.candidates} & {"0", "1", "2"}
    assert world.clock.now_s <= 5.0 + 0.01


# -- traced events -----------------------------------------------------------------------------------------------------


def is_forest(job: Job, events: list[Event], result: JobResult) -> None:
    """Each node grew from one that was there before, once; all steps of all candidates are nodes, scored as told."""
    waves, parents, scores = {}, {}, {}
    for event in events:
        if isinstance(event, WaveStarted):
            assert event.number not in waves
            assert event.root == job.prompt.id
            waves[event.number] = event.wave
        elif isinstance(event, Grew):
            assert event.node not in parents
            assert event.parent == job.prompt.id or event.parent in parents
            assert event.wave in waves
            parents[event.node] = event.parent
        else:
            assert isinstance(event, Scored)
            assert event.node in parents
            assert event.node not in scores
            scores[event.node] = event.score
    for each in result.candidates:
        trail = [job.prompt.id, *(step.id for step in each.beam.steps)]
        for parent, node in itertools.pairwise(trail):
            assert parents[node] == parent
        for step, score in zip(each.beam.steps, each.beam.scores, strict=False):
            assert step.num_folded or scores[step.id] == score  # a blank ending was scored as the step before it
    times = [event.at_s for event in events if not isinstance(event, WaveStarted)]
    assert times == sorted(times)
    if events:
        assert {number for number in waves if number > 0} == set(range(1, len(result.waves) + 1))


@pytest.mark.parametrize("strategy", PLANNED, ids=lambda each: each.name)
@pytest.mark.parametrize("write", [write_many, write_copies, ramble, slow_steps])
@pytest.mark.parametrize("is_planned", [True, False])
def test_the_events_of_a_traced_solve_are_a_forest_that_holds_every_candidate(
    strategy: Strategy, write: Callable[[Beam, int], str], is_planned: bool
) -> None:
    world = World(write)
    job = world.job(strategy, is_traced=True, closing=CLOSING)
    job = job if is_planned else dataclasses.replace(job, planner=None)
    number, events = world.driver.submit(job), []
    while not (ended := world.driver.turn()):
        events += world.driver.events(number)
    [(_, result)] = ended
    is_forest(job, [*events, *result.events], result)
    starts = [event for event in [*events, *result.events] if isinstance(event, WaveStarted)]
    assert [event.number for event in starts] == [LANE, *range(len(result.waves) + 1)]
    assert starts[1].wave.strategy == job.first.used
    assert [event.wave for event in starts[2:]] == list(result.waves)


def write_blank_end(beam: Beam, seed: int) -> str:
    """Ends its turn right after a delimiter."""
    return "".join(["one\n\n", f"so \\boxed{{{seed % 3}}}\n\n", ""][len(beam.steps) :])


@pytest.mark.parametrize("strategy", PLANNED, ids=lambda each: each.name)
def test_a_blank_ending_is_the_node_that_its_candidate_ends_with(strategy: Strategy) -> None:
    world = World(write_blank_end)
    job = world.job(strategy, planner=Script(), is_traced=True)
    [result] = world.run(job)
    grown = {event.node: event for event in result.events if isinstance(event, Grew)}
    for each in result.candidates:
        assert each.beam.steps[-1].id in grown
        assert grown[each.beam.steps[-1].id].finish == "stop"
    is_forest(job, list(result.events), result)


def test_a_proof_is_told_with_the_step_that_it_is_of() -> None:
    world = World(check=lambda problem, stated: stated == "3")
    [result] = world.run(world.job(is_traced=True, budget_s=60.0))
    proofs = [event.proof for event in result.events if isinstance(event, Grew)]
    assert True in proofs
    assert all(event.finish == "stop" for event in result.events if isinstance(event, Grew) and event.proof is not None)


def test_a_solve_that_is_not_traced_has_no_events() -> None:
    world = World()
    job = world.job()
    number = world.driver.submit(job)
    while not (ended := world.driver.turn()):
        assert world.driver.events(number) == []
    assert ended[0][1].events == ()


def test_tracing_changes_nothing_else() -> None:
    def outcome(is_traced: bool) -> object:
        world = World()
        [result] = world.run(world.job(REBASE, is_traced=is_traced))
        return told(result), result.usage, result.waves, result.standing, world.clock.now_s

    assert outcome(True) == outcome(False)
