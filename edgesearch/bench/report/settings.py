"""What the stores hold, as arrays: the samples that all runs share, and the outcomes of each setting.

A setting is the cells of a run that differ in nothing but their seed. Its outcomes are rows of one array, whatever
their number, so that figures are sums over columns; a figure of a problem is a sum over the rows of its sample.

Not covered: figures (points.py and its siblings), the texts of candidates, which stay in the stores.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesearch.bench.recipe import Cell
from edgesearch.bench.recorded import RECORDED
from edgesearch.bench.records import STATUSES, Columns, Outcome
from edgesearch.bench.store import Store
from edgesearch.errors import UsageError
from edgesearch.tasks.base import Sample
from edgesearch.tasks.grading import PYTHON
from edgesearch.types import ModelNames

CORRECT, WRONG, UNANSWERED, ERROR = range(len(STATUSES))
"""Statuses as numbers, in the order of `STATUSES`."""

_ROW = np.dtype(
    [
        ("sample", np.int64),  # index into the shared samples
        ("seed", np.int64),  # index into the cells of the setting
        ("status", np.int8),  # index into STATUSES
        ("has_flexible", np.bool_),
        ("is_flexible", np.bool_),  # right by flexible extraction
        ("is_disputed", np.bool_),  # strict and flexible extraction give other verdicts
        ("wall_s", np.float64),
        ("load_s", np.float64),
        ("prefilled_tokens", np.float64),
        ("decoded_tokens", np.float64),
        ("verified_tokens", np.float64),
        ("solver_flops", np.float64),
        ("verifier_flops", np.float64),
        ("peak_bytes", np.float64),  # NaN where not told, as joules
        ("joules", np.float64),
        ("num_candidates", np.int64),
        ("num_right", np.int64),  # of the candidates
        ("num_scored", np.int64),
        ("score_sum", np.float64),  # over the scored candidates
    ]
)

Ints = NDArray[np.int64]
Answers = dict[tuple[int, str], bool | None]
"""By sample and chosen answer, what the task's grader said of it; None where it could not tell."""


@dataclass(slots=True)
class Facts:
    """What the outcomes of a setting say in words; filled while they are read."""

    models: Counter[ModelNames] = field(default_factory=Counter)
    graders: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    num_cut: int = 0
    """Outcomes that ended at their deadline or at a token limit."""
    num_narrower: int = 0
    """Outcomes whose strategy ran narrower than the cell asks, or as another."""
    num_checked: int = 0
    """Outcomes whose answers went through an exact check."""


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """The outcomes of one setting."""

    run: int
    """Index of its store."""
    cells: tuple[Cell, ...]
    """One a seed."""
    rows: NDArray[Any]
    """(num_outcomes,) of `_ROW`."""
    facts: Facts

    @property
    def cell(self) -> Cell:
        """The first one; the others differ in their seed."""
        return self.cells[0]

    @property
    def engine(self) -> tuple[int, str]:
        """Its run and the id of its engine: ids are unique within a run only."""
        return self.run, self.cell.engine

    @property
    def name(self) -> str:
        """As the cells', without a seed."""
        return self.cell.name.rpartition(" seed=")[0]

    @property
    def models(self) -> ModelNames:
        """The models that most outcomes name; the engine's id where none does."""
        return self.facts.models.most_common(1)[0][0] if self.facts.models else ModelNames(self.cell.engine, None)

    @property
    def is_remote(self) -> bool:
        """Whether its solver ran behind an endpoint, whose machine the run knows nothing of."""
        return self.models.solver_device == "endpoint"

    @property
    def are_programs(self) -> bool:
        """Whether its answers are programs, which tests judge."""
        return PYTHON in self.facts.graders

    @property
    def is_recorded(self) -> bool:
        """Whether its candidates are recorded samples, which are the same for every seed."""
        return self.models.solver_device == RECORDED

    @property
    def has_own_memory(self) -> bool:
        """Whether all of its models were in the memory of the process that was measured."""
        return {self.models.solver_device, self.models.verifier_device} <= {"cpu", None}

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """(num_outcomes,)"""
        found: NDArray[np.bool_] = self.rows["status"] == CORRECT
        return found

    @property
    def is_solved(self) -> NDArray[np.bool_]:
        """(num_outcomes,) whether each ran to an end, right or not; an error has no costs."""
        found: NDArray[np.bool_] = self.rows["status"] != ERROR
        return found

    def by_sample(self, values: NDArray[Any], num_samples: int) -> NDArray[np.float64]:
        """(num_samples,) the sum of a value over the outcomes of each sample."""
        weights: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
        return np.bincount(self.rows["sample"], weights, num_samples).astype(np.float64, copy=False)


def shared_samples(stores: Sequence[Store]) -> tuple[Sample, ...]:
    """What was asked, by id; the same in all stores.

    Raises:
        UsageError: there is no store, one is given twice, one is empty, or they asked other problems.
    """
    if not stores:
        raise UsageError("there is no run to report; name at least one store")
    paths = [store.path.resolve() for store in stores]
    for store, path in zip(stores, paths, strict=True):
        if paths.count(path) > 1:
            raise UsageError(f"{store.path} is given twice; name each run once")
    first = tuple(stores[0].samples())
    for store in stores:
        if not any(sum(counts.values()) for counts in store.counts().values()):
            raise UsageError(f"{store.path} has no outcomes yet; run its recipe first")
    for other in stores[1:]:
        _check_same(stores[0], first, other)
    return first


