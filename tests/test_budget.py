"""A budget is read from text, starts a deadline, and the deadline tells the time it is asked with."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.budget import MAX_BUDGET_S, Budget, Deadline, ManualClock, parse_duration
from edgesearch.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("10s", 10),
        ("10", 10),
        ("2m", 120),
        ("1h", 3600),
        ("24h", 86400),
        ("86400", 86400),
        ("0.3", 0.3),
        (".5s", 0.5),
        ("5.", 5),
        ("1.5 m", 90),
        ("  10 s  ", 10),
        ("007s", 7),
        ("0.001ms", 1e-6),
    ],
)
def test_a_duration_is_read_in_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "abc", "-1", "-1s", "+1s", "1e3", "nan", "inf", "NaN s", "10S", "10sec", "1d", "1,5s", "1_0s"),
        *("s", "ms", ".", ".s", "1..5s", "1s 2m", "10s\x00", "0x10", "٣s", "１０s", "²s", "10\u2009s", "½s", "10ｓ"),
    ],
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration; write it as 500ms, 10s or 2m"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["0", "0s", "0.0ms", "24.01h", "86401", "1000000000h", "9" * 400, "0." + "0" * 400 + "1"]
)
def test_a_duration_out_of_range_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(UsageError, match="more than 0 s and at most 24 h"):
        parse_duration(text)


def test_a_very_long_text_is_refused_at_once() -> None:
    with pytest.raises(UsageError):
        parse_duration(" " * 100_000 + "x")


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, -math.inf, MAX_BUDGET_S * 1.001])
def test_a_budget_out_of_range_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="budget must be more than 0 s") as caught:
        Budget(seconds)
    assert caught.value.exit_code == 2


@settings(deadline=None)
@given(st.integers(1, 86_399_999), st.sampled_from(["", " ", "\t"]))
def test_any_number_of_milliseconds_is_the_same_in_every_unit(milliseconds: int, space: str) -> None:
    seconds = milliseconds / 1000
    for number, unit in (
        (milliseconds, "ms"),
        (seconds, "s"),
        (seconds, ""),
        (seconds / 60, "m"),
        (seconds / 3600, "h"),
    ):
        assert parse_duration(f"{number:.15f}{space}{unit}") == pytest.approx(seconds, rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=300)
@given(st.text() | st.text("0123456789.smh -+einf", max_size=12))
def test_any_text_is_a_duration_in_range_or_a_usage_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except UsageError:
        return
    assert 0 < seconds <= MAX_BUDGET_S


# -- deadlines ---------------------------------------------------------------------------------------------------------


def test_a_deadline_counts_down_from_the_moment_its_budget_starts() -> None:
    clock = ManualClock()
    clock.advance(100)
    deadline = Budget(10).start(clock)
    assert (deadline.remaining(), deadline.elapsed(), deadline.expired()) == (10, 0, False)
    clock.advance(4)
    assert (deadline.remaining(), deadline.elapsed(), deadline.expired()) == (6, 4, False)
    clock.advance(6)
    assert (deadline.remaining(), deadline.elapsed(), deadline.expired()) == (0, 10, True)
    clock.advance(1)
    assert (deadline.remaining(), deadline.elapsed()) == (-1, 11)


def test_a_cancelled_deadline_is_over_at_once_and_still_tells_the_time_spent() -> None:
    clock = ManualClock()
    deadline = Budget(10).start(clock)
    clock.advance(2)
    deadline.cancel()
    deadline.cancel()
    assert (deadline.remaining(), deadline.elapsed(), deadline.expired()) == (-math.inf, 2, True)
    assert deadline.cancelled


def test_a_deadline_that_ran_out_was_not_cancelled() -> None:
    clock = ManualClock()
    deadline = Budget(1).start(clock)
    clock.advance(2)
    assert deadline.expired()
    assert not deadline.cancelled


def test_an_earlier_deadline_keeps_time_back_and_is_cancelled_with_the_whole() -> None:
    clock = ManualClock()
    deadline = Budget(10).start(clock)
    earlier = deadline.earlier(3)
    clock.advance(7)
    assert earlier.expired()
    assert deadline.remaining() == 3
    deadline.cancel()
    assert earlier.cancelled
    assert earlier.remaining() == -math.inf


def test_cancelling_an_earlier_deadline_ends_the_whole() -> None:
    deadline = Budget(10).start(ManualClock())
    deadline.earlier(3).cancel()
    assert deadline.expired()


def test_deadlines_are_cancelled_one_by_one() -> None:
    clock = ManualClock()
    first, second = Budget(10).start(clock), Budget(10).start(clock)
    first.cancel()
    assert not second.cancelled


def test_another_thread_can_cancel_a_deadline() -> None:
    deadline = Budget(60).start()
    thread = threading.Thread(target=deadline.cancel)
    thread.start()
    thread.join()
    assert deadline.expired()


def test_by_default_a_deadline_runs_on_a_clock_that_never_goes_back() -> None:
    deadline = Budget(60).start()
    assert isinstance(deadline, Deadline)
    assert 0 <= deadline.elapsed() < 60
    assert 0 < deadline.remaining() <= 60
