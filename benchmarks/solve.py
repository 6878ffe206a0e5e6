"""What `edgesearch solve` reaches on the built-in models: accuracy, deadlines, start-up.

    python benchmarks/solve.py                       # all, some minutes on two cores
    python benchmarks/solve.py --record              # the same, kept in benchmarks/results/solve.json
    python benchmarks/solve.py --only deadline
    python benchmarks/solve.py --quick               # whether it runs, not how well

accuracy.py and latency.py say what is measured and how. Start-up is measured first, since a child's peak memory counts
from its parent's, and the deadlines with nothing beside them. A run that was killed is continued by the same command:
the solves of the accuracy table are in a checkpoint beside the result, which a complete run removes.

Exit codes: 0 done, 1 something failed or a count is wrong. Whether the targets are reached is in the result.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import accuracy
import latency
from common import RESULTS, Report, add_record_option
from runner import Checkpoint, run_key

from edgesearch.errors import EdgesearchError

PARTS = ("accuracy", "deadline", "startup")
MAX_VERIFIED_PER_DECODED = 1.05
MAX_OVERSHOOT_MS, MAX_FIRST_OUTPUT_S, MAX_PEAK_MB = 100.0, 1.0, 400.0


def targets(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """What is promised, what was measured, and whether it holds."""
    rows: list[tuple[str, float, str, float]] = []
    if found := figures.get("accuracy"):
        for each in found["differences"]:
            if each["name"].endswith(" - greedy") or " - majority" in each["name"]:
                rows.append((f"{each['name']}, lower end of the interval", each["interval95"][0], ">", 0))
        counts = found["counters"]
        rows += [
            ("solves whose prompt was not prefilled once", counts["prefilled_other_than_once"], "<=", 0),
            ("verified over decoded, most", counts["max_verified_per_decoded"], "<=", MAX_VERIFIED_PER_DECODED),
            ("solves with too many KV cells", counts["kv_cells_above_prompt_and_decoded"], "<=", 0),
        ]
    if found := figures.get("deadline"):
        for name, each in found["tables"].items():
            rows.append((f"overshoot p99 ms, {name}", each["overshoot_ms"]["p99"], "<=", MAX_OVERSHOOT_MS))
            if each["unanswered_with_enough"] is not None:
                rows.append((f"unanswered with time for a draft, {name}", each["unanswered_with_enough"], "<=", 0))
    if found := figures.get("startup"):
        rows += [
            ("first output s, slowest", found["first_output_s"]["max"], "<=", MAX_FIRST_OUTPUT_S),
            ("peak MB, most", found["peak_mb"]["max"], "<=", MAX_PEAK_MB),
        ]
    return [
        {
            "name": name,
            "value": value,
            "target": f"{sign} {limit:g}",
            "is_reached": value > limit if sign == ">" else value <= limit,
        }
        for name, value, sign, limit in rows
    ]


def _measure_accuracy(args: argparse.Namespace) -> dict[str, Any]:
    checkpoint = Checkpoint(args.checkpoint, run_key())
    if checkpoint.num_resumed:
        _log(f"accuracy: {checkpoint.num_resumed} solves are taken from {args.checkpoint.name}")
    found = accuracy.measure(args.n, args.seed, args.problems, args.workers, checkpoint)
    return found | {"resumed_solves": checkpoint.num_resumed}


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    parts = (args.only,) if args.only else PARTS
    figures: dict[str, Any] = {}
    if "startup" in parts:
        figures["startup"] = latency.measure_startup(args.starts, args.seed)
    if "accuracy" in parts:
        figures["accuracy"] = _measure_accuracy(args)
    if "deadline" in parts:
        path_1b = latency.find_1b(is_made=args.with_1b) if args.with_1b or not args.quick else None
        figures["deadline"] = latency.measure_deadlines(args.solves, args.seed, path_1b)
    return figures


def print_tables(figures: dict[str, Any]) -> None:
    """The figures for a reader, on stderr."""
    tables = {"accuracy": accuracy.table, "deadline": latency.deadline_table, "startup": latency.startup_table}
    for part, table in tables.items():
        if part in figures:
            _log("")
            for line in table(figures[part]):
                _log(line)
    _log("")
    for target in figures["targets"]:
        mark = "ok  " if target["is_reached"] else "MISS"
        _log(f"{mark}  {target['name']}: {target['value']} (target {target['target']})")


def _is_counted_right(figures: dict[str, Any]) -> bool:
    counts = figures["accuracy"]["counters"] if "accuracy" in figures else {}
    return not counts or (
        counts["prefilled_other_than_once"] == 0
        and counts["kv_cells_above_prompt_and_decoded"] == 0
        and counts["max_verified_per_decoded"] <= MAX_VERIFIED_PER_DECODED
    )


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure accuracy, deadlines and start-up on the built-in models.")
    parser.add_argument("--problems", type=int, help="held-out problems; default 500")
    parser.add_argument("--seed", type=int, default=0, help="of the problems, the draws and the resampling")
    parser.add_argument("--n", type=int, nargs="+", metavar="N", help="widths; default 4 16 64")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--solves", type=int, help="solves in each table of deadlines; default 100")
    parser.add_argument("--starts", type=int, help="cold starts; default 5")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes for accuracy")
    parser.add_argument("--with-1b", action="store_true", help="make the 1B-shape model where it is not cached")
    parser.add_argument("--checkpoint", type=Path, help="default: beside the result")
    parser.add_argument("--fresh", action="store_true", help="ignore the checkpoint of a run that was killed")
    parser.add_argument("--quick", action="store_true", help="few problems: whether it runs, not how well")
    add_record_option(parser)
    args = parser.parse_args(arguments)
    defaults = {"problems": 7, "n": [2, 4], "solves": 4, "starts": 1} if args.quick else {}
    for name, value in ({"problems": 500, "n": [4, 16, 64], "solves": 100, "starts": 5} | defaults).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    args.n = sorted(set(args.n))
    if min(args.problems, args.solves, args.starts, args.workers) < 1 or not 1 <= args.n[0] <= args.n[-1] <= 64:
        parser.error("counts must be at least 1 and every width in [1, 64]")
    args.name = "solve" + (f"-{args.only}" if args.only else "") + ("-quick" if args.quick else "")
    args.checkpoint = args.checkpoint or RESULTS / f"{'solve-quick' if args.quick else 'solve'}.partial.jsonl"
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    args = _parse(arguments)
    report = Report(args.name)
    if args.fresh:
        args.checkpoint.unlink(missing_ok=True)
    try:
        figures = _measure(args)
    except (RuntimeError, EdgesearchError) as error:
        _log(f"error: {error}")
        return 1
    figures["targets"] = [] if args.quick else targets(figures)
    print_tables(figures)
    report.close(figures, is_recorded=args.record)
    if args.only is None:
        args.checkpoint.unlink(missing_ok=True)
    return 0 if _is_counted_right(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
