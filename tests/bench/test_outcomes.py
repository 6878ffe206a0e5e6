"""Every candidate is graded by the task's grader, and the chosen solution by both ways of extraction."""

import dataclasses

import pytest
from code_runs import FakePool

from edgesearch.answer import canonical
from edgesearch.bench.messages import Solved
from edgesearch.bench.outcomes import ARITHMETIC, OutcomeGrader, failed
from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Grade, GradedCandidate, Outcome
from edgesearch.bench.units import Unit
from edgesearch.errors import UsageError
from edgesearch.tasks import grading
from edgesearch.tasks.base import make_sample
from edgesearch.tasks.grading import PYTHON
from edgesearch.types import CodeSpec, ModelNames, StrategyUsed, Usage

CELL = Cell("small", "majority", 4, 1, 10.0)
COUNTDOWN = "How can you make 29 from 4, 6 and 5, using each number once?"


def unit(question: str = "What is half?", target: str = "1/2") -> Unit:
    return Unit("key", CELL, make_sample("p0", question, target))


def solved(*answers: str | None, chosen: int | None = 0, text: str = "a solution") -> Solved:
    kept = tuple(GradedCandidate(text, answer, answer) for answer in answers)
    return Solved(
        answer=None if chosen is None else answers[chosen],
        chosen=chosen,
        confidence=0.5,
        finish="stop",
        started_s=1.0,
        ended_s=3.0,
        wall_s=2.0,
        usage=Usage(decoded_tokens=9),
        strategy=StrategyUsed("majority", 4, 1, "last"),
        models=ModelNames("fake", None),
        warnings=("a warning",),
        candidates=kept,
    )


def graded(what: Solved, of: Unit | None = None, grader: str = "answer-1") -> Outcome:
    with OutcomeGrader(grader) as by:
        return by.outcome(of or unit(), what, load_s=0.5)


def test_an_outcome_keeps_what_was_solved():
    outcome = graded(solved("0.5"))
    assert (outcome.key, outcome.cell, outcome.sample_id) == ("key", CELL.key, "p0")
    assert (outcome.wall_s, outcome.load_s, outcome.budget_s) == (2.0, 0.5, 10.0)
    assert (outcome.usage.decoded_tokens, outcome.warnings, outcome.confidence) == (9, ("a warning",), 0.5)


@pytest.mark.parametrize(("answer", "status"), [("0.5", "correct"), ("2", "wrong")])
def test_the_status_is_that_of_the_chosen_answer(answer: str, status: str):
    assert graded(solved(answer, "0.5")).status == status


def test_every_candidate_is_graded():
    outcome = graded(solved("2", r"\frac12", None, "0.50"))
    assert [each.is_right for each in outcome.candidates] == [False, True, False, True]


def test_a_solution_without_an_answer_is_unanswered_never_wrong():
    assert graded(solved(None)).status == "unanswered"
    assert graded(solved(chosen=None)).status == "unanswered"


def test_flexible_extraction_finds_the_last_number_where_no_answer_is_stated():
    outcome = graded(solved(None, text="so it comes to 0.5"))
    assert outcome.status == "unanswered"
    assert outcome.grades == (
        Grade("answer-1", "strict", None, False),
        Grade("answer-1", "flexible", "0.5", True),
    )


def test_a_stated_answer_is_graded_alike_by_both():
    strict, flexible = graded(solved("2")).grades
    assert (strict.is_right, flexible.is_right) == (False, False)
    assert dataclasses.replace(flexible, extraction="strict") == strict


