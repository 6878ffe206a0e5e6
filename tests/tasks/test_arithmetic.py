"""The generated problems are right, repeatable and kept apart from training; foreign texts are noticed."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.tasks import arithmetic

FOREIGN_TEXTS = [
    "",
    "?",
    "How many apples does Ana have?",
    "Ana has 5 apples.",
    "Ana has 5 apples. How many apples does Ana have? Thanks.",
    "Ana has 5 apples? Ben has 2 apples. How many apples does Ana have?",
    "Ana has 1200 apples. How many apples are left?",
    "Ana has 2.5 apples. How many apples are left?",
    "Ana has 1,200 apples. How many apples are left?",
    "Ana has $5. How many dollars is that?",
    "Ana has 1/2 of 8 apples. How many apples are left?",
    "Ana has -5 apples. How many apples are left?",
    "Ana has five apples and loses 2. How many apples are left?",
    "Ana has 5 bananas. How many bananas are left?",
    "Xerxes has 5 apples. How many apples does Xerxes have?",
    "What is 2 + 2?",
    "Solve x^2 = 9 for x.",
    "Compute the integral of 3x from 0 to 2.",
    "What is the capital of France?",
    "Find the remainder when 7 is divided by 3.",
    "Natalia sold clips to 48 of her friends in April, and then half as many in May. How many in total?",
    "Weng earns 12 dollars an hour for babysitting. How much did she earn for 50 minutes?",
    "A train leaves at 9:30 and runs for 2 hours. When does it arrive?",
    "Quelle est la somme de 3 et 4 ?",
    "Аня имеет 5 яблок. Сколько яблок у Ани?",
    "安娜有5个苹果。她有多少个苹果?",
    "def add(a, b): return a + b",
    "How many positive divisors does 196 have?",
    "Let f(x) = 2x - 3. What is f(5)?",
    " ".join(["Ana gives away 2."] * 40) + " How many are left?",
]


def step_is_true(expression: str) -> bool:
    match = re.fullmatch(r"(\d+)(%?)([+\-*/])(\d+)=(\d+)", expression)
    assert match is not None
    left, percent, operator, right, value = match.groups()
    a, b, c = int(left), int(right), int(value)
    if percent:
        return a * b == 100 * c
    return {"+": a + b == c, "-": a - b == c, "*": a * b == c, "/": b * c == a}[operator]


@given(
    seed=st.integers(0, 2**32),
    level=st.sampled_from(arithmetic.LEVELS),
    family=st.sampled_from(arithmetic.FAMILIES),
)
def test_every_step_is_true_and_the_target_is_the_last_value(seed: int, level: int, family: str) -> None:
    sample = arithmetic.generate(random.Random(seed), level, family)
    assert (sample.level, sample.family, len(sample.steps)) == (level, family, level)
    assert all(step_is_true(expression) for expression in sample.expressions)
    assert all(
        step.count("=") == 1 and expression in step
        for step, expression in zip(sample.steps, sample.expressions, strict=True)
    )
    numbers = [int(number) for number in re.findall(r"\d+", sample.problem + " ".join(sample.steps))]
    assert all(1 <= number <= arithmetic.MAX_NUMBER for number in numbers)
    assert sample.target in {expression.split("=")[1] for expression in sample.expressions}


def test_the_same_seed_draws_the_same_problems() -> None:
    first, second = random.Random(5), random.Random(5)
    assert [arithmetic.generate(first) for _ in range(50)] == [arithmetic.generate(second) for _ in range(50)]


def test_the_training_set_of_the_given_weights_still_begins_as_it_did() -> None:
    rng = random.Random(42)
    texts = [
        (sample.problem, arithmetic.solution_text(sample)) for sample in (arithmetic.generate(rng) for _ in range(500))
    ]
    assert arithmetic.problem_hash(repr(texts)) == "ce3e1d49bf6c0426"


@pytest.mark.parametrize(("level", "family"), [(1, None), (9, None), (0, "graph"), (2, "algebra")])
def test_an_unknown_level_or_family_is_refused(level: int, family: str | None) -> None:
    with pytest.raises(ValueError, match=r"level is|family is"):
        arithmetic.generate(random.Random(0), level, family)


@given(seed=st.integers(0, 2**32))
def test_the_reference_solution_is_labelled_right_throughout(seed: int) -> None:
    sample = arithmetic.generate(random.Random(seed))
    steps = arithmetic.solution_text(sample).split(arithmetic.STEP_DELIMITER)
    assert arithmetic.label_steps(sample, steps) == [True] * (sample.level + 1)


@given(seed=st.integers(0, 2**32), data=st.data())
def test_nothing_is_right_after_the_first_wrong_step(seed: int, data: st.DataObject) -> None:
    sample = arithmetic.generate(random.Random(seed))
    steps = arithmetic.solution_text(sample).split(arithmetic.STEP_DELIMITER)
    wrong = data.draw(st.integers(0, sample.level))
    steps[wrong] = "Zoe has 1+1=3 apples"
    assert arithmetic.label_steps(sample, steps) == [True] * wrong + [False] * (sample.level + 1 - wrong)


def test_an_early_answer_is_wrong_even_when_its_number_is_right() -> None:
    sample = arithmetic.generate(random.Random(1), 3)
    answer_line = f"The answer is \\boxed{{{sample.target}}}"
    assert arithmetic.label_steps(sample, [*sample.steps[:2], answer_line]) == [True, True, False]


def test_no_steps_have_no_labels() -> None:
    assert arithmetic.label_steps(arithmetic.generate(random.Random(1)), []) == []


def test_held_out_problems_are_unique_balanced_and_repeatable() -> None:
    samples = arithmetic.held_out(3, 280)
    assert len({sample.problem for sample in samples}) == 280
    assert [sample.id for sample in samples[:2]] == ["arith-3-000000", "arith-3-000001"]
    assert {level: sum(sample.level == level for sample in samples) for level in arithmetic.LEVELS} == dict.fromkeys(
        arithmetic.LEVELS, 40
    )
    assert sum(sample.family == "graph" for sample in samples) == 140
    assert arithmetic.held_out(3, 30) == samples[:30]
    assert not {sample.problem for sample in samples} & {sample.problem for sample in arithmetic.held_out(4, 280)}


def test_held_out_skips_what_the_given_weights_were_trained_on() -> None:
    hashes = {
        arithmetic.problem_hash(sample.problem) for seed in range(5) for sample in arithmetic.held_out(seed, 2000)
    }
    assert len(hashes) == 10_000
    assert not hashes & arithmetic._TRAINED_ON


def test_known_words_are_exactly_the_words_of_generated_problems() -> None:
    rng = random.Random(0)
    problems = " ".join(arithmetic.generate(rng).problem for _ in range(3000))
    assert set(re.findall(r"[a-z]+", problems.lower())) == arithmetic.known_words()


def test_generated_problems_are_in_domain() -> None:
    rng = random.Random(11)
    for _ in range(500):
        problem = arithmetic.generate(rng).problem
        assert arithmetic.out_of_domain(problem) == [], problem


@pytest.mark.parametrize("text", FOREIGN_TEXTS)
def test_a_foreign_text_is_out_of_domain(text: str) -> None:
    assert arithmetic.out_of_domain(text)


def test_the_reasons_name_what_is_foreign() -> None:
    assert arithmetic.out_of_domain("Ana has 1200 bananas + 2.5 kiwis") == [
        "unknown words: bananas, kiwis",
        "decimals or digit groups",
        "a number above 999",
        "unknown signs: +",
        "not one question at the end",
    ]
