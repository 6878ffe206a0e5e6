"""Step-level beam search guided by a process reward model.

n beams grow by one step; each new step is scored; the best n/m of the beams that are not finished are kept and branch
into m children each. Finished beams leave the frontier, keep competing for the answer, and shrink the width. Cost: at
most n solutions drawn and verified.

Sources: Snell et al., arXiv 2408.03314 (section 5.1); the roles of n and m as in huggingface/search-and-learn.
"""

from edgesearch.search.base import Expand, Judge, Search, SearchConfig
from edgesearch.search.select import alive, select
from edgesearch.types import Beam


def beam_search(root: Beam, config: SearchConfig) -> Search:
    """Grows, judges and prunes until every beam is finished."""
    beams = [root] * config.n
    while beams:
        beams = yield Expand(beams)
        beams = yield Judge(beams)
        beams = select(alive(beams), config)
