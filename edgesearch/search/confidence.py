"""How sure the solver was along a solution: the numbers that DeepConf, MUR and phi-decoding steer by.

All come from the probabilities of what was drawn, so they cost nothing. Whether a confident solution is a right one is
up to the solver.

Source: Fu et al., arXiv 2508.15260 (sections 2 and 3: token confidence, group confidence, lowest group confidence).
"""

import itertools
import math
from collections.abc import Sequence

from edgesearch.errors import UsageError
from edgesearch.types import Beam


def lowest_confidence(beam: Beam, window: int) -> float:
    """The lowest mean confidence of `window` tokens in a row; of all its tokens where it has fewer.

    Args:
        beam: not empty.
        window: in tokens, >= 1.

    Returns:
        In nats, >= 0: the mean of minus the log-probability of the 20 likeliest tokens. Higher is surer.

    Raises:
        UsageError: the engine does not tell how the probabilities of a token were spread.
    """
    confidences = _token_confidences(beam)
    width = min(window, len(confidences))
    sums = [0.0, *itertools.accumulate(confidences)]
    return min(end - start for start, end in zip(sums, sums[width:], strict=False)) / width


def _token_confidences(beam: Beam) -> list[float]:
    found: list[float] = []
    for step in beam.steps:
        if step.certainty is None or not step.certainty.confidences:
            raise UsageError(
                "DeepConf reads how the probabilities of each token were spread, and this engine does not tell it; "
                "use --strategy majority"
            )
        found += step.certainty.confidences
    return found


def threshold(confidences: Sequence[float], keep: float) -> float:
    """The confidence that a share `keep` of traces reaches: the percentile 1 - keep, linear between two traces.

    Args:
        confidences: one a trace; at least one.
        keep: in (0, 1].
    """
    ranked = sorted(confidences)
    place = (1 - keep) * (len(ranked) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (place - below) * (ranked[above] - ranked[below])


def grown(beams: Sequence[Beam], before: Beam) -> list[Beam]:
    """Those with a token more than `before`, which they came from; the others had no room for one."""
    return [beam for beam in beams if beam.node != before.node]


def mean_logprob(beam: Beam, before: Beam) -> float:
    """Mean natural-log probability of the tokens that `beam` has beyond `before`, the beam that it grew from.

    Raises:
        UsageError: the engine does not tell how many tokens it drew.
    """
    num_tokens = beam.num_tokens - before.num_tokens
    if not num_tokens:
        raise UsageError(
            "MUR and phi-decoding compare steps by the probability of their tokens, and this engine does not tell how "
            "many a step has; use --strategy majority"
        )
    return (beam.logprob - before.logprob) / num_tokens
