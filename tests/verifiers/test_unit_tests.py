"""Visible tests as a verifier: the contract, shares, tests at fault, what is tried how often, and the real sandbox."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from fake_pools import FakePool
from verifier_contract import VerifierContract

from edgesearch.budget import Budget, ManualClock
from edgesearch.driver import Driver
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.errors import SandboxUnavailable, UsageError
from edgesearch.jobs import Job, JobResult
from edgesearch.sandbox import trial
from edgesearch.sandbox.trial import TrialResult
from edgesearch.search import strategy
from edgesearch.search.base import SearchConfig
from edgesearch.types import Beam, CodeSpec, Finish, Prompt, Sampling, Step
from edgesearch.verifiers.base import Judged
from edgesearch.verifiers.unit_tests import UnitTestsVerifier

TESTS = ("assert add(1, 2) == 3", "assert add(2, 2) == 4", "assert add(-1, 0) == -1", "assert add(0, 0) == 0")
CODE = CodeSpec(("add",), tests=TESTS)
RIGHT = "def add(a, b):\n    return a + b\n"
HALF = "def add(a, b):\n    return a * b\n"
WRONG = "def add(a, b):\n    return None\n"


def asking(*tests: str, prefix: str = "") -> Beam:
    return Beam(Prompt("Write add.", code=CodeSpec(("add",), prefix, tests or TESTS)))


def solution(root: Beam, *texts: str, finish: Finish = "stop") -> Beam:
    ends: list[Finish] = ["step"] * (len(texts) - 1) + [finish]
    return root.grown(tuple(Step(text, (1,) * 5, -1.0, end) for text, end in zip(texts, ends, strict=True)))


def scores(verifier: UnitTestsVerifier, root: Beam, *programs: str) -> list[float]:
    verifier.open(root.prompt, ())
    judged = verifier.judge([solution(root, program) for program in programs])
    return [each.beam.scores[-1] for each in judged]


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


@pytest.fixture
def verifier(pool: FakePool) -> UnitTestsVerifier:
    return UnitTestsVerifier(pool)


class TestContract(VerifierContract):
    code = CODE

    @pytest.fixture
    def verifier(self) -> UnitTestsVerifier:
        return UnitTestsVerifier(FakePool())

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def end_of_turn(self) -> tuple[int, ...]:
        return (999,)

    def num_prompt_tokens(self, prompt: Prompt) -> int:
        return 0


# -- scores ------------------------------------------------------------------------------------------------------------


def test_a_program_scores_the_share_of_the_tests_that_it_passes(verifier: UnitTestsVerifier) -> None:
    assert scores(verifier, asking(), RIGHT, HALF, WRONG) == [1.0, 0.5, 0.0]


def test_a_solution_without_a_program_scores_0(verifier: UnitTestsVerifier, pool: FakePool) -> None:
    before = len(pool.trials)
    assert scores(verifier, asking(), "I do not know how to add.") == [0.0]
    assert len(pool.trials) == before + 1  # that of the idle program


def test_every_step_gets_the_score_of_the_whole_solution(verifier: UnitTestsVerifier) -> None:
    root = asking()
    verifier.open(root.prompt, ())
    beam = solution(root, "Here it is:\n\n", f"```python\n{RIGHT}```")
    assert verifier.judge([beam]) == [Judged(beam.judged((1.0, 1.0)), 10)]


def test_a_score_that_is_there_stays_and_costs_nothing(verifier: UnitTestsVerifier) -> None:
    root = asking()
    verifier.open(root.prompt, ())
    judged = solution(root, RIGHT).judged((0.25,))
    assert verifier.judge([judged]) == [Judged(judged, 0)]


def test_a_solution_that_was_cut_off_is_tried_if_it_states_a_program(verifier: UnitTestsVerifier) -> None:
    root = asking()
    verifier.open(root.prompt, ())
    (judged,) = verifier.judge([solution(root, f"```python\n{RIGHT}```\nThis ad", finish="length")])
    assert judged.beam.scores == (1.0,)


def test_tests_that_a_stopped_program_did_not_reach_are_not_passed(verifier: UnitTestsVerifier) -> None:
    assert scores(verifier, asking(), RIGHT + "STOPS_AT = 'STOPS AT 2 '\n") == [0.5]


def test_tests_run_after_what_the_problem_shows(verifier: UnitTestsVerifier) -> None:
    prefix = "import math\n\ndef twice(x):\n    return 2 * x\n\ndef add(a, b):\n    '''The sum.'''\n"
    root = asking("assert add(twice(1), math.floor(1.5)) == 3", prefix=prefix)
    assert scores(verifier, root, prefix + "    return a + b\n") == [1.0]


def test_it_says_what_it_is(verifier: UnitTestsVerifier) -> None:
    info = verifier.info
    assert (info.name, info.device, info.sandbox, info.num_params) == ("tests", "cpu", "fake", 0)
    assert info.is_outcome
    assert info.enough == 1.0
    assert not info.counts_copies
    assert not info.is_collective


# -- nothing twice -----------------------------------------------------------------------------------------------------


def test_programs_that_differ_only_in_layout_are_tried_once(verifier: UnitTestsVerifier, pool: FakePool) -> None:
    other = "def add(a, b):\n    # the sum\n    return (a + b)\n"
    root = asking()
    assert scores(verifier, root, RIGHT, other, RIGHT) == [1.0, 1.0, 1.0]
    assert scores(verifier, root, other) == [1.0]
    assert sum("a + b" in tried.program for tried in pool.trials) == 1


def test_a_program_is_tried_again_for_another_problem(verifier: UnitTestsVerifier) -> None:
    assert scores(verifier, asking(), HALF) == [0.5]
    assert scores(verifier, asking("assert add(2, 2) == 4"), HALF) == [1.0]


def test_no_test_is_skipped(verifier: UnitTestsVerifier, pool: FakePool) -> None:
    scores(verifier, asking(), WRONG)
    assert all(not tried.ends_early for tried in pool.trials[1:])
    assert pool.trials[-1].tests == TESTS


def test_a_released_problem_is_forgotten_and_may_be_opened_again(verifier: UnitTestsVerifier) -> None:
    root = asking()
    scores(verifier, root, RIGHT)
    verifier.release([root.prompt.id, -1])
    with pytest.raises(ValueError, match="not open"):
        verifier.judge([solution(root, RIGHT)])
    assert scores(verifier, root, RIGHT) == [1.0]


def test_a_pool_that_was_given_is_closed_with_it(verifier: UnitTestsVerifier, pool: FakePool) -> None:
    verifier.close()
    assert pool.is_closed


# -- tests at fault ----------------------------------------------------------------------------------------------------


def test_tests_at_fault_are_left_out_with_one_warning_each(verifier: UnitTestsVerifier) -> None:
    root = asking("assert add(1, 2) == 3", "assert add(1,", "assert other(1) == 1", "assert 1 == 1")
    assert scores(verifier, root, RIGHT, WRONG) == [1.0, 0.0]
    assert [warning.partition(" is left out")[0] for warning in verifier.warnings] == [
        "visible test 2",
        "visible test 3",
        "visible test 4",
    ]
    assert "NameError" in verifier.warnings[1]
    assert "(assert other(1) == 1)" in verifier.warnings[1]


def test_what_a_test_at_fault_sets_is_there_for_the_others(verifier: UnitTestsVerifier) -> None:
    root = asking("import math", "assert add(math.floor(1.5), 2) == 3")
    assert scores(verifier, root, RIGHT, WRONG) == [1.0, 0.0]


def test_a_program_cannot_have_a_test_left_out(verifier: UnitTestsVerifier) -> None:
    """The second test fails before it calls anything where the first did not set its name."""
    root = asking("assert add(1, 2) == 3", "x = add(1, 1)", "assert add(x + 0, 1) == 3")
    raising = "def add(a, b):\n    if (a, b) == (1, 1):\n        raise ValueError\n    return 3\n"
    assert scores(verifier, root, RIGHT) == [1.0]
    assert scores(verifier, root, raising)[0] < 1


def test_at_most_some_faults_are_told(verifier: UnitTestsVerifier) -> None:
    verifier.open(asking(*(f"assert {place} == add" for place in range(20)), "assert add(1, 2) == 3").prompt, ())
    assert len(verifier.warnings) == 8


@pytest.mark.parametrize("code", [None, CodeSpec(("add",))])
def test_a_problem_without_visible_tests_is_refused(verifier: UnitTestsVerifier, code: CodeSpec | None) -> None:
    with pytest.raises(UsageError, match=r"^verifier tests needs a problem with visible tests: .*--tests FILE"):
        verifier.open(Prompt("Write add.", code=code), ())


def test_a_problem_whose_tests_are_all_at_fault_is_refused_with_the_first_reason(verifier: UnitTestsVerifier) -> None:
    with pytest.raises(UsageError, match=r"^verifier tests cannot use any visible test of this problem; .*NameError"):
        verifier.open(asking("assert plus(1, 2) == 3", "assert 1 == 1").prompt, ())


# -- the sandbox and the pace ------------------------------------------------------------------------------------------


class Broken(FakePool):
    """A sandbox in which nothing passes."""

    def run_all(self, trials: Any, *, until_s: float = math.inf) -> Iterator[TrialResult]:
        return (TrialResult((trial.Tested("failed", "no room"),), len(each.tests)) for each in trials)


def test_a_sandbox_in_which_nothing_passes_is_refused_before_anything_is_judged() -> None:
    with pytest.raises(SandboxUnavailable, match="a right program fails in the sandbox fake: no room"):
        UnitTestsVerifier(Broken())


def test_a_sandbox_that_does_not_isolate_is_warned_of() -> None:
    assert UnitTestsVerifier(FakePool()).warnings == ()
    (warning,) = UnitTestsVerifier(FakePool(is_isolating=False)).warnings
    assert warning == "the programs that are tried are not isolated: it can do anything"


class Slow(FakePool):
    """Takes a second for each trial."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock

    def run_all(self, trials: Any, *, until_s: float = math.inf) -> Iterator[TrialResult]:
        for result in super().run_all(trials, until_s=until_s):
            self.clock.advance(1.0)
            yield result


