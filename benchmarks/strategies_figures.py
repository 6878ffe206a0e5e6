"""Draws the picture of strategies.py from its figures: accuracy against seconds, a line a strategy.

    python benchmarks/strategies_figures.py benchmarks/results/strategies.json DIRECTORY

Twenty lines in one frame cannot be told apart, so there is a frame for each kind of strategy, all with the same axes;
in each of them the weighted vote is there in grey. Needs matplotlib: pip install 'edgesearch[bench]'. Colours are Okabe
and Ito's, and each line of a frame has a marker of its own.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Figures = Mapping[str, Any]
Line = tuple[str, str | None]
"""A strategy and the verifier that chooses."""

PRM = "nano-prm"
PANELS: Mapping[str, Sequence[str]] = {
    "samples": ("greedy", "majority", "best_of_n", "weighted"),
    "step by step": ("beam", "dvts", "lookahead", "rebase"),
    "particles and trees": ("particle", "particle_gibbs", "mcts", "uct"),
    "one after the other": ("revision", "revision_vote", "budget_forcing"),
    "by the solver's certainty": ("deepconf", "deepconf_online", "mur", "phi"),
}
BY_VERIFIER = "best of n and weighted, by verifier"
HIDDEN = ("sample",)
"""What chooses as another does: `majority`."""
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#999999"
REFERENCE: Line = ("weighted", PRM)


def draw(figures: Figures, directory: Path) -> Path:
    """Writes strategies.svg.

    Raises:
        RuntimeError: matplotlib is missing.
    """
    pyplot = require()
    found = lines(figures["rows"])
    shown = panels(found)
    figure, axes = pyplot.subplots(2, 3, figsize=(12, 7.2), layout="constrained", sharex=True, sharey=True)
    for each, (title, names) in zip(axes.flat, shown.items(), strict=False):
        _draw_panel(each, title, {name: found[name] for name in names}, found.get(REFERENCE))
    for each in axes.flat[len(shown) :]:
        each.set_visible(False)
    figure.supxlabel("seconds for a problem (mean)", fontsize=10)
    figure.supylabel("accuracy: problems solved (%)", fontsize=10)
    widths = ", ".join(map(str, figures["plan"]["widths"]))
    figure.suptitle(f"{figures['problems']} held-out problems, n = {widths}; grey: weighted vote", fontsize=10)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "strategies.svg"
    figure.savefig(path)
    pyplot.close(figure)
    return path


def require() -> Any:
    """matplotlib, without a display.

    Raises:
        RuntimeError: it is missing.
    """
    try:
        importlib.import_module("matplotlib").use("Agg")
    except ImportError as error:
        raise RuntimeError("pictures need matplotlib; install it: pip install 'edgesearch[bench]'") from error
    return importlib.import_module("matplotlib.pyplot")


def lines(rows: Sequence[Figures]) -> dict[Line, list[Figures]]:
    """The rows of each strategy and verifier, n rising; without early stops and what failed."""
    found: dict[Line, list[Figures]] = {}
    for row in sorted(rows, key=lambda row: row["n"]):
        if row["early_stop"] is None and "accuracy" in row:
            found.setdefault((row["strategy"], row["verifier"]), []).append(row)
    return found


def panels(found: Mapping[Line, object]) -> dict[str, list[Line]]:
    """The lines of each frame; strategies that no frame is for come last, in the one of the verifiers."""
    named = {name: title for title, names in PANELS.items() for name in names}
    shown: dict[str, list[Line]] = {title: [] for title in (*PANELS, BY_VERIFIER)}
    for strategy, verifier in found:
        if strategy not in HIDDEN:
            is_usual = verifier in (None, PRM)
            shown[named.get(strategy, BY_VERIFIER) if is_usual else BY_VERIFIER].append((strategy, verifier))
    return {title: names for title, names in shown.items() if names}


def _draw_panel(
    axes: Any, title: str, found: Mapping[Line, Sequence[Figures]], reference: Sequence[Figures] | None
) -> None:
    if reference is not None and REFERENCE not in found:
        _plot(axes, reference, color=GREY, marker=".", linewidth=3, alpha=0.5, zorder=1)
    for number, ((strategy, verifier), rows) in enumerate(found.items()):
        label = strategy if verifier in (None, PRM) else f"{strategy} by {verifier.replace(':mean', '')}"
        _plot(axes, rows, color=COLOURS[number % 6], marker=MARKERS[number % 6], linewidth=1.4, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _plot(axes: Any, rows: Sequence[Figures], **style: Any) -> None:
    xs, ys = [row["wall_s"] for row in rows], [100 * row["accuracy"] for row in rows]
    axes.plot(xs, ys, markersize=5, **style)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the picture of a recorded result."""
    parser = argparse.ArgumentParser(description="Draw the picture of a result of strategies.py.")
    parser.add_argument("result", type=Path, help="such as benchmarks/results/strategies.json")
    parser.add_argument("directory", type=Path)
    args = parser.parse_args(arguments)
    try:
        print(draw(json.loads(args.result.read_text(encoding="utf-8"))["figures"], args.directory))
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
