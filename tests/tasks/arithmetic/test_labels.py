"""Steps are labelled right up to the first mistake, in every family; answers are graded by value."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.tasks.arithmetic import (
    FAMILIES,
    LEVELS,
    STEP_DELIMITER,
    ArithmeticSample,
    generate,
    grade,
    label_steps,
    solution_text,
)


def sample_of(problem: str, target: str, steps: tuple[str, ...], family: str) -> ArithmeticSample:
    return ArithmeticSample("", problem, target, steps, family, 2, "")


def answer(text: str) -> str:
    return f"The answer is \\boxed{{{text}}}"


RELATIONS = sample_of(
    "Ana has 12 shells. Ben has 5 more shells than Ana. How many shells do Ana and Ben have together?",
    "29", ("Ben=12+5=17", "sum=12+17=29"), "relations",
)  # fmt: skip
COUNTDOWN = sample_of(
    "How can you make 45 from 3, 5, 7 and 10, using each number once?",
    "((7-3)*10)+5", ("7-3=4", "4*10=40", "40+5=45"), "countdown",
)  # fmt: skip
SUBSET = sample_of("Which of the numbers 3, 8, 12, 17 and 21 add up to 32?", "3+8+21", ("3+8=11", "11+21=32"), "subset")
DATE = sample_of("What date is 40 days after 5 March?", "14 April", ("day=5+40=45", "April=45-31=14"), "clock")


@given(
    seed=st.integers(0, 2**32),
    level=st.sampled_from(LEVELS),
    family=st.sampled_from(FAMILIES),
    split=st.sampled_from(["mixed", "phrasings"]),
)
@settings(deadline=None, max_examples=150)
def test_the_reference_solution_is_right_throughout(seed: int, level: int, family: str, split: str):
    sample = generate(random.Random(seed), level, family, split)
    steps = solution_text(sample).split(STEP_DELIMITER)
    assert label_steps(sample, steps) == [True] * (len(sample.steps) + 1)


@given(seed=st.integers(0, 2**32), family=st.sampled_from(FAMILIES), data=st.data())
@settings(deadline=None, max_examples=150)
def test_nothing_is_right_from_the_first_mistake_on(seed: int, family: str, data: st.DataObject):
    sample = generate(random.Random(seed), None, family)
    steps = solution_text(sample).split(STEP_DELIMITER)
    wrong = data.draw(st.integers(0, len(steps) - 1))
    steps[wrong] = data.draw(st.sampled_from(["1+1=3", "", "7", answer("0"), steps[wrong] + "0"]))
    assert label_steps(sample, steps) == [True] * wrong + [False] * (len(steps) - wrong)


@given(steps=st.lists(st.text(max_size=20), max_size=4), sample=st.sampled_from([RELATIONS, COUNTDOWN, SUBSET]))
@settings(deadline=None, max_examples=80)
def test_arbitrary_steps_are_wrong(steps: list[str], sample: ArithmeticSample):
    assert label_steps(sample, steps) == [False] * len(steps)


@pytest.mark.parametrize("sample", [RELATIONS, COUNTDOWN, SUBSET, DATE])
def test_no_steps_have_no_labels(sample: ArithmeticSample):
    assert label_steps(sample, []) == []


@pytest.mark.parametrize("sample", [RELATIONS, COUNTDOWN, SUBSET, DATE])
def test_an_early_answer_line_is_wrong_even_when_its_answer_is_right(sample: ArithmeticSample):
    assert label_steps(sample, [answer(sample.target)]) == [False]
    assert label_steps(sample, [sample.steps[0], answer(sample.target)]) == [True, False]


@pytest.mark.parametrize("sample", [RELATIONS, COUNTDOWN, SUBSET, DATE])
@pytest.mark.parametrize("more", ["7-3=4", "", "That is all."])
def test_what_follows_the_answer_is_wrong(sample: ArithmeticSample, more: str):
    steps = [*sample.steps, answer(sample.target), more, answer(sample.target)]
    assert label_steps(sample, steps) == [True] * (len(sample.steps) + 1) + [False, False]


@pytest.mark.parametrize("last", [answer("1"), "The answer is 29", "the answer is \\boxed{29}", answer("{29}"), "29"])
def test_a_wrong_or_differently_written_answer_line_is_wrong(last: str):
    assert label_steps(RELATIONS, [*RELATIONS.steps, last]) == [True, True, False]


@pytest.mark.parametrize(
    "step", ["Cara=12+5=17", "Ben=5+12=17", "Ben=12+5=18", "12+5=17", "Ben=12+5=17 ", "Ben = 12+5=17", "sum=12+17=29"]
)
def test_a_step_other_than_the_reference_is_wrong(step: str):
    assert label_steps(RELATIONS, [step]) == [False]


def test_a_step_that_names_the_wrong_month_is_wrong():
    assert label_steps(DATE, ["day=5+40=45", "May=45-31=14", answer("14 April")]) == [True, False, False]


@pytest.mark.parametrize(
    ("sample", "steps", "final"),
    [
        (COUNTDOWN, ["7-3=4", "4*10=40", "40+5=45"], "10*(7-3)+5"),
        (sample_of("How can you make 11 from 5, 5 and 1, using each number once?", "(5+5)+1", (), "countdown"),
         ["1+5=6", "6+5=11"], "(1+5)+5"),
        (sample_of("How can you make 3 from 2, 3 and 2, using each number once?", "(2-2)+3", (), "countdown"),
         ["3+2=5", "5-2=3"], "(3+2)-2"),
        (SUBSET, ["21+3=24", "24+8=32"], "21+3+8"),
        (SUBSET, ["12+17=29", "29+3=32"], "12+17+3"),
        (SUBSET, ["3+8=11", "11+21=32"], "3+12+17"),
    ],
)  # fmt: skip
def test_another_chain_that_ends_at_the_goal_is_right(sample: ArithmeticSample, steps: list[str], final: str):
    assert label_steps(sample, [*steps, answer(final)]) == [True] * (len(steps) + 1)


@pytest.mark.parametrize(
    ("sample", "steps"),
    [
        (COUNTDOWN, ["3*7=21"]),  # the goal is out of reach
        (COUNTDOWN, ["7-3=4", "4+5=9"]),
        (COUNTDOWN, ["7-3=4", "10*4=40"]),  # the result comes first
        (COUNTDOWN, ["7-3=4", "4*10=40", "40+3=43"]),
        (COUNTDOWN, ["7-3=4", "7-3=4"]),  # both are used
        (COUNTDOWN, ["9-5=4"]),  # 9 is not given
        (COUNTDOWN, ["07-3=4"]),
        (COUNTDOWN, ["٧-3=4"]),
        (COUNTDOWN, ["x=7-3=4"]),
        (COUNTDOWN, ["7/3=2"]),
        (COUNTDOWN, ["7-3=4", "4*10=40", "40+5=45", "45+5=50"]),
        (sample_of("How can you make 7 from 5, 5 and 7, using each number once?", "(5-5)+7", (), "countdown"),
         ["5-5=0"]),  # a chain stays positive
        (SUBSET, ["21+17=38"]),
        (SUBSET, ["8+12=20"]),
        (SUBSET, ["21-8=13"]),
        (SUBSET, ["8+8=16"]),
        (SUBSET, ["3+8=11", "11+21=32", "32+12=44"]),
    ],
)  # fmt: skip
def test_the_last_step_of_a_broken_chain_is_wrong(sample: ArithmeticSample, steps: list[str]):
    assert label_steps(sample, steps) == [True] * (len(steps) - 1) + [False]


def test_an_answer_before_all_numbers_of_a_countdown_are_used_is_wrong():
    sample = sample_of("How can you make 6 from 2, 3 and 1, using each number once?", "(2*3)*1", (), "countdown")
    assert label_steps(sample, ["2*3=6", answer("(2*3)*1")]) == [True, False]
    assert label_steps(sample, ["2*3=6", "6*1=6", answer("(2*3)*1")]) == [True, True, True]


def test_an_answer_whose_expression_is_wrong_is_wrong_after_a_right_chain():
    assert label_steps(COUNTDOWN, [*COUNTDOWN.steps, answer("45")]) == [True, True, True, False]


@pytest.mark.parametrize("text", ["14 April", "14 april", " 14  APRIL\n", "14April"])
def test_case_and_spaces_of_an_answer_do_not_matter(text: str):
    assert grade(DATE, text)


@pytest.mark.parametrize("text", ["1 4 April", "14 May", "14", "April 14", "14 April 2026", "14. April", "", None])
def test_another_or_no_date_is_wrong(text: str | None):
    assert not grade(DATE, text)


@pytest.mark.parametrize(("text", "is_right"), [("9:05", True), (" 9:05 ", True), ("9:5", False), ("9:50", False),
                                                ("19:05", False), ("905", False), ("9:0 5", False)])  # fmt: skip
def test_times_are_compared_as_written(text: str, is_right: bool):
    sample = sample_of("A trip starts at 8:05. It takes 1 hour. When is it over?", "9:05", (), "clock")
    assert grade(sample, text) is is_right


def test_a_number_is_not_put_together_from_two():
    assert grade(RELATIONS, " 29 ")
    assert not grade(RELATIONS, "2 9")


def test_where_the_problem_decides_the_target_does_not_matter():
    assert grade(COUNTDOWN, "5+10*(7-3)")
    assert not grade(COUNTDOWN, "45")
    assert not grade(COUNTDOWN, None)
