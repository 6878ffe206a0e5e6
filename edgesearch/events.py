"""What happens during a solve, as values: the command, a server and a trace file each render the same iterator."""

from dataclasses import dataclass

from edgesearch.types import Beam, Candidate, ModelNames, Solution, StrategyUsed


@dataclass(frozen=True, slots=True)
class Started:
    """The problem is accepted and planned; the budget runs."""

    problem: str
    budget_s: float
    load_s: float
    models: ModelNames
    strategy: StrategyUsed
    reason: str
    """Why the planner chose it, in one sentence."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """A look at a running search; at most about ten a second."""

    seconds_left: float
    beams: tuple[tuple[Beam, float | None], ...]
    """Beams last seen alive, best first, with their aggregated scores."""
    best: Candidate | None
    """Best candidate so far."""
    num_candidates: int
    decoded_tokens: int
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Solved:
    """The end: always the last event of a problem."""

    solution: Solution


Event = Started | Progress | Solved
