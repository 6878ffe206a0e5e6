"""The store of a run: one SQLite file that holds every outcome with all of its candidates.

    run ─┬─ sessions       each opening for writing: process, versions, machine
         ├─ samples        what was asked, and the targets
         └─ cells ── outcomes ── candidates

An outcome and its candidates are one transaction, with a write-ahead log and full durability: whatever `add` returned
for survives a kill or a power cut, and nothing half-written is ever seen. Outcomes are keyed by content
(`recipe.unit_key`), so that a resumed run asks `done_keys` and does the rest; a unit that comes twice is an error and
overwrites nothing. One process writes at a time; any number read meanwhile.

Readers go by cell and sample id, not by time, so that a run that was killed and resumed reads like one that was not.
Candidates stream; `columns` reads the figures of a cell as arrays without touching a text.

The lock of the writing process is an SQLite lock on an empty file beside the store (`RUN.sqlite-lock`): the system
lets go of it when the process dies, however it dies. The empty file may stay.

Not covered: what is run (recipe.py, runner.py), grading, other formats (export.py), stores on network drives (SQLite
cannot lock there).

Source: https://sqlite.org/wal.html.
"""

import dataclasses
import json
import math
import os
import socket
import sqlite3
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, get_args
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from edgesearch.bench.recipe import Cell
from edgesearch.errors import EdgesearchError, IntegrityError, UsageError
from edgesearch.types import Candidate, Finish, ModelNames, Problem, StrategyUsed, Usage

if TYPE_CHECKING:
    from edgesearch.tasks.base import Sample

APPLICATION_ID = 0x45534252
"""`ESBR` in the header of the file says that it is a store."""
SCHEMA_VERSION = 1
"""Goes up when the tables change; a store from a newer version is refused."""
UNANSWERED = -1
"""The class of a candidate without an answer, in arrays."""

Status = Literal["correct", "wrong", "unanswered", "error"]
STATUSES: tuple[Status, ...] = get_args(Status)
Extraction = Literal["strict", "flexible"]
"""How an answer is found in a solution: only in the form that the prompt asks for, or wherever one may be meant."""

_MAX_LISTED = 8
_BUSY_S = 10.0
"""Seconds to wait for a reader that recovers the log; writers exclude each other before."""

