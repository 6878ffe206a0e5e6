"""More seconds, more accuracy: `auto` at budgets from 0.25 to 8 s, against fixed strategies and widths.

    python benchmarks/budgets.py --record --plot benchmarks/results
    python benchmarks/budgets.py --rerun-best        # the best fixed settings for real under each budget, too
    python benchmarks/budgets.py --quick             # whether it runs, not how well

On 300 held-out problems (`mixed`, three seeds) of the built-in task, which the shipped policy was not tuned on.
budgets_plan.py says what is run, budgets_measure.py what is made of it, and what its comparisons do and do not allow.
With several `--workers` solves run side by side, and all seconds are of that.

Solves are kept in a checkpoint beside the result: the same command goes on where a killed one stopped, and takes what
is done from there until weights or code change, or `--fresh`.

Exit codes: 0 done, 1 something failed. Whether the targets are reached is in the result.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import budgets_figures
import budgets_measure
import budgets_solve
import strategies_figures
from budgets_plan import QUICK, Plan
from clock_rows import RowFile, key_of, log_targets, target
from common import RESULTS, Report, add_record_option, log
from runner import held_out_sets

from edgesearch import catalog
from edgesearch.errors import EdgesearchError
from edgesearch.tasks.arithmetic import ArithmeticSample

Figures = dict[str, Any]

MAX_SECONDS_RATIO = 0.6
MIN_PROBLEMS = 300
_PROGRAMS = ("budgets_solve",)


def targets(figures: Figures) -> list[Figures]:
    """What is promised, what was measured, and whether it holds."""
    rows = [target("held-out problems", figures["problems"], ">=", MIN_PROBLEMS)]
    for each in figures["rising"]:
        rows.append(target(f"{each['name']}, upper end of the interval", each["interval95"][1], ">=", 0))
    for each in figures["against_best"]:
        name = f"{each['budget_s']:g} s: {each['name']}, upper end of the interval"
        rows.append(target(name, each["interval95"][1], ">=", 0))
    widest = figures["seconds"][-1]
    name = f"{widest['budget_s']:g} s: seconds at the accuracy of {widest['best']}, over its own"
    return [*rows, target(name, widest["ratio"], "<=", MAX_SECONDS_RATIO)]


def _samples(plan: Plan, num_workers: int) -> dict[tuple[int, int], ArithmeticSample]:
    sets = held_out_sets({("mixed", seed): plan.num_problems for seed in plan.seeds}, num_workers)
    return {(seed, i): sample for (_, seed), each in sets.items() for i, sample in enumerate(each)}


def _measure(args: argparse.Namespace, done: RowFile) -> Figures:
    plan: Plan = args.plan
    samples = _samples(plan, args.workers)
    budgets_solve.run([*plan.auto(), *plan.fixed()], plan, samples, args.workers, done)
    table = budgets_measure.Table(done.rows, plan.problems)
    if args.rerun_best:
        budgets_solve.run(budgets_measure.rerun_settings(table, plan), plan, samples, args.workers, done)
    log(f"comparing, on {len(plan.problems)} problems")
    return {
        "plan": dataclasses.asdict(plan),
        "workers": args.workers,
        "resumed_solves": done.num_resumed,
        "weights_sha256": {model.name: model.sha256 for model in catalog.known()},
        **budgets_measure.figures(table, plan),
        **({"rerun": budgets_measure.rerun(table, plan)} if args.rerun_best else {}),
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure accuracy against budget on the built-in models.")
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", metavar="SEED", help="of problems and draws; default 0 1 2")
    add("--problems", type=int, help="for each seed; default 100")
    add("--budgets", type=float, nargs="+", metavar="S", help="seconds; default 0.25 0.5 1 2 4 8")
    add("--strategies", nargs="+", metavar="NAME", help="of the fixed settings")
    add("--n", type=int, nargs="+", metavar="N", help="of the fixed settings; default 4 16 64 128 250")
    add("--rerun-best", action="store_true", help="run the best fixed setting of each budget under that budget, too")
    add("--no-check", action="store_true", help="do not check answers exactly where problems allow it")
    add("--workers", type=int, default=1, help="solves side by side")
    add("--checkpoint", type=Path, help="default: beside the result")
    add("--fresh", action="store_true", help="run all anew")
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
    args.name = "budgets" + ("-no-check" if args.no_check else "") + ("-quick" if args.quick else "")
    args.checkpoint = args.checkpoint or RESULTS / f"{args.name}.partial.jsonl"
    return args


def _plan(args: argparse.Namespace) -> Plan:
    given = {
        "seeds": args.seeds and tuple(args.seeds),
        "num_problems": args.problems,
        "budgets_s": args.budgets and tuple(sorted(args.budgets)),
        "strategies": args.strategies and tuple(args.strategies),
        "widths": args.n and tuple(sorted(args.n)),
        "is_checked": not args.no_check,
    }
    usual = QUICK if args.quick else Plan()
    return dataclasses.replace(usual, **{name: value for name, value in given.items() if value is not None})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    args = _parse(arguments)
    report = Report(args.name)
    if args.fresh:
        args.checkpoint.unlink(missing_ok=True)
    done = RowFile(args.checkpoint, f"{key_of(*_PROGRAMS)} {args.plan.is_checked} {args.plan.room} {args.workers}")
    if done.num_resumed:
        log(f"budgets: {done.num_resumed} solves are taken from {args.checkpoint.name}")
    try:
        if args.plot:
            strategies_figures.require()  # before an hour of work, not after
        figures = _measure(args, done)
    except (RuntimeError, EdgesearchError) as error:
        log(f"error: {error}")
        return 1
    figures["targets"] = [] if args.quick else targets(figures)
    for line in budgets_measure.lines(figures):
        log(line)
    log_targets(figures["targets"])
    if args.plot:
        for path in budgets_figures.draw(figures, args.plot):
            log(f"wrote {path}")
    report.close(figures, is_recorded=args.record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
