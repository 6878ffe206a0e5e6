"""Levels of difficulty: their sizes, their order, ties, and how far two ways to level agree."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.bench.difficulty import agreement, levels, oracle, predicted


def test_level_1_is_the_easiest_fifth_and_level_5_the_hardest() -> None:
    assert levels([0.9, 0.1, 0.7, 0.3, 0.5]).tolist() == [1, 5, 2, 4, 3]


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=60), st.integers(1, 7))
@settings(deadline=None)  # a busy machine is not a failure
def test_levels_have_the_same_size_within_one_and_never_rank_a_harder_problem_as_easier(
    values: list[float], num_levels: int
) -> None:
    found = levels(values, num_levels)
    sizes = np.bincount(found, minlength=num_levels + 1)[1:]
    assert sizes.sum() == len(values)
    assert sizes.max() - sizes.min() <= 1
    for value, level in zip(values, found, strict=True):
        assert all(other <= value for other, above in zip(values, found, strict=True) if above > level)


def test_equal_values_are_levelled_in_the_order_given() -> None:
    assert levels([0.0] * 10).tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    values = [0.5, 0.0] * 500
    found = levels(values)
    assert (np.diff(found[::2]) >= 0).all()
    assert (np.diff(found[1::2]) >= 0).all()


def test_one_problem_is_on_the_first_level() -> None:
    assert levels([0.0]).tolist() == [1]


def test_the_oracle_ranks_by_the_share_that_is_right() -> None:
    assert oracle(8, [8, 0, 4, 2, 6]).tolist() == [1, 5, 3, 4, 2]
    assert oracle([8, 16, 2, 4, 1], [6, 0, 1, 1, 1]).tolist() == [2, 5, 3, 4, 1]


def test_the_prediction_ranks_by_the_mean_score_of_those_that_have_one() -> None:
    scores = [[0.9, math.nan], [0.1, 0.1], [0.5], np.array([0.2, 0.4, 0.3]), [1.0, 0.4]]
    assert predicted(scores).tolist() == [1, 5, 3, 4, 2]


def test_the_same_levels_agree_in_full() -> None:
    found = agreement([1, 2, 3, 4, 5] * 4, [1, 2, 3, 4, 5] * 4)
    assert (found.same, found.within_one, found.kappa) == (1.0, 1.0, 1.0)
    assert found.table == tuple(tuple(4 * (i == j) for j in range(5)) for i in range(5))


def test_levels_that_know_nothing_of_each_other_agree_as_chance_does() -> None:
    first, second = [i for i in range(1, 6) for _ in range(5)], [1, 2, 3, 4, 5] * 5
    found = agreement(first, second)
    assert (found.same, found.within_one) == (0.2, 13 / 25)
    assert found.kappa == pytest.approx(0, abs=1e-12)


def test_agreement_is_counted_by_both_levels() -> None:
    found = agreement([1, 1, 2, 5], [1, 2, 2, 1])
    assert (found.table[0][:2], found.table[1][1], found.table[4][0]) == ((1, 1), 1, 1)
    assert (found.same, found.within_one) == (0.5, 0.75)
    assert found.kappa == pytest.approx((8 - 6) / (16 - 6))  # by chance: (2*2 + 1*2 + 1*0) / 16


def test_one_level_has_no_kappa() -> None:
    assert agreement([1, 1], [1, 1]).kappa is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: levels([]), r"values has the shape \(0,\)"),
        (lambda: levels([[0.5]]), r"values has the shape \(1, 1\)"),
        (lambda: levels([0.1, math.nan]), "values hold a NaN"),
        (lambda: levels([0.1], 0), "num_levels is 0; it must be >= 1"),
        (lambda: oracle(0, [0]), "num_candidates holds 0; it must be >= 1"),
        (lambda: oracle(4, [5]), r"num_right goes from 5 to 5; it must be in \[0, num_candidates\]"),
        (lambda: predicted([[0.5], [math.nan]]), r"scores\[1\] has no number"),
        (lambda: agreement([1, 2], [1]), "second has 1 levels for the 2 of first"),
        (lambda: agreement([1, 6], [1, 2]), r"first goes from 1 to 6; levels must be in \[1, 5\]"),
        (lambda: agreement([], []), r"first has the shape \(0,\)"),
    ],
)
def test_what_cannot_be_ranked_or_compared_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
