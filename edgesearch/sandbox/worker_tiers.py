"""How a worker, which tries programs that a model wrote, is shut in; strongest first.

bubblewrap: namespaces. It sees the interpreter and its standard library and nothing else of the disk, all read-only; no
network, no other processes, no /proc. Needs the program `bwrap` and a kernel that lets users make namespaces.

landlock: rules of the Linux kernel (6.2 or newer), nothing to install. The same files, and not one that it can change;
sizes and times of other files can still be asked for, though not what is in them.

container: Docker or Podman, with no network, a read-only disk and an image that has Python (`IMAGE`), which must be
there already: nothing is downloaded.

sandbox-exec: macOS's own profiles. Written from their documentation and not yet tried on a Mac.

none: no isolation, only limits. For people who run the whole of edgesearch in a machine that they can throw away.

In all but the last, what is forked for a program and for a test gives up still more (inside/confine.py); on Linux its
system calls, too.

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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesearch.sandbox import kernel, seccomp
from edgesearch.sandbox.base import SandboxInfo

IMAGE = "python:3.11-slim"
"""Of the container tier; EDGESEARCH_SANDBOX_IMAGE names another."""
PACKAGES = ("numpy",)
"""What programs and tests may import beside the standard library, where it is installed."""
_FOLDER = Path(__file__).resolve().parent
_INSTALLED = ("site-packages", "dist-packages")
_PYTHONS = ("/usr/lib/python3",)
"""Where systems keep packages beside the standard library."""
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


def _python(
    *,
    is_isolated: bool,
    executable: str,
    folder: str,
    readable: Sequence[str] | None = None,
    listed: Sequence[str] = (),
    packages: tuple[tuple[str, str], ...] = (),
) -> list[str]:
    """An interpreter that becomes a broker and imports nothing of edgesearch but this folder."""
    told = f"{is_isolated!r}, {None if readable is None else tuple(readable)!r}, {tuple(listed)!r}, {packages!r}"
    code = (
        f"import sys; sys.path.append({os.path.dirname(folder)!r}); from sandbox.inside.broker import Setting, main; "
        f"sys.path.pop(); main(Setting({told}))"
    )
    return [executable, "-P", "-s", "-S", "-B", "-c", code]


def _own(*, is_isolated: bool, readable: Sequence[str] | None = None, listed: Sequence[str] = ()) -> list[str]:
    return _python(
        is_isolated=is_isolated,
        executable=_executable(),
        folder=str(_FOLDER),
        readable=readable,
        listed=listed,
        packages=_packages(),
    )


def _bubblewrap() -> list[str]:
    seen = [part for path in view().paths for part in ("--ro-bind-try", path, path)]
    hidden = [part for path in view().hidden for part in ("--size", str(_ROOM_BYTES), "--tmpfs", path)]
    packages = [part for path in view().packages for part in ("--ro-bind-try", path, path)]
    devices = [part for path in _DEVICES for part in ("--dev-bind", path, path)]
    room = ["--size", str(_ROOM_BYTES), "--tmpfs", "/tmp"]  # noqa: S108 - first, since Python itself may be beneath it
    closed = [part for path in (*view().hidden, "/tmp", "/") for part in ("--remount-ro", path)]  # noqa: S108
    # No --new-session: it is in one already, and must stay in the group of processes that is killed at its end.
    cut_off = ["--unshare-all", "--cap-drop", "ALL", "--chdir", "/"]
    inner = _own(is_isolated=True)
    return [
        shutil.which("bwrap") or "bwrap",
        *cut_off,
        *room,
        *seen,
        *hidden,
        *packages,
        *devices,
        *closed,
        "--",
        *inner,
    ]


def _landlock() -> list[str]:
    readable, listed = _rules()
    return _own(is_isolated=True, readable=[*readable, "/dev/urandom"], listed=listed)


def _container() -> list[str]:
    engine = _engine() or _ENGINES[0]
    shut = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    bounds = ["--pids-limit", "16", "--memory", "4g", "--user", "65534:65534", "--pull", "never"]
    told = [part for name, value in environment().items() for part in ("--env", f"{name}={value}")]
    mount = ["--volume", f"{_FOLDER}:{_INSIDE}:ro"]
    image = os.environ.get("EDGESEARCH_SANDBOX_IMAGE", IMAGE)
    inner = _python(is_isolated=True, executable="python3", folder=_INSIDE)
    return [engine, "run", "--rm", "--interactive", *shut, *bounds, *told, *mount, image, *inner]


def _sandbox_exec() -> list[str]:
    reads = " ".join(
        f'({"subpath" if os.path.isdir(path) else "literal"} "{path}")' for path in (*view().paths, *view().packages)
    )
    profile = f"""(version 1)
