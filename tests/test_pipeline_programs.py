"""Problems that ask for a program through the whole pipeline: scripted drafts, the real sandbox, the real clock."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import edgesearch
from edgesearch.catalog import GENERIC_SYSTEM_PROMPT, SolverSpec
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.errors import SandboxUnavailable, UsageError
from edgesearch.loading import verifier_for
from edgesearch.pipeline import Pipeline
from edgesearch.sandbox import probe
from edgesearch.trace import page, words
from edgesearch.trace.recorder import record
from edgesearch.types import CodeSpec, Problem
from edgesearch.verifiers.base import Verifier
from edgesearch.verifiers.scripted import ScriptedVerifier
from edgesearch.verifiers.unit_tests import UnitTestsVerifier

TESTS = "assert add(1, 2) == 3\nassert add(0, 0) == 0\n"
ADD = edgesearch.code_problem("Write a function add(a, b) that adds two numbers.", tests=TESTS)
RIGHT = "def add(a, b):\n    return a + b\n"
HALF = "def add(a, b):\n    return a - b\n"
WRONG = "def add(a, b):\n    return 7\n"
SPEC = SolverSpec("scripted", Path(), mean_solution_tokens=30.0, mean_step_tokens=10.0)


def fenced(program: str) -> str:
    return f"Here it is:\n\n```python\n{program}```\n"


def in_order(*texts: str) -> Callable[[int], str]:
    """Writes these in turn, the last one from then on."""
    left: dict[int, str] = {}

    def write(seed: int) -> str:
        return left.setdefault(seed, texts[min(len(left), len(texts) - 1)])

    return write


@pytest.fixture(scope="module")
def tests_verifier() -> Iterator[UnitTestsVerifier]:
    try:
        probe.find_for_programs()
    except SandboxUnavailable as error:
        pytest.skip(f"needs a sandbox: {error}")
    verifier = UnitTestsVerifier()
    yield verifier
    verifier.close()


def pipeline(
    write: Callable[[int], str], verifier: Verifier | None, *, domain: str = "general", **options: object
) -> Pipeline:
    engine = ScriptedEngine(lambda beam, seed: write(seed)[len(beam.text) :], max_sequences=8)
    spec = dataclasses.replace(SPEC, domain=domain)
    return Pipeline(spec, engine, verifier, verifier.info.name if verifier is not None else None, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", ["auto", "best_of_n", "weighted", "majority"])
def test_the_answer_is_the_program_that_passes_and_the_rest_of_the_budget_is_given_back(
    tests_verifier: UnitTestsVerifier, strategy: str
) -> None:
    solver = pipeline(in_order(fenced(WRONG), fenced(HALF), fenced(RIGHT)), tests_verifier)
    solution = solver.solve(ADD, budget_s=60, strategy=strategy, n=8)
    assert solution.answer == RIGHT
    assert solution.early_stop == "passed"
    assert solution.finish == "stop"
    assert solution.tests is not None
    assert (solution.tests.num_tests, solution.tests.num_passed, solution.tests.is_passed) == (2, 2, True)
    assert solution.tests.sandbox == tests_verifier.info.sandbox
    assert solution.warnings == ()


def test_auto_goes_on_with_waves_until_one_passes(tests_verifier: UnitTestsVerifier) -> None:
    solver = pipeline(in_order(*[fenced(WRONG)] * 30, *[fenced(HALF)] * 10, fenced(RIGHT)), tests_verifier)
    solution = solver.solve(ADD, budget_s=60, n=4)
    assert solution.answer == RIGHT
    assert solution.plan is not None
    assert len(solution.plan.waves) > 8


def test_without_one_that_passes_the_best_so_far_is_the_answer_however_many_votes_another_has(
    tests_verifier: UnitTestsVerifier,
) -> None:
    solver = pipeline(in_order(fenced(WRONG), fenced(HALF), fenced(WRONG)), tests_verifier)
    solution = solver.solve(ADD, budget_s=0.5)
    assert solution.answer == HALF
    assert solution.early_stop in (None, "no_time")
    assert solution.confidence is None
    assert solution.tests is not None
    assert (solution.tests.num_passed, solution.tests.is_passed) == (1, False)


def test_a_single_greedy_program_is_tried_as_well(tests_verifier: UnitTestsVerifier) -> None:
    solution = pipeline(in_order(fenced(HALF)), tests_verifier).solve(ADD, budget_s=10, strategy="greedy")
    assert solution.answer == HALF
    assert solution.tests is not None
    assert solution.tests.num_passed == 1


def test_programs_that_never_end_are_given_up_at_the_deadline_and_said_not_to_be_tried(
    tests_verifier: UnitTestsVerifier,
) -> None:
    endless = pipeline(lambda seed: fenced(f"def add(a, b):\n    while True: a = {seed}\n"), tests_verifier)
    solution = endless.solve(ADD, budget_s=0.5)
    assert solution.answer is not None
    assert solution.tests is None
    assert any("no time to try the program" in warning for warning in solution.warnings)
    after = pipeline(in_order(fenced(RIGHT)), tests_verifier).solve(ADD, budget_s=60)
    assert after.early_stop == "passed"


def test_a_test_that_is_at_fault_is_left_out_and_said(tests_verifier: UnitTestsVerifier) -> None:
    broken = CodeSpec(("add",), tests=("assert add(1, 2) == 3", "assert 1 == 1"))
    solver = pipeline(in_order(fenced(RIGHT)), tests_verifier)
    solution = solver.solve(Problem("Write add.", code=broken), budget_s=10)
    assert solution.tests is not None
    assert (solution.tests.num_passed, solution.tests.num_tests) == (1, 1)
    assert any("visible test 2" in warning for warning in solution.warnings)


def test_solutions_without_a_program_leave_the_problem_unanswered(tests_verifier: UnitTestsVerifier) -> None:
    solution = pipeline(lambda seed: "I cannot do that.", tests_verifier).solve(ADD, budget_s=0.3)
    assert (solution.answer, solution.tests) == (None, None)
    assert solution.candidates != ()


def test_a_problem_without_tests_gets_one_program_that_is_said_not_to_be_tried(
    tests_verifier: UnitTestsVerifier,
) -> None:
    problem = edgesearch.code_problem("Write a function add(a, b).")
    solution = pipeline(in_order(fenced(RIGHT)), tests_verifier).solve(problem, budget_s=10)
    assert (solution.answer, solution.strategy.name, solution.tests) == (RIGHT, "greedy", None)
    assert any("was not tried" in warning for warning in solution.warnings)
    named = pipeline(in_order(fenced(RIGHT)), tests_verifier).solve(problem, strategy="best_of_n", budget_s=10)
    assert (named.answer, named.strategy.name) == (RIGHT, "greedy")  # one such problem of a task must not fail
    assert any("was not tried" in warning for warning in named.warnings)


def test_the_tests_verifier_refuses_a_problem_that_asks_for_a_final_answer(tests_verifier: UnitTestsVerifier) -> None:
    with pytest.raises(UsageError, match="asks for none: give it as a code problem"):
        pipeline(in_order("7"), tests_verifier).solve("What is 3 + 4?")


def test_problems_side_by_side_end_each_with_its_own_program(tests_verifier: UnitTestsVerifier) -> None:
    solver = pipeline(in_order(fenced(RIGHT)), tests_verifier)
    endings = dict(edgesearch.solve_all(solver, [ADD] * 3, edgesearch.Asked(budget_s=20), concurrency=2))
    assert [endings[place].early_stop for place in range(3)] == ["passed"] * 3  # type: ignore[union-attr]


def test_a_trace_tells_programs_on_one_line_each_and_keeps_them_whole(tests_verifier: UnitTestsVerifier) -> None:
    solver = pipeline(in_order(fenced(WRONG), fenced(HALF), fenced(RIGHT)), tests_verifier)
    trace = record(solver.events(ADD, budget_s=60, n=4, is_traced=True))
    assert trace.outcome.answer == RIGHT
    assert words.stopped(trace) == "stopped early: a program passes all visible tests"
    assert "def add(a, b): return a + b (score 1.00)" in words.change(trace.best[-1])
    assert "def add(a, b): return a + b" in page.html(trace)
    assert {end.answer for end in trace.ends} == {RIGHT, HALF, WRONG}


# ------------------------------------------------------------------------------------ what needs no sandbox


def test_a_scorer_of_steps_ranks_programs_and_no_vote_ends_the_search() -> None:
    def score(beam: object, index: int) -> float:
        return 0.9 if "a - b" in getattr(beam, "text", "") else 0.5

    solver = pipeline(in_order(fenced(WRONG), fenced(HALF), fenced(WRONG)), ScriptedVerifier(score))
    solution = solver.solve(ADD, budget_s=10)
    assert (solution.answer, solution.strategy.name, solution.early_stop) == (HALF, "best_of_n", None)
    assert solution.tests is None


def test_without_a_verifier_the_greedy_program_is_the_answer() -> None:
    solution = pipeline(in_order(fenced(RIGHT)), None).solve(ADD, budget_s=10)
    assert (solution.answer, solution.strategy.name, solution.tests) == (RIGHT, "greedy", None)


def test_a_final_answer_is_not_forced_out_of_a_program_near_the_deadline() -> None:
    solver = pipeline(lambda seed: "so " * 100_000, None)
    solution = solver.solve(ADD, budget_s=0.2)
    assert solution.answer is None
    assert "boxed" not in "".join(candidate.beam.text for candidate in solution.candidates)


def test_an_exact_check_of_final_answers_says_nothing_of_programs() -> None:
    solution = pipeline(in_order(fenced(RIGHT)), None, check=lambda problem, answer: False).solve(ADD, budget_s=10)
    assert (solution.answer, solution.proof) == (RIGHT, None)


def test_a_model_of_arithmetic_is_said_not_to_write_programs() -> None:
    solution = pipeline(in_order(fenced(RIGHT)), None, domain="arithmetic").solve(ADD, budget_s=10)
    assert any("cannot write programs" in warning for warning in solution.warnings)


def test_the_system_prompt_that_asks_for_a_boxed_answer_is_left_out_for_programs() -> None:
    assert SPEC.system_prompt == GENERIC_SYSTEM_PROMPT
    prompts = []
    for problem in (ADD, Problem("3 + 4?")):
        solution = pipeline(in_order(fenced(RIGHT)), None).solve(problem, budget_s=10)
        prompts.append(solution.candidates[0].beam.prompt.system)
    assert prompts == ["", GENERIC_SYSTEM_PROMPT]


def test_auto_means_the_visible_tests_or_agreement_where_there_are_none() -> None:
    without = Problem("Write add.", code=CodeSpec(("add",)))
    assert [verifier_for(each) for each in (ADD, without, Problem("3 + 4?"))] == ["tests", "agreement", "auto"]
    assert verifier_for(ADD, "none") == "none"


def test_an_unsandboxed_run_that_was_not_allowed_is_refused_before_a_model_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("EDGESEARCH_ALLOW_UNSANDBOXED", raising=False)
    with pytest.raises(SandboxUnavailable, match="EDGESEARCH_ALLOW_UNSANDBOXED=1"):
        edgesearch.load("no-such-model.gguf", "tests", sandbox="none")
    with pytest.raises(SandboxUnavailable, match="EDGESEARCH_ALLOW_UNSANDBOXED=1"):
        edgesearch.load_endpoint("http://127.0.0.1:9/v1", "big", verifier="outcome:tests", sandbox="none")


def test_a_sandbox_that_is_not_one_is_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match="known are auto, bubblewrap"):
        edgesearch.load("no-such-model.gguf", "tests", sandbox="cardboard")
