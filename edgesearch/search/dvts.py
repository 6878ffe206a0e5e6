"""Diverse verifier tree search: n/m independent trees, each a beam search that keeps one beam.

A tree's beam branches into m children, each new step is scored, and the best child becomes the tree's beam. No tree
looks at another's scores, so that one step which the verifier likes too much cannot take over the whole search, as it
can in beam search. A tree ends when its best child is finished. n must be a multiple of m; an n below m is one tree
with n children.

All finished children of all trees compete for the answer, those too that lost to a sibling that goes on. The reference
returns the m siblings of each tree's last expansion instead, whether they are finished or not. A child that was cut off
by a limit is never a tree's best: it is no solution and cannot go on. A tree that has no other child ends.

Verification granularity g as in beam search: the first children have g steps; later a tree's beam goes on for g - 1
steps alone before it branches.

Cost: at most n solutions drawn and verified. A tree keeps its m children to its end, so more than beam search, whose
width shrinks with every finished beam. Each step is verified once.

Source: Beeching, Tunstall and Rush, "Scaling test-time compute with open models" (2024), and
huggingface/search-and-learn, src/sal/search/diverse_verifier_tree_search.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgesearch.search.base import Expand, Judge, Search, SearchConfig, Strategy
from edgesearch.search.select import aggregate, alive
from edgesearch.types import Aggregator, Beam


@dataclass(frozen=True, slots=True)
class DvtsOptions:
    """Settings of diverse verifier tree search."""

    granularity: int = 1
    """g: steps between two comparisons; >= 1."""

    def __post_init__(self) -> None:
        if self.granularity < 1:
            raise ValueError(f"granularity must be >= 1, not {self.granularity}")


def check(config: SearchConfig, options: DvtsOptions) -> None:
    """Whether n beams make whole trees.

    Raises:
        ValueError: n is above m and not a multiple of it.
    """
    del options
    if config.n > config.m and config.n % config.m:
        raise ValueError(f"n must be a multiple of m for n/m trees, not n={config.n} with m={config.m}")


def dvts(root: Beam, config: SearchConfig, options: DvtsOptions) -> Search:
    """Grows, judges and prunes each tree by itself until all have ended; n and m must pass `check`."""
    m = min(config.m, config.n)
    kept, num_steps = [root] * (config.n // m), options.granularity
    while kept:
        beams = yield Expand([beam for beam in kept for _ in range(m)], num_steps=num_steps)
        beams = yield Judge(beams)
        kept = _kept(beams, m, config.aggregator)
        if kept and options.granularity > 1:
            kept = yield Expand(kept, num_steps=options.granularity - 1)
            kept, num_steps = alive((yield Judge(kept))), 1  # judged before the children share these steps


def _kept(beams: Sequence[Beam], m: int, aggregator: Aggregator) -> list[Beam]:
    """The best child of each tree that goes on; `beams` are the children, m for each tree, tree by tree."""
    trees = [beams[start : start + m] for start in range(0, len(beams), m)]
    whole = [[beam for beam in tree if beam.finish in ("step", "stop")] for tree in trees]
    return alive([max(tree, key=lambda beam: aggregate(beam.scores, aggregator)) for tree in whole if tree])


STRATEGIES = (
    Strategy(
        "dvts",
        dvts,
        "best",
        needs_scores=True,
        is_stepwise=True,
        summary="n/m independent trees, each of which keeps its best step of m",
        options=DvtsOptions,
        uses_m=True,
        check=check,
    ),
)
