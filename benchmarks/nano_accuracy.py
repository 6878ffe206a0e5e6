"""What the built-in solvers reach, with and without search, on every split, and what a solve costs.

A row is pooled over the seeds, whose problems differ; the spread over seeds stands beside it. Narrower best-of-n,
majority and weighted votes come from the widest best-of-n run and so have no cost of their own; that run covers fewer
problems, so a difference is always taken on the problems that both sides have. Seconds in `cost` were measured with
other solves beside it; those in `costs` (costs.py), and the peak memory, with nothing beside it.
"""

import functools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import accuracy
import nano_plan
from cells import BASELINES, CHOICES, SELECTIONS, SOLVER, Cell, ProblemSet, Solve, counters
from nano_plan import Plan, Samples
from runner import Checkpoint

from edgesearch.bench import intervals, power_law
from edgesearch.tasks.arithmetic import FAMILIES, LEVELS, SPLITS

Rights = dict[tuple[str, str, int], dict[ProblemSet, list[bool]]]
"""Whether each problem of each set is right, by solver, choice and width."""


def figures(plan: Plan, samples: Samples, checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything that is reported, by split and by whether answers are checked."""
    names = {job.cell.name for job in nano_plan.jobs(plan, samples, ["accuracy"])}
    return {
        "problems": plan.num_problems,
        "wide_problems": plan.num_wide_problems,
        "seeds": list(plan.seeds),
        "check_control": nano_plan.control(plan, samples, checkpoint),
        "tables": [
            _table(plan, samples, checkpoint, split, is_checked) for split in SPLITS for is_checked in (False, True)
        ],
        "check_gains": [gain for split in SPLITS for gain in _check_gains(plan, checkpoint, split)],
        "counters": counters([solve for name in names for solve in checkpoint.done[name].values()]),
    }


def _table(plan: Plan, samples: Samples, checkpoint: Checkpoint, split: str, is_checked: bool) -> dict[str, Any]:
    sets = _sets(plan, split)
    rights: Rights = {}
    rows = []
    for make, choice, n in _rows(plan, is_checked):
        cells = [make(at) for at in sets]
        marks = {cell.problems: _rights(plan, checkpoint, cell, choice, n) for cell in cells}
        rights[cells[0].solver, choice, n] = marks
        solves = [solve for cell in cells for solve in nano_plan.solves(plan, checkpoint, cell)]
        rows.append(_row(cells[0], choice, n, marks, solves, samples))
    sampled = [_unchecked(plan, checkpoint, at) for at in sets]
    num_right = [solve.num_right for found in sampled for solve in found]
    return {
        "split": split,
        "is_checked": is_checked,
        "rows": rows,
        "differences": _differences(plan, rights),
        "coverage": intervals.coverage(num_right, plan.wide_n, power_law.spread(plan.wide_n), seed=0),
    }


def _sets(plan: Plan, split: str) -> list[ProblemSet]:
    return [at for at in plan.problem_sets if at[0] == split]


def _rows(plan: Plan, is_checked: bool) -> Iterator[tuple[Callable[[ProblemSet], Cell], str, int]]:
    """Each row's cell, choice and width."""
    for solver in (SOLVER, *BASELINES):
        yield functools.partial(nano_plan.greedy, solver=solver), "greedy", 1
    yield functools.partial(nano_plan.beam, plan, is_checked=is_checked), "beam", plan.beam_n
    wide = functools.partial(nano_plan.wide, plan, is_checked=is_checked)
    yield from ((wide, choice, n) for choice in (SELECTIONS if is_checked else CHOICES) for n in plan.widths)


def _rights(plan: Plan, checkpoint: Checkpoint, cell: Cell, choice: str, n: int) -> list[bool]:
    """Of best-of-n, from the candidates of the run without the check, as that run did not end early."""
    if cell.strategy == "best_of_n":
        found = _unchecked(plan, checkpoint, cell.problems)
        return [solve.is_right(choice, n, is_checked=cell.is_checked) for solve in found]
    return [solve.is_right(choice, n) for solve in nano_plan.solves(plan, checkpoint, cell)]


def _unchecked(plan: Plan, checkpoint: Checkpoint, at: ProblemSet) -> list[Solve]:
    return nano_plan.solves(plan, checkpoint, nano_plan.wide(plan, at, is_checked=False))


def _row(
    cell: Cell,
    choice: str,
    n: int,
    rights: Mapping[ProblemSet, list[bool]],
    solves: Sequence[Solve],
    samples: Samples,
) -> dict[str, Any]:
    pooled = [right for found in rights.values() for right in found]
    problems = [sample for at, found in rights.items() for sample in samples[at][: len(found)]]
    is_run = (choice, n) == (cell.strategy, cell.n)
    return {
        "solver": cell.solver,
        "params": accuracy.params(cell.solver),
        "verifier": cell.verifier,
        "strategy": choice,
        "n": n,
        **intervals.share(pooled),
        "seeds": _spread(list(rights.values())),
        **accuracy.groups(pooled, problems),
        "cost": accuracy.cost(solves) if is_run else None,
        "is_derived": not is_run,
    }


def _spread(rights: Sequence[Sequence[bool]]) -> dict[str, Any]:
    """The accuracy of each seed, their mean and their standard deviation (of a sample; 0 with one)."""
    each = [sum(found) / len(found) for found in rights]
    return {
        "accuracy": [round(value, 4) for value in each],
        "mean": round(statistics.fmean(each), 4),
        "deviation": round(statistics.stdev(each), 4) if len(each) > 1 else 0.0,
    }


def _differences(plan: Plan, rights: Rights) -> list[dict[str, Any]]:
    small, large = (SOLVER, "greedy", 1), (BASELINES[-1], "greedy", 1)
    searches = [(SOLVER, "beam", plan.beam_n)]
    searches += [(SOLVER, choice, plan.wide_n) for choice in ("best_of_n", "weighted", "majority")]
    return [
        _difference(f"{search[1]} n={search[2]}", rights[search], name, rights[rival])
        for search in searches
        for name, rival in (("greedy", small), (f"{BASELINES[-1]} greedy", large))
    ]


def _difference(
    name: str, ours: Mapping[ProblemSet, list[bool]], rival: str, theirs: Mapping[ProblemSet, list[bool]]
) -> dict[str, Any]:
    """On the problems that both have, pooled over the seeds, with each seed's own."""
    pairs = {at: (found, theirs[at][: len(found)]) for at, found in ours.items()}
    pooled = [[right for pair in pairs.values() for right in pair[side]] for side in (0, 1)]
    seeds = [(sum(a) - sum(b)) / len(a) for a, b in pairs.values()]
    return intervals.paired(name, pooled[0], rival, pooled[1], seed=0) | {
        "of": len(pooled[0]),
        "seeds": [round(value, 4) for value in seeds],
    }


def _check_gains(plan: Plan, checkpoint: Checkpoint, split: str) -> Iterator[dict[str, Any]]:
    """What the exact check adds to the verifier."""
    for make, choice, n in (
        (nano_plan.beam, "beam", plan.beam_n),
        (nano_plan.wide, "best_of_n", plan.wide_n),
        (nano_plan.wide, "weighted", plan.wide_n),
    ):
        on, off = (
            {
                at: _rights(plan, checkpoint, make(plan, at, is_checked=is_checked), choice, n)
                for at in _sets(plan, split)
            }
            for is_checked in (True, False)
        )
        yield _difference(f"{choice} n={n} checked", on, "not checked", off) | {"split": split}


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """The figures for a reader, line by line."""
    control = found["check_control"]
    yield (
        f"control: {control['differing']} of {control['solves']} solves without anything to check differ with the "
        f"check, and {control['derived_differing']} of {control['derived_solves']} from what was derived of them"
    )
    for each in found["tables"]:
        yield ""
        yield from _split_table(each)
    for each in found["check_gains"]:
        yield f"{each['split']}: {_told(each)}"


def _split_table(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['split']}, " + (
        "answers checked exactly where possible" if found["is_checked"] else "verifier alone"
    )
    yield (
        "solver       choice        n  accuracy  interval         of     of seeds sd  solver MF  verifier MF  median s"
        "        level "
        + " ".join(f"{level:>3}" for level in LEVELS)
        + "  family "
        + " ".join(name[:4] for name in FAMILIES)
    )
    for row in found["rows"]:
        low, high = row["interval95"]
        cost = row["cost"]
        spent = (
            f"{cost['solver_mflops']:9.1f}  {cost['verifier_mflops']:11.1f}  {cost['median_wall_s']:8.4f}"
            if cost
            else f"{'-':>9}  {'-':>11}  {'-':>8}"
        )
        levels = " ".join(_percent(row["by_level"].get(str(level)), 3) for level in LEVELS)
        families = " ".join(_percent(row["by_family"].get(name), 4) for name in FAMILIES)
        yield (
            f"{row['solver']:11}  {row['strategy']:10}  {row['n']:3}  {row['accuracy']:8.1%}  {low:5.1%} - {high:5.1%}"
            f"  {row['of']:5}  {row['seeds']['deviation']:11.1%}  {spent}              {levels}         {families}"
        )
    for each in found["differences"]:
        yield _told(each)
    yield "coverage: " + ", ".join(f"pass@{each['k']} {each['coverage']:.1%}" for each in found["coverage"])


def _percent(found: Mapping[str, Any] | None, width: int) -> str:
    return f"{100 * found['accuracy']:{width}.0f}" if found else f"{'-':>{width}}"


def _told(each: Mapping[str, Any]) -> str:
    low, high = each["interval95"]
    return (
        f"{each['name']}: {100 * each['difference']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}) "
        f"of {each['of']}, McNemar p = {each['mcnemar_p']:.2g}"
    )
