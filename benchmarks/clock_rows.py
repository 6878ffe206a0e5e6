"""Rows of a long benchmark, kept as they come: a JSONL file that a killed run goes on from.

A row counts only under the key it was measured with, which is made of the weights, the code and the planner's data
files: after a change of these all is measured anew.
"""

import hashlib
import importlib.resources
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import runner
from common import log

import edgesearch

Row = dict[str, Any]


def key_of(*programs: str) -> str:
    """Names what a row depends on beside its own name; `programs` are modules of this folder that measure."""
    digest = hashlib.sha256(runner.run_key().encode())
    folders = [Path(edgesearch.__file__).parent, Path(str(importlib.resources.files("edgesearch_models")))]
    data = [path for folder in folders for path in sorted(folder.rglob("*.json"))]  # policies are among these
    for path in [*data, *(Path(__file__).with_name(f"{name}.py") for name in programs)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class RowFile:
    """The rows that are done, by name."""

    def __init__(self, path: Path, key: str) -> None:
        """Reads what an earlier run with the same key has left; other lines are ignored."""
        self._path = path
        self._key = key
        self.rows: dict[str, Row] = {}
        if path.exists():
            with path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    self._read(line)
        self.num_resumed = len(self.rows)

    def _read(self, line: str) -> None:
        try:
            found = json.loads(line)
        except ValueError:  # the line that a killed run was writing
            return
        if isinstance(found, dict) and found.get("key") == self._key:
            self.rows[found["name"]] = found["row"]

    def add(self, rows: Mapping[str, Row]) -> None:
        """Appends rows, each under its name."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"key": self._key, "name": name, "row": row}) + "\n" for name, row in rows.items()]
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" * self._is_torn() + "".join(lines))
        self.rows.update(rows)

    def _is_torn(self) -> bool:
        with self._path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read() != b"\n"

    def forget(self) -> None:
        """Removes the file."""
        self._path.unlink(missing_ok=True)


def target(name: str, value: float | None, sign: str, limit: float) -> Row:
    """What is promised, what was measured, and whether it holds; what could not be measured does not hold."""
    is_reached = value is not None and (value <= limit if sign == "<=" else value >= limit)
    return {"name": name, "value": value, "target": f"{sign} {limit:g}", "is_reached": is_reached}


def log_targets(targets: list[Row]) -> None:
    """A line each."""
    for each in targets:
        log(f"{'ok  ' if each['is_reached'] else 'MISS'}  {each['name']}: {each['value']} (target {each['target']})")
