"""The benchmarks' statistics, against published values, hand-made cases and laws that are known."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

Import = Callable[[str], ModuleType]


# -- ranking -------------------------------------------------------------------------------------------------------


@pytest.fixture
def ranking(benchmark_module: Import) -> Any:
    return benchmark_module("ranking")


def test_an_auc_is_the_share_of_pairs_in_order_with_ties_half(ranking: Any) -> None:
    assert ranking.auc([0.9, 0.1], [True, False], [1, 1]) == 1.0
    assert ranking.auc([0.1, 0.9], [True, False], [1, 1]) == 0.0
    assert ranking.auc([0.5, 0.5], [True, False], [1, 1]) == 0.5
    # right 0.8 and 0.5, wrong 0.5, 0.5 and 0.9: of 6 pairs 2 are in order and 2 tied
    assert ranking.auc([0.8, 0.5, 0.5, 0.5, 0.9], [True, True, False, False, False], [1] * 5) == 3 / 6


def test_counts_are_the_same_as_writing_a_solution_so_often(ranking: Any) -> None:
    rng = np.random.default_rng(1)
    scores, rights, counts = rng.integers(0, 6, 20) / 6, rng.random(20) < 0.4, rng.integers(1, 5, 20)
    written = [(score, right) for score, right, count in zip(scores, rights, counts, strict=True) for _ in range(count)]
    pairs = [(a > b) + 0.5 * (a == b) for a, x in written if x for b, y in written if not y]
    assert ranking.auc(scores, rights, counts) == pytest.approx(sum(pairs) / len(pairs))


def test_a_problem_without_both_kinds_has_no_auc(ranking: Any) -> None:
    assert ranking.auc([0.1, 0.2], [True, True], [1, 1]) is None
    assert ranking.auc([0.1, 0.2], [False, False], [1, 1]) is None
    assert ranking.auc([], [], []) is None
    assert ranking.summary([None, 0.75, 0.25], seed=0)["value"] == 0.5
    assert ranking.summary([None], seed=0) is None
    assert ranking.lead([0.9, None, 0.8], [0.5, 0.5, None], seed=0) == {
        "value": 0.4,
        "interval95": [0.4, 0.4],
        "of": 1,
    }


# -- calibration ---------------------------------------------------------------------------------------------------


@pytest.fixture
def calibration(benchmark_module: Import) -> Any:
    return benchmark_module("calibration")


def test_scores_that_are_shares_are_calibrated(calibration: Any) -> None:
    found = calibration.calibration([0.25, 0.25, 0.75, 0.75], [True, False, True, False], [1, 3, 3, 1])
    assert (found["ece"], found["ece_adaptive"], found["of"]) == (0.0, 0.0, 8)


def test_the_error_weighs_each_bin_by_what_is_in_it(calibration: Any) -> None:
    # three times 0.9 with one right, once 0.1 with one right: 3/4 |0.9 - 1/3| + 1/4 |0.1 - 1|
    found = calibration.calibration([0.9, 0.9, 0.1], [True, False, True], [1, 2, 1])
    assert found["ece"] == pytest.approx(0.75 * (0.9 - 1 / 3) + 0.25 * 0.9, abs=1e-4)
    assert [(row["bin"], row["count"]) for row in found["reliability"]] == [(1, 1), (13, 3)]


def test_scores_of_0_and_1_are_in_the_outer_bins(calibration: Any) -> None:
    assert list(calibration.equal_widths(np.array([0.0, 1 / 15 - 1e-9, 0.5, 1.0]))) == [0, 0, 7, 14]


def test_adaptive_bins_weigh_the_same_and_never_part_equal_scores(calibration: Any) -> None:
    values = np.linspace(0.9, 1, 150)
    assert set(np.bincount(calibration.equal_weights(values, np.ones(150)))) == {10}
    same = calibration.equal_weights(np.array([0.2] * 40 + [0.3]), np.ones(41))
    assert len(set(same[:40])) == 1
    assert same[40] != same[0]


def test_nothing_scored_is_not_calibrated(calibration: Any) -> None:
    assert calibration.calibration([], [], []) is None
