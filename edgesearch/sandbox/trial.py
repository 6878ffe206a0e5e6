"""Trials: a program that a model wrote, and the tests that it must pass.

    Trial("def add(a, b):\\n    return a + b\\n", ("add",), tests=("assert add(1, 2) == 3",))

A program never decides about itself. It runs in one process, which knows neither the tests nor what they expect and
only answers calls with plain values (None, numbers, texts, bytes, and lists, tuples, dicts and sets of them); the tests
run in another, where the functions are stand-ins that send each call over. Both are untrusted, and neither reaches the
other but by those calls. Processor time grades, not the wall clock, so a busy machine gives the same results.

Not covered: how they are run (pool.py and inside/), programs in other languages, calls whose arguments are functions or
objects.
"""

import ast
import warnings
from dataclasses import dataclass
from typing import Literal

from edgesearch.sandbox.base import MIB, Limits

Status = Literal["passed", "failed", "error"]
"""`error`: the test is at fault, not the program: it cannot be read, or fails before it first calls a function."""
MAX_SOURCE_BYTES = 1 * MIB
"""Of a program; a longer one fails. Tests may have `MAX_TESTS_BYTES`."""
MAX_TESTS_BYTES = 32 * MIB
LIMITS = Limits(
    wall_s=45.0,
    cpu_s=6.0,
    memory_bytes=1024 * MIB,
    file_bytes=1,
    output_bytes=64 * 1024,
    num_files=32,
    num_processes=1,
)
"""For each of the two processes of a trial. The wall clock only ends what sleeps or waits.

The slowest reference solution of HumanEval and MBPP takes half of this processor time.
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """A program and its tests."""

    program: str
    """Python source, as a model wrote it; anything may be in it."""
    functions: tuple[str, ...]
    """Names in it that tests may call; the first is the one that was asked for."""
    tests: tuple[str, ...]
    """Python source of each test; one that raises is failed. They share their names, in order."""
    setup: str = ""
    """Python source that the tests need: helpers and imports; stand-ins replace the functions that it defines."""
    ends_early: bool = True
    """Whether the first test that is not passed is the last to run."""


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of one test."""

    status: Status
    reason: str = ""
    """One line; empty where it passed."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What came of a trial."""

    tested: tuple[Tested, ...]
    """In the order of the tests, as far as they were run; never empty, also where the program cannot even start."""
    num_tests: int
    """All there were."""
    cpu_s: float = 0.0
    """Processor time of the program."""
    is_cut: bool = False
    """Whether it was given up because nobody would wait longer; then it says nothing of the program."""

    @property
    def is_passed(self) -> bool:
        """Whether every test is."""
        return len(self.tested) == self.num_tests and all(each.status == "passed" for each in self.tested)

    @property
    def num_passed(self) -> int:
        """Tests that are."""
        return sum(each.status == "passed" for each in self.tested)

    @property
    def error(self) -> str:
        """Why the tests are at fault; empty where they are not."""
        return next((each.reason for each in self.tested if each.status == "error"), "")

    @property
    def reason(self) -> str:
        """Why it is not passed, in one line; empty where it is."""
        return next((each.reason for each in self.tested if each.status != "passed"), "")


def setup_of(prefix: str) -> str:
    """The setup of tests that use what stands in a prefix (`CodeSpec.prefix`): its imports and helpers.

    The last function of a prefix is often only begun. A signature with a docstring is a whole function for Python; one
    without anything after it is given a body that does nothing. A prefix that cannot be read so either is returned as
    it is, and its trials say why.
    """
    lines = prefix.rstrip().splitlines()
    indent = len(lines[-1]) - len(lines[-1].lstrip()) if lines else 0
    closed = ("\n".join([*lines, " " * (indent + more) + "pass", ""]) for more in (4, 0))
    return next((text for text in (prefix, *closed) if _is_python(text)), prefix)


def _is_python(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a backslash in somebody's docstring
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True
