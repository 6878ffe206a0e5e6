"""Coverage and selection against k: what k of a point's candidates would have reached, a panel for each engine.

The dashed line is the fitted law exp(a k^b) of coverage, with its error in the legend. The shaded bands are 95%
intervals.
"""

from collections.abc import Sequence
from typing import Any

from edgesearch.bench import power_law
from edgesearch.bench.report import looks
from edgesearch.bench.report.chart_style import MARKERS, SMALL, frame, percents, set_ticks, text
from edgesearch.bench.report.model import Curve, Estimate, Fit, Report

MAX_PANELS = 12
LINES = (
    ("coverage", "coverage: a right one among k", "#000000", "circle"),
    ("weighted", "weighted vote of k", "#009E73", "triangle"),
    ("best_of_n", "best of k", "#0072B2", "square"),
    ("majority", "majority vote of k", "#CC79A7", "diamond"),
)
_COLUMNS = 2


def shown(report: Report) -> tuple[Curve, ...]:
    """Of every engine, the curve of the most candidates, with scores if there is one."""
    found = looks.point_looks(report)
    best: dict[str, Curve] = {}
    for curve in report.curves:
        engine = found[curve.point].engine
        if engine not in best or _reach(curve) > _reach(best[engine]):
            best[engine] = curve
    return tuple(best.values())[:MAX_PANELS]


def _reach(curve: Curve) -> tuple[int, bool]:
    return max(curve.ks, default=0), curve.best_of_n is not None


def size(curves: Sequence[Curve]) -> tuple[float, float]:
    """Inches."""
    rows = -(-len(curves) // _COLUMNS)
    return (7.4 if len(curves) == 1 else 12.0), 0.3 + 4.3 * rows


def draw(report: Report, curves: Sequence[Curve], figure: Any) -> None:
    """Draws a panel for each curve."""
    columns = min(_COLUMNS, len(curves))
    panels = list(figure.subplots(-(-len(curves) // columns), columns, squeeze=False).flat)
    for axes, curve in zip(panels, curves, strict=False):
        _draw_curve(axes, report, curve)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()


def _draw_curve(axes: Any, report: Report, curve: Curve) -> None:
    point = report.point(curve.point)
    frame(axes, text(f"Coverage and selection: {point.name}, {looks.task_words(report)}", 80))
    for field, label, colour, marker in LINES:
        estimates: Sequence[Estimate] | None = getattr(curve, field)
        if estimates:
            _draw_line(axes, curve.ks, estimates, colour, MARKERS[marker], label)
    if curve.fit is not None:
        _draw_fit(axes, curve.ks, curve.fit)
    axes.set_xscale("log")
    places = k_ticks(curve.ks)
    set_ticks(axes.xaxis, places, [f"{place:,}" for place in places])
    axes.set_xlabel("k: candidates of a problem", fontsize=9)
    axes.set_ylabel("problems (%), bands: 95% intervals", fontsize=9)
    axes.legend(fontsize=SMALL - 1, frameon=False)


def _draw_line(
    axes: Any, ks: Sequence[int], estimates: Sequence[Estimate], colour: str, marker: str, label: str
) -> None:
    lows, highs = [100 * each.low for each in estimates], [100 * each.high for each in estimates]
    axes.fill_between(ks, lows, highs, color=colour, alpha=0.12, linewidth=0)
    axes.plot(ks, percents(estimates), color=colour, marker=marker, markersize=4, linewidth=1.3, label=label)


def _draw_fit(axes: Any, ks: Sequence[int], fit: Fit) -> None:
    first, last = min(ks), max(ks)
    xs = [first * (last / first) ** (number / 100) for number in range(101)]
    axes.plot(xs, 100 * power_law.predict(fit.a, fit.b, xs), color="#D55E00", linestyle="--", label=fit_words(fit))


def fit_words(fit: Fit) -> str:
    """The law and how far it is off, in percentage points."""
    return f"exp({fit.a:.2f} k^{fit.b:.2f}), off by {100 * fit.max_error:.1f} points at most"


def k_ticks(ks: Sequence[int]) -> list[int]:
    """Powers of two, or of four, eight, ... where there would be more than nine; the ends always."""
    most = max(ks)
    step = -(-most.bit_length() // 9)
    powers = [2**power for power in range(0, most.bit_length(), step)]
    return sorted({power for power in powers if min(ks) <= power} | {min(ks)})
