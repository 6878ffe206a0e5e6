"""Pareto fronts: the points that no other point beats in accuracy and in one cost.

Not covered: whether two points of a front differ by more than chance (differences.py).
"""

from collections.abc import Sequence
from typing import get_args

from edgesearch.bench.report.model import Axis, Front, Point

AXES: tuple[Axis, ...] = get_args(Axis)


def fronts(points: Sequence[Point]) -> tuple[Front, ...]:
    """A front for each axis on which some point's cost is known."""
    found = (front(points, axis) for axis in AXES)
    return tuple(each for each in found if each.points)


def front(points: Sequence[Point], axis: Axis) -> Front:
    """The front on one axis; a point whose cost is not known is not on it."""
    costs = {point.id: cost for point in points if (cost := point.cost(axis)) is not None}
    known = sorted((point for point in points if point.id in costs), key=lambda p: (costs[p.id], -p.accuracy.value))
    kept: list[Point] = []
    for point in known:
        best = kept[-1] if kept else None
        is_equal = best is not None and _key(best, costs) == _key(point, costs)
        if best is None or is_equal or point.accuracy.value > best.accuracy.value:
            kept.append(point)
    return Front(axis, tuple(point.id for point in kept))


def _key(point: Point, costs: dict[str, float]) -> tuple[float, float]:
    return costs[point.id], point.accuracy.value
