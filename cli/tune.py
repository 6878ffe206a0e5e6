"""`edgesearch tune`: measure strategies and widths on a task, and write the policy that a planned solve loads.

Not covered: measuring (edgesearch.bench.tuning), what the policy holds (edgesearch.planner.policy).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesearch.errors import EdgesearchError, IntegrityError, UsageError
from edgesearch.types import SCHEMA_VERSION

from . import json_output, shared_options
from .interrupts import Interrupts
from .terminal import note, one_line, say, warn

if TYPE_CHECKING:
    from edgesearch.bench.tuning import Measured, Setting, Tuner
    from edgesearch.bench.tuning_policy import Choice, Compared
    from edgesearch.pipeline import Pipeline
    from edgesearch.planner.confidence import Reliability
    from edgesearch.planner.policy import Policy
    from edgesearch.tasks.base import Task

SECONDS_PER_LINE = 10.0

_EXAMPLES = """\b
Examples:
  edgesearch tune arithmetic --limit 200
  edgesearch tune gsm8k --split train --model solver.gguf --verifier prm.gguf --grid "majority:4,16; weighted:4,16"
  edgesearch tune jsonl --data problems.jsonl --model solver.gguf --out policy.json

\b
A run that was interrupted goes on where it stopped: give the same command again. What is measured is kept in a file
beside the policy. Settings are chosen on these problems, so report results on others.
"""


@click.command(epilog=_EXAMPLES, short_help="Measure which strategy is best, for the planner.")
@click.argument("task_name", metavar="TASK")
@shared_options.MODEL
@click.option(
    "--verifier",
    default="auto",
    show_default=True,
    metavar="VERIFIER",
    help="What scores steps, as for `edgesearch solve`.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=400,
    show_default=True,
    metavar="N",
    help="At most so many problems, chosen by the seed.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**62),
    default=1_000_000,
    show_default=True,
    metavar="INTEGER",
    help="Of the choice of problems; far from those that results are reported on.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    metavar="R",
    help="Solves of each problem with each setting.",
)
@click.option(
    "--grid",
    metavar="SETTINGS",
    show_default="19 settings up to n=64",
    help='Strategies with their widths n, as in "greedy; rebase:4,16; beam:16".',
)
@shared_options.DATA
@shared_options.SPLIT
@click.option(
    "--out",
    metavar="FILE.json",
    show_default="where the planner looks",
    help="The policy's file.",
)
@shared_options.THREADS
@click.option("--json", "is_json", is_flag=True, show_default="a table", help="Print one JSON object at the end.")
@shared_options.NO_PROGRESS
@click.pass_context
def tune(
    ctx: click.Context,
    task_name: str,
    model: str,
    verifier: str,
    limit: int,
    seed: int,
    repeats: int,
    grid: str | None,
    data: str | None,
    split: str | None,
    out: str | None,
    threads: int | None,
    is_json: bool,
    no_progress: bool,
) -> None:
    """Measure strategies and widths on the problems of a task, by difficulty, and fit the confidence.

    Writes a policy: what each setting reached and what it cost, for `--strategy auto` to choose from.
    """
    with Interrupts() as interrupts:
        from edgesearch import catalog, tasks
        from edgesearch.bench import tuning_policy
        from edgesearch.bench.tuning import DEFAULT_GRID, apart, parse_grid
        from edgesearch.planner import policy

        settings = parse_grid(grid or DEFAULT_GRID)
        task = tasks.load(task_name, data=data, split=split, limit=limit, seed=seed)
        task, left_out = apart(task)
        models = policy.models(catalog.solver(model), verifier)
        path = _place(out, policy.user_folder() / policy.file_name(*models))
        if not no_progress:
            note(f"Loading {one_line(model)} ...")
        with closing(_loaded(ctx, model, verifier, settings, threads)) as pipeline:
            tuner = _tuner(pipeline, task, settings, repeats, path, (model, verifier), is_default=grid is None)
            with interrupts.cancelling(tuner.cancel):
                measured = _watch(tuner, interrupts, has_progress=not no_progress)
        if measured.is_cancelled:
            note(f"Interrupted: {len(measured.problems):,} problems are measured. Give the same command to go on.")
        else:
            made = tuning_policy.make(
                measured.problems,
                solver=models[0],
                verifier=models[1],
                task=task,
                seed=seed,
                check=pipeline.models.check,
                left_out=left_out,
            )
            _write(made, path)
            _tell(made, measured, path, is_json=is_json)
    ctx.exit(interrupts.exit_code or 0)


def _place(out: str | None, default: Path) -> Path:
    """Where the policy goes.

    Raises:
        UsageError: it is a folder, or another kind of file, which would be lost.
        EdgesearchError: the folder of policies cannot be made.
    """
    from edgesearch.planner import policy

    path = default if out is None else Path(out)
    if out is None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EdgesearchError(f"{path.parent} cannot be made ({error.strerror}); give --out FILE.json") from error
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path} must be a file in a folder that is there; give another --out")
    if path.exists():
        try:
            policy.load(path)
        except IntegrityError as error:
            raise UsageError(f"{path} is there and is not a policy: move it away, or give another --out") from error
    return path


def _loaded(
    ctx: click.Context, model: str, verifier: str, settings: "tuple[Setting, ...]", threads: int | None
) -> "Pipeline":
    from edgesearch.bench.tuning import NUM_DRAWS

    if ctx.obj is not None:
        load: Callable[..., Pipeline] = ctx.obj["load"]
    else:
        from edgesearch.loading import load
    width = max(NUM_DRAWS, *(setting.n for setting in settings))
    return load(model, verifier, max_n=width, num_threads=threads)


def _tuner(
    pipeline: "Pipeline",
    task: "Task",
    settings: "tuple[Setting, ...]",
    repeats: int,
    path: Path,
    models: tuple[str, str],
    *,
    is_default: bool,
) -> "Tuner":
    """What measures; of the default grid only what the verifier allows."""
    from edgesearch.bench import tuning
    from edgesearch.bench.recipe import GgufEngine
    from edgesearch.bench.units import resolve

    first = task.samples[0].problem
    if is_default:
        settings = tuning.suiting(pipeline, first, settings)
    has_scores = tuning.can_run(pipeline, first, tuning.Setting("weighted", tuning.NUM_DRAFTS, 1))
    todo = tuning.units(settings, range(repeats), has_scores=has_scores)
    digests = resolve(GgufEngine("tune", *models)).digests
    return tuning.Tuner(pipeline, task, todo, path.with_suffix(".measurements.jsonl"), models=digests)


def _watch(tuner: "Tuner", interrupts: Interrupts, *, has_progress: bool) -> "Measured":
    from edgesearch.bench.tuning import Measured, ProblemSkipped, TuneProgress

    from .render_bench import duration

    measured: Measured | None = None
    next_line_at = 0.0
    for event in tuner.events():
        if interrupts.exit_code is not None:  # it may have come before there was a run to end
            tuner.cancel()
        match event:
            case TuneProgress() if has_progress and time.monotonic() >= next_line_at:
                left = "" if event.time_left_s is None else f", about {duration(event.time_left_s)} left"
                note(f"{event.num_done:,} of {event.num_units:,} solves{left}")
                next_line_at = time.monotonic() + SECONDS_PER_LINE
            case ProblemSkipped():
                warn(f"problem {event.sample_id} is left out: {event.reason}")
            case Measured():
                measured = event
    assert measured is not None, "the last event is Measured"
    if measured.num_damaged:
        warn(f"{measured.num_damaged} lines of the measurements were damaged and measured again")
    return measured


def _write(policy: "Policy", path: Path) -> None:
    from edgesearch.bench.files import replaced

    with replaced(path) as file:
        file.write(policy.dumps().encode())


# -- what came out ---------------------------------------------------------------------------------------------------


def _tell(policy: "Policy", measured: "Measured", path: Path, *, is_json: bool) -> None:
    from edgesearch.bench import tuning_policy

    compared = tuning_policy.compare(measured.problems)
    if is_json:
        json_output.echo(tune_object(policy, compared, path))
        return
    for line in [*compared_lines(compared), *reliability_lines(policy)]:
        say(line)
    say(f"{path}: policy of {policy.name}; report results on other problems")


def tune_object(policy: "Policy", compared: "tuple[Compared, ...]", path: Path) -> dict[str, object]:
    """What `edgesearch tune --json` prints."""
    reliability = policy.calibration.reliability if policy.calibration is not None else None
    return {
        "schema_version": SCHEMA_VERSION,
        "path": str(path),
        "policy": policy.name,
        "tuned_on": asdict(policy.tuned_on),
        "settings": [asdict(row) for row in policy.overall],
        "compared": [asdict(each) for each in compared],
        "reliability": None if reliability is None else asdict(reliability),
    }


def compared_lines(compared: "tuple[Compared, ...]") -> Iterator[str]:
    """The ways to choose at each number of seconds, cross-validated."""
    yield "Accuracy on problems that the setting was not chosen on, with 95% intervals (seconds are this machine's):"
    yield f"{'at most':>9}  {'chosen':<10} {'accuracy':<23} {'against single':<24} {'mean':>8}  settings"
    for each in compared:
        for choice in each.choices:
            yield _choice_line(each.budget_s, choice)


def _choice_line(budget_s: float, choice: "Choice") -> str:
    low, high = choice.accuracy_interval
    accuracy = f"{choice.accuracy:.1%} ({low:.1%}-{high:.1%})"
    low, high = choice.gain_interval
    gain = "" if choice.way == "single" else f"{100 * choice.gain:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    settings = ", ".join(choice.chosen)
    return f"{budget_s:>7g} s  {choice.way:<10} {accuracy:<23} {gain:<24} {choice.seconds:>6.3g} s  {settings}"


def reliability_lines(policy: "Policy") -> Iterator[str]:
    """How honest the confidence is."""
    found: Reliability | None = policy.calibration.reliability if policy.calibration is not None else None
    if found is None:
        yield "Confidence: not calibrated, too few problems without proof or all of one kind"
        return
    yield (
        f"Confidence on problems it was not fitted to: Brier score {found.brier:.3f} (of the mean alone "
        f"{found.base_brier:.3f}), calibration error {found.ece:.3f}"
    )
    for each in found.stopped:
        yield (
            f"  stopped at {each.threshold:.2f}: {each.share:.0%} of searches, {each.accuracy:.1%} of them right, "
            f"after {each.median_candidates:.0f} candidates (median)"
        )
