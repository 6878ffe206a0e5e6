"""Exports hold every outcome and replace a file only once they are whole."""

import errno
import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesearch.bench import export
from edgesearch.bench.export import to_jsonl, to_parquet, to_samples
from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Grade, GradedCandidate, Outcome, RunInfo
from edgesearch.bench.store import Store
from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.types import ModelNames, StrategyUsed, Usage

CELLS = (Cell("small", "beam", 16, 4, 10.0), Cell("small", "greedy", 1, 1, 10.0, seed=2**63 - 1))
RUN = RunInfo('name = "a run"\n', "task", {"small/solver": "aaaa"}, CELLS)
CANDIDATES = (
    GradedCandidate(
        "One.\n\nThe answer is 7.", "7", "7", True, 0.75, (0.5, 0.75), (6, 22), -1.5, 5, "stop", 1_700_000_001.5
    ),
    GradedCandidate('Cut off,\u2028 数 "here"', finish="deadline"),
)
OUTCOMES = (
    Outcome(
        "key-0",
        CELLS[0].key,
        "sample-0",
        "correct",
        10.0,
        1_700_000_000.0,
        1_700_000_002.0,
        wall_s=1.75,
        answer="7",
        chosen=0,
        grades=(Grade("answer-1", "strict", "7", True), Grade("math-verify-0.8", "flexible", None, None)),
        confidence=0.5,
        finish="stop",
        usage=Usage(7, 7, 0, 90, 90, 7, 1e9, 2.5e8, 50, None),
        strategy=StrategyUsed("beam", 16, 4, "last"),
        models=ModelNames("nano", "nano-prm"),
        warnings=("a sentence",),
        candidates=CANDIDATES,
    ),
    Outcome("key-1", CELLS[0].key, "sample-1", "error", 10.0, 0.0, 1.0, error="killed"),
    Outcome("key-2", CELLS[1].key, "sample-0", "unanswered", 10.0, 0.0, 1.0, candidates=CANDIDATES[1:]),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "run.sqlite", RUN) as opened:
        for outcome in reversed(OUTCOMES):
            opened.add(outcome)
        yield opened


def lines(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        return [json.loads(line) for line in file]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith("run.sqlite")}


def test_jsonl_has_one_outcome_a_line_with_its_candidates_and_its_cell(store: Store, tmp_path: Path):
    assert to_jsonl(store, tmp_path / "run.jsonl") == 3
    first, second, third = lines(tmp_path / "run.jsonl")
    assert first["schema_version"] == 1
    assert first["cell"] == {"key": CELLS[0].key, "name": CELLS[0].name, **CELLS[0].settings}
    assert (first["sample_id"], first["status"], first["usage"]["solver_flops"]) == ("sample-0", "correct", 1e9)
    assert first["grades"][1] == {
        "grader": "math-verify-0.8",
        "extraction": "flexible",
        "answer": None,
        "is_right": None,
    }
    assert [candidate["text"] for candidate in first["candidates"]] == [each.text for each in CANDIDATES]
    assert first["candidates"][0]["step_scores"] == [0.5, 0.75]
    assert (second["error"], second["candidates"]) == ("killed", [])
    assert third["cell"]["seed"] == 2**63 - 1
    assert files(tmp_path) == {"run.jsonl"}


def test_recorded_samples_are_three_fields_a_line(store: Store, tmp_path: Path):
    path = tmp_path / "samples.jsonl"
    assert to_samples(store, path, cell=CELLS[0].key) == 2
    assert lines(path) == [
        {"task_id": "sample-0", "sample_idx": index, "completion": each.text} for index, each in enumerate(CANDIDATES)
    ]


def test_recorded_samples_are_of_one_cell(store: Store, tmp_path: Path):
    with pytest.raises(UsageError, match=rf"has 2 cells, .* name it: {CELLS[0].key} \(small beam"):
        to_samples(store, tmp_path / "samples.jsonl")
    with pytest.raises(UsageError, match="has no cell 'beam'"):
        to_samples(store, tmp_path / "samples.jsonl", cell="beam")
    assert files(tmp_path) == set()
    one = RunInfo(RUN.recipe, RUN.task_digest, RUN.model_digests, CELLS[:1])
    with Store.open(tmp_path / "run.sqlite.one", one) as store_of_one:
        store_of_one.add(OUTCOMES[0])
        assert to_samples(store_of_one, tmp_path / "samples.jsonl") == 2


def test_an_export_replaces_the_file_only_once_it_is_whole(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "run.jsonl"
    path.write_text("what was there")
    seen = []

    def full(file_number: int) -> None:
        seen.append(path.read_text())
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EdgesearchError, match=r"run\.jsonl cannot be written \(No space left on device\)"):
        to_jsonl(store, path)
    monkeypatch.undo()
    assert path.read_text() == "what was there" == seen[0]
    assert files(tmp_path) == {"run.jsonl"}
    assert to_jsonl(store, path) == len(lines(path))


def test_an_export_that_is_interrupted_leaves_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*args: object, **options: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(json, "dumps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        to_jsonl(store, tmp_path / "run.jsonl")
    assert files(tmp_path) == set()


def test_a_path_that_cannot_be_written_is_a_sentence(store: Store, tmp_path: Path):
    with pytest.raises(EdgesearchError, match=r"cannot be written \(No such file or directory\)"):
        to_jsonl(store, tmp_path / "none" / "run.jsonl")
    with pytest.raises(UsageError, match="is a folder"):
        to_jsonl(store, tmp_path)


@pytest.mark.parametrize("end", ["", "-wal", "-lock"])
def test_a_store_is_never_overwritten_by_its_own_export(store: Store, tmp_path: Path, end: str):
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / f"run.sqlite{end}")
    for path in (tmp_path / f"run.sqlite{end}", link):
        with pytest.raises(UsageError, match="belongs to the store itself"):
            to_jsonl(store, path)
    assert list(store.outcomes()) == list(OUTCOMES)


def test_parquet_without_pyarrow_is_an_error_with_the_pip_command(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(EdgesearchError, match=r"pip install 'edgesearch\[bench\]'"):
        to_parquet(store, tmp_path / "run.parquet")
    assert files(tmp_path) == set()


def test_parquet_holds_what_jsonl_holds(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(export, "BATCH_CANDIDATES", 2)
    assert to_parquet(store, tmp_path / "run.parquet") == to_jsonl(store, tmp_path / "run.jsonl") == 3
    file = parquet.ParquetFile(tmp_path / "run.parquet")
    assert file.metadata.num_row_groups == 2
    assert file.read().to_pylist() == list(map(in_columns, lines(tmp_path / "run.jsonl")))
    assert files(tmp_path) == {"run.parquet", "run.jsonl"}


def in_columns(outcome: dict[str, Any]) -> dict[str, Any]:
    """An outcome as a row has it: every column there is, and a strategy's options as one text."""
    strategy = outcome["strategy"] and {**outcome["strategy"], "options": json.dumps(outcome["strategy"]["options"])}
    return {**outcome, "strategy": strategy, "cell": {"early_stop": None, **outcome["cell"]}}


def test_an_empty_run_exports_to_empty_files(tmp_path: Path):
    with Store.open(tmp_path / "run.sqlite", RUN) as store:
        assert to_jsonl(store, tmp_path / "run.jsonl") == 0
        assert to_samples(store, tmp_path / "samples.jsonl", cell=CELLS[0].key) == 0
    assert (tmp_path / "run.jsonl").read_bytes() == b""
    assert files(tmp_path) == {"run.jsonl", "samples.jsonl"}
