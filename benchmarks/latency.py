"""Whether an answer comes when it was promised, and how soon a cold command shows anything.

Overshoot is the wall time around the call, by a clock of this file's own, minus the budget; an early answer has a
negative one. Three tables: budgets from 0.3 to 10 s (where the built-in pair mostly ends by itself), budgets from 0.02
to 0.3 s (where it is cut), and, where its file is there, a 1B-shape model with random weights that never ends a
solution, so that every solve is cut, half of them while the prompt is still being read.

A budget "allows a greedy draft" when it is at least twice the median wall time of a greedy solve.

Start-up: the installed command in a new process; the operating system's file cache is as it happens to be.
"""

import dataclasses
import itertools
import math
import os
import random
import selectors
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgesearch.tasks.arithmetic import ArithmeticSample, grade, held_out

Figures = dict[str, Any]


def log_spaced(low: float, high: float, count: int) -> list[float]:
    """From low to high, both included, in equal ratios."""
    steps = max(1, count - 1)
    return [low * (high / low) ** (i / steps) for i in range(count)]


def percentile(values: Sequence[float], share: float) -> float:
    """By nearest rank: the smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


# -- deadlines -----------------------------------------------------------------------------------------------------


def measure_deadlines(count: int, seed: int, path_1b: Path | None) -> Figures:
    """All tables."""
    import edgesearch

    problems = [sample.problem for sample in held_out(seed, count)]
    with edgesearch.load() as pipeline:
        greedy_s = [_timed(pipeline, text, 60.0, strategy="greedy")["wall_s"] for text in problems[:50]]
        enough_s = 2 * statistics.median(greedy_s)
        budgets, short = log_spaced(0.3, 10.0, count), log_spaced(0.02, 0.3, count)
        figures: Figures = {
            "greedy_wall_s": round(statistics.median(greedy_s), 4),
            "enough_s": round(enough_s, 4),
            "tables": {
                "auto": _solves(pipeline, problems, budgets, seed, enough_s, {"strategy": "auto"}),
                "best_of_n n=64": _solves(
                    pipeline, problems, budgets, seed, enough_s, {"strategy": "best_of_n", "n": 64}
                ),
                "auto, short": _solves(pipeline, problems, short, seed, enough_s, {"strategy": "auto"}),
            },
        }
    if path_1b is not None:
        _log("deadline: 1B shape")
        figures["tables"]["1B shape, majority n=4"] = _solves_1b(path_1b, problems, seed)
    return figures


def _solves(
    pipeline: Any,
    problems: Sequence[str],
    budgets: Sequence[float],
    seed: int,
    enough_s: float | None,
    options: Mapping[str, Any],
) -> Figures:
    order = list(budgets)
    random.Random(seed).shuffle(order)
    rows = []
    for i, (text, budget_s) in enumerate(zip(itertools.cycle(problems), order, strict=False)):
        rows.append(_timed(pipeline, text, budget_s, seed=seed + i, **options))
        if (i + 1) % 25 == 0:
            _log(f"deadline: {dict(options)}: {i + 1} of {len(order)} solves")
    return _summary(rows, enough_s)


def _timed(pipeline: Any, text: str, budget_s: float, **options: Any) -> Figures:
    start = time.perf_counter()
    solution = pipeline.solve(text, budget_s=budget_s, **options)
    wall_s = time.perf_counter() - start
    return {
        "budget_s": round(budget_s, 4),
        "wall_s": round(wall_s, 5),
        "overshoot_ms": round(1e3 * (wall_s - budget_s), 2),
        "is_answered": solution.answer is not None,
        "is_cut": solution.finish == "deadline",
        "strategy": solution.strategy.name,
        "n": solution.strategy.n,
        "decoded_tokens": solution.usage.decoded_tokens,
    }


def _summary(rows: Sequence[Figures], enough_s: float | None) -> Figures:
    overshoots = [row["overshoot_ms"] for row in rows]
    unanswered = [row for row in rows if not row["is_answered"]]
    widths: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: row["n"]):
        name = f"{row['strategy']} {row['n']}"
        widths[name] = widths.get(name, 0) + 1
    return {
        "solves": len(rows),
        "budgets_s": [min(row["budget_s"] for row in rows), max(row["budget_s"] for row in rows)],
        "overshoot_ms": {
            "p50": percentile(overshoots, 0.5),
            "p99": percentile(overshoots, 0.99),
            "max": max(overshoots),
            "p99_of_late": max(0.0, percentile(overshoots, 0.99)),
        },
        "cut": sum(row["is_cut"] for row in rows),
        "unanswered": len(unanswered),
        "unanswered_with_enough": None if enough_s is None else sum(row["budget_s"] >= enough_s for row in unanswered),
        "budgets_with_enough": None if enough_s is None else sum(row["budget_s"] >= enough_s for row in rows),
        "ran": widths,
        "rows": list(rows),
    }


def _solves_1b(path: Path, problems: Sequence[str], seed: int) -> Figures:
    import synthetic_gguf

    import edgesearch

    words = " ".join(itertools.islice(synthetic_gguf.made_up_words(), 12))
    texts = [words if i % 2 == 0 else problems[i % len(problems)] for i in range(10)]  # one token a word, one a letter
    with edgesearch.load(str(path), "none", max_n=4) as pipeline:
        # The planner would draft a single greedy solution, rightly. It is told that solutions are short, so that the
        # deadline meets four of them at once. The system prompt goes, as this vocabulary spells it letter by letter.
        pipeline._spec = dataclasses.replace(pipeline._spec, mean_solution_tokens=2.0, system_prompt="")
        _timed(pipeline, words, 1.0, strategy="majority", n=4)  # warms it up
        return _solves(pipeline, texts, log_spaced(1.0, 4.0, 10), seed, None, {"strategy": "majority", "n": 4})


def find_1b(*, is_made: bool) -> Path | None:
    """The 1B-shape file where it is cached or is to be made; None without it."""
    try:
        import platformdirs
        import synthetic_gguf
    except ImportError:  # the `bench` extra
        if is_made:
            raise
        return None
    name = f"{synthetic_gguf.LLAMA_1B.name}-q4_0-v{synthetic_gguf.FORMAT}.gguf"
    is_cached = (platformdirs.user_cache_path("edgesearch") / "benchmarks" / name).exists()
    return synthetic_gguf.model_file(synthetic_gguf.LLAMA_1B, "Q4_0") if is_cached or is_made else None


def deadline_table(found: Figures) -> Iterator[str]:
    """The figures for a reader, line by line."""
    yield f"deadlines; a greedy solve takes {1e3 * found['greedy_wall_s']:.0f} ms (median)"
    yield (
        "solves                  budgets s      cut  overshoot ms p50       p99       max  unanswered"
        "  of them with time for a greedy draft"
    )
    for name, each in found["tables"].items():
        low, high = each["budgets_s"]
        over = each["overshoot_ms"]
        enough = "-" if each["unanswered_with_enough"] is None else each["unanswered_with_enough"]
        yield (
            f"{name:22}  {low:5.2f} - {high:5.2f}  {each['cut']:3}  {over['p50']:16.1f}  {over['p99']:8.1f}  "
            f"{over['max']:8.1f}  {each['unanswered']:10}  {enough}"
        )
        yield "    ran " + ", ".join(f"{width}: {count}" for width, count in each["ran"].items())


# -- start-up ------------------------------------------------------------------------------------------------------


def measure_startup(count: int, seed: int) -> Figures:
    """Cold solves by the installed command. To be run before this process has loaded a model: a child's peak memory
    counts from its parent's."""
    rows = []
    for sample in held_out(seed, 11 * count)[::11]:  # of another family and level each
        rows.append(_start(sample))
        _log(f"startup: {len(rows)} of {count}")
    return {
        "runs": count,
        "first_output_s": _spread([row["first_output_s"] for row in rows]),
        "exit_s": _spread([row["exit_s"] for row in rows]),
        "peak_mb": _spread([row["peak_mb"] for row in rows]),
        "rows": rows,
    }


