"""Accuracy by difficulty: oracle and predicted levels of a reference setting, and the levels that a task states.

Oracle and predicted levels (difficulty.py) rank problems by the candidates of one setting, for all points alike: the
smallest solver with the most independent candidates. They are *cross-fitted*: an outcome of a seed is levelled by the
candidates of the other seeds, since the luck that makes a problem look easy would make its accuracy look high. With one
seed that cannot be done, and the report says so.

Not covered: problems that the reference has no outcome of; they are on no level.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgesearch import search
from edgesearch.bench import difficulty
from edgesearch.bench.report.model import LevelAccuracy, LevelKind
from edgesearch.bench.report.points import share
from edgesearch.bench.report.settings import Setting
from edgesearch.bench.report.solvers import Size
from edgesearch.tasks.base import Sample

NO_LEVEL = 0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """The level of every problem, for an outcome of each seed."""

    kind: LevelKind
    names: tuple[str, ...]
    """Of the levels, the easiest first; level 1 is the first name."""
    seeds: tuple[int, ...]
    """Of the reference; empty where levels do not depend on the seed."""
    table: Ints
    """(len(seeds) + 1, num_samples) from 1; the last row for seeds that the reference does not have. `NO_LEVEL` for
    none."""

    def of(self, setting: Setting) -> Ints:
        """(num_outcomes,) the level of each outcome of a setting."""
        places = {seed: place for place, seed in enumerate(self.seeds)}
        rows = np.array([places.get(cell.seed, len(self.seeds)) for cell in setting.cells])
        found: Ints = self.table[rows[setting.rows["seed"]], setting.rows["sample"]]
        return found


def all_levels(reference: Setting | None, samples: Sequence[Sample]) -> list[Levels]:
    """All kinds of levels that there are."""
    found = [stated(samples)]
    if reference is not None:
        found = [oracle(reference, len(samples)), predicted(reference, len(samples)), *found]
    return [each for each in found if each is not None]


def reference(settings: Sequence[Setting], sizes: Mapping[tuple[int, str], Size]) -> Setting | None:
    """The setting whose candidates level the problems; None where none has candidates that are independent.

    The smallest solver; of its settings the one with the most candidates; of these one with scores and without checks.
    """
    fit = [setting for setting in settings if _is_fit(setting)]
    ranks = {engine: size.rank for engine, size in sizes.items()}

    def order(setting: Setting) -> tuple[bool, float, int, bool, bool]:
        rank = ranks[setting.engine]
        num_candidates = int(setting.rows["num_candidates"].sum())
        has_scores = bool(setting.rows["num_scored"].any())
        return rank is None, rank or 0.0, -num_candidates, not has_scores, setting.facts.num_checked > 0

    return min(fit, key=order, default=None)


def _is_fit(setting: Setting) -> bool:
    cell = setting.cell
    is_known = cell.strategy in search.names() and not search.strategy(cell.strategy).is_stepwise
    return is_known and cell.n > 1 and bool(setting.rows["num_candidates"].any())


def oracle(reference: Setting, num_samples: int) -> Levels:
    """Levels by the share of right candidates; a problem whose candidates are all missing is among the hardest."""
    rows = reference.rows
    return _ranked("oracle", reference, rows["num_right"], rows["num_candidates"], num_samples, nothing=0.0)


def predicted(reference: Setting, num_samples: int) -> Levels | None:
    """Levels by the mean score of the candidates, None without scores; a problem without is among the hardest."""
    rows = reference.rows
    if not rows["num_scored"].any():
        return None
    return _ranked("predicted", reference, rows["score_sum"], rows["num_scored"], num_samples, nothing=-1.0)


def _ranked(
    kind: LevelKind, reference: Setting, sums: Floats, sizes: Ints, num_samples: int, *, nothing: float
) -> Levels:
    seeds = tuple(cell.seed for cell in reference.cells)
    held_out = [*range(len(seeds)), None] if len(seeds) > 1 else [None, None]
    table = [_levels_without(seed, reference, sums, sizes, num_samples, nothing) for seed in held_out]
    return Levels(kind, tuple(map(str, range(1, difficulty.NUM_LEVELS + 1))), seeds, np.array(table))


def _levels_without(
    seed: int | None, reference: Setting, sums: Floats, sizes: Ints, num_samples: int, nothing: float
) -> Ints:
    """(num_samples,) levels by the outcomes of all seeds but one."""
    is_used = np.ones(len(reference.rows)) if seed is None else reference.rows["seed"] != seed
    totals, counts = (reference.by_sample(each * is_used, num_samples) for each in (sums, sizes))
    values = np.divide(totals, counts, out=np.full(num_samples, nothing), where=counts > 0)
    found = np.full(num_samples, NO_LEVEL, dtype=np.int64)
    has_outcome = reference.by_sample(is_used, num_samples) > 0
    if has_outcome.any():
        found[has_outcome] = difficulty.levels(values[has_outcome])
    return found


def stated(samples: Sequence[Sample]) -> Levels | None:
    """Levels as the task's own data have them under `level`; None where no sample has one."""
    levels = [each.metadata.get("level", "") for each in samples]
    names = sorted({name for name in levels if name}, key=_in_order)
    if not names:
        return None
    numbers = {name: number for number, name in enumerate(names, 1)}
    return Levels("stated", tuple(names), (), np.array([[numbers.get(name, NO_LEVEL) for name in levels]]))


def _in_order(name: str) -> list[tuple[int, int, str]]:
    """`Level 2` before `Level 10`."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts]


def accuracies(point: str, setting: Setting, levels: Levels) -> list[LevelAccuracy]:
    """The accuracy of a point on each level that it has outcomes on."""
    of, is_right = levels.of(setting), setting.is_right
    found = []
    for number, name in enumerate(levels.names, 1):
        is_shown = of == number
        if is_shown.any():
            num_samples = len(np.unique(setting.rows["sample"][is_shown]))
            found.append(LevelAccuracy(point, levels.kind, name, num_samples, share(setting, is_right, is_shown)))
    return found


def agreement(levels: Sequence[Levels]) -> dict[str, float] | None:
    """How far oracle and predicted levels agree; None where either is missing.

    `kappa` is left out where all problems are on one level.
    """
    by_kind = {each.kind: each.table for each in levels}
    if "oracle" not in by_kind or "predicted" not in by_kind:
        return None
    first, second = (by_kind[kind][:-1].ravel() for kind in ("oracle", "predicted"))
    is_levelled = (first != NO_LEVEL) & (second != NO_LEVEL)
    if not is_levelled.any():
        return None
    found = difficulty.agreement(first[is_levelled], second[is_levelled])
    known = {"same": found.same, "within_one": found.within_one, "kappa": found.kappa}
    return {name: value for name, value in known.items() if value is not None}
