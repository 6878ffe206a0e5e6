"""A trace: one solve as values, with every step that was drawn, so that a person can see why the answer is what it is.

    Trace(problem, ..., waves, nodes, chosen, ends, best, outcome)

Nodes are numbered from 0, a parent before its children. What they grow from at the top is a prompt: prompt 0 is the
problem, the others show earlier attempts (search/revision.py). A trace may come from a file that somebody else wrote,
so every object checks what the others and the views rely on.

Not covered: making one from events (recorder.py), files (file.py), views (tree.py, words.py, page.py).
"""

import math
from dataclasses import dataclass, fields

from edgesearch.types import Finish, ModelNames, StopReason, StrategyUsed, Usage, WaveUsed

MAX_NODES = 200_000
"""Nodes that a trace holds; what is left out is counted."""
MAX_CHARS = 30_000_000
"""Characters of all its nodes together."""
MAX_S = 1e9
"""No time in a trace is later."""
SAFETY_LANE = -1
"""The wave that is a greedy draft beside the search."""


def _check_share(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], not {value}")


def _check_time(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= MAX_S:
        raise ValueError(f"{name} must be in [0, {MAX_S:g}] seconds, not {value}")


def _check_count(name: str, value: int) -> None:
    if value < 0:
        raise ValueError(f"{name} must be >= 0, not {value}")


@dataclass(frozen=True, slots=True)
class Wave:
    """One search of the solve, as it began."""

    number: int
    """From 0 in the order in which they began; -1 is the safety lane."""
    prompt: int
    """The prompt that its beams grow from."""
    used: WaveUsed

    def __post_init__(self) -> None:
        if self.number < SAFETY_LANE:
            raise ValueError(f"number must be >= {SAFETY_LANE}, not {self.number}")
        _check_count("prompt", self.prompt)
        _check_time("started_s", self.used.started_s)
        _check_time("predicted_s", self.used.predicted_s)


@dataclass(frozen=True, slots=True)
class Node:
    """A step that was drawn."""

    parent: int | None
    """The step before it; None for the first of a solution."""
    prompt: int
    """The prompt at the top of its tree; that of its parent."""
    wave: int
    text: str
    num_tokens: int
    logprob: float | None
    """Natural-log probability under the solver, summed over its tokens; None where not finite."""
    finish: Finish
    at_s: float
    """When its last token was drawn: seconds after the problem was accepted."""
    score: float | None = None
    """The verifier's; None where it was not scored. Of a step drawn twice only one copy is scored."""
    scored_at_s: float | None = None
    proof: bool | None = None
    """Whether the answer that it ends with is right, by an exact check; None where none can tell."""

    def __post_init__(self) -> None:
        _check_count("prompt", self.prompt)
        if self.wave < SAFETY_LANE:
            raise ValueError(f"wave must be >= {SAFETY_LANE}, not {self.wave}")
        _check_count("num_tokens", self.num_tokens)
        _check_share("score", self.score)
        _check_time("at_s", self.at_s)
        _check_time("scored_at_s", self.scored_at_s)


@dataclass(frozen=True, slots=True)
class End:
    """A candidate: a solution that competed for the answer."""

    node: int
    """Its last step."""
    answer: str | None
    score: float | None
    """Aggregated from its steps' scores; None when not verified."""
    weight: float | None = None
    """What its vote weighed, where the strategy says so."""
    finished_s: float | None = None

    def __post_init__(self) -> None:
        _check_count("node", self.node)
        _check_share("score", self.score)
        _check_time("finished_s", self.finished_s)


@dataclass(frozen=True, slots=True)
class Best:
    """The best answer changed; seen at a look at the search, about ten times a second."""

    at_s: float
    answer: str
    score: float | None
    num_candidates: int

    def __post_init__(self) -> None:
        _check_time("at_s", self.at_s)
        _check_share("score", self.score)
        _check_count("num_candidates", self.num_candidates)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the solve ended; fields as in `types.Solution`, and what `types.PlanUsed` says beside the waves."""

    answer: str | None
    text: str
    finish: Finish
    confidence: float | None
    is_calibrated: bool
    agreement: float | None
    proof: bool | None
    early_stop: StopReason | None
    wall_s: float
    usage: Usage
    warnings: tuple[str, ...] = ()
    least_s: float | None = None
    """None where nothing was planned."""
    difficulty: int | None = None
    policy: str | None = None

    def __post_init__(self) -> None:
        _check_share("confidence", self.confidence)
        _check_share("agreement", self.agreement)
        _check_time("wall_s", self.wall_s)
        _check_time("least_s", self.least_s)
        for each in fields(Usage):
            value = getattr(self.usage, each.name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"usage.{each.name} must be >= 0, not {value}")


@dataclass(frozen=True, slots=True)
class Trace:
    """One solve, from the problem to the answer."""

    problem: str
    problem_id: str
    budget_s: float
    load_s: float
    models: ModelNames
    strategy: StrategyUsed
    """As it was planned at the start."""
    reason: str
    """Why it was, in one sentence."""
    waves: tuple[Wave, ...]
    nodes: tuple[Node, ...]
    num_prompts: int
    chosen: tuple[int, ...]
    """The steps of the solution that was chosen, from first to last; fewer where they were not told."""
    ends: tuple[End, ...]
    best: tuple[Best, ...]
    outcome: Outcome
    num_left_out: int = 0
    """Nodes that were drawn and are not here, because there were too many."""

    def __post_init__(self) -> None:
        _check_time("budget_s", self.budget_s)
        _check_time("load_s", self.load_s)
        _check_count("num_left_out", self.num_left_out)
        if not 0 <= self.num_prompts <= MAX_NODES + 1:
            raise ValueError(f"num_prompts must be in [0, {MAX_NODES + 1}], not {self.num_prompts}")
        if len(self.nodes) > MAX_NODES:
            raise ValueError(f"nodes must be {MAX_NODES:,} at most, not {len(self.nodes):,}")
        self._check_nodes()
        self._check_waves()
        self._check_chosen()
        for place, end in enumerate(self.ends):
            if end.node >= len(self.nodes):
                raise ValueError(f"ends[{place}].node must be one of the {len(self.nodes)} nodes, not {end.node}")

    def _check_nodes(self) -> None:
        for number, node in enumerate(self.nodes):
            if node.prompt >= self.num_prompts:
                raise ValueError(
                    f"nodes[{number}].prompt must be one of the {self.num_prompts} prompts, not {node.prompt}"
                )
            if node.parent is None:
                continue
            if not 0 <= node.parent < number:
                raise ValueError(f"nodes[{number}].parent must be an earlier node, not {node.parent}")
            if self.nodes[node.parent].prompt != node.prompt:
                raise ValueError(f"nodes[{number}].prompt must be its parent's, not {node.prompt}")

    def _check_waves(self) -> None:
        numbers = [wave.number for wave in self.waves]
        if len(set(numbers)) != len(numbers):
            raise ValueError(f"waves must have different numbers, not {numbers[:20]}")
        for place, wave in enumerate(self.waves):
            if wave.prompt >= self.num_prompts:
                raise ValueError(
                    f"waves[{place}].prompt must be one of the {self.num_prompts} prompts, not {wave.prompt}"
                )

    def _check_chosen(self) -> None:
        before: int | None = None
        for number in self.chosen:
            if not 0 <= number < len(self.nodes) or self.nodes[number].parent != before:
                raise ValueError(f"chosen must be a path from a first step on, and {number} does not go on with it")
            before = number
