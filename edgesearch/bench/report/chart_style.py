"""What the charts share: frames, points with their intervals, text that is not read as a formula.

Not covered: colours, words and ticks, which the page shares too (looks.py).
"""

from collections.abc import Sequence
from typing import Any

from edgesearch.bench.report.model import Estimate

MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "plus": "P",
    "star": "*",
    "hexagon": "h",
    "cross": "X",
    "down": "v",
}
GREY = "#555555"
LIGHT = "#DDDDDD"
SMALL = 8
"""Points, of labels and legends."""


def text(words: str, most: int = 1000) -> str:
    """Words as they are, cut to a length: a pair of dollar signs would be a formula to matplotlib."""
    cut = words if len(words) <= most else f"{words[: most - 1]}…"
    return cut.replace("$", r"\$")


def frame(axes: Any, title: str) -> None:
    """A title, a light grid, and no box."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(visible=True, color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=SMALL)


def errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    """How far the intervals reach below and above their values, in percent, as `errorbar` wants it."""
    below = [max(0.0, 100 * (each.value - each.low)) for each in estimates]
    above = [max(0.0, 100 * (each.high - each.value)) for each in estimates]
    return [below, above]


def percents(estimates: Sequence[Estimate]) -> list[float]:
    """Their values, in percent."""
    return [100 * each.value for each in estimates]


def set_ticks(axis: Any, places: Sequence[float], words: Sequence[str]) -> None:
    """Just these ticks on an axis."""
    axis.set_ticks(places, labels=[text(each) for each in words])
    axis.set_ticks([], minor=True)
