"""Files that are always whole: written beside their place, and then put into it.

Why: a report or an export that is cut off by a full disk, an error or Ctrl-C must not take the place of the one that
was there. Not covered: what is written (export.py, report/).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edgesearch.errors import EdgesearchError, UsageError

_STORE_ENDS = ("", "-wal", "-shm", "-lock")
"""What SQLite and the store's lock keep beside a store."""


@contextmanager
def replaced(path: Path, *, stores: Sequence[Path] = ()) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is whole and on the disk; after an error, nothing has changed.

    Args:
        path: where to; its folder must be there.
        stores: the files that are read meanwhile, which it must not be.

    Raises:
        UsageError: the path is a folder, or belongs to one of the stores.
        EdgesearchError: it cannot be written.
    """
    places = [store.resolve() for store in stores]
    if path.resolve() in {place.with_name(place.name + end) for place in places for end in _STORE_ENDS}:
        raise UsageError(f"{path} belongs to the store itself; write to another file")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the path of a file")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EdgesearchError(f"{path} cannot be written ({reason}); free some space or write elsewhere") from error
    finally:
        _removed(beside)


def _removed(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # it could not even be made; the error that says so is under way
