"""`edgesearch verifier label`: step labels by rollouts, to a JSONL file that can be gone on with.

Not covered: drawing and labelling (edgesearch.bench.labelling), training on the labels.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesearch.errors import UsageError
from edgesearch.types import SCHEMA_VERSION

from . import json_output, shared_options
from .interrupts import Interrupts
from .terminal import note, one_line, say, warn

if TYPE_CHECKING:
    from edgesearch.bench.labelling import Labeller, LabellingFinished, LabelProgress
    from edgesearch.tasks.base import Task

SECONDS_PER_LINE = 10.0

_EXAMPLES = """\b
Examples:
  edgesearch verifier label --task arithmetic --problems 200 --out labels.jsonl
  edgesearch verifier label --task gsm8k --split train --problems 1000 --model solver.gguf --out labels.jsonl
  edgesearch verifier label --data problems.jsonl --model solver.gguf --samples 4 --rollouts 16 --out labels.jsonl

\b
A line of --data is {"id", "problem", "answer"}. The same command goes on with a run that was interrupted: nothing is
lost, nothing is done twice, and the file is the one that a run in one go would have made.
"""


@dataclass(frozen=True, slots=True)
class Problems:
    """What the flags say about which problems are labelled."""

    task: str | None
    data: str | None
    split: str | None
    limit: int | None
    seed: int

    def load(self) -> "Task":
        """The task.

        Raises:
            UsageError: neither a task nor a file is named; or as `edgesearch.tasks.load`.
        """
        from edgesearch import tasks

        if self.task is None and self.data is None:
            raise UsageError("name the problems: --task NAME, or --data FILE.jsonl for your own")
        return tasks.load(self.task or "jsonl", data=self.data, split=self.split, limit=self.limit, seed=self.seed)


@click.command(epilog=_EXAMPLES, short_help="Label steps by rollouts, to train a verifier on.")
@click.option(
    "--task",
    show_default="jsonl with --data",
    metavar="TASK",
    help="Problems with a grader: arithmetic, gsm8k, math500, ..., as in a recipe.",
)
@shared_options.DATA
@shared_options.SPLIT
@shared_options.MODEL
@click.option("--out", required=True, metavar="FILE.jsonl", show_default="none", help="A solution a line.")
@click.option(
    "--problems",
    type=click.IntRange(min=1),
    show_default="all",
    metavar="N",
    help="At most so many, chosen by the seed.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, 250),
    default=8,
    show_default=True,
    metavar="K",
    help="Solutions of each problem.",
)
@click.option(
    "--rollouts",
    type=click.IntRange(1, 4096),
    default=8,
    show_default=True,
    metavar="R",
    help="Rollouts from each step: its value is the share of them that are right.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="SEED", help="Of the choice and every draw.")
@click.option(
    "--n",
    type=click.IntRange(1, 250),
    show_default="64 for small models, 16 for others",
    metavar="N",
    help="Drafts under way together; at least K.",
)
@shared_options.MAX_TOKENS
@shared_options.THREADS
@click.option("--json", "is_json", is_flag=True, show_default="a line", help="Print one JSON object at the end.")
@shared_options.NO_PROGRESS
@click.pass_context
def label(
    ctx: click.Context,
    task: str | None,
    data: str | None,
    split: str | None,
    model: str,
    out: str,
    problems: int | None,
    samples: int,
    rollouts: int,
    seed: int,
    n: int | None,
    max_tokens: int | None,
    threads: int | None,
    is_json: bool,
    no_progress: bool,
) -> None:
    """Draw K solutions of each problem and label their steps: a step's value is the share of R rollouts from it that
    reach a right answer, and its label is 1 where that is above 0 (Math-Shepherd, arXiv 2312.08935).

    Ctrl-C ends it; what is done is kept. A second one leaves at once.
    """
    wanted = Problems(task, data, split, problems, seed)
    with Interrupts() as interrupts:
        from edgesearch.bench.labelling import Labeller, LabelSettings

        settings = LabelSettings(samples, rollouts, seed, max_tokens)
        labeller = Labeller(wanted.load(), model, Path(out), settings, n=n, num_threads=threads)
        with interrupts.cancelling(labeller.cancel):
            finished = _watch(labeller, interrupts, has_progress=not no_progress)
        _tell(finished, is_json=is_json)
        if finished.is_cancelled:
            kept = finished.num_resumed + finished.num_labelled
            note(f"Interrupted: {kept:,} of {finished.num_problems:,} problems are kept. Run it again to go on.")
    ctx.exit(interrupts.exit_code or 0)


def _watch(labeller: "Labeller", interrupts: Interrupts, *, has_progress: bool) -> "LabellingFinished":
    from edgesearch.bench.labelling import LabellingFinished, LabelProgress, ProblemSkipped

    finished: LabellingFinished | None = None
    next_line_at = 0.0
    for event in labeller.events():
        if interrupts.exit_code is not None:  # it may have come before there was a run to end
            labeller.cancel()
        match event:
            case LabelProgress() if has_progress and time.monotonic() >= next_line_at:
                note(progress_line(event))
                next_line_at = time.monotonic() + SECONDS_PER_LINE
            case ProblemSkipped():
                warn(f"problem {event.sample_id} is left out: {event.reason}")
            case LabellingFinished():
                finished = event
    assert finished is not None, "the last event is LabellingFinished"
    return finished


def _tell(finished: "LabellingFinished", *, is_json: bool) -> None:
    """The result on stdout, warnings on stderr."""
    for warning in finished.warnings:
        warn(warning)
    if is_json:
        json_output.echo(label_object(finished))
    else:
        say(result_line(finished))


def progress_line(progress: "LabelProgress") -> str:
    """How far it is, and how long it still takes."""
    from .render_bench import duration

    done = f"{progress.num_done:,} of {progress.num_problems:,} problems, {progress.totals.decoded_tokens:,} tokens"
    return done if progress.time_left_s is None else f"{done}, about {duration(progress.time_left_s)} left"


def result_line(finished: "LabellingFinished") -> str:
    """What the session added to the file."""
    from .render_bench import duration

    totals = finished.totals
    resumed = f"; {finished.num_resumed:,} problems were there before" if finished.num_resumed else ""
    if not finished.num_labelled:
        return one_line(f"{finished.path}: nothing new{resumed}")
    problems = f"{finished.num_labelled:,} problem" + ("" if finished.num_labelled == 1 else "s")
    return one_line(
        f"{finished.path}: {totals.num_solutions:,} solutions of {problems} "
        f"({totals.num_right / max(1, totals.num_solutions):.1%} right), {totals.num_steps:,} steps "
        f"({totals.num_right_steps / max(1, totals.num_steps):.1%} labelled right), "
        f"{duration(finished.wall_s)}{resumed}"
    )


def label_object(finished: "LabellingFinished") -> dict[str, object]:
    """What `edgesearch verifier label --json` prints."""
    return {
        "schema_version": SCHEMA_VERSION,
        "path": str(finished.path),
        "is_complete": finished.num_left == 0,
        "is_interrupted": finished.is_cancelled,
        "num_problems": finished.num_problems,
        "num_resumed": finished.num_resumed,
        "num_labelled": finished.num_labelled,
        "num_skipped": finished.num_skipped,
        **asdict(finished.totals),
        "wall_s": finished.wall_s,
        "warnings": finished.warnings,
    }
