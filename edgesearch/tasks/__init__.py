"""Named, versioned sets of samples with their graders, one task a file.

    load("math500", limit=100)                       from the hub, 100 chosen by the seed
    load("gsm8k", data=Path("test.jsonl"))           from a local copy
    load("arithmetic", limit=1000, seed=7)           generated
    load("humaneval", data=Path("HumanEval.jsonl.gz"))   programs as answers

This module is only the registry: importing it imports no task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from edgesearch.errors import UsageError

if TYPE_CHECKING:
    from edgesearch.tasks.base import Loader, Options, Task

    References = Callable[[Options], dict[str, str]]


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


def _humaneval() -> Loader:
    from edgesearch.tasks.humaneval import load

    return load


def _humaneval_plus() -> Loader:
    from edgesearch.tasks.humaneval_plus import load

    return load


def _mbpp() -> Loader:
    from edgesearch.tasks.mbpp import load

    return load


def _mbpp_plus() -> Loader:
    from edgesearch.tasks.mbpp_plus import load

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
    "humaneval": _humaneval,
    "humaneval_plus": _humaneval_plus,
    "mbpp": _mbpp,
    "mbpp_plus": _mbpp_plus,
    "arithmetic": _arithmetic,
    "jsonl": _jsonl,
}


def _humaneval_references() -> References:
    from edgesearch.tasks.humaneval import references

    return references


def _humaneval_plus_references() -> References:
    from edgesearch.tasks.humaneval_plus import references

    return references


def _mbpp_references() -> References:
    from edgesearch.tasks.mbpp import references

    return references


def _mbpp_plus_references() -> References:
    from edgesearch.tasks.mbpp_plus import references

    return references


REFERENCES: dict[str, Callable[[], References]] = {
    "humaneval": _humaneval_references,
    "humaneval_plus": _humaneval_plus_references,
    "mbpp": _mbpp_references,
    "mbpp_plus": _mbpp_plus_references,
}
"""Of the tasks whose answers are programs."""


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

    _check_name(name)
    options = Options(
        data=None if data is None else Path(data),
        split=split,
        limit=limit,
        ids=None if ids is None else tuple(ids),
        seed=seed,
        prompt=prompt,
    )
    return TASKS[name]()(options)


def references(name: str, *, data: str | Path | None = None) -> dict[str, str]:
    """Reference programs of a task, by sample id: for checks of its data and its grader, and for nothing else.

    Args:
        name: such a task.
        data: as in `load`.

    Raises:
        UsageError: the task has none, or the data cannot be used; names the line.
        ModelNotFound, IntegrityError, EdgesearchError: see `load`.
    """
    from edgesearch.tasks.base import Options

    _check_name(name)
    if name not in REFERENCES:
        raise UsageError(f"task {name} has no reference programs. Those that do: {', '.join(REFERENCES)}")
    return REFERENCES[name]()(Options(data=None if data is None else Path(data)))


def _check_name(name: str) -> None:
    if name not in TASKS:
        close = get_close_matches(name, TASKS, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise UsageError(f"unknown task {name!r}{hint} Known: {', '.join(TASKS)}")
