"""Samples of the problems, drawn with putting back: the same ones for every figure of a report.

A resample takes each problem so many times, with all of its outcomes, so the seeds of a problem are one observation.
Since all figures are computed on the same resamples, those of two points can be subtracted, divided or interpolated
resample by resample, and what comes out is paired.

Source: the percentile bootstrap, Efron 1979, over groups as in Davison and Hinkley 1997, section 3.8; what
`intervals.bootstrap` does for one array. Not covered: shares of single outcomes, for which `intervals.share` is better
near 0 and 1.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesearch.bench.report.model import Estimate

MAX_RESAMPLES = 10_000
MIN_RESAMPLES = 200
MAX_DRAWS = 100_000_000
"""Of all resamples together: more than 10,000 problems have fewer resamples, and need fewer. Bounds the memory, a byte
a draw."""
_CHUNK = 500

Floats = NDArray[np.float64]


class Resamples:
    """How often each resample holds each problem."""

    def __init__(self, num_problems: int, seed: int = 0) -> None:
        """Draws them.

        Args:
            num_problems: >= 1.
            seed: of the draws.
        """
        if num_problems < 1:
            raise ValueError(f"num_problems is {num_problems}; it must be >= 1")
        num = int(np.clip(MAX_DRAWS // num_problems, MIN_RESAMPLES, MAX_RESAMPLES))
        rng = np.random.default_rng(seed)
        self._counts = np.empty((num, num_problems), dtype=np.uint8)  # a problem comes up more than 255 times never
        for row in range(num):
            drawn = rng.integers(num_problems, size=num_problems)
            self._counts[row] = np.minimum(np.bincount(drawn, minlength=num_problems), 255)

    @property
    def num(self) -> int:
        """How many there are."""
        return len(self._counts)

    def totals(self, values: NDArray[Any]) -> Floats:
        """The sum of each column in each resample.

        Args:
            values: (num_problems, columns).

        Returns:
            (resamples, columns).
        """
        found = np.empty((self.num, values.shape[1]))
        for start in range(0, self.num, _CHUNK):
            rows = slice(start, start + _CHUNK)
            found[rows] = self._counts[rows].astype(np.float64) @ values
        return found

    def means(self, sums: NDArray[Any], sizes: NDArray[Any]) -> Floats:
        """The mean of each column in each resample, over all outcomes of the problems in it.

        Args:
            sums: (num_problems, columns) the sum over the outcomes of each problem.
            sizes: (num_problems, columns) how many outcomes that are.

        Returns:
            (resamples, columns); NaN where a resample has no outcome of that column.
        """
        totals, counts = self.totals(sums), self.totals(sizes)
        found: Floats = np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)
        return found

    def estimates(self, sums: NDArray[Any], sizes: NDArray[Any]) -> list[Estimate]:
        """The mean of each column with its interval; arguments as for `means`.

        Raises:
            ValueError: a column has no outcome.
        """
        if (sizes.sum(axis=0) == 0).any():
            raise ValueError("sizes has a column of zeros; there is nothing to take a mean of")
        values = sums.sum(axis=0) / sizes.sum(axis=0)
        resampled = self.means(sums, sizes)
        return [Estimate(float(value), *interval(column)) for value, column in zip(values, resampled.T, strict=True)]


def interval(resampled: Floats) -> tuple[float, float]:
    """The 2.5% and 97.5% quantiles of those that are numbers, of which there must be one."""
    low, high = np.quantile(resampled[np.isfinite(resampled)], (0.025, 0.975))
    return float(low), float(high)
