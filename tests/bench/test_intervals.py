"""Intervals and paired differences, against published values, laws that are known, and each other."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from edgesearch.bench import estimators, intervals


def width(interval: list[float]) -> float:
    return interval[1] - interval[0]


# -- shares --------------------------------------------------------------------------------------------------------


def test_a_share_has_the_published_interval() -> None:
    found = intervals.share([True] * 8 + [False] * 2)
    assert found == {"right": 8, "of": 10, "accuracy": 0.8, "interval95": [0.4902, 0.9433]}  # R: prop.test(correct=F)


@pytest.mark.parametrize(("right", "of"), [(0, 1), (1, 1), (0, 30), (30, 30)])
def test_a_share_of_none_or_all_has_an_interval_within_0_and_1(right: int, of: int) -> None:
    low, high = intervals.share([True] * right + [False] * (of - right))["interval95"]
    assert 0 <= low <= right / of <= high <= 1
    assert high > low


def test_a_share_over_seeds_that_always_agree_is_no_surer_than_over_one() -> None:
    once = [True] * 60 + [False] * 40
    thrice = [is_right for is_right in once for _ in range(3)]
    groups = [i for i in range(100) for _ in range(3)]
    found = intervals.share(thrice, groups)
    assert (found["right"], found["of"], found["accuracy"]) == (180, 300, 0.6)
    assert found["interval95"] == pytest.approx(intervals.share(once)["interval95"], abs=0.001)


def test_a_share_over_seeds_that_are_independent_is_as_sure_as_over_as_many_problems() -> None:
    rights = (np.random.default_rng(0).random(3_000) < 0.4).tolist()
    grouped = intervals.share(rights, [i // 3 for i in range(3_000)])["interval95"]
    assert grouped == pytest.approx(intervals.share(rights)["interval95"], abs=0.003)


def test_a_share_in_which_all_seeds_are_right_counts_problems() -> None:
    assert intervals.share([True] * 30, [i % 10 for i in range(30)])["interval95"] == [
        pytest.approx(10 / (10 + 1.959964**2), abs=1e-4),
        1.0,
    ]


def test_a_share_whose_groups_do_not_differ_is_at_most_as_sure_as_independent_outcomes() -> None:
    rights = [True, False] * 20
    assert intervals.share(rights, [i // 2 for i in range(40)]) == intervals.share(rights)
    assert width(intervals.share(rights, [0] * 40)["interval95"]) > 0.7  # one problem tells almost nothing


# -- means ---------------------------------------------------------------------------------------------------------


def test_a_bootstrap_interval_of_a_share_is_about_the_normal_one() -> None:
    found = intervals.mean([1.0] * 60 + [0.0] * 140)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 200)
    assert (found["value"], found["of"]) == (0.3, 200)
    assert found["interval95"] == pytest.approx([0.3 - half, 0.3 + half], abs=0.01)


@pytest.mark.parametrize("num", [500, 5_000])
def test_a_bootstrap_interval_of_many_different_values_is_about_the_normal_one(num: int) -> None:
    values = np.random.default_rng(1).random((num, 3))
    low, high = intervals.bootstrap(values)
    half = 1.96 * values.std(axis=0) / math.sqrt(num)
    assert low == pytest.approx(values.mean(axis=0) - half, rel=0.01)
    assert high == pytest.approx(values.mean(axis=0) + half, rel=0.01)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(2).random(50)
    found = [intervals.mean(values, seed)["interval95"] for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_one_problem_or_equal_ones_have_an_interval_without_width() -> None:
    assert intervals.mean([0.25])["interval95"] == [0.25, 0.25]
    assert intervals.mean([0.25] * 9)["interval95"] == [0.25, 0.25]


def test_copies_of_a_value_in_its_group_change_nothing() -> None:
    values = np.random.default_rng(3).integers(0, 5, 80) / 4
    once = intervals.mean(values.tolist(), seed=4)
    thrice = intervals.mean(np.repeat(values, 3).tolist(), seed=4, groups=np.repeat(np.arange(80), 3).tolist())
    assert thrice == once | {"of": 240}
    assert width(intervals.mean(np.repeat(values, 3).tolist(), seed=4)["interval95"]) < width(once["interval95"]) / 1.5


def test_groups_may_lie_apart_and_have_any_name() -> None:
    values = np.random.default_rng(4).random(40)
    together = intervals.mean(values.tolist(), groups=[f"problem {i // 2}" for i in range(40)])
    order = [*range(0, 40, 2), *range(1, 40, 2)]
    apart = intervals.mean(values[order].tolist(), groups=[(i // 2, "x") for i in order])
    assert apart == together


def test_a_group_is_drawn_with_all_its_values() -> None:
    """Two groups, 1 1 1 and 0: a sample holds the first 0, 1 or 2 times, with means 0, 3/4 and 1."""
    found = intervals._resampled_means(intervals._clusters(np.array([[1.0], [1], [1], [0]]), ["a", "a", "a", "b"]), 0)
    shares = {float(mean): float(np.mean(found == mean)) for mean in np.unique(found)}
    assert shares == pytest.approx({0.0: 0.25, 0.75: 0.5, 1.0: 0.25}, abs=0.02)


def test_both_ways_to_draw_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    values, groups = np.random.default_rng(5).integers(0, 3, (300, 2)), [i // 2 for i in range(300)]
    by_counts = intervals.bootstrap(values, groups=groups)
    monkeypatch.setattr(intervals, "_MAX_MULTINOMIAL", 0)
    one_by_one = intervals.bootstrap(values, groups=groups)
    assert np.stack(by_counts) == pytest.approx(np.stack(one_by_one), abs=0.01)
    assert by_counts[0].tolist() != one_by_one[0].tolist()


def test_an_interval_covers_the_truth_about_19_times_in_20_with_several_seeds() -> None:
    """Problems differ in difficulty, so that seeds of one are alike; without groups the interval misses too often."""
    rng, groups = np.random.default_rng(6), np.repeat(np.arange(100), 5).tolist()
    hits = {"groups": 0, "none": 0, "share": 0}
    for seed in range(100):
        rights = (rng.random(500) < np.repeat(rng.beta(0.5, 0.5, 100), 5)).tolist()
        found: dict[str, Any] = {
            "groups": intervals.mean(rights, seed, groups)["interval95"],
            "none": intervals.mean(rights, seed)["interval95"],
            "share": intervals.share(rights, groups)["interval95"],
        }
        for name, (low, high) in found.items():
            hits[name] += low <= 0.5 <= high
    assert hits["groups"] >= 90
    assert hits["share"] >= 90
    assert hits["none"] < 85


def test_means_are_one_a_column_from_the_same_draws() -> None:
    values = np.random.default_rng(7).random((60, 1))
    first, second = intervals.means(np.hstack([values, 1 - values]), seed=1)
    assert second["value"] == pytest.approx(1 - first["value"], abs=1e-4)
    assert second["interval95"] == pytest.approx([1 - end for end in reversed(first["interval95"])], abs=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: intervals.share([]), "rights is empty"),
        (lambda: intervals.mean([]), "values is empty"),
        (lambda: intervals.paired("a", [], "b", [], 0), "values is empty"),
        (lambda: intervals.mean([0.1, 0.2], groups=["a"]), "groups has 1 entries for 2 values"),
        (lambda: intervals.share([True], groups=["a", "b"]), "groups has 2 entries for 1 rights"),
        (lambda: intervals.mean([0.1, math.nan]), "values hold a NaN"),
        (lambda: intervals.paired("a", [True], "b", [True, False], 0), "shorter|longer"),
    ],
)
def test_nothing_and_what_does_not_fit_together_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# -- differences ---------------------------------------------------------------------------------------------------


def test_a_paired_difference_counts_what_is_gained_and_lost() -> None:
    found = intervals.paired("a", [True, True, False, True], "b", [False, True, True, False], seed=0)
    assert (found["name"], found["difference"], found["gains"], found["losses"]) == ("a - b", 0.25, 2, 1)
    assert found["mcnemar_p"] == 1.0


def test_a_strategy_does_not_differ_from_itself() -> None:
    same = [True, False, True]
    found = intervals.paired("a", same, "a", same, seed=0)
    assert (found["difference"], found["interval95"], found["mcnemar_p"]) == (0.0, [0.0, 0.0], 1.0)


def test_with_seeds_a_gain_is_a_problem_solved_more_often() -> None:
    ours = [True, True, True, False, False, True]  # problems 0 0 0, 1 1, 2
    theirs = [False, True, False, False, True, True]
    found = intervals.paired("a", ours, "b", theirs, seed=0, groups=[0, 0, 0, 1, 1, 2])
    assert (found["difference"], found["gains"], found["losses"]) == (pytest.approx(1 / 6, abs=1e-4), 1, 1)


def test_repeating_a_problem_does_not_make_a_difference_significant() -> None:
    ours, theirs = [True] * 5 + [False], [False] * 5 + [True]
    once = intervals.paired("a", ours, "b", theirs, seed=0)
    tenfold = intervals.paired("a", ours * 10, "b", theirs * 10, seed=0, groups=[*range(6)] * 10)
    assert tenfold == once
    assert intervals.paired("a", ours * 10, "b", theirs * 10, seed=0)["mcnemar_p"] < 1e-6 < once["mcnemar_p"]


def test_mcnemar_is_the_published_binomial_test() -> None:
    assert intervals.mcnemar_p(9, 1) == intervals.mcnemar_p(1, 9) == pytest.approx(0.021484375)  # R: binom.test(9, 10)
    assert intervals.mcnemar_p(3, 3) == intervals.mcnemar_p(0, 0) == 1.0


@pytest.mark.parametrize(("gains", "losses"), [(0, 1), (5, 0), (40, 17), (2_600, 2_400)])
def test_mcnemar_is_the_sum_of_binomial_chances(gains: int, losses: int) -> None:
    n = gains + losses
    tail = sum(math.comb(n, k) for k in range(min(gains, losses) + 1))
    assert intervals.mcnemar_p(gains, losses) == min(
        1.0, 2 * tail / 2**n if n < 1_000 else (2 * tail << 60 >> n) / 2**60
    )


# -- coverage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(1, 6))
def test_pass_at_k_is_the_mean_over_all_subsets(k: int) -> None:
    subsets = [any(subset) for subset in itertools.combinations([True, False, False, True, False], k)]
    assert estimators.pass_at_k(5, 2, [k]) == pytest.approx([sum(subsets) / len(subsets)])


def test_pass_at_k_of_a_few_and_of_a_thousand_samples_is_exact() -> None:
    assert estimators.pass_at_k(10, 3, [1, 2]) == pytest.approx([0.3, 1 - 7 * 6 / 90])
    assert estimators.pass_at_k(4, 4, [4]) == 1.0
    assert estimators.pass_at_k(1024, 1, [64]) == pytest.approx([64 / 1024])
    assert estimators.pass_at_k(1024, 0, [1024]) == 0.0
    assert estimators.pass_at_k(1024, 1, [1024]) == 1.0


def test_coverage_is_the_mean_over_problems() -> None:
    found = intervals.coverage([0, 4, 1, 1], 4, [1, 2, 4], seed=0)
    assert [each["k"] for each in found] == [1, 2, 4]
    assert [each["coverage"] for each in found] == [pytest.approx(c) for c in (1.5 / 4, 2 / 4, 3 / 4)]
    assert all(low <= each["coverage"] <= high for each in found for low, high in [each["interval95"]])


def test_coverage_of_a_problem_in_several_seeds_is_one_observation() -> None:
    rights = [0, 4, 1, 2, 0, 3]
    once = intervals.coverage(rights, 4, [1, 4], seed=0)
    assert intervals.coverage(rights * 3, 4, [1, 4], seed=0, groups=[*range(6)] * 3) == once


def test_coverage_refuses_a_k_above_n() -> None:
    with pytest.raises(ValueError, match=r"k is 5; it must be in \[1, 4\]"):
        intervals.coverage([0, 1], 4, [1, 5], seed=0)
