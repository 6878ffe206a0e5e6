"""Accuracy and costs of all points by problem: what is compared is read from here.

    right, size       (num_samples, points)   right outcomes and outcomes of each problem
    accuracy          (resamples, points)     of each resample of problems; costs likewise

Not covered: which points are compared (differences.py, crossings.py, matches.py).
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgesearch.bench.intervals import mcnemar_p
from edgesearch.bench.report.model import Axis, Difference, Estimate, Point
from edgesearch.bench.report.points import Costs
from edgesearch.bench.report.resamples import Resamples
from edgesearch.bench.report.settings import Setting

Floats = NDArray[np.float64]
Pair = tuple[int, int]
"""Places of two points: the first is compared with the second."""
Part = tuple[tuple[int, NDArray[np.bool_]], tuple[int, NDArray[np.bool_]]]
"""Two points by their place, each with which of its outcomes count: (num_outcomes,)."""


class ByProblem:
    """What points reached and spent on each problem."""

    def __init__(
        self,
        points: Sequence[Point],
        settings: Sequence[Setting],
        costs: Sequence[Costs],
        num_samples: int,
        resamples: Resamples,
    ) -> None:
        """Counts; all sequences are in the order of the points."""
        self.points = points
        self._settings, self._costs = settings, costs
        self._num_samples, self._resamples = num_samples, resamples
        self._right = self._sums([each.is_right for each in settings])
        self._size = self._sums([np.ones(len(each.rows)) for each in settings])

    def _sums(self, values: Sequence[NDArray[np.generic]]) -> Floats:
        pairs = zip(self._settings, values, strict=True)
        return np.column_stack([setting.by_sample(each, self._num_samples) for setting, each in pairs])

    @cached_property
    def accuracy(self) -> Floats:
        """(resamples, points)"""
        return self._resamples.means(self._right, self._size)

    def cost(self, axis: Axis) -> Floats:
        """(resamples, points) the mean cost on an axis; NaN where it is not known.

        The most memory of any outcome is no mean, and the same in all resamples.
        """
        if axis == "peak_bytes":
            peaks = [np.nan if point.peak_bytes is None else float(point.peak_bytes) for point in self.points]
            return np.broadcast_to(np.array(peaks), (self._resamples.num, len(peaks)))
        known = [each.by_axis[axis] for each in self._costs]
        sums = self._sums(
            [np.zeros(len(s.rows)) if v is None else v for s, v in zip(self._settings, known, strict=True)]
        )
        found = self._resamples.means(sums, self._solved)
        found[:, [values is None for values in known]] = np.nan
        return found

    @cached_property
    def _solved(self) -> Floats:
        return self._sums([each.is_solved for each in self._settings])

    # -- differences -------------------------------------------------------------------------------------------------

    def differences(self, pairs: Sequence[Pair]) -> list[Difference]:
        """The paired difference in accuracy of each pair that has a problem in common.

        A problem counts once, by the share of its outcomes that are right.
        """
        gaps = [self._rate(first) - self._rate(second) for first, second in pairs]
        estimates = self._estimates(gaps)
        found = zip(pairs, gaps, estimates, strict=True)
        return [self._difference(pair, each, estimate) for pair, each, estimate in found if estimate is not None]

    def differences_on(self, parts: Sequence[Part]) -> list[tuple[int, Estimate] | None]:
        """The paired differences on some outcomes only, such as those of a level.

        Returns:
            For each part, how many problems both points have such outcomes of, and the difference; None where there is
            no such problem.
        """
        gaps = [self._rate_on(*first) - self._rate_on(*second) for first, second in parts]
        estimates = self._estimates(gaps)
        found = zip(gaps, estimates, strict=True)
        return [None if estimate is None else (_num_shared(each), estimate) for each, estimate in found]

    def _rate(self, place: int) -> Floats:
        """(num_samples,) the share of a point's outcomes of each problem that is right; NaN where it has none."""
        return _ratio(self._right[:, place], self._size[:, place])

    def _rate_on(self, place: int, is_shown: NDArray[np.bool_]) -> Floats:
        setting = self._settings[place]
        right, size = (setting.by_sample(each, self._num_samples) for each in (setting.is_right & is_shown, is_shown))
        return _ratio(right, size)

    def _estimates(self, gaps: Sequence[Floats]) -> list[Estimate | None]:
        """The mean of each over the problems that are not NaN; None where all are."""
        kept = [each for each in gaps if _num_shared(each)]
        if not kept:
            return [None] * len(gaps)
        columns = np.column_stack(kept)
        found = iter(self._resamples.estimates(np.nan_to_num(columns), ~np.isnan(columns)))
        return [next(found) if _num_shared(each) else None for each in gaps]

    def _difference(self, pair: Pair, gaps: Floats, estimate: Estimate) -> Difference:
        gains, losses = int((gaps > 0).sum()), int((gaps < 0).sum())
        first, second = (self.points[place].id for place in pair)
        return Difference(first, second, _num_shared(gaps), estimate, gains, losses, mcnemar_p(gains, losses))


def _ratio(right: Floats, size: Floats) -> Floats:
    found: Floats = np.divide(right, size, out=np.full(len(size), np.nan), where=size > 0)
    return found


def _num_shared(gaps: Floats) -> int:
    return int((~np.isnan(gaps)).sum())
