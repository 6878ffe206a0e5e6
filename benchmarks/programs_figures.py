"""Draws the pictures of the programs benchmark: coverage against samples, and what each way chooses.

    python benchmarks/programs_figures.py benchmarks/results/programs.json DIRECTORY

Needs matplotlib: pip install 'edgesearch[bench]'. Colours are Okabe and Ito's, which colour-blind readers can tell
apart, and each line has a marker of its own.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import draw_result
from nano_figures import require

from edgesearch.bench import power_law

Figures = Mapping[str, Any]
_FORMAT = "svg"
_WAYS = {
    "any": ("#000000", "x", "any of them right (pass@k)"),
    "visible_then_agreement": ("#009E73", "^", "visible examples, then agreement"),
    "agreement": ("#0072B2", "s", "agreement on written tests (CodeT)"),
    "visible": ("#D55E00", "o", "visible examples"),
    "random": ("#CC79A7", "D", "at random (pass@1)"),
}


def draw(figures: Figures, directory: Path) -> Iterator[Path]:
    """Writes the pictures and yields their paths.

    Raises:
        RuntimeError: matplotlib is missing.
    """
    pyplot = require()
    directory.mkdir(parents=True, exist_ok=True)
    for name, picture in (("programs-coverage", _coverage), ("programs-choosing", _choosing)):
        chart, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
        picture(axes, figures)
        axes.set_xscale("log")
        axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
        path = directory / f"{name}.{_FORMAT}"
        chart.savefig(path, metadata={"Date": None})
        pyplot.close(chart)
        yield path


def fitted(curve: Mapping[str, float]) -> dict[str, Any] | None:
    """The power law through points that are spread evenly in log k."""
    ks = power_law.spread(len(curve))
    return power_law.fit(ks, [curve[str(k)] for k in ks])


def _coverage(axes: Any, figures: Figures) -> None:
    found = figures["samples"]
    curve = found["curve"]
    ks = power_law.spread(len(curve))
    axes.plot(ks, [100 * curve[str(k)] for k in ks], "o", color="#0072B2", label="pass@k, unbiased")
    law = fitted(curve)
    if law is not None:
        label = f"exp(a k^b), a = {law['a']:.2f}, b = {law['b']:.2f}, rmse {100 * law['rmse']:.1f} points"
        axes.plot(ks, 100 * power_law.predict(law["a"], law["b"], ks), "-", color="#555555", linewidth=1, label=label)
    plain = found["plain"]
    axes.plot(
        list(map(int, plain)),
        [100 * each for each in plain.values()],
        "x",
        color="#D55E00",
        label="as one program, without a sandbox",
    )
    _label(
        axes,
        "k: samples of a problem",
        "pass@k (%)",
        f"HumanEval, CodeGen-16B, {found['num_samples']:,} recorded samples",
    )


def _choosing(axes: Any, figures: Figures) -> None:
    for way, (colour, marker, label) in _WAYS.items():
        points = figures["choosing"]["accuracy"][way]
        shown: Sequence[float] = [100 * each for each in points.values()]
        axes.plot(list(map(int, points)), shown, color=colour, marker=marker, label=label)
    _label(axes, "k: programs chosen from", "accuracy: problems solved (%)", "choosing one of k recorded programs")


def _label(axes: Any, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=10)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws a recorded result again."""
    return draw_result("programs", draw, arguments)


if __name__ == "__main__":
    sys.exit(main())
