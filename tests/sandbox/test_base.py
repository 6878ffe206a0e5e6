"""Limits and endings."""

from __future__ import annotations

import math

import pytest

from edgesearch.sandbox.base import Completed, Limits


@pytest.mark.parametrize("name", ["wall_s", "cpu_s", "memory_bytes", "file_bytes", "output_bytes", "num_files"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_a_limit_that_is_none_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a number > 0"):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit status 0"), (2, "exit status 2"), (-9, "signal SIGKILL"), (-99, "signal 99")]
)
def test_an_ending_is_told_in_words(code: int, words: str) -> None:
    assert Completed(code, b"", b"", 0.1, 0.1, is_timed_out=False, is_output_cut=False).ending == words
