"""The last thing that runs before an untrusted program, in its process: gives up rights, then becomes that program.

It is started as a script by a bare interpreter. The usual place for such code, between fork and exec, is not safe in a
process with threads. What it does cannot be undone by the program. It exits with 126 where a right could not be given
up, and with 127 where the program cannot be started.

Usage: launcher.py PARENT RLIMITS WRITABLE SECCOMP PROGRAM ARGUMENT...
  PARENT    process id whose end ends the program; 0 for none
  RLIMITS   NUMBER:LIMIT pairs with commas
  WRITABLE  the only directory that Landlock lets it write; empty for no rules
  SECCOMP   a filter in hexadecimal; empty for none

Sources: landlock(7), seccomp(2), capabilities(7), and include/uapi/linux/{landlock,prctl}.h of the kernel.
"""

import ctypes
import errno
import os
import signal
import struct
import sys
from typing import Any, NoReturn

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 22, 24, 38, 47
_SECCOMP_MODE_FILTER, _CLEAR_ALL = 2, 4
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all machines
_TELL_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _MAKE_DEVICES, _TRUNCATE, _IOCTL_DEVICE = 1 << 1, (1 << 6) | (1 << 11), 1 << 14, 1 << 15
_CHANGES = {1: 0x1FF2, 2: 0x3FF2, 3: 0x7FF2, 4: 0x7FF2, 5: 0xFFF2}
"""Every right over files but to execute, read a file and list a directory; by the first version that knows it."""
_TCP, _SIGNALS_AND_SOCKETS = 0b11, 0b11


def main(arguments: list[str]) -> NoReturn:
    """Gives up rights and becomes the program."""
    parent, rlimits, writable, seccomp, *program = arguments
    try:
        if sys.platform == "linux":
            _give_up(int(parent), writable, bytes.fromhex(seccomp))
        _limit(rlimits)
    except OSError as error:
        _fail(126, f"the sandbox cannot be set up: {error}")
    try:
        os.execv(program[0], program)  # noqa: S606 - this is what it is for
    except OSError as error:
        _fail(127, f"{program[0]} cannot be started: {error.strerror}")


def landlock_version() -> int:
    """The kernel's version of the Landlock interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _TELL_VERSION)))


def _give_up(parent: int, writable: str, seccomp: bytes) -> None:
    if parent:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before it could be watched
            os.kill(os.getpid(), signal.SIGKILL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _drop_capabilities()
    if writable:
        _write_only_in(writable)
    if seccomp:
        _filter_calls(seccomp)


def _drop_capabilities() -> None:
    """Makes root a user like others from the next program on: its capabilities read past Landlock."""
    _prctl(_PR_CAP_AMBIENT, _CLEAR_ALL)
    for capability in range(64):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EINVAL):  # it has none to drop, or these were all
                return
            raise


def _write_only_in(directory: str) -> None:
    version = landlock_version()
    changes = _CHANGES[min(version, max(_CHANGES))]
    scoped = _SIGNALS_AND_SOCKETS if version >= 6 else 0
    rules = struct.pack("=QQQ", changes, _TCP if version >= 4 else 0, scoped)
    ruleset = _syscall(_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    _allow(ruleset, directory, changes & ~(_MAKE_DEVICES | _IOCTL_DEVICE))
    _allow(ruleset, os.devnull, changes & (_WRITE_FILE | _TRUNCATE))
    _syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    held = os.open(path, os.O_PATH | os.O_CLOEXEC)
    _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, held), 0)
    os.close(held)


def _filter_calls(program: bytes) -> None:
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header)


def _limit(pairs: str) -> None:
    """Lowers limits, never raises one."""
    import resource  # not on Windows, where this module is imported all the same

    for pair in pairs.split(","):
        number, wanted = map(int, pair.split(":"))
        most = resource.getrlimit(number)[1]
        limit = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        # A second after the signal that processor time is up comes one that cannot be ignored.
        is_warned = number == resource.RLIMIT_CPU and limit != most
        resource.setrlimit(number, (limit, limit + is_warned))


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


def _fail(status: int, message: str) -> NoReturn:
    sys.stderr.write(message + "\n")
    sys.exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
