"""How many threads decode: the fast physical cores this process may use, or one for a model that fits a cache.

A decode of a tiny model takes about a tenth of a millisecond; handing work to a second thread at each of its barriers
costs more than the work (measured: 0.25 MB solver, one sequence, 0.09 ms with one thread, 2.7 ms with two).
"""

import os
import platform
import subprocess
from pathlib import Path

_ONE_THREAD_BYTES = 24 << 20


def for_model(size_bytes: int) -> int:
    """Threads for a model of that size."""
    return 1 if size_bytes < _ONE_THREAD_BYTES else usable_cores()


def usable_cores() -> int:
    """Physical cores (performance cores on Apple silicon) that this process may run on; at least 1."""
    import psutil

    physical = _apple_performance_cores() or psutil.cpu_count(logical=False) or 1
    return max(1, min(physical, _allowed_cpus()))


def _allowed_cpus() -> int:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus, _container_quota(Path("/sys/fs/cgroup/cpu.max")) or cpus)


def _container_quota(file: Path) -> int | None:
    """Whole CPUs that a Linux control group grants; None for no limit. More threads than that wait for each other."""
    try:
        quota, period = file.read_text(encoding="ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):  # not Linux, another version of the interface, or "max"
        return None


def _apple_performance_cores() -> int | None:
    if platform.system() != "Darwin":
        return None
    try:
        text = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "hw.perflevel0.physicalcpu"],
            capture_output=True,
            text=True,
            timeout=2,
            check=True,
        ).stdout
        return int(text)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
