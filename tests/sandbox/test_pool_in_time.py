"""A pool gives trials up when nobody waits any longer, and is of use afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from edgesearch.errors import SandboxUnavailable
from edgesearch.sandbox import probe
from edgesearch.sandbox.pool import TrialPool
from edgesearch.sandbox.trial import Trial

RIGHT = Trial("def add(a, b):\n    return a + b\n", ("add",), ("assert add(1, 2) == 3",))
ENDLESS = Trial("def add(a, b):\n    while True: pass\n", ("add",), ("assert add(1, 2) == 3",) * 2, ends_early=False)


@pytest.fixture(scope="module")
def pool() -> Iterator[TrialPool]:
    try:
        probe.find_for_programs()
    except SandboxUnavailable as error:
        pytest.skip(f"needs a sandbox: {error}")
    with TrialPool(num_workers=2) as made:
        yield made


def test_a_program_that_does_not_end_is_given_up_and_nothing_is_said_of_it(pool: TrialPool) -> None:
    result = pool.run(ENDLESS, until_s=time.monotonic() + 0.3)
    assert result.is_cut
    assert not result.is_passed
    assert result.reason == "there was no time left to wait for it"
    assert pool.run(RIGHT).is_passed


def test_what_has_not_begun_by_then_is_not_begun(pool: TrialPool) -> None:
    assert pool.run(RIGHT, until_s=time.monotonic() - 1.0).is_cut


def test_of_several_those_that_ended_count_and_the_others_are_cut(pool: TrialPool) -> None:
    pool.run(RIGHT)  # so that a worker is warm
    results = list(pool.run_all([RIGHT, *[ENDLESS] * 4], until_s=time.monotonic() + 1.0))
    assert [result.is_cut for result in results] == [False, True, True, True, True]
    assert results[0].is_passed
    assert not any(result.is_cut for result in pool.run_all([RIGHT] * 4))
