"""Exact checks by name: what they may say, and that no text makes them fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.errors import UsageError
from edgesearch.types import CHECKS
from edgesearch.verifiers import checks

COUNTDOWN = "How can you make 44 with 20, 12 and 12, taking each number once?"
SUBSET = "Which of these numbers: 2, 24, 23 and 12 add up to 47?"
EQUATION = "x+3=31. Which positive whole number is x?"
STORY = "Ana has 22 apples. Ana gives away 17. How many apples are left?"


def test_a_manifest_may_name_exactly_the_checks_there_are() -> None:
    assert tuple(checks.CHECKS) == CHECKS
    for name in CHECKS:
        assert callable(checks.check(name))


@pytest.mark.parametrize("name", ["", "arithmetics", "none"])
def test_an_unknown_check_lists_the_known(name: str) -> None:
    with pytest.raises(UsageError, match=f"unknown check '{name}'; known are arithmetic"):
        checks.check(name)


@pytest.mark.parametrize(
    ("problem", "answer", "proof"),
    [
        (COUNTDOWN, "(12+12)+20", True),
        (COUNTDOWN, "12+20+12", True),
        (COUNTDOWN, "44", False),
        (COUNTDOWN, "20+12", False),
        (SUBSET, "24+23", True),
        (SUBSET, "23+24", True),
        (SUBSET, "2+24+23", False),
        (EQUATION, "28", True),
        (EQUATION, "27", False),
        (STORY, "5", None),
        ("What is the capital of France?", "Paris", None),
    ],
)
def test_the_arithmetic_check_proves_by_the_problem_alone(problem: str, answer: str, proof: bool | None) -> None:
    assert checks.prove(checks.check("arithmetic"), problem, answer) is proof


@pytest.mark.parametrize("error", [ValueError, ZeroDivisionError, RecursionError, OverflowError, KeyError])
def test_a_check_that_fails_cannot_tell(error: type[Exception]) -> None:
    def failing(problem: str, answer: str) -> bool | None:
        raise error("a surprise")

    assert checks.prove(failing, STORY, "5") is None


def test_an_interrupt_is_no_failure_of_a_check() -> None:
    def interrupted(problem: str, answer: str) -> bool | None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checks.prove(interrupted, STORY, "5")


@pytest.mark.parametrize("problem", [COUNTDOWN, SUBSET, EQUATION])
@pytest.mark.parametrize("answer", ["", "9" * 5000, "(" * 5000, "-" * 5000, "1/0", "x/x", "1e9", "\u0661", "12**99999"])
def test_a_hostile_answer_is_not_right_and_raises_nothing(problem: str, answer: str) -> None:
    assert checks.prove(checks.check("arithmetic"), problem, answer) is not True


@given(problem=st.sampled_from([COUNTDOWN, SUBSET, EQUATION, STORY]) | st.text(), answer=st.text())
def test_any_text_gets_one_of_three_verdicts(problem: str, answer: str) -> None:
    assert checks.prove(checks.check("arithmetic"), problem, answer) in (True, False, None)
