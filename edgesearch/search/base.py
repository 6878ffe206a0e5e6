"""What a strategy is: a generator that yields requests and is sent the results.

A strategy does no I/O and knows no time, engine, verifier or event. It says which beams to grow and which to judge;
the driver does it, together with the requests of all other searches that are under way. At the deadline the driver
closes the generator and selects from the finished beams that it saw pass by.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgesearch.types import AGGREGATORS, Aggregator, Beam

Selection = Literal["best", "majority", "weighted"]
"""How the answer is chosen from the candidates: highest score, most votes, or most score-weighted votes."""


@dataclass(frozen=True, slots=True)
class Expand:
    """Grow each beam by one step, or to its end. A beam given k times grows k different children.

    What is kept for this search's other beams is freed, but for those in `keep`.
    """

    beams: Sequence[Beam]
    is_to_end: bool = False
    temperature: float | None = None
    """Overrides the solver's sampling temperature; 0 is greedy."""
    keep: Sequence[Beam] = ()


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

    def __post_init__(self) -> None:
        if not 1 <= self.n <= 4096:
            raise ValueError(f"n must be in [1, 4096], not {self.n}")
        if self.m < 1:
            raise ValueError(f"m must be >= 1, not {self.m}")
        if self.aggregator not in AGGREGATORS:
            raise ValueError(f"aggregator must be one of {', '.join(AGGREGATORS)}, not {self.aggregator!r}")


@dataclass(frozen=True, slots=True)
class Strategy:
    """A named way to search."""

    name: str
    run: Callable[[Beam, SearchConfig], Search]
    selection: Selection
    needs_scores: bool
    """Whether it is of no use without a verifier."""
    is_stepwise: bool
    """Whether it grows beams step by step (and so waits for the slowest beam at each step)."""
    summary: str
    """One sentence for `--help`."""
