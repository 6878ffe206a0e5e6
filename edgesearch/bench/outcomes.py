"""From what solving a unit gave to the outcome that the store keeps: every candidate graded, by the task's grader.

Grading happens in the runner's process, after the solve, so that no solver ever has a target near it. An answer is
graded once for its sample, however many candidates and cells give it. The chosen solution is graded by both ways of
extraction, strict and flexible; the status is that of the strict one. What a grader cannot decide is not right, and
its grade says so with `is_right` None.

Programs are graded by the hidden tests of their sample, in a sandbox: all different programs of a unit side by side,
before its outcome is put together. Where the tests are at fault, the outcome is an error that says how, with all of its
candidates. A program is found in one way only, so that strict and flexible extraction are the same.

Not covered: comparing answers (tasks/grading.py, tasks/arithmetic), trying programs (tasks/program_grading.py), figures
over outcomes (estimators.py).
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, Self

from edgesearch.answer import canonical, extract_flexible
from edgesearch.bench.messages import Solved
from edgesearch.bench.records import Grade, GradedCandidate, Outcome, Status
from edgesearch.bench.units import Unit
from edgesearch.errors import UsageError
from edgesearch.tasks import grading
from edgesearch.tasks.base import Sample
from edgesearch.tasks.grading import PYTHON
from edgesearch.tasks.program_grading import FaultyTests, ProgramGrader
from edgesearch.verifiers.trials import Pool

Compare = Callable[[Sample, str], bool | None]
"""Whether an answer to a sample is right; None where the grader cannot tell."""
ARITHMETIC = "arithmetic-1"
"""The built-in task's grader: it computes from the problem, where `grading.GRADERS` only know the target."""
LIGHT = (ARITHMETIC, "answer-1")
"""Graders that take microseconds: no process, no algebra."""
MAX_REMEMBERED = 100_000


class _Judge(Protocol):
    """Tells right answers from wrong ones."""

    has_flexible: bool
    """Whether an answer may be looked for where none is stated."""

    def prepare(self, sample: Sample, solved: Solved) -> str:
        """Looks at all answers of a unit; why none can be judged, empty where they can."""
        ...

    def is_right(self, sample: Sample, answer: str) -> bool | None:
        """Whether an answer of the unit that was prepared last is right; None where it cannot be told."""
        ...


class _Answers:
    """Compares final answers, each to its sample once."""

    has_flexible = True

    def __init__(self, compare: Compare) -> None:
        self._compare = compare
        self._remembered: OrderedDict[tuple[str, str], bool | None] = OrderedDict()

    def prepare(self, sample: Sample, solved: Solved) -> str:
        """See `_Judge`."""
        del sample, solved
        return ""

    def is_right(self, sample: Sample, answer: str) -> bool | None:
        """See `_Judge`."""
        pair = (sample.id, answer)
        if pair not in self._remembered:
            self._remembered[pair] = self._compare(sample, answer)
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return self._remembered[pair]


class _Programs:
    """Has programs tried, each different one of a sample once."""

    has_flexible = False

    def __init__(self, pool: Pool) -> None:
        self._grader = ProgramGrader(pool)
        self._right: dict[str, bool] = {}
        """By program of the unit."""
        self.num_programs = 0

    @property
    def num_tried(self) -> int:
        """Programs that were run."""
        return self._grader.num_tried

    def prepare(self, sample: Sample, solved: Solved) -> str:
        """See `_Judge`."""
        classes = {each.answer: each.answer_class or "" for each in solved.candidates if each.answer is not None}
        if solved.answer is not None:
            classes.setdefault(solved.answer, canonical(solved.answer))
        self.num_programs += sum(each.answer is not None for each in solved.candidates)
        programs = {name: text for text, name in reversed(classes.items())}  # the first of equal ones is run
        try:
            verdicts = self._grader.verdicts(sample, programs)
        except FaultyTests as error:
            self._right = {}
            return f"the tests that grade it are at fault: {error}"
        self._right = {text: verdicts[name] for text, name in classes.items()}
        return ""

    def is_right(self, sample: Sample, answer: str) -> bool:
        """See `_Judge`."""
        del sample
        return self._right.get(answer, False)


