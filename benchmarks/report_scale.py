"""How long a report of a million candidates takes, and how much memory: `edgesearch bench report`, as people call it.

    python benchmarks/report_scale.py [--problems 800] [--store FILE] [--quick] [--record]

The store is made up: two engines, five strategies, n in 4, 16 and 64, three seeds, and candidates that are right as
often as their problem is easy, with scores that know it in part. It is written through the store's own API, which
takes longer than the report, so `--store` keeps it for the next time. Each command runs in a process of its own, as
seconds of the wall clock, of the processor, and its peak of resident memory.

Not covered: what the figures of the report are; the store's speed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import Report, add_record_option

from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Grade, GradedCandidate, Outcome, RunInfo
from edgesearch.bench.store import Store
from edgesearch.tasks.base import Sample
from edgesearch.types import ModelNames, Problem, StrategyUsed, Usage

SEEDS = (0, 1, 2)
WIDTHS = (4, 16, 64)
BUDGET_S = 60.0
QUICK_PROBLEMS = 3
RECIPE = 'name = "report scale"\n[task]\nname = "jsonl"\n'
TARGET_S = 60.0
TARGET_BYTES = 2e9
_WORDS = "The first of these is then taken from what was left, and so the next step follows from it."


def main() -> None:
    """Makes the store, reports it, and prints the figures."""
    arguments = _arguments()
    record = Report("report_scale")
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.store or Path(folder) / "scale.sqlite"
        if not path.exists():
            _write(path, QUICK_PROBLEMS if arguments.quick else arguments.problems)
        size, commands = _size(path), _commands(path, Path(folder))
    is_on_target = all(each["wall_s"] < TARGET_S and each["peak_bytes"] < TARGET_BYTES for each in commands.values())
    figures = {**size, "commands": commands, "is_on_target": is_on_target}
    record.close(figures, is_recorded=arguments.record)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--problems", type=int, default=800, help="1,266 candidates each (default: %(default)s)")
    parser.add_argument("--store", type=Path, help="keep the store there; one that is there is taken as it is")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PROBLEMS} problems, to see whether it works")
    add_record_option(parser)
    return parser.parse_args()


# --------------------------------------------------------------------------------------------------------- measuring


def _size(path: Path) -> dict[str, int]:
    with Store.read(path) as store:
        counts = [sum(each.values()) for each in store.counts().values()]
        widths = [cell.n for cell in store.cells()]
    num_candidates = sum(count * width for count, width in zip(counts, widths, strict=True))
    return {"candidates": num_candidates, "outcomes": sum(counts), "store_bytes": path.stat().st_size}


def _commands(path: Path, folder: Path) -> dict[str, dict[str, float]]:
    options = {
        "table": [],
        "json": ["--json"],
        "page": ["--html", str(folder / "report.html")],
        "charts": ["--png", str(folder / "charts")],
    }
    return {name: _measured(["bench", "report", str(path), *each]) for name, each in options.items()}


def _measured(arguments: list[str]) -> dict[str, float]:
    """Seconds and bytes of one command."""
    beside = shutil.which("edgesearch", path=str(Path(sys.executable).parent))
    print(f"edgesearch {' '.join(arguments)}", file=sys.stderr, flush=True)
    started = time.monotonic()
    child = subprocess.Popen([beside or "edgesearch", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"it exited with {child.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "wall_s": round(time.monotonic() - started, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_bytes": usage.ru_maxrss * unit,
    }


# ---------------------------------------------------------------------------------------------------------- the store


def _write(path: Path, num_problems: int) -> None:
    cells = tuple(_cells())
    run = RunInfo(RECIPE, "made up", {}, cells, {}, {"processor": "none: nothing was run"})
    rng = np.random.default_rng(0)
    easy = rng.beta(0.8, 0.8, num_problems)
    with Store.open(path, run) as store:
        store.add_samples(map(_sample, range(num_problems)))
        for place, cell in enumerate(cells, 1):
            print(f"writing {cell.name}, {place} of {len(cells)}", file=sys.stderr, flush=True)
            for number in range(num_problems):
                store.add(_outcome(cell, number, float(easy[number]), rng))


def _cells() -> Iterator[Cell]:
    for seed in SEEDS:
        for engine in ("small", "large"):
            yield Cell(engine, "greedy", 1, 1, BUDGET_S, seed=seed)
            yield from (Cell(engine, "majority", n, 1, BUDGET_S, seed=seed) for n in WIDTHS)
        for strategy in ("best_of_n", "weighted"):
            yield from (Cell("small", strategy, n, 1, BUDGET_S, seed=seed) for n in WIDTHS)
        yield from (Cell("small", "beam", n, 4, BUDGET_S, seed=seed) for n in WIDTHS)


def _sample(number: int) -> Sample:
    return Sample(
        Problem(f"Problem {number}. {_WORDS}", f"p{number:06}"),
        "0",
        f"Problem {number}.",
        {"level": str(number % 5 + 1)},
    )


def _outcome(cell: Cell, number: int, easy: float, rng: np.random.Generator) -> Outcome:
    """Right as often as the problem is easy, for the large engine more often."""
    chance = easy ** (0.4 if cell.engine == "large" else 1.0)
    answers = np.where(rng.random(cell.n) < chance, 0, 1 + rng.geometric(0.3, cell.n)).tolist()
    scores = np.clip(0.5 + 0.3 * (np.array(answers) == 0) + rng.normal(0, 0.25, cell.n), 0, 1).round(4).tolist()
    chosen = int(np.argmax(scores)) if cell.strategy != "majority" else int(np.argmax(np.bincount(answers)[answers]))
    answer, is_right = str(answers[chosen]), answers[chosen] == 0
    return Outcome(
        key=f"{cell.key}-{number}",
        cell=cell.key,
        sample_id=f"p{number:06}",
        status="correct" if is_right else "wrong",
        budget_s=BUDGET_S,
        started_s=0.0,
        ended_s=1.0,
        wall_s=0.1 * cell.n**0.7,
        answer=answer,
        chosen=chosen,
        grades=(Grade("answer-1", "strict", answer, is_right), Grade("answer-1", "flexible", answer, is_right)),
        confidence=0.5,
        finish="stop",
        usage=Usage(60, 60, 0, 200 * cell.n, 200 * cell.n, 60, 4e8 * cell.n, 2e8 * cell.n, 99, 10**9),
        strategy=StrategyUsed(cell.strategy, cell.n, cell.m, "last"),
        models=ModelNames("a-8B" if cell.engine == "large" else "a-1B", "prm"),
        candidates=tuple(map(_candidate, answers, scores)),
    )


def _candidate(answer: int, score: float) -> GradedCandidate:
    text = f"{_WORDS}\n\n{_WORDS}\n\nThe answer is \\boxed{{{answer}}}"
    ends = (len(_WORDS) + 2, 2 * len(_WORDS) + 4, len(text))
    kept: dict[str, Any] = {"step_scores": (0.5, score, score), "step_ends": ends, "logprob": -20.0, "num_tokens": 200}
    return GradedCandidate(text, str(answer), str(answer), answer == 0, score, finish="stop", ended_s=1.0, **kept)


if __name__ == "__main__":
    main()
