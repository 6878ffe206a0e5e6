"""What the comparison says: a row a cell, and for each cell of its_hub who is ahead, with intervals.

Differences are paired: the same problems, bootstrap over problems (edgesearch/bench/intervals.py). A ratio of seconds
is the geometric mean of the ratios on each problem, so that one slow problem does not decide it.

Not covered: which cells there are (plan.py), pictures (chart.py).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from edgesearch.bench import intervals
from peers.plan import COUNTERPARTS, OURS, OURS_HTTP, Block, Cell, Row

Rows = Mapping[str, Sequence[Row]]
Figures = dict[str, Any]

HALF_THE_SECONDS = 2.0
SERIES = "best_of_n"
"""The strategy of edgesearch whose widths are gone through for `equal_accuracy`; it was named before the run."""


def percentile(values: Sequence[float], share: float) -> float:
    """By nearest rank: the smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def make(blocks: Sequence[Block], rows: Rows, seed: int) -> Figures:
    """Everything that is reported but for how it was run.

    Args:
        blocks: what was run.
        rows: by a cell's name, one a problem, in the same order in every cell.
        seed: of the bootstrap.
    """
    cells = [cell for block in blocks for cell in (block.peer, *block.ours)]
    comparisons = [_comparison(block, rows, seed) for block in blocks]
    return {
        "cells": [_cell(cell, rows[cell.name]) for cell in cells],
        "comparisons": comparisons,
        "targets": targets(comparisons),
    }


def _cell(cell: Cell, rows: Sequence[Row]) -> Figures:
    seconds = [row.seconds for row in rows]
    return {
        "name": cell.name,
        "system": cell.system,
        "strategy": cell.strategy,
        "n": cell.n,
        "is_checked": cell.is_checked,
        "seconds_of": cell.of,
        **intervals.share([row.is_right for row in rows]),
        "unanswered": sum(row.mark == "-" for row in rows),
        "errors": sum(bool(row.error) for row in rows),
        "seconds": {
            "median": round(statistics.median(seconds), 5),
            "p95": round(percentile(seconds, 0.95), 5),
            "mean": round(statistics.fmean(seconds), 5),
        },
        "decoded_tokens": _mean(row.decoded_tokens for row in rows),
        "prefilled_tokens": _mean(row.prefilled_tokens for row in rows),
        "verified_tokens": _mean(row.verified_tokens for row in rows),
        "calls": _mean(row.calls for row in rows),
        "late_ms_p99": _late_ms(rows),
    }


def _mean(values: Any) -> float:
    return round(statistics.fmean(values), 1)


def _late_ms(rows: Sequence[Row]) -> float | None:
    """How long after its budget an answer came, in the 99th percentile; negative for early."""
    late = [1e3 * (row.seconds - row.budget_s) for row in rows if row.budget_s]
    return round(percentile(late, 0.99), 2) if late else None


# -- comparisons ---------------------------------------------------------------------------------------------------


def _comparison(block: Block, rows: Rows, seed: int) -> Figures:
    peer, theirs = block.peer, rows[block.peer.name]
    strategy = COUNTERPARTS[peer.strategy]
    rivals = {
        "same": Cell(OURS, strategy, peer.n),
        "same_over_http": Cell(OURS_HTTP, strategy, peer.n),
        "budget": Cell(OURS, "budget", of=peer.name),
        "budget_checked": Cell(OURS, "budget", is_checked=True, of=peer.name),
    }
    found: Figures = {"peer": peer.name, "peer_seconds_median": round(_median(theirs), 5)}
    for key, cell in rivals.items():
        if cell.name in rows:
            found[key] = _pair(cell, rows[cell.name], peer, theirs, seed)
    return found | {"equal_accuracy": _equal_accuracy(theirs, rows)}


