"""REBASE, reward balanced search: every beam of the frontier goes on, with as many children as its score earns.

n beams grow by one step and are scored; then the children are shared out over all beams that are not finished, in
proportion to exp(score / temperature). Where beam search drops all but the best and gives each of those m children,
REBASE has no m: a low temperature is close to keeping the best only, a high one close to giving each beam one child. A
finished beam leaves the frontier and takes one child of the width with it. The answer is the weighted vote of all
finished beams, which the paper designed it for.

Shares are whole numbers and add up to the width: from the best beam to the worst, each takes its part of what is left,
rounded up, as in the authors' code (the paper rounds each share by itself, so its sum may differ from the width). Equal
beams each have a share of their own, as there: a step that the solver draws often is followed often.

Cost: at most n solutions drawn and verified.

Source: Wu et al., arXiv 2408.00724 (section 3.1.2); the paper leaves the temperature open, 0.2 is that of the authors'
configuration (github.com/thu-wyz/inference_scaling, hype-parameters/rebase.yaml).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from edgesearch.search.base import Expand, Judge, Search, SearchConfig, Strategy
from edgesearch.search.select import aggregate, alive, distinct
from edgesearch.types import Beam


@dataclass(frozen=True, slots=True)
class RebaseOptions:
    """Settings of reward balanced search."""

    temperature: float = 0.2
    """Of the softmax over scores; above 0. Not the solver's sampling temperature."""
    deduplicate: bool = False
    """Whether beams whose texts differ in nothing but white space share one share; copies have their own if not."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}")


def rebase(root: Beam, config: SearchConfig, options: RebaseOptions) -> Search:
    """Grows, judges and shares out children until every beam is finished."""
    beams = [root] * config.n
    while beams:
        beams = yield Expand(beams)
        beams = alive((yield Judge(beams)))
        frontier = distinct(beams, by_text=True) if options.deduplicate else beams
        scores = [aggregate(beam.scores, config.aggregator) for beam in frontier]
        children = shares(scores, len(beams), options.temperature)
        beams = [beam for beam, count in zip(frontier, children, strict=True) for _ in range(count)]


def shares(scores: Sequence[float], width: int, temperature: float) -> list[int]:
    """How many of `width` children each beam gets, by the softmax of its score over `temperature`.

    Args:
        scores: in [0, 1], one for each beam.
        width: children to share out; >= 0.
        temperature: above 0.

    Returns:
        One number >= 0 for each score, in the same order. They add up to `width` (where there is a beam at all), and a
        higher score never has fewer; of equal scores the first has at most one more than the last.
    """
    best_first = sorted(range(len(scores)), key=lambda index: -scores[index])
    # Fractions: with floats a share of exactly 3 could come out a hair above and be rounded up to 4.
    weights = [Fraction(math.exp((scores[index] - max(scores)) / temperature)) for index in best_first]
    not_served = list(itertools.accumulate(reversed(weights)))[::-1]
    children = [0] * len(scores)
    for index, weight, rest in zip(best_first, weights, not_served, strict=True):
        if not width:
            break
        children[index] = math.ceil(width * weight / rest)
        width -= children[index]
    return children


STRATEGIES = (
    Strategy(
        "rebase",
        rebase,
        "weighted",
        needs_scores=True,
        is_stepwise=True,
        can_narrow=True,
        summary="all beams go on, with as many children as their scores earn",
        options=RebaseOptions,
    ),
)
