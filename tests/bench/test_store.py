"""A store keeps whole outcomes, once each, whatever happens to the process or the disk."""

import contextlib
import dataclasses
import gc
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.bench.database import APPLICATION_ID
from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import UNANSWERED, Grade, GradedCandidate, Outcome, RunInfo
from edgesearch.bench.schema import SCHEMA_VERSION, SELECT_FIGURES
from edgesearch.bench.store import Store
from edgesearch.errors import EdgesearchError, IntegrityError, UsageError
from edgesearch.tasks.base import Sample
from edgesearch.types import Beam, Candidate, ModelNames, Problem, Prompt, Step, StrategyUsed, Usage

RECIPE = 'name = "a run"\nseeds = [0]\n[[grid]]\nn = [1, 16]\nstrategy = "beam"\n'
CELLS = (Cell("small", "beam", 16, 4, 10.0), Cell("small", "greedy", 1, 1, 10.0))
CELL, OTHER = CELLS[0].key, CELLS[1].key
RUN = RunInfo(
    RECIPE, "digest of the task", {"small/solver": "aaaa", "small/verifier": "bbbb"}, CELLS, {"edgesearch": "0.1.0"}
)


def graded(number: int = 0, **changes: Any) -> GradedCandidate:
    values = {
        "text": f"Step one.\n\nThe answer is {number}.",
        "answer": str(number),
        "answer_class": str(number),
        "is_right": number == 0,
        "score": 1 / (1 + number),
        "step_scores": (0.25, 1 / (1 + number)),
        "step_ends": (11, 28),
        "logprob": -1.5 - number,
        "num_tokens": 9,
        "finish": "stop",
        "ended_s": 1_700_000_000.25 + number,
    }
    return GradedCandidate(**values | changes)


def outcome(number: int = 0, num_candidates: int = 2, **changes: Any) -> Outcome:
    values = {
        "key": f"key-{number}",
        "cell": CELL,
        "sample_id": f"sample-{number:03}",
        "status": "correct",
        "budget_s": 10.0,
        "started_s": 1_700_000_000.0,
        "ended_s": 1_700_000_002.5,
        "wall_s": 2.5,
        "load_s": 0.5,
        "joules": 31.25,
        "answer": "0",
        "chosen": 0 if num_candidates else None,
        "grades": (Grade("answer-1", "strict", "0", True), Grade("math-verify-0.8", "flexible", None, None)),
        "confidence": 2 / 3,
        "finish": "deadline",
        "usage": Usage(7, 7, 0, 90, 90, 7, 1e9, 2.5e8, 50, None),
        "strategy": StrategyUsed("beam", 16, 4, "last"),
        "models": ModelNames("nano", "nano-prm", verifier_device="cpu"),
        "warnings": ("the answer is the majority's",),
        "candidates": tuple(graded(index) for index in range(num_candidates)),
    }
    return Outcome(**values | changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, RUN) as opened:
        yield opened


