"""Two runs against each other: who meets whom, who is ahead, and what is said where nobody is."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_stores import outcome, samples, usage, write

from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Outcome
from edgesearch.bench.report.compare import Comparison, Pair, compare, winner
from edgesearch.bench.report.model import Estimate
from edgesearch.bench.store import Store
from edgesearch.errors import UsageError

NUM = 40
LEVELS = ["easy"] * 20 + ["hard"] * 20
OURS = (Cell("nano", "greedy", 1, 1, 10.0), Cell("nano", "beam", 8, 4, 10.0), Cell("nano", "majority", 4, 1, 10.0))
THEIRS = (
    Cell("nano", "greedy", 1, 1, 10.0),
    Cell("large", "beam", 8, 4, 10.0),
    Cell("nano", "beam", 8, 4, 10.0),
    Cell("nano", "best_of_n", 4, 1, 10.0),
)


def tell(right: dict[tuple[str, str], int], seconds: float) -> Any:
    """The first so many problems are right."""

    def told(cell: Cell, number: int) -> Outcome:
        num = right.get((cell.engine, cell.strategy), 20)
        answers = ["right" if number < num else "x"] * cell.n
        return outcome(cell, number, answers, wall_s=seconds * cell.n, usage=usage(cell.n))

    return told


def both(folder: Path) -> tuple[Path, Path]:
    asked = samples(NUM, LEVELS)
    first = write(folder / "a.sqlite", OURS, tell({("nano", "beam"): 36, ("nano", "majority"): 19}, 1.0), asked)
    second = write(folder / "b.sqlite", THEIRS, tell({("nano", "best_of_n"): 30}, 4.0), asked)
    return first, second


def compared(first: Path, second: Path) -> Comparison:
    with Store.read(first) as ours, Store.read(second) as theirs:
        return compare(ours, theirs)


@pytest.fixture
def found(tmp_path: Path) -> Comparison:
    return compared(*both(tmp_path))


def pair(found: Comparison, first: str) -> Pair:
    (only,) = (each for each in found.pairs if each.difference.first.startswith(f"1/{first} "))
    return only


def test_settings_of_one_shape_meet_those_of_the_same_engine_first(found: Comparison):
    met = {
        each.difference.first: each.difference.second for each in found.pairs if each.why == "same strategy, n and m"
    }
    assert met == {
        "1/nano greedy n=1 m=1 10s": "2/nano greedy n=1 m=1 10s",
        "1/nano beam n=8 m=4 10s": "2/nano beam n=8 m=4 10s",
    }


def test_a_setting_without_a_partner_meets_the_best_of_the_other_run_and_that_is_said(found: Comparison):
    assert pair(found, "nano majority").difference.second == "2/nano best_of_n n=4 m=1 10s"
    left = [each for each in found.pairs if each.difference.second in ("2/large beam n=8 m=4 10s",)]
    assert [each.difference.first for each in left] == ["1/nano beam n=8 m=4 10s"]
    assert any("3 settings have no partner" in each for each in found.warnings)


def test_who_is_ahead_goes_by_the_interval(found: Comparison):
    beam, greedy, majority = (pair_of for pair_of in _first_three(found))
    assert (beam.winner, greedy.winner, majority.winner) == ("first", None, "second")
    assert beam.difference.difference.value == pytest.approx(16 / 40)
    assert (beam.difference.gains, beam.difference.losses) == (16, 0)
    assert (greedy.difference.difference.low, greedy.difference.difference.high) == (0.0, 0.0)
    assert majority.difference.difference.value == pytest.approx(-11 / 40)


def _first_three(found: Comparison) -> tuple[Pair, Pair, Pair]:
    partners = [each for each in found.pairs if each.why == "same strategy, n and m"]
    return partners[1], partners[0], pair(found, "nano majority")


def test_costs_are_told_as_ratios_of_what_both_know(found: Comparison):
    beam = _first_three(found)[0]
    assert beam.ratios["wall_s"] == pytest.approx(0.25)
    assert (beam.ratios["flops"], beam.ratios["peak_bytes"]) == (1.0, 1.0)
    assert "dollars" not in beam.ratios


def test_differences_are_told_by_level(found: Comparison):
    stated = {each.level: each for each in _first_three(found)[0].levels if each.kind == "stated"}
    assert (stated["easy"].num_samples, stated["easy"].difference.value) == (20, 0.0)
    assert stated["hard"].difference.value == pytest.approx(0.8)
    assert winner(stated["hard"].difference) == "first"
    assert {each.kind for each in _first_three(found)[0].levels} == {"stated", "oracle"}


def test_the_best_of_each_run_meet(found: Comparison):
    assert found.best is not None
    best = found.best.difference
    assert (best.first, best.second) == ("1/nano beam n=8 m=4 10s", "2/nano best_of_n n=4 m=1 10s")


def test_the_json_names_winners_and_has_no_nan(found: Comparison):
    shown = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert [each["winner"] for each in shown["pairs"]] == [each.winner for each in found.pairs]
    assert shown["best"]["winner"] == "first"
    assert [each["path"] for each in shown["runs"]] == [run.path for run in found.runs]


def test_a_run_against_its_copy_has_no_winner(tmp_path: Path):
    first, _ = both(tmp_path)
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(first.read_bytes())
    found = compared(first, copy)
    assert len(found.pairs) == len(OURS)
    assert all(each.winner is None and each.difference.gains == 0 for each in found.pairs)


def test_runs_of_other_samples_are_refused(tmp_path: Path):
    first, _ = both(tmp_path)
    other = write(tmp_path / "other.sqlite", OURS, tell({}, 1.0), samples(NUM + 1))
    with pytest.raises(UsageError, match="other samples"):
        compared(first, other)


def test_an_interval_that_touches_zero_has_no_winner():
    assert winner(Estimate(0.1, 0.0, 0.2)) is None
    assert winner(Estimate(0.1, 0.01, 0.2)) == "first"
    assert winner(Estimate(-0.1, -0.2, -0.01)) == "second"