class OutcomeGrader:
    """Grades what was solved. A context manager, since a grader may keep a process."""

    def __init__(self, name: str, pool: Pool | None = None) -> None:
        """Makes one.

        Args:
            name: name and version of the grader, as the task has it.
            pool: runs programs, for the grader that judges them; stays its owner's.

        Raises:
            UsageError: there is no such grader, an extra that it needs is missing, or nothing runs programs for it.
        """
        self.name = name
        self._undo = ExitStack()
        self._programs = _programs(pool) if name == PYTHON else None
        self._judge: _Judge = self._programs or _Answers(arithmetic_1 if name == ARITHMETIC else self._by_target(name))
        self._warnings = _cautions(pool) if self._programs is not None else ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def num_programs(self) -> int:
        """Programs among the candidates of all outcomes so far."""
        return self._programs.num_programs if self._programs is not None else 0

    @property
    def num_tried(self) -> int:
        """Different programs that were run for them."""
        return self._programs.num_tried if self._programs is not None else 0

    def outcome(self, unit: Unit, solved: Solved, *, load_s: float = 0.0) -> Outcome:
        """The outcome of a unit that was solved.

        Args:
            unit: which.
            solved: what came of it.
            load_s: seconds of loading before it.
        """
        sample = unit.sample
        fault = self._judge.prepare(sample, solved)
        return Outcome(
            key=unit.key,
            cell=unit.cell.key,
            sample_id=sample.id,
            status="error" if fault else self._status(sample, solved.answer),
            budget_s=unit.cell.budget_s,
            started_s=solved.started_s,
            ended_s=solved.ended_s,
            wall_s=solved.wall_s,
            load_s=load_s,
            joules=solved.joules,
            answer=None if fault else solved.answer,
            chosen=solved.chosen,
            grades=() if fault else self._grades(sample, solved),
            confidence=solved.confidence,
            finish=solved.finish,
            usage=solved.usage,
            strategy=solved.strategy,
            models=solved.models,
            warnings=(*solved.warnings, *self._warnings),
            error=fault,
            candidates=tuple(self._candidate(sample, candidate) for candidate in solved.candidates),
        )

    def _status(self, sample: Sample, answer: str | None) -> Status:
        if answer is None:
            return "unanswered"
        return "correct" if self._is_right(sample, answer) else "wrong"

    def _grades(self, sample: Sample, solved: Solved) -> tuple[Grade, Grade]:
        text = "" if solved.chosen is None else solved.candidates[solved.chosen].text
        is_looked_for = solved.answer is None and self._judge.has_flexible
        flexible = extract_flexible(text) if is_looked_for else solved.answer
        return (
            Grade(self.name, "strict", solved.answer, self._is_right(sample, solved.answer)),
            Grade(self.name, "flexible", flexible, self._is_right(sample, flexible)),
        )

    def _candidate(self, sample: Sample, candidate: GradedCandidate) -> GradedCandidate:
        is_right = self._is_right(sample, candidate.answer) is True
        return dataclasses.replace(candidate, is_right=True) if is_right else candidate

    def _is_right(self, sample: Sample, answer: str | None) -> bool | None:
        """No answer is not right."""
        return False if answer is None else self._judge.is_right(sample, answer)

    def _by_target(self, name: str) -> Compare:
        grader = self._undo.enter_context(grading.grader(name))

        def compare(sample: Sample, answer: str) -> bool | None:
            verdict = grader.compare(sample.target, answer)
            return None if verdict.undecided else verdict.is_equal

        return compare


def _programs(pool: Pool | None) -> _Programs:
    if pool is None:
        raise UsageError(f"the grader {PYTHON} runs programs, and was given nothing to run them in")
    return _Programs(pool)


def _cautions(pool: Pool | None) -> tuple[str, ...]:
    """What a reader of an outcome must know of the sandbox; nothing where it isolates."""
    if pool is None or pool.info.is_isolating:
        return ()
    return (f"programs were run with --sandbox {pool.info.name}, which does not isolate them: {pool.info.caution}",)


def arithmetic_1(sample: Sample, answer: str) -> bool:
    """Whether an answer to a generated problem is right: computed from the problem where its family allows it."""
    from edgesearch.tasks.arithmetic import ArithmeticSample, grade

    # The grader reads the problem and the target alone.
    return grade(ArithmeticSample(sample.id, sample.question, sample.target, (), "", 1, ""), answer)


def failed(unit: Unit, error: str, *, started_s: float, ended_s: float) -> Outcome:
    """The outcome of a unit that could not be solved."""
    return Outcome(
        key=unit.key,
        cell=unit.cell.key,
        sample_id=unit.sample.id,
        status="error",
        budget_s=unit.cell.budget_s,
        started_s=started_s,
        ended_s=ended_s,
        error=error,
    )
