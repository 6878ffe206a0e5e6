"""The SQLite file under a store: connections, the lock of the one run that writes, and errors as sentences.

The lock is an SQLite lock on an empty file beside the store (`RUN.sqlite-lock`): the system lets go of it when the
process dies, however it dies. The empty file may stay.

Not covered: what is in the tables (schema.py), transactions (store.py).

Source: https://sqlite.org/wal.html.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from edgesearch.bench.records import Outcome
from edgesearch.bench.schema import SCHEMA_VERSION
from edgesearch.errors import EdgesearchError, IntegrityError, UsageError

APPLICATION_ID = 0x45534252
"""`ESBR` in the header of the file says that it is a store."""
_BUSY_S = 10.0
"""Seconds to wait for a reader that recovers the log; writers exclude each other before."""


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection without implicit transactions."""
    db = sqlite3.connect(_uri(path, mode), uri=True, isolation_level=None, timeout=_BUSY_S)
    try:
        db.execute("PRAGMA synchronous = FULL")  # reads the file, so what cannot be read is told here
        db.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        db.close()
        raise
    return db


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write.

    A store that was closed has no log beside it, and SQLite would make one: where the folder cannot be written to
    there is no writer either, so the file is read as it is.
    """
    try:
        return connect(path, "ro")
    except sqlite3.OperationalError as error:
        is_refused = _code(error) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
        if not is_refused or path.with_name(f"{path.name}-wal").exists():
            raise
        return connect(path, "ro&immutable=1")


def check_place(path: Path) -> None:
    """Before anything is written beside a file that is no store."""
    with explained(path):
        if path.is_dir():
            raise UsageError(f"{path} is a folder; give the path of a file, such as {path / 'run.sqlite'}")
        if not path.parent.is_dir():
            raise UsageError(f"the folder {path.parent} is not there; make it first: mkdir -p {path.parent}")
        if path.exists():
            with closing(connect_to_read(path)) as db:
                is_new(db, path)


def is_new(db: sqlite3.Connection, path: Path) -> bool:
    """Whether it is an empty database; if not, it is a store that this version can read.

    Raises:
        UsageError: it is another program's, or from a newer version.
    """
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if application == APPLICATION_ID:
        if version > SCHEMA_VERSION:
            raise UsageError(
                f"{path} is from a newer edgesearch (its store has version {version}; this one reads up to "
                f"{SCHEMA_VERSION}); upgrade with: pip install --upgrade edgesearch"
            )
        return False
    if application == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        return True
    raise UsageError(f"{path} is another program's database and was left as it is; give another path")


def locked(path: Path) -> sqlite3.Connection | None:
    """The lock of the one run that writes, which ends with the connection or with the process; None if another's."""
    beside = path.with_name(f"{path.name}-lock")
    with explained(path):
        lock = sqlite3.connect(_uri(beside, "rwc"), uri=True, isolation_level=None, timeout=0)
        try:
            lock.execute("PRAGMA journal_mode = MEMORY")  # else a journal is left by a kill
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if _code(error) == sqlite3.SQLITE_BUSY:
                return None
            raise
        except BaseException:
            lock.close()
            raise
    return lock


def _code(error: sqlite3.Error) -> int | None:
    """The primary code; an extended one has more in its upper bits."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


@contextmanager
def explained(path: Path, outcome: Outcome | None = None) -> Iterator[None]:
    """Turns what SQLite raises into a sentence."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explanation(error, path, outcome) from error
    except OSError as error:
        raise EdgesearchError(f"{path} cannot be used ({error.strerror}); check its folder's permissions") from error
    except UnicodeEncodeError as error:
        of = f" of sample {outcome.sample_id!r}" if outcome is not None else ""
        raise UsageError(f"a text{of} holds half a surrogate pair, which no file can; decode it as UTF-8") from error


def _explanation(error: sqlite3.Error, path: Path, outcome: Outcome | None) -> EdgesearchError:
    code = _code(error)
    if code == sqlite3.SQLITE_CONSTRAINT and outcome is not None:
        return _refusal(error, path, outcome)
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return _damage(error, path)
    kept = "what was stored before is whole"
    sentences = {
        sqlite3.SQLITE_FULL: f"the disk is full; {kept}. Free some space and run the same command again to resume",
        sqlite3.SQLITE_BUSY: "another program has locked it; close it and run the same command again to resume",
        sqlite3.SQLITE_READONLY: f"it or its folder cannot be written to; {kept}. Change its permissions or give "
        "another --out",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its folder is there, and that you may write to it, "
        "or give another --out",
        sqlite3.SQLITE_IOERR: f"the disk failed or is full ({error}); {kept}. Check the disk and run the same command "
        "again to resume",
    }
    return EdgesearchError(f"{path}: {sentences.get(code or 0, f'SQLite says {error}')}")


def _refusal(error: sqlite3.Error, path: Path, outcome: Outcome) -> EdgesearchError:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_CONSTRAINT_UNIQUE":
        return EdgesearchError(
            f"{path} already holds sample {outcome.sample_id!r} in cell {outcome.cell} (unit {outcome.key}), and "
            "keeps it as it is; ask done_keys before a unit is run"
        )
    if name == "SQLITE_CONSTRAINT_FOREIGNKEY":
        return UsageError(f"{path} has no cell {outcome.cell!r}; outcomes belong to the cells of the recipe")
    return UsageError(f"{path} cannot hold the outcome of sample {outcome.sample_id!r}: {error}")


def _damage(error: sqlite3.Error, path: Path) -> EdgesearchError:
    if _code(error) == sqlite3.SQLITE_NOTADB:
        return UsageError(f"{path} is no store of a run (no SQLite file), and was left as it is; give another path")
    return IntegrityError(f"{path} is damaged ({error}); restore it from a copy, or start again with another --out")
