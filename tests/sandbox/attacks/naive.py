"""A harness as many are: program and tests in one interpreter, no sandbox, and exit status 0 for a pass.

    python -m sandbox.attacks.naive NAME

It shows that an attack does what it says where nothing stops it: its own exit status is 0 where the attack succeeds.
Only attacks that do no harm may be run so (`fires`). What they started is ended.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys

from . import bait
from .attack import TOKEN, Attack, source
from .table import ATTACKS

_ALONE = "--alone"
_FAILED = 1


def supervise(attack: Attack) -> int:
    """Runs it in a process of its own; 0 where it succeeds."""
    bait.adopt()
    with bait.Bait() as lure:
        ours = bait.descendants()
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.naive", _ALONE, attack.name], stdin=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        with process.stdin as told:
            json.dump(lure.where, told)
        status = process.wait(timeout=60)
        gains = lure.gains()
        left = bait.descendants() - ours
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        if gains or left:
            print("gained:", gains, "left alive:", len(left))
        return 0 if gains or left else status


def run(attack: Attack) -> int:
    """Runs it here; what it does to this process is its success."""
    where = json.load(sys.stdin)
    names: dict[str, object] = {"__name__": "naive"}
    token, number = f"tok-{secrets.token_hex(16)}", secrets.randbits(128)
    tests = [test.replace(TOKEN, repr(token)).replace("NUMBER", str(number)) for test in attack.tests]
    for program in (attack.before, attack.program):
        exec(source(attack, program, where), names)
    for test in tests:
        try:
            exec(test, names)
        except Exception as error:
            print(error)
            if attack.is_escape and isinstance(error, AssertionError):
                return 0
            continue
        if not attack.is_escape:
            return 0
    return _FAILED


if __name__ == "__main__":
    chosen = ATTACKS[sys.argv[-1]]
    assert chosen.fires, "it may do harm"
    sys.exit(run(chosen) if _ALONE in sys.argv else supervise(chosen))
