"""Five levels of difficulty, by how often the solver is right or by what the verifier thinks of its solutions.

Problems are ranked and cut into five parts of the same size, as in Snell et al. 2024 (arXiv 2408.03314, section 3.2):
level 1 is the easiest fifth, level 5 the hardest. The *oracle* ranks by pass@1 of many candidates, which needs the
targets; the *predicted* levels rank by the mean score of the same candidates, which a deployed system has.

Levels are relative to the solver and the set of problems. Parts of the same size have their price: problems that are
equally hard are levelled in the order given, so a set of which half is never solved has unsolved problems on three
levels. Levels must come from other candidates than those whose accuracy is reported by level: the luck that makes a
problem look easy makes its accuracy look high.

Not covered: levels that a task states itself (MATH's), the difficulty that a planner estimates within a solve.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NUM_LEVELS = 5

Ints = NDArray[np.int64]


def levels(values: ArrayLike, num_levels: int = NUM_LEVELS) -> Ints:
    """The level of each problem, from 1 for the highest values to `num_levels` for the lowest.

    Args:
        values: (num_problems,) the higher the easier.
        num_levels: into how many parts; their sizes differ by at most one.

    Returns:
        (num_problems,) levels; equal values in the order given. With fewer problems than levels, some have none.

    Raises:
        ValueError: there are no values, one is NaN, or `num_levels` is below 1.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"values has the shape {array.shape}; it must be (num_problems,), and not empty")
    if np.isnan(array).any():
        raise ValueError("values hold a NaN; each problem needs a number to be ranked by")
    if num_levels < 1:
        raise ValueError(f"num_levels is {num_levels}; it must be >= 1")
    found = np.empty(len(array), dtype=np.int64)
    easiest_first = np.argsort(-array, kind="stable")
    found[easiest_first] = np.arange(len(array)) * num_levels // len(array) + 1
    return found


def oracle(num_candidates: ArrayLike, num_right: ArrayLike, num_levels: int = NUM_LEVELS) -> Ints:
    """Levels by pass@1, the share of right candidates.

    Args:
        num_candidates: (num_problems,) or one number for all, each >= 1.
        num_right: (num_problems,) each in [0, num_candidates].
        num_levels: into how many parts.

    Raises:
        ValueError: a count is out of range.
    """
    n, c = np.broadcast_arrays(np.asarray(num_candidates), np.asarray(num_right))
    if (n < 1).any():
        raise ValueError(f"num_candidates holds {n.min()}; it must be >= 1")
    if (c < 0).any() or (c > n).any():
        raise ValueError(f"num_right goes from {c.min()} to {c.max()}; it must be in [0, num_candidates]")
    return levels(c / n, num_levels)


def predicted(scores: Sequence[ArrayLike], num_levels: int = NUM_LEVELS) -> Ints:
    """Levels by the mean score of each problem's candidates; needs no targets.

    Args:
        scores: for each problem the scores of its candidates, NaN for one without.
        num_levels: into how many parts.

    Raises:
        ValueError: a problem has no score at all.
    """
    arrays = [np.asarray(each, dtype=np.float64) for each in scores]
    found = [array[~np.isnan(array)] for array in arrays]
    for i, array in enumerate(found):
        if not len(array):
            raise ValueError(f"scores[{i}] has no number; a problem needs a score to be ranked by")
    return levels([array.mean() for array in found], num_levels)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two ways to level the same problems agree."""

    table: tuple[tuple[int, ...], ...]
    """Problems by the first way's level (rows) and the second's (columns)."""
    same: float
    """Share of problems on the same level, in [0, 1]; 0.2 by chance with five."""
    within_one: float
    """Share of problems at most one level apart; 0.52 by chance with five."""
    kappa: float | None
    """Cohen's kappa (1960): 1 for the same levels, 0 for what chance gives; None if all are on one level."""


def agreement(first: ArrayLike, second: ArrayLike, num_levels: int = NUM_LEVELS) -> Agreement:
    """Compares the levels of the same problems, such as oracle and predicted.

    Raises:
        ValueError: there are not as many of one as of the other, or a level is not in [1, num_levels].
    """
    a, b = _checked("first", first, num_levels), _checked("second", second, num_levels)
    if len(a) != len(b):
        raise ValueError(f"second has {len(b)} levels for the {len(a)} of first; both must be of the same problems")
    table = np.zeros((num_levels, num_levels), dtype=np.int64)
    np.add.at(table, (a - 1, b - 1), 1)
    same, chance = float(np.mean(a == b)), float(table.sum(axis=0) @ table.sum(axis=1)) / len(a) ** 2
    return Agreement(
        table=tuple(tuple(map(int, row)) for row in table),
        same=same,
        within_one=float(np.mean(np.abs(a - b) <= 1)),
        kappa=(same - chance) / (1 - chance) if chance < 1 else None,
    )


def _checked(name: str, found: ArrayLike, num_levels: int) -> Ints:
    array = np.asarray(found)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} has the shape {array.shape}; it must be (num_problems,), and not empty")
    if array.min() < 1 or array.max() > num_levels:
        raise ValueError(f"{name} goes from {array.min()} to {array.max()}; levels must be in [1, {num_levels}]")
    return array.astype(np.int64)
