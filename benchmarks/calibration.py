"""Whether a score of 0.8 is right four times in five: reliability, and the expected calibration error.

The error is the mean over bins of |mean score - share right|, weighted by how many fall into each bin (Guo et al. 2017,
arXiv 1706.04599), once over bins of equal width and once over bins of equal weight (adaptive: Nguyen and O'Connor 2015,
arXiv 1508.05154). Equal scores are never parted by an adaptive bin.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 15

Floats = NDArray[np.float64]


def calibration(scores: Sequence[float], rights: Sequence[bool], counts: Sequence[int]) -> dict[str, Any] | None:
    """Both errors and the table of equal widths; None without any score.

    Args:
        scores: each in [0, 1].
        rights: whether what was scored is right.
        counts: how often it occurred.
    """
    if not scores:
        return None
    values = np.asarray(scores, dtype=np.float64)
    targets, weights = np.asarray(rights, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    rows = reliability(values, targets, weights, equal_widths(values))
    adaptive = reliability(values, targets, weights, equal_weights(values, weights))
    return {
        "of": int(weights.sum()),
        "mean_score": round(float(values @ weights / weights.sum()), 4),
        "share_right": round(float(targets @ weights / weights.sum()), 4),
        "ece": round(error(rows), 4),
        "ece_adaptive": round(error(adaptive), 4),
        "reliability": [row | {"score": round(row["score"], 4), "right": round(row["right"], 4)} for row in rows],
    }


def equal_widths(values: Floats) -> NDArray[np.int64]:
    """The bin of each value in [0, 1]; 1 belongs to the last."""
    return np.minimum((values * NUM_BINS).astype(np.int64), NUM_BINS - 1)


def equal_weights(values: Floats, weights: Floats) -> NDArray[np.int64]:
    """The bin of each value, such that bins weigh about the same; equal values share one."""
    distinct, places = np.unique(values, return_inverse=True)
    totals = np.bincount(places, weights, len(distinct))
    middles = np.cumsum(totals) - totals / 2
    bins: NDArray[np.int64] = np.minimum(middles / totals.sum() * NUM_BINS, NUM_BINS - 1).astype(np.int64)
    return bins[places]


def reliability(values: Floats, targets: Floats, weights: Floats, bins: NDArray[np.int64]) -> list[dict[str, Any]]:
    """For each bin that is not empty: its mean score, the share that is right, and its weight."""
    rows = []
    for number in np.unique(bins):
        is_in = bins == number
        total = float(weights[is_in].sum())
        score = float(values[is_in] @ weights[is_in]) / total
        right = float(targets[is_in] @ weights[is_in]) / total
        rows.append({"bin": int(number), "score": score, "right": right, "count": int(total)})
    return rows


def error(rows: Sequence[dict[str, Any]]) -> float:
    """The expected calibration error of a reliability table."""
    total = sum(row["count"] for row in rows)
    return float(sum(row["count"] * abs(row["score"] - row["right"]) for row in rows) / total)
