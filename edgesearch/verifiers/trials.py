"""What verifiers that try programs share: a pool of sandboxed workers and what it takes to use one.

Not covered: what is made of the results (unit_tests.py, agreement.py), the pool itself (sandbox/pool.py).
"""

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from edgesearch.budget import Clock
from edgesearch.errors import SandboxUnavailable
from edgesearch.sandbox import trial
from edgesearch.sandbox.base import SandboxInfo
from edgesearch.sandbox.trial import Trial, TrialResult, setup_of
from edgesearch.types import CodeSpec

LIMITS = dataclasses.replace(trial.LIMITS, wall_s=5.0, cpu_s=1.0)
"""Of each process of a trial: less than a grader gives, since a search waits for it."""
_END_S = 0.02
"""That ending the workers takes at most, usually."""
_SAMPLE = Trial("def f(x):\n    return x + 1\n", ("f",), tuple(f"assert f({x}) == {x + 1}" for x in range(10)))


class Pool(Protocol):
    """What a verifier needs of a `TrialPool`."""

    @property
    def info(self) -> SandboxInfo:
        """The sandbox in use."""
        ...

    def run_all(self, trials: Iterable[Trial], *, until_s: float = math.inf) -> Iterator[TrialResult]:
        """Results in the order of the trials; those that are not there by that moment of `time.monotonic` are cut."""
        ...

    def close(self) -> None:
        """Ends all workers; safe to call twice."""
        ...


def opened(sandbox: str) -> Pool:
    """A new pool whose workers have started.

    Args:
        sandbox: as in `TrialPool`.

    Raises:
        SandboxUnavailable: the sandbox does not work here.
        UsageError: there is no such sandbox.
    """
    from edgesearch.sandbox.pool import TrialPool

    pool = TrialPool(sandbox, limits=LIMITS)
    try:
        try_sample(pool, pool.num_workers)
    except BaseException:
        pool.close()
        raise
    return pool


def try_sample(pool: Pool, times: int = 1) -> None:
    """Tries a small program that is right.

    Raises:
        SandboxUnavailable: it fails.
    """
    for result in pool.run_all([_SAMPLE] * times):
        if not result.is_passed:  # no program could pass then, and all would be called wrong
            raise SandboxUnavailable(f"a right program fails in the sandbox {pool.info.name}: {result.reason}")


def sample_s(pool: Pool, clock: Clock) -> float:
    """Seconds that a small program takes.

    Raises:
        SandboxUnavailable: it fails.
    """
    started = clock()
    try_sample(pool)
    return clock() - started


def device(pool: Pool) -> str:
    """Where a verifier with this pool runs."""
    return f"cpu, sandbox {pool.info.name}"


def cautions(pool: Pool) -> tuple[str, ...]:
    """What a user should know of the sandbox: a sentence where it does not isolate."""
    return () if pool.info.is_isolating else (f"the programs that are tried are not isolated: {pool.info.caution}",)


def give_up_at(seconds: float) -> float:
    """When to give trials up that may take so long from now on, by `time.monotonic`: ending workers takes a little."""
    return time.monotonic() + max(0.0, seconds - _END_S)


def every_test(code: CodeSpec, program: str, tests: Sequence[str]) -> Trial:
    """The trial of a program on tests, none of which is skipped."""
    return Trial(program, code.functions, tuple(tests), setup=setup_of(code.prefix), ends_early=False)
