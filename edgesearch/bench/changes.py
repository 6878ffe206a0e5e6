"""What has changed between the run that a store was begun with and the one that wants to go on with it.

Not covered: what follows from a change (store.py refuses).
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgesearch.bench.records import RunInfo

_MAX_LISTED = 8


def of_content(begun: RunInfo, run: RunInfo) -> list[str]:
    """The task and the models that are not what they were."""
    changes = []
    if begun.task_digest != run.task_digest:
        digests = f"was {begun.task_digest:.12}, and is {run.task_digest:.12}"
        changes.append(f"the task {digests} (its samples, how many of them by --limit, its prompt or its grader)")
    for name in sorted(begun.model_digests.keys() | run.model_digests.keys()):
        old, new = begun.model_digests.get(name, "not there"), run.model_digests.get(name, "not there")
        if old != new:
            changes.append(f"the model {name} was {old:.12}, and is {new:.12}")
    return changes


def of_recipe(begun: RunInfo, run: RunInfo) -> list[str]:
    """The entries of the recipe that differ; comments and spaces may."""
    old, new = _entries(begun.recipe), _entries(run.recipe)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    changes = [f"{key} in the recipe was {_shown(old, key)}, and is {_shown(new, key)}" for key in keys]
    if not changes and begun.cells != run.cells:
        changes.append(f"the recipe made {len(begun.cells)} cells that are not the {len(run.cells)} it makes now")
    return changes


def _entries(recipe: str) -> dict[str, Any]:
    """The values of a recipe by their place, such as `grid[0].n`."""
    return dict(_flat("", tomllib.loads(recipe)))


def _flat(place: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{place}.{key}" if place else key, item)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            yield from _flat(f"{place}[{number}]", item)
    else:
        yield place, value


def listed(changes: Sequence[str]) -> str:
    """For a sentence; the first few of many."""
    rest = f"; and {len(changes) - _MAX_LISTED} more" if len(changes) > _MAX_LISTED else ""
    return "; ".join(changes[:_MAX_LISTED]) + rest


def _shown(entries: Mapping[str, Any], key: str) -> str:
    return f"{entries[key]!r:.60}" if key in entries else "not there"
