"""FLOPs of tokens, and the comparison with a larger model, against the paper's formula written out."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.bench import flops
from edgesearch.bench.flops import RATIOS, Flops, matched_compute, matched_samples, matched_scale, scale_of_samples

SCALES = st.floats(1, 1_000)
POSITIVE = st.floats(0.01, 100)

unhurried = settings(deadline=None)  # a busy machine is not a failure


def test_inference_costs_2_and_pretraining_6_flops_a_parameter_and_token() -> None:
    assert flops.inference(1_000_000_000, 500) == 10**12
    assert flops.pretraining(1_000_000_000, 500) == 3 * 10**12
    assert flops.inference(7, 0) == 0


def test_the_verifier_is_told_apart_and_counts_in_the_total() -> None:
    found = flops.spent(solver_params=1_000, solver_tokens=10, verifier_params=500, verifier_tokens=8)
    assert found == Flops(solver=20_000, verifier=8_000)
    assert found.total == 28_000
    assert flops.spent(1_000, 10).total == 20_000


@given(SCALES, POSITIVE)
@unhurried
def test_matched_compute_is_what_the_large_model_pays_less_the_small_ones_pretraining(
    scale: float, ratio: float
) -> None:
    params, trained = 3e9, 1e12
    inferred = ratio * trained
    large = scale * (6 * params * trained + 2 * params * inferred)
    expected = (large - 6 * params * trained) / (2 * params * inferred)
    assert matched_compute(scale, ratio) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_named_ratios_are_the_papers() -> None:
    assert RATIOS == {"R << 1": 0.16, "R ~ 1": 0.79, "R >> 1": 22.0}
    found = {name: matched_compute(14, ratio) for name, ratio in RATIOS.items()}
    assert found == pytest.approx(
        {"R << 1": 14 + 3 / 0.16 * 13, "R ~ 1": 14 + 3 / 0.79 * 13, "R >> 1": 14 + 3 / 22 * 13}
    )
    assert found["R << 1"] == pytest.approx(257.75)


@given(SCALES, POSITIVE, st.floats(0, 10))
@unhurried
def test_each_inverse_undoes_its_formula(scale: float, ratio: float, verifier_share: float) -> None:
    assert matched_scale(matched_compute(scale, ratio), ratio) == pytest.approx(scale, rel=1e-9)
    num_samples = matched_samples(scale, ratio, verifier_share)
    if num_samples >= 1:
        assert scale_of_samples(num_samples, ratio, verifier_share) == pytest.approx(scale, rel=1e-9)


def test_a_verifier_as_costly_as_the_solver_halves_the_candidates() -> None:
    assert matched_samples(8, 0.79, verifier_share=1) == matched_samples(8, 0.79) / 2 == matched_compute(8, 0.79) / 2


def test_the_same_size_buys_one_sample_and_without_pretraining_m_times_the_size_buys_m() -> None:
    assert [matched_compute(1, ratio) for ratio in RATIOS.values()] == [1, 1, 1]
    assert matched_compute(70, math.inf) == 70
    assert matched_scale(70, math.inf) == 70


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: matched_compute(0.5, 1), "scale is 0.5; it must be finite and >= 1"),
        (lambda: matched_compute(math.nan, 1), "scale is nan"),
        (lambda: matched_compute(2, 0), "ratio is 0; it must be > 0"),
        (lambda: matched_scale(0.5, 1), "compute is 0.5"),
        (lambda: scale_of_samples(0, 1), "num_samples is 0"),
        (lambda: matched_samples(2, 1, -1), "verifier_share is -1"),
        (lambda: flops.inference(0, 1), "num_params is 0"),
        (lambda: flops.inference(1, -1), "num_tokens is -1"),
        (lambda: flops.spent(1, 1, 0, 5), "num_params is 0"),
        (lambda: Flops(1, -1), "verifier is -1"),
    ],
)
def test_a_number_out_of_range_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
