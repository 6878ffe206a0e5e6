"""How the figures of a report look, the same in charts and page: colours, markers, words, units and ticks.

A colour is an engine, a marker is a strategy, and the number beside a point is its n. The colours are Okabe and Ito's,
which colour-blind readers can tell apart; nothing is told by colour alone.

Not covered: drawing (charts.py, page.js), tables (tables.py).
Source: Okabe and Ito 2008, Color Universal Design, https://jfly.uni-koeln.de/color/.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from edgesearch.bench.report.model import Axis, Estimate, LevelKind, Point, Quoted, Report

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of engines, in the order in which they come; page.css has shades of them under `--c0` and on."""
MAX_QUOTED = 14
"""Published figures beside an axis."""
AXES: tuple[Axis, ...] = get_args(Axis)
LEVEL_KINDS: tuple[LevelKind, ...] = get_args(LevelKind)

_STRATEGY_MARKERS = {
    "greedy": "plus",
    "majority": "diamond",
    "best_of_n": "square",
    "weighted": "triangle",
    "beam": "circle",
    "auto": "star",
}
_OTHER_MARKERS = ("hexagon", "cross", "down")
_STRATEGY_WORDS = {
    "best_of_n": "best of n",
    "majority": "majority vote",
    "weighted": "weighted vote",
    "beam": "beam search",
}
LEVEL_WORDS: dict[LevelKind, str] = {
    "oracle": "measured difficulty (share of right candidates)",
    "predicted": "predicted difficulty (the verifier's mean score)",
    "stated": "the task's own levels",
}
_OTHER_SETTINGS = ("m", "temperature", "max_tokens", "aggregator", "early_stop")
_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class AxisLook:
    """How a cost is named and written."""

    title: str
    word: str
    """On buttons and, in small letters, in file names."""
    unit: str
    """Behind an SI prefix; `$` goes before the number."""


AXIS_LOOKS: dict[Axis, AxisLook] = {
    "wall_s": AxisLook("seconds per problem (mean)", "seconds", "s"),
    "flops": AxisLook("FLOPs per problem, the verifier's included", "FLOPs", "FLOP"),
    "peak_bytes": AxisLook("peak memory (bytes)", "memory", "B"),
    "dollars": AxisLook("dollars per problem", "dollars", "$"),
    "joules": AxisLook("joules per problem", "joules", "J"),
    "tokens": AxisLook("tokens drawn per problem", "tokens", ""),
}


@dataclass(frozen=True, slots=True)
class PointLook:
    """How a point is drawn."""

    engine: str
    """For the legend; with the run's number where there are several runs."""
    colour: int
    """Index into `COLOURS`."""
    strategy: str
    """In words."""
    marker: str
    """One that chart_style.py and page_charts.js know."""
    label: str
    """Its n, and what else tells it from points of the same engine, strategy and n."""

    @property
    def series(self) -> tuple[str, str]:
        """Points that differ in n or budget only have the same."""
        return self.engine, self.strategy


def point_looks(report: Report) -> dict[str, PointLook]:
    """The look of every point, by its id."""
    engines = list(dict.fromkeys(_engine(report, point) for point in report.points))
    strategies = list(dict.fromkeys(point.strategy for point in report.points))
    siblings: dict[tuple[object, ...], list[Point]] = {}
    for point in report.points:
        siblings.setdefault(_sibling(point), []).append(point)
    return {
        point.id: PointLook(
            engine=_engine(report, point),
            colour=engines.index(_engine(report, point)) % len(COLOURS),
            strategy=strategy_words(point.strategy),
            marker=_marker(point.strategy, strategies),
            label=_label(point, siblings[_sibling(point)]),
        )
        for point in report.points
    }


def task_words(report: Report) -> str:
    """What was solved: all runs of a report have the same samples, though their recipes may name them differently."""
    return ", ".join(dict.fromkeys(run.task for run in report.runs))


def axes(report: Report) -> tuple[Axis, ...]:
    """Those on which at least one point has a figure."""
    return tuple(axis for axis in AXES if any(cost_of(point, axis) is not None for point in report.points))


def cost_of(point: Point, axis: Axis) -> float | None:
    """Its cost where that can stand on a logarithmic axis: known, finite and above zero."""
    cost = point.cost(axis)
    return cost if cost is not None and math.isfinite(cost) and cost > 0 else None


def widest(report: Report) -> tuple[Point, ...]:
    """Of every engine and strategy, the point of the largest n and budget.

    Charts with room for few points show these: a choice by accuracy would favour what did well by luck.
    """
    looks = point_looks(report)
    found: dict[tuple[str, str], Point] = {}
    for point in report.points:
        best = found.setdefault(looks[point.id].series, point)
        if (point.n, point.budget_s) > (best.n, best.budget_s):
            found[looks[point.id].series] = point
    chosen = {point.id for point in found.values()}
    return tuple(point for point in report.points if point.id in chosen)


