"""Ctrl-C: how soon the command ends with the best answer so far.

The installed command solves a hard problem with a long budget and no early stop; at a random moment after its search
began it is sent SIGINT. Seconds are from the signal to the end of the process. A command that ended by itself before
is counted apart, and another problem is taken.

Not covered: a signal while models load (there is no answer yet), the second Ctrl-C, Windows.
"""

import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clock_rows import Row, RowFile
from common import log
from latency import percentile

from edgesearch.tasks.arithmetic import EXACT_FAMILIES, ArithmeticSample, held_out

Figures = dict[str, Any]

BUDGET_S = 30.0
OPTIONS = ("--no-check", "--confidence", "1")
"""So that it runs long."""
STARTED = "nano with "
"""Begins the line that tells that the search is under way."""
MAX_EXIT_S = 0.5
INTERRUPTED = 130
END_S = 60.0
TRIES = 8
"""Commands started for each that is to be interrupted, at most, where they end by themselves."""


def measure(load: str, count: int, window_s: tuple[float, float], seed: int, done: RowFile) -> Figures | None:
    """Interrupts so many commands, each at a moment within the window; None where the system has no such signal."""
    if sys.platform == "win32":
        return None
    rng = random.Random(seed)
    problems = hard_problems(seed, TRIES * count)
    rows: list[Row] = []
    for number, sample in enumerate(problems):
        delay_s = rng.uniform(*window_s)
        name = f"{load} interrupt {number}"
        if name not in done.rows:
            done.add({name: interrupt(sample, delay_s)})
        rows.append(done.rows[name])
        num_done = sum(not row["has_ended_before"] for row in rows)
        log(f"{load}: {num_done} of {count} interrupts")
        if num_done == count:
            break
    return figures(rows)


def hard_problems(seed: int, count: int) -> list[ArithmeticSample]:
    """Of the highest level, and such that no exact check can end a search."""
    found = [sample for sample in held_out(seed, 200) if sample.level == 5 and sample.family not in EXACT_FAMILIES]
    return [found[i % len(found)] for i in range(count)]


def interrupt(sample: ArithmeticSample, delay_s: float) -> Row:
    """Runs the command on one problem and interrupts it so long after its search began.

    Raises:
        RuntimeError: it ended before its search began.
    """
    command = [str(Path(sys.executable).with_name("edgesearch")), "solve", *OPTIONS, "--budget", f"{BUDGET_S:g}s"]
    # A job in the background of a script ignores Ctrl-C, and so would its children; a handler is not inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    child = subprocess.Popen([*command, "--", sample.problem], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        _wait_for_start(child)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(delay_s)
        has_ended_before = child.poll() is not None
        start = time.perf_counter()
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=END_S)
        exit_s = time.perf_counter() - start
    finally:
        child.kill()
        child.wait()
    return {
        "problem": sample.id,
        "delay_s": round(delay_s, 4),
        "has_ended_before": has_ended_before,
        "exit_s": round(exit_s, 4),
        "exit_code": child.returncode,
        "is_answered": bool(output.split()),
    }


def _wait_for_start(child: "subprocess.Popen[bytes]") -> None:
    assert child.stderr is not None
    seen = []
    for line in child.stderr:
        seen.append(line.decode("utf-8", "replace"))
        if seen[-1].startswith(STARTED):
            return
    raise RuntimeError(f"the command ended before its search began: {''.join(seen).strip()[-300:]}")


def figures(rows: Sequence[Row]) -> Figures:
    """Everything that is reported."""
    cut = [row for row in rows if not row["has_ended_before"]]
    exits = [row["exit_s"] for row in cut]
    return {
        "interrupts": len(cut),
        "ended_before": len(rows) - len(cut),
        "exit_s": {"p50": percentile(exits, 0.5), "max": max(exits)} if exits else None,
        "other_exit_codes": sum(row["exit_code"] != INTERRUPTED for row in cut),
        "unanswered": sum(not row["is_answered"] for row in cut),
        "rows": list(rows),
    }


def table(load: str, found: Figures) -> Iterator[str]:
    """The figures for a reader, line by line."""
    if found["exit_s"] is None:
        yield f"{load}: no command was interrupted; all {found['ended_before']} ended by themselves before"
        return
    yield (
        f"{load}: {found['interrupts']} interrupts, {found['ended_before']} ended by themselves before: exit after "
        f"{1e3 * found['exit_s']['p50']:.0f} ms (median), {1e3 * found['exit_s']['max']:.0f} ms (most); another exit "
        f"code than {INTERRUPTED} in {found['other_exit_codes']}, no answer in {found['unanswered']}"
    )
