"""Shares, means, their differences and coverage, each with a 95% interval.

The same problem solved with several seeds is one observation, not several: give the problem of each value as `groups`,
and whole problems are drawn, each with all its seeds. Without `groups` each value is a problem of its own.

Sources: the interval of a share, Wilson 1927, with groups at the effective sample size of Korn and Graubard 1998
(Survey Methodology 24); the percentile bootstrap, Efron 1979, over groups as in Davison and Hinkley 1997, section 3.8;
McNemar's exact test, the binomial form. Not covered: what fewer candidates would have reached (estimators.py), fits
(power_law.py), many comparisons at once (one in twenty 95% intervals misses).
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgesearch.bench import estimators

NUM_RESAMPLES = 10_000
Z95 = 1.959964

_RESAMPLES_AT_ONCE = 500
"""Bounds the memory: 500 draws of 5,000 problems are 20 MB."""
_MAX_MULTINOMIAL = 512
"""Distinct values up to which it is quicker to draw how often each occurs than to draw each."""

Floats = NDArray[np.float64]
Groups = Sequence[Hashable]


def share(rights: Sequence[bool], groups: Groups | None = None) -> dict[str, Any]:
    """The share that is right, with Wilson's 95% interval.

    Args:
        rights: one an outcome.
        groups: the problem of each outcome, where a problem has several.

    Raises:
        ValueError: there is nothing to take a share of, or not one group a value.
    """
    n, k = len(rights), sum(map(bool, rights))
    _check_length("rights", n, groups)
    size = n if groups is None else _effective_size(np.asarray(rights, dtype=np.float64), groups)
    p = k / n
    centre = (p * size + Z95**2 / 2) / (size + Z95**2)
    half = Z95 / (size + Z95**2) * math.sqrt(p * (1 - p) * size + Z95**2 / 4)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return {"right": k, "of": n, "accuracy": round(p, 4), "interval95": [round(low, 4), round(high, 4)]}


def _effective_size(rights: Floats, groups: Groups) -> float:
    """How many independent outcomes tell as much as these: p(1-p) over the variance of p among groups.

    At most as many as there are. Where all are right or all wrong, outcomes of a group look alike: one a group.
    """
    *sums, sizes = _clusters(rights[:, None], groups).T
    p, num = rights.mean(), len(sizes)
    if num == 1 or p in (0, 1):
        return float(num)
    variance = num / (num - 1) * np.sum((sums[0] - p * sizes) ** 2) / sizes.sum() ** 2
    return float(min(len(rights), p * (1 - p) / variance)) if variance else float(len(rights))


def mean(values: Sequence[float], seed: int = 0, groups: Groups | None = None) -> dict[str, Any]:
    """A mean over problems, with a bootstrap 95% interval over problems.

    Args:
        values: one a problem, or several a problem with `groups`.
        seed: of the bootstrap.
        groups: the problem of each value, where a problem has several.

    Raises:
        ValueError: there are no values, one is not finite, or there is not one group a value.
    """
    return means(np.asarray(values, dtype=np.float64)[:, None], seed, groups)[0]


def means(values: ArrayLike, seed: int = 0, groups: Groups | None = None) -> list[dict[str, Any]]:
    """One mean a column with its interval, such as of one of the (problems, ks) arrays of `estimators.Curves`."""
    array = np.asarray(values, dtype=np.float64)
    low, high = bootstrap(array, seed, groups)
    return [
        {
            "value": round(float(array[:, i].mean()), 4),
            "interval95": [round(float(low[i]), 4), round(float(high[i]), 4)],
            "of": len(array),
        }
        for i in range(array.shape[1])
    ]


def bootstrap(values: ArrayLike, seed: int = 0, groups: Groups | None = None) -> tuple[Floats, Floats]:
    """The low and the high end of the percentile 95% interval of each column's mean, not rounded.

    All columns are drawn together, so that a whole curve is resampled by problem.

    Args:
        values: (num_values, num_columns).
        seed: of the draws.
        groups: the problem of each row, where a problem has several; a group is drawn with all its rows.

    Returns:
        Two arrays, (num_columns,) each.

    Raises:
        ValueError: there are no values, one is not finite, or there is not one group a value.
    """
    array = np.asarray(values, dtype=np.float64)
    _check_length("values", len(array), groups)
    if not np.isfinite(array).all():
        raise ValueError("values hold a NaN or an infinity; each must be finite")
    low, high = np.quantile(_resampled_means(_clusters(array, groups), seed), (0.025, 0.975), axis=0)
    return low, high


def _clusters(values: Floats, groups: Groups | None) -> Floats:
    """(groups, columns + 1) the sums of each group, and in the last column its size."""
    rows = np.column_stack([values, np.ones(len(values))])
    if groups is None:
        return rows
    numbers: dict[Hashable, int] = {}
    places = [numbers.setdefault(group, len(numbers)) for group in groups]
    sums = np.zeros((len(numbers), rows.shape[1]))
    np.add.at(sums, places, rows)
    return sums


def _resampled_means(clusters: Floats, seed: int) -> Floats:
    """(resamples, columns) means of samples of clusters that are drawn with putting back."""
    distinct, counts = np.unique(clusters, axis=0, return_counts=True)
    draws = _draws(distinct, counts, seed) if len(distinct) <= _MAX_MULTINOMIAL else _single_draws(clusters, seed)
    totals = np.concatenate(list(draws))  # (resamples, columns + 1)
    found: Floats = totals[:, :-1] / totals[:, -1:]
    return found


def _draws(distinct: Floats, counts: NDArray[np.int64], seed: int) -> Iterator[Floats]:
    """Totals of resamples, in turns; equal clusters are drawn together, by how many there are of each."""
    rng, num = np.random.default_rng(seed), int(counts.sum())
    for _ in range(NUM_RESAMPLES // _RESAMPLES_AT_ONCE):
        yield rng.multinomial(num, counts / num, _RESAMPLES_AT_ONCE) @ distinct


def _single_draws(clusters: Floats, seed: int) -> Iterator[Floats]:
    """Totals of resamples, in turns; each cluster is drawn by itself."""
    rng, num = np.random.default_rng(seed), len(clusters)
    starts = np.arange(_RESAMPLES_AT_ONCE)[:, None] * num
    for _ in range(NUM_RESAMPLES // _RESAMPLES_AT_ONCE):
        drawn = rng.integers(num, size=(_RESAMPLES_AT_ONCE, num)) + starts
        yield np.bincount(drawn.ravel(), minlength=starts.size * num).reshape(-1, num) @ clusters


def paired(
    name: str,
    ours: Sequence[bool],
    rival: str,
    theirs: Sequence[bool],
    seed: int,
    groups: Groups | None = None,
) -> dict[str, Any]:
    """The difference of two accuracies on the same problems: bootstrap over problems, and McNemar's exact test.

    With `groups` a gain is a problem that ours solves with more of its seeds than theirs, and a loss one with fewer:
    the test is then the sign test over problems, since seeds of one problem are not independent.

    Raises:
        ValueError: there are no outcomes, or not as many of one as of the other, or not one group an outcome.
    """
    gaps = [float(a) - float(b) for a, b in zip(ours, theirs, strict=True)]
    difference = mean(gaps, seed, groups)
    nets = _clusters(np.array(gaps)[:, None], groups)[:, 0]
    gains, losses = int((nets > 0).sum()), int((nets < 0).sum())
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
    tail = term = 1
    for k in range(min(gains, losses)):
        term = term * (n - k) // (k + 1)  # C(n, k + 1); far quicker than each anew
        tail += term
    return min(1.0, 2 * tail / (1 << n))


def coverage(
    rights: Sequence[int], n: int, ks: Sequence[int], seed: int, groups: Groups | None = None
) -> list[dict[str, Any]]:
    """pass@k over problems, each with so many right candidates among n; the interval is a bootstrap over problems."""
    found = means(estimators.pass_at_k(n, rights, ks), seed, groups)
    return [
        {"k": k, "coverage": each["value"], "interval95": each["interval95"]} for k, each in zip(ks, found, strict=True)
    ]


def _check_length(name: str, num: int, groups: Groups | None) -> None:
    if num == 0:
        raise ValueError(f"{name} is empty; it must hold at least one")
    if groups is not None and len(groups) != num:
        raise ValueError(f"groups has {len(groups)} entries for {num} {name}; give one a value")
