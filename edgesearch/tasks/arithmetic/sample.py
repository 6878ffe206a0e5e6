"""What a generated problem is, and its reference solution as text."""

from __future__ import annotations

from dataclasses import dataclass

STEP_DELIMITER = "\n\n"


@dataclass(frozen=True, slots=True)
class ArithmeticSample:
    """A problem with its solution, both made by `generate`."""

    id: str
    """Unique within a set made by `held_out`; empty from `generate`."""
    problem: str
    target: str
    """The reference answer: a number, a time, a day, a date or an expression. Others may be right too: see `grade`."""
    steps: tuple[str, ...]
    """The solution's paragraphs without the answer line."""
    family: str
    level: int
    """1 to 5."""
    structure: str
    """The family and the choices that make the solution what it is, without its numbers and words."""


def answer_line(answer: str) -> str:
    return f"The answer is \\boxed{{{answer}}}"


def solution_text(sample: ArithmeticSample) -> str:
    r"""The reference solution: the steps and the answer line, joined by the step delimiter `\n\n`."""
    return STEP_DELIMITER.join((*sample.steps, answer_line(sample.target)))
