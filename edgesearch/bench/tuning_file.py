"""The JSONL file beside a policy that keeps what tuning has measured: one solve or pool of solves a line.

    {"schema_version": 1, "key": "9f...", "task_id": "arith-mixed-1000000-000003", "kind": "row", ...}

`key` names all that the line depends on: models, problem, setting and seed. So a run that was killed goes on, and a
run with a wider grid or more problems takes what is there and measures the rest. Lines with other keys are kept and
not read. A line that cannot be read (a killed run may leave half of the last one) is measured again.

Not covered: what is in a line beside that (tuning.py).
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from edgesearch.bench import database
from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.types import SCHEMA_VERSION

MAX_LINE_BYTES = 4 << 20
_HEAD = b'{"schema_version": '


class TuningFile:
    """A file that is open for one run."""

    def __init__(self, path: Path, lines: dict[str, dict[str, Any]], num_damaged: int) -> None:
        """For a file that was read; see `opened`."""
        self._path = path
        self._lines = lines
        self.num_damaged = num_damaged
        """Lines that could not be read."""

    def get(self, key: str) -> dict[str, Any] | None:
        """The line of that key; None where it is still to be measured."""
        return self._lines.get(key)

    def append(self, line: Mapping[str, Any]) -> None:
        """Writes one line, with its `key`; it is in the file afterwards.

        Raises:
            EdgesearchError: it could not be written.
        """
        whole = {"schema_version": SCHEMA_VERSION, **line}
        text = json.dumps(whole, allow_nan=False)
        with _explained(self._path), self._path.open("ab") as file:
            file.write(text.encode("ascii") + b"\n")
        self._lines[line["key"]] = whole


@contextmanager
def opened(path: Path) -> Iterator[TuningFile]:
    """Opens a file, new or of an earlier run.

    Raises:
        UsageError: it is a folder or another program's file.
        EdgesearchError: it cannot be read or written, or another process writes to it.
    """
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise UsageError(f"{path} is no file that tuning can go on with; give another --out")
    lock = database.locked(path)
    if lock is None:
        raise EdgesearchError(f"another process is tuning into {path}; wait for it, or give another --out")
    with closing(lock):
        lines, num_damaged = _read(path) if path.exists() else ({}, 0)
        with _explained(path):
            path.touch()
            _end_last_line(path)
        yield TuningFile(path, lines, num_damaged)


def _read(path: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """The lines by key, and how many could not be read."""
    lines: dict[str, dict[str, Any]] = {}
    num_damaged = 0
    with _explained(path), path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b"")):
            if number == 0 and not line.startswith(_HEAD[: len(line)]):
                raise UsageError(
                    f"{path} is not a file of tuning measurements and was left as it is: give another --out"
                )
            found = _parsed(line)
            if found is None:
                num_damaged += 1
            else:
                lines[found["key"]] = found
    return lines, num_damaged


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_known = isinstance(found, dict) and found.get("schema_version") == SCHEMA_VERSION
    return found if is_known and isinstance(found.get("key"), str) else None


def _end_last_line(path: Path) -> None:
    """So that what a killed run left does not spoil the next line."""
    with path.open("rb+") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise EdgesearchError(
            f"{path} cannot be read or written ({reason}); free some space or check its permissions, and run the same "
            "command again: what was measured is kept"
        ) from error
