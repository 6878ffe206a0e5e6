"""Confidence: the probability that the leading answer is right, fitted to graded answers.

The share of the vote says how far candidates agree, not how often such an answer is right. Here that is learned from
problems whose answers were graded: logistic regression (Platt scaling) on two features of the standing,

* lead: the log-odds of the leader's share of the vote's weight, a quarter of a vote added to either side, so that it
  grows with the number of votes as well as with their agreement;
* best: the log-odds of the highest score among the leader's voters.

A probability is used to decide when to stop, and whoever stops at the first moment at which it is high picks the
moments at which it is too high. So it is fitted at many moments of each problem and not at the end alone, and it is
checked, on problems that it was not fitted to, at the first moment at which it passes a threshold. Where fewer are
right there than the threshold says, the log-odds are lowered until they are not (`caution`).

Further features (the number of votes, their share, the mean score of the leader's voters and of all candidates, the
lead over the rival) and isotonic regression on top did not lower the Brier score on problems that were left out of the
fit, so they are not here.

Not covered: exact checks, whose answers are certain; drawing and grading the candidates (bench/tuning.py).

Sources: Platt 1999, Probabilistic outputs for support vector machines; Brier 1950; the expected calibration error, Guo
et al. 2017, arXiv 1706.04599, over ten bins of equal width.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgesearch.planner.standing import Standing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PREFIXES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Candidates after which a problem's standing is one of the rows that are fitted."""
THRESHOLDS = (0.8, 0.9, 0.95, 0.98)
"""At which stopping is checked."""
FEWEST_TO_STOP = 4
"""Candidates before which stopping is not checked: a planned solve does not stop before."""
MIN_PROBLEMS = 20
"""Fewer tell too little: no calibration is better than one by chance."""
NUM_BINS = 10
LOWEST, HIGHEST = 0.01, 0.99
"""Of what is not proven nothing is certain."""
_PSEUDO_VOTES = 0.25
_SCORE_EDGE = 1e-3
_RIDGE = 1e-3
_NUM_FOLDS = 5
_CAUTION_STEP, _MAX_CAUTION = 0.1, 3.0

