"""From what solving a unit gave to the outcome that the store keeps: every candidate graded, by the task's grader.

Grading happens in the runner's process, after the solve, so that no solver ever has a target near it. An answer is
graded once for its sample, however many candidates and cells give it. The chosen solution is graded by both ways of
extraction, strict and flexible; the status is that of the strict one. What a grader cannot decide is not right, and
its grade says so with `is_right` None.

Not covered: comparing answers (tasks/grading.py, tasks/arithmetic), figures over outcomes (estimators.py).
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from edgesearch.answer import extract_flexible
from edgesearch.bench.messages import Solved
from edgesearch.bench.records import Grade, GradedCandidate, Outcome, Status
from edgesearch.bench.units import Unit
from edgesearch.tasks import grading
from edgesearch.tasks.base import Sample

Compare = Callable[[Sample, str], bool | None]
"""Whether an answer to a sample is right; None where the grader cannot tell."""
ARITHMETIC = "arithmetic-1"
"""The built-in task's grader: it computes from the problem, where `grading.GRADERS` only know the target."""
MAX_REMEMBERED = 100_000


class OutcomeGrader:
    """Grades what was solved. A context manager, since a grader may keep a process."""

    def __init__(self, name: str) -> None:
        """Makes one.

        Args:
            name: name and version of the grader, as the task has it.

        Raises:
            UsageError: there is no such grader, or an extra that it needs is missing.
        """
        self.name = name
        self._undo = ExitStack()
        self._compare = arithmetic_1 if name == ARITHMETIC else self._by_target(name)
        self._remembered: OrderedDict[tuple[str, str], bool | None] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def outcome(self, unit: Unit, solved: Solved, *, load_s: float = 0.0) -> Outcome:
        """The outcome of a unit that was solved.

        Args:
            unit: which.
            solved: what came of it.
            load_s: seconds of loading before it.
        """
        sample = unit.sample
        return Outcome(
            key=unit.key,
            cell=unit.cell.key,
            sample_id=sample.id,
            status=self._status(sample, solved.answer),
            budget_s=unit.cell.budget_s,
            started_s=solved.started_s,
            ended_s=solved.ended_s,
            wall_s=solved.wall_s,
            load_s=load_s,
            joules=solved.joules,
            answer=solved.answer,
            chosen=solved.chosen,
            grades=self._grades(sample, solved),
            confidence=solved.confidence,
            finish=solved.finish,
            usage=solved.usage,
            strategy=solved.strategy,
            models=solved.models,
            warnings=solved.warnings,
            candidates=tuple(self._candidate(sample, candidate) for candidate in solved.candidates),
        )

    def _status(self, sample: Sample, answer: str | None) -> Status:
        if answer is None:
            return "unanswered"
        return "correct" if self._is_right(sample, answer) else "wrong"

    def _grades(self, sample: Sample, solved: Solved) -> tuple[Grade, Grade]:
        text = "" if solved.chosen is None else solved.candidates[solved.chosen].text
        flexible = extract_flexible(text) if solved.answer is None else solved.answer
        return (
            Grade(self.name, "strict", solved.answer, self._is_right(sample, solved.answer)),
            Grade(self.name, "flexible", flexible, self._is_right(sample, flexible)),
        )

    def _candidate(self, sample: Sample, candidate: GradedCandidate) -> GradedCandidate:
        is_right = self._is_right(sample, candidate.answer) is True
        return dataclasses.replace(candidate, is_right=True) if is_right else candidate

    def _is_right(self, sample: Sample, answer: str | None) -> bool | None:
        """As `Compare`, each answer to a sample once; no answer is not right."""
        if answer is None:
            return False
        pair = (sample.id, answer)
        if pair not in self._remembered:
            self._remembered[pair] = self._compare(sample, answer)
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return self._remembered[pair]

    def _by_target(self, name: str) -> Compare:
        grader = self._undo.enter_context(grading.grader(name))

        def compare(sample: Sample, answer: str) -> bool | None:
            verdict = grader.compare(sample.target, answer)
            return None if verdict.undecided else verdict.is_equal

        return compare


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
