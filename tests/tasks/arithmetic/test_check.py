"""An answer is judged by the problem's text alone, exactly, and no text makes the judge fail."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.tasks.arithmetic import EXACT_FAMILIES, FAMILIES, LEVELS, check, generate, is_checkable
from edgesearch.tasks.arithmetic.check import MAX_BRACKETS, MAX_LENGTH, evaluate, numbers_and_goal

COUNTDOWN = "How can you make 45 from 3, 5, 7 and 10, using each number once?"
TWINS = "How would you reach 11 with 5, 5 and 1, taking each number exactly once?"
SUBSET = "Which of the numbers 3, 8, 12, 17 and 21 add up to 32?"
LINEAR = "3*x+7=52. What whole number is x?"
SQUARE = "x*x+3*x=40. Which positive whole number solves this?"
OTHER = "Ana has 5 apples. How many apples does Ana have now?"


@pytest.mark.parametrize(
    ("problem", "answer"),
    [
        (COUNTDOWN, "((7-3)*10)+5"),
        (COUNTDOWN, "5+10*(7-3)"),
        (COUNTDOWN, " 5 + (7 - 3) * 10 "),
        (COUNTDOWN, "((((5))))+10*(7-3)"),
        (TWINS, "5+5+1"),
        (TWINS, "(5+1)+5"),
        (SUBSET, "3+8+21"),
        (SUBSET, "21 + 3 + 8"),
        (SUBSET, "12+17+3"),
        (LINEAR, "15"),
        (LINEAR, "015"),
        (SQUARE, " 5 "),
        (f"  {LINEAR}\n", "15"),
        ("How do you reach 2 out of 1, 3 and 6, using each number once?", "6/(1*3)"),
        ("How do you reach 8 from 3, 3, 8 and 8, using each number once?", "(3-3)*8+8"),
        ("How do you make 24 from 3, 3, 8 and 8, using each number once?", "8/(3-8/3)"),
    ],
)
def test_a_right_answer_is_proved_in_any_form(problem: str, answer: str):
    assert check(problem, answer) is True


@pytest.mark.parametrize(
    ("problem", "answer"),
    [
        (COUNTDOWN, "45"),
        (COUNTDOWN, "(7-3)*10"),
        (COUNTDOWN, "5*(7+3)-5"),
        (COUNTDOWN, "(7-3)*10+5+3-3"),
        (COUNTDOWN, "5+40"),
        (COUNTDOWN, "10*(7-3)+5=45"),
        (COUNTDOWN, "((7-3)*10)+5)"),
        (COUNTDOWN, "((7-3)*10+5"),
        (COUNTDOWN, "-(3-7)*10+5"),
        (COUNTDOWN, "(7-3)10+5"),
        (COUNTDOWN, "(7-3)×10+5"),
        (COUNTDOWN, "(7-٣)*10+5"),
        (COUNTDOWN, "(7-３)*10+5"),
        (COUNTDOWN, "(7-3)*10+5 # 45"),
        (COUNTDOWN, "(7-3)*1 0+5"),
        (COUNTDOWN, "7-3**10//5"),
        (COUNTDOWN, "__import__('os').system('ls')"),
        (COUNTDOWN, "3/(5-5)*7*10"),
        (COUNTDOWN, ""),
        (COUNTDOWN, "x"),
        (COUNTDOWN, "9" * 5000),
        (COUNTDOWN, "(" * 5000),
        (COUNTDOWN, "(" * 100 + "3" + ")" * 100),
        (TWINS, "5+5+5-4"),
        (TWINS, "5+6"),
        (SUBSET, "32"),
        (SUBSET, "3+8"),
        (SUBSET, "3+8+17+4"),
        (SUBSET, "8+8+8+8"),
        (SUBSET, "21+17-3*2"),
        (SUBSET, "(3+8)+21"),
        (SUBSET, "3 8 21"),
        (SUBSET, "3, 8 and 21"),
        (SUBSET, "3+8+2 1"),
        (SUBSET, "٣+8+21"),
        (LINEAR, "14"),
        (LINEAR, "x=15"),
        (LINEAR, "15.0"),
        (LINEAR, "30/2"),
        (LINEAR, "-15"),
        (LINEAR, "١٥"),
        (LINEAR, "9" * 5000),
        (SQUARE, "-8"),
        (SQUARE, "8"),
        ("x*x=x. What positive whole number is x?", "0"),
        ("(x+5=12. What whole number is x?", "7"),
    ],
)
def test_a_wrong_or_unreadable_answer_is_refuted(problem: str, answer: str):
    assert check(problem, answer) is False


@pytest.mark.parametrize(
    "problem",
    [
        OTHER,
        "",
        "x",
        COUNTDOWN + " Then add 1.",
        "Ana asks this. " + COUNTDOWN,
        COUNTDOWN.replace("once", "twice"),
        COUNTDOWN.replace("3, 5", "٣, 5"),
        SUBSET.replace("add up to", "are above"),
        SUBSET.replace("32", "9" * 5000),
        LINEAR + " Then add 1.",
        LINEAR.replace("is x", "is x+1"),
        "3/x=1. What whole number is x?",
        "x" * 100 + "=3. What whole number is x?",
    ],
)
def test_what_is_not_wholly_of_an_exact_form_is_not_judged(problem: str):
    assert check(problem, "5") is None
    assert not is_checkable(problem)
    assert numbers_and_goal(problem) is None


def test_numbers_and_goal_are_read_in_the_order_of_the_text():
    assert numbers_and_goal(COUNTDOWN) == ([3, 5, 7, 10], 45)
    assert numbers_and_goal(SUBSET) == ([3, 8, 12, 17, 21], 32)
    assert numbers_and_goal(LINEAR) is None


@pytest.mark.parametrize("split", ["mixed", "phrasings"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_exact_families_are_checkable_in_every_wording_and_no_others(family: str, split: str):
    rng = random.Random(7)
    for level in list(LEVELS) * 30:
        sample = generate(rng, level, family, split)
        assert check(sample.problem, sample.target) is (True if family in EXACT_FAMILIES else None), sample.problem
        assert is_checkable(sample.problem) == (family in EXACT_FAMILIES)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("7", 7),
        ("2+3*4", 14),
        ("(2+3)*4", 20),
        ("10-4-3", 3),
        ("24/4/2", 3),
        ("1/3+1/6", Fraction(1, 2)),
        (" 1 +\t2 ", 3),
        ("007", 7),
        ("3-5", -2),
    ],
)
def test_evaluate_reads_left_to_right_with_the_usual_precedence(expression: str, value: Fraction | int):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    ["", " ", "+", "-3", "3+", "3 3", "()", "(3", "3)", "3(4)", "2x", "x", "1/0", "1/(2-2)", "1.5", "1e3", "²", "3_0",
     "1" * (MAX_LENGTH + 1), "(" * (MAX_BRACKETS + 1) + "1" + ")" * (MAX_BRACKETS + 1)],
)  # fmt: skip
def test_evaluate_gives_nothing_for_what_has_no_value(expression: str):
    assert evaluate(expression) is None


def test_evaluate_puts_a_number_in_for_x():
    assert evaluate("x*x+3*x", 5) == 40
    assert evaluate("2x", 5) is None


@given(st.recursive(st.integers(0, 99).map(str), lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
    lambda parts: f"({parts[0]}{parts[1]}{parts[2]})"), max_leaves=12))  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_evaluate_agrees_with_python(expression: str):
    assert evaluate(expression) == eval(expression, {}, {})


@given(problem=st.sampled_from([COUNTDOWN, TWINS, SUBSET, LINEAR, SQUARE]), answer=st.text())
@settings(deadline=None, max_examples=150)
def test_no_answer_makes_the_check_fail(problem: str, answer: str):
    assert check(problem, answer) in (True, False)


@given(problem=st.sampled_from([COUNTDOWN, TWINS, SUBSET]), answer=st.text("0123456789+-*/() x", max_size=30))
@settings(deadline=None, max_examples=300)
def test_what_is_proved_is_true_by_another_evaluation(problem: str, answer: str):
    numbers, goal = numbers_and_goal(problem) or ([], 0)
    if check(problem, answer):
        used = [int(word) for word in "".join(c if c.isdigit() else " " for c in answer).split()]
        assert all(used.count(each) <= numbers.count(each) for each in used)
        assert eval(answer, {}, {}) == goal


@given(problem=st.text(), answer=st.text())
@settings(deadline=None, max_examples=150)
def test_arbitrary_texts_are_not_judged(problem: str, answer: str):
    assert check(problem, answer) is None
