"""Whether an answer comes when it was promised: budgets from 0.3 to 30 s, on an idle and on a busy machine.

    python benchmarks/clock.py --record              # both; at most 43 minutes, less where solves end early
    python benchmarks/clock.py --loads idle
    python benchmarks/clock.py --quick               # whether it runs, not how well

Budgets are drawn uniformly in the logarithm of their seconds; problems are held out, models and strategy the defaults.
clock_solves.py says what is measured, clock_load.py what keeps the machine busy, clock_interrupts.py what Ctrl-C is
held to. `cpu_busy` in the result is how busy the machine was before the solves of each load began: "idle" is a claim
about it. With several `--workers` solves run side by side, and "idle" means only that nothing else runs.

A killed run is continued by the same command, from a checkpoint beside the result, which a complete run removes.

Exit codes: 0 done, 1 something failed. Whether the targets are reached is in the result.
"""

import argparse
import concurrent.futures
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import clock_interrupts
import clock_solves
import psutil
from clock_load import full_load
from clock_rows import RowFile, key_of, log_targets, target
from common import RESULTS, Progress, Report, add_record_option, log, minutes
from runner import pool

from edgesearch.errors import EdgesearchError
from edgesearch.tasks.arithmetic import ArithmeticSample, held_out

Figures = dict[str, Any]

LOADED_BUSY, IDLE_BUSY = 0.95, 0.1
"""Share of CPU time in use: at least, for a full load to count as one; at most, for an idle machine."""
_PROGRAMS = ("clock_solves", "clock_load", "clock_interrupts")


def targets(figures: Figures) -> list[Figures]:
    """What is promised, what was measured, and whether it holds."""
    rows = []
    for load, each in figures["loads"].items():
        rows += [
            target(f"{load}: overshoot p99 over what is allowed", each["overshoot_of_allowed"]["p99"], "<=", 1),
            target(f"{load}: unanswered with time for a greedy draft", each["unanswered_with_enough"], "<=", 0),
            target(
                f"{load}: ended early for no stated reason, below {clock_solves.MIN_USED:.0%}",
                each["used"]["below"],
                "<=",
                0,
            ),
        ]
        if found := each["interrupts"]:
            slowest = found["exit_s"]["max"] if found["exit_s"] else None
            wrong = found["other_exit_codes"] + found["unanswered"]
            rows += [
                target(f"{load}: seconds from Ctrl-C to exit, most", slowest, "<=", clock_interrupts.MAX_EXIT_S),
                target(f"{load}: interrupts without an answer or with another exit code", wrong, "<=", 0),
            ]
    return rows


def _measure(args: argparse.Namespace, done: RowFile) -> Figures:
    samples = held_out(args.seed, max(args.solves, args.greedy))
    budgets = clock_solves.draw_budgets(args.low, args.high, args.solves, args.seed)
    longest_s = len(args.loads) * sum(budgets) / args.workers
    log(f"clock: at most {minutes(longest_s)} of solves, and {minutes(len(args.loads) * args.interrupts * 5)} besides")
    found: Figures = {"seed": args.seed, "workers": args.workers, "budgets_s": [args.low, args.high], "loads": {}}
    for load in args.loads:
        with full_load() if load == "full" else contextlib.nullcontext(0) as num_busy:
            busy = psutil.cpu_percent(interval=1.0) / 100
            _warn_of_load(load, busy)
            measured = _solves(load, args, samples, budgets, done)
            interrupts = clock_interrupts.measure(load, args.interrupts, args.window, args.seed, done)
        own = {"busy_processes": num_busy, "cpu_busy": round(busy, 3), "interrupts": interrupts}
        found["loads"][load] = own | measured
    return found


def _warn_of_load(load: str, busy: float) -> None:
    if load == "idle" and busy > IDLE_BUSY:
        log(f"warning: the machine is not idle: {busy:.0%} of its CPU time is in use")
    if load == "full" and busy < LOADED_BUSY:
        log(f"warning: the machine is not fully loaded: {busy:.0%} of its CPU time is in use")


