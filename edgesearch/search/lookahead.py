"""Lookahead search: beam search that compares beams by where they lead.

As in beam search, but a beam is worth what the verifier says at the end of a greedy rollout of k more steps from it,
or fewer where the solution ends before: the aggregate of the rollout's step scores, which with the aggregator `last` is
the definition's. Rollouts are at temperature 0, so that their values have no noise of their own. They are for the value
only: a beam's children do not go on from them, and they are no candidates for the answer. k = 0 is beam search.

Beams that were drawn alike share one rollout, finished beams need none, and where only one beam is left there is
nothing to compare and no rollout.

Cost: at most n (k + 1) solutions drawn and verified (k + 1 steps for every step of each beam), and it lasts k + 1 times
as long as beam search. Each step, of beams and of rollouts, is verified once.

Source: Snell et al., arXiv 2408.03314 (section 5.1).
"""

from dataclasses import dataclass

from edgesearch.search.base import Expand, Judge, Search, SearchConfig, Strategy
from edgesearch.search.select import aggregate, alive, distinct, select
from edgesearch.types import Beam


@dataclass(frozen=True, slots=True)
class LookaheadOptions:
    """Settings of lookahead search."""

    k: int = 1
    """Steps that a rollout goes beyond its beam; >= 0."""

    def __post_init__(self) -> None:
        if self.k < 0:
            raise ValueError(f"k must be >= 0, not {self.k}")


def rounds(config: SearchConfig, options: LookaheadOptions) -> float:
    """k steps of a rollout come after each step, unless there is only one beam.

    An upper bound: a rollout ends where its solution does.
    """
    return 1.0 + (options.k if config.n > 1 else 0)


def lookahead(root: Beam, config: SearchConfig, options: LookaheadOptions) -> Search:
    """Grows, judges, looks ahead and prunes until every beam is finished."""
    beams = [root] * config.n
    while beams:
        beams = yield Expand(beams)
        beams = alive((yield Judge(beams)))
        ends = frontier = distinct(beams)
        if options.k and len(frontier) > 1:
            ends = yield Expand(frontier, num_steps=options.k, temperature=0.0, keep=frontier, is_rollout=True)
            ends = yield Judge(ends)
        values = {beam.node: aggregate(end.scores, config.aggregator) for beam, end in zip(frontier, ends, strict=True)}
        beams = select(beams, config, values=values)


STRATEGIES = (
    Strategy(
        "lookahead",
        lookahead,
        "best",
        needs_scores=True,
        is_stepwise=True,
        summary="beam search that looks k steps ahead before it judges",
        options=LookaheadOptions,
        uses_m=True,
        rounds=rounds,
    ),
)
