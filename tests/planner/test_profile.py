"""The cost model: what it says of passes, prompts and verifying, how it is fitted, and how it is read from a file."""

import dataclasses
import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.engines.base import Pace
from edgesearch.planner.profile import Identity, Point, Profile, fit, line, loads, risen, value_at

IDENTITY = Identity("a" * 64, "prm b", "cpu: a processor", 4, "llama-cpp-python 1.2.3")
PROFILE = Profile(
    decode_s=((1, 0.010), (4, 0.013), (16, 0.037)),
    context_s=((1, 1e-6), (16, 16e-6)),
    prefill_base_s=0.005,
    prefill_token_s=0.001,
    verify_call_s=0.002,
    verify_token_s=0.0001,
    fork_s=1e-5,
    bytes_per_token=32768,
    max_sequences=16,
    residual=0.04,
    measured_s=2.5,
    created="2026-01-31",
    identity=IDENTITY,
    points=(Point(1, 32, 0.010032, True), Point(3, 64, 0.0125, False)),
)
SECONDS = st.floats(1e-6, 10, allow_nan=False)
POINTS = st.lists(
    st.builds(Point, st.integers(1, 64), st.integers(0, 4096), SECONDS, st.just(True)), min_size=1, max_size=30
)


def test_a_pass_costs_what_was_measured_at_the_knots_and_is_linear_between_and_beyond_them():
    assert PROFILE.pass_s(1, 0) == 0.010
    assert PROFILE.pass_s(4, 0) == 0.013
    assert PROFILE.pass_s(10, 0) == pytest.approx(0.025)
    assert PROFILE.pass_s(28, 0) == pytest.approx(0.061)
    assert PROFILE.pass_s(0.5, 0) == 0.010


def test_each_token_of_context_adds_to_a_pass_the_more_the_wider_it_is():
    assert PROFILE.pass_s(1, 1000) - PROFILE.pass_s(1, 0) == pytest.approx(0.001)
    assert PROFILE.pass_s(16, 1000) - PROFILE.pass_s(16, 0) == pytest.approx(0.016)


def test_prompts_and_verifying_have_a_base_and_a_price_per_token():
    assert PROFILE.prefill_s(100) == pytest.approx(0.105)
    assert PROFILE.verify_s(3, 50) == pytest.approx(0.011)
    assert dataclasses.replace(PROFILE, verify_call_s=0.0, verify_token_s=0.0).verify_s(3, 50) == 0


def test_an_engine_s_own_pace_makes_a_rough_profile():
    pace = Pace(((1, 0.02), (4, 0.03), (16, 0.07)), prefill_tokens_per_s=200)
    rough = Profile.of_pace(pace, 0.001)
    for width in (1, 3, 4, 11, 16, 20):
        assert rough.pass_s(width, 500) == pytest.approx(pace.step_s(width))
    assert rough.prefill_s(100) == pytest.approx(0.5)
    assert rough.verify_s(7, 100) == pytest.approx(0.1)
    assert rough.identity is None
    assert rough.max_sequences == 16


def test_a_pace_that_falls_with_the_width_is_taken_as_level():
    rough = Profile.of_pace(Pace(((1, 0.04), (4, 0.02)), prefill_tokens_per_s=200), 0.0)
    assert rough.pass_s(1, 0) == rough.pass_s(4, 0) == rough.pass_s(9, 0) == pytest.approx(0.03)


def test_the_error_of_a_point_is_a_share_of_what_was_measured():
    assert PROFILE.error(Point(4, 0, 0.026, True)) == pytest.approx(-0.5)


