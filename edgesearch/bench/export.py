"""A store in other formats: JSONL of outcomes, JSONL of recorded samples, Parquet.

    {"schema_version": 1, "cell": {"key": ..., "name": ..., "engine": ..., ...}, "sample_id": "gsm8k-test-0011",
     "status": "correct", "answer": "18", "usage": {...}, "candidates": [{"text": ..., "is_right": true, ...}], ...}
    {"task_id": "gsm8k-test-0011", "sample_idx": 0, "completion": "..."}

JSONL and Parquet hold the same: one outcome a line or row, with its candidates inside. Recorded samples are what
`--samples` and a recipe's engine of the kind `samples` read. All three stream, in the order of `Store.outcomes`, so
that equal runs export alike, and a file of that name is always whole (files.py).

Not covered: reading them back, the tables and charts of a report.
"""

import dataclasses
import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from edgesearch.bench.files import replaced
from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Grade, GradedCandidate, Outcome
from edgesearch.bench.store import Store
from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.types import SCHEMA_VERSION, ModelNames, StrategyUsed, Usage

BATCH_CANDIDATES = 10_000
"""Candidates of one row group of Parquet, about; what is in memory at a time."""


def to_jsonl(store: Store, path: str | Path) -> int:
    """Writes one outcome a line, with its candidates.

    Returns:
        How many lines.

    Raises:
        UsageError: the path is the store's own, or a folder.
        EdgesearchError: the file cannot be written; whatever was there before still is.
    """
    return _write_lines(store, Path(path), _outcome_objects(store))


def to_samples(store: Store, path: str | Path, *, cell: str | None = None) -> int:
    """Writes the candidates of a cell as recorded samples, {task_id, sample_idx, completion} a line.

    Args:
        store: where from.
        path: where to.
        cell: the key of the cell; may be left out where there is only one.

    Returns:
        How many lines.

    Raises:
        UsageError: there is no such cell, or one must be named; or as `to_jsonl`.
        EdgesearchError: as `to_jsonl`.
    """
    cells = store.cells()
    if cell is None:
        if len(cells) != 1:
            shown = ", ".join(f"{each.key} ({each.name})" for each in cells[:8])
            raise UsageError(f"{store.path} has {len(cells)} cells, and recorded samples are of one; name it: {shown}")
        cell = cells[0].key
    return _write_lines(store, Path(path), _sample_objects(store, cell))


def to_parquet(store: Store, path: str | Path) -> int:
    """Writes one outcome a row, with a list of its candidates.

    Returns:
        How many rows.

    Raises:
        UsageError, EdgesearchError: as `to_jsonl`; and pyarrow is not installed (holds the pip command).
    """
    arrow, parquet = _arrow("pyarrow"), _arrow("pyarrow.parquet")
    schema = _schema(arrow)
    count = 0
    with (
        replaced(Path(path), stores=[store.path]) as file,
        parquet.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for batch in _batches(_outcome_objects(store)):
            writer.write_table(arrow.Table.from_pylist(list(map(_flat, batch)), schema=schema))
            count += len(batch)
    return count


# ------------------------------------------------------------------------------------------------------------- objects


def _outcome_objects(store: Store) -> Iterator[dict[str, Any]]:
    cells = {cell.key: {"key": cell.key, "name": cell.name, **cell.settings} for cell in store.cells()}
    for outcome in store.outcomes():
        yield {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(outcome), "cell": cells[outcome.cell]}


def _sample_objects(store: Store, cell: str) -> Iterator[dict[str, Any]]:
    for outcome in store.outcomes(cell):
        for number, candidate in enumerate(outcome.candidates):
            yield {"task_id": outcome.sample_id, "sample_idx": number, "completion": candidate.text}


def _batches(objects: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    num_candidates = 0
    for each in objects:
        batch.append(each)
        num_candidates += 1 + len(each["candidates"])
        if num_candidates >= BATCH_CANDIDATES:
            yield batch
            batch, num_candidates = [], 0
    if batch:
        yield batch


# ------------------------------------------------------------------------------------------------------------- writing


def _write_lines(store: Store, path: Path, objects: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with replaced(path, stores=[store.path]) as file:
        for each in objects:
            file.write(json.dumps(each, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            count += 1
    return count


# ------------------------------------------------------------------------------------------------------------- Parquet


def _arrow(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise EdgesearchError(
            "Parquet is written by pyarrow, which is not installed: pip install 'edgesearch[bench]' (or pip install "
            "pyarrow); or export JSONL"
        ) from error


def _flat(outcome: dict[str, Any]) -> dict[str, Any]:
    """An outcome whose strategy's options, which differ from strategy to strategy, are one JSON text."""
    strategy = outcome["strategy"]
    if strategy is None:
        return outcome
    return outcome | {"strategy": strategy | {"options": json.dumps(dict(strategy["options"]), sort_keys=True)}}


def _schema(arrow: Any) -> Any:
    """The columns of an outcome, from the fields of the dataclasses."""
    cell = arrow.struct([("key", arrow.string()), ("name", arrow.string()), *_fields(arrow, Cell)])
    special = {
        "cell": cell,
        "grades": arrow.list_(arrow.struct(_fields(arrow, Grade))),
        "usage": arrow.struct(_fields(arrow, Usage)),
        "strategy": arrow.struct(_fields(arrow, StrategyUsed)),
        "models": arrow.struct(_fields(arrow, ModelNames)),
        "candidates": arrow.list_(arrow.struct(_fields(arrow, GradedCandidate))),
    }
    fields = _fields(arrow, Outcome, special)
    return arrow.schema([("schema_version", arrow.int64()), *fields])


def _fields(arrow: Any, made: type[Any], special: Mapping[str, Any] | None = None) -> list[tuple[str, Any]]:
    hints = get_type_hints(made)
    known = special or {}
    names = [field.name for field in dataclasses.fields(made)]
    return [(name, known.get(name) or _column_type(arrow, hints[name])) for name in names]


def _column_type(arrow: Any, hint: Any) -> Any:
    """The column for a field of that type; `X | None` is as X, a column may hold nulls."""
    plain = {bool: arrow.bool_(), int: arrow.int64(), float: arrow.float64(), str: arrow.string()}
    if hint in plain:
        return plain[hint]
    if get_origin(hint) is Mapping:
        return arrow.string()  # as JSON, see _flat
    members = [member for member in get_args(hint) if member not in (type(None), ...)]
    if isinstance(members[0], str):  # a Literal
        return arrow.string()
    column = _column_type(arrow, members[0])
    return arrow.list_(column) if getattr(hint, "__origin__", None) is tuple else column
