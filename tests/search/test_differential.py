"""Beam search, DVTS and best-of-n against references of their own, over random trees.

A tree is a pure function: the k-th child that is drawn from a text is always the same. The scripted engine draws from
one and the scripted verifier scores it; the references below walk the same tree with plain lists of texts, and share no
code with the strategies, the driver or the selection. Trees have copies (few labels), blank endings, children that end
at once and scores that tie.

At the end: the boundaries that all strategies guided by step scores share.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import Scripted

from edgesearch.search.beam import BeamOptions
from edgesearch.search.dvts import DvtsOptions
from edgesearch.search.lookahead import LookaheadOptions
from edgesearch.types import AGGREGATORS, Aggregator, Beam


@dataclass
class Tree:
    """All solutions that can be drawn, and their scores."""

    key: int
    num_labels: int
    end_percent: int
    num_levels: int
    """Different scores that there are."""
    drawn: Counter[str] = field(default_factory=Counter)
    """Children drawn so far from each text."""

    def draw(self, text: str) -> tuple[str, bool]:
        """The next child of a text: its text, and whether it is finished."""
        self.drawn[text] += 1
        return self.child(text, self.drawn[text] - 1)

    def child(self, text: str, ordinal: int) -> tuple[str, bool]:
        luck = self.number("child", text, str(ordinal))
        label = luck // 100 % self.num_labels
        if text.count("\n\n") == 5 or luck % 100 < self.end_percent:
            is_blank = label == 0 and text
            return (text if is_blank else text + rf"so \boxed{{{label}}}"), True
        return text + rf"step \boxed{{{label}}}" + "\n\n", False

    def finish(self, text: str, is_ended: bool) -> str:
        """A child's text once it has been drawn to its end."""
        while not is_ended:
            text, is_ended = self.child(text, 0)
        return text

    def value(self, text: str, how: Aggregator) -> float:
        ends = [end + 2 for end in range(len(text)) if text.startswith("\n\n", end)]
        if not text.endswith("\n\n"):
            ends.append(len(text))
        scores = [self.score(text[:end]) for end in ends]
        return {
            "last": scores[-1],
            "min": min(scores),
            "prod": math.prod(scores),
            "mean": math.fsum(scores) / len(scores),
        }[how]

    def score(self, text: str) -> float:
        return self.number("score", text) % self.num_levels / self.num_levels

    def number(self, *words: str) -> int:
        digest = hashlib.blake2b("\0".join([str(self.key), *words]).encode(), digest_size=7).digest()
        return int.from_bytes(digest)


# -- references --------------------------------------------------------------------------------------------------------


