"""Differences are paired by problem, and which pairs are shown."""

from pathlib import Path

import pytest
from made_stores import measured, outcome, samples, write

from edgesearch.bench import intervals
from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Outcome
from edgesearch.bench.report import differences
from edgesearch.bench.report.model import Difference, Report

NUM = 40
SEEDS = (0, 1)
GREEDY = tuple(Cell("nano", "greedy", 1, 1, 10.0, seed=seed) for seed in SEEDS)
BEAM = tuple(Cell("nano", "beam", 4, 2, 10.0, seed=seed) for seed in SEEDS)
LARGE = tuple(Cell("large", "greedy", 1, 1, 10.0, seed=seed) for seed in SEEDS)


def is_right(cell: Cell, number: int) -> bool:
    """Greedy solves the first half; beam these but two, and ten more with both or one of its seeds; large all but 4."""
    if cell.engine == "large":
        return number % 10 != 0
    if cell.strategy == "greedy":
        return number < NUM // 2
    return 2 <= number < NUM // 2 + (10 if cell.seed else 6)


def tell(cell: Cell, number: int) -> Outcome:
    return outcome(cell, number, ["right" if is_right(cell, number) else "x"])


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return measured(write(tmp_path / "run.sqlite", (*LARGE, *BEAM, *GREEDY), tell, samples(NUM)))


def named(report: Report, first: str, second: str) -> Difference:
    (found,) = (each for each in report.differences if f"/{first} " in each.first and f"/{second} " in each.second)
    return found


def test_a_difference_is_that_of_the_paired_bootstrap_and_mcnemars_test(report: Report):
    found = named(report, "nano beam", "nano greedy")
    ours, theirs = ([is_right(cell, n) for cell in cells for n in range(NUM)] for cells in (BEAM, GREEDY))
    expected = intervals.paired("beam", ours, "greedy", theirs, 0, list(range(NUM)) * 2)
    assert found.difference.value == pytest.approx(expected["difference"], abs=5e-5)
    assert found.difference.low == pytest.approx(expected["interval95"][0], abs=0.02)  # steps of 1/80
    assert found.difference.high == pytest.approx(expected["interval95"][1], abs=0.02)
    assert (found.gains, found.losses) == (expected["gains"], expected["losses"]) == (10, 2)
    assert found.mcnemar_p == expected["mcnemar_p"]
    assert found.num_samples == NUM


def test_strategies_stand_against_greedy_of_their_engine_and_engines_against_each_other(report: Report):
    pairs = {(each.first.split()[0], each.second.split()[0]) for each in report.differences}
    assert pairs == {("1/nano", "1/nano"), ("1/nano", "1/large")}  # the smaller engine first, whatever the order
    assert len(report.differences) == 3


def test_only_problems_that_both_have_count(tmp_path: Path):
    def some(cell: Cell, number: int) -> Outcome | None:
        is_there = number < 30 if cell.engine == "large" else number >= 20 or cell.strategy == "beam"
        return tell(cell, number) if is_there else None

    report = measured(write(tmp_path / "run.sqlite", (*GREEDY, *LARGE), some, samples(NUM)))
    found = named(report, "nano greedy", "large greedy")
    assert found.num_samples == 10
    assert any("is not complete: 100 of 160" in each for each in report.warnings)


def test_points_without_a_common_problem_have_no_difference(tmp_path: Path):
    def apart(cell: Cell, number: int) -> Outcome | None:
        return tell(cell, number) if (number < 20) == (cell.engine == "nano") else None

    report = measured(write(tmp_path / "run.sqlite", (*GREEDY, *LARGE), apart, samples(NUM)))
    assert report.differences == ()
    assert all(match.difference is None for match in report.matches)


def test_too_many_differences_are_cut_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(differences, "MAX_PAIRS", 2)
    report = measured(write(tmp_path / "run.sqlite", (*LARGE, *BEAM, *GREEDY), tell, samples(NUM)))
    assert [each.second.split()[1] for each in report.differences] == ["greedy", "greedy"]
    assert any("2 of 3 differences are shown" in each for each in report.warnings)
