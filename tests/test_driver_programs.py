"""The driver on problems that ask for a program: what ends a search, and what is tried on the visible tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch import search
from edgesearch.budget import Budget, ManualClock
from edgesearch.choice import choose
from edgesearch.driver import Driver
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.jobs import Job, JobResult
from edgesearch.search.base import SearchConfig
from edgesearch.types import Beam, CodeSpec, Prompt, Sampling
from edgesearch.verifiers.base import Judged
from edgesearch.verifiers.scripted import ScriptedVerifier

ADD = CodeSpec(("add",), tests=("assert add(1, 2) == 3", "assert add(0, 0) == 0"))
RIGHT = "def add(a, b):\n    return a + b\n"
HALF = "def add(a, b):\n    return a - b\n"
WRONG = "def add(a, b):\n    return 7\n"
SCORES = {RIGHT: 1.0, HALF: 0.5, WRONG: 0.0}
NEXT = "\n\n" + "and so on " * 100


def fenced(program: str, before: str = "Here it is:", after: str = "") -> str:
    return f"{before}\n\n```python\n{program}```\n{after}"


def score(beam: Beam, index: int) -> float:
    """The share of the tests that the one program in a solution passes."""
    return next((share for program, share in SCORES.items() if program in beam.text), 0.0)


class World:
    """A driver over scripted models on one manual clock."""

    def __init__(self, write: Callable[[int], str], *, token_s: float = 0.0, check: object = None) -> None:
        self.clock = ManualClock()
        self.engine = ScriptedEngine(
            lambda beam, seed: write(seed)[len(beam.text) :], clock=self.clock, pass_s=0.003, max_sequences=16
        )
        self.verifier = ScriptedVerifier(score, clock=self.clock, token_s=token_s)
        self.verifier.info = dataclasses.replace(self.verifier.info, is_outcome=True, enough=1.0)
        self.driver = Driver(self.engine, self.verifier, check)  # type: ignore[arg-type]

    def job(
        self, name: str = "best_of_n", *, n: int = 4, budget_s: float = 100.0, is_tested: bool = True, **options: bool
    ) -> Job:
        return Job(
            prompt=Prompt(user="write add", code=ADD),
            strategy=search.strategy(name),
            config=SearchConfig(n=n, m=1),
            sampling=Sampling(),
            deadline=Budget(budget_s).start(self.clock),
            max_tokens=600,
            is_tested=is_tested,
            **options,
        )

    def run(self, *jobs: Job) -> list[JobResult]:
        numbers = [self.driver.submit(job) for job in jobs]
        results: dict[int, JobResult] = {}
        for _ in range(10_000):
            results |= dict(self.driver.turn())
            if len(results) == len(jobs):
                return [results[number] for number in numbers]
        raise AssertionError("the driver never came to an end")


def answer_of(result: JobResult) -> str | None:
    chosen = choose(result.candidates, result.job.selection).candidate
    return chosen.answer if chosen is not None else None


def in_order(*texts: str) -> Callable[[int], str]:
    """Writes these in turn, one a seed."""
    left: dict[int, str] = {}

    def write(seed: int) -> str:
        return left.setdefault(seed, texts[min(len(left), len(texts) - 1)])

    return write


@pytest.mark.parametrize("name", ["best_of_n", "weighted", "majority", "greedy"])
def test_a_program_that_passes_ends_the_search_and_gives_the_seconds_back(name: str) -> None:
    world = World(in_order(fenced(RIGHT), *[fenced(WRONG, after=NEXT)] * 7))
    (result,) = world.run(world.job(name, n=1 if name == "greedy" else 8))
    assert result.early_stop == "passed"
    assert not result.is_cut
    assert answer_of(result) == RIGHT
    assert world.clock() < 1.0
    assert world.engine.nodes == world.verifier.nodes == set()


def test_a_strategy_of_which_all_samples_are_wanted_draws_them_all() -> None:
    world = World(in_order(fenced(RIGHT), fenced(WRONG)))
    (result,) = world.run(world.job("sample", n=8, is_tested=False))
    assert result.early_stop is None
    assert len(result.candidates) == 8
    assert world.verifier.calls == []


def test_no_other_score_ends_the_search_and_the_highest_one_is_chosen() -> None:
    world = World(in_order(fenced(WRONG), fenced(HALF), fenced(WRONG)))
    (result,) = world.run(world.job(n=8))
    assert (result.early_stop, len(result.candidates)) == (None, 8)
    assert answer_of(result) == HALF


def test_all_votes_for_a_wrong_program_do_not_outvote_a_better_one() -> None:
    world = World(in_order(*[fenced(WRONG, before=f"Try {number}:") for number in range(7)], fenced(HALF)))
    (result,) = world.run(world.job("weighted", n=8))
    assert answer_of(result) == HALF


@pytest.mark.parametrize("name", ["best_of_n", "greedy"])
def test_a_program_that_is_whole_before_the_deadline_cuts_off_the_words_after_it_is_tried(name: str) -> None:
    world = World(lambda seed: fenced(RIGHT, after=NEXT))
    (result,) = world.run(world.job(name, n=1, budget_s=1.0))
    (candidate,) = result.candidates
    assert result.is_cut
    assert candidate.beam.finish == "deadline"
    assert (candidate.answer, candidate.score) == (RIGHT, 1.0)
    assert world.clock() <= 1.0


def test_trying_what_is_cut_off_is_paid_from_the_seconds_before_the_deadline() -> None:
    world = World(lambda seed: fenced(RIGHT, after=NEXT), token_s=0.0003)
    (result,) = world.run(world.job(n=1, budget_s=1.0))
    assert [candidate.score for candidate in result.candidates] == [1.0]
    assert 0.9 <= world.clock() <= 1.0


def test_a_cut_off_program_that_passes_is_chosen_before_finished_ones_that_fail() -> None:
    world = World(in_order(fenced(WRONG), fenced(RIGHT, after=NEXT)))
    (result,) = world.run(world.job(n=2, budget_s=1.0))
    assert answer_of(result) == RIGHT


def test_half_a_program_at_the_deadline_is_no_answer() -> None:
    world = World(lambda seed: "Here it is:\n\n```python\ndef add(a, b):\n    return (a " + "+ a " * 400)
    (result,) = world.run(world.job(n=2, budget_s=1.0))
    assert result.is_cut
    assert [candidate.answer for candidate in result.candidates] == [None, None]


def test_a_safety_lane_s_program_is_tried_like_any_other() -> None:
    world = World(in_order(fenced(RIGHT), fenced(WRONG, after=NEXT)))
    (result,) = world.run(world.job(n=2, has_safety_lane=True))
    assert result.early_stop == "passed"
    assert answer_of(result) == RIGHT


def test_the_exact_check_of_final_answers_is_not_asked_about_programs() -> None:
    asked: list[str] = []

    def check(problem: str, stated: str) -> bool:
        asked.append(stated)
        return False

    world = World(lambda seed: fenced(RIGHT), check=check)
    (result,) = world.run(world.job(n=2))
    assert asked == []
    assert answer_of(result) == RIGHT


def test_of_two_jobs_the_one_that_passes_ends_and_the_other_goes_on() -> None:
    world = World(in_order(fenced(RIGHT), fenced(WRONG, before="so " * 50)))
    first, second = world.run(world.job(n=1), dataclasses.replace(world.job(n=1), seed=1))
    assert (first.early_stop, second.early_stop) == ("passed", None)
    assert (answer_of(first), answer_of(second)) == (RIGHT, WRONG)


class Bounded(ScriptedVerifier):
    """Takes a second for each program, and gives up when it is told to."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(score, token_s=1.0)  # an estimate that no deadline allows
        self.info = dataclasses.replace(self.info, is_outcome=True, enough=1.0)
        self.world_clock = clock
        self.given: list[float] = []

    def judge_within(self, beams: Sequence[Beam], seconds: float) -> list[Judged]:
        self.given.append(seconds)
        num = min(len(beams), int(seconds))
        self.world_clock.advance(seconds if num < len(beams) else num)
        return [*self.judge(beams[:num]), *(Judged(beam, 0) for beam in beams[num:])]


