"""Small against large at equal cost."""

from pathlib import Path

import pytest
from made_stores import MODELS, measured, outcome, samples, usage, write

from edgesearch import catalog
from edgesearch.bench import flops
from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Outcome
from edgesearch.bench.report.model import Match, Report
from edgesearch.types import ModelNames

NUM = 20
WIDTHS = (2, 8, 64, 512)
CELLS = (
    Cell("nano", "greedy", 1, 1, 10.0),
    *(Cell("nano", "majority", n, 1, 10.0) for n in WIDTHS),
    Cell("large", "greedy", 1, 1, 10.0),
    Cell("large", "majority", 4, 1, 10.0),
)
LARGE_FLOPS = 1.2e7
RIGHT = {1: 5, 2: 6, 8: 8, 64: 10, 512: 12}


def tell(cell: Cell, number: int) -> Outcome:
    is_large = cell.engine == "large"
    right = 9 if is_large else RIGHT[cell.n]
    used = usage(cell.n, solver_flops=LARGE_FLOPS if is_large else 1e6, peak_bytes=500 if is_large else 1000)
    seconds = 2.0 * cell.n if is_large else 0.1 * cell.n
    return outcome(cell, number, ["right" if number < right else "x"], usage=used, wall_s=seconds)


def made(path: Path, cells: tuple[Cell, ...] = CELLS) -> Report:
    return measured(write(path / "run.sqlite", cells, tell, samples(NUM)))


def match(report: Report, basis: str, large: str) -> Match:
    (found,) = (each for each in report.matches if each.basis == basis and f"/{large} " in each.large)
    return found


def width(found: Match) -> int | None:
    return None if found.small is None else int(found.small.split("n=")[1].split()[0])


def test_the_best_small_point_that_costs_no_more_is_taken(tmp_path: Path):
    report = made(tmp_path)
    assert width(match(report, "wall_s", "large greedy")) == 8
    assert width(match(report, "flops", "large greedy")) == 8
    assert width(match(report, "wall_s", "large majority")) == 64
    found = match(report, "flops", "large majority").difference
    assert found is not None
    assert found.difference.value == pytest.approx((8 - 9) / NUM)  # 64 candidates are 64 MFLOP, and 48 are the limit


def test_where_no_small_point_is_as_cheap_that_is_said(tmp_path: Path):
    found = match(made(tmp_path), "peak_bytes", "large greedy")
    assert (found.small, found.difference) == (None, None)


def test_pretraining_is_spent_as_the_paper_says(tmp_path: Path):
    """M of the manifests, R of the paper: the widest search that costs no more than M + 3 (M - 1) / R answers."""
    sizes = {model.name: model.params for model in catalog.known()}
    scale = sizes["nano-large"] / sizes["nano"]
    report = made(tmp_path)
    for ratio in flops.RATIOS.values():
        limit = flops.matched_compute(scale, ratio)
        widest = max(n for n in (1, *WIDTHS) if n <= limit)
        assert width(match(report, f"flops with pretraining, R={ratio:g}", "large greedy")) == widest
    assert not [each for each in report.matches if "pretraining" in each.basis and "majority" in each.large]


def test_without_greedy_of_the_small_one_there_is_no_match_with_pretraining(tmp_path: Path):
    assert not [each for each in made(tmp_path, CELLS[1:]).matches if "pretraining" in each.basis]


def test_that_the_best_was_chosen_on_these_problems_is_said(tmp_path: Path):
    assert any("flatters it" in each for each in made(tmp_path).warnings)
    (tmp_path / "alone").mkdir()
    assert not any("flatters it" in each for each in made(tmp_path / "alone", CELLS[:1]).warnings)


def test_solvers_whose_size_nobody_knows_are_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(MODELS, "large", ModelNames("mystery", None))
    report = made(tmp_path)
    assert not [each for each in report.matches if "pretraining" in each.basis]
    assert width(match(report, "wall_s", "large greedy")) == 8  # larger by its FLOPs a token
    assert any("how many parameters mystery has is not known" in each for each in report.warnings)
