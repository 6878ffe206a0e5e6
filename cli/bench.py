"""`edgesearch bench`: run a recipe into a store, and export a store.

Not covered: running (edgesearch.bench.runner), the views of a run (render_bench.py).
"""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesearch.errors import UsageError
from edgesearch.types import SCHEMA_VERSION

from . import json_output
from .interrupts import Interrupts
from .terminal import note, one_line, say, warn

if TYPE_CHECKING:
    from edgesearch.bench.events import Summary

_EXAMPLES = """\b
Examples:
  edgesearch bench run benchmarks/recipes/nano-small.toml --out run.sqlite
  edgesearch bench export run.sqlite --jsonl run.jsonl
"""
_RUN_EXAMPLES = """\b
Examples:
  edgesearch bench run recipe.toml --out run.sqlite
  edgesearch bench run recipe.toml --out try.sqlite --limit 5 --json

\b
The same command resumes a run that was interrupted: nothing is lost, nothing is done twice.
"""
_EXPORT_EXAMPLES = """\b
Examples:
  edgesearch bench export run.sqlite --jsonl run.jsonl --parquet run.parquet
  edgesearch bench export run.sqlite --samples samples.jsonl --cell 0123456789abcdef
"""


@click.group(epilog=_EXAMPLES, short_help="Run a recipe and keep every outcome.")
def bench() -> None:
    """Compare strategies, widths and models on the same problems, and keep every candidate."""


@bench.command(epilog=_RUN_EXAMPLES, short_help="Run a recipe, or go on with it.")
@click.argument("recipe", metavar="RECIPE.toml")
@click.option(
    "--out",
    required=True,
    metavar="RUN.sqlite",
    show_default="none",
    help="The store; a run that it holds already is gone on with.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="the recipe's",
    help="At most so many samples of the task.",
)
@click.option("--json", "is_json", is_flag=True, show_default="a table", help="Print one JSON object at the end.")
@click.option("--no-progress", is_flag=True, show_default="show", help="Show no progress while it runs.")
@click.pass_context
def run(ctx: click.Context, recipe: str, out: str, limit: int | None, is_json: bool, no_progress: bool) -> None:
    """Run what RECIPE.toml says and keep every outcome in a store.

    Ctrl-C ends it; what is done is kept. A second one leaves at once.
    """
    with Interrupts() as interrupts:
        summary = _run(Path(recipe), Path(out), limit, interrupts, has_progress=not no_progress)
        if is_json:
            json_output.echo(run_object(summary))
        else:
            _tell(summary)
        if summary.is_cancelled:
            kept = f"{summary.num_units - summary.num_left:,} of {summary.num_units:,} units are kept in {out}"
            note(one_line(f"Interrupted: {kept}. Run the same command again to go on."))
    ctx.exit(interrupts.exit_code or 0)


def _run(recipe: Path, out: Path, limit: int | None, interrupts: Interrupts, *, has_progress: bool) -> "Summary":
    if has_progress:
        note(f"Planning {one_line(str(recipe))} ...")  # before the slow imports
    from edgesearch.bench.events import RunFinished
    from edgesearch.bench.recipe import load
    from edgesearch.bench.runner import Runner
    from edgesearch.bench.units import make_plan

    from . import render_bench

    runner = Runner(make_plan(load(recipe), limit=limit), out)
    summary: Summary | None = None
    view = render_bench.open_view(is_shown=has_progress)
    with closing(view), interrupts.cancelling(runner.cancel):
        for event in runner.events():
            if interrupts.exit_code is not None:  # it may have come before there was a run to end
                runner.cancel()
            view.show(event)
            if isinstance(event, RunFinished):
                summary = event.summary
    assert summary is not None, "the last event is RunFinished"
    return summary


def _tell(summary: "Summary") -> None:
    """The table on stdout, the rest on stderr."""
    from . import render_bench

    for warning in summary.warnings:
        warn(warning)
    for line in render_bench.table_lines(summary):
        say(line)
    note(render_bench.summary_line(summary), is_dim=True)


def run_object(summary: "Summary") -> dict[str, object]:
    """What `edgesearch bench run --json` prints."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run": {"name": summary.name, "path": str(summary.path), "task": summary.task},
        "is_complete": summary.num_left == 0,
        "is_interrupted": summary.is_cancelled,
        "num_units": summary.num_units,
        "num_resumed": summary.num_resumed,
        "num_run": summary.num_run,
        "num_lost_workers": summary.num_lost_workers,
        "counts": summary.counts,
        "cells": [
            {"key": each.cell.key, "name": each.cell.name, "num_units": each.num_units, "counts": each.counts}
            for each in summary.cells
        ],
        "wall_s": summary.wall_s,
        "solve_s": summary.solve_s,
        "load_s": summary.load_s,
        "harness_share": summary.harness_share,
        "warnings": summary.warnings,
    }


@bench.command(epilog=_EXPORT_EXAMPLES, short_help="Write a store in another format.")
@click.argument("store", metavar="RUN.sqlite")
@click.option("--jsonl", metavar="FILE", show_default="none", help="Write an outcome a line, with its candidates.")
@click.option("--parquet", metavar="FILE", show_default="none", help="Write the same as Parquet (needs pyarrow).")
@click.option("--samples", metavar="FILE", show_default="none", help="Write a cell's candidates as recorded samples.")
@click.option("--cell", metavar="KEY", show_default="the only one", help="Which cell --samples is of.")
@click.option("--json", "is_json", is_flag=True, show_default="a line a file", help="Print one JSON object.")
def export(
    store: str, jsonl: str | None, parquet: str | None, samples: str | None, cell: str | None, is_json: bool
) -> None:
    """Write the outcomes of RUN.sqlite to other files; a run may go on meanwhile."""
    if jsonl is None and parquet is None and samples is None:
        raise UsageError("name what to write: --jsonl FILE, --parquet FILE or --samples FILE")
    if cell is not None and samples is None:
        raise UsageError("--cell is for --samples; the other formats hold all cells")
    from edgesearch.bench.export import to_jsonl, to_parquet, to_samples
    from edgesearch.bench.store import Store

    written: dict[str, int] = {}
    with Store.read(store) as opened:
        if jsonl is not None:
            written[jsonl] = to_jsonl(opened, jsonl)
        if parquet is not None:
            written[parquet] = to_parquet(opened, parquet)
        if samples is not None:
            written[samples] = to_samples(opened, samples, cell=cell)
    if is_json:
        files = [{"path": path, "num_rows": count} for path, count in written.items()]
        json_output.echo({"schema_version": SCHEMA_VERSION, "run": store, "files": files})
        return
    for path, count in written.items():
        say(one_line(f"{path}: {count:,} rows"))
