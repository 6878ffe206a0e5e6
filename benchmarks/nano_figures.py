"""Draws the pictures of the nano benchmark from its figures: accuracy against n, the verifier's limit, coverage.

    python benchmarks/nano_figures.py benchmarks/results/nano.json DIRECTORY

Needs matplotlib: pip install 'edgesearch[bench]'. Colours are Okabe and Ito's, which colour-blind readers can tell
apart, and each line has a marker of its own.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cells import BASELINES, SOLVER
from common import draw_result

from edgesearch.bench import power_law

Figures = Mapping[str, Any]

FORMATS = ("png", "svg")
STYLES = {
    "beam": ("#D55E00", "o", "beam search"),
    "best_of_n": ("#0072B2", "s", "best of n"),
    "weighted": ("#009E73", "^", "weighted vote"),
    "majority": ("#CC79A7", "D", "majority vote"),
    "likelihood": ("#E69F00", "v", "likeliest"),
    "coverage": ("#000000", "x", "coverage"),
}
GREY = "#555555"


def draw(figures: Figures, directory: Path) -> list[Path]:
    """Writes each picture whose figures are there, in every format.

    Raises:
        RuntimeError: matplotlib is missing.
    """
    pictures = {
        "nano-accuracy": (_draw_accuracy, figures.get("accuracy")),
        "nano-verifier": (_draw_curve, (figures.get("verifier") or {}).get("curve")),
        "nano-coverage": (_draw_coverage, figures.get("coverage")),
    }
    directory.mkdir(parents=True, exist_ok=True)
    return [
        path
        for name, (picture, found) in pictures.items()
        if found is not None
        for path in _save(name, picture, found, directory)
    ]


def require() -> Any:
    """matplotlib, without a display.

    Raises:
        RuntimeError: it is missing.
    """
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ImportError as error:
        raise RuntimeError("pictures need matplotlib; install it: pip install 'edgesearch[bench]'") from error
    matplotlib.use("Agg")
    return importlib.import_module("matplotlib.pyplot")


def _save(name: str, picture: Any, found: Figures, directory: Path) -> Iterator[Path]:
    pyplot = require()
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    picture(axes, found)
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for form in FORMATS:
        path = directory / f"{name}.{form}"
        figure.savefig(path, dpi=160)
        yield path
    pyplot.close(figure)


# -- the pictures --------------------------------------------------------------------------------------------------


def _draw_accuracy(axes: Any, found: Figures) -> None:
    tables = [table for table in found["tables"] if table["split"] == "mixed"]
    table = next((each for each in tables if each["is_checked"]), tables[0])
    rows = {(row["solver"], row["strategy"], row["n"]): row for row in table["rows"]}
    for name in ("weighted", "best_of_n", "majority", "beam"):
        _line(axes, name, [(n, rows[key]) for key in sorted(rows) if key[1] == name for n in (key[2],)], "accuracy")
    _level(axes, rows[SOLVER, "greedy", 1]["accuracy"], ":", f"{SOLVER}, greedy")
    large = BASELINES[-1]
    ratio = rows[large, "greedy", 1]["params"] / rows[SOLVER, "greedy", 1]["params"]
    _level(axes, rows[large, "greedy", 1]["accuracy"], "--", f"{large}, greedy ({ratio:.0f} times the parameters)")
    kind = "answers checked where possible" if table["is_checked"] else "verifier alone"
    _label(axes, "n: solutions drafted for a problem", "accuracy: problems solved (%)", f"mixed problems, {kind}")


def _draw_curve(axes: Any, found: Figures) -> None:
    for name, points in found["choices"].items():
        _line(axes, name, [(point["n"], point) for point in points], "accuracy")
    _line(axes, "coverage", [(point["k"], point) for point in found["coverage"]], "coverage")
    _level(axes, found["greedy"]["accuracy"], ":", f"{SOLVER}, greedy")
    title = f"{found['problems']} mixed problems, verifier alone"
    _label(axes, "n: solutions chosen from", "accuracy: problems solved (%)", title)


def _draw_coverage(axes: Any, found: Figures) -> None:
    _line(axes, "coverage", [(point["k"], point) for point in found["coverage"]], "coverage", line="none")
    if fit := found["fit"]:
        most = found["coverage"][-1]["k"]
        ks = [most ** (i / 200) for i in range(201)]
        name = f"exp({fit['a']:.2f} k^{fit['b']:.2f}), error at most {100 * fit['max_error']:.1f} points"
        axes.plot(ks, 100 * power_law.predict(fit["a"], fit["b"], ks), color="#D55E00", label=name)
    title = f"{found['problems']} mixed problems, {found['samples']} samples each"
    _label(axes, "k: solutions drafted for a problem", "coverage: problems with a right one among k (%)", title)


def _line(axes: Any, name: str, points: Sequence[tuple[int, Figures]], key: str, *, line: str = "-") -> None:
    """A measured line with its 95% intervals."""
    colour, marker, label = STYLES[name]
    ns, values = [n for n, _ in points], [100 * point[key] for _, point in points]
    errors = [
        [
            max(0.0, sign * (100 * point["interval95"][end] - value))
            for (_, point), value in zip(points, values, strict=True)
        ]
        for end, sign in ((0, -1), (1, 1))
    ]
    axes.errorbar(
        ns,
        values,
        errors,
        color=colour,
        marker=marker,
        markersize=5,
        linestyle=line,
        capsize=2,
        linewidth=1.5,
        label=label,
    )


def _level(axes: Any, value: float, style: str, label: str) -> None:
    axes.axhline(100 * value, color=GREY, linestyle=style, linewidth=1.5, label=label)


def _label(axes: Any, x: str, y: str, title: str) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(f"{title}; bars: 95% intervals", fontsize=10)
    axes.legend(fontsize=8, frameon=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the pictures of a recorded result."""
    return draw_result("nano", draw, arguments)


if __name__ == "__main__":
    sys.exit(main())
