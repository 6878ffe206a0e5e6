"""Step-level beam search guided by a process reward model.

n beams grow by one step; each new step is scored; the best n/m of the beams that are not finished are kept and branch
into m children each. Finished beams leave the frontier, keep competing for the answer, and shrink the width. n/m is
rounded down, at least one beam is kept, and the children that it leaves over go to the best. The answer is the finished
beam with the highest score, as in search-and-learn; the paper takes the vote weighted by score.

Verification granularity g: beams are compared every g steps only. n beams grow by g steps; the kept ones go on for
g - 1 steps alone, branch, and their children are compared one step later. So g = 1 is beam search, and a g that no
solution outlasts is best-of-n. (The authors' code compares after the very first step, whatever g.)

Cost: at most n solutions drawn and verified; with g above 1 fewer, since only n/m beams draw g - 1 of every g steps.
Each step is verified once: with g above 1 in two calls of the verifier for every g steps, one of them for the steps
that the children share.

Sources: Snell et al., arXiv 2408.03314 (section 5.1); the roles of n and m as in huggingface/search-and-learn;
granularity: Chen et al., "VG-Search", arXiv 2505.11730 (section 3).
"""

from collections.abc import Generator
from dataclasses import dataclass

from edgesearch.search.base import Expand, Judge, Request, Search, SearchConfig, Strategy
from edgesearch.search.select import alive, branch, distinct, select
from edgesearch.types import Beam


@dataclass(frozen=True, slots=True)
class BeamOptions:
    """Settings of beam search."""

    granularity: int = 1
    """g: steps between two comparisons; >= 1."""
    deduplicate: bool = False
    """Whether beams whose texts differ in nothing but white space count once; copies, token by token, always do."""

    def __post_init__(self) -> None:
        if self.granularity < 1:
            raise ValueError(f"granularity must be >= 1, not {self.granularity}")


def beam_search(root: Beam, config: SearchConfig, options: BeamOptions) -> Search:
    """Grows, judges and prunes until every beam is finished."""
    beams, num_steps = [root] * config.n, options.granularity
    while beams:
        beams = yield Expand(beams, num_steps=num_steps)
        beams = yield Judge(beams)
        beams = select(alive(beams), config, deduplicate=options.deduplicate)
        if beams and options.granularity > 1:
            beams, num_steps = (yield from _grow_alone(beams, options.granularity - 1)), 1


def _grow_alone(beams: list[Beam], num_steps: int) -> Generator[Request, list[Beam], list[Beam]]:
    """Grows what was kept before it branches; what ends on the way leaves the frontier.

    It is judged here, once: its children share these steps.
    """
    kept = distinct(beams)
    grown = yield Expand(kept, num_steps=num_steps)
    grown = yield Judge(grown)
    going_on = alive(grown)
    return branch(going_on, len(beams) - (len(kept) - len(going_on)))


STRATEGIES = (
    Strategy(
        "beam",
        beam_search,
        "best",
        needs_scores=True,
        is_stepwise=True,
        can_narrow=True,
        summary="beam search over steps, guided by the verifier",
        options=BeamOptions,
        uses_m=True,
    ),
)
