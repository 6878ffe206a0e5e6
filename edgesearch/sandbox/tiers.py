"""The ways to run a checker, a program that a user chose, with less than the user's rights, strongest first.

bubblewrap: namespaces. All files can be read and none written, but in a private directory in memory; no network; no
other processes are seen. Needs the program `bwrap` and a kernel that lets users make namespaces.

landlock: rules of the Linux kernel (6.2 or newer), nothing to install. The same, except that other processes are seen
(though not touched), and that its directory is on disk, where only the size of each file is limited.

limits: a session of its own, limits on time and memory, and an empty environment. No isolation: a program that is
taken over through its input has the user's files and network.

All three can read whatever the user can: a checker needs its own files. Nothing read can leave the first two but
through stdout and stderr. All three share the kernel with the user.

Not covered: programs that a model wrote, which see less of the disk (worker_tiers.py); Windows.
"""

import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesearch.sandbox import kernel, launcher, seccomp
from edgesearch.sandbox.base import Completed, Limits, SandboxInfo
from edgesearch.sandbox.supervise import supervise

_SCOPED_LANDLOCK = 6
"""The first version that keeps signals inside."""
_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Tier:
    """One of those ways; implements `Sandbox`."""

    info: SandboxInfo
    is_possible: Callable[[], bool]
    """Whether it is worth trying on this machine."""
    command: Callable[[Sequence[str], Limits, str], list[str]]
    """What to start, of a program with its arguments, its limits and its directory."""
    tells_cpu: bool = True
    """Whether the processor time of what it starts is the program's."""

    def run(self, argv: Sequence[str], *, stdin: bytes, limits: Limits) -> Completed:
        """Runs a program to its end, or to a limit; see `Sandbox.run`."""
        with tempfile.TemporaryDirectory(prefix="edgesearch-", ignore_cleanup_errors=True) as made:
            directory = os.path.realpath(made)
            environment = {"PATH": _PATH, "HOME": directory, "TMPDIR": directory, "LANG": "C.UTF-8"}
            command = self.command(argv, limits, directory)
            done = supervise(command, stdin=stdin, limits=limits, directory=directory, environment=environment)
        return done if self.tells_cpu else dataclasses.replace(done, cpu_s=None)


def _in_namespaces(argv: Sequence[str], limits: Limits, directory: str) -> list[str]:
    view = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    room = ["--size", str(limits.file_bytes), "--tmpfs", directory, "--chdir", directory]
    cut_off = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    inner = _launched(argv, limits, refused=seccomp.build(seccomp.ESCAPES), is_watched=False)
    return [shutil.which("bwrap") or "bwrap", *cut_off, *view, *room, "--", *inner]


def _under_rules(argv: Sequence[str], limits: Limits, directory: str) -> list[str]:
    refused = [seccomp.ESCAPES, seccomp.METADATA, seccomp.LASTING]
    if kernel.landlock_version() < _SCOPED_LANDLOCK:
        refused.append(seccomp.SIGNALS)
    return _launched(argv, limits, writable=directory, refused=seccomp.build(*refused))


def _within_limits(argv: Sequence[str], limits: Limits, directory: str) -> list[str]:
    return _launched(argv, limits)


def _launched(
    argv: Sequence[str], limits: Limits, *, writable: str = "", refused: bytes = b"", is_watched: bool = True
) -> list[str]:
    """The command that gives up rights and then becomes another; `is_watched` ends it with this process."""
    parent = str(os.getpid()) if is_watched else "0"
    return [sys.executable, *launcher.START, parent, _rlimits(limits), writable, refused.hex(), *argv]


def _rlimits(limits: Limits) -> str:
    import resource  # not on Windows

    values = {
        resource.RLIMIT_CPU: -int(-limits.cpu_s // 1),
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.num_files,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":
        values[resource.RLIMIT_AS] = limits.memory_bytes
        values[resource.RLIMIT_NPROC] = _num_running() + limits.num_processes
    return ",".join(f"{number}:{value}" for number, value in values.items())


def _num_running() -> int:
    """Processes and threads on this machine: the kernel counts those of the user, which are no more."""
    return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].split("/")[1])


TIERS: dict[str, Tier] = {
    "bubblewrap": Tier(
        SandboxInfo("bubblewrap", is_isolating=True, caution="it can read every file that you can"),
        lambda: sys.platform == "linux" and shutil.which("bwrap") is not None,
        _in_namespaces,
        tells_cpu=False,  # bwrap does not wait for the process that holds the namespaces
    ),
    "landlock": Tier(
        SandboxInfo(
            "landlock",
            is_isolating=True,
            caution="it can read every file that you can, and fill the disk while it runs",
        ),
        lambda: kernel.landlock_version() >= kernel.LEAST_LANDLOCK and bool(seccomp.build(seccomp.ESCAPES)),
        _under_rules,
    ),
    "limits": Tier(
        SandboxInfo(
            "limits",
            is_isolating=False,
            caution="it has your rights to files, network and processes; only its time, memory and output are limited",
        ),
        lambda: os.name == "posix",
        _within_limits,
    ),
}
"""By name, strongest first."""