def test_the_pace_is_that_of_a_small_program_and_then_of_those_that_were_tried() -> None:
    clock = ManualClock()
    verifier = UnitTestsVerifier(Slow(clock), clock=clock)
    assert verifier.seconds_per_token == pytest.approx(1 / 100)
    root = asking()
    scores(verifier, root, RIGHT, HALF)
    assert verifier.seconds_per_token == pytest.approx(2 / 10)
    scores(verifier, root, RIGHT)  # nothing is run, so nothing is measured
    assert verifier.seconds_per_token == pytest.approx(2 / 10)
    scores(verifier, root, WRONG)
    assert verifier.seconds_per_token == pytest.approx(0.7 * 2 / 10 + 0.3 * 1 / 5)


# -- through the driver ------------------------------------------------------------------------------------------------


def solved(write: Any, n: int) -> JobResult:
    clock = ManualClock()
    verifier = UnitTestsVerifier(FakePool(), clock=clock)
    driver = Driver(ScriptedEngine(write, clock=clock, pass_s=0.01), verifier)
    job = Job(
        prompt=asking().prompt,
        strategy=strategy("best_of_n"),
        config=SearchConfig(n=n),
        sampling=Sampling(),
        deadline=Budget(100.0).start(clock),
        max_tokens=100,
    )
    driver.submit(job)
    for _ in range(1000):
        for _, result in driver.turn():
            return result
    raise AssertionError("the driver never came to an end")


