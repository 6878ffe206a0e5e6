"""Grading: the golden cases with their sources, the two extractions, properties, disagreement, and the real data.

The real data are read only where the environment variable EDGESEARCH_TEST_DATA names their folder. What needs
math-verify is skipped where it is not installed.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.answer import canonical
from edgesearch.errors import UsageError
from edgesearch.tasks import symbolic
from edgesearch.tasks.grading import GRADERS, Grade, Grader, Grades, Verdict, disagreement, grader
from edgesearch.tasks.symbolic import SymbolicGrader, atoms, is_number, structure

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "grades.json").read_text(encoding="utf-8"))
GENEROUS_S = 60.0  # for one comparison, however busy the machine is
needs_math_verify = pytest.mark.skipif(
    importlib.util.find_spec("math_verify") is None, reason="math-verify is not installed (extra bench)"
)
unhurried = settings(deadline=None)  # a busy machine is not a failure

SPELLINGS = sorted({case[side] for case in GOLDEN for side in ("target", "answer")})
PIECES = (
    r"0 1 2 9 , . - + / ( ) [ ] { } \{ \} $ % x A e i = < ^ _ & \\ 10 \frac \sqrt \pm \pi \cup \infty \text{ cm and"
)
ANSWERISH = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from([*PIECES.split(), " "]), max_size=20).map("".join),
    st.sampled_from(SPELLINGS),
)


@pytest.fixture(scope="module")
def text_grader() -> Grader:
    return grader("answer-1")


@pytest.fixture(scope="module")
def math_grader() -> Iterator[Grader]:
    with Grader("math-1", SymbolicGrader(GENEROUS_S)) as made:
        yield made


# -------------------------------------------------------------------------------------------- golden cases


def name(case: dict[str, Any]) -> str:
    return f"{case['target']}|{case['answer']}"


@needs_math_verify
@pytest.mark.parametrize("case", GOLDEN, ids=name)
def test_the_golden_pairs_are_graded_as_recorded_by_the_stage_recorded(
    math_grader: Grader, case: dict[str, Any]
) -> None:
    assert case["source"]
    verdict = math_grader.compare(case["target"], case["answer"])
    assert (verdict.is_equal, verdict.stage) == (case["equal"], case["stage"])
    assert bool(verdict.undecided) is case.get("undecided", False), verdict.undecided
    assert math_grader.compare(case["answer"], case["target"]).is_equal is case["equal"]


@pytest.mark.parametrize("case", GOLDEN, ids=name)
def test_without_the_symbolic_stage_what_it_would_decide_differs_as_text(
    text_grader: Grader, case: dict[str, Any]
) -> None:
    expected = Verdict(False, "string") if case["stage"] == "symbolic" else Verdict(case["equal"], case["stage"])
    assert text_grader.compare(case["target"], case["answer"]) == expected


def test_the_golden_cases_are_many_and_none_is_there_twice() -> None:
    assert len({name(case) for case in GOLDEN}) == len(GOLDEN) >= 80
    assert {case["stage"] for case in GOLDEN} == {"string", "numeric", "symbolic"}


# ---------------------------------------------------------------------------------------------- solutions


def test_a_stated_answer_has_one_grade_for_both_extractions(text_grader: Grader) -> None:
    grade = Grade("1/2", "0.5", "correct", "numeric", "answer-1")
    assert text_grader.grade_solution("1/2", r"Thus 1 of 2, \boxed{0.5}.") == Grades(grade, grade)


def test_the_last_number_counts_for_the_flexible_extraction_only(text_grader: Grader) -> None:
    grades = text_grader.grade_solution("42", "First compute 6*7.\n42")
    assert grades.strict == Grade("42", None, "unanswered", None, "answer-1")
    assert grades.flexible == Grade("42", "42", "correct", "string", "answer-1")


def test_a_solution_without_a_number_is_unanswered_not_wrong(text_grader: Grader) -> None:
    assert text_grader.grade_solution("42", "I do not know.").flexible.outcome == "unanswered"


def test_an_answer_of_nothing_is_wrong_not_unanswered(text_grader: Grader) -> None:
    assert text_grader.grade_answer("42", "").outcome == "wrong"
    assert text_grader.grade_answer("42", None).outcome == "unanswered"


def test_what_cannot_be_decided_is_wrong_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbolic, "require", lambda: None)
    with grader("math-1") as made:
        grade = made.grade_answer("12:00", "1:00")
    assert grade == Grade("12:00", "1:00", "wrong", "string", "math-1", "not plain mathematics: 12:00")


def test_a_grade_or_verdict_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="outcome"):
        Grade("1", None, "wrong", None, "answer-1")
    with pytest.raises(ValueError, match="outcome"):
        Grade("1", "2", "unanswered", None, "answer-1")
    with pytest.raises(ValueError, match="undecided"):
        Verdict(True, "symbolic", "timed out")


# ------------------------------------------------------------------------------------------------- by name


def test_every_grader_carries_the_name_it_is_found_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbolic, "require", lambda: None)
    for known in GRADERS:
        with grader(known) as made:
            assert made.name == known
            assert made.grade_answer("1", "1").grader == known


def test_an_unknown_grader_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"did you mean math-1\? Known: answer-1, math-1"):
        grader("math1")
    with pytest.raises(UsageError, match="Known: answer-1, math-1"):
        grader("judge")


def test_a_grader_whose_extra_is_missing_says_so_before_it_grades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install"):
        grader("math-1")
    assert grader("answer-1").compare("1/2", "0.5").is_equal


# -------------------------------------------------------------------------------------------- disagreement


def grades(*outcomes: str, by: str) -> list[Grade]:
    answers = {"correct": "7", "wrong": "8"}
    return [Grade("7", answers.get(outcome), outcome, None, by) for outcome in outcomes]  # type: ignore[arg-type]


def test_disagreement_counts_outcomes_and_shows_the_cases() -> None:
    a = grades("correct", "wrong", "unanswered", "wrong", by="a")
    b = grades("correct", "correct", "wrong", "wrong", by="b")
    found = disagreement(a, b)
    assert found.rate == 0.5
    assert [(case.index, case.a.grader, case.b.outcome) for case in found.cases] == [
        (1, "a", "correct"),
        (2, "a", "wrong"),
    ]


def test_no_grades_disagree_nowhere() -> None:
    assert disagreement([], []).rate == 0.0


def test_grades_of_other_solutions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="has 1 grades and grades_b 0"):
        disagreement(grades("wrong", by="a"), [])
    with pytest.raises(ValueError, match="targets at 0"):
        disagreement(grades("wrong", by="a"), [Grade("9", "8", "wrong", None, "b")])


# ---------------------------------------------------------------------------------------------- properties


@unhurried
@given(ANSWERISH, ANSWERISH)
def test_text_and_numbers_grade_any_two_strings_and_alike_in_either_order(a: str, b: str) -> None:
    made = grader("answer-1")
    assert made.compare(a, b) == made.compare(b, a)
    assert made.compare(a, a) == Verdict(True, "string")
    assert made.compare(a, f" {a} ").is_equal


@unhurried
@given(ANSWERISH, st.text(max_size=80))
def test_any_solution_has_grades_and_the_flexible_is_never_the_worse(target: str, text: str) -> None:
    found = grader("answer-1").grade_solution(target, text)
    assert (found.strict.outcome == "unanswered") or found.strict == found.flexible


@unhurried
@given(st.fractions(max_denominator=1000), st.fractions(max_denominator=1000))
def test_numbers_are_decided_by_value_and_need_no_algebra(a: Any, b: Any) -> None:
    verdict = grader("answer-1").compare(str(a), rf"\frac{{{b.numerator}}}{{{b.denominator}}}")
    assert verdict.is_equal is (a == b)
    assert verdict.stage == "numeric" or a == b


# ----------------------------------------------------------------------------------------------- real data


def records(path: str) -> list[dict[str, Any]]:
    folder = os.environ.get("EDGESEARCH_TEST_DATA")
    file = Path(folder or "", path)
    if not folder or not file.is_file():
        pytest.skip(f"set EDGESEARCH_TEST_DATA to a folder that holds {path}")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@needs_math_verify
def test_every_math_500_target_equals_itself_and_no_other(math_grader: Grader) -> None:
    """290 classes; the 70 that hold more than numbers are compared in pairs, the others differ by value."""
    targets = [record["answer"] for record in records("math500/test500.jsonl")]
    assert all(math_grader.compare(target, target) == Verdict(True, "string") for target in targets)
    classes = {canonical(target): target for target in targets}
    asked = [target for key, target in classes.items() if not all(map(is_number, atoms(structure(key))))]
    assert (len(classes), len(asked)) == (290, 70)
    assert [pair for pair in itertools.combinations(asked, 2) if math_grader.compare(*pair).is_equal] == []


@needs_math_verify
def test_two_graders_and_the_recorded_labels_on_recorded_generations(text_grader: Grader, math_grader: Grader) -> None:
    """The labels of the Qwen2.5-Math example call `10000` wrong for `10{,}000`; nothing else differs."""
    rows = records("qwen_rm_maj_example/math_cot_100.jsonl")
    pairs = [(row["gt"], pred) for row in rows for pred in row["pred"]]
    labels = [is_correct for row in rows for is_correct in row["score"]]
    by_text = [text_grader.grade_answer(*pair) for pair in pairs]
    by_algebra = [math_grader.grade_answer(*pair) for pair in pairs]
    recorded = [
        Grade(target, answer, "correct" if label else "wrong", None, "recorded")
        for (target, answer), label in zip(pairs, labels, strict=True)
    ]
    assert disagreement(by_text, by_algebra).rate == 0.0
    differing = disagreement(by_algebra, recorded)
    assert (differing.num_graded, differing.rate) == (800, 1 / 800)
    assert [(case.a.target, case.a.answer, case.a.outcome) for case in differing.cases] == [
        ("10{,}000", "10000", "correct")
    ]


def test_both_extractions_agree_on_recorded_generations_which_all_state_an_answer(text_grader: Grader) -> None:
    rows = records("qwen_rm_maj_example/math_cot_100.jsonl")
    found = [text_grader.grade_solution(row["gt"], text) for row in rows for text in row["code"]]
    assert disagreement([both.strict for both in found], [both.flexible for both in found]).rate == 0.0
