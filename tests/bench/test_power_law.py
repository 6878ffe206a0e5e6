"""The exponentiated power law, against points drawn from it exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.bench import power_law
from edgesearch.bench.power_law import fit, predict, spread

CURVES = [(-0.3, -0.2), (-1.2, -0.4), (-3.0, -0.7), (-8.0, -0.35), (-0.05, -0.1)]


@pytest.mark.parametrize(("a", "b"), CURVES)
def test_a_fit_recovers_the_law_its_points_come_from_to_1e_9(a: float, b: float) -> None:
    ks = spread(10_000)
    found = fit(ks, predict(a, b, ks))
    assert found is not None
    assert found["a"] == pytest.approx(a, abs=1e-9)
    assert found["b"] == pytest.approx(b, abs=1e-9)
    assert (found["points"], found["left_out"], found["rmse"], found["max_error"]) == (len(ks), 0, 0.0, 0.0)


@given(st.floats(-5, -0.1), st.floats(-0.9, -0.05))
@settings(deadline=None)
def test_a_fitted_law_predicts_the_points_it_was_fitted_to_to_1e_9(a: float, b: float) -> None:
    ks = spread(1_000)
    found = fit(ks, predict(a, b, ks))
    assert found is not None
    assert predict(found["a"], found["b"], ks) == pytest.approx(predict(a, b, ks), abs=1e-9)


@pytest.mark.parametrize(("a", "b"), CURVES)
def test_predictions_up_to_ten_thousand_are_finite_rise_and_stay_between_0_and_1(a: float, b: float) -> None:
    found = predict(a, b, np.arange(1, 10_001))
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
    assert 0 < found[0] <= found[-1] < 1


def test_one_sample_is_covered_exp_a() -> None:
    assert predict(-np.log(4), -0.5, 1) == pytest.approx(0.25, abs=1e-15)
    assert predict(-np.log(4), -0.5, 4) == pytest.approx(0.5, abs=1e-15)


def test_a_fit_leaves_out_0_and_1_and_tells_its_error() -> None:
    ks = [1, 2, 4, 8, 16]
    found = fit(ks, [0.0, *predict(-1, -0.5, [2, 4, 8]), 1.0])
    assert found is not None
    assert (found["a"], found["b"], found["left_out"]) == (pytest.approx(-1), pytest.approx(-0.5), 2)
    crooked = fit(ks, [0.1, 0.5, 0.4, 0.8, 0.9])
    assert crooked is not None
    assert crooked["max_error"] > 0.05
    assert 0 < crooked["rmse"] < crooked["max_error"]


@pytest.mark.parametrize("shares", [[], [0.5], [0.0, 0.5, 0.6, 1.0], [0.0] * 4, [1.0] * 4])
def test_too_few_points_have_no_fit(shares: list[float]) -> None:
    assert power_law.MIN_POINTS == 3
    assert fit([1, 2, 4, 8][: len(shares)], shares) is None


@pytest.mark.parametrize("ks", [[0, 1, 2], [2, 2, 4]])
def test_counts_below_1_and_counts_given_twice_are_refused(ks: list[int]) -> None:
    with pytest.raises(ValueError, match=r"ks is .*; each must be >= 1, and no two equal"):
        fit(ks, [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"shorter|longer"):
        fit([1, 2, 3], [0.1, 0.2])


def test_points_are_spread_evenly_over_octaves() -> None:
    assert spread(16) == [1, 2, 3, 4, 6, 8, 12, 16]
    assert spread(10) == [1, 2, 3, 4, 6, 8, 10]
    assert spread(1) == [1]
