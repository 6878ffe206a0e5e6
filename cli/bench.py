"""`edgesearch bench`: run a recipe or a task into a store, and export a store.

Not covered: running (edgesearch.bench.runner), the flags of a task (bench_task.py), the views of a run
(render_bench.py), reports (bench_report.py).
"""

import dataclasses
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesearch.errors import UsageError
from edgesearch.types import SCHEMA_VERSION

from . import json_output, shared_options
from .bench_report import compare, report
from .bench_task import check_recipe, task_flags, task_run
from .interrupts import Interrupts
from .terminal import note, one_line, say, warn

if TYPE_CHECKING:
    from edgesearch.bench.crew import Crew
    from edgesearch.bench.events import Summary
    from edgesearch.bench.recipe import Recipe
    from edgesearch.bench.report.measure import Material
    from edgesearch.bench.runner import Runner
    from edgesearch.bench.task_recipe import TaskRun

_EXAMPLES = """\b
Examples:
  edgesearch bench run benchmarks/recipes/nano-small.toml --out run.sqlite
  edgesearch bench run humaneval --n 100 --model Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf
  edgesearch bench report run.sqlite --html report.html
  edgesearch bench compare ours.sqlite theirs.sqlite
  edgesearch bench export run.sqlite --jsonl run.jsonl
"""
_RUN_EXAMPLES = """\b
Examples:
  edgesearch bench run recipe.toml --out run.sqlite
  edgesearch bench run recipe.toml --out try.sqlite --limit 5 --json
  edgesearch bench run recipe.toml --out run.sqlite --ray auto --gpus-per-worker 1
  edgesearch bench run humaneval --strategy sample --n 1000 --endpoint http://localhost:8000/v1 --model MODEL
  edgesearch bench run humaneval --n 100 --samples samples.jsonl --out recorded.sqlite
  edgesearch bench run mbpp --strategy best_of_n --n 100 --samples samples.jsonl --verifier tests

\b
A TASK is one of `edgesearch.tasks`: humaneval, mbpp, gsm8k, math500 and others. All that is only for a TASK stands in
the file of a recipe.

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

    what: str
    """The recipe's file, or the task's name."""
    task: "TaskRun | None"
    """None for a recipe."""
    out: Path
    limit: int | None
    retries_errors: bool
    sandbox: str
    staff: Staff

    def recipe(self) -> "Recipe":
        """What is run."""
        if self.task is not None:
            from edgesearch.bench import task_recipe

            return task_recipe.make(self.task)
        from edgesearch.bench.recipe import load

        return load(Path(self.what))


@click.group(epilog=_EXAMPLES, short_help="Run a recipe and keep every outcome.")
def bench() -> None:
    """Compare strategies, widths and models on the same problems, and keep every candidate."""


@bench.command(epilog=_RUN_EXAMPLES, short_help="Run a recipe or a task, or go on with it.")
@click.argument("what", metavar="RECIPE.toml|TASK")
@click.option(
    "--out",
    metavar="RUN.sqlite",
    show_default="TASK.sqlite; none for a recipe",
    help="The store; a run that it holds already is gone on with.",
)
@task_flags
@click.option(
    "--sandbox",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="What programs are run in; auto for the strongest that works here.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="the recipe's, or all",
    help="At most so many problems of the task.",
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
@shared_options.NO_PROGRESS
@click.pass_context
def run(
    ctx: click.Context,
    what: str,
    out: str | None,
    sandbox: str,
    limit: int | None,
    retry_errors: bool,
    ray: str | None,
    cpus_per_worker: int | None,
    gpus_per_worker: float | None,
    is_json: bool,
    no_progress: bool,
) -> None:
    """Run what RECIPE.toml says, or a TASK as the flags say, and keep every outcome in a store.

    Ctrl-C ends it; what is done is kept. A second one leaves at once.
    """
    job = _job(ctx, what, out, limit, retry_errors, sandbox, Staff(ray, cpus_per_worker, gpus_per_worker))
    with Interrupts() as interrupts:
        summary = _run(job, interrupts, has_progress=not no_progress)
        found = _measured(job, summary)
        if is_json:
            json_output.echo(run_object(summary, found))
        else:
            _tell(summary, found)
        if summary.is_cancelled:
            kept = f"{summary.num_units - summary.num_left:,} of {summary.num_units:,} units are kept in {job.out}"
            note(one_line(f"Interrupted: {kept}. Run the same command again to go on."))
    ctx.exit(interrupts.exit_code or 0)


def _job(
    ctx: click.Context, what: str, out: str | None, limit: int | None, retries_errors: bool, sandbox: str, staff: Staff
) -> Job:
    """What the flags say.

    Raises:
        UsageError: they contradict each other, or a recipe comes without a store.
    """
    from edgesearch.bench.task_recipe import is_task

    if is_task(what):
        task = task_run(ctx, what, limit)
        return Job(what, task, Path(out or f"{what}.sqlite"), None, retries_errors, sandbox, staff)
    check_recipe(ctx, what)
    if out is None:
        raise UsageError(f"name the store that {what} is run into: --out RUN.sqlite")
    return Job(what, None, Path(out), limit, retries_errors, sandbox, staff)


def _run(job: Job, interrupts: Interrupts, *, has_progress: bool) -> "Summary":
    if has_progress:
        note(f"Planning {one_line(job.what)} ...")  # before the slow imports
    from edgesearch.bench.runner import Runner
    from edgesearch.bench.units import make_plan

    plan = make_plan(job.recipe(), limit=job.limit, sandbox=job.sandbox)
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


def _measured(job: Job, summary: "Summary") -> "Material | None":
    """What a run of a task says of its candidates; None for a recipe, whose report tells, and before any outcome."""
    if job.task is None or not summary.num_units - summary.num_left:
        return None
    from edgesearch.bench.report.measure import gathering, result_of
    from edgesearch.bench.store import Store

    with Store.read(job.out) as store:
        return result_of(gathering([store]))


def _tell(summary: "Summary", found: "Material | None") -> None:
    """The table on stdout, the rest on stderr."""
    from . import render_bench

    for warning in summary.warnings:
        warn(warning)
    for line in render_bench.table_lines(summary, is_by_seed=found is None):
        say(line)
    if found is not None:
        for line in render_bench.curves_lines(found.curves, found.points):
            say(line)
    note(render_bench.summary_line(summary), is_dim=True)
    if summary.num_candidates:
        note(render_bench.samples_line(summary), is_dim=True)


def run_object(summary: "Summary", found: "Material | None" = None) -> dict[str, object]:
    """What `edgesearch bench run --json` prints."""
    points, curves = ((), ()) if found is None else (found.points, found.curves)
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
        "num_candidates": summary.num_candidates,
        "num_cut": summary.num_cut,
        "num_programs": summary.num_programs,
        "num_tried_programs": summary.num_tried,
        "curves": [dataclasses.asdict(each) for each in curves],
        "tokens_per_s": {each.id: each.tokens_per_s for each in points},
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