Moment = tuple[Standing, bool]
"""How the vote stood, and whether the answer in the lead was right."""
Path = Sequence[Moment]
"""Of one pool of candidates: its moments in order, one after each candidate."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Moments at which about the same was predicted."""

    predicted: float
    right: float
    weight: float
    """Share of all moments, where each problem counts the same."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """What stopping at the first moment at which the probability passes a threshold leads to."""

    threshold: float
    share: float
    """Of the pools that have an answer which is not proven: those that are stopped."""
    accuracy: float
    """Among those that are stopped."""
    median_candidates: float
    """At which they are stopped."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """How honest the probability is on problems that it was not fitted to."""

    num_problems: int
    num_moments: int
    brier: float
    base_brier: float
    """Of the share that is right, said of every moment: what a useless predictor gets."""
    ece: float
    bins: tuple[ReliabilityBin, ...]
    stopped: tuple[Stopped, ...]
    """By threshold."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted probability."""

    intercept: float
    lead: float
    """Weight of the feature."""
    best: float
    """Weight of the feature."""
    typical_best: float
    """Stands in where no candidate has a score."""
    caution: float = 0.0
    """Taken off the log-odds, >= 0."""
    reliability: Reliability | None = None
    """None where it was not measured."""

    def __post_init__(self) -> None:
        for name in ("intercept", "lead", "best", "typical_best", "caution"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, not {getattr(self, name)}")
        if self.caution < 0:
            raise ValueError(f"caution must be >= 0, not {self.caution}")

    def probability(self, standing: Standing) -> float:
        """That the leading answer is right: in [0.01, 0.99], 1 where it is proven, 0 where there is none."""
        if standing.is_proven:
            return 1.0
        if standing.answer is None:
            return 0.0
        lead, best = features(standing)
        if best is None:
            best = self.typical_best
        return _probability(self.intercept - self.caution + self.lead * lead + self.best * best)


def features(standing: Standing) -> tuple[float, float | None]:
    """Lead and best, both log-odds; no best where no candidate has a score."""
    others = standing.weight / standing.share - standing.weight if standing.share > 0 else 0.0
    lead = math.log((standing.weight + _PSEUDO_VOTES) / (max(0.0, others) + _PSEUDO_VOTES))
    if standing.best_score is None:
        return lead, None
    best = min(max(standing.best_score, _SCORE_EDGE), 1 - _SCORE_EDGE)
    return lead, math.log(best / (1 - best))


def fit(rows: Sequence[Moment], weights: Sequence[float] | None = None) -> Calibration:
    """Fits to rows, by iteratively reweighted least squares with a small ridge; proven ones are left out.

    Args:
        rows: standings and whether their answers are right.
        weights: of each row, > 0; equal by default.

    Raises:
        ValueError: there are no rows without proof, or all are right, or all are wrong.
    """
    import numpy as np

    given = [1.0] * len(rows) if weights is None else list(weights)
    kept = [(moment, weight) for moment, weight in zip(rows, given, strict=True) if _is_open(moment)]
    if len({is_right for (_, is_right), _ in kept}) < 2:
        raise ValueError("rows must hold right and wrong answers that are not proven")
    table = _table(moment for moment, _ in kept)
    targets = np.array([float(is_right) for (_, is_right), _ in kept])
    return _fitted(table, targets, np.array([weight for _, weight in kept]))


def calibrate(problems: Sequence[Sequence[Path]]) -> Calibration | None:
    """Fits to the pools of problems, and measures on problems that were left out how honest that is.

    Each pool gives its moments after `PREFIXES` candidates; each problem weighs the same. Caution is chosen by the
    moments of stopping of all problems, each predicted by a fit to the others.

    Args:
        problems: for each problem its pools.

    Returns:
        The fit to all problems; None where too few have an answer that is not proven, or all or none are right.
    """
    paths = [_Paths(paths) for paths in problems]
    open_paths = [each for each in paths if each.rows]
    rights = {is_right for each in open_paths for _, is_right in each.rows}
    if len(open_paths) < MIN_PROBLEMS or len(rights) < 2:
        return None
    whole = _fit_problems(open_paths)
    folds = [_without(open_paths, fold) for fold in range(_NUM_FOLDS)]
    fits = [whole if fitted is None else fitted for fitted in folds]
    caution = _caution(open_paths, fits)
    fits = [dataclasses.replace(each, caution=caution) for each in fits]
    return dataclasses.replace(whole, caution=caution, reliability=_reliability(open_paths, fits))


class _Paths:
    """The pools of one problem without what is proven."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = [[moment for moment in path if _is_open(moment)] for path in paths]
        self.rows = [moment for path in self.paths for moment in path if moment[0].num_candidates in PREFIXES]


def _is_open(moment: Moment) -> bool:
    return moment[0].answer is not None and not moment[0].is_proven


def _without(problems: Sequence[_Paths], fold: int) -> Calibration | None:
    """The fit to all problems but those of a fold; None where it cannot be made."""
    others = [each for place, each in enumerate(problems) if place % _NUM_FOLDS != fold]
    try:
        return _fit_problems(others)
    except ValueError:
        return None


def _fit_problems(problems: Sequence[_Paths]) -> Calibration:
    rows = [row for each in problems for row in each.rows]
    return fit(rows, [1 / len(each.rows) for each in problems for _ in each.rows])


def _table(moments: Iterable[Moment]) -> "Floats":
    """(moments, 2) lead and best; NaN for no best."""
    import numpy as np

    return np.array([[lead, np.nan if best is None else best] for lead, best in map(_features, moments)])


def _features(moment: Moment) -> tuple[float, float | None]:
    return features(moment[0])


def _fitted(table: "Floats", targets: "Floats", weights: "Floats") -> Calibration:
    import numpy as np

    known = ~np.isnan(table[:, 1])
    typical = float(np.average(table[known, 1], weights=weights[known])) if known.any() else 0.0
    filled = np.where(np.isnan(table), typical, table)
    centre = np.average(filled, axis=0, weights=weights)
    spread = np.sqrt(np.average((filled - centre) ** 2, axis=0, weights=weights))
    spread[spread < 1e-9] = 1.0  # a feature that never varies has no weight
    design = np.column_stack([np.ones(len(table)), (filled - centre) / spread])
    found = _regression(design, targets, weights / weights.sum())
    slopes = found[1:] / spread
    intercept = float(found[0] - slopes @ centre)
    return Calibration(intercept, float(slopes[0]), float(slopes[1]), typical)


def _regression(design: "Floats", targets: "Floats", weights: "Floats") -> "Floats":
    """(columns,) of a logistic regression; the first column's weight is free of the ridge."""
    import numpy as np

    found = np.zeros(design.shape[1])
    ridge = np.diag([1e-9, *[_RIDGE] * (design.shape[1] - 1)])
    for _ in range(100):
        predicted = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        gradient = design.T @ (weights * (targets - predicted)) - ridge @ found
        curvature = (design.T * (weights * predicted * (1 - predicted))) @ design + ridge
        step = np.linalg.solve(curvature, gradient)
        found = found + np.clip(step, -2, 2)  # far from the optimum a full step may overshoot
        if float(np.abs(step).max()) < 1e-9:
            break
    return found


def _probability(log_odds: float) -> float:
    if log_odds < -30:
        return LOWEST
    return min(max(1 / (1 + math.exp(-log_odds)), LOWEST), HIGHEST)


# -- on problems that were left out ----------------------------------------------------------------------------------


def _caution(problems: Sequence[_Paths], fits: Sequence[Calibration]) -> float:
    """The least at which no threshold promises more than what is stopped there holds."""
    caution = 0.0
    while caution < _MAX_CAUTION:
        tried = [dataclasses.replace(each, caution=caution) for each in fits]
        stopped = (stopping(problems, tried, threshold) for threshold in THRESHOLDS)
        if all(each.accuracy >= each.threshold for each in stopped if each.share > 0):
            break
        caution = round(caution + _CAUTION_STEP, 3)
    return caution


def stopping(problems: Sequence[_Paths], fits: Sequence[Calibration], threshold: float) -> Stopped:
    """What stopping at a threshold leads to, each problem with the fit to the others."""
    num, rights, candidates = 0, 0, []
    for place, problem in enumerate(problems):
        fitted = fits[place % len(fits)]
        for path in problem.paths:
            num += bool(path)
            late = (each for each in path if each[0].num_candidates >= FEWEST_TO_STOP)
            first = next((each for each in late if fitted.probability(each[0]) >= threshold), None)
            if first is not None:
                rights += first[1]
                candidates.append(first[0].num_candidates)
    if not candidates:
        return Stopped(threshold, 0.0, 0.0, 0.0)
    middle = sorted(candidates)[len(candidates) // 2]
    return Stopped(threshold, round(len(candidates) / num, 4), round(rights / len(candidates), 4), float(middle))


def _reliability(problems: Sequence[_Paths], fits: Sequence[Calibration]) -> Reliability:
    import numpy as np

    said, targets, weights = [], [], []
    for place, problem in enumerate(problems):
        said += [fits[place % len(fits)].probability(standing) for standing, _ in problem.rows]
        targets += [float(is_right) for _, is_right in problem.rows]
        weights += [1 / len(problem.rows)] * len(problem.rows)
    predicted, right, weight = np.array(said), np.array(targets), np.array(weights)
    weight /= weight.sum()
    bins = reliability_bins(predicted, right, weight)
    base = float(right @ weight)
    return Reliability(
        num_problems=len(problems),
        num_moments=len(said),
        brier=round(float((predicted - right) ** 2 @ weight), 4),
        base_brier=round(base * (1 - base), 4),
        ece=round(sum(each.weight * abs(each.predicted - each.right) for each in bins), 4),
        bins=bins,
        stopped=tuple(stopping(problems, fits, threshold) for threshold in THRESHOLDS),
    )


def reliability_bins(predicted: "Floats", right: "Floats", weight: "Floats") -> tuple[ReliabilityBin, ...]:
    """Of `NUM_BINS` bins of equal width, those that are not empty.

    Args:
        predicted: (moments,) each in [0, 1].
        right: (moments,) 1 for a right answer, else 0.
        weight: (moments,) the sum is 1.
    """
    import numpy as np

    places = np.minimum((predicted * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    found = []
    for place in np.unique(places):
        is_in = places == place
        total = float(weight[is_in].sum())
        means: list[Any] = [float(each[is_in] @ weight[is_in]) / total for each in (predicted, right)]
        found.append(ReliabilityBin(round(means[0], 4), round(means[1], 4), round(total, 4)))
    return tuple(found)
