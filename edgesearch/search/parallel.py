"""Parallel sampling: n independent solutions; what differs is how the answer is chosen among them.

Majority (self-consistency): the answer that most samples reach, over canonical answers. Best-of-n: the sample with
the highest verifier score; weighted: the answer with the largest sum of scores. Cost: n solutions, and for the last
two n solutions verified.

Sources: Wang et al., "Self-consistency", arXiv 2203.11171; Cobbe et al., arXiv 2110.14168 (best-of-n with a
verifier); Li et al., arXiv 2206.02336 (weighted).
"""

from edgesearch.search.base import Expand, Judge, Search, SearchConfig
from edgesearch.types import Beam


def majority(root: Beam, config: SearchConfig) -> Search:
    """Samples n solutions; nothing is verified."""
    yield Expand([root] * config.n, is_to_end=True)


def best_of_n(root: Beam, config: SearchConfig) -> Search:
    """Samples n solutions and scores them."""
    beams = yield Expand([root] * config.n, is_to_end=True)
    yield Judge(beams)
