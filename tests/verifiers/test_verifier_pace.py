"""How long a verifier takes, from a first figure and real calls."""

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from edgesearch.types import Beam, Prompt, Step
from edgesearch.verifiers.pace import PACE_WEIGHT, TYPICAL_TOKENS, Pace, WeightsPace


def clock_of(*calls_s: float) -> Callable[[], float]:
    """A clock that is read before and after calls of these seconds."""

    def times() -> Iterator[float]:
        now = 0.0
        for seconds in calls_s:
            yield now
            now += seconds
            yield now

    readings = times()
    return lambda: next(readings)


def beam(*lengths: int) -> Beam:
    """With steps of so many tokens."""
    return Beam(Prompt("?"), tuple(Step("x\n\n", (7,) * length, -1.0, "step") for length in lengths))


def test_a_sample_counts_until_the_first_real_call_which_replaces_it() -> None:
    pace = Pace(sample_s=1.0)
    assert pace.seconds_per_token == pytest.approx(1.0 / TYPICAL_TOKENS)
    pace.measure(6.0, [beam(20, 10), beam(30)])
    assert pace.seconds_per_token == pytest.approx(0.1)


def test_later_calls_move_the_average_by_their_weight() -> None:
    pace = Pace(sample_s=1.0)
    pace.measure(1.0, [beam(10)])
    pace.measure(2.0, [beam(10)])
    assert pace.seconds_per_token == pytest.approx(0.1 + PACE_WEIGHT * 0.1)


def test_only_steps_without_a_score_count() -> None:
    pace = Pace(sample_s=1.0)
    pace.measure(1.0, [dataclasses.replace(beam(90, 10), scores=(0.5,))])
    assert pace.seconds_per_token == pytest.approx(0.1)


def test_beams_whose_tokens_are_not_told_count_as_typical_ones() -> None:
    pace = Pace(sample_s=1.0)
    pace.measure(4.0, [beam(0), beam(0)])
    assert pace.seconds_per_token == pytest.approx(2.0 / TYPICAL_TOKENS)


def test_a_verifier_that_takes_no_time_still_has_a_pace() -> None:
    assert Pace(sample_s=0.0).seconds_per_token > 0


def test_weights_begin_with_the_better_of_two_readings_of_a_typical_batch() -> None:
    num_reads = 0

    def read() -> None:
        nonlocal num_reads
        num_reads += 1

    pace = WeightsPace(read, 10, clock_of(0.4, 0.2))
    assert (pace.seconds_per_token, num_reads) == (pytest.approx(0.02), 2)


def test_a_slow_batch_of_weights_is_read_once() -> None:
    pace = WeightsPace(lambda: None, 10, clock_of(0.6))  # the clock has no more readings
    assert pace.seconds_per_token == pytest.approx(0.06)


def test_a_stall_moves_the_pace_of_weights_no_more_than_a_call_that_is_twice_as_slow() -> None:
    stalled, slow = (WeightsPace(lambda: None, 10, clock_of(0.1, 0.1)) for _ in range(2))
    stalled.measure(100.0, 10)
    slow.measure(0.2, 10)
    assert stalled.seconds_per_token == slow.seconds_per_token > 0.01


def test_a_call_that_read_nothing_says_nothing_of_weights() -> None:
    pace = WeightsPace(lambda: None, 10, clock_of(0.1, 0.1))
    pace.measure(1.0, 0)
    assert pace.seconds_per_token == pytest.approx(0.01)
