"""Which sandbox works here: found out by running something in each and looking at what it could do.

A file that exists proves nothing: `bwrap` is often installed where the kernel or a container forbids what it needs. So
each tier, strongest first, runs a small program that tries to write a file of ours, to reach a server of ours and to
signal us; an isolating tier counts only where all three fail. Takes about a tenth of a second for each tier, once.

Not covered: whether the kernel itself has holes.
"""

import functools
import os
import socket
import sys
import tempfile
from pathlib import Path

from edgesearch.errors import SandboxUnavailable
from edgesearch.sandbox.base import Limits, Sandbox
from edgesearch.sandbox.tiers import TIERS

FIX = (
    "on Linux install bubblewrap (apt install bubblewrap) and let users make namespaces, or use kernel 6.2 or newer "
    "with Landlock; on Windows use WSL2; on macOS there is none yet"
)
_ATTEMPTS = """
import os, socket, sys
def write(): open(sys.argv[1], "w").close()
def connect(): socket.create_connection(("127.0.0.1", int(sys.argv[2])), 2).close()
def signal(): os.kill(int(sys.argv[3]), 0)
for attempt in (write, connect, signal):
    try: attempt()
    except OSError: continue
    print(attempt.__name__)
print("end")
"""
_LIMITS = Limits(wall_s=20.0, cpu_s=5.0)


def find(*, must_isolate: bool = False) -> Sandbox:
    """The strongest tier that works on this machine.

    Raises:
        SandboxUnavailable: none works; or one must isolate, and none that works does.
    """
    names = [name for name, tier in TIERS.items() if tier.info.is_isolating or not must_isolate]
    for name in names:
        if flaw(name) is None:
            return TIERS[name]
    reasons = "; ".join(f"{name}: {flaw(name)}" for name in names)
    raise SandboxUnavailable(f"no sandbox that isolates works on this machine ({reasons}); {FIX}")


@functools.cache
def flaw(name: str) -> str | None:
    """Why the tier of that name is of no use on this machine; None where it works. Found out once a process."""
    tier = TIERS[name]
    if not tier.is_possible():
        return "not on this machine"
    try:
        seen = _seen(tier)
    except (SandboxUnavailable, OSError) as error:
        return str(error)
    if seen[-1:] != ["end"]:
        return f"a program in it fails: {' '.join(seen)[-200:]}"
    return f"a program in it can {' and '.join(seen[:-1])}" if tier.info.is_isolating and seen[:-1] else None


def _seen(sandbox: Sandbox) -> list[str]:
    """The attempts that succeeded in it, then `end`; or how it failed."""
    with tempfile.TemporaryDirectory() as ours, socket.create_server(("127.0.0.1", 0)) as server:
        target = Path(ours) / "written"
        port, pid = server.getsockname()[1], os.getpid()
        argv = [sys.executable, "-I", "-S", "-c", _ATTEMPTS, str(target), str(port), str(pid)]
        done = sandbox.run(argv, stdin=b"", limits=_LIMITS)
    if done.exit_code != 0:
        return [done.ending, done.stderr.decode(errors="replace")]
    return done.stdout.decode(errors="replace").split()
