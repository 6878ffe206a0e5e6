"""Paired differences of accuracy: a forest plot, one row a pair.

A filled mark has an interval that leaves out zero. Many pairs were compared: one in twenty such intervals misses by
chance.
"""

from typing import Any

from edgesearch.bench.report import looks
from edgesearch.bench.report.chart_style import GREY, SMALL, frame, set_ticks, text
from edgesearch.bench.report.model import Difference, Report

MAX_ROWS = 40
"""All are in the page's table."""
_AHEAD, _BEHIND = "#0072B2", "#D55E00"


def size(report: Report) -> tuple[float, float]:
    """Inches."""
    return 10.4, 1.2 + 0.29 * min(MAX_ROWS, len(report.differences))


def draw(report: Report, figure: Any) -> None:
    """Draws the first differences, the first one on top."""
    shown = report.differences[:MAX_ROWS]
    names = {point.id: point.name for point in report.points}
    axes = figure.subplots()
    for row, each in enumerate(shown):
        _draw_row(axes, row, each)
    axes.axvline(0, color=GREY, linewidth=0.8)
    left_out = len(report.differences) - len(shown)
    note = f" (the first {len(shown)} of {len(report.differences)})" if left_out else ""
    frame(axes, f"Difference of accuracy on the same problems, first minus second{note}")
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(shown) - 0.4, -0.6)
    pairs = [f"{names[each.first]}  −  {names[each.second]}" for each in shown]
    set_ticks(axes.yaxis, range(len(shown)), [text(pair, 80) for pair in pairs])
    axes.set_xlabel("percentage points, bars: 95% intervals; filled where zero is left out", fontsize=9)


def _draw_row(axes: Any, row: int, each: Difference) -> None:
    value, low, high = (100 * end for end in (each.difference.value, each.difference.low, each.difference.high))
    colour = _AHEAD if low > 0 else _BEHIND if high < 0 else GREY
    fill = "none" if colour == GREY else colour
    errors = [[max(0.0, value - low)], [max(0.0, high - value)]]
    axes.errorbar([value], [row], xerr=errors, color=colour, marker="o", markerfacecolor=fill, markersize=5, capsize=2)
    axes.annotate(
        looks.in_points(each.difference),
        (1.0, row),
        (4, 0),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        fontsize=SMALL - 1,
        va="center",
        annotation_clip=False,
    )
