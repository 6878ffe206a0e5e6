"""What a strategy is: a generator that yields requests and is sent the results.

A strategy does no I/O and knows no time, engine, verifier or event. It says which beams to grow and which to judge;
the driver does it, together with the requests of all other searches that are under way. At the deadline the driver
closes the generator and selects from the finished beams that it saw pass by.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from edgesearch.types import AGGREGATORS, Aggregator, Beam, Candidate, Forcing

Selection = Literal["best", "majority", "weighted", "confident"]
"""How the answer is chosen from the candidates: highest score, or most votes: plain, weighted by score, or weighted by
how sure the solver was (`Strategy.weigh`)."""


@dataclass(frozen=True, slots=True)
class Expand:
    """Grow each beam by some steps, or to its end. A beam given k times grows k different children.

    What is kept for this search's other beams is freed, but for those in `keep`. A beam may be the empty one of another
    prompt (`Beam(prompt)`), as when a solution is to be revised; a finished beam comes back with the root's prompt, so
    that it can be judged and compared.
    """

    beams: Sequence[Beam]
    num_steps: int = 1
    """Steps that each beam grows by; fewer where it ends."""
    is_to_end: bool = False
    temperature: float | None = None
    """Overrides the solver's sampling temperature; 0 is greedy."""
    keep: Sequence[Beam] = ()
    is_rollout: bool = False
    """Whether only the value of what is drawn counts: it is no candidate, unless it is proven right or all there is."""
    forcing: Forcing | None = None
    """What is written for the solver."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Score every step that has no score yet."""

    beams: Sequence[Beam]


Request = Expand | Judge
Search = Generator[Request, list[Beam], None]


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """Settings that all strategies understand."""

    n: int = 16
    """Beams alive together, or samples; in [1, 4096]."""
    m: int = 4
    """Children per kept beam: n/m beams are kept (search-and-learn's meaning); in [1, n]."""
    aggregator: Aggregator = "last"
    """Step scores to one score; the same one prunes and selects."""
    seed: int = 0
    """Of the strategy's own draws (resampling, say)."""

    def __post_init__(self) -> None:
        if not 1 <= self.n <= 4096:
            raise ValueError(f"n must be in [1, 4096], not {self.n}")
        if self.m < 1:
            raise ValueError(f"m must be >= 1, not {self.m}")
        if self.aggregator not in AGGREGATORS:
            raise ValueError(f"aggregator must be one of {', '.join(AGGREGATORS)}, not {self.aggregator!r}")


@dataclass(frozen=True, slots=True)
class NoOptions:
    """Of a strategy without settings of its own."""


def any_config(config: SearchConfig, options: Any) -> None:
    """Of a strategy that runs with every n and m."""
    del config, options


def one_round(config: SearchConfig, options: Any) -> float:
    """Of a strategy whose solutions are all drawn side by side."""
    del config, options
    return 1.0


@dataclass(frozen=True, slots=True)
class Strategy:
    """A named way to search."""

    name: str
    run: Callable[[Beam, SearchConfig, Any], Search]
    """The generator; its last argument is an instance of `options`."""
    selection: Selection
    needs_scores: bool
    """Whether it is of no use without a verifier."""
    is_stepwise: bool
    """Whether it grows beams step by step (and so waits for the slowest beam at each step)."""
    summary: str
    """One sentence for `--help`."""
    options: type[Any] = field(default=NoOptions)
    """The frozen dataclass of its own settings, all of which have defaults."""
    needs_certainty: bool = False
    """Whether it reads `Step.certainty`."""
    uses_m: bool = False
    """Whether m means anything to it."""
    keeps_all: bool = False
    """Whether all its samples are wanted, so that a proof of one does not end it."""
    can_narrow: bool = False
    """Whether any of the beams that it wants to grow may be left out, so that it ends in time."""
    can_stop_early: bool = False
    """Whether all its samples are drawn side by side for one vote, which the first of them may decide."""
    check: Callable[[SearchConfig, Any], None] = any_config
    """Raises a ValueError that names the rule for n, m and options that do not go together."""
    rounds: Callable[[SearchConfig, Any], float] = one_round
    """How many solutions long it lasts, one after the other."""
    draws_tests: bool = False
    """Whether it also has the solver write tests (`Prompt.asks_tests`), which only some verifiers can read."""
    weigh: Callable[[Sequence[Candidate], SearchConfig, Any], Sequence[float]] | None = None
    """For the selection `confident`: what the vote of each candidate weighs, >= 0; where all are 0, each counts one."""
