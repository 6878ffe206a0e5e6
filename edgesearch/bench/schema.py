"""The tables of a store, and its records as rows of them.

    run ─┬─ sessions       each opening for writing: process, versions, machine
         ├─ samples        what was asked, and the targets
         └─ cells ── outcomes ── candidates

Not covered: when rows are written and read (store.py), what they mean (records.py).
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgesearch.bench.records import STATUSES, UNANSWERED, Grade, GradedCandidate, Outcome
from edgesearch.types import ModelNames, StrategyUsed, Usage

SCHEMA_VERSION = 2
"""Goes up when the tables change: a store from a newer version is refused, and an older one brought up to this."""

TABLES = (
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
        joules REAL,                   -- of the whole machine; NULL where it does not count them
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

UPGRADES = {1: "ALTER TABLE outcomes ADD COLUMN joules REAL"}
"""By version: what makes it the next one."""
_NEWER = {"joules": 2}
"""By column of `outcomes`: the version that it came with."""

_PACKED = ("grades", "usage", "strategy", "models", "warnings")
"""Fields of `Outcome` that are JSON."""
_PLAIN = tuple(each.name for each in dataclasses.fields(Outcome) if each.name not in (*_PACKED, "candidates"))
_OUTCOME_COLUMNS = (*_PLAIN, "num_candidates", *_PACKED)
_CANDIDATE_COLUMNS = tuple(each.name for each in dataclasses.fields(GradedCandidate))


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608


INSERT_OUTCOME = _insert("outcomes", ("session", *_OUTCOME_COLUMNS))
INSERT_CANDIDATE = _insert("candidates", ("outcome", "position", *_CANDIDATE_COLUMNS))
SELECT_CANDIDATES = f"SELECT {', '.join(_CANDIDATE_COLUMNS)} FROM candidates WHERE outcome = ? ORDER BY position"  # noqa: S608
SELECT_FIGURES = """
    SELECT c.outcome, c.answer_class, c.is_right, c.score, c.logprob, c.num_tokens
    FROM outcomes AS o CROSS JOIN candidates AS c INDEXED BY candidate_figures ON c.outcome = o.id
    WHERE o.cell = ? ORDER BY o.sample_id, c.position
"""
SELECT_FIGURES_OF_ONE = """
    SELECT outcome, answer_class, is_right, score, logprob, num_tokens
    FROM candidates INDEXED BY candidate_figures WHERE outcome = ? ORDER BY position
"""
FIGURES = np.dtype(
    [
        ("sample", np.int64),
        ("answer_class", np.int64),
        ("is_right", np.bool_),
        ("score", np.float64),
        ("logprob", np.float64),
        ("num_tokens", np.int64),
    ]
)


def select_outcomes(version: int) -> str:
    """Reads the outcomes of a cell from a store of that version: its row ids, and what `read_outcome` takes."""
    return f"{_select_outcomes(version)} WHERE cell = ? ORDER BY sample_id"


def select_outcome(version: int) -> str:
    """Reads the same of one sample in a cell."""
    return f"{_select_outcomes(version)} WHERE cell = ? AND sample_id = ?"


def _select_outcomes(version: int) -> str:
    columns = (name if version >= _NEWER.get(name, 1) else "NULL" for name in _OUTCOME_COLUMNS)
    return f"SELECT id, {', '.join(columns)} FROM outcomes"  # noqa: S608


def outcome_row(outcome: Outcome, session: int) -> tuple[Any, ...]:
    """What `INSERT_OUTCOME` takes."""
    plain = [getattr(outcome, name) for name in _PLAIN]
    return (
        session,
        *plain,
        len(outcome.candidates),
        as_json([dataclasses.asdict(grade) for grade in outcome.grades]),
        as_json(dataclasses.asdict(outcome.usage)),
        None if outcome.strategy is None else as_json(dataclasses.asdict(outcome.strategy)),
        None if outcome.models is None else as_json(dataclasses.asdict(outcome.models)),
        as_json(outcome.warnings),
    )


def read_outcome(row: Sequence[Any], candidates: tuple[GradedCandidate, ...], *, has_candidates: bool) -> Outcome:
    """Of a row of `select_outcomes`, after its id; without candidates, none of them is the chosen one."""
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


def candidate_rows(outcome: int, candidates: Sequence[GradedCandidate]) -> Iterator[tuple[Any, ...]]:
    """What `INSERT_CANDIDATE` takes, for the outcome of that row id."""
    for position, candidate in enumerate(candidates):
        lists = {name: as_json(getattr(candidate, name)) for name in ("step_scores", "step_ends")}
        yield (outcome, position, *(lists.get(name, getattr(candidate, name)) for name in _CANDIDATE_COLUMNS))


def read_candidate(row: Sequence[Any]) -> GradedCandidate:
    """Of a row of `SELECT_CANDIDATES`."""
    values = dict(zip(_CANDIDATE_COLUMNS, row, strict=True))
    values["is_right"] = bool(values["is_right"])
    for name in ("step_scores", "step_ends"):
        values[name] = tuple(json.loads(values[name]))
    return GradedCandidate(**values)


def read_figures(rows: Iterable[tuple[Any, ...]], numbers: Mapping[int, int]) -> Iterator[tuple[Any, ...]]:
    """Rows of `SELECT_FIGURES` as arrays hold them: samples and answers as numbers, NaN for nothing.

    Args:
        rows: those of a sample together.
        numbers: of the sample of each outcome.
    """
    nan, last = math.nan, -1
    classes: dict[str, int] = {}
    for outcome, answer_class, is_right, score, logprob, num_tokens in rows:
        sample = numbers[outcome]
        if sample != last:
            classes, last = {}, sample
        number = UNANSWERED if answer_class is None else classes.setdefault(answer_class, len(classes))
        yield (
            sample,
            number,
            is_right,
            nan if score is None else score,
            nan if logprob is None else logprob,
            num_tokens or 0,
        )


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)  # dumps makes one each time


def as_json(content: object) -> str:
    """As it is kept in a column."""
    return _ENCODER.encode(content)
