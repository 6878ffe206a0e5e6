"""How a worker, which tries programs that a model wrote, is shut in; strongest first.

bubblewrap: namespaces. It sees the interpreter and its standard library and nothing else of the disk, all read-only; no
network, no other processes, no /proc. Needs the program `bwrap` and a kernel that lets users make namespaces.

landlock: rules of the Linux kernel (6.2 or newer), nothing to install. The same files, and not one that it can change;
sizes and times of other files can still be asked for, though not what is in them.

container: Docker or Podman, with no network, a read-only disk and an image that has Python (`IMAGE`), which must be
there already: nothing is downloaded.

sandbox-exec: macOS's own profiles. Written from their documentation and not yet tried on a Mac.

none: no isolation, only limits. For people who run the whole of edgesearch in a machine that they can throw away.

In all but the last, what is forked for a program and for a test gives up still more (inside/confine.py).

Not covered: checkers that a user chose (tiers.py), whether a tier works here (probe.py), Windows (use WSL2).
"""

import functools
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesearch.sandbox import kernel, seccomp
from edgesearch.sandbox.base import SandboxInfo

IMAGE = "python:3.11-slim"
"""Of the container tier; EDGESEARCH_SANDBOX_IMAGE names another."""
PACKAGES = ("numpy",)
"""What programs and tests may import beside the standard library, where it is installed."""
_FOLDER = Path(__file__).resolve().parent
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/nix/store", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/urandom")
_ROOM_BYTES = 1 << 20
_INSIDE = "/edgesearch/sandbox"
"""Where a container has this folder."""
_ENGINES = ("docker", "podman")


@dataclass(frozen=True, slots=True)
class WorkerTier:
    """One of those ways."""

    info: SandboxInfo
    is_possible: Callable[[], bool]
    """Whether it is worth trying on this machine."""
    command: Callable[[], list[str]]
    """What to start, with an empty environment but for `environment`."""
    fix: str
    """What to do where it does not work."""


def environment() -> dict[str, str]:
    """All that a worker has in its environment; results must not depend on how strings are hashed this time."""
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}


def _python(*, is_isolated: bool, readable: Sequence[str] | None, executable: str, folder: str) -> list[str]:
    """An interpreter that becomes a broker and imports nothing of edgesearch but this folder."""
    told = f"Setting({is_isolated!r}, {None if readable is None else tuple(readable)!r})"
    code = (
        f"import sys; sys.path.append({os.path.dirname(folder)!r}); from sandbox.inside.broker import Setting, main; "
        f"sys.path[-1:] = {_package_homes()!r}; main({told})"
    )
    return [executable, "-P", "-s", "-S", "-B", "-c", code]


def _own(*, is_isolated: bool, readable: Sequence[str] | None) -> list[str]:
    return _python(is_isolated=is_isolated, readable=readable, executable=_executable(), folder=str(_FOLDER))


def _bubblewrap() -> list[str]:
    view = [part for path in _readable() for part in ("--ro-bind-try", path, path)]
    devices = [part for path in _DEVICES for part in ("--dev-bind", path, path)]
    room = ["--size", str(_ROOM_BYTES), "--tmpfs", "/tmp", "--remount-ro", "/tmp", "--remount-ro", "/"]  # noqa: S108
    # No --new-session: it is in one already, and must stay in the group of processes that is killed at its end.
    cut_off = ["--unshare-all", "--cap-drop", "ALL", "--chdir", "/"]
    inner = _own(is_isolated=True, readable=None)
    return [shutil.which("bwrap") or "bwrap", *cut_off, *view, *devices, *room, "--", *inner]


def _landlock() -> list[str]:
    return _own(is_isolated=True, readable=[*_readable(), "/dev/urandom"])


def _container() -> list[str]:
    engine = _engine() or _ENGINES[0]
    shut = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    bounds = ["--pids-limit", "16", "--memory", "4g", "--user", "65534:65534", "--pull", "never"]
    told = [part for name, value in environment().items() for part in ("--env", f"{name}={value}")]
    mount = ["--volume", f"{_FOLDER}:{_INSIDE}:ro"]
    image = os.environ.get("EDGESEARCH_SANDBOX_IMAGE", IMAGE)
    inner = _python(is_isolated=True, readable=None, executable="python3", folder=_INSIDE)
    return [engine, "run", "--rm", "--interactive", *shut, *bounds, *told, *mount, image, *inner]


