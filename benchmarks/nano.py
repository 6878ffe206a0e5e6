"""What the built-in nano models reach: everything their model card states, through the shipped pipeline.

    python benchmarks/nano.py                        # all, about half an hour on two cores
    python benchmarks/nano.py --record --plot DIR    # the same, kept in benchmarks/results/nano.json, with pictures
    python benchmarks/nano.py --only verifier        # accuracy, verifier, coverage or fidelity
    python benchmarks/nano.py --quick                # whether it runs, not how well

nano_accuracy.py, nano_verifier.py, nano_coverage.py and nano_fidelity.py say what each part measures and how,
nano_plan.py on how much. Costs are measured first, since a child's peak memory counts from its parent's. A run that was
killed is continued by the same command: its solves are in a checkpoint beside the result, which a complete run removes.
Parts that are run alone share it.

Exit codes: 0 done, 1 something failed or a count is wrong. Whether the targets are reached is in the result.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import costs
import nano_accuracy
import nano_coverage
import nano_fidelity
import nano_figures
import nano_plan
import nano_verifier
from cells import BASELINES, SOLVER
from common import RESULTS, Report, add_record_option
from nano_plan import Plan
from runner import Checkpoint, held_out_sets, run, run_key
from solving import BUDGET_S, CHILDREN

from edgesearch import catalog
from edgesearch.errors import EdgesearchError
from edgesearch.tasks.arithmetic import held_out

Figures = dict[str, Any]

PARTS = ("accuracy", "verifier", "coverage", "fidelity")
GREEDY_RANGE = (0.35, 0.60)
MIN_COVERAGE, MIN_AUC, MAX_ECE, MIN_GAIN = 0.90, 0.93, 0.05, 0.20
COVERAGE_K = 64


# -- targets -------------------------------------------------------------------------------------------------------


def targets(figures: Figures) -> list[Figures]:
    """What is promised, what was measured, and whether it holds."""
    rows: list[tuple[str, float, str, float]] = []
    if found := figures.get("accuracy"):
        rows += _accuracy_targets(found)
    if found := figures.get("verifier"):
        rows += _verifier_targets(found)
    if found := figures.get("coverage"):
        rows += [
            (f"coverage at {point['k']}, {found['problems']} problems", point["coverage"], ">=", MIN_COVERAGE)
            for point in found["coverage"]
            if point["k"] == COVERAGE_K
        ]
    return [
        {"name": name, "value": value, "target": f"{sign} {limit:g}", "is_reached": _COMPARE[sign](value, limit)}
        for name, value, sign, limit in rows
    ]


_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
    "<=": lambda value, limit: value <= limit,
}


def _accuracy_targets(found: Figures) -> Iterator[tuple[str, float, str, float]]:
    for table in found["tables"]:
        if table["split"] != "mixed":
            continue
        kind = "checked" if table["is_checked"] else "verifier alone"
        if not table["is_checked"]:
            greedy = next(row for row in table["rows"] if (row["solver"], row["strategy"]) == (SOLVER, "greedy"))
            yield "greedy accuracy, mixed", greedy["accuracy"], ">=", GREEDY_RANGE[0]
            yield "greedy accuracy, mixed", greedy["accuracy"], "<=", GREEDY_RANGE[1]
            for point in table["coverage"]:
                if point["k"] == COVERAGE_K:
                    yield f"coverage at {point['k']}, mixed", point["coverage"], ">=", MIN_COVERAGE
        for each in table["differences"]:
            is_beam, is_best = each["name"].startswith("beam"), each["name"].startswith("best_of_n")
            if (is_beam or is_best) and each["name"].endswith(" - greedy"):
                yield f"{each['name']}, {kind}", each["difference"], ">=", MIN_GAIN
            if is_beam and each["name"].endswith(f"{BASELINES[-1]} greedy"):
                yield f"{each['name']}, {kind}", each["difference"], ">=", 0
    control = found["check_control"]
    yield "solves that differ where there is nothing to check", control["differing"], "<=", 0
    yield "checked solves that differ from what is derived of them", control["derived_differing"], "<=", 0
    yield "solves whose prompt was not prefilled once", found["counters"]["prefilled_other_than_once"], "<=", 0


def _verifier_targets(found: Figures) -> Iterator[tuple[str, float, str, float]]:
    split = "structures"
    ranking = found["ranking"][split]
    if area := ranking["auc"]["score"]:
        yield f"within-problem AUC, {split}", area["value"], ">=", MIN_AUC
    for name, lead in ranking["lead"].items():
        if lead:
            yield f"AUC above that of {name}, {split}, lower end of the interval", lead["interval95"][0], ">", 0
    for kind in ("solution", "step"):
        for name, each in found[f"{kind}_calibration"].items():
            if each:
                yield f"{kind} ECE, {name}", each["ece"], "<=", MAX_ECE


# -- the run -------------------------------------------------------------------------------------------------------


def _measure(args: argparse.Namespace, plan: Plan) -> Figures:
    parts: Sequence[str] = (args.only,) if args.only else PARTS
    figures: Figures = {
        "plan": dataclasses.asdict(plan),
        "budget_s": BUDGET_S,
        "m": CHILDREN,
        "workers": args.workers,
        "weights_sha256": {model.name: model.sha256 for model in catalog.known()},
    }
    rows = _measure_costs(plan, is_quick=args.quick) if "accuracy" in parts else None
    if "fidelity" in parts:
        figures["fidelity"] = nano_fidelity.figures()
    if set(parts) - {"fidelity"}:
        figures |= _solve(args, plan, parts)
    if rows is not None:
        figures["accuracy"]["costs"] = rows
    return figures


def _measure_costs(plan: Plan, *, is_quick: bool) -> list[Figures]:
    _log("costs: a solve of each kind, with nothing beside it")
    first = ("mixed", plan.seeds[0])
    searches = [make(plan, first, is_checked=True) for make in (nano_plan.beam, nano_plan.wide)]
    solvers = (SOLVER,) if is_quick else (SOLVER, *BASELINES)
    found = [nano_plan.greedy(first, solver) for solver in solvers] + searches[: 1 if is_quick else None]
    return costs.measure(found, held_out(first[1], plan.num_cost_problems, first[0]))


def _solve(args: argparse.Namespace, plan: Plan, parts: Sequence[str]) -> Figures:
    checkpoint = Checkpoint(args.checkpoint, run_key())
    if checkpoint.num_resumed:
        _log(f"nano: {checkpoint.num_resumed} solves are taken from {args.checkpoint.name}")
    counts = nano_plan.num_samples(plan, parts)
    _log("nano: drawing the problems")
    samples = held_out_sets(counts, args.workers)
    run(nano_plan.jobs(plan, samples, parts), samples, args.workers, checkpoint, name="nano")
    makers = {"accuracy": nano_accuracy, "verifier": nano_verifier, "coverage": nano_coverage}
    found: Figures = {"resumed_solves": checkpoint.num_resumed}
    return found | {part: makers[part].figures(plan, samples, checkpoint) for part in makers if part in parts}


def print_tables(figures: Figures) -> None:
    """The figures for a reader, on stderr."""
    tables: dict[str, Callable[[Any], Iterator[str]]] = {
        "accuracy": nano_accuracy.table,
        "verifier": nano_verifier.table,
        "coverage": nano_coverage.table,
        "fidelity": nano_fidelity.table,
    }
    for part in (part for part in tables if part in figures):
        _log("")
        for line in tables[part](figures[part]):
            _log(line)
    if "accuracy" in figures:
        _log("")
        for line in costs.table(figures["accuracy"]["costs"]):
            _log(line)
    _log("")
    for target in figures["targets"]:
        mark = "ok  " if target["is_reached"] else "MISS"
        _log(f"{mark}  {target['name']}: {target['value']} (target {target['target']})")


def _is_counted_right(figures: Figures) -> bool:
    found = figures.get("accuracy")
    return not found or found["counters"]["prefilled_other_than_once"] == 0


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# -- options -------------------------------------------------------------------------------------------------------


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    usual = Plan()
    parser = argparse.ArgumentParser(description="Measure all that the built-in models' card states.")
    parser.add_argument("--only", choices=PARTS)
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", metavar="SEED", help="of problems and draws; default 0 1 2")
    add("--problems", type=int, help=f"a split and seed, greedy and beam; default {usual.num_problems}")
    add("--wide-problems", type=int, help=f"of these, for best-of-n; default {usual.num_wide_problems}")
    add(
        "--curve-problems",
        type=int,
        help=f"by {usual.curve_n * usual.curve_rounds}; default {usual.num_curve_problems}",
    )
    add(
        "--coverage-problems",
        type=int,
        help=f"by {usual.coverage_n * usual.coverage_rounds} samples; default {usual.num_coverage_problems}",
    )
    add("--coverage-rounds", type=int, help=f"of {usual.coverage_n} samples; default {usual.coverage_rounds}")
    add("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    add("--checkpoint", type=Path, help="default: beside the result")
    add("--fresh", action="store_true", help="ignore the checkpoint of a run that was killed")
    add("--plot", type=Path, metavar="DIR", help="draw the pictures there; needs matplotlib")
    add("--quick", action="store_true", help="few problems: whether it runs, not how well")
    add_record_option(parser)
    args = parser.parse_args(arguments)
    if args.workers < 1:
        parser.error("--workers must be at least 1")
    try:
        args.plan = _plan(args)
    except ValueError as error:
        parser.error(str(error))
    args.name = "nano" + (f"-{args.only}" if args.only else "") + ("-quick" if args.quick else "")
    args.checkpoint = args.checkpoint or RESULTS / f"{'nano-quick' if args.quick else 'nano'}.partial.jsonl"
    return args


def _plan(args: argparse.Namespace) -> Plan:
    given = {
        "seeds": tuple(args.seeds) if args.seeds else None,
        "num_problems": args.problems,
        "num_wide_problems": args.wide_problems,
        "num_curve_problems": args.curve_problems,
        "num_coverage_problems": args.coverage_problems,
        "coverage_rounds": args.coverage_rounds,
    }
    usual = nano_plan.QUICK if args.quick else Plan()
    return dataclasses.replace(usual, **{name: value for name, value in given.items() if value is not None})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    args = _parse(arguments)
    report = Report(args.name)
    if args.fresh:
        args.checkpoint.unlink(missing_ok=True)
    try:
        if args.plot:
            nano_figures.require()  # before half an hour of work, not after
        figures = _measure(args, args.plan)
    except (RuntimeError, EdgesearchError) as error:
        _log(f"error: {error}")
        return 1
    figures["targets"] = [] if args.quick else targets(figures)
    print_tables(figures)
    report.close(figures, is_recorded=args.record)
    if args.plot:
        for path in nano_figures.draw(figures, args.plot):
            _log(f"wrote {path}")
    if args.only is None:
        args.checkpoint.unlink(missing_ok=True)
    return 0 if _is_counted_right(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
