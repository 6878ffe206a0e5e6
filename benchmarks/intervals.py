"""Shares, their differences and coverage, each with a 95% interval.

Sources: the interval of a share, Wilson 1927; McNemar's exact test, the binomial form; pass@k, the unbiased estimator
of Chen et al. 2021, arXiv 2107.03374. Not covered: statistics of scores (ranking.py, calibration.py), fits
(power_law.py).
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 10_000
Z95 = 1.959964


def share(rights: Sequence[bool]) -> dict[str, Any]:
    """The share that is right, with Wilson's 95% interval."""
    n, k = len(rights), sum(rights)
    centre = (k + Z95**2 / 2) / (n + Z95**2)
    half = Z95 / (n + Z95**2) * math.sqrt(k * (n - k) / n + Z95**2 / 4)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return {"right": k, "of": n, "accuracy": round(k / n, 4), "interval95": [round(low, 4), round(high, 4)]}


def mean(values: Sequence[float], seed: int = 0) -> dict[str, Any]:
    """A mean over problems, with a bootstrap 95% interval over problems."""
    array = np.asarray(values, dtype=np.float64)
    low, high = np.quantile(_resampled_means(array, seed), (0.025, 0.975))
    interval = [round(float(low), 4), round(float(high), 4)]
    return {"value": round(float(array.mean()), 4), "interval95": interval, "of": len(values)}


def _resampled_means(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means of samples drawn with putting back; equal values are drawn together, by how many there are of each."""
    distinct, counts = np.unique(values, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(values), counts / len(values), NUM_RESAMPLES)
    means: NDArray[np.float64] = drawn @ distinct / len(values)  # (resamples,)
    return means


def paired(name: str, ours: Sequence[bool], rival: str, theirs: Sequence[bool], seed: int) -> dict[str, Any]:
    """The difference of two accuracies on the same problems: bootstrap over problems, and McNemar's exact test."""
    gains = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    losses = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    difference = mean([float(a) - float(b) for a, b in zip(ours, theirs, strict=True)], seed)
    return {
        "name": f"{name} - {rival}",
        "difference": difference["value"],
        "interval95": difference["interval95"],
        "gains": gains,
        "losses": losses,
        "mcnemar_p": mcnemar_p(gains, losses),
    }


def mcnemar_p(gains: int, losses: int) -> float:
    """Two-sided exact p: of `gains + losses` fair coins, a split at least as uneven as this one."""
    n = gains + losses
    tail = sum(math.comb(n, k) for k in range(min(gains, losses) + 1))
    return min(1.0, 2 * tail / (1 << n))


@functools.lru_cache(maxsize=100_000)
def pass_at_k(n: int, num_right: int, k: int) -> float:
    """Chance that k of n candidates, drawn without putting back, hold a right one: unbiased (Chen et al. 2021)."""
    return 1.0 - math.comb(n - num_right, k) / math.comb(n, k)


def coverage(rights: Sequence[int], n: int, ks: Sequence[int], seed: int) -> list[dict[str, Any]]:
    """pass@k over problems, each with so many right candidates among n; the interval is a bootstrap over problems."""
    table = np.array([[pass_at_k(n, right, k) for k in ks] for right in sorted(set(rights))])
    counts = np.unique(rights, return_counts=True)[1]
    drawn = np.random.default_rng(seed).multinomial(len(rights), counts / len(rights), NUM_RESAMPLES)
    means = drawn @ table / len(rights)  # (resamples, ks)
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    exact = counts @ table / len(rights)
    return [
        {
            "k": k,
            "coverage": round(float(exact[i]), 4),
            "interval95": [round(float(low[i]), 4), round(float(high[i]), 4)],
        }
        for i, k in enumerate(ks)
    ]
