"""The seam between edgesearch and programs that must not be trusted with this machine.

A sandbox starts a program, gives it bytes on stdin, and returns what it wrote and how it ended. No shell is involved,
nothing of the caller's environment is passed on, and the program runs in an empty directory that is gone afterwards.
What else is kept from it depends on the tier, which `SandboxInfo` tells; every tier applies the same limits.

Not covered: choosing a tier (probe.py); programs that stay and answer many questions.
"""

import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may spend. All are > 0."""

    wall_s: float = 10.0
    """Seconds from its start; then all its processes are killed."""
    cpu_s: float = 10.0
    """Seconds of processor time of each of its processes, rounded up to whole seconds."""
    memory_bytes: int = 4096 * MIB
    """Address space of each of its processes; macOS does not enforce it."""
    file_bytes: int = 64 * MIB
    """Of each file that it writes."""
    output_bytes: int = MIB
    """Of stdout, and of stderr; a program that writes more is killed."""
    num_files: int = 256
    """Files open in each of its processes."""
    num_processes: int = 64
    """Processes and threads beyond those that run on the machine when it starts; not enforced for root."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{field.name} must be a number > 0, not {value}")


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended."""

    exit_code: int | None
    """Its exit status, or minus the signal that ended it; None where a limit of time or output did."""
    stdout: bytes
    stderr: bytes
    cpu_s: float | None
    """Processor time of it and of what it waited for; None where the tier does not tell, or it was stopped."""
    wall_s: float
    is_timed_out: bool
    """Whether it reached its limit of wall or processor time."""
    is_output_cut: bool
    """Whether it wrote more than its limit."""

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.is_timed_out:
            return f"it was stopped after {self.wall_s:.1f} s"
        if self.is_output_cut:
            return "it wrote more than its limit and was stopped"
        assert self.exit_code is not None
        if self.exit_code >= 0:
            return f"exit status {self.exit_code}"
        return f"signal {_signal_name(-self.exit_code)}"


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """What a tier does and does not do."""

    name: str
    is_isolating: bool
    """Whether a program can neither write outside its own directory, nor reach a network, nor signal others."""
    caution: str
    """One sentence: what a program can do in it all the same."""


class Sandbox(Protocol):
    """Runs programs. May be used from several threads at once."""

    @property
    def info(self) -> SandboxInfo:
        """What it does and does not do."""
        ...

    def run(self, argv: Sequence[str], *, stdin: bytes, limits: Limits) -> Completed:
        """Runs a program to its end, or to a limit; none of its processes is left where the tier can see to that.

        Args:
            argv: an absolute path to a program, and its arguments. Never text from a model: other users may see it.
            stdin: all that it can read there.
            limits: what it may spend.

        Raises:
            SandboxUnavailable: the sandbox itself could not be started.
        """
        ...


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
