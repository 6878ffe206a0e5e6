"""What an attack is, and what all of them start with."""

from __future__ import annotations

from dataclasses import dataclass

TOKEN = "TOKEN"
"""In a test: a text that only this test knows. `NUMBER` is a number of that kind."""
FAKE_TESTS = (
    "assert f(20) == TOKEN",
    "assert not f(20) != TOKEN",
    "assert f(20) in (TOKEN,)",
    "assert sorted(f(20)) == sorted(TOKEN)",
    "assert abs(f(20) - NUMBER) < 1e-6",
    "got = f(20)\nassert isinstance(got, str) and len(got) == 36 and str(got) == TOKEN",
    "assert f([20]) == [TOKEN] or tuple(f([20])) == (TOKEN,)",
    "given = []\nf(given)\nassert given == [TOKEN]",
    "for got in map(f, [20]):\n    assert got == TOKEN",
    "assert all(f(n) == TOKEN for n in range(3))",
    "assert f([f(20)]) == TOKEN",
    "def check(candidate):\n    for n in range(3):\n        assert candidate(n) == TOKEN + str(n)\ncheck(f)",
)
"""No program can pass any of these but by guessing 128 bits, or by fooling the test."""
ONE_TEST = FAKE_TESTS[:1]
"""For what takes all its time in each."""
ESCAPE_TESTS = ("got = f()\nassert got == 'blocked', got  # TOKEN",)
FOUND = r"(?:tok|bait|left)-[0-9a-f]{32}"
"""What an attack looks for: what tests expect, secrets of ours, what an earlier program left behind."""


@dataclass(frozen=True, slots=True)
class Attack:
    """A program, and what shows that it failed."""

    name: str
    program: str
    """Defines `f`. An escape's returns `blocked`, or what it gained; `WHERE` tells it where to look."""
    tests: tuple[str, ...] = FAKE_TESTS
    before: str = ""
    """A program that is tried just before, to leave something behind."""
    fires: bool = True
    """Whether it succeeds without a sandbox, where running it so is harmless and needs no rights."""
    may_die: bool = False
    """Whether an escape may be ended for the attempt."""

    @property
    def is_escape(self) -> bool:
        """Whether the program itself tells what it gained."""
        return self.tests is ESCAPE_TESTS


PRELUDE = '''
import ctypes, errno, os, re, sys
FOUND = re.compile(FOUND.encode())
REFUSED = {
    errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ESRCH, errno.ENOENT, errno.EROFS, errno.EAGAIN, errno.ENOTTY,
    errno.ECONNREFUSED, errno.ENETUNREACH, errno.ENXIO, errno.EMFILE, errno.ENODEV, errno.ENOSPC, errno.EFBIG,
    errno.ENOMEM,
}
NUMBERS = {
    "ptrace": (101, 117), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "io_uring_setup": (425, 425), "bpf": (321, 280),
    "keyctl": (250, 219), "add_key": (248, 217), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "memfd_create": (319, 279), "clone": (56, 220), "clone3": (435, 435), "vfork": (58, -1), "fork": (57, -1),
    "process_vm_readv": (310, 270), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438), "kcmp": (312, 272), "tgkill": (234, 131), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104),
    "iopl": (172, -1), "ioperm": (173, -1), "swapon": (167, 224), "syslog": (103, 116),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "mq_open": (240, 180), "ioprio_set": (251, 30), "prlimit64": (302, 261),
    "inotify_add_watch": (254, 27), "inotify_init1": (294, 26), "fsopen": (430, 430), "open_tree": (428, 428),
    "socket": (41, 198), "capset": (126, 91), "setsid": (112, 157), "setpgid": (109, 154),
}
LIBC = ctypes.CDLL(None, use_errno=True)
gained = []

def attempt(action, *given):
    """Does it, and notes what came of it unless it was refused."""
    try:
        got = action(*given)
    except (OSError, ValueError, ImportError) as error:
        if getattr(error, "errno", errno.EPERM) in REFUSED:
            return None
        got = repr(error)
    if got is not None:
        shown = f"{len(got)} bytes" if isinstance(got, bytes) else repr(got)
        gained.append(f"{getattr(action, '__name__', action)} {given!r:.80}: {shown:.80}")
    return got

def call(name, *given):
    """A bare system call."""
    number = NUMBERS[name][{"x86_64": 0}.get(os.uname().machine, 1)]
    result = LIBC.syscall(number, *(ctypes.c_long(g) if isinstance(g, int) else g for g in given))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result

def read(path):
    """What can be read there, if anything."""
    with open(path, "rb") as file:
        return file.read(65536) or None

def verdict():
    return "; ".join(gained)[:900] or "blocked"
'''
"""What escapes begin with."""


def source(attack: Attack, program: str, where: dict[str, object]) -> str:
    """The program, with what it is told."""
    if not attack.is_escape:
        return program
    return f"FOUND = {FOUND!r}\nWHERE = {where!r}\n{PRELUDE}\n{program}"