def _pair(ours: Cell, mine: Sequence[Row], peer: Cell, theirs: Sequence[Row], seed: int) -> Figures:
    rights = [[row.is_right for row in each] for each in (mine, theirs)]
    logs = [math.log(theirs_.seconds / mine_.seconds) for mine_, theirs_ in zip(mine, theirs, strict=True)]
    ratio = intervals.mean(logs, seed)
    return intervals.paired(ours.name, rights[0], peer.name, rights[1], seed) | {
        "times_faster": round(math.exp(ratio["value"]), 2),
        "times_faster_interval95": [round(math.exp(end), 2) for end in ratio["interval95"]],
        "decoded_tokens_ratio": _ratio(theirs, mine, "decoded_tokens"),
        "prefilled_tokens_ratio": _ratio(theirs, mine, "prefilled_tokens"),
        "verified_tokens_ratio": _ratio(theirs, mine, "verified_tokens"),
    }


def _ratio(theirs: Sequence[Row], mine: Sequence[Row], name: str) -> float | None:
    """How many times as many tokens its_hub took; None where edgesearch took none."""
    total = sum(getattr(row, name) for row in mine)
    return round(sum(getattr(row, name) for row in theirs) / total, 2) if total else None


def _equal_accuracy(theirs: Sequence[Row], rows: Rows) -> Figures | None:
    """The narrowest width of `SERIES` that is at least as accurate; None where none is.

    It is found on the samples that it is reported on, so it is a little flattering; `same` is not.
    """
    wanted = _accuracy(theirs)
    series = sorted((each for each in rows if each.startswith(f"{OURS} {SERIES} ") and "+" not in each), key=_width)
    for name in series:
        if _accuracy(rows[name]) >= wanted:
            ratio = _median(theirs) / _median(rows[name])
            return {"name": name, "accuracy": round(_accuracy(rows[name]), 4), "times_faster": round(ratio, 2)}
    return None


def _width(name: str) -> int:
    return int(name.rpartition("=")[2])


def _accuracy(rows: Sequence[Row]) -> float:
    return statistics.fmean(row.is_right for row in rows)


def _median(rows: Sequence[Row]) -> float:
    return statistics.median(row.seconds for row in rows)


def targets(comparisons: Sequence[Figures]) -> list[Figures]:
    """What is hoped for, for each cell of its_hub, and whether it holds."""
    found = []
    for each in comparisons:
        peer, budget, same = each["peer"], each["budget"], each["same"]
        found.append(
            {
                "name": f"in the seconds of {peer}: ahead, or equal within the interval",
                "value": budget["difference"],
                "interval95": budget["interval95"],
                "is_reached": budget["interval95"][1] >= 0,
            }
        )
        found.append(_half_the_seconds(f"in the seconds of {peer}: as accurate in half of them", budget))
        name = same["name"].partition(" - ")[0]
        found.append(_half_the_seconds(f"against {peer}, {name}: as accurate in half the seconds", same))
    return found


def _half_the_seconds(name: str, pair: Figures) -> Figures:
    low, high = pair["times_faster_interval95"]
    is_reached = low >= HALF_THE_SECONDS and pair["interval95"][1] >= 0
    return {"name": name, "value": pair["times_faster"], "interval95": [low, high], "is_reached": is_reached}


# -- for a reader --------------------------------------------------------------------------------------------------


def table(figures: Figures) -> list[str]:
    """The figures as lines of text."""
    lines = [f"{'':58}  accuracy         seconds        tokens of the solver   verifier  calls"]
    lines += [f"{'':58}     %   95%       median     p95  drawn  prefilled     read"]
    for cell in figures["cells"]:
        low, high = (round(100 * end) for end in cell["interval95"])
        lines.append(
            f"{cell['name']:58} {100 * cell['accuracy']:5.1f}  {low:2}-{high:3}   {cell['seconds']['median']:8.4f}"
            f" {cell['seconds']['p95']:8.4f} {cell['decoded_tokens']:6.0f} {cell['prefilled_tokens']:9.0f}"
            f" {cell['verified_tokens']:9.0f} {cell['calls']:6.1f}"
        )
    for target in figures["targets"]:
        low, high = target["interval95"]
        word = "ok  " if target["is_reached"] else "MISS"
        lines.append(f"{word} {target['name']}: {target['value']:g} ({low:g} to {high:g})")
    return lines
