"""The JSONL file that step labels are kept in: one solution a line, a problem's lines together, resumable.

    {"schema_version": 1, "key": "9f...", "settings": "4c...", "task_id": "gsm8k-train-0011", "sample": 0,
     "num_samples": 8, ...}

A problem's lines are written at once and are on the disk before the next problem begins. So a run that was killed
leaves at most one problem in part, at the end; when the file is opened again that part is dropped and the rest is kept.
`key` names a problem and all that its labels depend on; `settings` the latter alone, so that a file never mixes them.
One process writes to a file at a time.

Not covered: what is in a line beside that (labelling.py).
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from edgesearch.bench import database
from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.tasks.rows import MAX_LINE_BYTES
from edgesearch.types import SCHEMA_VERSION

_HEAD = f'{{"schema_version": {SCHEMA_VERSION}, "key": "'.encode()
"""What every line begins with; a file that begins otherwise is another's, and is left as it is."""
_ADVICE = "give another --out"


class LabelFile:
    """A file that is open for one run."""

    def __init__(self, path: Path, done: Set[str]) -> None:
        """For a file that was checked; see `opened`."""
        self._path = path
        self.done = done
        """Keys of the problems whose lines were there when it was opened."""

    def append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Writes the lines of one problem; they are on the disk afterwards.

        Raises:
            EdgesearchError: they could not be written; what was there before is whole.
        """
        with _explained(self._path), self._path.open("ab") as file:
            file.write(b"".join(json.dumps(line, allow_nan=False).encode("ascii") + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def opened(path: Path, settings: str) -> Iterator[LabelFile]:
    """Opens a file, new or of the same settings, and drops what a killed run left of a problem.

    Args:
        path: where; its folder must be there.
        settings: digest of all that labels depend on beside the problem.

    Raises:
        UsageError: it is a folder, another program's file, of other settings, or damaged; names the line.
        EdgesearchError: it cannot be read or written, or another process writes to it.
    """
    _check_place(path)
    lock = database.locked(path)
    if lock is None:
        raise EdgesearchError(f"another process writes labels to {path}; wait for it, or {_ADVICE}")
    with closing(lock):
        done, size = _Reader(path, settings).read() if path.exists() else (set(), 0)
        with _explained(path):
            path.touch()
            os.truncate(path, size)
        yield LabelFile(path, done)


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the path of a file, such as {path / 'labels.jsonl'}")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} is not there; make it first: mkdir -p {path.parent}")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no file that can be resumed; {_ADVICE}")


class _Reader:
    """Reads what is there."""

    def __init__(self, path: Path, settings: str) -> None:
        self._path, self._settings = path, settings
        self._done: set[str] = set()
        self._key = ""
        self._num_left = 0
        """Lines of the problem under way that are still to come."""

    def read(self) -> tuple[set[str], int]:
        """Keys of the problems that are whole, and where the last of them ends."""
        size = offset = 0
        with _explained(self._path), self._path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), 1):
                if not line.startswith(_HEAD[: len(line)]):
                    raise self._refusal(number, "is not a line of step labels")
                if not line.endswith(b"\n"):
                    if len(line) > MAX_LINE_BYTES:
                        raise self._refusal(number, "is too long")
                    break  # a killed run wrote so far
                self._take(number, line)
                offset += len(line)
                size = size if self._num_left else offset
        return self._done, size

    def _take(self, number: int, line: bytes) -> None:
        try:
            found = json.loads(line)
            key, settings, num_samples = found["key"], found["settings"], int(found["num_samples"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._refusal(number, "is not a line of step labels") from error
        if settings != self._settings:
            raise UsageError(
                f"{self._path} holds labels made with another model, task or settings (line {number}); {_ADVICE}, or "
                "give the settings that it was made with"
            )
        if not self._num_left:
            self._key, self._num_left = key, num_samples
        if key != self._key or key in self._done or num_samples < 1:
            raise self._refusal(number, "is not where it was written: lines were moved or taken out")
        self._num_left -= 1
        if not self._num_left:
            self._done.add(key)

    def _refusal(self, number: int, reason: str) -> UsageError:
        return UsageError(f"line {number} of {self._path} {reason}; the file was left as it is: {_ADVICE}")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise EdgesearchError(
            f"{path} cannot be read or written ({reason}); labels that were there are whole: free some space or check "
            "its permissions, and run the same command again"
        ) from error
