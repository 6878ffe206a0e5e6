"""What k candidates would have reached, estimated from the n >= k candidates that one run drew of each problem.

A run of n candidates holds C(n, k) runs of k. Each figure is the mean over these, for one problem: coverage (pass@k)
and best-of-n in closed form, votes by drawing subsets. Candidates must have been drawn independently of each other, so
this is for best-of-n, majority and weighted votes; a beam search at k is another search and has to be run.

Conventions, all of them those of `edgesearch.choice` where there is no proof, and of search-and-learn:

- A candidate without an answer does not vote and is never chosen before one with an answer.
- Equals, in votes or in score, are decided by the order of drawing: the first candidate wins. Subsets keep that order.
- A vote is right if the first voter of the winning class is.
- Where all voters of a subset weigh nothing, each counts one.
- A choice without an answer is not right, and is told apart: right + wrong + unanswered is 1.

Not covered: problems without any candidate (they have no @k; count them unanswered), candidates proven right or wrong
by an exact check, candidates that were cut off (give them no score, or no answer), intervals (intervals.py).

Sources: pass@k, the unbiased estimator of Chen et al. 2021, arXiv 2107.03374, section 2.1; weighted votes, Li et al.
2023, arXiv 2206.02336, as in Snell et al. 2024, arXiv 2408.03314; first of equals, huggingface/search-and-learn,
`find_majority_answer`.
"""

import itertools
import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgesearch.answer import canonical

NUM_SUBSETS = 200
"""Drawn a problem and k. Of one problem this leaves a standard error of at most 0.036; of the mean over 500, 0.0016."""

UNANSWERED = -1
"""The class of a candidate that has no answer."""

