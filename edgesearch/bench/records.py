"""What a store holds, as values: a run, its sessions, outcomes and their candidates.

    Outcome ── candidates (GradedCandidate), grades (Grade), usage, strategy, models
    Columns    the figures of all candidates of a cell as arrays, without their texts

A record that contradicts itself cannot be made, so nothing of the kind gets into a store.

Not covered: where they are kept (store.py), how they come about (outcomes.py).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgesearch.bench.recipe import Cell
from edgesearch.types import Candidate, Finish, ModelNames, StrategyUsed, Usage

UNANSWERED = -1
"""The class of a candidate without an answer, in arrays."""

Status = Literal["correct", "wrong", "unanswered", "error"]
STATUSES: tuple[Status, ...] = get_args(Status)
Extraction = Literal["strict", "flexible"]
"""How an answer is found in a solution: only in the form that the prompt asks for, or wherever one may be meant."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run is of; a resumed run must be of the same, but for `versions` and `machine`."""

    recipe: str
    """The text of the recipe."""
    task_digest: str
    """Of its samples, prompt and grader."""
    model_digests: Mapping[str, str] = field(hash=False)
    """By engine and role, such as `small/solver`: what was read from where, as a digest."""
    cells: tuple[Cell, ...]
    """In the order of the recipe."""
    versions: Mapping[str, str] = field(default_factory=dict, hash=False)
    """By package, of this session."""
    machine: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What this session runs on."""


@dataclass(frozen=True, slots=True)
class Session:
    """One opening for writing."""

    process: int
    host: str
    versions: Mapping[str, str] = field(hash=False)
    machine: Mapping[str, str] = field(hash=False)
    started_s: float
    ended_s: float | None
    """None where it was killed, or is under way."""


@dataclass(frozen=True, slots=True)
class Grade:
    """One grader's verdict on the chosen solution."""

    grader: str
    """Its name and version."""
    extraction: Extraction
    answer: str | None
    """What was extracted; None for nothing."""
    is_right: bool | None
    """None where the grader could not tell."""

    def __post_init__(self) -> None:
        _require("extraction", self.extraction in get_args(Extraction), self.extraction, "strict or flexible")


@dataclass(frozen=True, slots=True)
class GradedCandidate:
    """A finished or cut-off solution, and whether its answer is right."""

    text: str
    answer: str | None = None
    """None when it has none."""
    answer_class: str | None = None
    """Equal for equal answers, such as `answer.canonical`; None exactly where there is no answer."""
    is_right: bool = False
    """Never without an answer."""
    score: float | None = None
    """Aggregated verifier score in [0, 1]; None when not verified."""
    step_scores: tuple[float, ...] = ()
    """In [0, 1]."""
    step_ends: tuple[int, ...] = ()
    """Characters of the text up to the end of each step; candidates that share steps share that much text."""
    logprob: float | None = None
    """Natural, under the solver at temperature 1; None where not told."""
    num_tokens: int | None = None
    """Drawn; None where not told."""
    finish: Finish | None = None
    """None where not told."""
    ended_s: float | None = None
    """Unix time at which it was finished; None where not told."""

    def __post_init__(self) -> None:
        is_paired = (self.answer is None) == (self.answer_class is None)
        _require("answer_class", is_paired, self.answer_class, "None exactly where answer is")
        _require("is_right", self.answer is not None or not self.is_right, self.is_right, "False without an answer")
        _require("score", self.score is None or 0 <= self.score <= 1, self.score, "None or in [0, 1]")
        _require("step_scores", all(0 <= score <= 1 for score in self.step_scores), self.step_scores, "in [0, 1]")
        is_finite = self.logprob is None or math.isfinite(self.logprob)
        _require("logprob", is_finite, self.logprob, "None or finite")

    @classmethod
    def of(
        cls, candidate: Candidate, *, answer_class: str | None, is_right: bool, ended_s: float | None = None
    ) -> "GradedCandidate":
        """What is kept of a candidate that `solve` returned."""
        beam = candidate.beam
        lengths = [len(step.text) for step in beam.steps]
        return cls(
            text=beam.text,
            answer=candidate.answer,
            answer_class=answer_class,
            is_right=is_right,
            score=candidate.score,
            step_scores=beam.scores,
            step_ends=tuple(sum(lengths[: number + 1]) for number in range(len(lengths))),
            logprob=beam.logprob,
            num_tokens=beam.num_tokens,
            finish=beam.finish,
            ended_s=ended_s,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """One unit of work: a graded solution of one sample in one cell."""

    key: str
    """`recipe.unit_key`."""
    cell: str
    """The key of the cell."""
    sample_id: str
    status: Status
    budget_s: float
    started_s: float
    """Unix time."""
    ended_s: float
    """Unix time."""
    wall_s: float = 0.0
    """From the accepted problem to the chosen answer."""
    load_s: float = 0.0
    """Loading the models, in the first unit after it."""
    joules: float | None = None
    """What the whole machine spent while it was solved; None where that is not counted (energy.py)."""
    answer: str | None = None
    """The chosen one; None exactly when unanswered, or after an error."""
    chosen: int | None = None
    """Index of the chosen candidate; None where there is none."""
    grades: tuple[Grade, ...] = ()
    confidence: float | None = None
    finish: Finish | None = None
    """None after an error."""
    usage: Usage = field(default_factory=Usage)
    strategy: StrategyUsed | None = None
    """As it ran, after the planner and any fallback."""
    models: ModelNames | None = None
    """And where they ran."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    """What failed; empty unless the status is error."""
    candidates: tuple[GradedCandidate, ...] = ()
    """In the order in which they were finished."""

    def __post_init__(self) -> None:
        _require("status", self.status in STATUSES, self.status, f"one of {', '.join(STATUSES)}")
        _require("error", bool(self.error) == (self.status == "error"), self.error, "there exactly for status error")
        is_answered = self.status in ("correct", "wrong")
        _require("answer", (self.answer is not None) == is_answered, self.answer, "there for correct and wrong only")
        is_chosen = self.chosen is None or 0 <= self.chosen < len(self.candidates)
        _require("chosen", is_chosen, self.chosen, f"None or in [0, {len(self.candidates)})")
        is_spent = self.joules is None or 0 <= self.joules < math.inf
        _require("joules", is_spent, self.joules, "None or >= 0 and finite")


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The figures of all candidates of a cell, sample after sample by id, each sample's in the order of drawing."""

    sample_ids: tuple[str, ...]
    """(num_samples,) of every outcome of the cell, also of those without candidates."""
    offsets: NDArray[np.int64]
    """(num_samples + 1,) the candidates of sample i are those from offsets[i] up to offsets[i + 1]."""
    answer_class: NDArray[np.int64]
    """(num_candidates,) which answer each gives, numbered within its sample by first appearance; `UNANSWERED`."""
    is_right: NDArray[np.bool_]
    """(num_candidates,)"""
    score: NDArray[np.float64]
    """(num_candidates,) NaN when not verified."""
    logprob: NDArray[np.float64]
    """(num_candidates,) NaN where not told."""
    num_tokens: NDArray[np.int64]
    """(num_candidates,) 0 where not told."""

    def of(self, index: int) -> slice:
        """Where the candidates of sample `index` are."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))


def _require(name: str, is_valid: object, value: object, allowed: str) -> None:
    if not is_valid:
        raise ValueError(f"{name} must be {allowed}, not {value!r:.80}")
