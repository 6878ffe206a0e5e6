"""Named, versioned sets of samples with their graders, one task a file.

    load("math500", limit=100)                       from the hub, 100 chosen by the seed
    load("gsm8k", data=Path("test.jsonl"))           from a local copy
    load("arithmetic", limit=1000, seed=7)           generated

This module is only the registry: importing it imports no task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from edgesearch.errors import UsageError

if TYPE_CHECKING:
    from edgesearch.tasks.base import Loader, Task


def _gsm8k() -> Loader:
    from edgesearch.tasks.gsm8k import load

    return load


def _math500() -> Loader:
    from edgesearch.tasks.math500 import load

    return load


def _aime() -> Loader:
    from edgesearch.tasks.aime import load

    return load


def _amc() -> Loader:
    from edgesearch.tasks.amc import load

    return load


def _arithmetic() -> Loader:
    from edgesearch.tasks.built_in import load

    return load


def _jsonl() -> Loader:
    from edgesearch.tasks.jsonl import load

    return load


TASKS: dict[str, Callable[[], Loader]] = {
    "gsm8k": _gsm8k,
    "math500": _math500,
    "aime": _aime,
    "amc": _amc,
    "arithmetic": _arithmetic,
    "jsonl": _jsonl,
}


def names() -> list[str]:
    """Names of all tasks."""
    return list(TASKS)


def load(
    name: str,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    ids: Sequence[str] | None = None,
    seed: int = 0,
    prompt: str | None = None,
) -> Task:
    """The task of that name, with the samples that were asked for.

    Args:
        name: one of `names()`.
        data: a local file in the dataset's own format; the hub's by default.
        split: the task's first by default.
        limit: at most so many samples, chosen by `seed` (not the first ones) and kept in the data's order; generated
            tasks make so many. All by default.
        ids: only these samples; not together with `limit`.
        seed: of `limit`'s choice, or of the generator.
        prompt: name and version of a prompt (edgesearch/tasks/prompts.py); the task's own by default.

    Raises:
        UsageError: an unknown name, option or field, or data that cannot be used; names the line.
        ModelNotFound: the data are not here and cannot be downloaded.
        IntegrityError: what was downloaded is not what was published.
        EdgesearchError: an extra is missing (holds the pip command), or the disk is full.
    """
    from edgesearch.tasks.base import Options

    if name not in TASKS:
        close = get_close_matches(name, TASKS, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise UsageError(f"unknown task {name!r}{hint} Known: {', '.join(TASKS)}")
    options = Options(
        data=None if data is None else Path(data),
        split=split,
        limit=limit,
        ids=None if ids is None else tuple(ids),
        seed=seed,
        prompt=prompt,
    )
    return TASKS[name]()(options)
