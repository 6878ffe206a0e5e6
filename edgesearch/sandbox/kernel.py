"""What a process asks of the Linux kernel to give up rights for good; it cannot take them back.

It imports nothing but the standard library and neighbours of its own folder, since it also runs where only that folder
can be read. Everything here raises an OSError where the kernel refuses.

Not covered: who gives up what (launcher.py, inside/), filters of calls (seccomp.py).

Sources: landlock(7), seccomp(2), capabilities(7), and include/uapi/linux/{landlock,prctl,capability}.h of the kernel.
"""

import ctypes
import errno
import os
import signal
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 4, 22, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 38, 47
_SECCOMP_MODE_FILTER, _CLEAR_ALL = 2, 4
_CAPABILITIES_VERSION = 0x20080522
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all machines
_TELL_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIRECTORY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_DEVICES, _TRUNCATE, _IOCTL_DEVICE = (1 << 6) | (1 << 11), 1 << 14, 1 << 15
_CHANGES = {1: 0x1FF2, 2: 0x3FF2, 3: 0x7FF2, 4: 0x7FF2, 5: 0xFFF2}
"""Every right over files but to execute, read a file and list a directory; by the first version that knows it."""
LEAST_LANDLOCK = 3
"""The first version that also guards against cutting files short."""
_TCP, _SIGNALS_AND_SOCKETS = 0b11, 0b11


def landlock_version() -> int:
    """The kernel's version of the Landlock interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _TELL_VERSION)))


def end_with(parent: int) -> None:
    """Ends this process once its parent does; now, if that has another number and so has ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def keep_privileges_out() -> None:
    """No program that it becomes has more rights than it, whatever the program's file says."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def hide_memory() -> None:
    """Others of the same user can neither trace it nor read its memory, and nor can what it forks."""
    _prctl(_PR_SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Makes root a user like others: its capabilities read past Landlock. Also those of the next program."""
    _prctl(_PR_CAP_AMBIENT, _CLEAR_ALL)
    for capability in range(64):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EINVAL):  # it has none to drop, or these were all
                break
            raise
    header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    _checked(_libc().capset(header, bytes(24)), "capset")


def restrict_files(*, readable: Sequence[str] | None, writable: Sequence[str], listed: Sequence[str] = ()) -> None:
    """Lets it change nothing but what is beneath some paths, and read as little; keeps it from TCP and from others.

    Args:
        readable: files and directories that it may read and execute; None for all there are. Missing ones are left out.
        writable: files and directories that it may change and read.
        listed: directories beneath which it may see the names of files, as far as `readable` is given.
    """
    version = landlock_version()
    changes = _CHANGES[min(version, max(_CHANGES))]
    reads = _READ_FILE | _READ_DIRECTORY | _EXECUTE
    scoped = _SIGNALS_AND_SOCKETS if version >= 6 else 0
    handled = changes if readable is None else changes | reads
    rules = struct.pack("=QQQ", handled, _TCP if version >= 4 else 0, scoped)
    ruleset = _syscall(_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    for path in writable:
        _allow(ruleset, path, handled & ~(_MAKE_DEVICES | _IOCTL_DEVICE))
    for paths, rights in ((readable or (), reads), (listed, _READ_DIRECTORY & handled)):
        for path in paths:
            if rights and Path(path).exists():
                _allow(ruleset, path, rights)
    _syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def filter_calls(program: bytes) -> None:
    """Has the kernel look at each of its system calls."""
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header)


def _allow(ruleset: int, path: str, rights: int) -> None:
    held = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not os.path.isdir(path):
        rights &= _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE  # what a file can have
    _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, held), 0)
    os.close(held)


def _prctl(option: int, *arguments: int | bytes) -> None:
    padded = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in (*arguments, 0, 0, 0)[:4]]
    _checked(_libc().prctl(option, *padded), f"prctl {option}")


def _syscall(number: int, *arguments: Any) -> int:
    return _checked(_libc().syscall(number, *arguments), f"system call {number}")


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
