"""Draws the pictures of budgets.py from its figures: accuracy against seconds, and how reliable confidences are.

    python benchmarks/budgets_figures.py benchmarks/results/budgets.json DIRECTORY

Needs matplotlib: pip install 'edgesearch[bench]'.
"""

import importlib
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import draw_result
from strategies_figures import COLOURS, GREY, MARKERS, require

Figures = Mapping[str, Any]

NEAR_LOG_S, NEAR_ACCURACY = 0.3, 0.03
"""Points that are nearer than both share a label."""
LEAST_COUNT = 5
"""Confidences in a bin that is drawn: a share of fewer says nothing."""


def draw(figures: Figures, directory: Path) -> list[Path]:
    """Writes budgets.svg and budgets-reliability.svg.

    Raises:
        RuntimeError: matplotlib is missing.
    """
    pyplot = require()
    directory.mkdir(parents=True, exist_ok=True)
    pictures = {"budgets": _draw_curves, "budgets-reliability": _draw_reliability}
    paths = []
    for name, paint in pictures.items():
        figure, axes = pyplot.subplots(figsize=(7.2, 4.8) if name == "budgets" else (4.8, 4.8), layout="constrained")
        paint(axes, figures)
        axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        paths.append(directory / f"{name}.svg")
        figure.savefig(paths[-1])
        pyplot.close(figure)
    return paths


def _draw_curves(axes: Any, figures: Figures) -> None:
    strategies: dict[str, list[Figures]] = {}
    for row in figures["fixed"]:
        strategies.setdefault(row["strategy"], []).append(row)
    for number, (name, rows) in enumerate(strategies.items()):
        style = {"color": COLOURS[number % 6], "marker": MARKERS[number % 6], "linewidth": 1.0, "markersize": 4}
        _plot(axes, sorted(rows, key=lambda row: row["n"]), label=_label(name, rows), **style)
    auto = figures["auto"]
    band = sorted(auto, key=lambda row: row["mean_s"])
    low, high = ([100 * row["interval95"][end] for row in band] for end in (0, 1))
    axes.fill_between([row["mean_s"] for row in band], low, high, color="black", alpha=0.08, linewidth=0)
    _plot(axes, auto, label="auto, by budget", color="black", marker="o", linewidth=2.2, markersize=5)
    for rows in neighbours(auto):
        budgets = f"{rows[0]['budget_s']:g}" + (f" to {rows[-1]['budget_s']:g}" if len(rows) > 1 else "")
        at = (rows[0]["mean_s"], 100 * rows[0]["accuracy"])
        axes.annotate(f"{budgets} s", at, (0, 7), textcoords="offset points", fontsize=7, ha="center")
    ticker = importlib.import_module("matplotlib.ticker")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel("seconds for a problem (mean)", fontsize=10)
    axes.set_ylabel("accuracy: problems solved (%)", fontsize=10)
    axes.set_title(f"{figures['problems']} held-out problems; band: 95% interval of auto", fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False, loc="lower right")


def neighbours(auto: Sequence[Figures]) -> list[list[Figures]]:
    """Budgets in a row whose points all but cover each other, such as those that end by themselves before."""
    found: list[list[Figures]] = []
    for row in auto:
        first = found[-1][0] if found else None
        is_near = (
            first is not None
            and abs(math.log(row["mean_s"] / first["mean_s"])) < NEAR_LOG_S
            and abs(row["accuracy"] - first["accuracy"]) < NEAR_ACCURACY
        )
        if is_near:
            found[-1].append(row)
        else:
            found.append([row])
    return found


def _label(name: str, rows: Sequence[Figures]) -> str:
    widths = sorted(row["n"] for row in rows)
    return name if len(widths) == 1 else f"{name}, n={widths[0]} to {widths[-1]}"


def _plot(axes: Any, rows: Sequence[Figures], **style: Any) -> None:
    axes.plot([row["mean_s"] for row in rows], [100 * row["accuracy"] for row in rows], **style)


def _draw_reliability(axes: Any, figures: Figures) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    kinds = {"all": "all", "without_proof": "not decided by an exact check"}
    for number, (key, label) in enumerate(kinds.items()):
        found = figures["confidence_of_all"][key]
        if found is not None:
            bins = [row for row in found["reliability"] if row["count"] >= LEAST_COUNT]
            xs, ys = [row["score"] for row in bins], [row["right"] for row in bins]
            text = f"{label}: ECE {found['ece']:.3f}, Brier {found['brier']:.3f}"
            style = {"color": COLOURS[number], "marker": MARKERS[number], "markersize": 8 - 3 * number}
            axes.plot(xs, ys, linewidth=3 - 1.6 * number, label=text, **style)  # the first shows behind the second
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence", fontsize=10)
    axes.set_ylabel("share that is right", fontsize=10)
    budgets = [f"{budget_s:g}" for budget_s in figures["plan"]["budgets_s"]]
    axes.set_title(f"auto, {', '.join(budgets)} s; {figures['problems']} problems", fontsize=10, loc="left")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="lower right")


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the pictures of a recorded result."""
    return draw_result("budgets", draw, arguments)


if __name__ == "__main__":
    sys.exit(main())