def quoted_here(report: Report) -> tuple[Quoted, ...]:
    """What others have published on the task of the report; `MATH-500` and `math500 (test)` are the same task."""
    names = {_plain(words) for run in report.runs for words in (run.task, run.task.partition(" ")[0])}
    return tuple(each for each in report.quoted if _plain(each.task) in names)


def quoted_shown(report: Report) -> tuple[Quoted, ...]:
    """Of those, as many as there is room for in a chart: first what is about a solver of the report."""
    solvers = {_plain(point.solver) for point in report.points}
    here = quoted_here(report)
    own = [each for each in here if any(name in _plain(each.model) or _plain(each.model) in name for name in solvers)]
    others = [each for each in here if each not in own]
    return tuple((own + others)[:MAX_QUOTED])


def quoted_title(report: Report) -> str:
    """Above them; all are in the page's table."""
    num_shown, num_here = len(quoted_shown(report)), len(quoted_here(report))
    return "quoted, not measured here" + (f" ({num_shown} of {num_here})" if num_shown < num_here else "")


def quoted_words(quoted: Quoted) -> str:
    """That it is quoted, and whom it is about."""
    words = [quoted.model, strategy_words(quoted.strategy)]
    if quoted.n is not None:
        words.append(f"n={quoted.n}")
    return f"{'quoted, run again here' if quoted.is_rerun else 'quoted'}: {' '.join(words)}"


def strategy_words(name: str) -> str:
    """A strategy for people."""
    return _STRATEGY_WORDS.get(name, name.replace("_", " "))


def _engine(report: Report, point: Point) -> str:
    return point.engine if len(report.runs) < 2 else f"{point.run + 1}/{point.engine}"


def _sibling(point: Point) -> tuple[object, ...]:
    return point.run, point.engine, point.strategy, point.n


def _label(point: Point, siblings: Sequence[Point]) -> str:
    words = [f"{point.n}"]
    if len({each.budget_s for each in siblings}) > 1:
        words.append(f"{point.budget_s:g} s")
    for name in _OTHER_SETTINGS:
        if len({str(each.settings.get(name)) for each in siblings}) > 1:
            words.append(f"{name}={point.settings.get(name)}")
    return ", ".join(words)


def _marker(strategy: str, strategies: Sequence[str]) -> str:
    others = [name for name in strategies if name not in _STRATEGY_MARKERS]
    if strategy in others:
        return _OTHER_MARKERS[others.index(strategy) % len(_OTHER_MARKERS)]
    return _STRATEGY_MARKERS[strategy]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


# ------------------------------------------------------------------------------------------------------------ numbers


def percent(share: float) -> str:
    """A share in [0, 1]."""
    return f"{100 * share:.1f}%"


def interval(estimate: Estimate) -> str:
    """A share with its interval, such as `72.5% (68.1 to 76.9)`."""
    return f"{percent(estimate.value)} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def in_points(estimate: Estimate) -> str:
    """A difference of shares, in percentage points, such as `+4.2 (-1.0 to +9.3)`."""
    value, low, high = (f"{100 * each + 0.0:+.1f}" for each in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def cost_words(axis: Axis, cost: float) -> str:
    """A cost with its unit, in three digits: `25.1 ms`, `15.9 MFLOP`, `$0.0012`, `312`."""
    unit = AXIS_LOOKS[axis].unit
    if unit == "$":
        return f"${cost:.3g}".replace("e-0", "e-")
    if unit == "s":
        return seconds(cost)
    return prefixed(cost, unit)


def seconds(duration_s: float) -> str:
    """A duration in three digits."""
    if 0 < duration_s < 1e-3:
        return f"{duration_s * 1e6:.3g} µs"
    return f"{duration_s * 1e3:.3g} ms" if 0 < duration_s < 1 else f"{_digits(duration_s)} s"


def prefixed(value: float, unit: str = "") -> str:
    """A number in three digits behind an SI prefix, such as `1.5 GB`."""
    size, prefix = next(((size, prefix) for size, prefix in _PREFIXES if abs(value) >= 0.9995 * size), (1.0, ""))
    return f"{_digits(value / size)} {prefix}{unit}".rstrip()


def probability(p: float) -> str:
    """A p-value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _digits(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


# -------------------------------------------------------------------------------------------------------------- ticks


def padded(values: Iterable[float]) -> tuple[float, float]:
    """The ends of a logarithmic axis around positive values, with some room."""
    found = list(values)
    low, high = min(found), max(found)
    room = max((high / low) ** 0.06, 1.04)
    return low / room, high * room


def accuracy_range(estimates: Iterable[Estimate]) -> tuple[float, float]:
    """The ends of an axis of shares around all intervals, with some room, within [0, 1]."""
    ends = [end for each in estimates for end in (each.low, each.high, each.value)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = max(0.06 * (high - low), 0.01)
    return max(0.0, low - room), min(1.0, high + room)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers on a logarithmic axis: decades, or 1-2-5, or evenly spaced ones where less than a factor of 8."""
    if high / low < 8:
        return _even_ticks(low, high)
    factors = (1,) if high / low > 3e3 else (1, 2, 5)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    return [tick for tick in found if low <= tick <= high]


def _even_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
