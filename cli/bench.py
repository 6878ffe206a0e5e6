"""`edgesearch bench`: run a recipe into a store, and export a store.

Not covered: running (edgesearch.bench.runner), the views of a run (render_bench.py), reports (bench_report.py).
"""

from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesearch.errors import UsageError
from edgesearch.types import SCHEMA_VERSION

from . import json_output
from .bench_report import compare, report
from .interrupts import Interrupts
from .terminal import note, one_line, say, warn

if TYPE_CHECKING:
    from edgesearch.bench.crew import Crew
    from edgesearch.bench.events import Summary
    from edgesearch.bench.runner import Runner

_EXAMPLES = """\b
Examples:
  edgesearch bench run benchmarks/recipes/nano-small.toml --out run.sqlite
  edgesearch bench report run.sqlite --html report.html
  edgesearch bench compare ours.sqlite theirs.sqlite
  edgesearch bench export run.sqlite --jsonl run.jsonl
"""
_RUN_EXAMPLES = """\b
Examples:
  edgesearch bench run recipe.toml --out run.sqlite
  edgesearch bench run recipe.toml --out try.sqlite --limit 5 --json
  edgesearch bench run recipe.toml --out run.sqlite --ray auto --gpus-per-worker 1

\b
For --ray: "ray start --head" on one machine, "ray start --address=HOST:PORT" on each of the others, with the same
edgesearch and model files on all of them.

\b
The same command resumes a run that was interrupted: nothing is lost, nothing is done twice.
"""
_EXPORT_EXAMPLES = """\b
Examples:
  edgesearch bench export run.sqlite --jsonl run.jsonl --parquet run.parquet
  edgesearch bench export run.sqlite --samples samples.jsonl --cell 0123456789abcdef
"""


@dataclass(frozen=True, slots=True)
class Staff:
    """What the flags say about who solves."""

    ray: str | None
    cpus: int | None
    gpus: float | None

    def crew(self) -> "AbstractContextManager[Crew]":
        """The workers, until the end of the context."""
        if self.ray is None:
            if self.cpus is not None or self.gpus is not None:
                raise UsageError("--cpus-per-worker and --gpus-per-worker are for --ray; here one worker has it all")
            from edgesearch.bench.crew import LocalCrew

            return nullcontext(LocalCrew())
        from edgesearch.bench.places import Share
        from edgesearch.bench.ray_cluster import connected

        return connected(self.ray, Share(self.cpus, self.gpus or 0.0))


@dataclass(frozen=True, slots=True)
class Job:
    """What the flags say about a run."""

    recipe: Path
    out: Path
    limit: int | None
    retries_errors: bool
    staff: Staff


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
@click.option("--retry-errors", is_flag=True, show_default="keep", help="Run units again that ended in an error.")
@click.option(
    "--ray",
    metavar="HOST:PORT",
    show_default="this machine alone",
    help="Spread the run over this Ray cluster; auto for the one that this machine is part of.",
)
@click.option(
    "--cpus-per-worker",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="an equal share",
    help="CPUs of its node that each worker on the cluster has to itself; one worker a node by default.",
)
@click.option(
    "--gpus-per-worker",
    type=click.FloatRange(min=0, max=1024),
    metavar="N",
    show_default="none",
    help="The same for GPUs; may be a part of one.",
)
@click.option("--json", "is_json", is_flag=True, show_default="a table", help="Print one JSON object at the end.")
@click.option("--no-progress", is_flag=True, show_default="show", help="Show no progress while it runs.")
@click.pass_context
def run(
    ctx: click.Context,
    recipe: str,
    out: str,
    limit: int | None,
    retry_errors: bool,
    ray: str | None,
    cpus_per_worker: int | None,
    gpus_per_worker: float | None,
    is_json: bool,
    no_progress: bool,
) -> None:
    """Run what RECIPE.toml says and keep every outcome in a store.

    Ctrl-C ends it; what is done is kept. A second one leaves at once.
    """
    job = Job(Path(recipe), Path(out), limit, retry_errors, Staff(ray, cpus_per_worker, gpus_per_worker))
    with Interrupts() as interrupts:
        summary = _run(job, interrupts, has_progress=not no_progress)
        if is_json:
            json_output.echo(run_object(summary))
        else:
            _tell(summary)
        if summary.is_cancelled:
            kept = f"{summary.num_units - summary.num_left:,} of {summary.num_units:,} units are kept in {out}"
            note(one_line(f"Interrupted: {kept}. Run the same command again to go on."))
    ctx.exit(interrupts.exit_code or 0)


def _run(job: Job, interrupts: Interrupts, *, has_progress: bool) -> "Summary":
    if has_progress:
        note(f"Planning {one_line(str(job.recipe))} ...")  # before the slow imports
    from edgesearch.bench.recipe import load
    from edgesearch.bench.runner import Runner
    from edgesearch.bench.units import make_plan

    plan = make_plan(load(job.recipe), limit=job.limit)
    if has_progress and job.staff.ray is not None:
        note(f"Connecting to the Ray cluster {one_line(job.staff.ray)} ...")
    with job.staff.crew() as crew:
        runner = Runner(plan, job.out, crew=crew, retries_errors=job.retries_errors)
        return _watch(runner, interrupts, has_progress=has_progress)


def _watch(runner: "Runner", interrupts: Interrupts, *, has_progress: bool) -> "Summary":
    from edgesearch.bench.events import RunFinished

    from . import render_bench

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
        "worker_s": summary.worker_s,
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


for _command in (report, compare):
    bench.add_command(_command)
