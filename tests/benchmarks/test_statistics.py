"""The benchmarks' statistics, against published values, hand-made cases and laws that are known."""

import itertools
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

Import = Callable[[str], ModuleType]


# -- intervals -----------------------------------------------------------------------------------------------------


@pytest.fixture
def intervals(benchmark_module: Import) -> Any:
    return benchmark_module("intervals")


def test_intervals_and_tests_match_published_values(intervals: Any) -> None:
    assert intervals.share([True] * 8 + [False] * 2)["interval95"] == [0.4902, 0.9433]  # R: prop.test(8, 10, correct=F)
    assert intervals.mcnemar_p(9, 1) == pytest.approx(0.021484375)  # R: binom.test(9, 10)
    assert intervals.mcnemar_p(3, 3) == 1.0
    assert intervals.pass_at_k(10, 3, 1) == pytest.approx(0.3)
    assert intervals.pass_at_k(10, 3, 2) == pytest.approx(1 - 7 * 6 / 90)
    assert intervals.pass_at_k(4, 4, 4) == 1.0


@pytest.mark.parametrize("k", range(1, 6))
def test_pass_at_k_is_the_mean_over_all_subsets(intervals: Any, k: int) -> None:
    marks = [True, False, False, True, False]
    subsets = [any(subset) for subset in itertools.combinations(marks, k)]
    assert intervals.pass_at_k(5, 2, k) == pytest.approx(sum(subsets) / len(subsets))


def test_pass_at_k_of_a_thousand_samples_is_exact(intervals: Any) -> None:
    assert intervals.pass_at_k(1024, 1, 64) == pytest.approx(64 / 1024)
    assert intervals.pass_at_k(1024, 0, 1024) == 0.0
    assert intervals.pass_at_k(1024, 1, 1024) == 1.0


def test_coverage_is_the_mean_over_problems(intervals: Any) -> None:
    found = intervals.coverage([0, 4, 1, 1], 4, [1, 2, 4], seed=0)
    assert [each["coverage"] for each in found] == [pytest.approx(c) for c in (1.5 / 4, 2 / 4, 3 / 4)]
    assert all(low <= each["coverage"] <= high for each in found for low, high in [each["interval95"]])


def test_a_bootstrap_interval_of_a_share_is_about_the_normal_one(intervals: Any) -> None:
    found = intervals.mean([1.0] * 60 + [0.0] * 140)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 200)
    assert found["value"] == 0.3
    assert found["interval95"] == pytest.approx([0.3 - half, 0.3 + half], abs=0.01)


def test_a_paired_difference_counts_what_is_gained_and_lost(intervals: Any) -> None:
    found = intervals.paired("a", [True, True, False, True], "b", [False, True, True, False], seed=0)
    assert (found["name"], found["difference"], found["gains"], found["losses"]) == ("a - b", 0.25, 2, 1)


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


# -- the law -------------------------------------------------------------------------------------------------------


@pytest.fixture
def power_law(benchmark_module: Import) -> Any:
    return benchmark_module("power_law")


@pytest.mark.parametrize(("a", "b"), [(-1.2, -0.4), (-3.0, -0.7)])
def test_a_fit_recovers_the_law_it_was_drawn_from(power_law: Any, a: float, b: float) -> None:
    ks = power_law.spread(1024)
    found = power_law.fit(ks, power_law.predict(a, b, ks))
    assert (found["a"], found["b"]) == (pytest.approx(a), pytest.approx(b))
    assert (found["rmse"], found["max_error"], found["left_out"]) == (0.0, 0.0, 0)


def test_a_fit_leaves_out_0_and_1_and_tells_its_error(power_law: Any) -> None:
    ks = [1, 2, 4, 8, 16]
    coverages = [0.0, *power_law.predict(-1, -0.5, [2, 4, 8]), 1.0]
    found = power_law.fit(ks, coverages)
    assert (found["a"], found["b"], found["left_out"]) == (pytest.approx(-1), pytest.approx(-0.5), 2)
    assert power_law.fit(ks, [0.1, 0.5, 0.4, 0.8, 0.9])["max_error"] > 0.05


def test_too_few_points_have_no_fit(power_law: Any) -> None:
    assert power_law.fit([1, 2, 4, 8], [0.0, 0.5, 0.6, 1.0]) is None


def test_points_are_spread_evenly_over_octaves(power_law: Any) -> None:
    assert power_law.spread(16) == [1, 2, 3, 4, 6, 8, 12, 16]
    assert power_law.spread(10) == [1, 2, 3, 4, 6, 8, 10]
