"""The last thing that runs before a checker, in its process: gives up rights, then becomes that program.

It is started by a bare interpreter. The usual place for such code, between fork and exec, is not safe in a process with
threads. What it does cannot be undone by the program. It exits with 126 where a right could not be given up, and with
127 where the program cannot be started.

Arguments: PARENT RLIMITS WRITABLE SECCOMP PROGRAM ARGUMENT...
  PARENT    process id whose end ends the program; 0 for none
  RLIMITS   NUMBER:LIMIT pairs with commas
  WRITABLE  the only directory that Landlock lets it write; empty for no rules
  SECCOMP   a filter in hexadecimal; empty for none
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from . import kernel

START = (
    "-I",
    "-S",
    "-c",
    f"import sys; sys.path.append({str(Path(__file__).resolve().parents[1])!r}); "
    "from sandbox.launcher import main; main(sys.argv[1:])",
)
"""What an interpreter is started with to run this; the rest of edgesearch is not imported."""


def main(arguments: list[str]) -> NoReturn:
    """Gives up rights and becomes the program."""
    parent, rlimits, writable, seccomp, *program = arguments
    try:
        if sys.platform == "linux":
            _give_up(int(parent), writable, bytes.fromhex(seccomp))
        limit(rlimits)
    except OSError as error:
        _fail(126, f"the sandbox cannot be set up: {error}")
    try:
        os.execv(program[0], program)  # noqa: S606 - this is what it is for
    except OSError as error:
        _fail(127, f"{program[0]} cannot be started: {error.strerror}")


def limit(pairs: str) -> None:
    """Lowers limits, never raises one; `pairs` as among the arguments."""
    import resource  # not on Windows, where this module is imported all the same

    for pair in pairs.split(","):
        number, wanted = map(int, pair.split(":"))
        most = resource.getrlimit(number)[1]
        lowered = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        # A second after the signal that processor time is up comes one that cannot be ignored.
        is_warned = number == resource.RLIMIT_CPU and lowered != most
        resource.setrlimit(number, (lowered, lowered + is_warned))


def _give_up(parent: int, writable: str, seccomp: bytes) -> None:
    if parent:
        kernel.end_with(parent)
    kernel.keep_privileges_out()
    kernel.drop_capabilities()
    if writable:
        kernel.restrict_files(readable=None, writable=[writable, os.devnull])
    if seccomp:
        kernel.filter_calls(seccomp)


def _fail(status: int, message: str) -> NoReturn:
    sys.stderr.write(message + "\n")
    sys.exit(status)
