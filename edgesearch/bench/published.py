"""Published figures: a TOML file of what others have reported, each with its source, to be drawn beside a run.

    schema_version = 1

    [[source]]
    cite = "Puri et al. 2025, arXiv 2502.01618v3, Table 1"
    url = "https://arxiv.org/abs/2502.01618"
    is_rerun = false
    note = "one run"

    [[source.points]]
    task = "math500"
    model = "Llama-3.2-1B-Instruct"
    verifier = "Qwen2.5-Math-PRM-7B"
    strategy = "particle filtering"
    n = 64
    accuracy = 0.596

A point of a source is a line in its list of `points` or a table of its own, as here. An accuracy is a share in [0, 1].
`is_rerun` says whether the figure was measured here again; a figure that was not is never shown as if it had been.

Not covered: whether a figure is right, and whether two of them were measured alike: prompts, graders and token limits
differ between papers.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgesearch.bench.report.model import Quoted
from edgesearch.bench.toml_tables import Place, as_float, check_keys, entries, parse, read_text, require

SCHEMA_VERSION = 1
_WHAT = "the list of published points"
_TOP_TYPES: Mapping[str, type] = {"schema_version": int, "source": list}
_SOURCE_TYPES: Mapping[str, type] = {"cite": str, "url": str, "is_rerun": bool, "note": str, "points": list}
_POINT_TYPES: Mapping[str, type] = {
    "task": str,
    "model": str,
    "verifier": str,
    "strategy": str,
    "n": int,
    "accuracy": float,
    "note": str,
}


def read(path: str | Path) -> tuple[Quoted, ...]:
    """The published points that a TOML file lists, in its order.

    Raises:
        UsageError: it cannot be read, is not TOML, or says something unknown or out of range; names the file, the
            source, the point and the key.
    """
    path = Path(path)
    table, place = parse(read_text(path, _WHAT), path, _WHAT), Place(path)
    check_keys(place, table, _TOP_TYPES, required=tuple(_TOP_TYPES), title="list of published points")
    if table["schema_version"] != SCHEMA_VERSION:
        raise place.error(f"schema_version is {table['schema_version']}; this edgesearch reads {SCHEMA_VERSION}")
    found: dict[Quoted, Place] = {}
    for source, at in entries(table, "source", place):
        for point, where in _points(source, at):
            if point in found:
                first = str(found[point]).removeprefix(f"{place}: ")
                raise where.error(f"the same point as {first}; leave one of them out")
            found[point] = where
    return tuple(found)


def _points(source: Mapping[str, Any], place: Place) -> Iterator[tuple[Quoted, Place]]:
    """The points of one source."""
    check_keys(place, source, _SOURCE_TYPES, required=("cite", "url", "is_rerun", "points"), title="source")
    with place.blamed():
        _require_line("cite", source["cite"])
        is_address = source["url"].startswith(("https://", "http://")) and source["url"].isprintable()
        require("url", is_address, source["url"], "the http:// or https:// address where the figures are")
    for entry, at in entries(source, "points", place):
        yield _point(entry, at, source), at


def _point(entry: Mapping[str, Any], place: Place, source: Mapping[str, Any]) -> Quoted:
    check_keys(place, entry, _POINT_TYPES, required=("task", "model", "strategy", "accuracy"), title="point")
    with place.blamed():
        for key in ("task", "model", "strategy", "verifier"):
            _require_line(key, entry.get(key, "none"))
        require("n", entry.get("n", 1) >= 1, entry.get("n"), ">= 1; leave it out where it is not told")
        accuracy = as_float("accuracy", entry["accuracy"])
        is_share = math.isfinite(accuracy) and 0 <= accuracy <= 1
        require("accuracy", is_share, entry["accuracy"], "a share in [0, 1], such as 0.596 for 59.6%")
    notes = [text for text in (entry.get("note", ""), source.get("note", "")) if text.strip()]
    return Quoted(
        task=entry["task"],
        model=entry["model"],
        verifier=entry.get("verifier"),
        strategy=entry["strategy"],
        n=entry.get("n"),
        accuracy=accuracy,
        source=source["cite"],
        url=source["url"],
        is_rerun=source["is_rerun"],
        note="; ".join(notes),
    )


def _require_line(key: str, text: str) -> None:
    require(key, text.strip() and text.isprintable(), text, "a line of text")
