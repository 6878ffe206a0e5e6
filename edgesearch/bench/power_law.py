"""How coverage grows with samples: c = exp(a k^b), an exponentiated power law, with a < 0 and b < 0.

Since log(-log c) = log(-a) + b log k, it is a straight line, fitted by ordinary least squares over points that should
be spread evenly in log k. Points with c = 0 or c = 1 have no such logarithm and are left out. The error is told in c,
where it matters, over the points that were fitted. Source: Brown et al. 2024, "Large Language Monkeys", arXiv
2407.21787. Not covered: whether the law holds beyond the points that were fitted, or at all.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

MIN_POINTS = 3


def fit(ks: Sequence[int], coverages: Sequence[float]) -> dict[str, Any] | None:
    """a, b and the error of the fit; None with fewer than `MIN_POINTS` points between 0 and 1.

    Args:
        ks: sample counts, each >= 1, no two of them equal.
        coverages: the share of problems solved with so many samples.

    Raises:
        ValueError: a count is below 1 or there twice, or there are not as many counts as shares.
    """
    if min(ks, default=1) < 1 or len(set(ks)) < len(ks):
        raise ValueError(f"ks is {list(ks)}; each must be >= 1, and no two equal")
    inside = [(k, c) for k, c in zip(ks, coverages, strict=True) if 0 < c < 1]
    if len(inside) < MIN_POINTS:
        return None
    k, c = np.array(inside, dtype=np.float64).T
    b, log_a = np.polyfit(np.log(k), np.log(-np.log(c)), 1)
    misses = np.abs(predict(-np.exp(log_a), b, k) - c)
    return {
        "a": float(-np.exp(log_a)),
        "b": float(b),
        "points": len(inside),
        "left_out": len(ks) - len(inside),
        "rmse": round(float(np.sqrt(np.mean(misses**2))), 5),
        "max_error": round(float(misses.max()), 5),
    }


def predict(a: float, b: float, k: Any) -> Any:
    """exp(a k^b), for a number or an array."""
    return np.exp(a * np.asarray(k, dtype=np.float64) ** b)


def spread(most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, ...: two points an octave up to `most`, which is the last."""
    powers = [2**i for i in range(most.bit_length())]
    return sorted({k for power in powers for k in (power, power * 3 // 2) if k <= most} | {most})