def test_an_answer_to_a_sample_is_graded_once(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    class Counting(grading.Grader):
        def compare(self, target: str, answer: str) -> grading.Verdict:
            asked.append(answer)
            return grading.Verdict(False, "string")

    monkeypatch.setitem(grading.GRADERS, "counting-1", lambda: Counting("counting-1"))
    with OutcomeGrader("counting-1") as by:
        for _ in range(3):
            by.outcome(unit(), solved("2", "3", "2", "3"))
    assert asked == ["2", "3"]


def test_what_a_grader_cannot_decide_is_not_right_and_said_to_be_undecided(monkeypatch: pytest.MonkeyPatch):
    class Unsure(grading.Grader):
        def compare(self, target: str, answer: str) -> grading.Verdict:
            return grading.Verdict(False, "symbolic", "no verdict within 5 s")

    monkeypatch.setitem(grading.GRADERS, "unsure-1", lambda: Unsure("unsure-1"))
    outcome = graded(solved("2"), grader="unsure-1")
    assert (outcome.status, outcome.grades[0].is_right, outcome.candidates[0].is_right) == ("wrong", None, False)


def test_the_built_in_tasks_grader_computes_from_the_problem():
    of = unit(COUNTDOWN, "4*6+5")
    outcome = graded(solved("5+6*4", "4*6+5", "29", "6*5-1"), of, ARITHMETIC)
    assert outcome.status == "correct"
    assert [each.is_right for each in outcome.candidates] == [True, True, False, False]
    assert outcome.grades[0].grader == "arithmetic-1"


def test_the_built_in_tasks_grader_compares_where_it_cannot_compute():
    assert graded(solved("192"), unit("Ana keeps 59 cards.", "192"), ARITHMETIC).status == "correct"


def test_an_unknown_grader_is_refused():
    with pytest.raises(UsageError, match="unknown grader 'vibes-1'"):
        OutcomeGrader("vibes-1")


def test_a_unit_that_failed_is_an_error_with_its_reason():
    outcome = failed(unit(), "signal SIGSEGV", started_s=1.0, ended_s=2.0)
    assert (outcome.status, outcome.error, outcome.candidates) == ("error", "signal SIGSEGV", ())


# -- programs ----------------------------------------------------------------------------------------------------------


def code_unit(target: str = "assert f(1) == 2") -> Unit:
    return Unit("key", CELL, make_sample("p0", "Write f.", target, code=CodeSpec(("f",))))


def drawn(*programs: str | None, chosen: int | None = 0) -> Solved:
    """Programs as a solve leaves them."""
    kept = tuple(GradedCandidate("text", each, each and canonical(each)) for each in programs)
    return dataclasses.replace(
        solved(*programs, chosen=None),
        candidates=kept,
        chosen=chosen,
        answer=None if chosen is None else programs[chosen],
    )


def test_programs_are_graded_by_hidden_tests_and_equal_ones_run_once():
    pool = FakePool()
    with OutcomeGrader(PYTHON, pool) as by:
        outcome = by.outcome(code_unit(), drawn("def f(): RIGHT\n", "def f(): 1\n", None, "def f(): RIGHT\n#again\n"))
        by.outcome(code_unit(), drawn("def f(): 1\n"))
        assert (by.num_programs, by.num_tried) == (4, 2)
    assert outcome.status == "correct"
    assert [each.is_right for each in outcome.candidates] == [True, False, False, True]
    assert [each.program for each in pool.trials] == ["def f(): RIGHT\n", "def f(): 1\n"]
    assert not pool.is_closed  # it is its owner's


def test_strict_and_flexible_are_the_same_of_programs():
    with OutcomeGrader(PYTHON, FakePool()) as by:
        wrong = by.outcome(code_unit(), drawn("def f(): 1\n"))
        unanswered = by.outcome(code_unit(), drawn(None, chosen=None))
    assert wrong.status == "wrong"
    assert [(each.answer, each.is_right) for each in wrong.grades] == [("def f(): 1\n", False)] * 2
    assert unanswered.status == "unanswered"
    assert [(each.answer, each.is_right) for each in unanswered.grades] == [(None, False)] * 2


def test_tests_at_fault_make_the_outcome_an_error_with_its_candidates():
    with OutcomeGrader(PYTHON, FakePool()) as by:
        outcome = by.outcome(code_unit("import no_such_module"), drawn("def f(): RIGHT\n", "def f(): 1\n"))
    assert (outcome.status, outcome.answer, outcome.grades) == ("error", None, ())
    assert outcome.error == "the tests that grade it are at fault: no such module"
    assert [(each.answer, each.is_right) for each in outcome.candidates] == [
        ("def f(): RIGHT\n", False),
        ("def f(): 1\n", False),
    ]


@pytest.mark.parametrize("is_isolating", [True, False])
def test_a_sandbox_that_does_not_isolate_is_said_with_every_outcome(is_isolating: bool):
    with OutcomeGrader(PYTHON, FakePool(is_isolating=is_isolating)) as by:
        warnings = by.outcome(code_unit(), drawn("def f(): RIGHT\n")).warnings
    caution = "programs were run with --sandbox fake, which does not isolate them: it only reads them"
    assert warnings == ("a warning",) if is_isolating else ("a warning", caution)


def test_programs_are_not_graded_without_a_pool():
    with pytest.raises(UsageError, match="was given nothing to run them in"):
        OutcomeGrader(PYTHON)
