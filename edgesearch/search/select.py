"""Which beams live on: aggregate step scores, drop the finished, keep the best and branch them."""

import math
from collections.abc import Callable, Sequence

from edgesearch.search.base import SearchConfig
from edgesearch.types import Aggregator, Beam

_AGGREGATE: dict[Aggregator, Callable[[Sequence[float]], float]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "prod": math.prod,
    "mean": lambda scores: math.fsum(scores) / len(scores),
}


def aggregate(scores: Sequence[float], how: Aggregator) -> float:
    """One score in [0, 1] from step scores.

    Raises:
        ValueError: no scores.
    """
    if not scores:
        raise ValueError("a beam without scored steps has no score")
    return _AGGREGATE[how](scores)


def alive(beams: Sequence[Beam]) -> list[Beam]:
    """The beams that can go on; finished and truncated ones leave the frontier."""
    return [beam for beam in beams if beam.is_alive]


def select(beams: Sequence[Beam], config: SearchConfig) -> list[Beam]:
    """The best 1/m of the frontier, branched back to its width.

    Identical beams count once: keeping two copies of one text would spend children on the same future. The width is
    that of `beams`, so that beams which left the frontier shrink it. At least one beam is kept, and the children that
    n/m leaves over go to the best.

    Returns:
        As many beams as given, best first, each kept one repeated for its children; none when there are none.
    """
    width = len(beams)
    if not width:
        return []
    distinct = list({beam.node: beam for beam in beams}.values())
    distinct.sort(key=lambda beam: aggregate(beam.scores, config.aggregator), reverse=True)
    kept = distinct[: max(1, width // config.m)]
    children, left_over = divmod(width, len(kept))
    return [beam for index, beam in enumerate(kept) for _ in range(children + (index < left_over))]