def _check_same(store: Store, samples: Sequence[Sample], other: Store) -> None:
    ours, theirs = ({each.id: (each.question, each.target) for each in found} for found in (samples, other.samples()))
    missing = [name for name in {**ours, **theirs} if name not in ours or name not in theirs]
    changed = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    advice = "report them apart, or run both on the same task, split, limit and seed"
    if missing:
        raise UsageError(
            f"{store.path} and {other.path} have other samples ({len(missing):,} are in one of them only, such as "
            f"{missing[0]!r}), so they cannot be compared; {advice}"
        )
    if changed:
        raise UsageError(
            f"{store.path} and {other.path} word {len(changed):,} samples in other ways or give them other targets, "
            f"such as {changed[0]!r}, so they cannot be compared; {advice}"
        )


def settings_of(cells: Sequence[Cell]) -> list[tuple[Cell, ...]]:
    """The cells of a run by setting, in the order of the recipe; those of a setting in the order of their seeds."""
    found: dict[Cell, list[Cell]] = {}
    for cell in cells:
        found.setdefault(dataclasses.replace(cell, seed=0), []).append(cell)
    return [tuple(sorted(group, key=lambda cell: cell.seed)) for group in found.values()]


def read_setting(
    store: Store, run: int, cells: tuple[Cell, ...], numbers: dict[str, int], answers: Answers
) -> tuple[Setting, list[Columns]]:
    """The outcomes of a setting, and the candidates of each of its cells.

    Args:
        store: where from.
        run: the index of the store.
        cells: of the setting, one a seed.
        numbers: the index of each sample by its id.
        answers: takes the chosen answers and what the task's grader said of them.
    """
    facts = Facts()
    columns = [store.columns(cell.key) for cell in cells]
    rows = [
        np.fromiter(_rows(store, cell, seed, columns[seed], numbers, facts, answers), _ROW)
        for seed, cell in enumerate(cells)
    ]
    return Setting(run, cells, np.concatenate(rows), facts), columns


def _rows(
    store: Store,
    cell: Cell,
    seed: int,
    columns: Columns,
    numbers: dict[str, int],
    facts: Facts,
    answers: Answers,
) -> Iterator[tuple[Any, ...]]:
    places = {name: place for place, name in enumerate(columns.sample_ids)}
    candidates = _candidate_figures(columns)
    for outcome in store.outcomes(cell.key, has_candidates=False):
        if outcome.sample_id in places:  # else it was added after the candidates were read
            sample = numbers[outcome.sample_id]
            _note(outcome, cell, sample, facts, answers)
            yield sample, seed, *_figures(outcome), *(each[places[outcome.sample_id]] for each in candidates)


def _figures(outcome: Outcome) -> tuple[Any, ...]:
    """The columns of `_ROW` from `status` to `joules`."""
    usage = outcome.usage
    verdicts = {grade.extraction: grade.is_right is True for grade in outcome.grades}
    is_right = outcome.status == "correct"
    return (
        STATUSES.index(outcome.status),
        "flexible" in verdicts,
        verdicts.get("flexible", False),
        verdicts.get("flexible", is_right) != is_right,
        outcome.wall_s,
        outcome.load_s,
        usage.prefilled_tokens,
        usage.decoded_tokens,
        usage.verified_tokens,
        usage.solver_flops,
        usage.verifier_flops,
        _or_nan(usage.peak_bytes),
        _or_nan(outcome.joules),
    )


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def _candidate_figures(columns: Columns) -> list[NDArray[Any]]:
    """The columns of `_ROW` from `num_candidates` on, each (num_samples,) of a cell."""
    num_candidates = np.diff(columns.offsets)
    owner = np.repeat(np.arange(len(num_candidates)), num_candidates)
    is_scored = ~np.isnan(columns.score)
    summed = (columns.is_right, is_scored, np.where(is_scored, columns.score, 0.0))
    return [num_candidates, *(np.bincount(owner, each, len(num_candidates)) for each in summed)]


def _note(outcome: Outcome, cell: Cell, sample: int, facts: Facts, answers: Answers) -> None:
    facts.warnings.update(outcome.warnings)
    if outcome.error:
        facts.errors[outcome.error] += 1
    if outcome.models is not None:
        facts.models[outcome.models] += 1
        facts.num_checked += outcome.models.check is not None
    if outcome.strategy is not None and cell.strategy != "auto":
        facts.num_narrower += (outcome.strategy.name, outcome.strategy.n) != (cell.strategy, cell.n)
    facts.num_cut += outcome.finish in ("deadline", "length")
    for grade in outcome.grades:
        if grade.extraction == "strict":
            facts.graders[grade.grader] += 1
            if outcome.answer is not None:
                answers[sample, outcome.answer] = grade.is_right