def test_a_verifier_that_can_be_cut_short_is_asked_whatever_it_says_it_takes_and_never_beyond_the_deadline() -> None:
    world = World(in_order(*[fenced(WRONG, before=f"Try {number}:") for number in range(4)], fenced(HALF)))
    verifier = Bounded(world.clock)
    world.driver = Driver(world.engine, verifier)
    (result,) = world.run(world.job("greedy", n=1, budget_s=20.0))
    assert [candidate.score for candidate in result.candidates] == [0.0]
    (result,) = world.run(world.job(n=4, budget_s=3.0))
    assert world.clock() <= 23.0
    assert 0 < sum(candidate.score is not None for candidate in result.candidates) < 4
    assert all(seconds <= 20.0 for seconds in verifier.given)


@settings(deadline=None, max_examples=60)
@given(
    texts=st.lists(st.sampled_from([fenced(RIGHT), fenced(HALF, after=NEXT), fenced(WRONG), "no", NEXT]), min_size=1),
    name=st.sampled_from(["best_of_n", "weighted", "majority", "greedy"]),
    n=st.integers(1, 8),
    budget_s=st.sampled_from([0.05, 0.3, 1.0, 20.0]),
    has_safety_lane=st.booleans(),
)
def test_any_search_for_a_program_ends_in_time_with_the_best_score_and_leaves_nothing_behind(
    texts: list[str], name: str, n: int, budget_s: float, has_safety_lane: bool
) -> None:
    world = World(in_order(*texts), token_s=0.0001)
    (result,) = world.run(world.job(name, n=n, budget_s=budget_s, has_safety_lane=has_safety_lane))
    assert world.clock() <= budget_s
    assert world.engine.nodes == world.verifier.nodes == set()
    chosen = choose(result.candidates, result.job.selection).candidate
    scores = [candidate.score or 0.0 for candidate in result.candidates if candidate.answer is not None]
    if scores:
        assert chosen is not None
        assert (chosen.score or 0.0) == max(scores)
    if result.early_stop == "passed":
        assert max(scores) == 1.0
