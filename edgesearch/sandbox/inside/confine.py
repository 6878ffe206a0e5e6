"""What a forked process gives up before it runs a line of what it was forked for.

The sandbox around it keeps files and networks away already; this adds limits of its own, a list of the few system calls
that computing needs, and a wall towards its siblings: it can neither trace, signal nor read another process.

Not covered: the sandbox around it (edgesearch/sandbox/worker_tiers.py).
"""

import os
import sys
from dataclasses import dataclass

from .. import kernel


@dataclass(frozen=True)
class Bounds:
    """What a forked process may spend."""

    cpu_s: int
    memory_bytes: int
    file_bytes: int
    num_files: int


@dataclass(frozen=True)
class Walls:
    """What it cannot do."""

    seccomp: bytes
    """The filter of its calls; empty for none."""
    is_isolated: bool
    """Whether it gives up files and siblings as well; no only where a user asked for no sandbox."""


def confine(parent: int, bounds: Bounds, walls: Walls) -> None:
    """Gives it up.

    Raises:
        OSError: the kernel refuses; the process must end then.
    """
    _limit(bounds)
    if sys.platform != "linux":
        return
    kernel.end_with(parent)
    if walls.is_isolated:
        kernel.keep_privileges_out()
        if kernel.landlock_version():
            kernel.restrict_files(readable=None, writable=[])
    if walls.seccomp:
        kernel.filter_calls(walls.seccomp)


def leave_only(fds: list[int]) -> None:
    """Closes all other files; the standard streams lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    kept = sorted({0, 1, 2, *fds})
    for low, high in zip(kept, [*kept[1:], None], strict=True):
        os.closerange(low + 1, high if high is not None else os.sysconf("SC_OPEN_MAX"))


def _limit(bounds: Bounds) -> None:
    import resource  # not on Windows

    wanted = {
        resource.RLIMIT_CPU: bounds.cpu_s,
        resource.RLIMIT_FSIZE: bounds.file_bytes,
        resource.RLIMIT_NOFILE: bounds.num_files,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":
        wanted[resource.RLIMIT_AS] = bounds.memory_bytes
    elif sys.platform == "darwin":
        wanted[resource.RLIMIT_NPROC] = 0  # no filter of calls keeps it from forking there
    for number, value in wanted.items():
        most = resource.getrlimit(number)[1]
        lowered = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(number, (lowered, lowered))  # both: the signal at the first could be ignored
