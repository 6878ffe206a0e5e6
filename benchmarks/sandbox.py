"""How long a program takes to be tried in each sandbox that works here: cold (with the sandbox's start) and warm.

    python benchmarks/sandbox.py --record

The program is trivial (`add(1, 2)`), so what is measured is the sandbox: starting it and its two zygotes, forking a
process for the program and one for its test, confining both, one call, and ending both. Cold is a new worker's start
with its first trial; warm is each further one. Also the growth of this process's memory over all trials.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from common import Progress, Report, add_record_option

from edgesearch.sandbox import probe
from edgesearch.sandbox.trial import LIMITS, Trial
from edgesearch.sandbox.worker import Worker
from edgesearch.sandbox.worker_tiers import WORKER_TIERS, WorkerTier

_TRIAL = Trial("def add(a, b):\n    return a + b\n", ("add",), ("assert add(1, 2) == 3",))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cold", type=int, default=60, help="starts of each sandbox")
    parser.add_argument("--warm", type=int, default=1000, help="trials in a started one")
    parser.add_argument("--quick", action="store_true", help="a few of each, to see that it works")
    add_record_option(parser)
    args = parser.parse_args(arguments)
    if args.quick:
        args.cold, args.warm = 3, 10
    report = Report("sandbox")
    tiers = [name for name, tier in WORKER_TIERS.items() if tier.info.is_isolating]
    working = [name for name in tiers if probe.flaw_for_programs(name) is None]
    progress = Progress("sandbox", len(working) * (args.cold * 10 + args.warm))
    figures: dict[str, Any] = {
        "tiers": {name: measure(WORKER_TIERS[name], args.cold, args.warm, progress.add) for name in working},
        "not_here": {name: probe.flaw_for_programs(name) for name in tiers if name not in working},
        "num_cold": args.cold,
        "num_warm": args.warm,
    }
    report.close(figures, is_recorded=args.record)
    return 0


def measure(tier: WorkerTier, num_cold: int, num_warm: int, done: Callable[[float], None]) -> dict[str, Any]:
    """Milliseconds of both kinds, and how much this process grew."""
    before = _resident_bytes()
    cold = []
    for _ in range(num_cold):
        started = time.perf_counter()
        worker = Worker(tier)
        _try(worker)
        cold.append(time.perf_counter() - started)
        worker.close()
        done(10)
    worker = Worker(tier)
    warm = []
    for _ in range(num_warm):
        started = time.perf_counter()
        _try(worker)
        warm.append(time.perf_counter() - started)
        done(1)
    worker.close()
    return {"cold_ms": _summary(cold), "warm_ms": _summary(warm), "grown_bytes": _resident_bytes() - before}


def _try(worker: Worker) -> None:
    (tested,), _, _ = worker.run(_TRIAL, 0, LIMITS)
    if tested.status != "passed":
        raise SystemExit(f"the trivial program fails: {tested.reason}")


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    named = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "most": max(seconds)}
    return {name: round(1e3 * value, 2) for name, value in named.items()}


def _resident_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    sys.exit(main())
