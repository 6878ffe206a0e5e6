"""MUR, momentum uncertainty guided reasoning: one solution, with a choice only at the steps that look doubtful.

A chain grows step by step. The uncertainty u of a step is minus the mean log-probability of its tokens; the momentum m
is the running mean of the chain's, m = alpha m + (1 - alpha) u, which starts at 0. Where a step is more uncertain than
the ones before it, exp(u) > exp(m) / gamma, more candidates for that step are drawn, and the chain goes on with the one
that the verifier scores highest. The first step has nothing to be compared with and is never drawn again. A smaller
gamma lets more doubt pass.

Cost: between one solution and n of them, drawn and verified; it lasts up to two solutions, since the further candidates
wait for the first.

Where this differs from the paper:
- The first draft of a doubtful step is one of its n candidates; there it is thrown away. So n = 1 is sampling once.
- Any verifier may choose; there it is a reward model or a critic. With the solver's own certainty as the verifier,
  nothing is verified.
- A candidate that ends the solution but is not the one the chain goes on with still competes for the answer, by its
  score, as in every search here.

Source: Yan et al., arXiv 2507.14958 (momentum uncertainty and gamma control); that the first step is left alone, as in
the authors' code, github.com/yayayacc/MUR.
"""

import math
from dataclasses import dataclass

from edgesearch.search.base import Expand, Judge, Search, SearchConfig, Strategy
from edgesearch.search.confidence import grown, mean_logprob
from edgesearch.search.select import aggregate
from edgesearch.types import Beam


@dataclass(frozen=True, slots=True)
class MurOptions:
    """Settings of MUR."""

    alpha: float = 0.9
    """How slowly the momentum forgets; in [0, 1)."""
    gamma: float = 0.9
    """How little doubt calls for more candidates: 1 is any above the momentum; in (0, 1]."""

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must be in [0, 1), not {self.alpha}")
        if not 0 < self.gamma <= 1:
            raise ValueError(f"gamma must be in (0, 1], not {self.gamma}")


def mur(root: Beam, config: SearchConfig, options: MurOptions) -> Search:
    """Grows one chain and draws further candidates for a step that is more uncertain than those before it."""
    beam, momentum = root, 0.0
    while beam.is_alive:
        num_more = config.n - 1 if beam.steps else 0
        drawn = yield Expand([beam], keep=[beam] if num_more else [])
        drawn = grown((yield Judge(drawn)), beam)
        if num_more and drawn and -mean_logprob(drawn[0], beam) > momentum - math.log(options.gamma):
            more = yield Expand([beam] * num_more, keep=drawn)
            drawn += grown((yield Judge(more)), beam)
        if not drawn:
            return
        best = max(drawn, key=lambda each: aggregate(each.scores, config.aggregator))
        momentum = options.alpha * momentum - (1 - options.alpha) * mean_logprob(best, beam)
        beam = best


def rounds(config: SearchConfig, options: MurOptions) -> float:
    """Each step at most twice, one after the other."""
    del options
    return 2.0 if config.n > 1 else 1.0


STRATEGIES = (
    Strategy(
        "mur",
        mur,
        "best",
        needs_scores=True,
        is_stepwise=True,
        summary="one solution, with n candidates where the solver is less sure of a step than of those before",
        options=MurOptions,
        rounds=rounds,
    ),
)
