"""Where a small engine with search reaches a larger one: the cost at which a series of points meets another's accuracy.

A series is one engine and strategy over rising n, all else equal. Its accuracy is taken as linear in the logarithm of
its cost between two points. The cost is found for the measured means and for every resample of the problems, with
accuracies and mean costs of that resample; the interval is of the resamples that cross at all, and their share is told.

Not covered: what happens beyond the widest point that was run: a series that does not get there has no crossing.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgesearch.bench.recipe import Cell
from edgesearch.bench.report.by_problem import ByProblem
from edgesearch.bench.report.fronts import AXES
from edgesearch.bench.report.model import Axis, Crossing
from edgesearch.bench.report.resamples import interval
from edgesearch.bench.report.settings import Setting
from edgesearch.bench.report.solvers import Size, is_larger

MAX_CROSSINGS = 2_000

Floats = NDArray[np.float64]
Series = tuple[int, ...]
"""Places of points, n rising."""


def all_series(settings: Sequence[Setting]) -> list[Series]:
    """Every engine's strategies over at least two n; n = 1 belongs to every m, since one beam has nothing to branch."""
    found: dict[tuple[tuple[int, str], Cell], list[int]] = {}
    for place, setting in enumerate(settings):
        found.setdefault((setting.engine, dataclasses.replace(setting.cell, n=1, m=1, seed=0)), []).append(place)
    split = (series for group in found.values() for series in _by_m(group, settings))
    return [series for series in split if len(series) > 1]


def _by_m(group: Sequence[int], settings: Sequence[Setting]) -> Iterator[Series]:
    cells = {place: settings[place].cell for place in group}
    for m in sorted({cell.m for cell in cells.values() if cell.n > 1}):
        kept = [place for place in group if cells[place].n == 1 or cells[place].m == m]
        yield tuple(sorted(kept, key=lambda place: cells[place].n))


def crossings(
    by_problem: ByProblem, settings: Sequence[Setting], sizes: Mapping[tuple[int, str], Size]
) -> list[Crossing]:
    """Each series against each point of a larger engine, on each axis on which all costs of the series are known."""
    found = []
    for axis in AXES:
        costs = by_problem.cost(axis)
        for series in all_series(settings):
            if all(by_problem.points[place].cost(axis) is not None for place in series):
                targets = _targets(series, settings, sizes)
                found += [_crossing(by_problem, series, target, axis, costs) for target in targets]
    return found


def _targets(series: Series, settings: Sequence[Setting], sizes: Mapping[tuple[int, str], Size]) -> list[int]:
    own = settings[series[0]].engine
    return [place for place, each in enumerate(settings) if is_larger(sizes[each.engine], sizes[own])]


def _crossing(by_problem: ByProblem, series: Series, target: int, axis: Axis, costs: Floats) -> Crossing:
    points = [by_problem.points[place] for place in series]
    aim = by_problem.points[target]
    measured = reach(
        np.array([[point.accuracy.value for point in points]]),
        np.array([[point.cost(axis) for point in points]], dtype=np.float64),
        np.array([aim.accuracy.value]),
    )
    places = list(series)
    resampled = reach(by_problem.accuracy[:, places], costs[:, places], by_problem.accuracy[:, target])
    is_there = np.isfinite(resampled)
    low, high = interval(resampled) if is_there.any() else (None, None)
    return Crossing(
        series=_name(points[0].name, points[0].n, points[-1].m),
        points=tuple(point.id for point in points),
        target=aim.id,
        axis=axis,
        at=float(measured[0]) if np.isfinite(measured[0]) else None,
        low=low,
        high=high,
        share=float(is_there.mean()),
        target_cost=aim.cost(axis),
    )


def _name(first: str, n: int, m: int) -> str:
    """`nano beam m=4 60s`, from the name of the series' first point."""
    before, _, rest = first.partition(f" n={n} ")
    rest = rest.partition(" ")[2]  # without its own m, which is 1 at n=1
    return " ".join(word for word in (before, f"m={m}" if m > 1 else "", rest) if word)


def reach(accuracy: Floats, cost: Floats, target: Floats) -> Floats:
    """The cost at which each row reaches its target: (rows,), NaN where it never does.

    Args:
        accuracy: (rows, points) in the order of the series.
        cost: (rows, points) > 0.
        target: (rows,)
    """
    is_there = accuracy >= target[:, None]
    after = is_there.argmax(axis=1)  # the first point that is there
    before = np.maximum(after - 1, 0)
    rows = np.arange(len(accuracy))
    rise = accuracy[rows, after] - accuracy[rows, before]  # > 0 where there is a point before
    share = np.divide(target - accuracy[rows, before], rise, out=np.ones(len(rows)), where=after > 0)
    logs = np.log(cost)
    between = np.exp(logs[rows, before] + share * (logs[rows, after] - logs[rows, before]))
    found = np.where(share == 1, cost[rows, after], between)  # exactly the point's own cost where it is at a point
    return np.where(is_there.any(axis=1), found, np.nan)
