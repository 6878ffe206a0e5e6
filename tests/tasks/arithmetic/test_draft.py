"""A draft keeps the arithmetic honest and refuses what cannot become a problem."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.tasks.arithmetic.draft import CHANGE, MAX_NUMBER, PERCENTS, START, DeadEnd, Draft, evaluate


@pytest.fixture
def draft() -> Draft:
    return Draft(random.Random(0), 1)


def test_a_computation_adds_a_step_and_returns_its_value(draft: Draft):
    assert draft.compute(12, "+", 5, "Ben") == 17
    assert draft.compute("25%", "*", 40) == 10
    assert draft.steps == ["Ben=12+5=17", "25%*40=10"]


@pytest.mark.parametrize(
    ("left", "operator", "right"),
    [(5, "-", 5), (5, "-", 6), (7, "/", 2), (7, "/", 0), ("25%", "*", 3), (MAX_NUMBER, "+", 1), (100, "*", 100)],
)
def test_a_value_that_is_not_whole_or_outside_the_range_is_a_dead_end(
    draft: Draft, left: int | str, operator: str, right: int
):
    with pytest.raises(DeadEnd):
        draft.compute(left, operator, right)
    assert draft.steps == []


@pytest.mark.parametrize(("left", "operator", "right", "value"), [(9998, "+", 1, 9999), (2, "-", 1, 1), (8, "/", 8, 1)])
def test_the_ends_of_the_range_are_inside(draft: Draft, left: int, operator: str, right: int, value: int):
    assert draft.compute(left, operator, right) == value


@given(a=st.integers(0, 9999), b=st.integers(0, 9999), operator=st.sampled_from("+-*/"))
@settings(deadline=None, max_examples=200)
def test_evaluate_is_python_arithmetic_or_nothing(a: int, b: int, operator: str):
    if operator == "/":
        assert evaluate(str(a), "/", b) == (a // b if b and a % b == 0 else None)
    else:
        assert evaluate(str(a), operator, b) == {"+": a + b, "-": a - b, "*": a * b}[operator]


def test_starts_and_changes_lie_in_the_ranges_of_the_level():
    for level in START:
        draft = Draft(random.Random(level), level)
        starts, changes = [draft.start() for _ in range(300)], [draft.change() for _ in range(300)]
        assert START[level][0] <= min(starts) <= max(starts) <= START[level][1]
        assert CHANGE[level][0] <= min(changes) <= max(changes) <= CHANGE[level][1]


def test_a_change_is_at_most_what_is_asked(draft: Draft):
    assert {draft.change(3) for _ in range(50)} == {2, 3}
    with pytest.raises(DeadEnd):
        draft.change(1)


def test_a_divisor_divides_and_leaves_more_than_one(draft: Draft):
    assert {draft.divisor(12) for _ in range(80)} == {2, 3, 4, 6}
    for value in (2, 11):
        with pytest.raises(DeadEnd):
            draft.divisor(value)


def test_a_percentage_takes_out_a_whole_number(draft: Draft):
    assert {draft.percent(20) for _ in range(80)} == set(PERCENTS)
    assert {draft.percent(6) for _ in range(20)} == {50}
    with pytest.raises(DeadEnd):
        draft.percent(7)


def test_names_are_different(draft: Draft):
    assert len(set(draft.names(8))) == 8
