"""Foreign texts are noticed, generated problems never are."""

from __future__ import annotations

import itertools
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.tasks import arithmetic
from edgesearch.tasks.arithmetic import FAMILIES, LEVELS, SPLITS, generate, known_words, out_of_domain

FOREIGN_TEXTS = (Path(__file__).with_name("foreign_texts.txt")).read_text(encoding="utf-8").split("\n")[:-1]


def test_every_foreign_text_is_noticed():
    assert len(set(FOREIGN_TEXTS)) == 200
    assert [text for text in FOREIGN_TEXTS if not out_of_domain(text)] == []


@pytest.mark.parametrize("split", SPLITS)
def test_no_generated_problem_is_taken_for_foreign(split: str):
    rng = random.Random(f"domain {split}")  # as held_out draws, but one in fifty of these would take long
    cells = itertools.product(FAMILIES, LEVELS if split != "structures" else LEVELS[1:])
    problems = [
        generate(rng, level, family, split).problem for family, level in itertools.islice(itertools.cycle(cells), 1000)
    ]
    assert [problem for problem in problems if out_of_domain(problem)] == []


def test_known_words_are_exactly_the_words_of_generated_problems():
    found: set[str] = set()
    for each in itertools.islice(arithmetic.training_problems("words"), 6000):
        found |= set(re.findall(r"[a-z]+", each.problem.lower()))
    assert found == known_words()


def test_a_bound_above_every_number_is_in_domain():
    text = "This is a program: y=184; if y>119: y=y*5; x=y*8; if x<10348: x=y+x. What is x after that?"
    assert out_of_domain(text) == []
    assert out_of_domain(text.replace("10348", "14999")) == ["a number above 9999"]


def test_space_around_a_problem_does_not_matter():
    assert out_of_domain("\n Ana has 5 apples. How many apples does Ana have now?\n\n") == []


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("", ["no number in digits", "not one question at the end"]),
        ("Ana has 5 kiwis. How many kiwis does Ana have now?", ["unknown words: kiwis"]),
        ("Ana has 1.5 apples. How many apples does Ana have now?", ["decimals or digit groups"]),
        ("Ana has 05 apples. How many apples does Ana have now?", ["a zero in front"]),
        ("Ana has 10000 apples. How many apples does Ana have now?", ["a number above 9999"]),
        ('Ana has "5" apples. How many apples does Ana have now?', ['unknown signs: "']),
        ("Ana has 5+3 apples. How many apples does Ana have now?", ["signs that are in no equation or program"]),
        ("ana has 5 apples. How many apples does Ana have now?", ["unusual capitals"]),
        ("Ana has 5  apples. How many apples does Ana have now?", ["unusual spacing"]),
        ("Ana has 5 apples.", ["not one question at the end"]),
        ("Ana has 5 apples. What is that?", ["a question of another kind"]),
        ("How many apples does Ana have after 5 days?", ["a question of another kind"]),
        (
            " ".join(["Ana sells 2 apples."] * 30) + " How many apples does Ana have now?",
            ["longer than 90 words"],
        ),
        (
            "a bb ccc dddd eeeee ffffff ggggggg 5. How many apples does Ana have now?",
            ["unknown words: bb, ccc, dddd, eeeee, ffffff, ..."],
        ),
        (
            "Ana has 12000 bananas + 2.5 kiwis",
            [
                "unknown words: bananas, kiwis",
                "decimals or digit groups",
                "a number above 9999",
                "signs that are in no equation or program",
                "not one question at the end",
            ],
        ),
    ],
)
def test_the_reasons_say_what_is_foreign(text: str, reasons: list[str]):
    assert out_of_domain(text) == reasons


def test_control_characters_are_named_and_not_repeated():
    assert out_of_domain("Ana has 5\x1b apples. How many apples does Ana have now?") == ["unknown signs: \\x1b"]


@pytest.mark.parametrize("text", ["9" * 100_000, "the " * 50_000, "?" * 100_000, "x=" * 50_000, "(" * 100_000])
def test_a_huge_text_is_foreign_and_takes_no_time(text: str):
    assert out_of_domain(text)


@given(st.text())
@settings(deadline=None, max_examples=150)
def test_arbitrary_text_is_foreign(text: str):
    assert out_of_domain(text)
