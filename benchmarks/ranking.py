"""Whether a score puts right solutions above wrong ones of the same problem.

A pooled AUC would also reward a score that only knows which problems are easy, which is of no use to a search; so an
AUC is taken within each problem that has both kinds, and averaged over those. Source: the AUC is the Mann-Whitney U
over the number of pairs (Hanley and McNeil 1982); a tie counts half.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgesearch.bench import intervals


def auc(scores: Sequence[float], rights: Sequence[bool], counts: Sequence[int]) -> float | None:
    """Chance that a right draw scores above a wrong one, ties half; None without both kinds.

    Args:
        scores: one a distinct solution.
        rights: whether it is right.
        counts: how often it was drawn.
    """
    values, places = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    is_right, weights = np.asarray(rights, dtype=bool), np.asarray(counts, dtype=np.float64)
    right = np.bincount(places[is_right], weights[is_right], len(values))  # (distinct scores,)
    wrong = np.bincount(places[~is_right], weights[~is_right], len(values))
    if not right.sum() or not wrong.sum():
        return None
    below = np.cumsum(wrong) - wrong
    return float(right @ (below + wrong / 2) / (right.sum() * wrong.sum()))


def summary(areas: Sequence[float | None], seed: int) -> dict[str, Any] | None:
    """The mean over problems that have both kinds; None where there are none."""
    found = [area for area in areas if area is not None]
    return intervals.mean(found, seed) if found else None


def lead(ours: Sequence[float | None], theirs: Sequence[float | None], seed: int) -> dict[str, Any] | None:
    """The mean difference on the same problems."""
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    return intervals.mean([a - b for a, b in pairs], seed) if pairs else None
