"""Greedy, driven by hand: one request, then the end."""

from __future__ import annotations

import pytest

from edgesearch.search.base import Expand, NoOptions, SearchConfig
from edgesearch.search.greedy import greedy
from edgesearch.types import Beam, Prompt

ROOT = Beam(Prompt("2 + 2?"))


@pytest.mark.parametrize("n", [1, 16])
def test_it_asks_for_one_solution_at_temperature_zero_whatever_n(n: int) -> None:
    search = greedy(ROOT, SearchConfig(n=n), NoOptions())
    assert next(search) == Expand([ROOT], is_to_end=True, temperature=0.0)
    with pytest.raises(StopIteration):
        search.send([ROOT])
