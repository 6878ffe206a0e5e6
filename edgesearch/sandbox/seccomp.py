"""A filter of system calls, as the kernel reads it.

It refuses what no checker needs and what leads out of a sandbox: sockets, namespaces, mounts, tracing, kernel modules,
keys, and io_uring, whose requests pass no filter. A refused call fails with EPERM and the program goes on. `clone3`
fails as if it did not exist, since its flags cannot be read here; C libraries then use `clone`, whose flags can.

Not covered: processors other than x86-64 and 64-bit Arm, for which there is no filter.

Sources: seccomp(2); the numbers are those of the kernel's tables (arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h).
"""

import errno
import platform
import struct
from collections.abc import Iterable, Mapping

_LOAD, _EQUAL, _AT_LEAST, _HAS_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
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


def _instructions(kernel_name: int, numbers: Iterable[int], clone: int, clone3: int) -> Iterable[bytes]:
    """Tests that each end in a verdict, so that no jump is longer than two instructions."""
    refuse = _return(_FAIL | errno.EPERM)
    yield _load(_MACHINE_AT)
    yield from (_jump(_EQUAL, kernel_name, 1, 0), _return(_KILL))
    yield _load(_NUMBER_AT)
    yield from (_jump(_AT_LEAST, _OTHER_ABI_OF_X86, 0, 1), _return(_FAIL | errno.ENOSYS))
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
