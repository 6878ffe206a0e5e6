"""How sure the solver was along a solution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.errors import UsageError
from edgesearch.search.confidence import grown, lowest_confidence, mean_logprob, threshold
from edgesearch.types import Beam, Certainty, Prompt, Step

ROOT = Beam(Prompt("2 + 2?"))


def step(*confidences: float, logprob: float = -1.0) -> Step:
    """A step with so many tokens of these confidences."""
    zeros = (0.0,) * len(confidences)
    certainty = Certainty(zeros, zeros, zeros, confidences)
    return Step("x\n\n", tuple(range(len(confidences))), logprob, "step", certainty=certainty)


def trace(*steps: Step) -> Beam:
    return ROOT.grown(steps)


@pytest.mark.parametrize(
    ("window", "expected"),
    [(1, 1.0), (2, 2.5), (3, 3.0), (4, 13 / 4), (6, 24 / 6), (7, 24 / 6), (2048, 24 / 6)],
)
def test_a_trace_is_as_confident_as_its_least_confident_window_whatever_its_steps(window: int, expected: float) -> None:
    confidences = (6.0, 5.0, 4.0, 1.0, 4.0, 4.0)
    for cut in range(1, len(confidences)):
        beam = trace(step(*confidences[:cut]), step(*confidences[cut:]))
        assert lowest_confidence(beam, window) == pytest.approx(expected)


@settings(deadline=None)
@given(st.lists(st.floats(0, 30), min_size=1, max_size=40), st.integers(1, 50))
def test_the_lowest_window_is_the_one_that_the_authors_code_finds(confidences: list[float], window: int) -> None:
    # As compute_least_grouped of github.com/facebookresearch/deepconf, without its rounding to three places.
    if len(confidences) < window:
        means = [sum(confidences) / len(confidences)]
    else:
        means = [sum(confidences[i : i + window]) / window for i in range(len(confidences) - window + 1)]
    assert lowest_confidence(trace(step(*confidences)), window) == pytest.approx(min(means), abs=1e-9)


def test_a_trace_without_certainty_is_refused_with_what_to_do() -> None:
    silent = Step("x", (1,), -1.0, "stop")
    with pytest.raises(UsageError, match="this engine does not tell it; use --strategy majority"):
        lowest_confidence(trace(step(1.0), silent), 4)


@settings(deadline=None)
@given(st.lists(st.floats(0, 30), min_size=1, max_size=40), st.floats(0.01, 1))
def test_the_threshold_is_the_percentile_that_the_authors_code_takes(confidences: list[float], keep: float) -> None:
    expected = np.percentile(confidences, (1 - keep) * 100)
    assert threshold(confidences, keep) == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(0, 30), min_size=1, max_size=40), st.floats(0.01, 1))
def test_at_least_one_trace_reaches_the_threshold_and_with_a_share_of_one_all_do(
    confidences: list[float], keep: float
) -> None:
    assert max(confidences) >= threshold(confidences, keep) >= min(confidences)
    assert threshold(confidences, 1.0) == min(confidences)


def test_a_tenth_of_sixteen_traces_is_two() -> None:
    bar = threshold([float(number) for number in range(16)], 0.1)
    assert [number for number in range(16) if number >= bar] == [14, 15]


def test_a_mean_log_probability_is_that_of_the_tokens_beyond_the_beam_it_grew_from() -> None:
    before = trace(step(1, 1, logprob=-5.0))
    assert mean_logprob(before, ROOT) == -2.5
    assert mean_logprob(before.grown((step(1, 1, 1, 1, logprob=-2.0),)), before) == -0.5


def test_the_tokens_of_a_blank_ending_count_as_drawn() -> None:
    before = trace(step(1, 1, logprob=-5.0))
    ended = before.grown((Step("", (0,), -0.25, "stop"),))
    assert len(ended.steps) == 1
    assert mean_logprob(ended, before) == -0.25
    assert grown([ended], before) == [ended]


def test_a_beam_that_had_no_room_for_a_token_did_not_grow() -> None:
    before = trace(step(1, 1))
    after = before.grown((step(1),))
    assert grown([before, after, before], before) == [after]


def test_an_engine_that_does_not_tell_its_tokens_is_refused_with_what_to_do() -> None:
    silent = trace(Step("x\n\n", (), -1.0, "step"))
    with pytest.raises(UsageError, match="does not tell how many a step has; use --strategy majority"):
        mean_logprob(silent, ROOT)
