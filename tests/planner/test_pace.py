"""How slow the device is now: believed slowly, so that one odd pass says little."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.engines.base import Pace
from edgesearch.planner.pace import PaceMeter
from edgesearch.planner.profile import Profile

PROFILE = Profile.of_pace(Pace(((1, 0.01), (16, 0.04)), prefill_tokens_per_s=1000), 0.0)


def meter(context_tokens: float = 100.0) -> PaceMeter:
    made = PaceMeter(PROFILE)
    made.start(context_tokens)
    return made


def observe(made: PaceMeter, factor: float, times: int, width: int = 16) -> float:
    for _ in range(times):
        made.observe(width, factor * PROFILE.pass_s(width, made.context_tokens))
    return made.slowdown


def test_a_device_as_fast_as_its_profile_stays_so() -> None:
    assert observe(meter(), 1.0, 1000) == pytest.approx(1.0)


@pytest.mark.parametrize("factor", [0.2, 0.5, 1.3, 3.0, 10.0])
@pytest.mark.parametrize("width", [1, 7, 16, 64])
def test_it_comes_to_know_a_slower_or_faster_device_whatever_the_width(factor: float, width: int) -> None:
    assert observe(meter(), factor, 300, width) == pytest.approx(factor, rel=1e-3)


def test_half_as_fast_is_nearly_known_after_a_second_of_passes() -> None:
    assert 1.8 < observe(meter(), 2.0, 50) < 2.0


@pytest.mark.parametrize("seconds", [3600.0, 86400.0, 0.5])
def test_one_pass_that_took_an_hour_moves_it_by_a_twentieth(seconds: float) -> None:
    made = meter()
    made.observe(16, seconds)
    assert made.slowdown == pytest.approx(1.05)
    assert observe(made, 1.0, 100) == pytest.approx(1.0, rel=1e-3)


def test_a_pass_that_took_no_time_moves_it_little_too() -> None:
    made = meter()
    made.observe(16, 0.0)
    assert made.slowdown == pytest.approx(0.975)


def test_a_longer_context_is_no_slowdown() -> None:
    profile = Profile.of_pace(Pace(((1, 0.01),), prefill_tokens_per_s=1000), 0.0)
    made = PaceMeter(profile)
    for context in (10.0, 1000.0):
        made.start(context)
        for _ in range(100):
            made.observe(4, profile.pass_s(4, context))
    assert made.slowdown == pytest.approx(1.0)


def test_what_was_learned_holds_for_the_next_solve() -> None:
    made = meter()
    observe(made, 2.0, 300)
    made.start(500.0)
    assert made.slowdown == pytest.approx(2.0, rel=1e-3)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), st.floats(0, 1e9)), max_size=300))
def test_whatever_passes_take_it_stays_a_sane_factor(passes: list[tuple[int, float]]) -> None:
    made = meter()
    for width, seconds in passes:
        before = made.slowdown
        made.observe(width, seconds)
        assert 0.97 * before <= made.slowdown <= 1.06 * before or made.slowdown in (0.05, 50.0)
        assert 0.05 <= made.slowdown <= 50.0
