"""Stores of runs that were never run: each test says what every outcome was, and knows what a report must say of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Grade, GradedCandidate, Outcome, RunInfo
from edgesearch.bench.report.measure import measure
from edgesearch.bench.report.model import Point, Report
from edgesearch.bench.store import Store
from edgesearch.tasks.base import Sample
from edgesearch.types import ModelNames, Problem, StrategyUsed, Usage

RECIPE = 'name = "a run"\n[task]\nname = "arithmetic"\nsplit = "mixed"\n'
MODELS = {"nano": ModelNames("nano", "nano-prm"), "large": ModelNames("nano-large", None)}
GRADER = "answer-1"
TARGET = "right"

Tell = Callable[[Cell, int], Outcome | None]
"""What came of a sample, by its number, in a cell; None where it was not run."""


def samples(num: int, levels: Sequence[str] = ()) -> list[Sample]:
    """p00, p01, ...; every target is `right`."""
    return [
        Sample(
            Problem(f"Solve {number}, please.", f"p{number:02}"),
            TARGET,
            f"Solve {number}.",
            {"level": levels[number]} if levels else {},
        )
        for number in range(num)
    ]


def outcome(cell: Cell, number: int, answers: Sequence[str | None], **changes: Any) -> Outcome:
    """An outcome whose candidates give these answers; the first one is chosen.

    Args:
        cell: which.
        number: of the sample.
        answers: one a candidate, `right` or anything else; None for no answer.
        changes: fields of `Outcome`; and `scores`, one a candidate, and `chosen`.
    """
    scores = changes.pop("scores", [None] * len(answers))
    candidates = tuple(
        GradedCandidate(f"It is {answer}.", answer, answer, answer == TARGET, score, num_tokens=10)
        for answer, score in zip(answers, scores, strict=True)
    )
    chosen = changes.setdefault("chosen", 0 if answers else None)
    answer = None if chosen is None else answers[chosen]
    is_right = answer == TARGET
    status = "unanswered" if answer is None else "correct" if is_right else "wrong"
    values = {
        "key": f"{cell.key}-{number}",
        "cell": cell.key,
        "sample_id": f"p{number:02}",
        "status": status,
        "budget_s": cell.budget_s,
        "started_s": 0.0,
        "ended_s": 1.0,
        "wall_s": 0.5 * len(answers),
        "answer": answer,
        "grades": tuple(Grade(GRADER, extraction, answer, is_right) for extraction in ("strict", "flexible")),
        "finish": "stop",
        "usage": usage(len(answers)),
        "strategy": StrategyUsed(cell.strategy, cell.n, cell.m, "last"),
        "models": MODELS.get(cell.engine, ModelNames(cell.engine, None)),
        "candidates": candidates,
    }
    return Outcome(**values | changes)


def usage(num: int, *, solver_flops: float = 1e6, verifier_flops: float = 0.0, peak_bytes: int | None = 1000) -> Usage:
    """Of so many candidates."""
    return Usage(
        prompt_tokens=20,
        prefilled_tokens=20,
        decoded_tokens=10 * num,
        solver_flops=solver_flops * num,
        verifier_flops=verifier_flops * num,
        peak_bytes=peak_bytes,
    )


def failed(cell: Cell, number: int, error: str = "it broke") -> Outcome:
    """An error."""
    changes = {"status": "error", "error": error, "answer": None, "grades": (), "finish": None, "wall_s": 0.0}
    return outcome(cell, number, [], **changes, usage=Usage(), strategy=None, models=None)


def write(
    path: Path,
    cells: Iterable[Cell],
    tell: Tell,
    asked: Sequence[Sample],
    *,
    recipe: str = RECIPE,
    digest: str = "of the task",
    machine: Mapping[str, str] | None = None,
) -> Path:
    """A store of these cells."""
    run = RunInfo(recipe, digest, {}, tuple(cells), {"edgesearch": "0.1.0"}, machine or {"processor": "a machine"})
    with Store.open(path, run, clock=lambda: 1_700_000_000.0) as store:
        store.add_samples(asked)
        for cell in run.cells:
            for number in range(len(asked)):
                found = tell(cell, number)
                if found is not None:
                    store.add(found)
    return path


def measured(*paths: Path, **options: Any) -> Report:
    """The report of stores."""
    stores = [Store.read(path) for path in paths]
    try:
        return measure(stores, **options)
    finally:
        for store in stores:
            store.close()


def point(report: Report, words: str) -> Point:
    """The only point whose name holds all these words."""
    (found,) = (each for each in report.points if set(words.split()) <= set(each.name.split()))
    return found