def _solves(
    load: str, args: argparse.Namespace, samples: Sequence[ArithmeticSample], budgets: Sequence[float], done: RowFile
) -> Figures:
    """Runs what the checkpoint lacks; the figures of one load."""
    names = [f"{load} {number}" for number in range(args.solves)]
    todo = [number for number, name in enumerate(names) if name not in done.rows]
    with pool(args.workers) as workers:
        greedy_s: float = workers.submit(clock_solves.greedy_seconds, samples[: args.greedy]).result()
        progress = Progress(load, sum(budgets[number] for number in todo))
        try:
            futures = {
                workers.submit(clock_solves.solve, samples[number], budgets[number], args.seed + number): number
                for number in todo
            }
            for future in concurrent.futures.as_completed(futures):
                number = futures[future]
                done.add({names[number]: future.result()})
                progress.add(budgets[number])
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise
    rows = [done.rows[name] for name in names]
    return clock_solves.figures(rows, greedy_s, clock_solves.ALLOWANCES[load])


def _print(figures: Figures) -> None:
    for load, each in figures["loads"].items():
        for line in clock_solves.table(load, each):
            log(line)
        if each["interrupts"]:
            for line in clock_interrupts.table(load, each["interrupts"]):
                log(line)
    log_targets(figures["targets"])


def _loads(text: str) -> list[str]:
    names = list(dict.fromkeys(text.split(",")))
    if unknown := set(names) - set(clock_solves.ALLOWANCES):
        known = ", ".join(clock_solves.ALLOWANCES)
        raise argparse.ArgumentTypeError(f"there is no load {', '.join(sorted(unknown))}; known: {known}")
    return names


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how well deadlines are kept, on the built-in models.")
    add = parser.add_argument
    add("--solves", type=int, help="for each load; default 200")
    add("--low", type=float, help="smallest budget in seconds; default 0.3")
    add("--high", type=float, help="largest budget in seconds; default 30")
    add("--loads", type=_loads, default=list(clock_solves.ALLOWANCES), metavar="LOAD,LOAD", help="idle, full or both")
    add("--interrupts", type=int, help="commands that get a Ctrl-C, for each load; default 20")
    add("--greedy", type=int, help="greedy solves whose median says which budgets allow one; default 50")
    add("--seed", type=int, default=0, help="of the problems, the budgets and the draws")
    add("--workers", type=int, default=1, help="solves side by side")
    add("--checkpoint", type=Path, help="default: beside the result")
    add("--fresh", action="store_true", help="ignore the checkpoint of a run that was killed")
    add("--quick", action="store_true", help="few solves: whether it runs, not how well")
    add_record_option(parser)
    args = parser.parse_args(arguments)
    quick = {"solves": 3, "low": 0.05, "high": 0.2, "interrupts": 1, "greedy": 5}
    usual = {"solves": 200, "low": 0.3, "high": 30.0, "interrupts": 20, "greedy": 50}
    for name, value in (quick if args.quick else usual).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if min(args.solves, args.interrupts, args.greedy, args.workers) < 1 or not 0 < args.low <= args.high <= 86400:
        parser.error("counts must be at least 1, and 0 < --low <= --high <= 86400")
    args.window = (0.01, 0.05) if args.quick else (0.2, 3.0)
    args.name = "clock-quick" if args.quick else "clock"
    args.checkpoint = args.checkpoint or RESULTS / f"{args.name}.partial.jsonl"
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    args = _parse(arguments)
    report = Report(args.name)
    key = f"{key_of(*_PROGRAMS)} {args.solves} {args.low} {args.high} {args.seed} {args.workers}"
    done = RowFile(args.checkpoint, key)
    if args.fresh:
        done.forget()
        done = RowFile(args.checkpoint, key)
    if done.num_resumed:
        log(f"clock: {done.num_resumed} rows are taken from {args.checkpoint.name}")
    try:
        figures = _measure(args, done)
    except (RuntimeError, EdgesearchError) as error:
        log(f"error: {error}")
        return 1
    figures["resumed_rows"] = done.num_resumed
    figures["targets"] = [] if args.quick else targets(figures)
    _print(figures)
    report.close(figures, is_recorded=args.record)
    done.forget()
    return 0


if __name__ == "__main__":
    sys.exit(main())
