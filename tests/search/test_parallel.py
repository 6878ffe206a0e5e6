"""Parallel sampling, driven by hand: n solutions at once, scored or not."""

from __future__ import annotations

import pytest

from edgesearch.search.base import Expand, Judge, SearchConfig
from edgesearch.search.parallel import best_of_n, majority
from edgesearch.types import Beam, Prompt, Step

ROOT = Beam(Prompt("2 + 2?"))


def solutions(count: int) -> list[Beam]:
    return [ROOT.grown((Step("4", (1,), -1.0, "stop"),)) for _ in range(count)]


@pytest.mark.parametrize("n", [1, 2, 16])
def test_majority_asks_for_n_whole_solutions_and_no_scores(n: int) -> None:
    search = majority(ROOT, SearchConfig(n=n))
    assert next(search) == Expand([ROOT] * n, is_to_end=True)
    with pytest.raises(StopIteration):
        search.send(solutions(n))


@pytest.mark.parametrize("n", [1, 2, 16])
def test_best_of_n_asks_for_n_whole_solutions_and_a_score_for_each(n: int) -> None:
    search = best_of_n(ROOT, SearchConfig(n=n))
    assert next(search) == Expand([ROOT] * n, is_to_end=True)
    drawn = solutions(n)
    assert search.send(drawn) == Judge(drawn)
    with pytest.raises(StopIteration):
        search.send(drawn)