def sql(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        return db.execute(statement).fetchall()


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_an_outcome_is_read_as_it_was_added(store: Store):
    kept = outcome(3)
    store.add(kept)
    assert list(store.outcomes()) == [kept]
    assert store.done_keys() == {"key-3"}


def test_an_unanswered_one_and_an_error_are_kept_as_what_they_are(store: Store):
    nothing = outcome(1, 0, status="unanswered", answer=None, confidence=None, finish="deadline", grades=())
    broken = outcome(
        2, 0, status="error", answer=None, finish=None, error="the worker was killed by signal 11", models=None
    )
    bare = outcome(3, strategy=None, candidates=(graded(score=None, step_scores=(), logprob=None, num_tokens=None),))
    for each in (nothing, broken, bare):
        store.add(each)
    assert list(store.outcomes(CELL)) == [nothing, broken, bare]
    assert store.counts() == {
        CELL: {"correct": 1, "wrong": 0, "unanswered": 1, "error": 1},
        OTHER: dict.fromkeys(("correct", "wrong", "unanswered", "error"), 0),
    }


def test_a_store_knows_what_it_is_a_run_of(path: Path):
    with Store.open(path, RUN, clock=lambda: 5.0):
        pass
    with Store.read(path) as store:
        assert store.run == RUN
        assert store.cells() == CELLS
        (session,) = store.sessions()
    assert (session.process, session.versions) == (os.getpid(), {"edgesearch": "0.1.0"})
    assert (session.started_s, session.ended_s) == (5.0, 5.0)


def test_samples_are_kept_so_that_a_report_needs_the_store_alone(store: Store):
    samples = [Sample(Problem(f"Solve: {n}?", f"s-{n}"), str(n), f"{n}?", {"level": "3"}) for n in range(3)]
    store.add_samples(samples)
    store.add_samples(reversed(samples))
    assert list(store.samples()) == samples


@pytest.mark.parametrize("text", ["", "x\0y", "é 数 😀", "line\r\nline\u2028", "a" * 300_000])
def test_texts_come_back_to_the_character(store: Store, text: str):
    store.add(outcome(candidates=(graded(text=text, answer=text, answer_class=text),)))
    assert next(store.outcomes()).candidates[0].text == text


def test_a_candidate_of_solve_is_kept_with_where_its_steps_end():
    steps = (Step("One.\n\n", (1, 2), -0.5, "step"), Step("The answer is 7.", (3, 4, 5), -1.0, "stop"))
    beam = Beam(Prompt("?"), steps, (0.5, 0.75))
    kept = GradedCandidate.of(Candidate(beam, "7", 0.75), answer_class="7", is_right=True, ended_s=9.0)
    assert (kept.text, kept.step_ends, kept.step_scores) == ("One.\n\nThe answer is 7.", (6, 22), (0.5, 0.75))
    assert (kept.score, kept.logprob, kept.num_tokens, kept.finish) == (0.75, -1.5, 5, "stop")
    assert (kept.answer, kept.answer_class, kept.is_right, kept.ended_s) == ("7", "7", True, 9.0)


finite = st.floats(allow_nan=False, allow_infinity=False)
candidates = st.builds(
    graded,
    number=st.integers(0, 9),
    text=st.text(st.characters(codec="utf-8")),
    score=st.none() | st.floats(0, 1),
    step_scores=st.lists(st.floats(0, 1)).map(tuple),
    logprob=st.none() | finite,
    num_tokens=st.none() | st.integers(0, 2**40),
    finish=st.sampled_from([None, "stop", "step", "length", "deadline"]),
)


@settings(max_examples=30, deadline=None)
@given(found=st.lists(st.lists(candidates, min_size=1, max_size=5), max_size=4), order=st.randoms())
def test_any_candidates_come_back_in_rows_and_in_columns(
    tmp_path_factory: pytest.TempPathFactory, found: list[list[GradedCandidate]], order: random.Random
):
    kept = [outcome(number, candidates=tuple(drawn)) for number, drawn in enumerate(found)]
    shuffled = order.sample(kept, len(kept))
    with Store.open(tmp_path_factory.mktemp("any") / "run.sqlite", RUN) as store:
        for each in shuffled:
            store.add(each)
        assert list(store.outcomes(CELL)) == kept
        columns = store.columns(CELL)
    flat = [candidate for drawn in found for candidate in drawn]
    assert columns.sample_ids == tuple(each.sample_id for each in kept)
    assert columns.offsets.tolist() == [sum(map(len, found[:index])) for index in range(len(found) + 1)]
    assert columns.is_right.tolist() == [candidate.is_right for candidate in flat]
    assert columns.num_tokens.tolist() == [candidate.num_tokens or 0 for candidate in flat]
    for name in ("score", "logprob"):
        wanted = [np.nan if (value := getattr(candidate, name)) is None else value for candidate in flat]
        np.testing.assert_array_equal(getattr(columns, name), wanted)


def test_columns_number_the_answers_of_each_sample_by_first_appearance(store: Store):
    answers = [["b", None, "a", "b"], [], [None], ["a", "c", "a"]]
    for number, drawn in enumerate(answers):
        found = tuple(graded(answer=name, answer_class=name, is_right=name == "a") for name in drawn)
        store.add(outcome(number, candidates=found, chosen=None))
    columns = store.columns(CELL)
    by_sample = [columns.answer_class[columns.of(index)].tolist() for index in range(4)]
    assert by_sample == [[0, UNANSWERED, 1, 0], [], [UNANSWERED], [0, 1, 0]]
    assert columns.is_right[columns.of(3)].tolist() == [True, False, True]
    assert columns.offsets.tolist() == [0, 4, 4, 5, 8]
    assert store.columns(OTHER).sample_ids == ()
    assert store.columns(OTHER).offsets.tolist() == [0]


def test_pooled_columns_hold_the_candidates_of_all_cells_in_their_order(store: Store):
    drawn = {(0, CELL): ["b", None], (0, OTHER): ["a", "b"], (1, OTHER): ["c"], (2, CELL): []}
    for (number, cell), names in reversed(drawn.items()):
        found = tuple(graded(answer=name, answer_class=name, is_right=name == "a") for name in names)
        store.add(outcome(number, key=f"{cell}-{number}", cell=cell, candidates=found, chosen=None))
    columns, counts = store.pooled_columns([CELL, OTHER])
    assert [columns.answer_class[columns.of(index)].tolist() for index in range(3)] == [[0, UNANSWERED, 1, 0], [0], []]
    assert columns.is_right.tolist() == [False, False, True, False, False]
    assert len(columns.sample_ids) == 3
    assert counts.tolist() == [2, 1, 1]
    with pytest.raises(UsageError, match="has no cell 'gone'"):
        store.pooled_columns([CELL, "gone"])


def test_reading_goes_by_cell_and_sample_whatever_the_order_of_adding(store: Store):
    kept = [
        *(outcome(number) for number in range(4)),
        *(outcome(number, key=f"greedy-{number}", cell=OTHER) for number in range(4)),
    ]
    for each in random.Random(1).sample(kept, len(kept)):
        store.add(each)
    assert list(store.outcomes()) == kept
    assert list(store.outcomes(OTHER)) == kept[4:]


def test_outcomes_are_read_without_their_candidates_when_these_are_not_wanted(store: Store):
    store.add(outcome(1))
    (found,) = store.outcomes(has_candidates=False)
    assert found == dataclasses.replace(outcome(1), candidates=(), chosen=None)


def test_one_outcome_is_read_by_its_cell_and_sample(store: Store):
    store.add(outcome(1))
    store.add(outcome(2, cell=OTHER))
    assert store.outcome(CELL, "sample-001") == outcome(1)
    assert store.outcome(OTHER, "sample-001") is None
    assert store.outcome("unheard of", "sample-001") is None


def test_readers_hold_one_outcome_at_a_time_and_columns_hold_no_text(path: Path):
    num_outcomes, text = 40, "x" * 20_000
    with Store.open(path, RUN) as store:
        for number in range(num_outcomes):
            store.add(outcome(number, candidates=tuple(graded(index, text=text) for index in range(10))))
        gc.collect()
        tracemalloc.start()
        try:
            assert sum(len(each.candidates) for each in store.outcomes()) == 10 * num_outcomes
            assert len(store.columns(CELL).score) == 10 * num_outcomes
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < num_outcomes * 10 * len(text) / 4


def test_columns_are_read_from_the_index_and_need_no_sorting(store: Store):
    plan = " ".join(row[3] for row in store._db.execute(f"EXPLAIN QUERY PLAN {SELECT_FIGURES}", (CELL,)))
    assert "COVERING INDEX candidate_figures" in plan
    assert "TEMP B-TREE" not in plan


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "right"}, "status must be one of correct, wrong, unanswered, error"),
        ({"status": "error"}, "error must be there exactly for status error"),
        ({"error": "it failed"}, "error must be there exactly for status error"),
        ({"status": "unanswered"}, "answer must be there for correct and wrong only"),
        ({"answer": None}, "answer must be there for correct and wrong only"),
        ({"chosen": 2}, r"chosen must be None or in \[0, 2\)"),
        ({"joules": -1.0}, "joules must be None or >= 0 and finite"),
        ({"joules": float("nan")}, "joules must be"),
        ({"joules": float("inf")}, "joules must be"),
    ],
)
def test_an_outcome_that_contradicts_itself_is_refused(change: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        outcome(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": 1.5}, r"score must be None or in \[0, 1\]"),
        ({"score": float("nan")}, "score must be"),
        ({"step_scores": (0.5, -1.0)}, "step_scores must be in"),
        ({"logprob": float("-inf")}, "logprob must be None or finite"),
        ({"answer": None, "is_right": False}, "answer_class must be None exactly where answer is"),
        ({"answer": None, "answer_class": None, "is_right": True}, "is_right must be False without an answer"),
    ],
)
def test_a_candidate_that_contradicts_itself_is_refused(change: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        graded(**change)


@pytest.mark.parametrize("change", [{}, {"key": "another"}, {"sample_id": "another"}])
def test_a_unit_that_comes_twice_is_refused_and_overwrites_nothing(store: Store, change: dict[str, str]):
    store.add(outcome(1))
    again = outcome(1, 5, status="wrong", answer="7", **change)
    with pytest.raises(EdgesearchError, match=r"already holds sample .* ask done_keys"):
        store.add(again)
    assert list(store.outcomes()) == [outcome(1)]
    assert len(store.columns(CELL).score) == 2


def test_an_outcome_of_no_cell_of_the_run_is_refused(store: Store):
    with pytest.raises(UsageError, match="has no cell 'elsewhere'"):
        store.add(outcome(cell="elsewhere"))
    with pytest.raises(UsageError, match=rf"has no cell 'elsewhere'; it has {CELL} \(small beam"):
        store.columns("elsewhere")
    with pytest.raises(UsageError, match="has no cell"):
        list(store.outcomes("elsewhere"))


def test_half_a_surrogate_pair_is_refused_and_nothing_of_its_outcome_stays(store: Store):
    with pytest.raises(UsageError, match=r"a text of sample 'sample-001' holds half a surrogate pair"):
        store.add(outcome(1, candidates=(graded(), graded(text="\ud800"))))
    assert store.done_keys() == frozenset()
    store.add(outcome(1))


def test_a_store_that_is_read_or_closed_takes_nothing(path: Path):
    with Store.open(path, RUN) as store:
        store.add(outcome(1))
    with pytest.raises(UsageError, match="is closed"):
        store.add(outcome(2))
    with Store.read(path) as reader, pytest.raises(UsageError, match="open for reading only"):
        reader.add(outcome(2))
    store.close()


def test_adding_in_the_middle_of_an_iteration_is_refused_with_what_to_do(store: Store):
    store.add(outcome(1))
    store.add(outcome(2))
    reading = store.outcomes()
    next(reading)
    with pytest.raises(UsageError, match="finish the iteration"):
        store.add(outcome(3))
    reading.close()
    store.add(outcome(3))


def test_a_reader_left_halfway_does_not_keep_a_store_from_closing(path: Path):
    store = Store.open(path, RUN)
    store.add(outcome(1))
    store.add(outcome(2))
    reading = store.outcomes()
    next(reading)
    store.close()
    reading.close()
    with Store.read(path) as reader:
        assert reader.sessions()[0].ended_s is not None


# -- resuming ----------------------------------------------------------------------------------------------------------


def test_a_resumed_store_has_what_was_done_and_counts_its_sessions(path: Path):
    with Store.open(path, RUN) as store:
        store.add(outcome(1))
    again = dataclasses.replace(RUN, recipe="# a comment\n\n" + RECIPE, versions={"edgesearch": "0.2.0"})
    with Store.open(path, again) as store:
        assert store.done_keys() == {"key-1"}
        store.add(outcome(2))
        assert [session.versions["edgesearch"] for session in store.sessions()] == ["0.1.0", "0.2.0"]
        assert store.run == RUN
    assert sql(path, "SELECT sample_id, session FROM outcomes ORDER BY id") == [("sample-001", 1), ("sample-002", 2)]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"task_digest": "another"}, IntegrityError, "the task was digest of th, and is another"),
        (
            {"model_digests": {"small/solver": "cccc", "small/verifier": "bbbb"}},
            IntegrityError,
            "the model small/solver was aaaa, and is cccc",
        ),
        ({"model_digests": {"small/solver": "aaaa"}}, IntegrityError, "small/verifier was bbbb, and is not there"),
        (
            {"recipe": RECIPE.replace("16", "32")},
            UsageError,
            r"grid\[0\]\.n in the recipe was \[1, 16\], and is \[1, 32\]",
        ),
        ({"recipe": RECIPE + "m = 4\n"}, UsageError, r"grid\[0\]\.m in the recipe was not there, and is 4"),
        ({"cells": CELLS[:1]}, UsageError, "the recipe made 2 cells that are not the 1 it makes now"),
    ],
)
def test_a_run_of_something_else_is_refused_and_says_what_changed(
    path: Path, change: dict[str, Any], kind: type[EdgesearchError], message: str
):
    with Store.open(path, RUN) as store:
        store.add(outcome(1))
    with pytest.raises(kind, match=message) as raised:
        Store.open(path, dataclasses.replace(RUN, **change))
    assert "left as it is" in str(raised.value)
    with Store.open(path, RUN) as store:
        assert list(store.outcomes()) == [outcome(1)]
        assert len(store.sessions()) == 2


