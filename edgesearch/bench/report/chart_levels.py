"""Accuracy by difficulty: grouped bars with intervals.

A colour is an engine, a hatch is a strategy. Of each engine and strategy only the widest point is shown.
"""

from collections.abc import Sequence
from typing import Any

from edgesearch.bench.report import looks
from edgesearch.bench.report.chart_style import GREY, SMALL, errors, frame, percents, set_ticks, text
from edgesearch.bench.report.looks import COLOURS, LEVEL_WORDS
from edgesearch.bench.report.model import LevelAccuracy, LevelKind, Report

MAX_BARS = 8
"""Points of a level; more cannot be told apart."""
SIZE = (9.4, 4.8)
"""Inches."""
_HATCHES = ("", "///", "...", "xxx", "---", "+++", "ooo", "\\\\\\")
_GROUP = 0.84
"""Width of a level's bars, of the distance between levels."""

Levels = Sequence[LevelAccuracy]


def shown(report: Report, kind: LevelKind) -> Levels:
    """What is drawn of the levels of a kind: the widest point of each engine and strategy."""
    levels = [each for each in report.levels if each.kind == kind]
    having = {each.point for each in levels}
    chosen = [point.id for point in looks.widest(report) if point.id in having] or sorted(having)
    return [each for each in levels if each.point in chosen[:MAX_BARS]]


def draw(report: Report, levels: Levels, kind: LevelKind, figure: Any) -> None:
    """Draws the bars of all levels."""
    axes = figure.subplots()
    _draw_bars(axes, report, levels)
    frame(axes, text(f"Accuracy by {LEVEL_WORDS[kind]}: {looks.task_words(report)}", 110))
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 100)
    axes.set_ylabel("accuracy (%), bars: 95% intervals", fontsize=9)
    axes.legend(fontsize=SMALL - 1, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_bars(axes: Any, report: Report, levels: Levels) -> None:
    points = list(dict.fromkeys(each.point for each in levels))
    words = list(dict.fromkeys(each.level for each in levels))
    names = looks.point_looks(report)
    strategies = list(dict.fromkeys(names[point].strategy for point in points))
    width = _GROUP / len(points)
    for number, point in enumerate(points):
        own = [each for each in levels if each.point == point]
        estimates = [each.accuracy for each in own]
        shift = width * (number - (len(points) - 1) / 2)
        axes.bar(
            [words.index(each.level) + shift for each in own],
            percents(estimates),
            width * 0.94,
            yerr=errors(estimates),
            color=COLOURS[names[point].colour],
            hatch=_HATCHES[strategies.index(names[point].strategy) % len(_HATCHES)],
            edgecolor="white",
            ecolor=GREY,
            error_kw={"linewidth": 0.8, "capsize": 1.5},
            label=text(report.point(point).name, 40),
        )
    ticks = [text(f"{word}\n{_counts(levels, word)}", 40) for word in words]
    set_ticks(axes.xaxis, range(len(words)), ticks)


def _counts(levels: Levels, word: str) -> str:
    counts = {each.num_samples for each in levels if each.level == word}
    shown = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    return f"{shown} {'problem' if shown == '1' else 'problems'}"
