"""Jobs: what a driver is given, what it gives back, and what a planner is asked in between.

A job is one problem with everything that fixes how it is searched. Without a planner it is one search. With one it is
made of *waves*: searches of the same prompt under the same deadline, whose candidates are counted together; the planner
is asked for the next one while the last is still running out, and may say instead that enough is known.

Not covered: running them (driver.py), deciding (planner/auto.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgesearch.budget import Deadline
from edgesearch.events import Event
from edgesearch.planner.standing import Standing
from edgesearch.search.base import SearchConfig, Selection, Strategy
from edgesearch.search.early_stop import EarlyStop
from edgesearch.search.options import described
from edgesearch.types import Beam, Candidate, Prompt, Sampling, StopReason, StrategyUsed, Usage, WaveUsed

LANE = -1
"""The number of the safety lane among a job's waves: a greedy draft beside the search."""


@dataclass(frozen=True, slots=True)
class Wave:
    """One search of a job."""

    strategy: Strategy
    config: SearchConfig
    options: Any = None
    """The strategy's own settings; None for its defaults."""
    reason: str = ""
    """Why it is run, in one sentence."""
    predicted_s: float = 0.0
    """How long it should last."""

    def __post_init__(self) -> None:
        if self.options is None:
            object.__setattr__(self, "options", self.strategy.options())

    @property
    def used(self) -> StrategyUsed:
        """What is reported of it."""
        config = self.config
        return StrategyUsed(self.strategy.name, config.n, config.m, config.aggregator, described(self.options))

    def begun(self, at_s: float) -> WaveUsed:
        """What is reported of it once it runs."""
        return WaveUsed(self.used, self.reason, at_s, self.predicted_s)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a planner is told of a job under way."""

    left_s: float
    """Seconds that may still be spent on drawing: the deadline less what is kept back for scoring and choosing."""
    standing: Standing
    """The vote over all candidates so far."""
    num_living: int
    """Beams that still grow, in all waves."""
    num_waves: int
    """Searches that have not ended."""
    num_finished: int
    """Solutions drawn to their end so far, with or without a score."""
    finished_tokens: int
    """Tokens of those."""
    prompt_tokens: int
    num_elsewhere: int = 0
    """Beams of other jobs that share the engine's passes."""
    room: int | None = None
    """Beams more that the engine has room for now, other jobs' shares left to them; None where nothing is shared."""


class WavePlanner(Protocol):
    """Decides how a job goes on. Its methods are called between passes, so they must be quick."""

    def decide(self, now: Situation) -> Wave | StopReason | None:
        """The next wave, a reason to stop, or None to let what is under way go on."""
        ...

    def is_due(self, num_living: int) -> bool:
        """Whether to ask, though no candidate came since it was asked last: few beams still grow."""
        ...

    def width(self, wave: Wave, beams: Sequence[Beam], left_s: float) -> int:
        """How many of the beams that a stepwise wave wants to grow next are to be grown; the best ones are kept."""
        ...


@dataclass(frozen=True, slots=True)
class Closing:
    """How unfinished solutions are made to answer when no answer is in hand near the deadline."""

    text: str
    """Written for the solver, such as the beginning of an answer line; begins with the step delimiter."""
    max_tokens: int
    """That a solution may still draw then, the text among them."""
    seconds: float
    """Before the end of drawing at which it is done."""


@dataclass(frozen=True, slots=True)
class Job:
    """One problem to search, with everything that fixes how."""

    prompt: Prompt
    strategy: Strategy
    """Of the first wave."""
    config: SearchConfig
    sampling: Sampling
    deadline: Deadline
    max_tokens: int
    """Tokens a solution may have."""
    options: Any = None
    """The first strategy's own settings; None for its defaults."""
    seed: int = 0
    early_stop: EarlyStop | None = None
    """When samples that are still being drawn are given up because the vote is decided; None for never."""
    has_safety_lane: bool = False
    """Whether a greedy draft runs beside the search.

    Without a planner it is a fallback, given up once the search has an answer in hand that is not proven wrong; with
    one its solution is a candidate like any other.
    """
    id: str = ""
    reason: str = ""
    """Why the first wave is run, in one sentence."""
    predicted_s: float = 0.0
    """How long the first wave should last."""
    planner: WavePlanner | None = None
    """Decides what comes after the first wave; None for nothing."""
    closing: Closing | None = None
    """None to leave unfinished solutions as they are."""
    is_traced: bool = False
    """Whether the driver keeps an event for each step and score."""
    is_tested: bool = False
    """Whether solutions are programs that the verifier runs.

    Then all of them get scores, whatever the strategy, also one that is cut off but states a whole program.
    """
    first: Wave = field(init=False)
    """The first wave."""

    def __post_init__(self) -> None:
        first = Wave(self.strategy, self.config, self.options, self.reason, self.predicted_s)
        object.__setattr__(self, "first", first)

    @property
    def selection(self) -> Selection:
        """How the answer is chosen: by the strategy's own rule, but over several waves by a vote."""
        own = self.strategy.selection
        return own if self.planner is None or own == "majority" else "weighted"


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a search left behind."""

    job: Job
    candidates: tuple[Candidate, ...]
    """Finished solutions in the order they ended.

    The safety lane's or cut-off ones only where no other has an answer, or only answers that are proven wrong.
    """
    is_cut: bool
    """Whether the deadline ended the search."""
    usage: Usage
    early_stop: StopReason | None = None
    """Why seconds were given back; None where the deadline ended it, or it was complete."""
    num_tests: int = 0
    """Visible tests that programs were tried on; 0 where none were."""
    warnings: tuple[str, ...] = ()
    """What the search could not do."""
    waves: tuple[WaveUsed, ...] = ()
    """Those after the first."""
    standing: Standing | None = None
    """The vote at the end; None without a planner."""
    events: tuple[Event, ...] = ()
    """Of a traced job: what it did since it was asked last."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A look at a running search."""

    beams: tuple[tuple[Beam, float | None], ...]
    """Beams last seen alive, best first, with their aggregated scores."""
    best: Candidate | None
    """Best candidate so far."""
    num_candidates: int
    decoded_tokens: int
