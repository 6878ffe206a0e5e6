"""Filters of system calls, as the kernel reads them.

`build` makes one for programs that a user chose. It refuses what no checker needs and what leads out of a sandbox:
sockets, namespaces, mounts, tracing, kernel modules, keys, and io_uring, whose requests pass no filter. A refused call
fails with EPERM and the program goes on. `clone3` fails as if it did not exist, since its flags cannot be read here; C
libraries then use `clone`, whose flags can.

`build_plain` makes one for programs that a model wrote. It lets through only what computing, reading files and waiting
need, so that no process, thread, socket, signal to another, shared memory or change to a file can come of it.

Not covered: processors other than x86-64 and 64-bit Arm, for which there is no filter.

Sources: seccomp(2); the numbers are those of the kernel's tables (arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h).
"""

import errno
import platform
import struct
from collections.abc import Iterable, Mapping, Sequence

_LOAD, _EQUAL, _AT_LEAST, _HAS_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT, _SECOND_ARGUMENT_AT = 0, 4, 16, 24
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NAMESPACES = 0x7E020000
"""Flags of clone that make a namespace."""
_OTHER_ABI_OF_X86 = 0x40000000
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Place in the tables below, and what the kernel calls it."""
_NONE = -1

CLONE, CLONE3 = (56, 220), (435, 435)
ESCAPES: Mapping[str, tuple[int, int]] = {
    "socket": (41, 198), "ptrace": (101, 117), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "acct": (163, 89),
    "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170), "adjtimex": (159, 171),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "iopl": (172, _NONE), "ioperm": (173, _NONE),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "bpf": (321, 280), "perf_event_open": (298, 241),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "userfaultfd": (323, 282),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272), "pidfd_getfd": (438, 438),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "quotactl": (179, 60),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
}  # fmt: skip
"""Calls by name: their numbers on x86-64 and on 64-bit Arm."""
METADATA: Mapping[str, tuple[int, int]] = {
    "chmod": (90, _NONE), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, _NONE), "lchown": (94, _NONE), "fchown": (93, 55), "fchownat": (260, 54),
    "utime": (132, _NONE), "utimes": (235, _NONE), "futimesat": (261, _NONE), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
}  # fmt: skip
"""What changes files without writing them; Landlock has no rules for it."""
LASTING: Mapping[str, tuple[int, int]] = {
    "setsid": (112, 157), "setpgid": (109, 154),
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
}  # fmt: skip
"""What outlives a program: leaving the group of processes that is killed at the end; objects with no owner."""
SIGNALS: Mapping[str, tuple[int, int]] = {
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
}  # fmt: skip
"""For kernels where nothing else keeps them inside."""

PLAIN: Mapping[str, tuple[int, int]] = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "pwrite64": (18, 68), "openat": (257, 56), "close": (3, 57), "close_range": (436, 436), "fstat": (5, 80),
    "newfstatat": (262, 79), "statx": (332, 291), "faccessat": (269, 48), "faccessat2": (439, 439),
    "readlinkat": (267, 78), "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215),
    "mremap": (25, 216), "madvise": (28, 233), "brk": (12, 214), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132), "pipe2": (293, 59),
    "pselect6": (270, 72), "ppoll": (271, 73), "epoll_create1": (291, 20), "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22), "dup": (32, 23), "dup3": (292, 24), "getpid": (39, 172), "getppid": (110, 173),
    "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "getgroups": (115, 158), "getcwd": (79, 17), "chdir": (80, 49), "getdents64": (217, 61), "uname": (63, 160),
    "sysinfo": (99, 179), "times": (100, 153), "getrusage": (98, 165), "gettimeofday": (96, 169),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "getitimer": (36, 102), "setitimer": (38, 103), "exit": (60, 93), "exit_group": (231, 94), "futex": (202, 98),
    "set_robust_list": (273, 99), "get_robust_list": (274, 100), "set_tid_address": (218, 96), "rseq": (334, 293),
    "getrandom": (318, 278), "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "membarrier": (324, 283),
    "umask": (95, 166), "restart_syscall": (219, 128), "wait4": (61, 260), "waitid": (247, 95), "statfs": (137, 43),
    "fstatfs": (138, 44), "getcpu": (309, 168), "getrlimit": (97, 163), "open": (2, _NONE), "stat": (4, _NONE),
    "lstat": (6, _NONE), "access": (21, _NONE), "readlink": (89, _NONE), "pipe": (22, _NONE), "select": (23, _NONE),
    "poll": (7, _NONE), "epoll_wait": (232, _NONE), "epoll_create": (213, _NONE), "dup2": (33, _NONE),
    "time": (201, _NONE), "alarm": (37, _NONE), "pause": (34, _NONE), "arch_prctl": (158, _NONE),
    "getdents": (78, _NONE),
}  # fmt: skip
"""What a program that only computes may call, whatever the arguments."""
FCNTL, IOCTL, PRLIMIT = (72, 25), (16, 29), (302, 261)
_FCNTL_ALLOWED = (0, 1, 2, 3, 4, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC. Others signal, lock, or leave hints on files."""
_IOCTL_ALLOWED = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS and TIOCGWINSZ (is it a terminal?), FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""


