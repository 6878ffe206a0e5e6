"""What happens during a solve, as values: the command, a server and a trace file each render the same iterator."""

from dataclasses import dataclass

from edgesearch.types import Beam, Candidate, Finish, ModelNames, Solution, StrategyUsed, WaveUsed


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
class WaveStarted:
    """One more search began; only in traced solves."""

    number: int
    """0 for the first; -1 for the safety lane, a greedy draft beside the search."""
    root: int
    """The node that its beams grow from."""
    wave: WaveUsed


@dataclass(frozen=True, slots=True)
class Grew:
    """A step was drawn: a new node of the search tree; only in traced solves."""

    wave: int
    node: int
    parent: int
    """The node it grew from: an earlier step, or the root (`WaveStarted.root`, or a prompt that shows attempts)."""
    text: str
    num_tokens: int
    logprob: float
    """Natural-log probability of the step under the solver."""
    finish: Finish
    proof: bool | None
    """Whether the answer that it ends with is right, by an exact check; None where none can tell."""
    at_s: float
    """Seconds after the problem was accepted."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The verifier scored a step; only in traced solves. A step drawn twice, token by token, is scored once."""

    node: int
    score: float
    at_s: float


@dataclass(frozen=True, slots=True)
class Solved:
    """The end: always the last event of a problem."""

    solution: Solution


Event = Started | WaveStarted | Grew | Scored | Progress | Solved