def beam_reference(tree: Tree, n: int, m: int, how: Aggregator) -> list[str]:
    """The texts of all finished beams."""
    finished, frontier = [], [""] * n
    while frontier:
        children = [tree.draw(text) for text in frontier]
        finished += [text for text, is_ended in children if is_ended]
        alive = [text for text, is_ended in children if not is_ended]
        ranked = sorted(dict.fromkeys(alive), key=lambda text: -tree.value(text, how))
        kept = ranked[: max(1, len(alive) // m)]
        frontier = [text for place, text in enumerate(kept) for _ in alive[place :: len(kept)]]
    return finished


def dvts_reference(tree: Tree, n: int, m: int, how: Aggregator) -> list[str]:
    """The texts of all finished children of all trees."""
    finished, roots = [], [""] * (n // m)
    while roots:
        going_on = []
        for root in roots:
            children = [tree.draw(root) for _ in range(m)]
            finished += [text for text, is_ended in children if is_ended]
            best, is_ended = max(children, key=lambda child: tree.value(child[0], how))
            if not is_ended:
                going_on.append(best)
        roots = going_on
    return finished


def best_of_n_reference(tree: Tree, n: int) -> list[str]:
    """The texts of all samples."""
    return [tree.finish(*tree.draw("")) for _ in range(n)]


# -- the strategies ----------------------------------------------------------------------------------------------------


def run(tree: Tree, name: str, n: int, m: int, how: Aggregator, options: object = None) -> Scripted:
    def write(beam: Beam, seed: int) -> str:
        del seed
        return tree.finish(*tree.draw(beam.text))[len(beam.text) :]

    def score(beam: Beam, index: int) -> float:
        return tree.score("".join(step.text for step in beam.steps[: index + 1]))

    return Scripted(write, name, n=n, m=m, aggregator=how, score=score, options=options)


def assert_same(tree: Tree, found: Scripted, drawn: Counter[str], finished: list[str], how: Aggregator) -> None:
    """Whether a strategy drew, finished and chose what its reference did."""
    assert drawn == tree.drawn
    assert Counter(found.texts) == Counter(finished)
    assert found.chosen is not None
    best = max(tree.value(text, how) for text in finished)
    assert found.chosen.score == pytest.approx(best, abs=1e-12)
    ties = {text for text in finished if tree.value(text, how) > best - 1e-12}
    assert found.chosen.beam.text in ties  # one text, for most trees


TREES = st.builds(
    Tree,
    key=st.integers(0, 2**32),
    num_labels=st.sampled_from([1, 2, 3, 100]),
    end_percent=st.sampled_from([0, 10, 30, 60, 100]),
    num_levels=st.sampled_from([2, 5, 2**48]),
)
HOW = st.sampled_from(AGGREGATORS)


@settings(max_examples=100, deadline=None)
@given(tree=TREES, n=st.integers(1, 16), m=st.integers(1, 20), how=HOW)
def test_beam_search_is_its_reference(tree: Tree, n: int, m: int, how: Aggregator) -> None:
    found = run(tree, "beam", n, m, how)
    drawn, tree.drawn = tree.drawn, Counter()
    assert_same(tree, found, drawn, beam_reference(tree, n, m, how), how)


@settings(max_examples=100, deadline=None)
@given(tree=TREES, num_trees=st.integers(1, 5), m=st.integers(1, 5), how=HOW)
def test_dvts_is_its_reference(tree: Tree, num_trees: int, m: int, how: Aggregator) -> None:
    found = run(tree, "dvts", num_trees * m, m, how)
    drawn, tree.drawn = tree.drawn, Counter()
    assert_same(tree, found, drawn, dvts_reference(tree, num_trees * m, m, how), how)


@settings(max_examples=100, deadline=None)
@given(tree=TREES, n=st.integers(1, 16), how=HOW)
def test_best_of_n_is_its_reference(tree: Tree, n: int, how: Aggregator) -> None:
    found = run(tree, "best_of_n", n, 1, how)
    drawn, tree.drawn = tree.drawn, Counter()
    assert_same(tree, found, drawn, best_of_n_reference(tree, n), how)


@settings(max_examples=50, deadline=None)
@given(tree=TREES, n=st.integers(1, 16), m=st.integers(1, 4), how=HOW, name=st.sampled_from(["beam", "dvts"]))
def test_a_granularity_that_no_solution_outlasts_is_the_reference_of_best_of_n(
    tree: Tree, n: int, m: int, how: Aggregator, name: str
) -> None:
    options = BeamOptions(granularity=7) if name == "beam" else DvtsOptions(granularity=7)
    found = run(tree, name, n * m, m, how, options)
    drawn, tree.drawn = tree.drawn, Counter()
    assert_same(tree, found, drawn, best_of_n_reference(tree, n * m), how)


# -- the boundaries that all of them share -----------------------------------------------------------------------------

GUIDED = [
    ("beam", None),
    ("beam", BeamOptions(granularity=2)),
    ("dvts", None),
    ("dvts", DvtsOptions(granularity=2)),
    ("lookahead", LookaheadOptions(k=2)),
    ("rebase", None),
]


@pytest.mark.parametrize(("name", "options"), GUIDED)
def test_an_empty_ending_adds_no_step_and_no_score(name: str, options: object) -> None:
    def write(beam: Beam, seed: int) -> str:
        return "" if beam.steps else f"s{seed % 5} says \\boxed{{2}}\n\n"

    found = Scripted(write, name, n=4, m=2, options=options)
    assert {len(candidate.beam.steps) for candidate in found.result.candidates} == {1}
    assert {len(candidate.beam.scores) for candidate in found.result.candidates} == {1}
    assert {candidate.beam.finish for candidate in found.result.candidates} == {"stop"}


@pytest.mark.parametrize(("name", "options"), GUIDED)
def test_solutions_that_are_empty_end_the_search_unanswered(name: str, options: object) -> None:
    found = Scripted(lambda beam, seed: "", name, n=4, m=2, options=options)
    assert found.texts == [""] * 4
    assert found.chosen is not None
    assert found.chosen.answer is None


@pytest.mark.parametrize(("name", "options"), GUIDED)
@pytest.mark.parametrize("max_tokens", [1, 5, 6, 7, 12])
def test_a_token_limit_ends_the_search_wherever_it_falls(name: str, options: object, max_tokens: int) -> None:
    found = Scripted(lambda beam, seed: f"s{seed % 3}\n\n" * 50, name, n=4, m=2, options=options, max_tokens=max_tokens)
    assert found.result.candidates
    assert {candidate.beam.finish for candidate in found.result.candidates} == {"length"}
    assert all(candidate.beam.num_tokens <= max_tokens for candidate in found.result.candidates)


@pytest.mark.parametrize(("name", "options"), GUIDED)
def test_nothing_is_held_and_no_step_is_verified_twice_at_any_deadline(name: str, options: object) -> None:
    def write(beam: Beam, seed: int) -> str:
        rest = [f"step {index} of s{seed % 11}\n\n" for index in range(1 + seed % 4)][len(beam.steps) :]
        return "".join(rest) + rf"\boxed{{{seed % 11}}}"

    for budget_s in (0.02, 0.1, 0.2, 0.3, 0.5, 0.8, 100.0):
        found = Scripted(write, name, n=6, m=2, options=options, token_s=0.001, budget_s=budget_s)
        assert found.engine.nodes == found.verifier.nodes == set()
        assert len(found.verifier.judged_nodes) == len(set(found.verifier.judged_nodes))
        assert found.wall_s <= budget_s + 0.01  # at most the pass under way
