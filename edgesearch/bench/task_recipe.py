"""The recipe of a run that is asked for by the name of a task: one engine, one strategy, one width.

    TaskRun("humaneval", Drawn("qwen2.5-coder-1.5b.gguf"), n=1000)  ->  20 seeds of n=50, as TOML

What is asked for by flags is a recipe like any other: it is read by recipe.py, kept in the store, and a run of other
flags cannot go on with that store.

Many samples are drawn in chunks, each a cell with a seed of its own, so that outcomes are kept, and a run that was
interrupted goes on, chunk by chunk. A report takes the chunks together (report/curves.py). No answer goes through an
exact check, after which samples would not be independent.

Not covered: grids, several engines, settings of engines that are seldom needed: for these, write a recipe.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from edgesearch import catalog, search, tasks
from edgesearch.bench import recipe
from edgesearch.bench.recipe import DEFAULT_M, Recipe
from edgesearch.errors import UsageError

BUDGET_S = 600.0
"""Of a chunk: far more than it takes, so that no sample is cut off without need."""
MAX_RECORDED = 4_096
"""Recorded samples of a problem: they are one cell, since a seed does not tell them apart."""
_SMALL_WIDTH, _WIDTH = 16, 64
_SMALL_MODEL_BYTES = 64 << 20
_PLACE = Path("the flags")

Table = dict[str, object]
"""Of a recipe; a None is left out."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Where the samples come from: a model in this process, one behind an endpoint, or a file."""

    model: str = "nano"
    """As for `--model`; with `endpoint` the server's name for it."""
    endpoint: str | None = None
    """The root of an OpenAI-compatible API."""
    samples: str | None = None
    """A file of recorded samples; then nothing is drawn."""
    verifier: str | None = None
    """As for `--verifier`; None for what the strategy and the task need."""
    api_key_env: str | None = None
    mode: str = "completions"
    concurrency: int = 8

    def __post_init__(self) -> None:
        if self.samples is not None and self.endpoint is not None:
            raise UsageError("--samples and --endpoint are both where the samples come from; give one of them")


@dataclass(frozen=True, slots=True)
class TaskRun:
    """What is asked for."""

    task: str
    """One of `edgesearch.tasks.names()`."""
    drawn: Drawn
    strategy: str = "sample"
    n: int = 10
    """Samples of a problem in all, or the width of another strategy."""
    budget_s: float = BUDGET_S
    """Of each chunk of a problem's samples."""
    temperature: float | None = None
    max_tokens: int | None = None
    data: str | None = None
    """A local file of the task."""
    split: str | None = None
    limit: int | None = None
    prompt: str | None = None
    seed: int = 0
    """Of the first chunk; the others have those that follow."""

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UsageError(f"--n is {self.n}; it must be >= 1")
        if self.drawn.samples is not None and self.n > MAX_RECORDED:
            raise UsageError(f"--n is {self.n:,}; of recorded samples a run takes at most {MAX_RECORDED:,} a problem")


def is_task(name: str) -> bool:
    """Whether a command's argument means a task, and not a recipe's file."""
    return name in tasks.names() and not Path(name).is_file()


def make(run: TaskRun) -> Recipe:
    """The recipe of a run.

    Raises:
        UsageError: it cannot be run so.
        ModelNotFound: there is no such model.
    """
    return recipe.parse(text(run), _PLACE)


def text(run: TaskRun) -> str:
    """The same as TOML.

    Raises:
        UsageError: there is no such strategy.
        ModelNotFound: there is no such model.
    """
    n, num_chunks = chunks(run.n, _width(run.drawn)) if _is_chunked(run) else (run.n, 1)
    seeds = ", ".join(str(run.seed + number) for number in range(num_chunks))
    task: Table = {"name": run.task, "data": run.data, "split": run.split, "limit": run.limit, "prompt": run.prompt}
    grid: Table = {
        "engines": "model",
        "strategy": run.strategy,
        "n": n,
        "m": min(n, DEFAULT_M),
        "budget_s": run.budget_s,
        "temperature": run.temperature,
        "max_tokens": run.max_tokens,
    }
    head = f"name = {_toml(f'{run.task}, {run.strategy} n={run.n}')}\nseeds = [{seeds}]\n"
    tables = (("[task]", task), ("[[engines]]", _engine(run)), ("[[grid]]", grid))
    return "\n".join([head, *(_table(title, values) for title, values in tables)])


def chunks(n: int, width: int) -> tuple[int, int]:
    """How wide a chunk is, and how many there are: at least n samples, exactly n where some even parts allow it.

    Args:
        n: samples wanted.
        width: of a chunk at most.
    """
    for size in range(min(n, width), width // 2, -1):
        if n % size == 0:
            return size, n // size
    if n <= width:
        return n, 1
    num = -(-n // width)
    return -(-n // num), num


def _is_chunked(run: TaskRun) -> bool:
    return search.strategy(run.strategy).keeps_all and run.drawn.samples is None


def _width(drawn: Drawn) -> int:
    if drawn.endpoint is not None:
        return _WIDTH
    size_bytes = catalog.solver(drawn.model).path.stat().st_size
    return _WIDTH if size_bytes < _SMALL_MODEL_BYTES else _SMALL_WIDTH


def _engine(run: TaskRun) -> Table:
    drawn, verifier = run.drawn, _verifier(run)
    if drawn.samples is not None:
        return {"id": "model", "kind": "samples", "file": drawn.samples, "verifier": verifier}
    if drawn.endpoint is None:
        return {"id": "model", "kind": "gguf", "solver": drawn.model, "verifier": verifier, "check": False}
    return {
        "id": "model",
        "kind": "endpoint",
        "url": drawn.endpoint,
        "model": drawn.model,
        "verifier": verifier,
        "api_key_env": drawn.api_key_env,
        "mode": drawn.mode,
        "concurrency": drawn.concurrency,
        "check": False,
    }


def _verifier(run: TaskRun) -> str:
    """What was asked for; else nothing where nothing is scored, visible tests for programs, or the usual one."""
    if run.drawn.verifier is not None:
        return run.drawn.verifier
    known = None if run.strategy == "auto" else search.strategy(run.strategy)
    if known is not None and known.draws_tests:
        return "agreement"
    if known is not None and not known.needs_scores:
        return "none"
    if run.task in tasks.REFERENCES:
        return "tests"
    return "recorded" if run.drawn.samples is not None else "auto"


def _table(title: str, values: Table) -> str:
    lines = (f"{key} = {_toml(value)}" for key, value in values.items() if value is not None)
    return "\n".join([title, *lines, ""])


def _toml(value: object) -> str:
    """A text, a number or a truth as TOML; its texts are those of JSON, which escapes one letter less."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
