r"""Grades free-form maths answers: by text, then by number, then by algebra; says which of them decided.

Why: graders differ by several points on one set of solutions, so a score without its grader means little. Here each
grade names its grader (a name and a version, such as `math-1`), the stage that decided, and, where nothing could
decide, why not. What is undecided counts as wrong and is counted apart.

- string: both answers are the same text after `answer.normalise`; or neither is a number nor an expression.
- numeric: `answer.equivalent`, which compares numbers, fractions, percentages, sets, tuples and intervals of them.
- symbolic: math-verify behind the guards of `symbolic.py`, asked only for what text and numbers leave open.

A solution's answer is taken in two ways, graded side by side: *strict*, a stated answer only (`answer.extract`), and
*flexible*, the last number too (`answer.extract_flexible`). Reports show both, since harnesses differ in which.

Not covered: proofs, choices by meaning; programs, which tests judge (program_grading.py); units are dropped, never
converted (see `answer.py`).
A grader's rules never change under its name: other rules get another version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import TracebackType
from typing import Literal, Self

from edgesearch.answer import canonical, equivalent, extract, extract_flexible, normalise
from edgesearch.errors import UsageError
from edgesearch.tasks.symbolic import SymbolicGrader, atoms, is_number, structure

Stage = Literal["string", "numeric", "symbolic"]
Outcome = Literal["correct", "wrong", "unanswered"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether two final answers are one."""

    is_equal: bool
    stage: Stage
    """The stage that decided, or the last to try."""
    undecided: str = ""
    """Why equality could be neither shown nor ruled out; empty where it was decided."""

    def __post_init__(self) -> None:
        if self.is_equal and self.undecided:
            raise ValueError(f"undecided is {self.undecided!r}; an equal answer has been decided, so it must be empty")


@dataclass(frozen=True, slots=True)
class Grade:
    """One answer against its target."""

    target: str
    answer: str | None
    outcome: Outcome
    stage: Stage | None
    """None where there was no answer."""
    grader: str
    """Name and version."""
    undecided: str = ""
    """As in `Verdict`: such an answer is graded wrong."""

    def __post_init__(self) -> None:
        if (self.answer is None) != (self.outcome == "unanswered"):
            raise ValueError(
                f"outcome is {self.outcome!r} for {self.answer!r}; unanswered is for no answer, and only for that"
            )


@dataclass(frozen=True, slots=True)
class Grades:
    """One solution, graded by both extractions."""

    strict: Grade
    """Of the answer that the solution states."""
    flexible: Grade
    """The same; where none is stated, of the last number."""


@dataclass(frozen=True, slots=True)
class Grader:
    """Grades answers. A context manager, since the symbolic stage keeps a process."""

    name: str
    symbolic: SymbolicGrader | None = None
    """None leaves the last stage out."""

    def compare(self, target: str, answer: str) -> Verdict:
        """Whether a final answer equals the target. Never raises for what the answers hold."""
        if normalise(target) == normalise(answer):
            return Verdict(True, "string")
        numbers = [is_number(atom) for key in map(canonical, (target, answer)) for atom in atoms(structure(key))]
        if equivalent(target, answer):
            return Verdict(True, "numeric" if any(numbers) else "string")
        if all(numbers):
            return Verdict(False, "numeric")
        return self._by_algebra(target, answer)

    def grade_answer(self, target: str, answer: str | None) -> Grade:
        """Grades an answer that has been extracted already."""
        if answer is None:
            return Grade(target, None, "unanswered", None, self.name)
        verdict = self.compare(target, answer)
        outcome: Outcome = "correct" if verdict.is_equal else "wrong"
        return Grade(target, answer, outcome, verdict.stage, self.name, verdict.undecided)

    def grade_solution(self, target: str, text: str) -> Grades:
        """Grades the answer in a solution's text, by strict and by flexible extraction."""
        stated, found = extract(text), extract_flexible(text)
        strict = self.grade_answer(target, stated)
        return Grades(strict, strict if found == stated else self.grade_answer(target, found))

    def close(self) -> None:
        """Ends the symbolic stage's process."""
        if self.symbolic is not None:
            self.symbolic.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _by_algebra(self, target: str, answer: str) -> Verdict:
        if self.symbolic is None:
            return Verdict(False, "string")
        comparison = self.symbolic.compare(target, answer)
        stage: Stage = "symbolic" if comparison.is_asked or comparison.verdict == "equal" else "string"
        undecided = comparison.reason if comparison.verdict == "unknown" else ""
        return Verdict(comparison.verdict == "equal", stage, undecided)


# ------------------------------------------------------------------------------------------------- by name


def _answer_1() -> Grader:
    return Grader("answer-1")


def _math_1() -> Grader:
    return Grader("math-1", SymbolicGrader())


PYTHON = "python-1"
"""Programs, by the hidden tests of their sample: program_grading.py, which needs a sandbox."""
GRADERS: dict[str, Callable[[], Grader]] = {"answer-1": _answer_1, "math-1": _math_1}
"""Lazy factories. `answer-1` needs nothing more; `math-1` adds the symbolic stage (extra `bench`)."""


def grader(name: str) -> Grader:
    """The grader of that name.

    Raises:
        UsageError: there is none, or an extra that it needs is missing.
    """
    if name == PYTHON:
        raise UsageError(f"the grader {name} runs programs, which only `edgesearch bench run` does; use another task")
    if name not in GRADERS:
        close = get_close_matches(name, GRADERS, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise UsageError(f"unknown grader {name!r}{hint} Known: {', '.join(GRADERS)}")
    return GRADERS[name]()


# -------------------------------------------------------------------------------------------- disagreement


@dataclass(frozen=True, slots=True)
class Difference:
    """An answer whose two grades differ in outcome."""

    index: int
    """Into the grades given."""
    a: Grade
    b: Grade


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How far two graders, or two extractions, differ on the same solutions."""

    num_graded: int
    cases: tuple[Difference, ...]

    @property
    def rate(self) -> float:
        """Share of the solutions with different outcomes, in [0, 1]; 0 where there are none."""
        return len(self.cases) / self.num_graded if self.num_graded else 0.0


def disagreement(grades_a: Sequence[Grade], grades_b: Sequence[Grade]) -> Disagreement:
    """Where two lists of grades of the same solutions, in the same order, differ in outcome.

    Raises:
        ValueError: the lists are not as long, or two targets at one place differ.
    """
    if len(grades_a) != len(grades_b):
        raise ValueError(f"grades_a has {len(grades_a)} grades and grades_b {len(grades_b)}; give the same solutions")
    for i, (a, b) in enumerate(zip(grades_a, grades_b, strict=True)):
        if a.target != b.target:
            raise ValueError(f"the targets at {i} are {a.target!r} and {b.target!r}; give the same solutions")
    pairs = enumerate(zip(grades_a, grades_b, strict=True))
    cases = [Difference(i, a, b) for i, (a, b) in pairs if a.outcome != b.outcome]
    return Disagreement(len(grades_a), tuple(cases))
