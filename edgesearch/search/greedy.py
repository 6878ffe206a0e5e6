"""Greedy: one solution at temperature 0. The baseline, and the cheapest. Cost: one solution."""

from edgesearch.search.base import Expand, NoOptions, Search, SearchConfig, Strategy
from edgesearch.types import Beam


def greedy(root: Beam, config: SearchConfig, options: NoOptions) -> Search:
    """Draws the likeliest token each time."""
    del config, options
    yield Expand([root], is_to_end=True, temperature=0.0)


STRATEGIES = (
    Strategy(
        "greedy",
        greedy,
        "best",
        needs_scores=False,
        is_stepwise=False,
        summary="one solution at temperature 0",
    ),
)
