"""The benchmark of killed runs kills, resumes and finds nothing lost."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.skipif("sys.platform == 'win32'", reason="a killed run's worker is told by POSIX means")
def test_a_killed_run_is_whole(run_quickly: Callable[..., tuple[dict[str, Any], str]]):
    result, _ = run_quickly("kill.py")
    figures = result["figures"]
    assert result["benchmark"] == "kill"
    assert (figures["num_kills"], sum(figures["points"].values())) == (2, 2)
    assert [figures[name] for name in ("num_lost", "num_twice", "num_workers_left", "num_different")] == [0] * 4
    assert figures["is_whole"]
