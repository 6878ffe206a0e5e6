"""What `edgesearch solve --task code` does otherwise: its flags, its problems, and how a program is printed."""

from dataclasses import dataclass
from functools import partial

from edgesearch.errors import UsageError
from edgesearch.types import Problem, Solution

from .problems import Maker, read_text
from .terminal import say, visible, warn

ANSWER, CODE = "answer", "code"
TASKS = (ANSWER, CODE)
SANDBOXES = ("auto", "bubblewrap", "landlock", "container", "sandbox-exec", "none")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the flags say about what the answer is."""

    task: str
    tests: str | None
    """A file of tests; None for none."""
    sandbox: str | None
    """None for the strongest."""
    has_lines: bool
    """Whether problems come one a line."""

    def __post_init__(self) -> None:
        if self.task != CODE:
            for name, value in (("tests", self.tests), ("sandbox", self.sandbox)):
                if value is not None:
                    raise UsageError(f"--{name} is about programs; ask for one with --task code")
        if self.tests is not None and self.has_lines:
            raise UsageError('--tests is of one problem; with --jsonl give each line its own, as text under "tests"')

    @property
    def is_code(self) -> bool:
        """Whether the answer is a program."""
        return self.task == CODE

    def maker(self) -> Maker:
        """Makes problems of what is read.

        Raises:
            UsageError: the file of tests cannot be read.
        """
        if not self.is_code:
            return _plain
        from edgesearch.tasks.code_problem import code_problem

        if self.tests is None:
            return code_problem
        return partial(code_problem, tests=read_text(self.tests), name=f"file {self.tests!r}")

    def verifier(self, named: str, problem: Problem | None) -> str:
        """What `--verifier` means; of problems that come one a line nothing is known yet."""
        if not self.is_code:
            return named
        if problem is None:
            return "tests" if named == "auto" else named
        from edgesearch.loading import verifier_for

        return verifier_for(problem, named)


def _plain(text: str, *, tests: str | None = None, function: str | None = None, id: str = "") -> Problem:
    """A problem with a final answer, whatever else its line holds."""
    del tests, function
    return Problem(text, id)


def say_program(program: str) -> None:
    """Prints a program and nothing else, so that it can be kept in a file."""
    shown = visible(program)
    if shown != program:
        warn("the program holds characters that could harm a terminal, which are left out; --json tells it as it is")
    say(shown.rstrip("\n"))


def warn_of_failures(solution: Solution) -> None:
    """Says so where a program fails visible tests."""
    tests = solution.tests
    if tests is not None and not tests.is_passed:
        warn(f"this is the best program so far: it passes {tests.num_passed:,} of {tests.num_tests:,} visible tests")
