"""Which pairs of points have their difference shown: each strategy against greedy of its engine, and engine by engine.

Of two engines the first is the smaller one, so that a positive difference says that the small one is ahead.

Not covered: the difference itself (by_problem.py); the many pairs of one engine's strategies, which the intervals of
the points and `bench compare` tell.
"""

from collections.abc import Mapping, Sequence

from edgesearch.bench.report.by_problem import Pair
from edgesearch.bench.report.settings import Setting
from edgesearch.bench.report.solvers import Size, is_larger

MAX_PAIRS = 400


def pairs(settings: Sequence[Setting], sizes: Mapping[tuple[int, str], Size]) -> list[Pair]:
    """The pairs, those against a greedy point first; may be more than `MAX_PAIRS`."""
    within = [
        (place, greedy)
        for place, setting in enumerate(settings)
        if setting.cell.strategy != "greedy" and (greedy := _greedy_of(place, settings)) is not None
    ]
    between = [
        _ordered(one, other, settings, sizes)
        for one in range(len(settings))
        for other in range(one + 1, len(settings))
        if settings[one].engine != settings[other].engine
    ]
    return within + sorted(between, key=lambda pair: settings[pair[1]].cell.strategy != "greedy")


def _greedy_of(place: int, settings: Sequence[Setting]) -> int | None:
    """The greedy point of the same engine, of the same budget and length where there is one."""
    own = settings[place]
    greedy = [
        (_num_unlike(own, other), number)
        for number, other in enumerate(settings)
        if other.engine == own.engine and other.cell.strategy == "greedy"
    ]
    return min(greedy)[1] if greedy else None


def _num_unlike(one: Setting, other: Setting) -> int:
    a, b = one.cell, other.cell
    return (a.budget_s != b.budget_s) + (a.max_tokens != b.max_tokens)


def _ordered(one: int, other: int, settings: Sequence[Setting], sizes: Mapping[tuple[int, str], Size]) -> Pair:
    """The smaller engine's point first; as they come where that is not known."""
    is_swapped = is_larger(sizes[settings[one].engine], sizes[settings[other].engine])
    return (other, one) if is_swapped else (one, other)
