"""What the flags of `edgesearch bench run TASK` say: a recipe without a file.

Not covered: running it (bench.py), what it becomes (edgesearch.bench.task_recipe).
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from edgesearch.budget import parse_duration
from edgesearch.errors import UsageError

if TYPE_CHECKING:
    from edgesearch.bench.task_recipe import TaskRun

Command = TypeVar("Command", bound=Callable[..., Any])

_KEPT = "edgesearch.task_flags"
_OF_ENDPOINTS = ("api_key_env", "mode", "concurrency")
_OF_MODELS = ("temperature", "max_tokens", "budget")


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Keeps what a flag says for `task_run`."""
    assert param.name is not None
    ctx.meta.setdefault(_KEPT, {})[param.name] = value


def _flag(name: str, **settings: Any) -> Callable[[Command], Command]:
    return click.option(name, expose_value=False, callback=_keep, **settings)


_FLAGS = (
    _flag(
        "--strategy",
        default="sample",
        show_default=True,
        metavar="NAME",
        help="How TASK is solved; `edgesearch solve --list-strategies` lists them.",
    ),
    _flag(
        "--n",
        type=click.IntRange(1, 1_000_000),
        default=10,
        show_default=True,
        metavar="N",
        help="Samples of each problem of TASK, or the width of the strategy.",
    ),
    _flag(
        "--model",
        default="nano",
        show_default=True,
        metavar="MODEL",
        help="What solves TASK: a name, PATH.gguf, or hf:REPO[:QUANT|FILE]; with --endpoint the server's name.",
    ),
    _flag(
        "--endpoint",
        show_default="none: the model runs here",
        metavar="URL",
        help="Draw through an OpenAI-compatible server, such as http://localhost:8000/v1.",
    ),
    _flag("--api-key-env", show_default="none", metavar="VARIABLE", help="Holds the endpoint's key."),
    _flag(
        "--mode",
        type=click.Choice(["completions", "chat"]),
        default="completions",
        show_default=True,
        metavar="API",
        help="API of the endpoint: completions of plain text, or chat by the server's own template.",
    ),
    _flag(
        "--concurrency",
        type=click.IntRange(1, 1024),
        default=8,
        show_default=True,
        metavar="N",
        help="Requests to the endpoint under way together.",
    ),
    _flag(
        "--samples",
        show_default="none: samples are drawn",
        metavar="FILE.jsonl",
        help="Take recorded samples, {task_id, sample_idx, completion} a line, instead of a model.",
    ),
    _flag(
        "--data",
        show_default="the published data",
        metavar="FILE",
        help="A local copy of TASK's data (JSONL or Parquet).",
    ),
    _flag("--split", show_default="the task's first", metavar="NAME", help="Which part of TASK."),
    _flag(
        "--prompt", show_default="the task's own", metavar="NAME", help="How TASK words its problems, such as plain-1."
    ),
    _flag(
        "--verifier",
        show_default="what the strategy needs",
        metavar="NAME",
        help="What scores solutions of TASK; tests for programs by their visible tests.",
    ),
    _flag(
        "--budget",
        default="10m",
        show_default=True,
        metavar="DURATION",
        help="Of each problem of TASK, or of each 16 to 64 of its samples where they are drawn in chunks.",
    ),
    _flag("--max-tokens", type=click.IntRange(1), show_default="the model's", metavar="N", help="Of each solution."),
    _flag(
        "--temperature",
        type=click.FloatRange(0, 100),
        show_default="the model's",
        metavar="T",
        help="Of the samples; 0 is greedy.",
    ),
    _flag(
        "--seed",
        type=click.IntRange(0, 2**62),
        default=0,
        show_default=True,
        metavar="INTEGER",
        help="Fixes every draw for TASK.",
    ),
)


def task_flags(command: Command) -> Command:
    """Gives a command the flags of a run of a task."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command


def check_recipe(ctx: click.Context, recipe: str) -> None:
    """Whether what is no task may be a recipe's file, and no flag was given that only a task takes.

    Raises:
        UsageError: it is neither, or a flag was given.
    """
    from edgesearch import tasks

    if not recipe.endswith(".toml") and not Path(recipe).exists():
        raise UsageError(f"{recipe} is neither the file of a recipe nor a task; tasks are {', '.join(tasks.names())}")
    for name in ctx.meta.get(_KEPT, {}):
        if _is_given(ctx, name):
            raise UsageError(
                f"--{name.replace('_', '-')} is for a task, such as `edgesearch bench run humaneval`; {recipe} says it "
                "itself, so change it there"
            )


def task_run(ctx: click.Context, task: str, limit: int | None) -> "TaskRun":
    """What the flags ask for.

    Raises:
        UsageError: they contradict each other, or a value is out of range.
    """
    from edgesearch.bench.task_recipe import Drawn, TaskRun

    flags: dict[str, Any] = ctx.meta[_KEPT]
    _check(ctx, flags)
    drawn = Drawn(
        flags["model"],
        flags["endpoint"],
        flags["samples"],
        flags["verifier"],
        flags["api_key_env"],
        flags["mode"],
        flags["concurrency"],
    )
    return TaskRun(
        task,
        drawn,
        strategy=flags["strategy"],
        n=flags["n"],
        budget_s=parse_duration(flags["budget"]),
        temperature=flags["temperature"],
        max_tokens=flags["max_tokens"],
        data=flags["data"],
        split=flags["split"],
        limit=limit,
        prompt=flags["prompt"],
        seed=flags["seed"],
    )


def _check(ctx: click.Context, flags: dict[str, Any]) -> None:
    if flags["endpoint"] is None:
        for name in _OF_ENDPOINTS:
            if _is_given(ctx, name):
                raise UsageError(f"--{name.replace('_', '-')} is about a server; name one with --endpoint URL")
    elif not _is_given(ctx, "model"):
        raise UsageError("--endpoint needs --model, the name that the server has for the model")
    if flags["samples"] is not None and flags["endpoint"] is None:
        for name in ("model", *_OF_MODELS):
            if _is_given(ctx, name):
                raise UsageError(f"--{name.replace('_', '-')} has no effect on recorded samples; leave it out")
    if flags["temperature"] is not None and not math.isfinite(flags["temperature"]):  # click's range lets NaN pass
        raise UsageError(f"--temperature is {flags['temperature']}; it must be a number")


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
