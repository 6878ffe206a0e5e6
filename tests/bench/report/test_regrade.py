"""A second grader on the same answers."""

import importlib.util
import itertools

import pytest
from made_stores import samples

from edgesearch.bench.report import regrade
from edgesearch.bench.report.settings import Answers
from edgesearch.tasks.base import Sample
from edgesearch.types import Problem

ASKED = [Sample(Problem("q", f"p{number}"), "1/2", "q") for number in range(100)]


def test_the_share_is_of_answers_that_are_right_to_one_grader_only():
    answers: Answers = {(0, "0.5"): True, (1, "2"): True, (2, "3"): False, (3, r"\frac12"): False, (4, "4"): None}
    found = regrade.disagreement(answers, ASKED, "math-1")
    assert (found["graders"], found["of"], found["among"], found["share"]) == (["math-1", "answer-1"], 5, 5, 0.4)
    cases = sorted(found["examples"], key=lambda each: str(each["sample_id"]))
    assert cases == [
        {"sample_id": "p1", "target": "1/2", "answer": "2", "math-1": True, "answer-1": False},
        {"sample_id": "p3", "target": "1/2", "answer": r"\frac12", "math-1": False, "answer-1": True},
    ]


def test_many_answers_are_a_random_part_of_them_and_examples_are_few(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(regrade, "MAX_ANSWERS", 50)
    found = regrade.disagreement({(number, "1/2"): False for number in range(100)}, ASKED, "math-1")
    assert (found["of"], found["among"], found["share"], len(found["examples"])) == (50, 100, 1.0, 10)


def test_judging_stops_when_its_time_is_over():
    ticks = itertools.count(0, 9)
    answers: Answers = {(number, "1/2"): True for number in range(100)}
    found = regrade.disagreement(answers, ASKED, "math-1", clock=lambda: float(next(ticks)))
    assert (found["of"], found["among"]) == (2, 100)


def test_no_answers_have_no_share():
    assert regrade.disagreement({}, ASKED, "math-1")["share"] is None


@pytest.mark.skipif(importlib.util.find_spec("math_verify") is None, reason="needs math-verify")
def test_algebra_is_asked_where_the_task_knew_none():
    asked = [Sample(Problem("q", "p0"), "2x+2", "q")]
    found = regrade.disagreement({(0, "2(x+1)"): False}, asked, "answer-1")
    assert (found["graders"], found["share"]) == (["answer-1", "math-1"], 1.0)


def test_every_grader_of_a_task_has_a_second_one():
    assert {regrade.second_of(name) for name in ("math-1", "answer-1", "arithmetic-1")} == {"answer-1", "math-1"}
    assert regrade.second_of("unit-tests-1") is None
    assert samples(1)[0].target == "right"
