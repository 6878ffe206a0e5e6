"""What verifiers that try programs share: a pool of sandboxed workers and what it takes to use one.

Not covered: what is made of the results (unit_tests.py, agreement.py), the pool itself (sandbox/pool.py).
"""

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from edgesearch.budget import Clock
from edgesearch.errors import SandboxUnavailable
from edgesearch.sandbox import trial
from edgesearch.sandbox.base import SandboxInfo
from edgesearch.sandbox.trial import Trial, TrialResult, setup_of
from edgesearch.types import CodeSpec
from edgesearch.verifiers.base import VerifierInfo
from edgesearch.verifiers.pace import Pace

LIMITS = dataclasses.replace(trial.LIMITS, wall_s=5.0, cpu_s=1.0)
"""Of each process of a trial: less than a grader gives, since a search waits for it."""
_END_S = 0.02
"""That ending the workers takes at most, usually."""
_SAMPLE = Trial("def f(x):\n    return x + 1\n", ("f",), tuple(f"assert f({x}) == {x + 1}" for x in range(10)))


Opened = TypeVar("Opened")
"""What a verifier keeps of a problem that is open."""


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


def cautions(pool: Pool) -> tuple[str, ...]:
    """What a user should know of the sandbox: a sentence where it does not isolate."""
    return () if pool.info.is_isolating else (f"the programs that are tried are not isolated: {pool.info.caution}",)


def give_up_at(seconds: float) -> float:
    """When to give trials up that may take so long from now on, by `time.monotonic`: ending workers takes a little."""
    return time.monotonic() + max(0.0, seconds - _END_S)


def every_test(code: CodeSpec, program: str, tests: Sequence[str]) -> Trial:
    """The trial of a program on tests, none of which is skipped."""
    return Trial(program, code.functions, tuple(tests), setup=setup_of(code.prefix), ends_early=False)


class ProgramVerifier(Generic[Opened]):
    """The part of `Verifier` that all have that try programs: a pool, its pace, and the problems that are open."""

    def __init__(self, info: VerifierInfo, pool: Pool | None, sandbox: str, clock: Clock) -> None:
        """Finds a sandbox and starts its workers.

        Args:
            info: what it is; the sandbox is filled in.
            pool: runs the programs, and is closed with this; None for a new one.
            sandbox: of a new one, as in `TrialPool`.
            clock: what `seconds_per_token` is measured by.

        Raises:
            SandboxUnavailable: the sandbox does not work here; says what to do.
            UsageError: there is no such sandbox.
        """
        self._pool = opened(sandbox) if pool is None else pool
        self._pace, self._clock = Pace(sample_s(self._pool, clock)), clock
        self._info = dataclasses.replace(info, sandbox=self._pool.info.name)
        self._problems: dict[int, Opened] = {}
        """By the id of the problem's own prompt."""

    @property
    def info(self) -> VerifierInfo:
        """What it is, and the sandbox that it found."""
        return self._info

    @property
    def seconds_per_token(self) -> float:
        """Seconds per solution token: of a small program at load, then of real ones, the newer the more."""
        return self._pace.seconds_per_token

    def release(self, nodes: Iterable[int]) -> None:
        """Forgets what is known of these prompts' programs; nothing is kept under other nodes."""
        for node in nodes:
            self._problems.pop(node, None)

    def close(self) -> None:
        """Ends the pool; safe to call twice."""
        self._problems.clear()
        self._pool.close()

    def _opened(self, prompt_id: int) -> Opened:
        if prompt_id not in self._problems:
            raise ValueError(f"prompt {prompt_id} is not open; call open() before judge()")
        return self._problems[prompt_id]
