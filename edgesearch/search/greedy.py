"""Greedy: one solution at temperature 0. The baseline, and the cheapest. Cost: one solution."""

from edgesearch.search.base import Expand, Search, SearchConfig
from edgesearch.types import Beam


def greedy(root: Beam, config: SearchConfig) -> Search:
    """Draws the likeliest token each time."""
    del config
    yield Expand([root], is_to_end=True, temperature=0.0)