_TABLES = (
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        recipe TEXT NOT NULL,          -- the TOML file as it was
        task_digest TEXT NOT NULL,
        model_digests TEXT NOT NULL,   -- JSON: by engine and role
        created_s REAL NOT NULL        -- Unix time, as all that end in _s and are not durations
    )""",
    """CREATE TABLE sessions (
        id INTEGER PRIMARY KEY,
        process INTEGER NOT NULL,
        host TEXT NOT NULL,
        versions TEXT NOT NULL,        -- JSON: by package
        machine TEXT NOT NULL,         -- JSON
        started_s REAL NOT NULL,
        ended_s REAL                   -- NULL where it was killed, or is under way
    )""",
    """CREATE TABLE samples (
        id TEXT PRIMARY KEY,
        problem TEXT NOT NULL,         -- as it was asked
        question TEXT NOT NULL,        -- as the data word it
        target TEXT NOT NULL,
        metadata TEXT NOT NULL         -- JSON: level, subject and the like
    )""",
    """CREATE TABLE cells (
        key TEXT PRIMARY KEY,
        position INTEGER NOT NULL UNIQUE,
        name TEXT NOT NULL,
        settings TEXT NOT NULL         -- JSON: the fields of the cell
    )""",
    f"""CREATE TABLE outcomes (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,      -- of the content: recipe.unit_key
        cell TEXT NOT NULL REFERENCES cells (key),
        sample_id TEXT NOT NULL,
        session INTEGER NOT NULL REFERENCES sessions (id),
        status TEXT NOT NULL CHECK (status IN {STATUSES}),
        answer TEXT,                   -- the chosen one
        chosen INTEGER,                -- position of the chosen candidate
        confidence REAL,
        finish TEXT,
        wall_s REAL NOT NULL,
        load_s REAL NOT NULL,
        budget_s REAL NOT NULL,
        started_s REAL NOT NULL,
        ended_s REAL NOT NULL,
        num_candidates INTEGER NOT NULL,
        grades TEXT NOT NULL,          -- JSON: a verdict a grader and way of extraction
        usage TEXT NOT NULL,           -- JSON
        strategy TEXT,                 -- JSON: as it ran
        models TEXT,                   -- JSON: and where they ran
        warnings TEXT NOT NULL,        -- JSON
        error TEXT NOT NULL,
        UNIQUE (cell, sample_id)
    )""",
    """CREATE TABLE candidates (
        id INTEGER PRIMARY KEY,
        outcome INTEGER NOT NULL REFERENCES outcomes (id),
        position INTEGER NOT NULL,     -- in the order in which they were finished, from 0
        answer_class TEXT,             -- equal for equal answers; NULL without an answer
        is_right INTEGER NOT NULL CHECK (is_right IN (0, 1)),
        score REAL,
        logprob REAL,
        num_tokens INTEGER,
        finish TEXT,
        ended_s REAL,
        answer TEXT,
        step_scores TEXT NOT NULL,     -- JSON
        step_ends TEXT NOT NULL,       -- JSON: where each step ends in the text
        text TEXT NOT NULL,
        UNIQUE (outcome, position)
    )""",
    # What arrays are made of, apart from the texts: reading a million candidates reads about 60 MB and not 1 GB.
    """CREATE INDEX candidate_figures
        ON candidates (outcome, position, answer_class, is_right, score, logprob, num_tokens)""",
)


# ------------------------------------------------------------------------------------------------------------ records


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run is of; a resumed run must be of the same, but for `versions` and `machine`."""

    recipe: str
    """The text of the recipe."""
    task_digest: str
    """Of its samples, prompt and grader."""
    model_digests: Mapping[str, str] = field(hash=False)
    """By engine and role, such as `small/solver`: what was read from where, as a digest."""
    cells: tuple[Cell, ...]
    """In the order of the recipe."""
    versions: Mapping[str, str] = field(default_factory=dict, hash=False)
    """By package, of this session."""
    machine: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What this session runs on."""


@dataclass(frozen=True, slots=True)
class Session:
    """One opening for writing."""

    process: int
    host: str
    versions: Mapping[str, str] = field(hash=False)
    machine: Mapping[str, str] = field(hash=False)
    started_s: float
    ended_s: float | None
    """None where it was killed, or is under way."""


@dataclass(frozen=True, slots=True)
class Grade:
    """One grader's verdict on the chosen solution."""

    grader: str
    """Its name and version."""
    extraction: Extraction
    answer: str | None
    """What was extracted; None for nothing."""
    is_right: bool | None
    """None where the grader could not tell."""

    def __post_init__(self) -> None:
        _require("extraction", self.extraction in get_args(Extraction), self.extraction, "strict or flexible")


