"""Where a series reaches a target: literal cases, invariants, and which series there are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_stores import measured, outcome, samples, usage, write

from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Outcome
from edgesearch.bench.report.crossings import reach
from edgesearch.bench.report.model import Crossing, Report


def reached(accuracy: list[float], cost: list[float], target: float) -> float:
    return float(reach(np.array([accuracy]), np.array([cost]), np.array([target]))[0])


@pytest.mark.parametrize(
    ("accuracy", "target", "at"),
    [
        ([0.2, 0.4, 0.6], 0.5, math.sqrt(10 * 100)),  # halfway, in the logarithm
        ([0.2, 0.4, 0.6], 0.4, 10.0),  # at a point
        ([0.2, 0.4, 0.6], 0.1, 1.0),  # the first one is there already
        ([0.2, 0.4, 0.6], 0.7, math.nan),
        ([0.2, 0.6, 0.3], 0.5, 10**0.75),  # where it first gets there
        ([0.5, 0.5, 0.5], 0.5, 1.0),
    ],
)
def test_a_series_reaches_its_target_between_two_points_in_the_logarithm(
    accuracy: list[float], target: float, at: float
):
    assert reached(accuracy, [1.0, 10.0, 100.0], target) == pytest.approx(at, nan_ok=True)


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(1, 50)), min_size=2, max_size=6), st.integers(0, 12))
def test_it_never_costs_less_than_the_cheapest_or_more_than_the_dearest_point(
    pairs: list[tuple[int, int]], target: int
):
    accuracy, cost = [right / 10 for right, _ in pairs], [float(each) for _, each in pairs]
    found = reached(accuracy, cost, target / 10)
    assert math.isnan(found) == (max(accuracy) < target / 10)
    if not math.isnan(found):
        assert min(cost) * (1 - 1e-12) <= found <= max(cost) * (1 + 1e-12)


NUM = 100
WIDTHS = (1, 4, 16)
CELLS = (
    *(Cell("nano", "beam", n, min(4, n), 10.0) for n in WIDTHS),
    Cell("nano", "beam", 16, 2, 10.0),
    *(Cell("nano", "majority", n, 1, 10.0) for n in WIDTHS),
    Cell("large", "greedy", 1, 1, 10.0),
)
RIGHT = {
    ("beam", 1): 40,
    ("beam", 4): 60,
    ("beam", 16): 80,
    ("majority", 1): 40,
    ("majority", 4): 41,
    ("majority", 16): 42,
}


def tell(cell: Cell, number: int) -> Outcome:
    right = 70 if cell.engine == "large" else RIGHT[cell.strategy, cell.n]
    return outcome(cell, number, ["right" if number < right else "x"], wall_s=float(cell.n), usage=usage(cell.n))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return measured(write(tmp_path_factory.mktemp("run") / "run.sqlite", CELLS, tell, samples(NUM)))


def crossing(report: Report, series: str, axis: str) -> Crossing:
    (found,) = (each for each in report.crossings if each.series == series and each.axis == axis)
    return found


def test_a_crossing_has_its_cost_its_interval_and_its_share(report: Report):
    found = crossing(report, "nano beam m=4 10s", "wall_s")
    assert found.at == pytest.approx(8.0)  # halfway between 4 and 16
    assert found.low is not None
    assert found.high is not None
    assert 4 <= found.low < 8 < found.high <= 16
    assert 0.95 < found.share <= 1
    assert found.target_cost == 1.0
    assert [name.split()[2] for name in found.points] == ["n=1", "n=4", "n=16"]
    assert crossing(report, "nano beam m=4 10s", "flops").at == pytest.approx(8e6)


def test_a_series_that_never_gets_there_has_no_cost(report: Report):
    found = crossing(report, "nano majority 10s", "wall_s")
    assert (found.at, found.low, found.high, found.share) == (None, None, None, 0.0)


def test_one_beam_belongs_to_every_m(report: Report):
    assert {each.series for each in report.crossings} == {"nano beam m=4 10s", "nano beam m=2 10s", "nano majority 10s"}
    assert [name.split()[2] for name in crossing(report, "nano beam m=2 10s", "wall_s").points] == ["n=1", "n=16"]


def test_only_a_larger_engine_is_a_target(report: Report):
    assert {each.target for each in report.crossings} == {"1/large greedy n=1 m=1 10s"}


def test_memory_is_a_cost_of_its_own_that_no_resample_changes(report: Report):
    assert crossing(report, "nano beam m=4 10s", "peak_bytes").at == pytest.approx(1000.0)


def test_an_axis_on_which_a_cost_is_not_known_has_no_crossing(report: Report):
    assert not [each for each in report.crossings if each.axis in ("dollars", "joules")]
