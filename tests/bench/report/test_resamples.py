"""One set of resamples for all figures of a report."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.bench import intervals
from edgesearch.bench.report.resamples import MAX_RESAMPLES, Resamples, interval


def test_every_resample_holds_as_many_problems_as_there_are():
    found = Resamples(30)
    assert found.num == MAX_RESAMPLES
    assert (found.totals(np.ones((30, 1))) == 30).all()


def test_the_interval_is_that_of_the_bootstrap_over_problems():
    rng = np.random.default_rng(1)
    right = rng.random((200, 3)) < 0.7  # three seeds a problem
    found = Resamples(200)
    (estimate,) = found.estimates(right.sum(axis=1)[:, None], np.full((200, 1), 3))
    low, high = intervals.bootstrap(right.reshape(-1, 1).astype(float), groups=np.repeat(np.arange(200), 3).tolist())
    assert estimate.value == pytest.approx(right.mean())
    assert (estimate.low, estimate.high) == (pytest.approx(low[0], abs=0.004), pytest.approx(high[0], abs=0.004))


def test_columns_are_paired_so_that_equal_ones_differ_by_nothing():
    values = np.random.default_rng(2).random((50, 1))
    found = Resamples(50)
    both = found.means(np.hstack([values, values]), np.ones((50, 2)))
    assert (both[:, 0] - both[:, 1] == 0).all()


def test_a_resample_without_an_outcome_of_a_column_has_no_mean_and_is_left_out():
    sizes = np.zeros((4, 1))
    sizes[0] = 1
    found = Resamples(4).means(sizes, sizes)
    assert np.isnan(found).any()
    assert interval(found[:, 0]) == (1.0, 1.0)


def test_nothing_to_take_a_mean_of_is_refused():
    with pytest.raises(ValueError, match="column of zeros"):
        Resamples(4).estimates(np.zeros((4, 1)), np.zeros((4, 1)))
    with pytest.raises(ValueError, match="num_problems is 0"):
        Resamples(0)


def test_many_problems_have_fewer_resamples():
    assert Resamples(100_000).num == 1_000


@given(st.integers(1, 40), st.integers(0, 5))
@settings(deadline=None, max_examples=15)
def test_a_mean_lies_in_its_interval_and_the_same_seed_gives_the_same(num: int, seed: int):
    values = np.random.default_rng(seed).random((num, 1))
    first, second = (Resamples(num, seed).estimates(values, np.ones((num, 1)))[0] for _ in range(2))
    assert first == second
    assert first.low - 1e-9 <= first.value <= first.high + 1e-9
