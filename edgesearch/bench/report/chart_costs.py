"""Accuracy against one cost: points with intervals, the Pareto front as a line.

Points that differ in n or budget only are joined by a thin line. Published figures are hollow and stand beside the
axis, since their cost here is not known; nothing joins them to measured ones.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from edgesearch.bench.report import labels, looks
from edgesearch.bench.report.chart_style import GREY, MARKERS, SMALL, errors, frame, percents, set_ticks, text
from edgesearch.bench.report.labels import Box
from edgesearch.bench.report.looks import AXIS_LOOKS, COLOURS, PointLook
from edgesearch.bench.report.model import Axis, Point, Quoted, Report

_LETTER_PT = 4.7
"""Width of a digit in 8 points."""
_QUOTED_GAP = 5.2
"""Percent of the height of an axis that a line of text takes."""

Shown = Sequence[tuple[Point, PointLook, float]]
"""Points with their looks and costs."""


def size(report: Report) -> tuple[float, float]:
    """Inches."""
    return (12.0 if looks.quoted_shown(report) else 8.4), 5.4


def draw(report: Report, axis: Axis, figure: Any) -> None:
    """Draws the points, the published figures beside them, and a legend."""
    quoted = looks.quoted_shown(report)
    shown = _shown(report, axis)
    panels = figure.subplots(1, 2, width_ratios=[1, 0.4]) if quoted else [figure.subplots()]
    limits = _draw_measured(panels[0], report, axis, shown, quoted)
    if quoted:
        _draw_quoted(panels[1], report, limits)
    _legend(figure, report, axis, has_quoted=bool(quoted))
    figure.draw_without_rendering()  # labels go where there is room, so the room must be known
    figure.set_layout_engine("none")
    _label(panels[0], figure.dpi, shown)


def _shown(report: Report, axis: Axis) -> Shown:
    found = looks.point_looks(report)
    costs = ((point, found[point.id], looks.cost_of(point, axis)) for point in report.points)
    return [(point, look, cost) for point, look, cost in costs if cost is not None]


def _draw_measured(
    axes: Any, report: Report, axis: Axis, shown: Shown, quoted: Sequence[Quoted]
) -> tuple[float, float]:
    """Draws the measured points; returns the limits of accuracies, in percent."""
    frame(axes, text(f"Accuracy against {AXIS_LOOKS[axis].title}: {looks.task_words(report)}", 110))
    axes.set_xscale("log")
    _draw_front(axes, report, axis, shown)
    _draw_series(axes, shown)
    for point, look, cost in shown:
        axes.errorbar(
            [cost],
            percents([point.accuracy]),
            errors([point.accuracy]),
            color=COLOURS[look.colour],
            ecolor=(COLOURS[look.colour], 0.5),
            marker=MARKERS[look.marker],
            markersize=6.5,
            capsize=2,
            elinewidth=1,
            zorder=3,
        )
    low, high = looks.padded(cost for _, _, cost in shown)
    places = looks.ticks(low, high)
    axes.set_xlim(low, high)
    set_ticks(axes.xaxis, places, [looks.cost_words(axis, place) for place in places])
    axes.set_xlabel(AXIS_LOOKS[axis].title, fontsize=9)
    axes.set_ylabel("accuracy (%), bars: 95% intervals", fontsize=9)
    return _limit_accuracies(axes, shown, quoted)


def _limit_accuracies(axes: Any, shown: Shown, quoted: Sequence[Quoted]) -> tuple[float, float]:
    bottom, top = looks.accuracy_range(point.accuracy for point, _, _ in shown)
    bottom = min([bottom, *(each.accuracy - 0.02 for each in quoted)])
    top = max([top, *(each.accuracy + 0.02 for each in quoted)])
    limits = 100 * max(0.0, bottom), 100 * min(1.0, top)
    axes.set_ylim(*limits)
    return limits


def _draw_front(axes: Any, report: Report, axis: Axis, shown: Shown) -> None:
    for front in report.fronts:
        on_it = [(cost, 100 * point.accuracy.value) for point, _, cost in shown if point.id in front.points]
        if front.axis == axis and on_it:
            axes.plot(*zip(*sorted(on_it), strict=True), color="#BBBBBB", linewidth=5, solid_capstyle="round", zorder=1)


def _draw_series(axes: Any, shown: Shown) -> None:
    """Thin lines through the points of an engine and strategy."""
    ordered = sorted(shown, key=lambda each: (each[1].series, each[0].n, each[0].budget_s))
    for _, group in groupby(ordered, key=lambda each: each[1].series):
        members = list(group)
        xs, ys = [cost for _, _, cost in members], [100 * point.accuracy.value for point, _, _ in members]
        axes.plot(xs, ys, color=COLOURS[members[0][1].colour], linewidth=0.8, alpha=0.5, zorder=2)


def _label(axes: Any, dpi: float, shown: Shown) -> None:
    """The n of every point, beside it."""
    per_pt = dpi / 72
    corners = axes.transData.transform([(cost, 100 * point.accuracy.value) for point, _, cost in shown]) / per_pt
    box = axes.get_window_extent()
    room = Box(box.x0 / per_pt, box.y0 / per_pt, box.width / per_pt, box.height / per_pt)
    points = [(float(x), float(y)) for x, y in corners]
    sizes = [(_LETTER_PT * len(look.label) + 1, 9.0) for _, look, _ in shown]
    places = labels.beside_points(points, sizes, room)
    for (point, look, cost), (x, y), place in zip(shown, points, places, strict=True):
        offset = (place.left + place.width / 2 - x, place.bottom + place.height / 2 - y)
        axes.annotate(
            text(look.label),
            (cost, 100 * point.accuracy.value),
            offset,
            textcoords="offset points",
            fontsize=SMALL,
            color=COLOURS[look.colour],
            ha="center",
            va="center",
            zorder=4,
        )


def _draw_quoted(axes: Any, report: Report, limits: tuple[float, float]) -> None:
    """Hollow marks at the height of each published figure, with who it is about."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(*limits)
    quoted = looks.quoted_shown(report)
    axes.set_title(looks.quoted_title(report), fontsize=SMALL, loc="left", color=GREY)
    gap = (limits[1] - limits[0]) * _QUOTED_GAP / 100
    heights = [100 * each.accuracy for each in quoted]
    for each, height, place in zip(quoted, heights, labels.apart(heights, gap, *limits), strict=True):
        axes.plot([0.03], [height], marker="o", markersize=6, markerfacecolor="none", color=GREY, clip_on=False)
        axes.plot([0.06, 0.11], [height, place], color=GREY, linewidth=0.5, clip_on=False)
        words = f"{100 * each.accuracy:.1f} {looks.quoted_words(each)}"
        axes.text(0.13, place, text(words, 56), fontsize=SMALL - 1, va="center", color=GREY)


def _legend(figure: Any, report: Report, axis: Axis, *, has_quoted: bool) -> None:
    from matplotlib.lines import Line2D

    found = looks.point_looks(report)
    drawn = [found[point.id] for point in report.points if looks.cost_of(point, axis) is not None]
    engines = {look.engine: COLOURS[look.colour] for look in drawn}
    strategies = {look.strategy: MARKERS[look.marker] for look in drawn}
    handles = [Line2D([], [], color=colour, linewidth=4, label=text(name)) for name, colour in engines.items()]
    handles += [
        Line2D([], [], color=GREY, marker=marker, linestyle="none", label=text(name))
        for name, marker in strategies.items()
    ]
    if any(front.axis == axis for front in report.fronts):
        handles.append(Line2D([], [], color="#BBBBBB", linewidth=5, label="Pareto front"))
    if has_quoted:
        hollow = Line2D([], [], color=GREY, marker="o", markerfacecolor="none", linestyle="none", label="quoted")
        handles.append(hollow)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=7, fontsize=SMALL, frameon=False,
        title="colour: engine, mark: strategy, number: n", title_fontsize=SMALL,
    )  # fmt: skip
