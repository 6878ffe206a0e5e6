"""Beam search, driven by hand: expand, judge, select, until every beam is finished."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from edgesearch.search.base import Expand, Judge, SearchConfig
from edgesearch.search.beam import beam_search
from edgesearch.types import Beam, Finish, Prompt, Step

ROOT = Beam(Prompt("2 + 2?"))


def grow(beams: Sequence[Beam], finishes: Sequence[Finish] | None = None) -> list[Beam]:
    """Each beam with one step more."""
    finishes = finishes or ["step"] * len(beams)
    return [
        each.grown((Step(f"step {index}\n\n", (index,), -1.0, finish),))
        for index, (each, finish) in enumerate(zip(beams, finishes, strict=True))
    ]


def judge(beams: Sequence[Beam], scores: Sequence[float]) -> list[Beam]:
    return [each.judged((score,)) for each, score in zip(beams, scores, strict=True)]


class Search:
    """A beam search and the one who answers its requests."""

    def __init__(self, n: int, m: int) -> None:
        self.search = beam_search(ROOT, SearchConfig(n=n, m=m))
        self.request = next(self.search)

    def turn(self, scores: Sequence[float], finishes: Sequence[Finish] | None = None) -> list[Beam]:
        """Grows and judges the frontier; returns the judged beams. Raises StopIteration when that ends the search."""
        assert isinstance(self.request, Expand)
        assert not self.request.is_to_end
        assert self.request.temperature is None
        grown = grow(self.request.beams, finishes)
        asked = self.search.send(grown)
        assert isinstance(asked, Judge)
        assert list(asked.beams) == grown
        judged = judge(grown, scores)
        self.request = self.search.send(judged)
        return judged

    @property
    def frontier(self) -> list[Beam]:
        assert isinstance(self.request, Expand)
        return list(self.request.beams)


@pytest.mark.parametrize("n", [1, 2, 7, 16])
def test_it_starts_with_n_copies_of_the_problem(n: int) -> None:
    assert Search(n, 4).frontier == [ROOT] * n


def test_the_best_are_branched_and_the_rest_dropped() -> None:
    search = Search(4, 2)
    judged = search.turn([0.1, 0.9, 0.5, 0.7])
    assert search.frontier == [judged[1], judged[1], judged[3], judged[3]]
    judged = search.turn([0.2, 0.3, 0.4, 0.1])
    assert search.frontier == [judged[2], judged[2], judged[1], judged[1]]
    assert all(len(each.steps) == 2 for each in search.frontier)


def test_finished_beams_leave_and_shrink_the_width() -> None:
    search = Search(4, 2)
    judged = search.turn([0.9, 0.1, 0.5, 0.7], ["stop", "step", "step", "step"])
    assert search.frontier == [judged[3]] * 3
    judged = search.turn([0.9, 0.1, 0.5], ["stop", "stop", "step"])
    assert search.frontier == [judged[2]]
    with pytest.raises(StopIteration):
        search.turn([0.9], ["stop"])


def test_a_beam_that_was_cut_off_by_its_length_leaves_too() -> None:
    search = Search(3, 1)
    judged = search.turn([0.9, 0.1, 0.5], ["length", "step", "step"])
    assert search.frontier == [judged[2], judged[1]]


def test_it_ends_when_all_beams_end_at_once() -> None:
    search = Search(4, 2)
    with pytest.raises(StopIteration):
        search.turn([0.9, 0.1, 0.5, 0.7], ["stop", "length", "stop", "stop"])


def test_one_beam_alone_is_a_plain_draft() -> None:
    search = Search(1, 4)
    for length in range(1, 4):
        judged = search.turn([0.0])
        assert search.frontier == judged
        assert len(judged[0].steps) == length
    with pytest.raises(StopIteration):
        search.turn([0.0], ["stop"])


def test_more_children_than_beams_keep_the_best_one_at_full_width() -> None:
    search = Search(3, 8)
    judged = search.turn([0.1, 0.2, 0.9])
    assert search.frontier == [judged[2]] * 3


def test_beams_that_were_drawn_alike_count_once() -> None:
    search = Search(4, 2)
    assert isinstance(search.request, Expand)
    twins = grow([ROOT]) * 3 + grow([ROOT])
    search.search.send(twins)
    twin, other = judge(twins[:1], [0.9])[0], judge(twins[3:], [0.8])[0]
    search.request = search.search.send([twin, twin, twin, other])
    assert search.frontier == [twin, twin, other, other]


def test_only_the_new_step_of_each_beam_waits_for_a_score() -> None:
    search = Search(2, 1)
    search.turn([0.5, 0.6])
    judged = search.turn([0.7, 0.8])
    assert [each.scores for each in judged] == [(0.6, 0.7), (0.5, 0.8)]


def test_fewer_replies_than_beams_narrow_the_search() -> None:
    search = Search(4, 1)
    search.search.send(grow([ROOT] * 2))
    search.request = search.search.send(judge(grow([ROOT] * 2), [0.1, 0.2]))
    assert len(search.frontier) == 2
    assert search.search.send([]) == Judge([])
    with pytest.raises(StopIteration):
        search.search.send([])


def test_it_can_be_closed_at_any_moment() -> None:
    search = Search(4, 2)
    search.turn([0.1, 0.2, 0.3, 0.4])
    search.search.close()
    with pytest.raises(StopIteration):
        next(search.search)
