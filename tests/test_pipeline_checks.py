"""Exact checks through the whole pipeline: on models that follow a script, and on the real ones, right or wrong."""

import pytest

import edgesearch
from edgesearch import catalog, search
from edgesearch.catalog import SolverSpec
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.events import Progress
from edgesearch.pipeline import Pipeline
from edgesearch.tasks import arithmetic
from edgesearch.types import Solution
from edgesearch.verifiers import checks
from edgesearch.verifiers.scripted import ScriptedVerifier

EQUATION = "x+3=31. Which positive whole number is x?"
STORY = "Ana has 22 apples. Ana gives away 17. How many apples are left?"


def write(beam, seed):
    """One draft in sixteen says 28, the others 5."""
    return rf"The answer is \boxed{{{28 if seed % 16 == 0 else 5}}}"


def scripted(write=write, *, is_checked=True, score=lambda beam, index: 0.1 if "28" in beam.text else 0.9) -> Pipeline:
    spec = SolverSpec("fake", catalog.solver("nano").path, mean_solution_tokens=5, max_tokens=32, check="arithmetic")
    check = checks.check(spec.check) if is_checked else None
    return Pipeline(spec, ScriptedEngine(write), ScriptedVerifier(score), "scripted", check=check)


@pytest.mark.parametrize("name", ["majority", "best_of_n", "weighted", "beam"])
def test_a_right_answer_that_only_the_check_can_tell_is_found_and_certain(name):
    def solve(**options) -> Solution:
        return scripted(**options).solve(EQUATION, budget_s=60, strategy=name, n=64)

    solution = solve()
    assert (solution.answer, solution.confidence, solution.proof) == ("28", 1.0, True)
    assert (solution.finish, solution.warnings, solution.models.check) == ("stop", (), "arithmetic")
    unchecked = solve(is_checked=False)
    assert (unchecked.answer, unchecked.proof, unchecked.models.check) == ("5", None, None)
    assert solution.usage.verified_tokens <= unchecked.usage.verified_tokens


@pytest.mark.parametrize("name", search.general_names())
def test_where_every_answer_is_wrong_the_solution_says_so(name):
    solution = scripted(lambda beam, seed: r"The answer is \boxed{5}").solve(EQUATION, budget_s=60, strategy=name, n=4)
    assert (solution.answer, solution.confidence, solution.proof) == ("5", 0.0, False)
    assert [warning for warning in solution.warnings if "the answer is wrong" in warning]


def test_a_problem_that_the_check_does_not_know_is_solved_as_without_it():
    def told(is_checked):
        solution = scripted(is_checked=is_checked).solve(STORY, budget_s=60, strategy="weighted", n=16)
        return solution.answer, solution.confidence, solution.scores, solution.proof, solution.usage.decoded_tokens

    assert told(True) == told(False)
    assert told(True)[3] is None


def test_no_progress_is_told_after_a_proof():
    for event in scripted().events(EQUATION, budget_s=60, strategy="majority", n=64):
        assert not (isinstance(event, Progress) and event.best is not None and event.best.beam.proof)


# -- the real models, whatever their weights ---------------------------------------------------------------------------


PROBLEMS = [
    next(sample.problem for sample in arithmetic.held_out(seed=0, count=60) if sample.family == family)
    for family in ("countdown", "subset", "equation")
]


@pytest.fixture(scope="module")
def pipeline():
    with edgesearch.load(max_n=16) as loaded:
        yield loaded


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", search.general_names())
def test_what_is_proven_is_what_the_check_says_and_decides_the_choice(pipeline, problem, name):
    solution = pipeline.solve(problem, budget_s=20, strategy=name, n=16)
    assert solution.models.check == "arithmetic"
    for candidate in solution.candidates:
        is_checked = candidate.beam.finish == "stop" and candidate.answer is not None
        assert candidate.beam.proof is (arithmetic.check(problem, candidate.answer) if is_checked else None)
    proofs = {candidate.beam.proof for candidate in solution.candidates if candidate.answer is not None}
    if solution.answer is not None:
        assert solution.proof is next(proof for proof in (True, None, False) if proof in proofs)
    if solution.proof is not None:
        assert solution.confidence == float(solution.proof)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_check_ends_a_search_early_and_changes_no_draft(pipeline, problem):
    def solve(loaded) -> Solution:
        return loaded.solve(problem, budget_s=60, strategy="best_of_n", n=16, seed=1)

    with edgesearch.load(max_n=16, check=False) as unchecked:
        every = solve(unchecked)
    checked = solve(pipeline)
    drawn, seen = ({candidate.beam.text for candidate in each.candidates} for each in (every, checked))
    assert (every.proof, every.models.check) == (None, None)
    assert seen <= drawn
    assert checked.usage.decoded_tokens <= every.usage.decoded_tokens
    finished = [each for each in every.candidates if each.beam.finish == "stop" and each.answer is not None]
    if any(arithmetic.check(problem, each.answer) for each in finished):
        assert checked.proof is True


@pytest.mark.parametrize(
    ("solver", "verifier", "check"),
    [
        ("nano", "auto", "arithmetic"),
        ("nano", "consensus", "arithmetic"),
        ("nano", "none", None),
        ("nano-medium", "nano-prm", "arithmetic"),
        ("nano-large", "auto", "arithmetic"),
    ],
)
def test_the_check_is_the_problem_s_not_the_verifier_s_but_none_means_none(solver, verifier, check):
    with edgesearch.load(solver, verifier, max_n=4) as loaded:
        assert loaded.models.check == check
    with edgesearch.load(solver, verifier, max_n=4, check=False) as loaded:
        assert loaded.models.check is None
