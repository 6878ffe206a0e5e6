"""Peak resident memory of this process. Every solve tells it, so reading it must cost next to nothing."""

import functools
import sys
from pathlib import Path

_ROUNDED_BYTES = 1 << 20
"""By how much the two counts that Linux keeps of one peak may differ."""


def peak_bytes() -> int | None:
    """Peak resident memory of this process; None where the system does not tell."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    peak = _most_bytes()
    return peak if peak > _inherited_bytes() else _high_water_bytes() or peak


def _most_bytes() -> int:
    """A microsecond's work, but on Linux a child begins with what its parent had when it was started."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


@functools.cache
def _inherited_bytes() -> int:
    """Up to here that count may be the parent's; 0 where it is this program's own."""
    own, most = _high_water_bytes(), _most_bytes()
    return 0 if own is None or own + _ROUNDED_BYTES >= most else most


def _high_water_bytes() -> int | None:
    """As Linux counts it since this program began; reading it takes 0.2 ms after a solve."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if found is None else int(found) * 1024
