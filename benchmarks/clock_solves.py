"""Solves under drawn budgets, each timed by a clock around the call; and what is made of them.

Overshoot is that wall time less the budget (negative where it ended early), also as a share of what is allowed, which
depends on the budget: the larger of a floor in seconds and a share of it. Used is the wall time over the budget, told
of solves that give no reason for ending early. A budget "allows a greedy draft" when it is at least twice the median
wall time of greedy solves under the same load.
"""

import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clock_rows import Row
from latency import percentile

import edgesearch
from edgesearch.tasks.arithmetic import ArithmeticSample, grade
from edgesearch.types import Solution

Figures = dict[str, Any]

MIN_USED = 0.9
"""Share of the budget that a solve must use unless it says why it ended before."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How late an answer may be."""

    floor_s: float
    share: float
    """Of the budget."""

    def of(self, budget_s: float) -> float:
        """In seconds, for one budget."""
        return max(self.floor_s, self.share * budget_s)


ALLOWANCES: Mapping[str, Allowance] = {"idle": Allowance(0.05, 0.01), "full": Allowance(0.25, 0.02)}


def draw_budgets(low_s: float, high_s: float, count: int, seed: int) -> list[float]:
    """Drawn uniformly in the logarithm of their seconds."""
    rng = random.Random(seed)
    return [low_s * (high_s / low_s) ** rng.random() for _ in range(count)]


# -- in a worker ---------------------------------------------------------------------------------------------------

_loaded: list[Any] = []


def _pipeline(text: str) -> Any:
    """Loaded once, with all that the first solves of a process do once."""
    if not _loaded:
        _loaded.append(edgesearch.load())
        for strategy in ("greedy", "auto"):
            _loaded[0].solve(text, budget_s=0.5, strategy=strategy)
    return _loaded[0]


def greedy_seconds(samples: Sequence[ArithmeticSample]) -> float:
    """Median seconds of a greedy solve."""
    pipeline = _pipeline(samples[0].problem)
    return statistics.median(_timed(pipeline, sample.problem, 60.0, "greedy", 0)[1] for sample in samples)


def solve(sample: ArithmeticSample, budget_s: float, seed: int) -> Row:
    """One solve with the defaults."""
    solution, wall_s = _timed(_pipeline(sample.problem), sample.problem, budget_s, "auto", seed)
    return {
        "problem": sample.id,
        "budget_s": round(budget_s, 5),
        "wall_s": round(wall_s, 5),
        "is_answered": solution.answer is not None,
        "is_right": grade(sample, solution.answer),
        "early_stop": solution.early_stop,
        "finish": solution.finish,
        "waves": len(solution.plan.waves) if solution.plan is not None else None,
        "candidates": len(solution.candidates),
        "confidence": None if solution.confidence is None else round(solution.confidence, 4),
        "is_calibrated": solution.is_calibrated,
    }


def _timed(pipeline: Any, text: str, budget_s: float, strategy: str, seed: int) -> tuple[Solution, float]:
    start = time.perf_counter()
    solution: Solution = pipeline.solve(text, budget_s=budget_s, strategy=strategy, seed=seed)
    return solution, time.perf_counter() - start


# -- figures -------------------------------------------------------------------------------------------------------


def figures(rows: Sequence[Row], greedy_s: float, allowance: Allowance) -> Figures:
    """Everything that is reported of one load."""
    over = [row["wall_s"] - row["budget_s"] for row in rows]
    ratios = [each / allowance.of(row["budget_s"]) for each, row in zip(over, rows, strict=True)]
    is_enough = [row["budget_s"] >= 2 * greedy_s for row in rows]
    missed = [not row["is_answered"] for row in rows]
    return {
        "solves": len(rows),
        "greedy_wall_s": round(greedy_s, 5),
        "overshoot_ms": {name: round(1e3 * value, 2) for name, value in _spread(over).items()},
        "overshoot_of_allowed": {name: round(value, 4) for name, value in _spread(ratios).items()},
        "num_late": sum(ratio > 1 for ratio in ratios),
        "unanswered": sum(missed),
        "budgets_with_enough": sum(is_enough),
        "unanswered_with_enough": sum(a and b for a, b in zip(missed, is_enough, strict=True)),
        "right": sum(row["is_right"] for row in rows),
        "used": _used([row for row in rows if row["early_stop"] is None]),
        "early_stops": _early_stops(rows),
        "num_unplanned": sum(row["waves"] is None for row in rows),
        "rows": list(rows),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {f"p{share}": percentile(values, share / 100) for share in (50, 90, 99)} | {"max": max(values)}


def _used(rows: Sequence[Row]) -> Figures:
    """Shares of the budget that solves used which give no reason for ending early."""
    shares = [row["wall_s"] / row["budget_s"] for row in rows]
    found: Figures = {"solves": len(shares), "below": sum(share < MIN_USED for share in shares)}
    if shares:
        found |= {"min": min(shares), "p1": percentile(shares, 0.01), "p10": percentile(shares, 0.1)}
    return {name: round(value, 4) for name, value in found.items()}


def _early_stops(rows: Sequence[Row]) -> dict[str, Figures]:
    """By reason: how many, how many of them right, and the mean share of the budget that they used."""
    counts = Counter(row["early_stop"] for row in rows if row["early_stop"] is not None)
    found = {}
    for reason, count in counts.most_common():
        own = [row for row in rows if row["early_stop"] == reason]
        used = statistics.fmean(row["wall_s"] / row["budget_s"] for row in own)
        found[reason] = {"solves": count, "right": sum(row["is_right"] for row in own), "mean_used": round(used, 4)}
    return found


def table(load: str, found: Figures) -> Iterator[str]:
    """The figures for a reader, line by line."""
    over, of_allowed, used = found["overshoot_ms"], found["overshoot_of_allowed"], found["used"]
    yield (
        f"{load}: {found['solves']} solves, {found['right']} right; a greedy one takes "
        f"{1e3 * found['greedy_wall_s']:.0f} ms (median)"
    )
    yield "  overshoot ms " + ", ".join(f"{name} {value:.1f}" for name, value in over.items())
    yield "  of what is allowed " + ", ".join(f"{name} {value:.2f}" for name, value in of_allowed.items())
    yield (
        f"  unanswered {found['unanswered']}, of them {found['unanswered_with_enough']} of "
        f"{found['budgets_with_enough']} with time for a greedy draft"
    )
    shares = ", ".join(f"{name} {used[name]:.1%}" for name in ("min", "p1", "p10") if name in used)
    yield f"  no reason to end early: {used['solves']}, {used['below']} of them used less than {MIN_USED:.0%}; {shares}"
    for reason, each in found["early_stops"].items():
        yield f"  {reason}: {each['solves']}, {each['right']} right, {each['mean_used']:.0%} of the budget used"