Rule = Literal["majority", "best_of_n", "weighted"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The candidates of one problem, in the order they were drawn; arrays are copied and cannot be written to."""

    classes: Ints
    """(n,) which answer each gives, as a number in [0, n); `UNANSWERED` for none."""
    is_right: NDArray[np.bool_]
    """(n,) whether that answer is right; one without an answer is not."""
    scores: Floats | None = None
    """(n,) the higher the better; NaN for a candidate without, which ranks last and weighs nothing; None without
    a verifier."""

    def __post_init__(self) -> None:
        _freeze(self, "classes", np.int64)
        _freeze(self, "is_right", np.bool_)
        if self.scores is not None:
            _freeze(self, "scores", np.float64)
        self._check()

    def _check(self) -> None:
        n = len(self.classes)
        if n == 0:
            raise ValueError("classes is empty; a problem without candidates has no @k, count it unanswered")
        for name in ("classes", "is_right", "scores"):
            if (array := getattr(self, name)) is not None and array.shape != (n,):
                raise ValueError(f"{name} has the shape {array.shape}; it must be ({n},), one entry a candidate")
        if self.classes.min() < UNANSWERED or self.classes.max() >= n:
            raise ValueError(f"classes go from {self.classes.min()} to {self.classes.max()}; they must be in [-1, {n})")
        if (self.is_right & ~self.is_answered).any():
            raise ValueError("is_right is true for a candidate without an answer; only an answer can be right")
        if self.scores is not None and np.isinf(self.scores).any():
            raise ValueError("scores hold an infinity; each must be finite, or NaN for a candidate without one")

    @classmethod
    def from_keys(
        cls, keys: Sequence[Hashable | None], is_right: ArrayLike, scores: ArrayLike | None = None
    ) -> "Candidates":
        """Candidates whose answers are given as keys of their class, such as `answer.canonical`; None for no answer."""
        numbers: dict[Hashable, int] = {}
        classes = [UNANSWERED if key is None else numbers.setdefault(key, len(numbers)) for key in keys]
        array = None if scores is None else np.asarray(scores, dtype=np.float64)
        return cls(np.array(classes, dtype=np.int64), np.asarray(is_right, dtype=np.bool_), array)

    @classmethod
    def from_answers(
        cls, answers: Sequence[str | None], is_right: ArrayLike, scores: ArrayLike | None = None
    ) -> "Candidates":
        """Candidates whose answers are given as they were extracted; each spelling is made canonical once."""
        keys = {answer: canonical(answer) for answer in set(answers) if answer is not None}
        return cls.from_keys([None if answer is None else keys[answer] for answer in answers], is_right, scores)

    @property
    def is_answered(self) -> NDArray[np.bool_]:
        """(n,) whether each has an answer."""
        return np.not_equal(self.classes, UNANSWERED)

    @property
    def num_unscored(self) -> int:
        """How many have no score."""
        return len(self.classes) if self.scores is None else int(np.isnan(self.scores).sum())


def _freeze(candidates: Candidates, name: str, dtype: type[np.generic]) -> None:
    array = np.array(getattr(candidates, name), dtype=dtype)  # a copy, so that the caller's cannot change it
    array.setflags(write=False)
    object.__setattr__(candidates, name, array)


# -- closed forms --------------------------------------------------------------------------------------------------


def pass_at_k(num_candidates: ArrayLike, num_right: ArrayLike, ks: Sequence[int]) -> Floats:
    """Chance that k of n candidates, drawn without putting back, hold a right one: 1 - C(n-c, k) / C(n, k).

    Written as the product over i = n-c+1 .. n of (i-k)/i, no factor leaves [0, 1], so nothing overflows; the rounding
    is below 1e-11 at n = 10,000 (Chen et al. 2021).

    Args:
        num_candidates: n of each problem, any shape that broadcasts with `num_right`.
        num_right: c of each problem.
        ks: how many are drawn, each in [1, the smallest n].

    Returns:
        The shape of the problems, then (len(ks),).

    Raises:
        ValueError: a k, a count of right ones or a count of candidates is out of range, or there is nothing to count.
    """
    n, c = np.broadcast_arrays(_integers("num_candidates", num_candidates), _integers("num_right", num_right))
    if (c < 0).any() or (c > n).any():
        raise ValueError(f"num_right goes from {c.min()} to {c.max()}; it must be in [0, num_candidates]")
    drawn = _checked_ks(ks, int(n.min()))
    chances = np.empty((*n.shape, len(drawn)))
    for size in np.unique(n):
        is_size = n == size
        right = c[is_size]
        for column, k in enumerate(drawn):
            chances[is_size, column] = 1 - _misses(int(size), int(right.max()), k)[right]
    return chances


def _misses(n: int, most: int, k: int) -> Floats:
    """(most + 1,) the chance that k of n hold none of the right ones, for 0 .. most right ones."""
    sizes = n - np.arange(most)
    return np.concatenate([[1.0], np.cumprod(np.maximum(sizes - k, 0) / sizes)])


def unanswered_at_k(candidates: Candidates, ks: Sequence[int]) -> Floats:
    """(len(ks),) chance that none of k candidates has an answer; whatever the rule, nothing can then be chosen."""
    return 1 - pass_at_k(len(candidates.classes), int(candidates.is_answered.sum()), ks)


def best_of_n_at_k(candidates: Candidates, ks: Sequence[int]) -> Floats:
    """(len(ks),) chance that the best of k candidates is right: exact, over all subsets.

    A candidate with r worse ones is the best of a subset if the k-1 others are among these: C(r, k-1) / C(n, k).
    Better is: with an answer, then the higher score, then drawn earlier.

    Raises:
        ValueError: the candidates have no scores, or a k is not in [1, n].
    """
    order = _best_first(candidates)
    drawn = _checked_ks(ks, len(order))
    is_right = candidates.is_right[order].astype(np.float64)
    return np.array([is_right @ _best_chances(len(order), k) for k in drawn])


def _best_first(candidates: Candidates) -> Ints:
    """(n,) indices of the candidates, the one that is chosen before all others first."""
    scores = _scores(candidates)
    is_scored = ~np.isnan(scores)
    filled = np.where(is_scored, scores, 0.0)
    keys = (np.arange(len(scores)), -filled, ~is_scored, ~candidates.is_answered)  # the last decides first
    return np.lexsort(keys).astype(np.int64)


def _best_chances(n: int, k: int) -> Floats:
    """(n,) C(r, k-1) / C(n, k) for r = n-1 .. 0; each is the one before times (r-k+1)/r, so that nothing overflows."""
    worse = np.arange(n - 1, 0, -1)
    chances: Floats = np.cumprod(np.concatenate([[k / n], np.maximum(worse - k + 1, 0) / worse]))
    return chances


def _scores(candidates: Candidates) -> Floats:
    if candidates.scores is None:
        raise ValueError("scores is None; this choice needs one score a candidate")
    return candidates.scores


# -- votes ---------------------------------------------------------------------------------------------------------


def majority_at_k(
    candidates: Candidates, ks: Sequence[int], *, num_subsets: int = NUM_SUBSETS, seed: int = 0
) -> Floats:
    """(len(ks),) chance that the most frequent answer among k candidates is right.

    Exact for k = 1, k = n and wherever there are at most `num_subsets` subsets; else the mean over `num_subsets`
    random ones. A tie goes to the answer that was drawn first.

    Raises:
        ValueError: a k is not in [1, n], or `num_subsets` is below 1.
    """
    return _votes_at_k(candidates, [_equal(candidates)], ks, num_subsets, (seed,))[0]


def weighted_at_k(
    candidates: Candidates, ks: Sequence[int], *, num_subsets: int = NUM_SUBSETS, seed: int = 0
) -> Floats:
    """(len(ks),) chance that the answer with the highest sum of scores among k candidates is right.

    Exact where `majority_at_k` is, which with the same seed draws the same subsets. Scores are added in the order of
    drawing; sums that are equal but for rounding are not equals.

    Raises:
        ValueError: a score is missing from all or negative, a k is not in [1, n], or `num_subsets` is below 1.
    """
    return _votes_at_k(candidates, [_weights(candidates)], ks, num_subsets, (seed,))[0]


def _equal(candidates: Candidates) -> Floats:
    return np.ones(len(candidates.classes))


def _weights(candidates: Candidates) -> Floats:
    """(n,) what each vote weighs."""
    weights: Floats = np.nan_to_num(_scores(candidates))
    if weights.min() < 0:
        raise ValueError(f"scores hold {weights.min()}; a weighted vote needs each to be >= 0")
    return weights


def _votes_at_k(
    candidates: Candidates, ballots: Sequence[Floats], ks: Sequence[int], num_subsets: int, seed: Sequence[int]
) -> list[Floats]:
    """For each way to weigh votes, (ks,) the share of subsets that elect a right answer."""
    if num_subsets < 1:
        raise ValueError(f"num_subsets is {num_subsets}; it must be >= 1")
    drawn = _checked_ks(ks, len(candidates.classes))
    shares = np.empty((len(ballots), len(drawn)))
    for column, subsets in enumerate(_subsets(len(candidates.classes), drawn, num_subsets, seed)):
        for row, weights in enumerate(ballots):
            shares[row, column] = candidates.is_right[_elected(candidates, weights, subsets)].mean()
    shares[:, [k == 1 for k in drawn]] = candidates.is_right.mean()  # each elects itself; nothing to draw
    return list(shares)


def _subsets(n: int, ks: Sequence[int], num_subsets: int, seed: Sequence[int]) -> Iterator[Ints]:
    """For each k, (subsets, k) indices, each row rising: all subsets where they are few, else random ones.

    The subsets of different k come from the same orders of all candidates, so a curve over k is less ragged.
    """
    few = [_is_few(n, k, num_subsets) for k in ks]
    num_orders = 0 if all(few) else num_subsets
    orders = np.tile(np.arange(n, dtype=np.int32), (num_orders, 1))  # (num_orders, n)
    np.random.default_rng(seed).permuted(orders, axis=1, out=orders)
    for k, is_few in zip(ks, few, strict=True):
        if is_few:
            yield np.array(list(itertools.combinations(range(n), k)), dtype=np.int64)
        else:
            yield np.flatnonzero(orders < k).reshape(num_subsets, k) % n


def _is_few(n: int, k: int, most: int) -> bool:
    """Whether C(n, k) <= most, without computing it where it is huge: it is at least 2 to the smaller part."""
    smaller = min(k, n - k)
    return 1 << smaller <= most and math.comb(n, smaller) <= most


def _elected(candidates: Candidates, weights: Floats, subsets: Ints) -> Ints:
    """(subsets,) the first candidate of the winning class in each subset."""
    winners, heaviest = _tally(candidates, weights, subsets)
    is_weightless = heaviest <= 0
    if is_weightless.any():
        winners[is_weightless] = _tally(candidates, _equal(candidates), subsets[is_weightless])[0]
    return winners


def _tally(candidates: Candidates, weights: Floats, subsets: Ints) -> tuple[Ints, Floats]:
    """(subsets,) each: the first candidate of the heaviest class, and that class's weight; -1 where nobody voted."""
    num_rows, width = len(subsets), int(candidates.classes.max()) + 2  # classes, then a column for no answer
    rows = np.arange(num_rows)
    cells = (candidates.classes % width)[subsets] + (rows * width)[:, None]  # (subsets, k); -1 is the last column
    totals = np.bincount(cells.ravel(), weights[subsets].ravel(), num_rows * width)
    totals[width - 1 :: width] = -1.0
    votes = totals[cells]  # (subsets, k) what the class of each candidate weighs
    first = votes.argmax(axis=1)  # the first of equals
    return subsets[rows, first], votes[rows, first]


# -- all problems of a run -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Every figure of every problem at every k: (problems, ks) each, in the order given; means over rows are shares."""

    ks: tuple[int, ...]
    coverage: Floats
    """Chance that some candidate is right."""
    unanswered: Floats
    """Chance that no candidate has an answer, part of what is not right; the same for all rules."""
    majority: Floats
    """Chance that the most frequent answer is right."""
    best_of_n: Floats | None
    """Chance that the answer with the highest score is right; None without a verifier."""
    weighted: Floats | None
    """Chance that the answer with the highest sum of scores is right; None without a verifier."""

    def accuracy(self, rule: Rule) -> Floats:
        """Chance that the rule's choice is right.

        Raises:
            ValueError: the rule needs scores, and there are none.
        """
        found: Floats | None = getattr(self, rule)
        if found is None:
            raise ValueError(f"there are no scores, so there is no {rule}; majority needs none")
        return found

    def selection_gap(self, rule: Rule) -> Floats:
        """Coverage minus accuracy: what was found but not chosen. Never negative, but for the error of drawing."""
        return self.coverage - self.accuracy(rule)


def curves(
    problems: Iterable[Candidates], ks: Sequence[int], *, num_subsets: int = NUM_SUBSETS, seed: int = 0
) -> Curves:
    """All figures of a run; problems are taken one by one, so they need not be in memory together.

    Each problem draws subsets of its own; majority and weighted votes share them, so their difference is paired.

    Raises:
        ValueError: there is no problem, some problems have scores and others not, a score is negative, or a k is above
            some problem's n.
    """
    rows = [_row(candidates, ks, num_subsets, (seed, i)) for i, candidates in enumerate(problems)]
    if not rows:
        raise ValueError("problems is empty; there must be at least one")
    if len({len(row) for row in rows}) > 1:
        raise ValueError("scores is None for some problems only; give all of them scores, or none")
    columns: list[Any] = [*np.stack(rows, axis=1), None, None]
    return Curves(tuple(ks), *columns[:5])


def _row(candidates: Candidates, ks: Sequence[int], num_subsets: int, seed: tuple[int, int]) -> Floats:
    """(3 or 5, ks) in the order of the fields of `Curves`."""
    n, num_right = len(candidates.classes), int(candidates.is_right.sum())
    is_scored = candidates.scores is not None
    ballots = [_equal(candidates), _weights(candidates)] if is_scored else [_equal(candidates)]
    majority, *weighted = _votes_at_k(candidates, ballots, ks, num_subsets, seed)
    best = [best_of_n_at_k(candidates, ks)] if is_scored else []
    return np.stack([pass_at_k(n, num_right, ks), unanswered_at_k(candidates, ks), majority, *best, *weighted])


# -- checks --------------------------------------------------------------------------------------------------------


def _integers(name: str, values: ArrayLike) -> Ints:
    array = np.asarray(values)
    if array.size == 0:
        raise ValueError(f"{name} is empty; it must hold at least one number")
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} holds {array.dtype}; it must hold integers")
    return array.astype(np.int64)


def _checked_ks(ks: Sequence[int], n: int) -> list[int]:
    for k in (drawn := _integers("ks", ks).tolist()):
        if not 1 <= k <= n:
            raise ValueError(f"k is {k}; it must be in [1, {n}], the number of candidates")
    return list(drawn)
