"""How many threads decode: the fast physical cores this process may use, or one for a model that fits a cache.

A decode of a tiny model takes about a tenth of a millisecond; handing work to a second thread at each of its barriers
costs more than the work (measured: 0.25 MB solver, one sequence, 0.09 ms with one thread, 2.7 ms with two).
"""

import os
import platform
import subprocess

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
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
