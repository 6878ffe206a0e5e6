"""Seconds and peak memory of a solve, each kind in a process of its own with nothing beside it.

To be measured before this process has loaded a model: a child's peak memory counts from its parent's.
"""

import functools
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import runner
import solving
from cells import Cell
from latency import percentile

from edgesearch.peak_memory import peak_bytes
from edgesearch.tasks.arithmetic import ArithmeticSample


def measure(cells: Sequence[Cell], samples: Sequence[ArithmeticSample]) -> list[dict[str, Any]]:
    """One row a cell, on these problems."""
    rows = []
    for cell in cells:
        with runner.pool(1) as workers:
            rows.append(workers.submit(_measure, cell, samples).result())
    return rows


def _measure(cell: Cell, samples: Sequence[ArithmeticSample]) -> dict[str, Any]:
    """In a worker: with room for this width and no more."""
    pipeline = solving.load(cell, cell.n)
    solve = functools.partial(solving.solve, pipeline, cell)
    solve(0, samples[0])  # warms it up
    solves = [solve(index, sample) for index, sample in enumerate(samples)]
    seconds = [each.wall_s for each in solves]
    return {
        "solver": cell.solver,
        "verifier": cell.verifier,
        "strategy": cell.strategy,
        "n": cell.n,
        "is_checked": cell.is_checked,
        "of": len(solves),
        "load_s": round(pipeline.load_s, 3),
        "median_wall_s": round(statistics.median(seconds), 4),
        "p90_wall_s": round(percentile(seconds, 0.9), 4),
        "decoded_tokens_per_s": round(sum(each.decoded_tokens for each in solves) / sum(seconds)),
        "peak_bytes": peak_bytes(),
    }


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The figures for a reader, line by line."""
    yield "solver       strategy    n  median ms   p90 ms  tokens/s  load s  peak MB"
    for row in rows:
        peak = f"{row['peak_bytes'] / 1e6:7.1f}" if row["peak_bytes"] else f"{'-':>7}"
        yield (
            f"{row['solver']:11}  {row['strategy']:9}  {row['n']:2}  {1e3 * row['median_wall_s']:9.1f}  "
            f"{1e3 * row['p90_wall_s']:7.1f}  {row['decoded_tokens_per_s']:8}  {row['load_s']:6.2f}  {peak}"
        )
