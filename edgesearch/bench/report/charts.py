"""The charts of a report, as PNG files.

    accuracy-seconds.png, accuracy-flops.png, ...    what accuracy costs, one file for each cost that is known
    coverage.png                                     coverage and selection against k, with the fitted law
    difficulty-oracle.png, ...                       accuracy by difficulty, one file for each kind of level
    differences.png                                  paired differences between points

A chart without data is not written. Each is drawn by a file of its own, chart_*.py.

Not covered: the figures (measure.py), the page, which draws its own (page.py). Files of an earlier report in the same
folder are replaced where this one has the same chart, and stay where it has not.
"""

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from edgesearch.bench.files import replaced
from edgesearch.bench.report import chart_costs, chart_curves, chart_differences, chart_levels, looks
from edgesearch.bench.report.model import Report
from edgesearch.errors import EdgesearchError

DPI = 160

Chart = tuple[str, tuple[float, float], Callable[[Any], None]]
"""Name, width and height in inches, and what draws it into a figure."""


def write(report: Report, folder: Path) -> tuple[Path, ...]:
    """Draws all charts that have data.

    Args:
        report: what to draw.
        folder: where to; made if it is not there.

    Returns:
        The files, in the order of this module's text.

    Raises:
        EdgesearchError: matplotlib is not installed (holds the pip command), or a file cannot be written.
    """
    matplotlib = _figures()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgesearchError(f"the folder {folder} cannot be made ({error.strerror}); give another") from error
    return tuple(_save(matplotlib, folder, chart) for chart in _charts(report))


def _charts(report: Report) -> Iterator[Chart]:
    for axis in looks.axes(report):
        name = f"accuracy-{looks.AXIS_LOOKS[axis].word.lower()}"
        yield name, chart_costs.size(report), partial(chart_costs.draw, report, axis)
    if curves := chart_curves.shown(report):
        yield "coverage", chart_curves.size(curves), partial(chart_curves.draw, report, curves)
    for kind in looks.LEVEL_KINDS:
        if levels := chart_levels.shown(report, kind):
            draw = partial(chart_levels.draw, report, levels, kind)
            yield f"difficulty-{kind}", chart_levels.SIZE, draw
    if report.differences:
        yield "differences", chart_differences.size(report), partial(chart_differences.draw, report)


def _save(matplotlib: Any, folder: Path, chart: Chart) -> Path:
    name, size, draw = chart
    figure = matplotlib.Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    draw(figure)
    with replaced(folder / f"{name}.png") as file:
        figure.savefig(file, format="png")
    return folder / f"{name}.png"


def _figures() -> Any:
    """matplotlib's figures, which need neither a display nor pyplot's global state."""
    try:
        return importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise EdgesearchError(
            "charts are drawn by matplotlib, which is not installed: pip install 'edgesearch[bench]' (or pip install "
            "matplotlib); or write the page, which needs nothing more"
        ) from error
