"""How many held-out problems each strategy solves, and what a solve costs: the table of solve.py.

Every width is a run of its own, so that its cost is measured and not derived, on the mixed problems, as shipped:
answers are checked exactly where the problem allows it. Only `weighted` is not run: it is another choice among the
candidates of the best-of-n run, at the same cost. Coverage is pass@k of the widest best-of-n run, run again without the
check where the problem allows one, since the check ends a search at the first right answer.

Not covered: other splits and seeds, what the check and the verifier add each, how well scores are calibrated (nano.py).
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cells import BASELINES, SOLVER, VERIFIER, Cell, Job, Solve, counters
from runner import Checkpoint, held_out_sets, run
from solving import BUDGET_S, CHILDREN

from edgesearch import catalog
from edgesearch.bench import intervals
from edgesearch.tasks.arithmetic import FAMILIES, LEVELS, ArithmeticSample, is_checkable


def cells(widths: Sequence[int], seed: int) -> list[Cell]:
    """All rows that are run."""
    found = [Cell(name, "none", "greedy", 1, seed=seed) for name in (SOLVER, *BASELINES)]
    return found + [
        Cell(SOLVER, VERIFIER, name, n, seed=seed) for n in widths for name in ("majority", "best_of_n", "beam")
    ]


def measure(
    widths: Sequence[int], seed: int, num_problems: int, num_workers: int, checkpoint: Checkpoint
) -> dict[str, Any]:
    """Solves whatever the checkpoint lacks; everything that is reported."""
    samples = held_out_sets({("mixed", seed): num_problems}, num_workers)
    rows = cells(widths, seed)
    jobs = [Job(cell, tuple(range(num_problems))) for cell in rows]
    unchecked = Cell(SOLVER, VERIFIER, "best_of_n", max(widths), seed=seed, is_checked=False)
    again = tuple(i for i, sample in enumerate(samples["mixed", seed]) if is_checkable(sample.problem))
    run([*jobs, Job(unchecked, again)], samples, num_workers, checkpoint)
    solves = {(cell.solver, cell.strategy, cell.n): checkpoint.solves(cell, range(num_problems)) for cell in rows}
    sampled = list(solves[SOLVER, "best_of_n", max(widths)])
    for index in again:
        sampled[index] = checkpoint.done[unchecked.name][index]
    found = figures(rows, solves, samples["mixed", seed], widths, seed)
    num_right = [solve.num_right for solve in sampled]
    most = max(widths)
    return found | {"coverage": intervals.coverage(num_right, most, range(1, most + 1), seed), "workers": num_workers}


# -- figures -------------------------------------------------------------------------------------------------------


def figures(
    cells: Sequence[Cell],
    solves: Mapping[tuple[str, str, int], Sequence[Solve]],
    samples: Sequence[ArithmeticSample],
    widths: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    """Everything that is reported."""
    chosen = [(cell, name) for cell in cells for name in _choices(cell)]
    rights = {
        (cell.solver, name, cell.n): [
            solve.is_right(name, cell.n) for solve in solves[cell.solver, cell.strategy, cell.n]
        ]
        for cell, name in chosen
    }
    rows = [_row(cell, name, solves[cell.solver, cell.strategy, cell.n], samples) for cell, name in chosen]
    rows.sort(key=lambda row: (row["strategy"] != "greedy", row["n"], row["params"], _ORDER.index(row["strategy"])))
    n = 16 if 16 in widths else max(widths)
    rivals = {
        "greedy": rights[SOLVER, "greedy", 1],
        **{f"{name} n={n}": rights[SOLVER, name, n] for name in ("majority", "best_of_n", "weighted")},
        **{f"{name} greedy": rights[name, "greedy", 1] for name in BASELINES},
    }
    beam = rights[SOLVER, "beam", n]
    return {
        "problems": len(samples),
        "split": "mixed",
        "seed": seed,
        "budget_s": BUDGET_S,
        "m": CHILDREN,
        "weights_sha256": {model.name: model.sha256 for model in catalog.known()},
        "cells": rows,
        "differences": [intervals.paired(f"beam n={n}", beam, name, right, seed) for name, right in rivals.items()],
        "counters": counters([solve for each in solves.values() for solve in each]),
    }


_ORDER = ("greedy", "majority", "best_of_n", "weighted", "beam")


def _choices(cell: Cell) -> tuple[str, ...]:
    return ("best_of_n", "weighted") if cell.strategy == "best_of_n" else (cell.strategy,)


def _row(cell: Cell, name: str, solves: Sequence[Solve], samples: Sequence[ArithmeticSample]) -> dict[str, Any]:
    rights = [solve.is_right(name, cell.n) for solve in solves]
    return {
        "solver": cell.solver,
        "params": params(cell.solver),
        "verifier": cell.verifier,
        "strategy": name,
        "n": cell.n,
        "m": min(CHILDREN, cell.n) if name == "beam" else 1,
        **intervals.share(rights),
        "unanswered": sum(solve.is_unanswered(name, cell.n) for solve in solves),
        **groups(rights, samples),
        **cost(solves),
        "is_derived": name == "weighted",
    }


def params(model: str) -> int:
    """Of a built-in model."""
    return next(known.params for known in catalog.known() if known.name == model)


def groups(rights: Sequence[bool], samples: Sequence[ArithmeticSample]) -> dict[str, Any]:
    """The shares of each level and of each family that occurs."""
    levels, families = [sample.level for sample in samples], [sample.family for sample in samples]
    return {
        "by_level": {str(level): found for level in LEVELS if (found := _share_at(level, levels, rights))},
        "by_family": {name: found for name in FAMILIES if (found := _share_at(name, families, rights))},
    }


def _share_at(key: object, keys: Sequence[object], rights: Sequence[bool]) -> dict[str, Any] | None:
    found = [right for right, at in zip(rights, keys, strict=True) if at == key]
    return intervals.share(found) if found else None


def cost(solves: Sequence[Solve]) -> dict[str, Any]:
    """What a solve takes, on average and, of the seconds, in the middle too."""

    def mean(get: Callable[[Solve], float]) -> float:
        return statistics.fmean(get(solve) for solve in solves)

    return {
        "decoded_tokens": round(mean(lambda solve: solve.decoded_tokens), 1),
        "verified_tokens": round(mean(lambda solve: solve.verified_tokens), 1),
        "solver_mflops": round(1e-6 * mean(lambda solve: solve.solver_flops), 2),
        "verifier_mflops": round(1e-6 * mean(lambda solve: solve.verifier_flops), 2),
        "wall_s": round(mean(lambda solve: solve.wall_s), 4),
        "median_wall_s": round(statistics.median(solve.wall_s for solve in solves), 4),
    }


# -- output --------------------------------------------------------------------------------------------------------


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """The figures for a reader, line by line."""
    yield f"accuracy on {found['problems']} held-out problems (seed {found['seed']}), 95% intervals"
    yield (
        "solver       strategy    n  accuracy  interval        none  decoded  verified  solver MF  verifier MF"
        "   wall s  by level " + " ".join(f"{level:>3}" for level in LEVELS)
    )
    for row in found["cells"]:
        low, high = row["interval95"]
        levels = [row["by_level"].get(str(level)) for level in LEVELS]
        shares = " ".join(f"{100 * each['accuracy']:3.0f}" if each else "  -" for each in levels)
        yield (
            f"{row['solver']:11}  {row['strategy']:9}  {row['n']:2}  {row['accuracy']:8.1%}  "
            f"{low:5.1%} - {high:5.1%}  {row['unanswered']:4}  {row['decoded_tokens']:7.0f}  "
            f"{row['verified_tokens']:8.0f}  {row['solver_mflops']:9.1f}  {row['verifier_mflops']:11.1f}  "
            f"{row['wall_s']:7.3f}           {shares}"
        )
    yield f"{'by family':24}" + "  ".join(f"{name[:9]:>9}" for name in FAMILIES)
    for row in found["cells"]:
        by_family = [row["by_family"].get(name) for name in FAMILIES]
        line = "  ".join(f"{each['accuracy']:9.0%}" if each else f"{'-':>9}" for each in by_family)
        yield f"{row['solver']} {row['strategy']} {row['n']}".ljust(24) + line
    shown = [each for each in found["coverage"] if each["k"] & (each["k"] - 1) == 0]
    yield "coverage: " + ", ".join(f"pass@{each['k']} {each['coverage']:.1%}" for each in shown)
    for each in found["differences"]:
        low, high = each["interval95"]
        yield (
            f"{each['name']}: {100 * each['difference']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}), "
            f"{each['gains']} gained, {each['losses']} lost, McNemar p = {each['mcnemar_p']:.2g}"
        )
    counts = found["counters"]
    yield (
        f"{counts['solves']} solves: prompt not prefilled exactly once in {counts['prefilled_other_than_once']}, "
        f"verified/decoded at most {counts['max_verified_per_decoded']}, KV cells above prompt + decoded in "
        f"{counts['kv_cells_above_prompt_and_decoded']}"
    )
