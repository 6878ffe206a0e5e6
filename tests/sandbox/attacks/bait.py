"""What attacks are after, set out where they could find it, and whether anything has touched it.

A folder with a secret, servers, a process of ours, and a secret in the environment. Needs nothing but the standard
library, since a bare interpreter of the system runs it for a user that cannot read the one of the tests.
"""

from __future__ import annotations

import glob
import hashlib
import os
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

SECRET_NAME = "EDGESEARCH_ATTACK_SECRET"
_SHARED = ("/", "/tmp/", "/var/tmp/", "/dev/shm/", "/run/", "/run/lock/", "/dev/mqueue/", "/home/", "./", "~/")

_TELLING = ("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/hostname", "/etc/machine-id", "/etc/fstab")
"""Files that tell about this machine and its users."""


class Bait:
    """A context manager; the secret in the environment stays until it is left."""

    def __init__(self) -> None:
        self.word = "attack" + secrets.token_hex(8)
        self._folder = Path(tempfile.mkdtemp(prefix="edgesearch-bait-"))
        self._key = secrets.randbits(31) | 1
        (self._folder / "secret").write_text(self._secret())
        (self._folder / "data").write_text("kept")
        os.environ[SECRET_NAME] = self._secret()
        waiting = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]  # until this process ends
        self._victim = subprocess.Popen(waiting, stdin=subprocess.PIPE)
        self._servers = self._serve()
        self._before = self._seen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.close()
        with self._victim:
            self._victim.kill()
        os.environ.pop(SECRET_NAME, None)
        for path in self._left():
            Path(path).unlink(missing_ok=True)  # two places may be the same
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def where(self) -> dict[str, object]:
        """What attacks are told: where things are, and no secret."""
        return {
            "folder": str(self._folder),
            "secret": str(self._folder / "secret"),
            "data": str(self._folder / "data"),
            "unix": str(self._folder / "unix"),
            "abstract": self.word,
            "port": self._servers["port"].getsockname()[1],
            "udp": self._servers["udp"].getsockname()[1],
            "pid": os.getpid(),
            "victim": self._victim.pid,
            "word": self.word,
            "key": self._key,
            "known": {path: _digest(path) for path in _TELLING if os.access(path, os.R_OK)},
            "source": str(Path(__file__).parents[3] / "edgesearch" / "answer.py"),
        }

    def gains(self) -> list[str]:
        """What can be seen from here that an attack has done."""
        found = [f"{name}: something reached it" for name, server in self._servers.items() if _is_ready(server)]
        found += [f"left behind: {path}" for path in self._left()]
        if Path("/proc/sysvipc").exists():
            objects = [Path(f"/proc/sysvipc/{kind}").read_text() for kind in ("shm", "msg", "sem")]
            found += ["left behind: an object of System V" for text in objects if str(self._key) in text.split()]
        now = self._seen()
        found += [
            f"{name} was {was} and is {now.get(name)}" for name, was in self._before.items() if now.get(name) != was
        ]
        return found

    def _left(self) -> list[str]:
        """Files in places that programs share."""
        return [path for place in _SHARED for path in glob.glob(os.path.expanduser(place) + f"*{self.word}*")]

    def _seen(self) -> dict[str, object]:
        """What no attack may change."""
        data = self._folder / "data"
        told = data.stat() if data.exists() else None
        seen: dict[str, object] = {
            "the folder": sorted(os.listdir(self._folder)),
            "a file's text": data.read_text() if os.access(data, os.R_OK) else None,
            "a file": (told.st_mode, told.st_mtime_ns, told.st_uid, told.st_nlink) if told else None,
            "the folder's mode": self._folder.stat().st_mode,
            "a process of ours": (self._victim.poll(), state(self._victim.pid)),
        }
        for pid in (self._victim.pid, os.getpid()):
            if sys.platform == "linux" and self._victim.poll() is None:
                seen[f"the processors of {pid}"] = os.sched_getaffinity(pid)
                seen[f"the priority of {pid}"] = os.getpriority(os.PRIO_PROCESS, pid)
        return seen

    def _serve(self) -> dict[str, socket.socket]:
        servers = {"port": socket.create_server(("127.0.0.1", 0)), "udp": socket.socket(type=socket.SOCK_DGRAM)}
        servers["udp"].bind(("127.0.0.1", 0))
        addresses = {"unix": str(self._folder / "unix")}
        if sys.platform == "linux":
            addresses["abstract"] = "\0" + self.word
        for name, address in addresses.items():
            servers[name] = socket.socket(socket.AF_UNIX)
            servers[name].bind(address)
            servers[name].listen()
        return servers

    def _secret(self) -> str:
        return f"bait-{secrets.token_hex(16)}"


def state(pid: int) -> str:
    """Whether a process is `stopped`, a `zombie`, `gone`, or just `there`."""
    if sys.platform != "linux":
        done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        letter = done.stdout.strip()[:1]
    else:
        try:
            letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            letter = ""
    return {"": "gone", "T": "stopped", "t": "stopped", "Z": "zombie"}.get(letter, "there")


def descendants() -> set[int]:
    """Living processes that this one started, or that those did, whoever their parent is now (see `adopt`)."""
    if sys.platform == "linux":
        stats = (_read(path) for path in glob.glob("/proc/[0-9]*/stat"))
        rows = [(int(stat.split()[0]), *stat.rpartition(")")[2].split()[:2]) for stat in stats if stat]
    else:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,stat=,ppid="], capture_output=True, text=True, check=True)
        rows = [(int(pid), letter, parent) for pid, letter, parent in map(str.split, listed.stdout.splitlines())]
    parents = {pid: int(parent) for pid, letter, parent in rows if not letter.startswith("Z")}
    found, size = {os.getpid()}, 0
    while len(found) != size:
        size = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found - {os.getpid()}


def adopt() -> None:
    """Makes this process the parent of every descendant whose own parent ends, so that no daemon can leave its tree."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def settled(most: int, within_s: float = 1.0) -> set[int]:
    """The descendants, once they are no more than so many or the time is up."""
    until = time.monotonic() + within_s
    while len(found := descendants()) > most and time.monotonic() < until:
        time.sleep(0.02)
    return found


def peak_bytes() -> int:
    """The most memory that this process ever had."""
    if sys.platform == "linux":  # getrusage would tell that of whoever started it, if that was more
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _is_ready(server: socket.socket) -> bool:
    return bool(select.select([server], [], [], 0)[0])


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