def test_many_changes_are_counted_instead_of_listed(path: Path):
    Store.open(path, RUN).close()
    many = {f"small/{number}": "x" for number in range(20)}
    with pytest.raises(IntegrityError, match="; and 14 more"):
        Store.open(path, dataclasses.replace(RUN, model_digests=many))


# -- files that are no store -------------------------------------------------------------------------------------------


def test_a_store_from_a_newer_version_is_refused_with_the_pip_command(path: Path):
    Store.open(path, RUN).close()
    sql(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for opened in (lambda: Store.open(path, RUN), lambda: Store.read(path)):
        with pytest.raises(UsageError, match=r"newer edgesearch .*version 3.*pip install --upgrade edgesearch"):
            opened()
    assert sql(path, "PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]


def of_version_1(path: Path) -> None:
    """Makes a store what it was before joules were kept."""
    sql(path, "ALTER TABLE outcomes DROP COLUMN joules")
    sql(path, "PRAGMA user_version = 1")


def test_a_store_of_version_1_is_read_as_it_is_without_joules(path: Path):
    with Store.open(path, RUN) as store:
        store.add(outcome(1))
    of_version_1(path)
    with Store.read(path) as store:
        assert list(store.outcomes()) == [outcome(1, joules=None)]
        assert len(store.columns(CELL).score) == 2
    assert sql(path, "PRAGMA user_version") == [(1,)]


def test_a_run_of_version_1_goes_on_in_the_present_version(path: Path):
    with Store.open(path, RUN) as store:
        store.add(outcome(1))
    of_version_1(path)
    with Store.open(path, RUN) as store:
        store.add(outcome(2))
        assert list(store.outcomes()) == [outcome(1, joules=None), outcome(2)]
    assert sql(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    columns = [row[1] for row in sql(path, "PRAGMA table_info(outcomes)")]
    Store.open(path.with_name("new.sqlite"), RUN).close()
    assert set(columns) == {row[1] for row in sql(path.with_name("new.sqlite"), "PRAGMA table_info(outcomes)")}


def test_a_run_of_something_else_leaves_a_store_of_version_1_as_it_was(path: Path):
    Store.open(path, RUN).close()
    of_version_1(path)
    with pytest.raises(IntegrityError):
        Store.open(path, dataclasses.replace(RUN, task_digest="another"))
    assert sql(path, "PRAGMA user_version") == [(1,)]


@pytest.mark.parametrize("content", [b"notes", b"notes " * 500, b"SQLite format 3\0" + b"?" * 2000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, content: bytes):
    path.write_bytes(content)
    for opened in (lambda: Store.open(path, RUN), lambda: Store.read(path)):
        with pytest.raises(EdgesearchError, match=r"no store of a run|damaged"):
            opened()
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_another_programs_database_is_refused_and_left_alone(path: Path):
    sql(path, "CREATE TABLE photos (id)")
    before = path.read_bytes()
    for opened in (lambda: Store.open(path, RUN), lambda: Store.read(path)):
        with pytest.raises(UsageError, match="another program's database"):
            opened()
    assert path.read_bytes() == before
    assert not path.with_name("run.sqlite-lock").exists()


def test_a_store_is_known_by_its_header(path: Path):
    Store.open(path, RUN).close()
    assert sql(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert sql(path, "PRAGMA journal_mode") == [("wal",)]
    assert path.read_bytes()[68:72] == b"ESBR"


def test_every_commit_reaches_the_disk_and_references_are_checked(store: Store):
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert store._db.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_damaged_store_is_an_integrity_error(path: Path):
    with Store.open(path, RUN) as store:
        for number in range(30):
            store.add(outcome(number, 20))
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="is damaged"), Store.read(path) as store:
        list(store.outcomes())


def test_an_empty_file_is_begun_and_is_nothing_to_report(path: Path):
    path.touch()
    with pytest.raises(UsageError, match="is empty"):
        Store.read(path)
    Store.open(path, RUN).close()
    Store.read(path).close()


def test_a_missing_file_or_folder_is_a_sentence(path: Path):
    with pytest.raises(UsageError, match="there is no store"):
        Store.read(path)
    with pytest.raises(UsageError, match="is a folder"):
        Store.open(path.parent, RUN)
    with pytest.raises(UsageError, match="mkdir -p"):
        Store.open(path.parent / "none" / "run.sqlite", RUN)


@pytest.mark.parametrize("name", ["a b%20c?mode=memory#.sqlite", "数.sqlite"])
def test_any_file_name_is_taken_as_it_is(tmp_path: Path, name: str):
    path = tmp_path / name
    with Store.open(path, RUN) as store:
        store.add(outcome(1))
    assert path.exists()
    with Store.read(path) as store:
        assert store.done_keys() == {"key-1"}


# -- a full disk, a folder without permission --------------------------------------------------------------------------


def test_a_full_disk_is_a_sentence_and_loses_nothing_that_was_there(path: Path):
    with Store.open(path, RUN) as store:
        store.add(outcome(1))
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages + 4}")
        large = outcome(2, candidates=tuple(graded(index, text="x" * 5000) for index in range(50)))
        with pytest.raises(EdgesearchError, match=r"the disk is full; what was stored before is whole.*to resume"):
            store.add(large)
        assert list(store.outcomes()) == [outcome(1)]
        store._db.execute(f"PRAGMA max_page_count = {2**30}")  # space was freed
        store.add(large)
    with Store.open(path, RUN) as store:
        assert list(store.outcomes()) == [outcome(1), large]
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_disk_that_stays_full_does_not_keep_a_store_from_closing(path: Path):
    with Store.open(path, RUN) as store:
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(EdgesearchError, match="the disk is full"):
            store.add(outcome(1, 500))
    Store.open(path, RUN).close()


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process; the code is a program whose arguments are strings."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


READER_WITHOUT_RIGHTS = f"""
    import os
    import sys
    from edgesearch.bench.recipe import Cell
    from edgesearch.bench.records import RunInfo
    from edgesearch.bench.store import Store
    from edgesearch.errors import EdgesearchError

    if os.geteuid() == 0:  # the superuser may write anywhere
        os.setgid(65534)
        os.setuid(65534)
    with Store.read(sys.argv[1] + "/run.sqlite") as store:
        print(sorted(store.done_keys()))
    for name in ("run.sqlite", "new.sqlite"):
        try:
            Store.open(sys.argv[1] + "/" + name, {RUN!r})
        except EdgesearchError as error:
            print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work in another way")
def test_a_folder_that_cannot_be_written_to_is_read_from_and_refused_for_writing():
    with tempfile.TemporaryDirectory() as name:  # not in tmp_path, where other users may not look
        folder = Path(name)
        with Store.open(folder / "run.sqlite", RUN) as store:
            store.add(outcome(1))
        (folder / "run.sqlite-lock").unlink()
        folder.chmod(0o555)
        try:
            out, errors = child(READER_WITHOUT_RIGHTS, folder).communicate(timeout=120)
        finally:
            folder.chmod(0o755)
        assert [each.name for each in folder.iterdir()] == ["run.sqlite"]
    assert not errors, errors
    first, *refusals = out.splitlines()
    assert first == "['key-1']"
    assert len(refusals) == 2
    assert all("another --out" in line for line in refusals)


# -- several processes -------------------------------------------------------------------------------------------------

HOLDER = f"""
    import sys
    from edgesearch.bench.recipe import Cell
    from edgesearch.bench.records import RunInfo
    from edgesearch.bench.store import Store
    store = Store.open(sys.argv[1], {RUN!r})
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_store_that_another_live_run_holds_is_refused_until_that_run_is_killed(path: Path):
    holder = child(HOLDER, path)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(EdgesearchError, match=rf"in use by a run that is under way \(process {holder.pid} on "):
            Store.open(path, RUN)
        with Store.read(path) as reader:
            assert reader.sessions()[0].ended_s is None
    finally:
        holder.kill()
        holder.communicate()
    Store.open(path, RUN).close()
    assert sql(path, "SELECT COUNT(*), COUNT(ended_s) FROM sessions") == [(2, 1)]


def test_a_second_opening_in_the_same_process_is_refused_too(path: Path):
    with Store.open(path, RUN) as store:
        with pytest.raises(EdgesearchError, match="in use by"):
            Store.open(path, RUN)
        store.add(outcome(1))
    Store.open(path, RUN).close()


def test_an_opening_that_fails_lets_go_of_the_lock(path: Path):
    Store.open(path, RUN).close()
    with pytest.raises(IntegrityError):
        Store.open(path, dataclasses.replace(RUN, task_digest="another"))
    Store.open(path, RUN).close()


def test_a_report_reads_while_a_run_writes_and_sees_one_state(path: Path):
    with Store.open(path, RUN) as store:
        store.add(outcome(1))
        store.add(outcome(2))
        with Store.read(path) as reader:
            reading = reader.outcomes()
            seen = [next(reading)]
            store.add(outcome(3))
            seen += reading
            assert seen == [outcome(1), outcome(2)]
            assert reader.done_keys() == {"key-1", "key-2", "key-3"}
            assert len(reader.columns(CELL).score) == 6
        store.add(outcome(4))


def test_a_reader_sees_what_a_killed_run_left_before_it_is_resumed(path: Path):
    Killed(path, 4).run(random.Random(5), num_reports=3)
    with Store.read(path) as reader:
        assert len(reader.done_keys()) >= 3


# -- kill -9 -----------------------------------------------------------------------------------------------------------

NUM_UNITS = 200


class Killed:
    """A process that writes units in a loop, reports each over a pipe, and is killed at some point."""

    CODE = """
        import sys
        from edgesearch.bench.recipe import Cell
        from edgesearch.bench.records import GradedCandidate, Outcome, RunInfo
        from edgesearch.bench.store import Store

        def unit(number):
            cell = run.cells[number % len(run.cells)].key
            found = tuple(
                GradedCandidate(f"{number} {index} " * 150, str(index), str(index), index == 0, index / 40)
                for index in range(5 + number % 7 * 5)
            )
            return Outcome(
                f"key-{number}", cell, f"sample-{number:03}", "correct", 1.0, 0.0, 1.0, answer="0", candidates=found
            )

        run = RUN
        print("begun", flush=True)
        with Store.open(sys.argv[1], run) as store:
            done = store.done_keys()
            for number in range(int(sys.argv[2])):
                if f"key-{number}" not in done:
                    store.add(unit(number))
                    print(f"key-{number}", flush=True)
        print("ended", flush=True)
    """.replace("RUN", repr(RUN))

    def __init__(self, path: Path, num_units: int) -> None:
        self.path = path
        self.num_units = num_units
        self.reported: list[str] = []
        """Keys of units that a process said were kept."""
        self.is_ended = False

    def run(self, rng: random.Random, num_reports: int | None) -> None:
        """Runs until it has reported so many units and a little longer; to its end for None."""
        process = child(self.CODE, self.path, self.num_units)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n", process.communicate()
        lines = [process.stdout.readline() for _ in range(num_reports)] if num_reports is not None else []
        if num_reports is not None:
            time.sleep(rng.uniform(0, 0.004 if num_reports else 0.02))  # into the next transaction, or into the opening
            process.kill()
        rest, errors = process.communicate(timeout=120)
        lines += rest.splitlines(keepends=True)
        whole = [line.strip() for line in lines if line.endswith("\n")]
        self.is_ended = "ended" in whole
        assert not errors, errors
        self.reported += [line for line in whole if line != "ended"]

    def check(self) -> None:
        """Nothing reported is lost, nothing is there twice, no outcome is there in part."""
        assert len(self.reported) == len(set(self.reported))
        with Store.read(self.path) as store:
            done = store.done_keys()
            assert set(self.reported) <= done
            for each in store.outcomes():  # fails for an outcome without all of its candidates
                assert len(each.candidates) == 5 + int(each.key.removeprefix("key-")) % 7 * 5
        assert sql(self.path, "SELECT COUNT(*), COUNT(DISTINCT key) FROM outcomes") == [(len(done), len(done))]
        assert sql(self.path, "SELECT COUNT(*) FROM candidates WHERE outcome NOT IN (SELECT id FROM outcomes)") == [
            (0,)
        ]
        assert sql(self.path, "PRAGMA foreign_key_check") == []
        assert sql(self.path, "PRAGMA integrity_check") == [("ok",)]


def test_a_run_that_is_killed_again_and_again_loses_nothing_and_does_nothing_twice(tmp_path: Path):
    rng = random.Random(20)
    num_kills = 0
    killed = Killed(tmp_path / "killed.sqlite", NUM_UNITS)
    while num_kills < 22:
        killed.run(rng, num_reports=rng.choice([0, 0, 1, 2, 3, 4]))
        num_kills += not killed.is_ended
        if killed.path.exists() and killed.path.with_name("killed.sqlite-wal").exists():
            with contextlib.suppress(UsageError):  # killed before it began
                killed.check()
        assert not killed.is_ended, "all units were done before the kills; make more units"
    killed.run(rng, None)
    assert killed.is_ended
    killed.check()

    whole = Killed(tmp_path / "whole.sqlite", NUM_UNITS)
    whole.run(rng, None)
    with Store.read(killed.path) as first, Store.read(whole.path) as second:
        assert len(first.done_keys()) == NUM_UNITS
        assert list(first.outcomes()) == list(second.outcomes())
        for cell in CELLS:
            for name in ("offsets", "answer_class", "is_right", "score"):
                one, other = (getattr(each.columns(cell.key), name) for each in (first, second))
                np.testing.assert_array_equal(one, other)
