"""`edgesearch bench report` and `bench compare`: what the stores of runs say, as a table, JSON, a page or charts.

Not covered: measuring (edgesearch.bench.report), words and tables (render_report.py).
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from edgesearch.errors import UsageError

from . import json_output, shared_options
from .terminal import note, one_line, warn

if TYPE_CHECKING:
    from edgesearch.bench.prices import Price
    from edgesearch.bench.report.model import Quoted
    from edgesearch.bench.store import Store

Result = TypeVar("Result")

SECONDS_PER_NOTE = 1.0

_REPORT_EXAMPLES = """\b
Examples:
  edgesearch bench report run.sqlite
  edgesearch bench report small.sqlite large.sqlite --html report.html --png charts
  edgesearch bench report run.sqlite --price large=4xh100-80gb-lambda --price small=0.02/hour --json

\b
A price is a name of the table (edgesearch/bench/prices.toml), NUMBERxNAME, 0.50/hour or 0.10+0.40/Mtok.
"""
_COMPARE_EXAMPLES = """\b
Examples:
  edgesearch bench compare ours.sqlite theirs.sqlite
  edgesearch bench compare ours.sqlite theirs.sqlite --json
"""

_json_option = click.option("--json", "is_json", is_flag=True, show_default="tables", help="Print one JSON object.")
_price_option = click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="ENGINE=PRICE",
    show_default="none",
    help="What an engine costs; repeat for each engine.",
)


@click.command(epilog=_REPORT_EXAMPLES, short_help="Show what runs reached and what it cost.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN.sqlite...")
@_json_option
@shared_options.HTML
@click.option("--png", metavar="DIR", show_default="none", help="Write charts into a folder (needs matplotlib).")
@_price_option
@click.option(
    "--published", metavar="FILE", show_default="none", help="Show the published figures of a TOML file beside these."
)
def report(
    runs: tuple[str, ...],
    is_json: bool,
    html: str | None,
    png: str | None,
    prices: tuple[str, ...],
    published: str | None,
) -> None:
    """Measure one or more runs on the same samples.

    Accuracy, coverage, seconds, FLOPs (the verifier's included), memory and dollars, with 95% intervals over problems;
    where a small model reaches a larger one; what more samples would bring. A run may go on meanwhile.
    """
    _say_start(runs)
    from edgesearch.bench.report.measure import measuring

    costs, quoted = _prices(prices), _quoted(published)
    with ExitStack() as closing:
        stores = _opened(runs, closing)
        found = _watched(measuring(stores, quoted=quoted, prices=costs))
        if html is not None:
            from edgesearch.bench.report import page

            note(one_line(f"Writing {html} ..."), is_dim=True)
            page.write(found, stores, Path(html))
    if png is not None:
        from edgesearch.bench.report import charts

        note(one_line(f"Writing charts into {png} ..."), is_dim=True)
        charts.write(found, Path(png))
    if is_json:
        json_output.echo(found.as_json())
        return
    from . import render_report

    render_report.show(render_report.report_parts(found))
    for warning in found.warnings:
        warn(warning)


@click.command(epilog=_COMPARE_EXAMPLES, short_help="Compare two runs, setting against setting.")
@click.argument("first", metavar="A.sqlite")
@click.argument("second", metavar="B.sqlite")
@_json_option
@_price_option
def compare(first: str, second: str, is_json: bool, prices: tuple[str, ...]) -> None:
    """Say who wins where, and by how much: A.sqlite against B.sqlite, on the same samples.

    Each setting of A stands against the setting of B with its strategy, n and m, else against the best of B.
    Differences are paired by problem.
    """
    _say_start((first, second))
    from edgesearch.bench.report.compare import comparing

    costs = _prices(prices)
    with ExitStack() as closing:
        ours, theirs = _opened((first, second), closing)
        found = _watched(comparing(ours, theirs, prices=costs))
    if is_json:
        json_output.echo(found.as_json())
        return
    from . import render_report

    render_report.show(render_report.comparison_parts(found))
    for warning in found.warnings:
        warn(warning)


def _say_start(runs: Sequence[str]) -> None:
    note(f"Measuring {one_line(', '.join(runs))} ...", is_dim=True)  # before the slow imports


def _opened(runs: Sequence[str], closing: ExitStack) -> "list[Store]":
    from edgesearch.bench.store import Store

    return [closing.enter_context(Store.read(path)) for path in runs]


def _prices(assignments: Sequence[str]) -> "dict[str, Price]":
    from edgesearch.bench.prices import parse_assignment

    found = [parse_assignment(text) for text in assignments]
    engines = [engine for engine, _ in found]
    for engine in engines:
        if engines.count(engine) > 1:
            raise UsageError(f"--price names the engine {engine!r} more than once; give it one price")
    return dict(found)


def _quoted(path: str | None) -> "Sequence[Quoted]":
    if path is None:
        return ()
    from edgesearch.bench import published

    return published.read(Path(path))


def _watched(steps: Generator[str, None, Result], clock: Callable[[], float] = time.monotonic) -> Result:
    """What the steps return; says which one comes next on stderr, at most one line a second."""
    next_note_at = clock() + SECONDS_PER_NOTE
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            found: Result = end.value
            return found
        if clock() >= next_note_at:
            note(f"{one_line(step)} ...", is_dim=True)
            next_note_at = clock() + SECONDS_PER_NOTE
