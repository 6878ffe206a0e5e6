"""Parallel sampling: n independent solutions; what differs is how the answer is chosen among them.

Sample: nothing is verified and all n are wanted, as for coverage (the share of problems with a right answer among k
samples); the answer shown is the majority's. Majority (self-consistency): the answer that most samples reach, over
canonical answers; the same samples as `sample`. Best-of-n: the sample with the highest verifier score; weighted: the
answer with the largest sum of scores. Cost: n solutions, and for the last two n solutions verified.

Sources: Wang et al., "Self-consistency", arXiv 2203.11171; Cobbe et al., arXiv 2110.14168 (best-of-n with a
verifier); Li et al., arXiv 2206.02336 (weighted).
"""

from edgesearch.search.base import Expand, Judge, NoOptions, Search, SearchConfig, Strategy
from edgesearch.types import Beam


def sample(root: Beam, config: SearchConfig, options: NoOptions) -> Search:
    """Samples n solutions; nothing is verified."""
    del options
    yield Expand([root] * config.n, is_to_end=True)


def best_of_n(root: Beam, config: SearchConfig, options: NoOptions) -> Search:
    """Samples n solutions and scores them."""
    del options
    beams = yield Expand([root] * config.n, is_to_end=True)
    yield Judge(beams)


STRATEGIES = (
    Strategy(
        "sample",
        sample,
        "majority",
        needs_scores=False,
        is_stepwise=False,
        summary="n samples, all of them wanted: for coverage",
        keeps_all=True,
    ),
    Strategy(
        "majority",
        sample,
        "majority",
        needs_scores=False,
        is_stepwise=False,
        summary="n samples, the answer most of them reach",
        can_stop_early=True,
    ),
    Strategy(
        "best_of_n",
        best_of_n,
        "best",
        needs_scores=True,
        is_stepwise=False,
        summary="n samples, the one the verifier scores highest",
        can_stop_early=True,
    ),
    Strategy(
        "weighted",
        best_of_n,
        "weighted",
        needs_scores=True,
        is_stepwise=False,
        summary="n samples, votes weighted by the verifier's score",
        can_stop_early=True,
    ),
)
