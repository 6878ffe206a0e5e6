"""Which sandbox works here: found out by running something in each and looking at what it could do.

A file that exists proves nothing: `bwrap` is often installed where the kernel or a container forbids what it needs. So
each tier, strongest first, runs a small program that tries to write a file of ours, to reach a server of ours and to
signal us; an isolating tier counts only where all three fail. Takes about a tenth of a second for each tier, once.

Programs that a model wrote have tiers of their own (worker_tiers.py), which also keep our files from being read and
processes from being made; the same is done there.

Not covered: whether the kernel itself has holes.
"""

import functools
import os
import socket
import sys
import tempfile
from pathlib import Path

from edgesearch.errors import SandboxUnavailable, UsageError
from edgesearch.sandbox.base import Limits, Sandbox
from edgesearch.sandbox.tiers import TIERS
from edgesearch.sandbox.trial import Trial
from edgesearch.sandbox.worker import Worker, WorkerLost
from edgesearch.sandbox.worker_tiers import WORKER_TIERS, WorkerTier

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
ALLOW_NONE = "EDGESEARCH_ALLOW_UNSANDBOXED"
"""The environment variable that must be 1 for programs to be run without a sandbox."""
AUTO, NONE = "auto", "none"
_PROGRAM = """
import os, socket
def write(path, port, pid): open(path, "w").close()
def read(path, port, pid): open(path).close()
def connect(path, port, pid): socket.create_connection(("127.0.0.1", port), 2).close()
def signal(path, port, pid): os.kill(pid, 0)
def fork(path, port, pid): os.fork() or os._exit(0)
def gained(*what):
    found = []
    for attempt in (write, read, connect, signal, fork):
        try: attempt(*what)
        except OSError: continue
        found.append(attempt.__name__)
    return found
"""


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


def find_for_programs(name: str = AUTO) -> WorkerTier:
    """The tier of that name for programs that a model wrote, or the strongest that isolates and works here.

    Raises:
        SandboxUnavailable: it does not work on this machine, or none does; says what to do.
        UsageError: there is no such tier.
    """
    if name == AUTO:
        return _strongest()
    if name not in WORKER_TIERS:
        raise UsageError(f"there is no sandbox {name!r}; known are {', '.join((AUTO, *WORKER_TIERS))}")
    if name == NONE and os.environ.get(ALLOW_NONE) != "1":
        raise SandboxUnavailable(
            f"without a sandbox, programs that a model wrote have your rights to files and networks; set "
            f"{ALLOW_NONE}=1 as well if this machine may be lost, or leave --sandbox out"
        )
    if (reason := flaw_for_programs(name)) is not None:
        raise SandboxUnavailable(f"the sandbox {name} does not work here ({reason}); {WORKER_TIERS[name].fix}")
    return WORKER_TIERS[name]


def _strongest() -> WorkerTier:
    names = [name for name, tier in WORKER_TIERS.items() if tier.info.is_isolating]
    for name in names:
        if flaw_for_programs(name) is None:
            return WORKER_TIERS[name]
    reasons = "; ".join(f"{name}: {flaw_for_programs(name)}" for name in names)
    raise SandboxUnavailable(f"no sandbox for programs that a model wrote works on this machine ({reasons}); {FIX}")


@functools.cache
def flaw_for_programs(name: str) -> str | None:
    """Why the tier of that name cannot run programs on this machine; None where it can. Found out once a process."""
    tier = WORKER_TIERS[name]
    if not tier.is_possible():
        return "not on this machine"
    try:
        worker = Worker(tier)
    except SandboxUnavailable as error:
        return str(error)
    try:
        return _gained(worker, tier)
    except WorkerLost:
        return "it ends when it is to run a program"
    finally:
        worker.close()


def _gained(worker: Worker, tier: WorkerTier) -> str | None:
    """What a program in it can do that it should not, or why it runs none."""
    with tempfile.TemporaryDirectory() as ours, socket.create_server(("127.0.0.1", 0)) as server:
        target = Path(ours) / "ours"
        target.touch(0o666)
        what = (str(target), server.getsockname()[1], os.getpid())
        expected = "assert not found, found" if tier.info.is_isolating else "assert type(found) is list"
        test = f"found = gained(*{what!r})\n{expected}"
        tested, _, _ = worker.run(Trial(_PROGRAM, ("gained",), (test,)), 0, _LIMITS)
    return None if tested[0].status == "passed" else f"a program in it: {tested[0].reason}"


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
