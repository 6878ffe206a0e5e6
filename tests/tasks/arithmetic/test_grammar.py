"""Wordings expand to all their alternatives, and the reserved ones are drawn only where they are asked for."""

from __future__ import annotations

import importlib
import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.tasks.arithmetic import FAMILIES, LEVELS, grammar
from edgesearch.tasks.arithmetic.draft import DeadEnd, Draft

TEMPLATE = "[Then|After that|Next] {hero} [buys|gets] {k} [more|extra] {item}."
WITHOUT_RESERVED = "This [goes on|runs|lasts] [for|over] {n} {large}."


@cache
def templates_in_use() -> frozenset[str]:
    """Every wording that 150 problems of each family and level use."""
    found: set[str] = set()

    class Spy(Draft):
        def wording(self, template: str, **fields: object) -> str:
            found.add(template)
            return super().wording(template, **fields)

    rng = random.Random(0)
    for family in FAMILIES:
        writer = importlib.import_module(f"edgesearch.tasks.arithmetic.{family}")
        for level in list(LEVELS) * 150:
            try:
                writer.write(Spy(rng, level))
            except DeadEnd:
                continue
    return frozenset(found)


def large_templates() -> list[str]:
    return [each for each in templates_in_use() if grammar.parse(each).num_expansions >= grammar.MIN_RESERVABLE]


def test_a_template_is_parsed_into_parts_and_slots():
    template = grammar.parse("[a|b|] x [c|d].")
    assert template == grammar.Template(("", " x ", "."), (("a", "b", ""), ("c", "d")))
    assert template.num_expansions == 6
    assert template.fill((2, 1)) == " x d."


def test_a_template_without_alternatives_has_one_expansion():
    assert grammar.expand(random.Random(0), "{k} of them.", True) == "{k} of them."
    assert grammar.parse("{k} of them.").num_expansions == 1


def test_the_example_of_the_docstring_holds():
    assert grammar.parse(TEMPLATE).num_expansions == 12
    filled = {grammar.parse(TEMPLATE).fill(choice) for choice in grammar._choices(TEMPLATE)}
    assert "Next {hero} buys {k} extra {item}." in filled
    assert len(filled) == 12


@given(seed=st.integers(0, 2**32), is_reserved_wanted=st.booleans())
@settings(deadline=None, max_examples=50)
def test_expansions_are_of_the_wanted_kind(seed: int, is_reserved_wanted: bool):
    texts = {grammar.parse(TEMPLATE).fill(c): grammar.is_reserved(TEMPLATE, c) for c in grammar._choices(TEMPLATE)}
    assert texts[grammar.expand(random.Random(seed), TEMPLATE, is_reserved_wanted)] is is_reserved_wanted


def test_a_small_template_has_no_reserved_expansion_and_expands_all_the_same():
    template = "[a|b] {k} [c|d]"
    assert not any(grammar.is_reserved(template, choice) for choice in grammar._choices(template))
    drawn = {grammar.expand(random.Random(seed), template, True) for seed in range(60)}
    assert drawn == {"a {k} c", "a {k} d", "b {k} c", "b {k} d"}


def test_each_large_template_in_use_has_expansions_of_both_kinds_but_for_one():
    assert len(large_templates()) > 40
    for template in large_templates():
        kinds = {grammar.is_reserved(template, choice) for choice in grammar._choices(template)}
        assert kinds == ({False} if template == WITHOUT_RESERVED else {False, True}), template


def test_about_a_sixth_of_the_expansions_of_large_templates_is_reserved():
    shares = []
    for template in large_templates():
        choices = grammar._choices(template)
        shares.append(sum(grammar.is_reserved(template, choice) for choice in choices) / len(choices))
    assert sum(shares) / len(shares) == pytest.approx(1 / 6, abs=0.02)
    assert max(shares) <= 0.25


def test_training_draws_every_alternative_of_every_slot():
    for template in large_templates():
        free = [choice for choice in grammar._choices(template) if not grammar.is_reserved(template, choice)]
        for slot, alternatives in enumerate(grammar.parse(template).slots):
            assert {choice[slot] for choice in free} == set(range(len(alternatives))), template


@pytest.mark.parametrize(("is_reserved_wanted", "expected"), [(False, False), (True, True)])
def test_a_draft_uses_reserved_wordings_only_for_phrasings(
    is_reserved_wanted: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
):
    asked: list[bool] = []
    monkeypatch.setattr(grammar, "expand", lambda rng, template, wanted: asked.append(wanted) or template)
    Draft(random.Random(0), 1, is_reserved_wanted).say("{k} apples.", k=3)
    assert asked == [expected]
