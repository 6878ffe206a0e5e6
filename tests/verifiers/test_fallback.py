"""Solutions without a verdict: an error, or a score that is told."""

from __future__ import annotations

import math

import pytest

from edgesearch.errors import ContextOverflow, UsageError
from edgesearch.verifiers.fallback import Fallback, NoVerdict


def test_without_a_score_a_failure_is_an_error_of_its_own_class_that_says_what_to_do() -> None:
    with pytest.raises(NoVerdict, match=r"verifier mine has no verdict on a solution: it broke; .*on_failure"):
        Fallback(None).score("mine", NoVerdict("it broke"))
    with pytest.raises(ContextOverflow, match="too long"):
        Fallback(None).score("mine", ContextOverflow("too long"))


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_each_use_of_a_score_is_counted_and_the_first_reason_told(score: float) -> None:
    fallback = Fallback(score)
    assert fallback.warnings == ()
    assert fallback.score("mine", NoVerdict("it broke")) == score
    assert fallback.warnings == (f"1 solution so far got the fallback score {score} for want of a verdict: it broke",)
    fallback.score("mine", NoVerdict("it broke again"))
    assert fallback.warnings == (f"2 solutions so far got the fallback score {score} for want of a verdict: it broke",)


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan, math.inf])
def test_a_score_out_of_range_is_a_usage_error(score: float) -> None:
    with pytest.raises(UsageError, match="on_failure must be a score in"):
        Fallback(score)
