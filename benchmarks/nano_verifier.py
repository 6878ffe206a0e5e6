"""How well the built-in verifier ranks solutions, how well its scores are calibrated, and where they mislead.

All without the exact check. Ranking and calibration read every candidate of the best-of-n runs, of all seeds; what was
drawn several times counts as often. The solver's own log-probability, for which no verifier is needed, is the rival.
The curve reads one very wide run: at each width all its blocks, so that narrow widths are means over many blocks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import calibration
import nano_plan
import ranking
from cells import CHOICES, Draw, Solve
from nano_plan import Plan, Samples
from runner import Checkpoint

from edgesearch.bench import intervals
from edgesearch.tasks.arithmetic import FAMILIES, SPLITS, ArithmeticSample

SCORES: Mapping[str, Callable[[Draw], float]] = {
    "score": lambda draw: draw.score or 0.0,
    "logprob": lambda draw: draw.logprob,
    "mean_logprob": lambda draw: draw.logprob / max(1, draw.num_tokens),
}


def figures(plan: Plan, samples: Samples, checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything that is reported."""
    splits = {split: _pairs(plan, samples, checkpoint, split) for split in SPLITS}
    return {
        "candidates": plan.wide_n,
        "problems": plan.num_wide_problems * len(plan.seeds),
        "ranking": {split: _ranking(pairs) for split, pairs in splits.items()},
        "solution_calibration": {split: _solution_calibration(pairs) for split, pairs in splits.items()},
        "step_calibration": {split: _step_calibration(pairs) for split, pairs in splits.items()},
        "curve": _curve(plan, checkpoint),
    }


Pairs = list[tuple[ArithmeticSample, Solve]]


def _pairs(plan: Plan, samples: Samples, checkpoint: Checkpoint, split: str) -> Pairs:
    found: Pairs = []
    for at in plan.problem_sets:
        if at[0] == split:
            cell = nano_plan.wide(plan, at, is_checked=False)
            solves = checkpoint.solves(cell, range(plan.num_wide_problems))
            found += zip(samples[at][: len(solves)], solves, strict=True)
    return found


def _draws(solve: Solve) -> list[Draw]:
    assert solve.draws is not None, "this cell keeps its draws"
    return [draw for draw in solve.draws if draw.score is not None]


# -- ranking -------------------------------------------------------------------------------------------------------


def _ranking(pairs: Pairs) -> dict[str, Any]:
    areas = {name: [_area(solve, get) for _, solve in pairs] for name, get in SCORES.items()}
    families = {
        name: ranking.summary(
            [area for area, (sample, _) in zip(areas["score"], pairs, strict=True) if sample.family == name], seed=0
        )
        for name in FAMILIES
    }
    distinct = [_area(solve, SCORES["score"], is_distinct=True) for _, solve in pairs]
    return {
        "problems": len(pairs),
        "auc": {name: ranking.summary(found, seed=0) for name, found in areas.items()},
        "auc_of_distinct_solutions": ranking.summary(distinct, seed=0),
        "lead": {name: ranking.lead(areas["score"], areas[name], seed=0) for name in ("logprob", "mean_logprob")},
        "by_family": {name: found for name, found in families.items() if found},
    }


def _area(solve: Solve, get: Callable[[Draw], float], *, is_distinct: bool = False) -> float | None:
    draws = _draws(solve)
    counts = [1 if is_distinct else draw.count for draw in draws]
    return ranking.auc([get(draw) for draw in draws], [draw.is_right for draw in draws], counts)


# -- calibration ---------------------------------------------------------------------------------------------------


def _solution_calibration(pairs: Pairs) -> dict[str, Any] | None:
    draws = [draw for _, solve in pairs for draw in _draws(solve)]
    scores = [SCORES["score"](draw) for draw in draws]
    return calibration.calibration(scores, [draw.is_right for draw in draws], [draw.count for draw in draws])