@dataclass(frozen=True, slots=True)
class GradedCandidate:
    """A finished or cut-off solution, and whether its answer is right."""

    text: str
    answer: str | None = None
    """None when it has none."""
    answer_class: str | None = None
    """Equal for equal answers, such as `answer.canonical`; None exactly where there is no answer."""
    is_right: bool = False
    """Never without an answer."""
    score: float | None = None
    """Aggregated verifier score in [0, 1]; None when not verified."""
    step_scores: tuple[float, ...] = ()
    """In [0, 1]."""
    step_ends: tuple[int, ...] = ()
    """Characters of the text up to the end of each step; candidates that share steps share that much text."""
    logprob: float | None = None
    """Natural, under the solver at temperature 1; None where not told."""
    num_tokens: int | None = None
    """Drawn; None where not told."""
    finish: Finish | None = None
    """None where not told."""
    ended_s: float | None = None
    """Unix time at which it was finished; None where not told."""

    def __post_init__(self) -> None:
        is_paired = (self.answer is None) == (self.answer_class is None)
        _require("answer_class", is_paired, self.answer_class, "None exactly where answer is")
        _require("is_right", self.answer is not None or not self.is_right, self.is_right, "False without an answer")
        _require("score", self.score is None or 0 <= self.score <= 1, self.score, "None or in [0, 1]")
        _require("step_scores", all(0 <= score <= 1 for score in self.step_scores), self.step_scores, "in [0, 1]")
        is_finite = self.logprob is None or math.isfinite(self.logprob)
        _require("logprob", is_finite, self.logprob, "None or finite")

    @classmethod
    def of(
        cls, candidate: Candidate, *, answer_class: str | None, is_right: bool, ended_s: float | None = None
    ) -> "GradedCandidate":
        """What is kept of a candidate that `solve` returned."""
        beam = candidate.beam
        lengths = [len(step.text) for step in beam.steps]
        return cls(
            text=beam.text,
            answer=candidate.answer,
            answer_class=answer_class,
            is_right=is_right,
            score=candidate.score,
            step_scores=beam.scores,
            step_ends=tuple(sum(lengths[: number + 1]) for number in range(len(lengths))),
            logprob=beam.logprob,
            num_tokens=beam.num_tokens,
            finish=beam.finish,
            ended_s=ended_s,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """One unit of work: a graded solution of one sample in one cell."""

    key: str
    """`recipe.unit_key`."""
    cell: str
    """The key of the cell."""
    sample_id: str
    status: Status
    budget_s: float
    started_s: float
    """Unix time."""
    ended_s: float
    """Unix time."""
    wall_s: float = 0.0
    """From the accepted problem to the chosen answer."""
    load_s: float = 0.0
    """Loading the models, in the first unit after it."""
    answer: str | None = None
    """The chosen one; None exactly when unanswered, or after an error."""
    chosen: int | None = None
    """Index of the chosen candidate; None where there is none."""
    grades: tuple[Grade, ...] = ()
    confidence: float | None = None
    finish: Finish | None = None
    """None after an error."""
    usage: Usage = field(default_factory=Usage)
    strategy: StrategyUsed | None = None
    """As it ran, after the planner and any fallback."""
    models: ModelNames | None = None
    """And where they ran."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    """What failed; empty unless the status is error."""
    candidates: tuple[GradedCandidate, ...] = ()
    """In the order in which they were finished."""

    def __post_init__(self) -> None:
        _require("status", self.status in STATUSES, self.status, f"one of {', '.join(STATUSES)}")
        _require("error", bool(self.error) == (self.status == "error"), self.error, "there exactly for status error")
        is_answered = self.status in ("correct", "wrong")
        _require("answer", (self.answer is not None) == is_answered, self.answer, "there for correct and wrong only")
        is_chosen = self.chosen is None or 0 <= self.chosen < len(self.candidates)
        _require("chosen", is_chosen, self.chosen, f"None or in [0, {len(self.candidates)})")


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The figures of all candidates of a cell, sample after sample by id, each sample's in the order of drawing."""

    sample_ids: tuple[str, ...]
    """(num_samples,) of every outcome of the cell, also of those without candidates."""
    offsets: NDArray[np.int64]
    """(num_samples + 1,) the candidates of sample i are those from offsets[i] up to offsets[i + 1]."""
    answer_class: NDArray[np.int64]
    """(num_candidates,) which answer each gives, numbered within its sample by first appearance; `UNANSWERED`."""
    is_right: NDArray[np.bool_]
    """(num_candidates,)"""
    score: NDArray[np.float64]
    """(num_candidates,) NaN when not verified."""
    logprob: NDArray[np.float64]
    """(num_candidates,) NaN where not told."""
    num_tokens: NDArray[np.int64]
    """(num_candidates,) 0 where not told."""

    def of(self, index: int) -> slice:
        """Where the candidates of sample `index` are."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))


def _require(name: str, is_valid: object, value: object, allowed: str) -> None:
    if not is_valid:
        raise ValueError(f"{name} must be {allowed}, not {value!r:.80}")


# -------------------------------------------------------------------------------------------------------------- store


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
        _check_place(path)
        with ExitStack() as undo, _explained(path):
            lock = undo.enter_context(closing(_locked(path)))
            db = undo.enter_context(closing(_connect(path, "rwc")))
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
        with ExitStack() as undo, _explained(path):
            db = undo.enter_context(closing(_connect_to_read(path)))
            if _is_new(db, path):
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
        is_new = _is_new(self._db, self.path)
        mode = self._db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise EdgesearchError(f"{self.path} lies where SQLite has no write-ahead log; use a local disk")
        with self._transaction():
            if is_new:
                self._create(run)
            else:
                self._check_same(run)
            self._session = self._add_session(run)

    def _create(self, run: RunInfo) -> None:
        for statement in _TABLES:
            self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")  # a pragma takes no parameters
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION:d}")
        row = (run.recipe, run.task_digest, _json(dict(run.model_digests)), self._clock())
        self._db.execute("INSERT INTO run VALUES (1, ?, ?, ?, ?)", row)
        cells = [(cell.key, number, cell.name, _json(cell.settings)) for number, cell in enumerate(run.cells)]
        self._db.executemany("INSERT INTO cells VALUES (?, ?, ?, ?)", cells)

    def _add_session(self, run: RunInfo) -> int:
        row = (os.getpid(), socket.gethostname(), _json(dict(run.versions)), _json(dict(run.machine)), self._clock())
        added = self._db.execute(
            "INSERT INTO sessions (process, host, versions, machine, started_s) VALUES (?, ?, ?, ?, ?)", row
        )
        return int(added.lastrowid or 0)

    def _check_same(self, run: RunInfo) -> None:
        begun = self._info()
        content = _changed_content(begun, run)
        changes = content + _changed_recipe(begun, run)
        if changes:
            kind = IntegrityError if content else UsageError
            raise kind(
                f"{self.path} is a run of something else, and was left as it is: {_listed(changes)}. To go on with it, "
                "put back what it was begun with; else start another run with another --out"
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
        with _explained(self.path, outcome), self._transaction():
            added = self._db.execute(_INSERT_OUTCOME, _outcome_row(outcome, self._session))
            rows = _candidate_rows(int(added.lastrowid or 0), outcome.candidates)
            self._db.executemany(_INSERT_CANDIDATE, rows)

    def add_samples(self, samples: "Iterable[Sample]") -> None:
        """Keeps what is asked, so that a report needs the store alone; samples that are there already stay.

        Raises:
            UsageError, EdgesearchError: as `add`.
        """
        self._check_writable()
        rows = (
            (sample.id, sample.problem.text, sample.question, sample.target, _json(dict(sample.metadata)))
            for sample in samples
        )
        with _explained(self.path), self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO samples VALUES (?, ?, ?, ?, ?)", rows)

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
        with _explained(self.path):
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
        with _explained(self.path):
            rows = self._db.execute(statement).fetchall()
        return tuple(Session(row[0], row[1], json.loads(row[2]), json.loads(row[3]), row[4], row[5]) for row in rows)

    def cells(self) -> tuple[Cell, ...]:
        """In the order of the recipe."""
        with _explained(self.path):
            rows = self._db.execute("SELECT settings FROM cells ORDER BY position").fetchall()
        return tuple(Cell(**json.loads(settings)) for (settings,) in rows)

    def samples(self) -> "Iterator[Sample]":
        """What was asked, by id."""
        from edgesearch.tasks.base import Sample

        with _explained(self.path):
            rows = self._db.execute("SELECT id, problem, question, target, metadata FROM samples ORDER BY id")
            for name, problem, question, target, metadata in rows:
                yield Sample(Problem(problem, name), target, question, json.loads(metadata))

    def done_keys(self) -> frozenset[str]:
        """The keys of the units that are done, errors included."""
        with _explained(self.path):
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
            for key in keys:
                for row in self._db.execute(_SELECT_OUTCOMES, (key,)):
                    candidates = self._candidates(row[0]) if has_candidates else ()
                    yield _outcome(row[1:], candidates, has_candidates=has_candidates)

    def _candidates(self, outcome: int) -> tuple[GradedCandidate, ...]:
        return tuple(map(_candidate, self._db.execute(_SELECT_CANDIDATES, (outcome,))))

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
            rows = self._db.execute(_SELECT_FIGURES, (cell,))
            figures = np.fromiter(_figures(rows, numbers), _FIGURES)
        offsets = np.searchsorted(figures["sample"], np.arange(len(samples) + 1)).astype(np.int64)
        arrays = {name: np.ascontiguousarray(figures[name]) for name in _FIGURES.names or () if name != "sample"}
        return Columns(tuple(name for _, name in samples), offsets, **arrays)

    def _known(self, cell: str) -> str:
        known = {each.key: each.name for each in self.cells()}
        if cell not in known:
            shown = ", ".join(f"{key} ({name})" for key, name in list(known.items())[:8])
            raise UsageError(f"{self.path} has no cell {cell!r:.80}; it has {shown}")
        return cell


# --------------------------------------------------------------------------------------------------------------- rows

_PACKED = ("grades", "usage", "strategy", "models", "warnings")
"""Fields of `Outcome` that are JSON."""
_PLAIN = tuple(each.name for each in dataclasses.fields(Outcome) if each.name not in (*_PACKED, "candidates"))
_OUTCOME_COLUMNS = (*_PLAIN, "num_candidates", *_PACKED)
_CANDIDATE_COLUMNS = tuple(each.name for each in dataclasses.fields(GradedCandidate))


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608


_INSERT_OUTCOME = _insert("outcomes", ("session", *_OUTCOME_COLUMNS))
_INSERT_CANDIDATE = _insert("candidates", ("outcome", "position", *_CANDIDATE_COLUMNS))
_SELECT_OUTCOMES = f"SELECT id, {', '.join(_OUTCOME_COLUMNS)} FROM outcomes WHERE cell = ? ORDER BY sample_id"  # noqa: S608
_SELECT_CANDIDATES = f"SELECT {', '.join(_CANDIDATE_COLUMNS)} FROM candidates WHERE outcome = ? ORDER BY position"  # noqa: S608
_SELECT_FIGURES = """
    SELECT c.outcome, c.answer_class, c.is_right, c.score, c.logprob, c.num_tokens
    FROM outcomes AS o CROSS JOIN candidates AS c INDEXED BY candidate_figures ON c.outcome = o.id
    WHERE o.cell = ? ORDER BY o.sample_id, c.position
"""
_FIGURES = np.dtype(
    [
        ("sample", np.int64),
        ("answer_class", np.int64),
        ("is_right", np.bool_),
        ("score", np.float64),
        ("logprob", np.float64),
        ("num_tokens", np.int64),
    ]
)


def _outcome_row(outcome: Outcome, session: int) -> tuple[Any, ...]:
    plain = [getattr(outcome, name) for name in _PLAIN]
    return (
        session,
        *plain,
        len(outcome.candidates),
        _json([dataclasses.asdict(grade) for grade in outcome.grades]),
        _json(dataclasses.asdict(outcome.usage)),
        None if outcome.strategy is None else _json(dataclasses.asdict(outcome.strategy)),
        None if outcome.models is None else _json(dataclasses.asdict(outcome.models)),
        _json(outcome.warnings),
    )


def _outcome(row: Sequence[Any], candidates: tuple[GradedCandidate, ...], *, has_candidates: bool) -> Outcome:
    values = dict(zip(_OUTCOME_COLUMNS, row, strict=True))
    num_candidates = values.pop("num_candidates")
    if has_candidates:
        assert len(candidates) == num_candidates, "a transaction was torn"
    else:
        values["chosen"] = None
    for name, made in (("usage", Usage), ("strategy", StrategyUsed), ("models", ModelNames)):
        if values[name] is not None:
            values[name] = made(**json.loads(values[name]))
    values["grades"] = tuple(Grade(**grade) for grade in json.loads(values["grades"]))
    values["warnings"] = tuple(json.loads(values["warnings"]))
    return Outcome(**values, candidates=candidates)


def _candidate_rows(outcome: int, candidates: Sequence[GradedCandidate]) -> Iterator[tuple[Any, ...]]:
    for position, candidate in enumerate(candidates):
        lists = {name: _json(getattr(candidate, name)) for name in ("step_scores", "step_ends")}
        yield (outcome, position, *(lists.get(name, getattr(candidate, name)) for name in _CANDIDATE_COLUMNS))


def _candidate(row: Sequence[Any]) -> GradedCandidate:
    values = dict(zip(_CANDIDATE_COLUMNS, row, strict=True))
    values["is_right"] = bool(values["is_right"])
    for name in ("step_scores", "step_ends"):
        values[name] = tuple(json.loads(values[name]))
    return GradedCandidate(**values)


def _figures(rows: Iterable[tuple[Any, ...]], numbers: Mapping[int, int]) -> Iterator[tuple[Any, ...]]:
    """Rows as arrays hold them: samples and answers as numbers, NaN for nothing."""
    nan, last = math.nan, None
    classes: dict[str, int] = {}
    for outcome, answer_class, is_right, score, logprob, num_tokens in rows:
        if outcome != last:
            classes, last = {}, outcome
        number = UNANSWERED if answer_class is None else classes.setdefault(answer_class, len(classes))
        yield (
            numbers[outcome],
            number,
            is_right,
            nan if score is None else score,
            nan if logprob is None else logprob,
            num_tokens or 0,
        )


def _json(content: object) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


# -------------------------------------------------------------------------------------------------------- what changed


def _changed_content(begun: RunInfo, run: RunInfo) -> list[str]:
    changes = []
    if begun.task_digest != run.task_digest:
        changes.append(f"the task was {begun.task_digest:.12}, and is {run.task_digest:.12}")
    for name in sorted(begun.model_digests.keys() | run.model_digests.keys()):
        old, new = begun.model_digests.get(name, "not there"), run.model_digests.get(name, "not there")
        if old != new:
            changes.append(f"the model {name} was {old:.12}, and is {new:.12}")
    return changes


def _changed_recipe(begun: RunInfo, run: RunInfo) -> list[str]:
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


def _listed(changes: Sequence[str]) -> str:
    rest = f"; and {len(changes) - _MAX_LISTED} more" if len(changes) > _MAX_LISTED else ""
    return "; ".join(changes[:_MAX_LISTED]) + rest


def _shown(entries: Mapping[str, Any], key: str) -> str:
    return f"{entries[key]!r:.60}" if key in entries else "not there"


# ----------------------------------------------------------------------------------------- connections and their errors


def _connect(path: Path, mode: str) -> sqlite3.Connection:
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


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write.

    A store that was closed has no log beside it, and SQLite would make one: where the folder cannot be written to
    there is no writer either, so the file is read as it is.
    """
    try:
        return _connect(path, "ro")
    except sqlite3.OperationalError as error:
        is_refused = _code(error) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
        if not is_refused or path.with_name(f"{path.name}-wal").exists():
            raise
        return _connect(path, "ro&immutable=1")


def _check_place(path: Path) -> None:
    """Before anything is written beside a file that is no store."""
    with _explained(path):
        if path.is_dir():
            raise UsageError(f"{path} is a folder; give the path of a file, such as {path / 'run.sqlite'}")
        if not path.parent.is_dir():
            raise UsageError(f"the folder {path.parent} is not there; make it first: mkdir -p {path.parent}")
        if path.exists():
            with closing(_connect_to_read(path)) as db:
                _is_new(db, path)


def _is_new(db: sqlite3.Connection, path: Path) -> bool:
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


def _locked(path: Path) -> sqlite3.Connection:
    """The lock of the one run that writes; it ends with the connection or with the process."""
    beside = path.with_name(f"{path.name}-lock")
    with _explained(path):
        lock = sqlite3.connect(_uri(beside, "rwc"), uri=True, isolation_level=None, timeout=0)
        try:
            lock.execute("PRAGMA journal_mode = MEMORY")  # else a journal is left by a kill
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if _code(error) == sqlite3.SQLITE_BUSY:
                raise EdgesearchError(_in_use(path)) from error
            raise
        except BaseException:
            lock.close()
            raise
    return lock


def _in_use(path: Path) -> str:
    holder = "another run"
    try:
        with Store.read(path) as store:
            last = store.sessions()[-1]
            holder = f"a run that is under way (process {last.process} on {last.host})"
    except (EdgesearchError, sqlite3.Error, IndexError):
        pass  # it is only just being made; the sentence is true without
    return f"{path} is in use by {holder}; wait for it, end it, or give another --out"


def _code(error: sqlite3.Error) -> int | None:
    """The primary code; an extended one has more in its upper bits."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


@contextmanager
def _explained(path: Path, outcome: Outcome | None = None) -> Iterator[None]:
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
