"""What stores hold, as arrays; and which stores can be on one report."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from made_stores import outcome, samples, write

from edgesearch.bench.recipe import Cell
from edgesearch.bench.report.settings import Answers, Setting, read_setting, settings_of, shared_samples
from edgesearch.bench.store import Store
from edgesearch.errors import UsageError

CELLS = tuple(Cell("nano", "majority", 2, 1, 10.0, seed=seed) for seed in (0, 1))


def opened(*paths: Path) -> list[Store]:
    return [Store.read(path) for path in paths]


def made(path: Path, num: int = 2, question: str = "") -> Path:
    asked = [dataclasses.replace(each, question=question or each.question) for each in samples(num)]
    return write(path, CELLS, lambda cell, number: outcome(cell, number, ["right", "x"]), asked)


def setting(path: Path, answers: Answers | None = None) -> Setting:
    with Store.read(path) as store:
        numbers = {each.id: number for number, each in enumerate(store.samples())}
        return read_setting(store, 0, store.cells(), numbers, {} if answers is None else answers)[0]


def test_cells_that_differ_in_their_seed_alone_are_one_setting():
    beam = Cell("nano", "beam", 4, 2, 10.0)
    found = settings_of([CELLS[1], beam, CELLS[0], dataclasses.replace(CELLS[0], temperature=1.0)])
    assert [len(group) for group in found] == [2, 1, 1]
    assert found[0] == CELLS  # by seed


def test_rows_hold_each_outcome_with_figures_of_its_candidates(tmp_path: Path):
    path = write(
        tmp_path / "run.sqlite",
        CELLS,
        lambda cell, number: outcome(cell, number, ["right", None, "x"], scores=[0.5, None, 0.25]) if number else None,
        samples(3),
    )
    answers: Answers = {}
    found = setting(path, answers)
    rows = found.rows
    assert rows["sample"].tolist() == [1, 2, 1, 2]
    assert rows["seed"].tolist() == [0, 0, 1, 1]
    assert [rows[name][0] for name in ("num_candidates", "num_right", "num_scored", "score_sum")] == [3, 1, 2, 0.75]
    assert found.by_sample(found.is_right, 3).tolist() == [0, 2, 2]
    assert np.isnan(rows["joules"]).all()
    assert answers == {(1, "right"): True, (2, "right"): True}
    assert found.name == "nano majority n=2 m=1 10s"


def test_one_store_alone_and_two_of_the_same_samples_can_be_reported(tmp_path: Path):
    first, second = made(tmp_path / "a.sqlite"), made(tmp_path / "b.sqlite")
    assert [each.id for each in shared_samples(opened(first, second))] == ["p00", "p01"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"num": 3}, "other samples .* 'p02'"),
        ({"question": "Solve another."}, "word 2 samples in other ways .* 'p00'"),
    ],
)
def test_stores_of_other_samples_are_refused(tmp_path: Path, other: dict[str, object], message: str):
    first, second = made(tmp_path / "a.sqlite"), made(tmp_path / "b.sqlite", **other)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        shared_samples(opened(first, second))


def test_a_store_given_twice_one_without_outcomes_and_none_at_all_are_refused(tmp_path: Path):
    first = made(tmp_path / "a.sqlite")
    empty = write(tmp_path / "empty.sqlite", CELLS, lambda cell, number: None, samples(2))
    with pytest.raises(UsageError, match="given twice"):
        shared_samples(opened(first, first))
    with pytest.raises(UsageError, match="has no outcomes yet"):
        shared_samples(opened(empty))
    with pytest.raises(UsageError, match="no run to report"):
        shared_samples([])