def _sandbox_exec() -> list[str]:
    reads = " ".join(f'({"subpath" if os.path.isdir(path) else "literal"} "{path}")' for path in _readable())
    profile = f"""(version 1)
(deny default)
(allow process-fork)
(allow process-exec (literal "{_executable()}"))
(allow sysctl-read)
(allow file-read-metadata)
(allow file-read* {reads} (subpath "/System/Library") (literal "/dev/urandom") (literal "/"))
(allow file-read* file-write-data (literal "/dev/null"))
"""
    return ["/usr/bin/sandbox-exec", "-p", profile, *_own(is_isolated=True, readable=None)]


def _nothing() -> list[str]:
    return _own(is_isolated=False, readable=None)


def _has_filter() -> bool:
    return sys.platform == "linux" and bool(seccomp.build_plain(platform.machine()))


def _can_run_container() -> bool:
    engine = _engine()
    if engine is None:
        return False
    try:
        asked = subprocess.run([engine, "info"], capture_output=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _engine() -> str | None:
    return next(filter(None, map(shutil.which, _ENGINES)), None)


def _executable() -> str:
    """The interpreter itself: that of a virtual environment is a link to it, which a sandbox need not see."""
    return os.path.realpath(sys.executable)


@functools.cache
def _readable() -> tuple[str, ...]:
    """What an interpreter needs of the disk, and the packages that it may import; no home, no data, no settings."""
    paths = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), sysconfig.get_config_var("LIBDIR") or ""]
    stdlib = os.path.join(sys.base_prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    found = [_executable(), stdlib, *paths, *_SYSTEM, str(_FOLDER), *_package_paths()]
    real = dict.fromkeys(path for path in found if path and os.path.exists(path))
    return tuple(real)


def _package_paths() -> list[str]:
    """Folders of the packages, and of the libraries that came with them."""
    found = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            folder = os.path.dirname(spec.origin)
            found += [folder, f"{folder}.libs"]
    return found


def _package_homes() -> list[str]:
    """Where Python looks for them."""
    return list(dict.fromkeys(os.path.dirname(path) for path in _package_paths()))


WORKER_TIERS: dict[str, WorkerTier] = {
    "bubblewrap": WorkerTier(
        SandboxInfo("bubblewrap", is_isolating=True, caution="a hole in the kernel would be a way out"),
        lambda: _has_filter() and shutil.which("bwrap") is not None,
        _bubblewrap,
        "install bubblewrap (apt install bubblewrap) and let users make namespaces",
    ),
    "landlock": WorkerTier(
        SandboxInfo(
            "landlock",
            is_isolating=True,
            caution="it can see which files there are, and a hole in the kernel would be a way out",
        ),
        lambda: _has_filter() and kernel.landlock_version() >= kernel.LEAST_LANDLOCK,
        _landlock,
        "use a Linux kernel 6.2 or newer with Landlock",
    ),
    "container": WorkerTier(
        SandboxInfo("container", is_isolating=True, caution="a hole in the kernel would be a way out"),
        lambda: _engine() is not None and _can_run_container(),
        _container,
        f"start Docker or Podman and fetch its image once (docker pull {IMAGE})",
    ),
    "sandbox-exec": WorkerTier(
        SandboxInfo("sandbox-exec", is_isolating=True, caution="its memory is not limited by the system"),
        lambda: sys.platform == "darwin" and os.path.exists("/usr/bin/sandbox-exec"),
        _sandbox_exec,
        "use macOS",
    ),
    "none": WorkerTier(
        SandboxInfo(
            "none",
            is_isolating=False,
            caution="programs that a model wrote have your rights to files, network and processes",
        ),
        lambda: os.name == "posix",
        _nothing,
        "use Linux, macOS or WSL2",
    ),
}
"""By name, strongest first."""
