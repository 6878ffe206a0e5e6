"""Cells: one solver, verifier, strategy and width on one set of held-out problems; and what is kept of each solve.

What one run's candidates allow is taken from them: other choices (`weighted`, `majority`, and `likelihood`, the
solution that the solver itself finds likeliest), and narrower widths, of which a run holds several blocks. Beam search
allows neither, so each of its widths is a cell.

Not covered: how a cell is solved (solving.py), in which processes (runner.py), what is made of it (accuracy.py, ...).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgesearch.search.base import Selection

SOLVER, VERIFIER, BASELINES = "nano", "nano-prm", ("nano-medium", "nano-large")
SELECTIONS: Mapping[str, Selection] = {"majority": "majority", "weighted": "weighted", "best_of_n": "best"}
CHOICES = (*SELECTIONS, "likelihood")
"""What can be chosen from the candidates of one best-of-n run."""
RIGHT, WRONG, UNANSWERED = "1", "0", "-"

ProblemSet = tuple[str, int]
"""A split and a seed."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A row that is run."""

    solver: str
    verifier: str
    """A name, or `none`."""
    strategy: str
    n: int
    split: str = "mixed"
    seed: int = 0
    """Of the problems and the draws."""
    is_checked: bool = True
    """Whether answers are checked exactly where the problem allows it."""
    num_rounds: int = 1
    """Times the search is run, with other draws; the candidates of all rounds are taken together."""
    widths: tuple[int, ...] = ()
    """Narrower widths that are taken from its candidates; only for best_of_n."""
    has_draws: bool = False
    """Whether each candidate's scores and labels are kept."""

    @property
    def num_draws(self) -> int:
        """Candidates of all rounds."""
        return self.n * self.num_rounds

    @property
    def problems(self) -> ProblemSet:
        """What it is run on."""
        return self.split, self.seed

    @property
    def name(self) -> str:
        """Unique in a run."""
        return " ".join(map(str, asdict(self).values()))

    @property
    def weight(self) -> float:
        """About how long a problem takes, in no unit."""
        factor = {"nano-medium": 2.0, "nano-large": 4.0}.get(self.solver, 1.0)
        return factor * (2.0 + self.num_draws * (1.0 if self.strategy == "majority" else 1.6))


@dataclass(frozen=True, slots=True)
class Draw:
    """A distinct solution of one problem, with what the models thought of it."""

    count: int
    """How often it was drawn."""
    is_right: bool
    score: float | None
    """Aggregated over steps; None when not verified."""
    logprob: float
    num_tokens: int
    step_scores: list[float]
    step_labels: list[bool]


@dataclass(frozen=True, slots=True)
class Solve:
    """What is kept of one problem in one cell."""

    index: int
    """Of the problem."""
    choices: dict[str, str]
    """By what was chosen (`choice_key`): `1` right, `0` wrong or `-` unanswered, for each block of so many."""
    num_candidates: int
    num_right: int
    prompt_tokens: int
    prefilled_tokens: int
    decoded_tokens: int
    verified_tokens: int
    kv_cells: int
    solver_flops: float
    verifier_flops: float
    wall_s: float
    """Measured around the call."""
    draws: list[Draw] | None = None

    def is_right(self, choice: str, n: int, *, is_checked: bool = False) -> bool:
        """Whether that choice among the first block of n is right; see `choice_key`."""
        return self.choices[choice_key(choice, n, is_checked=is_checked)][0] == RIGHT

    def is_unanswered(self, choice: str, n: int) -> bool:
        """Whether that choice among the first block of n finds no answer at all."""
        return self.choices[choice_key(choice, n)][0] == UNANSWERED

    def share_right(self, choice: str, n: int) -> float:
        """The share of the blocks of n in which that choice is right."""
        marks = self.choices[choice_key(choice, n)]
        return marks.count(RIGHT) / len(marks)


def choice_key(choice: str, n: int, *, is_checked: bool = False) -> str:
    """Such as `weighted 16`; `weighted 16 checked` is what it would be if a run without the check had had it."""
    return f"{choice} {n} checked" if is_checked else f"{choice} {n}"


@dataclass(frozen=True, slots=True)
class Job:
    """Some problems of a cell."""

    cell: Cell
    indices: tuple[int, ...]

    @property
    def weight(self) -> float:
        """About how long it takes, in no unit."""
        return self.cell.weight * len(self.indices)


def counters(solves: Sequence[Solve]) -> dict[str, Any]:
    """No work was done twice, in any solve."""
    return {
        "solves": len(solves),
        "prefilled_other_than_once": sum(solve.prefilled_tokens != solve.prompt_tokens for solve in solves),
        "max_verified_per_decoded": round(max(solve.verified_tokens / solve.decoded_tokens for solve in solves), 4),
        "kv_cells_above_prompt_and_decoded": sum(
            solve.kv_cells > solve.prompt_tokens + solve.decoded_tokens for solve in solves
        ),
        "max_kv_cells": max(solve.kv_cells for solve in solves),
    }
