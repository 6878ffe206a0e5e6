"""Joules, where the machine counts them: RAPL on Linux (Intel and AMD processors), NVML for NVIDIA's GPUs.

    meter = find()
    before = meter.read_joules()
    ...
    joules = spent(before, meter.read_joules())

What is counted is the whole machine: every program on it, and what it draws when it does nothing. So the figure of a
unit means something on a machine that is otherwise idle, while one unit is solved at a time. RAPL counts processor
packages and, where the processor tells it, their memory; NVML counts every GPU. Nothing counts disks, fans, the screen
or the power supply's losses. RAPL's counters move about once a millisecond and NVML's some ten times a second, so
figures of short units are good as means, not one by one.

RAPL's counters can be read by root only since CVE-2020-8694 (a program could spy on others by them). Until the next
start of the machine, `sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj` lets everybody read them.

Not covered: macOS (only root may ask, with powermetrics) and the processor on Windows: nothing is counted there, and
nothing is estimated in its place.

Sources: https://docs.kernel.org/power/powercap/powercap.html, https://docs.nvidia.com/deploy/nvml-api
"""

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

POWERCAP = Path("/sys/class/powercap")
NO_COUNTERS = "no counter of energy was found"


class EnergyMeter(Protocol):
    """Something to read before and after."""

    @property
    def description(self) -> str:
        """What is counted and what is not, for people."""
        ...

    def read_joules(self) -> float | None:
        """Joules since some moment in the past; None where they are not counted."""
        ...


class Counter(Protocol):
    """One of the machine's counters."""

    name: str

    def read_joules(self) -> float:
        """Joules since some moment in the past.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        ...


class Counters:
    """Implements `EnergyMeter`: the sum of counters, or nothing where there are none."""

    def __init__(self, counters: Sequence[Counter], reasons: Sequence[str] = ()) -> None:
        """Makes one.

        Args:
            counters: that can be read, and of which none counts what another does.
            reasons: why others are not among them, for people.
        """
        self._counters = tuple(counters)
        named = ", ".join(counter.name for counter in counters)
        why_not = "; ".join(reasons)
        self.description = "; ".join(filter(None, (named, why_not))) if named else f"not counted: {why_not}"

    def read_joules(self) -> float | None:
        """See `EnergyMeter`; None also where one of the counters fails: a part of the sum would look like a saving."""
        if not self._counters:
            return None
        try:
            return sum(counter.read_joules() for counter in self._counters)
        except (OSError, ValueError):
            return None


def spent(before: float | None, after: float | None) -> float | None:
    """Joules between two readings; None where either is missing, or a counter began anew between them."""
    if before is None or after is None or after < before:
        return None
    return after - before


def find(powercap: Path = POWERCAP, library: Callable[[], Any] | None = None) -> Counters:
    """The counters that this machine has and this user may read.

    Args:
        powercap: the kernel's folder of counters.
        library: loads NVML; None for the driver's own.
    """
    found = [*_rapl(powercap), *_nvidia(library or _nvml)]
    counters = [each for each in found if not isinstance(each, str)]
    reasons = list(dict.fromkeys(each for each in found if isinstance(each, str)))
    return Counters(counters, reasons if found else [NO_COUNTERS])


# ---------------------------------------------------------------------------------------------------------------- RAPL


class RaplDomain:
    """A counter of the processor: microjoules in a file, from 0 again after its range."""

    def __init__(self, folder: Path, name: str) -> None:
        """Reads it once.

        A counter runs full after some 5 minutes (a server under load) to some hours (a laptop), which is seen where it
        is read in between; two times between readings look like one.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        self.name = f"{name} (RAPL)"
        self._file = folder / "energy_uj"
        self._range_uj = _whole(folder / "max_energy_range_uj")
        if self._range_uj == 0:
            raise ValueError("a counter without a range")
        self._last_uj = _whole(self._file)
        self._before_uj = 0

    def read_joules(self) -> float:
        """See `Counter`."""
        now_uj = _whole(self._file)
        if now_uj < self._last_uj:
            self._before_uj += self._range_uj
        self._last_uj = now_uj
        return (self._before_uj + now_uj) / 1e6


def _rapl(powercap: Path) -> Iterator[Counter | str]:
    """The domains, or why they cannot be used."""
    for folder in sorted(powercap.glob("intel-rapl:*")):  # AMD's have this name too
        try:
            name = (folder / "name").read_text(encoding="utf-8").strip()
            # `core` and `uncore` are parts of the package, and `psys` is the package and more.
            if name.startswith("package") or name == "dram":
                yield RaplDomain(folder, name)
        except PermissionError:
            yield f"the processor's counters can be read by root only: sudo chmod a+r {powercap}/intel-rapl:*/energy_uj"
        except (OSError, ValueError) as error:
            yield f"{folder.name} cannot be read ({error})"


def _whole(path: Path) -> int:
    value = int(path.read_bytes())
    if value < 0:
        raise ValueError(f"{path.name} is {value}")
    return value


# ---------------------------------------------------------------------------------------------------------------- NVML


class NvmlGpu:
    """A GPU's counter: millijoules since its driver was loaded."""

    def __init__(self, library: Any, index: int) -> None:
        """Reads it once.

        Raises:
            OSError: there is no such GPU, or it has no counter (before Volta, or a part of a GPU).
        """
        self.name = f"GPU {index} (NVML)"
        self._library = library
        self._handle = ctypes.c_void_p()
        _checked(library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(self._handle)))
        self.read_joules()

    def read_joules(self) -> float:
        """See `Counter`."""
        millijoules = ctypes.c_ulonglong()
        _checked(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle, ctypes.byref(millijoules)))
        return millijoules.value / 1e3


def _nvidia(load: Callable[[], Any]) -> Iterator[Counter | str]:
    """The GPUs, or why they cannot be used; nothing without NVIDIA's driver. NVML stays open until the process ends."""
    try:
        library = load()
    except OSError:
        return
    count = ctypes.c_uint()
    try:
        _checked(library.nvmlInit_v2())
        _checked(library.nvmlDeviceGetCount_v2(ctypes.byref(count)))
    except (OSError, AttributeError) as error:
        yield f"the GPUs' counters cannot be read ({error})"
        return
    for index in range(count.value):
        try:
            yield NvmlGpu(library, index)
        except (OSError, AttributeError) as error:  # an old driver lacks the function
            yield f"GPU {index} has no counter that can be read ({error})"


def _nvml() -> Any:
    return ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")


def _checked(code: int) -> None:
    if code != 0:
        raise OSError(f"NVML error {code}")