def build(*refused: Mapping[str, tuple[int, int]], machine: str | None = None) -> bytes:
    """The filter that refuses these calls; empty where this kind of machine has none.

    Args:
        refused: calls by name.
        machine: as `platform.machine` names it; default: this one.
    """
    place, kernel_name = _MACHINES.get(machine or platform.machine(), (0, 0))
    if not kernel_name:
        return b""
    numbers = sorted({call[place] for calls in refused for call in calls.values()} - {_NONE})
    return b"".join(_instructions(kernel_name, numbers, CLONE[place], CLONE3[place]))


def build_plain(machine: str | None = None) -> bytes:
    """The filter that allows only `PLAIN`, and a little of fcntl, ioctl and prlimit64.

    Args:
        machine: as for `build`; empty where there is no filter.
    """
    place, kernel_name = _MACHINES.get(machine or platform.machine(), (0, 0))
    if not kernel_name:
        return b""
    return b"".join(_plain_instructions(kernel_name, place))


def _plain_instructions(kernel_name: int, place: int) -> Iterable[bytes]:
    allow, refuse = _return(_ALLOW), _return(_FAIL | errno.EPERM)
    yield from _same_machine(kernel_name)
    yield from (_jump(_EQUAL, CLONE3[place], 0, 1), _return(_FAIL | errno.ENOSYS))
    for number in sorted(call[place] for call in PLAIN.values() if call[place] != _NONE):
        yield from (_jump(_EQUAL, number, 0, 1), allow)
    yield from _by_argument(FCNTL[place], _SECOND_ARGUMENT_AT, _FCNTL_ALLOWED)
    yield from _by_argument(IOCTL[place], _SECOND_ARGUMENT_AT, _IOCTL_ALLOWED)
    yield from _by_argument(PRLIMIT[place], _FIRST_ARGUMENT_AT, (0,))  # of itself
    yield refuse


def _by_argument(number: int, at: int, allowed: Sequence[int]) -> Iterable[bytes]:
    """Verdicts on one call, by an argument's lower half; what they compare is an int for the kernel."""
    yield _jump(_EQUAL, number, 0, 2 * len(allowed) + 2)
    yield _load(at)
    for value in allowed:
        yield from (_jump(_EQUAL, value, 0, 1), _return(_ALLOW))
    yield _return(_FAIL | errno.EPERM)


def _same_machine(kernel_name: int) -> Iterable[bytes]:
    """Ends what calls in another machine's way, refuses x32, and leaves the call's number loaded."""
    yield _load(_MACHINE_AT)
    yield from (_jump(_EQUAL, kernel_name, 1, 0), _return(_KILL))
    yield _load(_NUMBER_AT)
    yield from (_jump(_AT_LEAST, _OTHER_ABI_OF_X86, 0, 1), _return(_FAIL | errno.ENOSYS))


def _instructions(kernel_name: int, numbers: Iterable[int], clone: int, clone3: int) -> Iterable[bytes]:
    """Tests that each end in a verdict, so that no jump is longer than two instructions."""
    refuse = _return(_FAIL | errno.EPERM)
    yield from _same_machine(kernel_name)
    yield from (_jump(_EQUAL, clone3, 0, 1), _return(_FAIL | errno.ENOSYS))
    for number in numbers:
        yield from (_jump(_EQUAL, number, 0, 1), refuse)
    yield from (_jump(_EQUAL, clone, 1, 0), _return(_ALLOW))
    yield _load(_FIRST_ARGUMENT_AT)
    yield from (_jump(_HAS_ANY, _NAMESPACES, 0, 1), refuse, _return(_ALLOW))


def _load(offset: int) -> bytes:
    return struct.pack("<HBBI", _LOAD, 0, 0, offset)


def _jump(test: int, value: int, if_true: int, if_false: int) -> bytes:
    """Skips so many instructions where the loaded word passes the test, and so many where it does not."""
    return struct.pack("<HBBI", test, if_true, if_false, value)


def _return(verdict: int) -> bytes:
    return struct.pack("<HBBI", _RETURN, 0, 0, verdict)
