"""What fewer candidates would have reached: coverage, votes and best-of-n over k, from the candidates that were drawn.

Only for settings whose candidates were drawn independently of each other: not for a beam search or a revision, which
at a smaller n is another search; not where answers went through an exact check or visible tests while they were drawn,
since such a search ends with its first right candidate; and not where a vote was ended early. Of the settings that
differ in n alone, the widest one has the curve.

The strategy `sample` wants all samples and chooses nothing, so those of all its seeds are one pool: 20 seeds of 50 tell
of k up to 1,000. Where k goes further for some problems than for others, the curve ends with the fewest.

Programs hardly ever agree and are chosen by their scores, so where the answers are programs no votes are told.

A candidate that is not there, because the clock or an error came first, counts as one without an answer.

How votes are drawn: estimators.py. With many outcomes, fewer subsets a problem are drawn, so that the error of drawing
stays at or below 0.0016 of a share (0.5 over the root of all subsets), far below that of having so many problems.

Not covered: points that were run at those k, which stand beside the curves.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgesearch import search
from edgesearch.bench import estimators, power_law
from edgesearch.bench.estimators import UNANSWERED, Candidates
from edgesearch.bench.recipe import Cell
from edgesearch.bench.recorded import TESTS
from edgesearch.bench.records import Columns
from edgesearch.bench.report.model import Curve, Estimate, Fit
from edgesearch.bench.report.resamples import Resamples
from edgesearch.bench.report.settings import Setting
from edgesearch.bench.store import Store

DECADES = (1, 10, 100, 1_000)
"""Counts that every curve tells, as far as it goes."""
MIN_SUBSETS = 20
_ALL_SUBSETS = 100_000
"""Over all outcomes together."""

Floats = NDArray[np.float64]


def widest(settings: Sequence[tuple[Cell, ...]]) -> set[Cell]:
    """The first cells of the settings whose curve is drawn, by what their recipe says; a check is found out later."""
    found: dict[Cell, Cell] = {}
    for cell, *_ in settings:
        if cell.n < 2 or not _is_independent(cell):
            continue
        series = dataclasses.replace(cell, n=1, seed=0)
        if series not in found or found[series].n < cell.n:
            found[series] = cell
    return set(found.values())


def _is_independent(cell: Cell) -> bool:
    """Whether its candidates are samples that know nothing of each other, and all of them are drawn."""
    if cell.strategy not in search.names() or cell.early_stop is not None:
        return False
    known = search.strategy(cell.strategy)
    return not known.is_stepwise and (known.can_stop_early or known.keeps_all)


def curve(point: str, setting: Setting, columns: Sequence[Columns], num_samples: int, resamples: Resamples) -> Curve:
    """The curve of a setting.

    Args:
        point: its id.
        setting: whose candidates are independent.
        columns: the candidates of each of its cells.
        num_samples: of the report.
        resamples: of the problems.
    """
    drawn = _Drawn(_problems(setting, columns), setting.rows["sample"])
    return _curve(point, setting, drawn, num_samples, resamples)


def pooled(point: str, setting: Setting, store: Store, numbers: Mapping[str, int], resamples: Resamples) -> Curve:
    """The curve of a setting whose candidates of all seeds are taken together.

    Args:
        point: its id.
        setting: for which `is_pooled` holds.
        store: where its candidates are.
        numbers: the index of each sample of the report by its id.
        resamples: of the problems.
    """
    columns, num_outcomes = store.pooled_columns([cell.key for cell in setting.cells])
    totals = (setting.cell.n * num_outcomes).tolist()
    problems = [_candidates(columns, number, total, is_scored=False) for number, total in enumerate(totals)]
    samples = np.array([numbers[name] for name in columns.sample_ids], dtype=np.int64)
    return _curve(point, setting, _Drawn(problems, samples), len(numbers), resamples)


def is_pooled(setting: Setting) -> bool:
    """Whether the candidates of all its seeds are one pool."""
    return len(setting.cells) > 1 and search.strategy(setting.cell.strategy).keeps_all and not setting.is_recorded


def is_cut_short(setting: Setting) -> bool:
    """Whether its searches ended with their first good candidate, so that the others are not independent of it."""
    keeps_all = search.strategy(setting.cell.strategy).keeps_all
    has_visible_tests = setting.models.verifier == TESTS and not setting.is_recorded
    return bool(setting.facts.num_checked) or (has_visible_tests and not keeps_all)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """Problems with their candidates; a sample may be there several times, once a seed."""

    problems: Sequence[Candidates]
    samples: NDArray[np.int64]
    """(num_problems,) the index of each."""

    def by_sample(self, values: Floats, num_samples: int) -> Floats:
        """(num_samples,) the sum of a value over the problems of each sample."""
        return np.bincount(self.samples, values, num_samples).astype(np.float64, copy=False)


def _curve(point: str, setting: Setting, drawn: _Drawn, num_samples: int, resamples: Resamples) -> Curve:
    most = min(len(each.classes) for each in drawn.problems)
    fitted = power_law.spread(most)
    ks = sorted({*fitted, *(k for k in DECADES if k <= most)})
    figures = _program_figures(drawn.problems, ks) if setting.are_programs else _figures(drawn.problems, ks)
    sums = np.column_stack([drawn.by_sample(column, num_samples) for column in np.concatenate(figures, axis=1).T])
    sizes = np.broadcast_to(drawn.by_sample(np.ones(len(drawn.problems)), num_samples)[:, None], sums.shape)
    found = resamples.estimates(sums, sizes)
    coverage, *rules = (tuple(found[at : at + len(ks)]) for at in range(0, len(found), len(ks)))
    if setting.are_programs:
        majority, best_of_n, weighted = None, rules[0] if rules else None, None
    else:
        majority, best_of_n, weighted = rules if len(rules) == 3 else (rules[0], None, None)
    return Curve(point, tuple(ks), coverage, majority, best_of_n, weighted, _fit(fitted, ks, coverage))


def _fit(fitted: Sequence[int], ks: Sequence[int], coverage: Sequence[Estimate]) -> Fit | None:
    values = {k: each.value for k, each in zip(ks, coverage, strict=True)}
    found = power_law.fit(fitted, [values[k] for k in fitted])
    return None if found is None else Fit(**{field.name: found[field.name] for field in dataclasses.fields(Fit)})


# ------------------------------------------------------------------------------------------------------ candidates


def _problems(setting: Setting, columns: Sequence[Columns]) -> list[Candidates]:
    """The candidates of each outcome, in the order of the rows, n of each."""
    is_scored = bool(setting.rows["num_scored"].any())
    return [
        _candidates(each, number, setting.cell.n, is_scored=is_scored)
        for each in columns
        for number in range(len(each.sample_ids))
    ]


def _candidates(columns: Columns, number: int, n: int, *, is_scored: bool) -> Candidates:
    """The first n candidates of a sample; those that are missing have no answer."""
    kept = slice(int(columns.offsets[number]), min(int(columns.offsets[number]) + n, int(columns.offsets[number + 1])))
    missing = n - (kept.stop - kept.start)
    classes, is_right = columns.answer_class[kept], columns.is_right[kept]
    scores = columns.score[kept] if is_scored else None
    if missing:
        classes, is_right = np.pad(classes, (0, missing), constant_values=UNANSWERED), np.pad(is_right, (0, missing))
        scores = None if scores is None else np.pad(scores, (0, missing), constant_values=np.nan)
    return Candidates(classes, is_right, scores)


def num_missing(setting: Setting) -> int:
    """How many of the candidates that a setting asks for are not there."""
    short = setting.cell.n - setting.rows["num_candidates"]
    return int(np.maximum(short, 0).sum())


# --------------------------------------------------------------------------------------------------------- figures


def _program_figures(problems: Sequence[Candidates], ks: Sequence[int]) -> list[Floats]:
    """Coverage and, with scores, best-of-n: (outcomes, ks) each."""
    coverage = _coverage(problems, ks)
    if problems[0].scores is None:
        return [coverage]
    return [coverage, np.stack([estimators.best_of_n_at_k(each, ks) for each in problems])]


def _coverage(problems: Sequence[Candidates], ks: Sequence[int]) -> Floats:
    num_candidates = np.array([len(each.classes) for each in problems])
    num_right = np.array([each.is_right.sum() for each in problems])
    return estimators.pass_at_k(num_candidates, num_right, ks)


def _figures(problems: Sequence[Candidates], ks: Sequence[int]) -> list[Floats]:
    """Coverage, majority and, with scores, best-of-n and weighted: (outcomes, ks) each.

    Votes are drawn only where they can go either way: if all answers are right, or none, it does not matter which
    wins.
    """
    num_right = np.array([each.is_right.sum() for each in problems])
    num_answered = np.array([each.is_answered.sum() for each in problems])
    coverage = _coverage(problems, ks)
    rules = 1 if problems[0].scores is None else 3
    figures = [coverage, *(coverage.copy() for _ in range(rules))]  # right wherever there is an answer, or nowhere
    open_ones = np.flatnonzero((num_right > 0) & (num_right < num_answered))
    if len(open_ones):
        found = _drawn([problems[int(at)] for at in open_ones], ks, len(problems))
        for all_rows, rows in zip(figures[1:], found, strict=True):
            all_rows[open_ones] = rows
    return figures


def _drawn(problems: Sequence[Candidates], ks: Sequence[int], num_outcomes: int) -> list[Floats]:
    num_subsets = int(np.clip(_ALL_SUBSETS // num_outcomes, MIN_SUBSETS, estimators.NUM_SUBSETS))
    found = estimators.curves(problems, ks, num_subsets=num_subsets)
    return [each for each in (found.majority, found.best_of_n, found.weighted) if each is not None]