@given(POINTS, st.floats(0, 300), st.floats(0, 300), st.floats(0, 1e5), st.floats(0, 1e5))
def test_whatever_was_measured_a_wider_pass_and_a_longer_context_never_cost_less(points, n0, n1, c0, c1):
    decode_s, context_s = fit(points)
    profile = dataclasses.replace(PROFILE, decode_s=decode_s, context_s=context_s)
    (n0, n1), (c0, c1) = sorted((n0, n1)), sorted((c0, c1))
    least = profile.pass_s(n0, c0)
    assert least > 0
    assert profile.pass_s(n1, c1) >= least * (1 - 1e-9)


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(-1, 1)), max_size=20, unique_by=lambda pair: pair[0]))
def test_pooled_values_rise_and_keep_their_mean(values):
    knots = risen(values, -10.0)
    assert [width for width, _ in knots] == sorted(width for width, _ in values)
    assert all(low <= high for (_, low), (_, high) in pairwise(knots))
    assert math.fsum(value for _, value in knots) == pytest.approx(math.fsum(value for _, value in values), abs=1e-9)


@given(st.lists(st.tuples(st.floats(1, 1000), st.floats(0, 100)), min_size=1, max_size=10))
def test_a_line_has_neither_a_base_nor_a_slope_below_0(pairs):
    base, slope = line(pairs)
    assert base >= -1e-9
    assert slope >= 0


def test_exact_costs_are_found_again():
    truth = PROFILE
    points = [Point(n, c, truth.pass_s(n, c), True) for n in (1, 4, 16) for c in (32, 128)]
    decode_s, context_s = fit(points)
    found = dataclasses.replace(PROFILE, decode_s=decode_s, context_s=context_s)
    for width, context in ((1, 0), (3, 64), (12, 100), (16, 1000), (30, 10)):
        assert found.pass_s(width, context) == pytest.approx(truth.pass_s(width, context))


def test_points_that_are_kept_from_the_fit_do_not_change_it():
    points = [Point(1, 32, 0.01, True), Point(4, 32, 0.02, True)]
    assert fit([*points, Point(4, 32, 9.0, False), Point(64, 32, 9.0, False)]) == fit(points)


def test_without_knots_there_is_no_cost():
    assert value_at((), 3) == 0


def test_a_profile_is_read_as_it_was_written():
    assert loads(PROFILE.dumps()) == PROFILE
    rough = Profile.of_pace(Pace(((1, 0.02),), prefill_tokens_per_s=200), 0.0)
    assert loads(rough.dumps()) == rough


def _written(**changes: object) -> str:
    return json.dumps({**json.loads(PROFILE.dumps()), **changes})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value"),
        ("[]", "not a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        (_written(schema_version=2), "schema_version must be 1, not '2'"),
        (_written(schema_version=True), "schema_version must be 1"),
        (_written(more=1), "the key 'more' is unknown"),
        (_written(residual="0.04"), "profile.residual must be a number"),
        (_written(residual=-0.1), "residual must be >= 0"),
        (_written(residual=10**400), "profile.residual is too large"),
        (PROFILE.dumps().replace('"residual": 0.04', '"residual": NaN'), "NaN"),
        (_written(decode_s=[]), "decode_s must be"),
        (_written(decode_s=[[4, 0.1], [1, 0.2]]), "ascending widths"),
        (_written(decode_s=[[1, 0.2], [4, 0.1]]), "do not fall"),
        (_written(decode_s=[[1, 0.0]]), "decode_s must be"),
        (_written(decode_s=[[1, 0.1, 3]]), "must be a list of 2"),
        (_written(decode_s=[[n, 0.1] for n in range(1, 70)]), "at most 64"),
        (_written(context_s=[[1, -1e-9]]), "context_s must be"),
        (_written(fork_s=1e9), "fork_s must be in"),
        (_written(max_sequences=0), "max_sequences must be in"),
        (_written(max_sequences=True), "max_sequences must be a whole number"),
        (_written(bytes_per_token=-1), "bytes_per_token must be"),
        (_written(created="x\n"), "one line"),
        (_written(identity={"solver": "a"}), "is missing"),
        (_written(identity={**dataclasses.asdict(IDENTITY), "num_threads": 0}), "num_threads must be"),
        (_written(points=[dataclasses.asdict(PROFILE.points[0])] * 600), "points must be at most 512"),
        (_written(points=[{**dataclasses.asdict(PROFILE.points[0]), "seconds": 0}]), "seconds must be in"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, problem: str):
    with pytest.raises(ValueError, match=problem):
        loads(text)