def test_programs_of_a_search_are_scored_by_the_visible_tests() -> None:
    drawn = [HALF, WRONG]
    result = solved(lambda beam, seed: drawn[seed % 2], n=8)
    assert {candidate.score for candidate in result.candidates} == {0.5, 0.0}
    assert {candidate.score for candidate in result.candidates if candidate.answer == HALF} == {0.5}


# -- in the real sandbox -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Iterator[UnitTestsVerifier]:
    try:
        made = UnitTestsVerifier()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    yield made
    made.close()


PROGRAMS = {
    RIGHT: 1.0,
    HALF: 0.5,
    "def add(a, b):\n    import os\n    os._exit(0)\n": 0.0,
    "def add(a, b):\n    raise SystemExit(0)\n": 0.0,
    "def add(a, b):\n    while a == b:\n        pass\n    return a + b\n": 0.5,
    "class Any(int):\n    def __eq__(self, other):\n        return True\n\n\ndef add(a, b):\n    return Any()\n": 0.25,
    "def plus(a, b):\n    return a + b\n": 0.0,
}
"""With what each scores. The one that returns an object that equals all is read as the number that it is: 0."""


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_score_in_the_sandbox_what_they_deserve(real: UnitTestsVerifier, program: str) -> None:
    assert scores(real, asking(), program) == [PROGRAMS[program]]


def test_side_by_side_they_score_what_they_do_alone(real: UnitTestsVerifier) -> None:
    assert scores(real, asking(), *PROGRAMS) == list(PROGRAMS.values())


def test_faults_are_found_in_the_sandbox_too(real: UnitTestsVerifier) -> None:
    root = asking("assert add(1, 2) == 3", "assert add(1,", "assert other(1) == 1", "assert 1 == 1")
    assert scores(real, root, RIGHT, WRONG) == [1.0, 0.0]
    assert len(real.warnings) == 3


def test_a_sandbox_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="castle"):
        UnitTestsVerifier(sandbox="castle")