def _step_calibration(pairs: Pairs) -> dict[str, Any] | None:
    steps = [
        (score, label, draw.count)
        for _, solve in pairs
        for draw in _draws(solve)
        for score, label in zip(draw.step_scores, draw.step_labels, strict=True)
    ]
    scores, labels, counts = zip(*steps, strict=True) if steps else ((), (), ())
    return calibration.calibration(scores, labels, counts)


# -- the curve -----------------------------------------------------------------------------------------------------


def _curve(plan: Plan, checkpoint: Checkpoint) -> dict[str, Any]:
    cell, indices = nano_plan.curve(plan), range(plan.num_curve_problems)
    solves = checkpoint.solves(cell, indices)
    rows = {choice: [_point(solves, choice, n) for n in cell.widths] for choice in CHOICES}
    baseline = checkpoint.solves(nano_plan.greedy(cell.problems), indices)
    num_right = [solve.num_right for solve in solves]
    return {
        "problems": len(solves),
        "samples": cell.num_draws,
        "greedy": intervals.share([solve.is_right("greedy", 1) for solve in baseline]),
        "choices": rows,
        "coverage": intervals.coverage(num_right, cell.num_draws, cell.widths, seed=0),
        "peaks": {choice: _peak(solves, choice, found) for choice, found in rows.items()},
    }


def _point(solves: Sequence[Solve], choice: str, n: int) -> dict[str, Any]:
    found = intervals.mean([solve.share_right(choice, n) for solve in solves])
    return {"n": n, "accuracy": found["value"], "interval95": found["interval95"]}


def _peak(solves: Sequence[Solve], choice: str, points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Where the curve is highest, and what is lost from there to its end; the place is chosen on the same problems."""
    best, last = max(points, key=lambda point: point["accuracy"])["n"], points[-1]["n"]
    loss = intervals.mean([solve.share_right(choice, best) - solve.share_right(choice, last) for solve in solves])
    return {"n": best, "accuracy": max(point["accuracy"] for point in points), "lost_at_the_end": loss}


# -- output --------------------------------------------------------------------------------------------------------


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """The figures for a reader, line by line."""
    yield f"verifier alone, {found['candidates']} candidates of {found['problems']} problems a split"
    yield "within-problem AUC  problems  score                   sum of log-prob         mean log-prob"
    for split, each in found["ranking"].items():
        areas = [each["auc"][name] for name in SCORES]
        num_both = areas[0]["of"] if areas[0] else 0
        yield f"{split:18}  {num_both:8}  " + "  ".join(f"{_told(area):22}" for area in areas)
    for split, each in found["ranking"].items():
        yield f"  {split}: " + ", ".join(f"{name} {area['value']:.3f}" for name, area in each["by_family"].items())
    for kind in ("solution", "step"):
        for split, each in found[f"{kind}_calibration"].items():
            if each:
                yield (
                    f"{kind} scores, {split}: ECE {each['ece']:.4f}, adaptive {each['ece_adaptive']:.4f}; mean "
                    f"{each['mean_score']:.3f}, right {each['share_right']:.3f}, of {each['of']}"
                )
    curve = found["curve"]
    yield f"accuracy against n, {curve['problems']} problems; greedy {curve['greedy']['accuracy']:.1%}"
    yield "n           " + "".join(f"{point['k']:7}" for point in curve["coverage"])
    for choice, points in curve["choices"].items():
        yield f"{choice:12}" + "".join(f"{point['accuracy']:7.1%}" for point in points)
    yield f"{'coverage':12}" + "".join(f"{point['coverage']:7.1%}" for point in curve["coverage"])
    for choice, peak in curve["peaks"].items():
        yield f"{choice} peaks at n={peak['n']}; from there to the end it loses {_told(peak['lost_at_the_end'])}"


def _told(each: Mapping[str, Any] | None) -> str:
    if each is None:
        return "-"
    low, high = each["interval95"]
    return f"{each['value']:.4f} ({low:.4f} to {high:.4f})"