def _start(sample: ArithmeticSample) -> Figures:
    command = Path(sys.executable).with_name("edgesearch")
    start = time.perf_counter()
    child = subprocess.Popen([str(command), "solve", sample.problem], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first_output_s, texts = _read(child, start)
    _, status, spent = os.wait4(child.pid, 0)
    exit_s = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    lines = texts["stdout"].split()
    if child.returncode not in (0, 3):
        raise RuntimeError(f"{command.name} ended with {child.returncode}: {texts['stderr'].strip()[-300:]}")
    found = lines[-1] if lines else None
    return {
        "first_output_s": round(first_output_s, 3),
        "exit_s": round(exit_s, 3),
        "peak_mb": round(spent.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6, 1),
        "exit_code": child.returncode,
        "answer": found,
        "target": sample.target,
        "is_right": grade(sample, found),
    }


def _read(child: subprocess.Popen[bytes], start: float) -> tuple[float, dict[str, str]]:
    """Seconds to the first byte, and all that was written."""
    first_s = math.inf
    parts: dict[str, bytes] = {"stdout": b"", "stderr": b""}
    with selectors.DefaultSelector() as selector:
        for name in parts:
            selector.register(getattr(child, name), selectors.EVENT_READ, name)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, 65536)
                first_s = min(first_s, time.perf_counter() - start) if data else first_s
                parts[key.data] += data
                if not data:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
    return first_s, {name: data.decode("utf-8", "replace") for name, data in parts.items()}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"first": values[0], "median": statistics.median(values), "max": max(values)}


def startup_table(found: Figures) -> Iterator[str]:
    """The figures for a reader, line by line."""
    yield f"cold start, {found['runs']} runs: first, median, most"
    for name, unit in (("first_output_s", "s"), ("exit_s", "s"), ("peak_mb", "MB")):
        spread = found[name]
        values = ", ".join(f"{spread[key]:.4g}" for key in ("first", "median", "max"))
        yield f"  {name.rpartition('_')[0].replace('_', ' '):13} {values} {unit}"
    yield f"  answers       {sum(row['is_right'] for row in found['rows'])} of {found['runs']} right"


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
