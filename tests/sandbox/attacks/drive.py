"""Runs attacks in a pool, in a process of its own: `python -m sandbox.attacks.drive TIER`.

    <- the name of an attack, a line each
    -> {"flaws": [...]} a line each: what it gained, or what it spoilt; empty where it failed in every way
    -> {"flaws": [...]} once more after the last: what is left when the pool is closed

Only in such a process can its memory and its descendants be told from those of the tests. It needs nothing but the
standard library, as bait.py says.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import sys

from edgesearch.errors import EdgesearchError
from edgesearch.sandbox.pool import TrialPool
from edgesearch.sandbox.trial import LIMITS, Tested, Trial

from . import bait
from .attack import TOKEN, Attack, source
from .table import ATTACKS

_LIMITS = dataclasses.replace(LIMITS, cpu_s=1.0, wall_s=3.0)
_MAX_GROWTH_BYTES = 32 * 2**20
_INNOCENT = Trial("def double(n):\n    return 2 * n\n", ("double",), tests=("assert double(21) == 42",))


class Driver:
    """A pool, and what it looked like before the first attack."""

    def __init__(self, pool: TrialPool, lure: bait.Bait) -> None:
        self._pool, self._lure = pool, lure
        for _ in range(3):
            assert self._pool.run(_INNOCENT).is_passed
        self._num_usual = len(bait.descendants())
        self._peak_bytes = bait.peak_bytes()

    def flaws(self, attack: Attack) -> list[str]:
        """Everything that went wrong with one attack."""
        if attack.before:
            self._pool.run(self._trial(attack, attack.before))
        result = self._pool.run(self._trial(attack, attack.program))
        found = [flaw for tested in result.tested if (flaw := _flaw(attack, tested))]
        if len(result.tested) != len(attack.tests) or result.num_tests != len(attack.tests):
            found.append(f"{len(result.tested)} results of {len(attack.tests)} tests")
        found += self._lure.gains()
        if not (innocent := self._pool.run(_INNOCENT)).is_passed:
            found.append(f"the next program suffers: {innocent.reason}")
        if len(alive := bait.settled(self._num_usual)) > self._num_usual:
            found.append(f"{len(alive) - self._num_usual} more processes than before")
        grown = bait.peak_bytes() - self._peak_bytes
        if grown >= _MAX_GROWTH_BYTES:
            found.append(f"this process grew by {grown >> 20} MiB")
        return found

    def _trial(self, attack: Attack, program: str) -> Trial:
        """Its program with tests that expect what nobody can know."""
        token, number = f"tok-{secrets.token_hex(16)}", secrets.randbits(128)
        tests = (test.replace(TOKEN, repr(token)).replace("NUMBER", str(number)) for test in attack.tests)
        return Trial(source(attack, program, self._lure.where), ("f",), tests=tuple(tests), ends_early=False)


def _flaw(attack: Attack, tested: Tested) -> str:
    """What is wrong with a result."""
    if tested.status == "error":
        return f"the test is said to be at fault: {tested.reason}"
    if not attack.is_escape:
        return "a fake pass" if tested.status == "passed" else ""
    if tested.status == "passed":
        return ""
    is_ended = attack.may_die and not tested.reason.startswith("AssertionError")
    return "" if is_ended else tested.reason


def main(tier: str) -> None:
    """Says whether the pool works, then serves the names on stdin; the last line comes when all is cleared away."""
    bait.adopt()
    with bait.Bait() as lure:
        flaws = _serve(tier, lure)
    _tell(flaws)


def _serve(tier: str, lure: bait.Bait) -> list[str]:
    """What is left at the end; or why there is no pool."""
    num_before = len(bait.descendants())
    try:
        pool = TrialPool(tier, num_workers=1, limits=_LIMITS)
    except EdgesearchError as error:
        return [str(error)]
    with pool:
        driver = Driver(pool, lure)
        _tell([])
        for line in sys.stdin:
            _tell(driver.flaws(ATTACKS[line.strip()]))
    left = bait.settled(num_before)
    return [f"alive a second after the end: {sorted(left)}"] if len(left) > num_before else []


def _tell(flaws: list[str]) -> None:
    print(json.dumps({"flaws": flaws}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
