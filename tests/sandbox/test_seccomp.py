"""The filter: its numbers are the kernel's, and every jump in it lands where it should."""

from __future__ import annotations

import platform
import re
import struct
from pathlib import Path

import pytest

from edgesearch.sandbox import seccomp

ALL = {**seccomp.ESCAPES, **seccomp.METADATA, **seccomp.LASTING, **seccomp.SIGNALS}
OF_PLAIN = {"fcntl": seccomp.FCNTL, "ioctl": seccomp.IOCTL, "prlimit64": seccomp.PRLIMIT}
ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
X86, ARM = 0xC000003E, 0xC00000B7


def verdict(program: bytes, number: int, machine: int = X86, first_argument: int = 0, second_argument: int = 0) -> int:
    """What the kernel would make of a call: the four kinds of instruction that the filter uses, interpreted."""
    data = struct.pack("<iIQQQ", number, machine, 0, first_argument, second_argument)
    instructions = list(struct.iter_unpack("<HBBI", program))
    at, word = 0, 0
    while True:
        code, if_true, if_false, value = instructions[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            (word,) = struct.unpack_from("<I", data, value)
        else:
            holds = {0x15: word == value, 0x35: word >= value, 0x45: bool(word & value)}[code]
            at += if_true if holds else if_false


@pytest.mark.parametrize(("machine", "kernel_name", "place"), [("x86_64", X86, 0), ("aarch64", ARM, 1)])
def test_exactly_the_named_calls_are_refused(machine: str, kernel_name: int, place: int) -> None:
    program = seccomp.build(ALL, machine=machine)
    refused = {call[place] for call in ALL.values()} - {-1}
    for number in range(500):
        expected = EPERM if number in refused else ENOSYS if number == seccomp.CLONE3[place] else ALLOW
        assert verdict(program, number, kernel_name) == expected, number


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(0x11, ALLOW), (0x3D0F00, ALLOW), (0x10000011, EPERM), (0x20000, EPERM)],
    ids=["fork", "thread", "user namespace", "mount namespace"],
)
def test_clone_may_make_processes_and_threads_but_no_namespaces(flags: int, expected: int) -> None:
    assert verdict(seccomp.build(seccomp.ESCAPES, machine="x86_64"), 56, X86, flags) == expected


def test_the_calls_of_another_kind_of_machine_end_the_program() -> None:
    program = seccomp.build(seccomp.ESCAPES, machine="x86_64")
    assert verdict(program, 41, 0x40000003) == KILL  # 32-bit x86, where 41 is dup
    assert verdict(program, 0x40000000 + 41) == ENOSYS  # x32


def test_a_machine_that_is_not_known_has_no_filter() -> None:
    assert seccomp.build(ALL, machine="riscv64") == b""


@pytest.mark.parametrize(("machine", "kernel_name", "place"), [("x86_64", X86, 0), ("aarch64", ARM, 1)])
def test_a_program_that_only_computes_may_make_exactly_the_calls_of_the_list(
    machine: str, kernel_name: int, place: int
) -> None:
    program = seccomp.build_plain(machine)
    allowed = {call[place] for call in seccomp.PLAIN.values()} - {-1}
    by_argument = {call[place] for call in OF_PLAIN.values()}
    for number in set(range(500)) - by_argument:
        expected = ALLOW if number in allowed else ENOSYS if number == seccomp.CLONE3[place] else EPERM
        assert verdict(program, number, kernel_name) == expected, number
    refused = {call[place] for call in ALL.values()} - {-1}
    assert not allowed & refused


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("fcntl", (3, 1), ALLOW),  # F_GETFD
        ("fcntl", (3, 8), EPERM),  # F_SETOWN: signals to others
        ("fcntl", (3, 2**32 + 8), EPERM),  # the kernel reads the lower half
        ("fcntl", (3, 10), EPERM),
        ("fcntl", (3, 1036), EPERM),  # F_SET_RW_HINT: stays with a file that can only be read
        ("fcntl", (3, 4), ALLOW),  # F_SETFL
        ("fcntl", (3, 15), EPERM),
        ("ioctl", (1, 0x5401), ALLOW),  # TCGETS
        ("ioctl", (1, 0x5412), EPERM),  # TIOCSTI: types into a terminal
        ("prlimit64", (0, 7), ALLOW),
        ("prlimit64", (1, 7), EPERM),
    ],
)
def test_a_few_calls_are_allowed_by_what_they_ask_for(name: str, arguments: tuple[int, int], expected: int) -> None:
    program = seccomp.build_plain("x86_64")
    assert verdict(program, OF_PLAIN[name][0], X86, *arguments) == expected


def test_a_program_that_only_computes_cannot_call_in_another_machines_way() -> None:
    program = seccomp.build_plain("x86_64")
    assert verdict(program, 3, 0x40000003) == KILL
    assert verdict(program, 0x40000000) == ENOSYS  # x32's read
    assert seccomp.build_plain("riscv64") == b""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the headers of x86-64")
def test_the_numbers_are_those_of_the_kernel_s_headers() -> None:
    headers = [Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm-generic/unistd.h")]
    if not all(path.exists() for path in headers):
        pytest.skip("the kernel's headers are not installed")
    for place, path in enumerate(headers):
        found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text()))
        found.setdefault("newfstatat", found.get("fstatat", "-1"))  # its name on 64-bit machines
        for name, call in (ALL | seccomp.PLAIN | OF_PLAIN | {"clone": seccomp.CLONE, "clone3": seccomp.CLONE3}).items():
            if name in found:
                assert call[place] == int(found[name]), f"{name} in {path}"
            elif name not in ("fchmodat2", "mount_setattr"):  # newer than some headers
                assert call[place] == -1, f"{name} in {path}"
