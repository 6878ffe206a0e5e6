"""The store of a run: one SQLite file that holds every outcome with all of its candidates.

An outcome and its candidates are one transaction, with a write-ahead log and full durability: whatever `add` returned
for survives a kill or a power cut, and nothing half-written is ever seen. Outcomes are keyed by content
(`recipe.unit_key`), so that a resumed run asks `done_keys` and does the rest; a unit that comes twice is an error and
overwrites nothing. One process writes at a time; any number read meanwhile.

Readers go by cell and sample id, not by time, so that a run that was killed and resumed reads like one that was not.
Candidates stream; `columns` reads the figures of a cell as arrays without touching a text.

Not covered: the records (records.py), tables and rows (schema.py), the file and its lock (database.py), what is run
(recipe.py, runner.py), grading, other formats (export.py), stores on network drives (SQLite cannot lock there).
"""

import json
import os
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from edgesearch.bench import changes, database, schema
from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import STATUSES, Columns, GradedCandidate, Outcome, RunInfo, Session, Status
from edgesearch.errors import EdgesearchError, IntegrityError, UsageError
from edgesearch.types import Problem

if TYPE_CHECKING:
    from edgesearch.tasks.base import Sample


class Store:
    """A run's file, open for writing (`Store.open`) or for reading only (`Store.read`).

    Not for use by several threads; a reader in another thread or process opens its own.
    """

    def __init__(
        self, path: Path, db: sqlite3.Connection, lock: sqlite3.Connection | None, clock: Callable[[], float]
    ) -> None:
        """Owns both connections; use `open` or `read`."""
        self.path = path
        self._db = db
        self._lock = lock
        self._clock = clock
        self._session = 0
        self._is_closed = False

    @classmethod
    def open(cls, path: str | Path, run: RunInfo, *, clock: Callable[[], float] = time.time) -> "Store":
        """Begins a store, or goes on with one, and keeps other runs out until it is closed or the process ends.

        Args:
            path: the file; its folder must be there.
            run: what the run is of.
            clock: Unix time.

        Raises:
            IntegrityError: the store is of another task or of other models, or the file is damaged.
            UsageError: it is of another recipe, from a newer version, or no store.
            EdgesearchError: another run has it open, the folder cannot be written to, or the disk is full.
        """
        path = Path(path)
        database.check_place(path)
        with ExitStack() as undo, database.explained(path):
            lock = database.locked(path)
            if lock is None:
                raise EdgesearchError(_in_use(path))
            undo.enter_context(closing(lock))
            db = undo.enter_context(closing(database.connect(path, "rwc")))
            store = cls(path, db, lock, clock)
            store._begin(run)
            undo.pop_all()  # nothing failed
        return store

    @classmethod
    def read(cls, path: str | Path) -> "Store":
        """Opens a store for reading only; a run may go on writing meanwhile.

        Raises:
            UsageError: there is no such file, it is from a newer version, or no store.
            IntegrityError: the file is damaged.
        """
        path = Path(path)
        if not path.is_file():
            raise UsageError(f"there is no store {path}; check the path, or make one with edgesearch bench run")
        with ExitStack() as undo, database.explained(path):
            db = undo.enter_context(closing(database.connect_to_read(path)))
            if database.is_new(db, path):
                raise UsageError(f"{path} is empty: its run was ended before it began; run its recipe again")
            undo.pop_all()
        return cls(path, db, None, time.time)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the session and lets other runs in; safe to call twice."""
        if self._is_closed:
            return
        try:
            if self._lock is not None:
                self._end_session()
        finally:
            self._release()

    def _end_session(self) -> None:
        with suppress(sqlite3.Error):  # a full disk; the outcomes are whole, and a session without an end says enough
            if self._db.in_transaction:  # of a reader that was left halfway
                self._db.execute("ROLLBACK")
            self._db.execute("UPDATE sessions SET ended_s = ? WHERE id = ?", (self._clock(), self._session))

    def _release(self) -> None:
        self._is_closed = True
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    # -- beginning ---------------------------------------------------------------------------------------------------

    def _begin(self, run: RunInfo) -> None:
        was_empty = database.is_new(self._db, self.path)
        mode = self._db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise EdgesearchError(f"{self.path} lies where SQLite has no write-ahead log; use a local disk")
        with self._transaction():
            if was_empty:
                self._create(run)
            else:
                self._check_same(run)
                self._upgrade()
            self._session = self._add_session(run)

    def _create(self, run: RunInfo) -> None:
        for statement in schema.TABLES:
            self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id = {database.APPLICATION_ID:d}")  # a pragma takes no parameters
        self._db.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION:d}")
        row = (run.recipe, run.task_digest, schema.as_json(dict(run.model_digests)), self._clock())
        self._db.execute("INSERT INTO run VALUES (1, ?, ?, ?, ?)", row)
        cells = [(cell.key, number, cell.name, schema.as_json(cell.settings)) for number, cell in enumerate(run.cells)]
        self._db.executemany("INSERT INTO cells VALUES (?, ?, ?, ?)", cells)

    def _upgrade(self) -> None:
        """Brings tables of an older version up to this one's."""
        for version in range(self._version(), schema.SCHEMA_VERSION):
            self._db.execute(schema.UPGRADES[version])
        self._db.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION:d}")

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _add_session(self, run: RunInfo) -> int:
        row = (
            os.getpid(),
            socket.gethostname(),
            schema.as_json(dict(run.versions)),
            schema.as_json(dict(run.machine)),
            self._clock(),
        )
        added = self._db.execute(
            "INSERT INTO sessions (process, host, versions, machine, started_s) VALUES (?, ?, ?, ?, ?)", row
        )
        return int(added.lastrowid or 0)

    def _check_same(self, run: RunInfo) -> None:
        begun = self._info()
        content = changes.of_content(begun, run)
        found = content + changes.of_recipe(begun, run)
        if found:
            kind = IntegrityError if content else UsageError
            raise kind(
                f"{self.path} is a run of something else, and was left as it is: {changes.listed(found)}. To go on "
                "with it, put back what it was begun with; else start another run with another --out"
            )

    # -- writing -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk may have ended it
                self._db.execute("ROLLBACK")
            raise

    def add(self, outcome: Outcome) -> None:
        """Keeps an outcome with all of its candidates; once this returns, it is on the disk.

        Raises:
            UsageError: the store is open for reading only, knows no such cell, or a text is not Unicode.
            EdgesearchError: the unit is there already, the disk is full or fails; the store is as it was.
        """
        self._check_writable()
        with database.explained(self.path, outcome), self._transaction():
            added = self._db.execute(schema.INSERT_OUTCOME, schema.outcome_row(outcome, self._session))
            rows = schema.candidate_rows(int(added.lastrowid or 0), outcome.candidates)
            self._db.executemany(schema.INSERT_CANDIDATE, rows)

    def add_samples(self, samples: "Iterable[Sample]") -> None:
        """Keeps what is asked, so that a report needs the store alone; samples that are there already stay.

        Raises:
            UsageError, EdgesearchError: as `add`.
        """
        self._check_writable()
        rows = (
            (sample.id, sample.problem.text, sample.question, sample.target, schema.as_json(dict(sample.metadata)))
            for sample in samples
        )
        with database.explained(self.path), self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO samples VALUES (?, ?, ?, ?, ?)", rows)

    def forget_errors(self) -> int:
        """Drops the outcomes whose status is error, all or none, so that their units are to be done; returns how many.

        Raises:
            UsageError, EdgesearchError: as `add`.
        """
        self._check_writable()
        of_errors = "SELECT id FROM outcomes WHERE status = 'error'"
        with database.explained(self.path), self._transaction():
            self._db.execute(f"DELETE FROM candidates WHERE outcome IN ({of_errors})")  # noqa: S608
            return self._db.execute("DELETE FROM outcomes WHERE status = 'error'").rowcount

    def _check_writable(self) -> None:
        if self._is_closed:
            raise UsageError(f"{self.path} is closed; open it again with Store.open")
        if self._lock is None:
            raise UsageError(f"{self.path} is open for reading only; open it with Store.open")
        if self._db.in_transaction:
            raise UsageError(f"{self.path} is being read; finish the iteration over it before adding to it")

    # -- reading -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Several statements see one state, also while a run is writing."""
        with database.explained(self.path):
            is_outer = not self._db.in_transaction
            if is_outer:
                self._db.execute("BEGIN")
            try:
                yield
            finally:
                # A reader that was left halfway may end after the store was closed.
                if is_outer and not self._is_closed and self._db.in_transaction:
                    self._db.execute("COMMIT")

    @property
    def run(self) -> RunInfo:
        """What the run is of, with the versions and the machine of its first session."""
        with self._snapshot():
            return self._info()

    def _info(self) -> RunInfo:
        row = self._db.execute("SELECT recipe, task_digest, model_digests FROM run").fetchone()
        recipe, task_digest, models = row
        first = self.sessions()[0]
        return RunInfo(recipe, task_digest, json.loads(models), self.cells(), first.versions, first.machine)

    def sessions(self) -> tuple[Session, ...]:
        """Every opening for writing, the first one first."""
        statement = "SELECT process, host, versions, machine, started_s, ended_s FROM sessions ORDER BY id"
        with database.explained(self.path):
            rows = self._db.execute(statement).fetchall()
        return tuple(Session(row[0], row[1], json.loads(row[2]), json.loads(row[3]), row[4], row[5]) for row in rows)

    def cells(self) -> tuple[Cell, ...]:
        """In the order of the recipe."""
        with database.explained(self.path):
            rows = self._db.execute("SELECT settings FROM cells ORDER BY position").fetchall()
        return tuple(Cell(**json.loads(settings)) for (settings,) in rows)

    def samples(self) -> "Iterator[Sample]":
        """What was asked, by id."""
        from edgesearch.tasks.base import Sample

        with database.explained(self.path):
            rows = self._db.execute("SELECT id, problem, question, target, metadata FROM samples ORDER BY id")
            for name, problem, question, target, metadata in rows:
                yield Sample(Problem(problem, name), target, question, json.loads(metadata))

    def done_keys(self) -> frozenset[str]:
        """The keys of the units that are done, errors included."""
        with database.explained(self.path):
            return frozenset(key for (key,) in self._db.execute("SELECT key FROM outcomes"))

    def counts(self) -> dict[str, dict[Status, int]]:
        """How many outcomes of each status every cell has, by the key of the cell; zeros are there."""
        with self._snapshot():
            counts = {cell.key: dict.fromkeys(STATUSES, 0) for cell in self.cells()}
            for cell, status, count in self._db.execute(
                "SELECT cell, status, COUNT(*) FROM outcomes GROUP BY cell, status"
            ):
                counts[cell][status] = count
        return counts

    def outcomes(self, cell: str | None = None, *, has_candidates: bool = True) -> Iterator[Outcome]:
        """Streams outcomes, one in memory at a time: by the order of the cells, then by sample id.

        What is added meanwhile is not seen by a reader of its own; the writing store should not add before the end.

        Args:
            cell: the key of a cell; None for all cells.
            has_candidates: whether each comes with its candidates; without (and with `chosen` None) is much faster.

        Raises:
            UsageError: there is no such cell.
        """
        keys = [each.key for each in self.cells()] if cell is None else [self._known(cell)]
        with self._snapshot():
            statement = schema.select_outcomes(self._version())
            for key in keys:
                for row in self._db.execute(statement, (key,)):
                    candidates = self._candidates(row[0]) if has_candidates else ()
                    yield schema.read_outcome(row[1:], candidates, has_candidates=has_candidates)

    def outcome(self, cell: str, sample_id: str) -> Outcome | None:
        """The outcome of one sample in a cell, with its candidates; None where there is none."""
        with self._snapshot():
            row = self._db.execute(schema.select_outcome(self._version()), (cell, sample_id)).fetchone()
            return None if row is None else schema.read_outcome(row[1:], self._candidates(row[0]), has_candidates=True)

    def _candidates(self, outcome: int) -> tuple[GradedCandidate, ...]:
        return tuple(map(schema.read_candidate, self._db.execute(schema.SELECT_CANDIDATES, (outcome,))))

    def columns(self, cell: str) -> Columns:
        """The figures of all candidates of a cell as arrays; the texts are not read.

        Raises:
            UsageError: there is no such cell.
        """
        self._known(cell)
        with self._snapshot():
            found = self._db.execute("SELECT id, sample_id FROM outcomes WHERE cell = ? ORDER BY sample_id", (cell,))
            samples = found.fetchall()
            numbers = {outcome: number for number, (outcome, _) in enumerate(samples)}
            rows = self._db.execute(schema.SELECT_FIGURES, (cell,))
            figures = np.fromiter(schema.read_figures(rows, numbers), schema.FIGURES)
        return _columns([name for _, name in samples], figures)

    def pooled_columns(self, cells: Sequence[str]) -> tuple[Columns, NDArray[np.int64]]:
        """As `columns`, of several cells: the candidates of a sample are those of all cells, in their order.

        Returns:
            The figures, and of how many outcomes each sample's are.  # (num_samples,)

        Raises:
            UsageError: there is no such cell.
        """
        places = {self._known(cell): place for place, cell in enumerate(cells)}
        with self._snapshot():
            found = [
                (sample_id, place, outcome)
                for cell, place in places.items()
                for outcome, sample_id in self._db.execute("SELECT id, sample_id FROM outcomes WHERE cell = ?", (cell,))
            ]
            found.sort()
            counts = Counter(sample_id for sample_id, _, _ in found)
            samples = {sample_id: number for number, sample_id in enumerate(counts)}
            numbers = {outcome: samples[sample_id] for sample_id, _, outcome in found}
            rows = (self._db.execute(schema.SELECT_FIGURES_OF_ONE, (outcome,)) for _, _, outcome in found)
            figures = np.fromiter(schema.read_figures(chain.from_iterable(rows), numbers), schema.FIGURES)
        return _columns(list(samples), figures), np.array(list(counts.values()), dtype=np.int64)

    def _known(self, cell: str) -> str:
        known = {each.key: each.name for each in self.cells()}
        if cell not in known:
            shown = ", ".join(f"{key} ({name})" for key, name in list(known.items())[:8])
            raise UsageError(f"{self.path} has no cell {cell!r:.80}; it has {shown}")
        return cell


def _columns(sample_ids: Sequence[str], figures: NDArray[Any]) -> Columns:
    offsets = np.searchsorted(figures["sample"], np.arange(len(sample_ids) + 1)).astype(np.int64)
    arrays = {name: np.ascontiguousarray(figures[name]) for name in schema.FIGURES.names or () if name != "sample"}
    return Columns(tuple(sample_ids), offsets, **arrays)


def _in_use(path: Path) -> str:
    holder = "another run"
    try:
        with Store.read(path) as store:
            last = store.sessions()[-1]
            holder = f"a run that is under way (process {last.process} on {last.host})"
    except (EdgesearchError, sqlite3.Error, IndexError):
        pass  # it is only just being made; the sentence is true without
    return f"{path} is in use by {holder}; wait for it, end it, or give another --out"