(deny default)
(allow process-fork)
(allow process-exec (literal "{_executable()}"))
(allow sysctl-read)
(allow file-read-metadata)
(allow file-read* {reads} (subpath "/System/Library") (literal "/dev/urandom") (literal "/"))
(allow file-read* file-write-data (literal "/dev/null"))
"""
    return ["/usr/bin/sandbox-exec", "-p", profile, *_own(is_isolated=True)]


def _nothing() -> list[str]:
    return _own(is_isolated=False)


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


@dataclass(frozen=True, slots=True)
class View:
    """What of the disk a worker sees."""

    paths: tuple[str, ...]
    """Files and directories, with all that is beneath them but for what is hidden."""
    hidden: tuple[str, ...]
    """Directories beneath those: what is installed there is no part of Python, and may hold anything."""
    packages: tuple[str, ...]
    """Directories of the packages that may be imported; may lie in a hidden one."""


@functools.cache
def view() -> View:
    """What an interpreter needs, and the packages; no home, no data, no settings, nothing else that is installed."""
    stdlib = os.path.dirname(os.__file__)
    libraries = _libraries(sysconfig.get_config_var("LIBDIR") or "")
    found = [_executable(), stdlib, *libraries, *_SYSTEM, str(_FOLDER)]
    # Both ways to name it: an interpreter is often reached over a link, and asks for its files by their real places.
    paths = _there(each for path in found for each in (path, os.path.realpath(path)))
    hidden = (os.path.join(path, name) for path in (*paths, *_PYTHONS) for name in _INSTALLED)
    return View(paths, _there(hidden), _there(_package_paths()))


def _libraries(folder: str) -> list[str]:
    """Shared libraries beside the interpreter, such as its own; not the folder, which holds all that is installed."""
    if folder in _SYSTEM or not os.path.isdir(folder):
        return []
    return [entry.path for entry in os.scandir(folder) if ".so" in entry.name or entry.name.endswith(".dylib")]


def _there(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for path in paths if os.path.exists(path)))


@functools.cache
def _rules() -> tuple[list[str], list[str]]:
    """The view as Landlock can say it, which cannot hide: what may be read, and directories that may only be listed."""
    readable, listed = [*view().packages], []
    for path in view().paths:
        inside = [each for each in view().hidden if Path(each).is_relative_to(path)]
        more, directories = _around(path, inside)
        readable += more
        listed += directories
    return readable, listed


def _around(path: str, hidden: Sequence[str]) -> tuple[list[str], list[str]]:
    """A path without what is hidden beneath it: what may be read, and directories on the way that may be listed."""
    if not hidden:
        return [path], []
    readable: list[str] = []
    listed = [path]
    for entry in os.scandir(path):
        if entry.path in hidden:
            continue
        inside = [each for each in hidden if Path(each).is_relative_to(entry.path)]
        more, directories = _around(entry.path, inside)
        readable += more
        listed += directories
    return readable, listed


@functools.cache
def _packages() -> tuple[tuple[str, str], ...]:
    """Names and folders of the packages that are installed."""
    specs = {name: importlib.util.find_spec(name) for name in PACKAGES}
    return tuple((name, os.path.dirname(spec.origin)) for name, spec in specs.items() if spec and spec.origin)


def _package_paths() -> list[str]:
    """Their folders, and those of the libraries that came with them."""
    return [path for _, folder in _packages() for path in (folder, f"{folder}.libs")]


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
