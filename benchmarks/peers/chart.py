"""The picture of the comparison: accuracy against seconds, and against the tokens that the solver drew.

    python benchmarks/peers/chart.py benchmarks/results/peers.json DIRECTORY

Needs matplotlib: pip install 'edgesearch[bench]'. its_hub's lines are dashed with open markers, edgesearch's solid with
full ones; a strategy has one colour in both. Colours are Okabe and Ito's.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from peers.plan import OURS, PEER

Figures = Mapping[str, Any]

COLOURS = {
    "self_consistency": "#CC79A7",
    "majority": "#CC79A7",
    "best_of_n": "#0072B2",
    "beam": "#D55E00",
    "particle": "#009E73",
}
MARKERS = {"self_consistency": "D", "majority": "D", "best_of_n": "s", "beam": "o", "particle": "^"}


def draw(figures: Figures, directory: Path) -> Path:
    """Writes peers.svg.

    Raises:
        RuntimeError: matplotlib is missing.
    """
    try:
        importlib.import_module("matplotlib").use("Agg")
    except ImportError as error:
        raise RuntimeError("pictures need matplotlib; install it: pip install 'edgesearch[bench]'") from error
    pyplot = importlib.import_module("matplotlib.pyplot")
    figure, panels = pyplot.subplots(1, 2, figsize=(11.5, 4.6), layout="constrained", sharey=True)
    _draw_panel(panels[0], figures, "seconds")
    _draw_budgets(panels[0], figures)
    _draw_panel(panels[1], figures, "tokens")
    panels[0].set_xlabel("median seconds for a problem")
    panels[0].set_ylabel("accuracy: problems solved (%)")
    panels[1].set_xlabel("tokens drawn by the solver for a problem (mean)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8, frameon=False)
    figure.suptitle(f"{figures['problems']} {figures['split']} problems, the same solver and verifier", fontsize=10)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "peers.svg"
    figure.savefig(path)
    pyplot.close(figure)
    return path


def _draw_panel(axes: Any, figures: Figures, what: str) -> None:
    for (system, strategy, is_checked), cells in _lines(figures).items():
        is_ours = system == OURS
        axes.plot(
            [cell["seconds"]["median"] if what == "seconds" else cell["decoded_tokens"] for cell in cells],
            [100 * cell["accuracy"] for cell in cells],
            color="#000000" if is_checked else COLOURS[strategy],
            linestyle="-" if is_ours else "--",
            marker=MARKERS[strategy],
            markerfacecolor=None if is_ours else "none",
            markersize=5,
            linewidth=1.3,
            label=f"{system}, {strategy}{', checked' * is_checked}",
        )
    axes.set_xscale("log")
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_budgets(axes: Any, figures: Figures) -> None:
    """What edgesearch does with the seconds of each cell of its_hub, strategy and width left to it."""
    seconds = {cell["name"]: cell["seconds"]["median"] for cell in figures["cells"]}
    for is_checked, marker in ((False, "x"), (True, "+")):
        cells = [cell for cell in figures["cells"] if cell["seconds_of"] and cell["is_checked"] == is_checked]
        axes.plot(
            [seconds[cell["seconds_of"]] for cell in cells],
            [100 * cell["accuracy"] for cell in cells],
            color="#000000",
            linestyle="none",
            marker=marker,
            label=f"edgesearch in its_hub's seconds{', checked' * is_checked}",
        )


def _lines(figures: Figures) -> dict[tuple[str, str, bool], list[Figures]]:
    """The cells of each strategy by width; of the checked ones best-of-n only."""
    found: dict[tuple[str, str, bool], list[Figures]] = {}
    for cell in sorted(figures["cells"], key=lambda cell: cell["n"]):
        is_shown = cell["strategy"] == "best_of_n" or not cell["is_checked"]
        if cell["system"] in (PEER, OURS) and cell["strategy"] in COLOURS and is_shown:
            found.setdefault((cell["system"], cell["strategy"], cell["is_checked"]), []).append(cell)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the picture of a recorded result."""
    parser = argparse.ArgumentParser(description="Draw the picture of a result of compare.py.")
    parser.add_argument("result", type=Path, help="such as benchmarks/results/peers.json")
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
