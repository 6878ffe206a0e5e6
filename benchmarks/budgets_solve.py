"""Runs the solves of budgets.py in worker processes, each timed by a clock around the call.

The chunks of all settings are shuffled, so that a machine that slows down for a while slows no setting more than the
others. A setting that asks for more beams than the default has room for gets a pipeline of its own.
"""

import concurrent.futures
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

from budgets_plan import AUTO, Chunk, Plan, ProblemKey, Setting, chunks, row_name
from clock_rows import Row, RowFile
from common import Progress, log, minutes
from runner import pool
from solving import DEFAULT_ROOM

import edgesearch
from edgesearch.tasks.arithmetic import ArithmeticSample, grade
from edgesearch.types import Solution

Samples = Mapping[ProblemKey, ArithmeticSample]

_SHUFFLE = 6


def run(settings: Sequence[Setting], plan: Plan, samples: Samples, num_workers: int, done: RowFile) -> None:
    """Solves whatever the checkpoint lacks; afterwards it holds all."""
    todo = list(chunks(settings, plan.problems, done.rows))
    if not todo:
        return
    random.Random(_SHUFFLE).shuffle(todo)
    total_s = sum(chunk.about_s for chunk in todo)
    log(f"budgets: {sum(len(chunk.problems) for chunk in todo)} solves, at most about {minutes(total_s / num_workers)}")
    progress = Progress("budgets", total_s)
    with pool(num_workers) as workers:
        try:
            futures = {}
            for chunk in todo:
                own = {problem: samples[problem] for problem in chunk.problems}
                futures[workers.submit(solve_chunk, chunk, own, plan.room, is_checked=plan.is_checked)] = chunk
            for future in concurrent.futures.as_completed(futures):
                done.add(future.result())
                progress.add(futures[future].about_s)
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise


# -- in a worker ---------------------------------------------------------------------------------------------------

_loaded: dict[tuple[int | None, bool], Any] = {}


def solve_chunk(chunk: Chunk, samples: Samples, most: int, *, is_checked: bool) -> dict[str, Row]:
    """The rows of a chunk by name.

    Args:
        chunk: what to solve.
        samples: its problems.
        most: beams that a pipeline for more than the default has room for.
        is_checked: whether answers go through the exact check.
    """
    n = chunk.setting.n
    pipeline = _pipeline(None if n is None or n <= DEFAULT_ROOM else most, is_checked, next(iter(samples.values())))
    return {
        row_name(chunk.setting, problem): _solve(pipeline, chunk.setting, problem, samples[problem])
        for problem in chunk.problems
    }


def _pipeline(room: int | None, is_checked: bool, first: ArithmeticSample) -> Any:
    """Loaded once, with all that the first solves of a process do once."""
    key = (room, is_checked)
    if key not in _loaded:
        _loaded[key] = edgesearch.load(max_n=room, check=is_checked)
        for strategy in ("greedy", AUTO):
            _loaded[key].solve(first.problem, budget_s=0.5, strategy=strategy)
    return _loaded[key]


def _solve(pipeline: Any, setting: Setting, problem: ProblemKey, sample: ArithmeticSample) -> Row:
    seed = problem[0] * 1_000_003 + problem[1]
    start = time.perf_counter()
    solution: Solution = pipeline.solve(
        sample.problem, budget_s=setting.budget_s, strategy=setting.strategy, n=setting.n, seed=seed
    )
    return _row(setting, sample, solution, time.perf_counter() - start)


def _row(setting: Setting, sample: ArithmeticSample, solution: Solution, wall_s: float) -> Row:
    answers = {candidate.answer for candidate in solution.candidates} - {None}
    ran = solution.strategy
    return {
        "wall_s": round(wall_s, 5),
        "is_answered": solution.answer is not None,
        "is_right": grade(sample, solution.answer),
        "is_covered": any(grade(sample, answer) for answer in answers),
        "is_cut": solution.finish == "deadline",
        "is_as_asked": setting.n is None or (ran.name, ran.n) == (setting.strategy, setting.n),
        "early_stop": solution.early_stop,
        "proof": solution.proof,
        "confidence": None if solution.confidence is None else round(solution.confidence, 5),
        "is_calibrated": solution.is_calibrated,
        "waves": len(solution.plan.waves) if solution.plan is not None else None,
        "candidates": len(solution.candidates),
        "decoded_tokens": solution.usage.decoded_tokens,
    }
