"""From the outcomes of a setting to its point: what it reaches, and what it costs.

Shares of outcomes have Wilson's interval with the seeds of a problem as one observation (intervals.py); coverage and
the selection gap have a bootstrap interval over problems. An error counts as not right, and has no costs: costs are
means over the outcomes that ran to an end.

FLOPs are what the run counted. Where it counted none and the solver's size is known, such as behind an endpoint, they
are 2 FLOPs a parameter and token, for the prompt tokens that were read and the tokens that were drawn.

A run tells the memory of its own process and the energy of its own machine. So memory is not known of models that ran
on a GPU or behind an endpoint, and energy is not known behind an endpoint.

Not covered: figures at smaller k (curves.py), by difficulty (levels.py), of two points (differences.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesearch.bench import flops, intervals
from edgesearch.bench.prices import Price
from edgesearch.bench.report.model import Axis, Estimate, Point, Spread
from edgesearch.bench.report.resamples import Resamples
from edgesearch.bench.report.settings import UNANSWERED, Setting
from edgesearch.bench.report.solvers import Size

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """What each outcome of a setting costs; (num_outcomes,) each, 0 for an error."""

    solver_flops: Floats
    is_estimated: bool
    """Whether the solver's FLOPs come from its size."""
    price: Price | None
    by_axis: Mapping[Axis, Floats | None] = field(hash=False)
    """None where it is not known. Without `peak_bytes`, which is no sum."""


def costs(setting: Setting, size: Size, price: Price | None) -> Costs:
    """The costs of the outcomes of a setting."""
    rows = setting.rows
    solver_flops, is_estimated = _solver_flops(rows, size)
    dollars = None if price is None else price.of(rows["wall_s"], rows["prefilled_tokens"], rows["decoded_tokens"])
    joules = np.where(setting.is_solved, rows["joules"], 0.0)
    is_told = not np.isnan(joules).any() and not setting.is_remote
    by_axis: dict[Axis, Floats | None] = {
        "wall_s": rows["wall_s"],
        "flops": solver_flops + rows["verifier_flops"],
        "tokens": rows["decoded_tokens"],
        "dollars": dollars,
        "joules": joules if is_told else None,
    }
    known = {axis: values if values is not None and (values > 0).any() else None for axis, values in by_axis.items()}
    return Costs(solver_flops, is_estimated, price, known)


def _solver_flops(rows: NDArray[Any], size: Size) -> tuple[Floats, bool]:
    counted: Floats = rows["solver_flops"]
    tokens = rows["prefilled_tokens"] + rows["decoded_tokens"]
    if counted.any() or size.num_params is None or not tokens.any():
        return counted, False
    return flops.inference(size.num_params, 1) * tokens, True


def points(
    settings: Sequence[Setting], costs_of: Sequence[Costs], num_runs: int, num_samples: int, resamples: Resamples
) -> tuple[Point, ...]:
    """A point for each setting, in their order."""
    found = _candidate_estimates(settings, num_samples, resamples)
    return tuple(
        _point(setting, spent, coverage, gap, num_runs)
        for setting, spent, (coverage, gap) in zip(settings, costs_of, found, strict=True)
    )


def _candidate_estimates(
    settings: Sequence[Setting], num_samples: int, resamples: Resamples
) -> list[tuple[Estimate | None, Estimate | None]]:
    """Coverage and selection gap of each setting; None without candidates."""
    has_any = [bool(setting.rows["num_candidates"].any()) for setting in settings]
    kept = [setting for setting, is_kept in zip(settings, has_any, strict=True) if is_kept]
    if not kept:
        return [(None, None)] * len(settings)
    columns = []
    for setting in kept:
        is_covered = setting.rows["num_right"] > 0
        columns += [is_covered, is_covered.astype(np.int64) - setting.is_right]
    owners = [setting for setting in kept for _ in range(2)]
    sums = np.column_stack([each.by_sample(values, num_samples) for each, values in zip(owners, columns, strict=True)])
    sizes = np.column_stack([each.by_sample(np.ones(len(each.rows)), num_samples) for each in owners])
    estimates = iter(resamples.estimates(sums, sizes))
    return [(next(estimates), next(estimates)) if is_kept else (None, None) for is_kept in has_any]


def _point(setting: Setting, spent: Costs, coverage: Estimate | None, gap: Estimate | None, num_runs: int) -> Point:
    rows, cell, solved = setting.rows, setting.cell, setting.is_solved
    name = setting.name if num_runs == 1 else f"{setting.run + 1}/{setting.name}"
    has_flexible = bool(rows["has_flexible"].any())
    peaks = rows["peak_bytes"][~np.isnan(rows["peak_bytes"])]
    return Point(
        id=f"{setting.run + 1}/{setting.name}",
        name=name,
        run=setting.run,
        engine=cell.engine,
        solver=setting.models.solver,
        verifier=setting.models.verifier,
        strategy=cell.strategy,
        n=cell.n,
        m=cell.m,
        budget_s=cell.budget_s,
        settings={key: value for key, value in cell.settings.items() if key != "seed"},
        cells=tuple(each.key for each in setting.cells),
        num_samples=len(np.unique(rows["sample"])),
        num_outcomes=len(rows),
        num_errors=int((~solved).sum()),
        accuracy=share(setting, setting.is_right),
        unanswered=share(setting, rows["status"] == UNANSWERED),
        coverage=coverage,
        gap=gap,
        flexible=share(setting, rows["is_flexible"]) if has_flexible else None,
        extraction_disagreement=float(rows["is_disputed"].mean()) if has_flexible else None,
        wall_s=_spread(rows["wall_s"][solved]),
        tokens=_mean(rows["decoded_tokens"][solved]),
        verified_tokens=_mean(rows["verified_tokens"][solved]),
        solver_flops=_mean(spent.solver_flops[solved]),
        verifier_flops=_mean(rows["verifier_flops"][solved]),
        peak_bytes=int(peaks.max()) if len(peaks) and setting.has_own_memory else None,
        joules=_mean_cost(spent, "joules", solved),
        dollars=_mean_cost(spent, "dollars", solved),
        price=None if spent.price is None else spent.price.words,
        load_s=float(rows["load_s"].max(initial=0.0)),
        tokens_per_s=_pace(rows["decoded_tokens"][solved], rows["wall_s"][solved]),
    )


def share(setting: Setting, is_counted: NDArray[np.bool_], is_shown: NDArray[np.bool_] | None = None) -> Estimate:
    """The share of the outcomes of a setting that are counted, with Wilson's interval over problems.

    Args:
        setting: whose.
        is_counted: (num_outcomes,)
        is_shown: (num_outcomes,) which outcomes the share is of; None for all.

    Raises:
        ValueError: there are no outcomes.
    """
    chosen = slice(None) if is_shown is None else is_shown
    counted, samples = is_counted[chosen], setting.rows["sample"][chosen]
    low, high = intervals.share(counted.tolist(), samples.tolist())["interval95"]
    return Estimate(float(counted.mean()), low, high)


def _spread(values: Floats) -> Spread:
    if not len(values):
        return Spread(0.0, 0.0, 0.0)
    p50, p95 = np.quantile(values, (0.5, 0.95))
    return Spread(float(values.mean()), float(p50), float(p95))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def _pace(tokens: Floats, wall_s: Floats) -> float | None:
    num_tokens, seconds = float(tokens.sum()), float(wall_s.sum())
    return num_tokens / seconds if num_tokens and seconds else None


def _mean_cost(spent: Costs, axis: Axis, solved: NDArray[np.bool_]) -> float | None:
    values = spent.by_axis[axis]
    return None if values is None else _mean(values[solved])
