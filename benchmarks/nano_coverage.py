"""How many problems have at least one right candidate among k, for k up to a thousand, and the law that this follows.

llama.cpp holds 256 sequences, and with more than 64 each token costs more, as attention passes over all of the cache;
so the samples are drawn in several rounds with other seeds. The law (power_law.py) is fitted to points spread evenly in
log k.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import nano_plan
from nano_plan import Plan, Samples
from runner import Checkpoint

from edgesearch.bench import estimators, intervals, power_law
from edgesearch.tasks.arithmetic import FAMILIES


def figures(plan: Plan, samples: Samples, checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything that is reported."""
    cell = nano_plan.coverage(plan)
    solves = checkpoint.solves(cell, range(plan.num_coverage_problems))
    rights = [solve.num_right for solve in solves]
    problems = samples[cell.problems][: len(solves)]
    families = {
        name: [right for right, sample in zip(rights, problems, strict=True) if sample.family == name]
        for name in FAMILIES
    }
    return {
        "problems": len(solves),
        "samples": cell.num_draws,
        "decoded_tokens": sum(solve.decoded_tokens for solve in solves),
        "right_of_each_problem": rights,
        **_law(rights, cell.num_draws),
        "by_family": {name: _law(found, cell.num_draws) for name, found in families.items() if found},
    }


def _law(rights: Sequence[int], num_draws: int) -> dict[str, Any]:
    ks = power_law.spread(num_draws)
    points = intervals.coverage(rights, num_draws, ks, seed=0)
    exact = estimators.pass_at_k(num_draws, rights, ks).mean(axis=0).tolist()
    return {"of": len(rights), "coverage": points, "fit": power_law.fit(ks, exact)}


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """The figures for a reader, line by line."""
    yield f"coverage of {found['problems']} mixed problems by {found['samples']} samples each, and its fit exp(a k^b)"
    shown = [point["k"] for point in found["coverage"] if point["k"] & (point["k"] - 1) == 0]
    yield f"{'pass@k':10}  " + "".join(f"{k:6}" for k in shown) + "         a       b   RMSE    max"
    for name, each in {"all": found, **found["by_family"]}.items():
        line = "".join(f"{point['coverage']:6.0%}" for point in each["coverage"] if point["k"] in shown)
        yield f"{name:10}  {line}  {_told(each['fit'])}"


def _told(fit: Mapping[str, Any] | None) -> str:
    if fit is None:
        return "too few points between 0 and 1"
    return f"{fit['a']:8.3f}{fit['b']:8.3f}{fit['rmse']:7.3f}{fit['max_error']:7.3f}"
