"""How many held-out problems each strategy solves, and what a solve costs, through the shipped pipeline.

A cell is a solver, a strategy and a width, run over all problems. Every width is a run of its own, so that its cost is
measured and not derived; the budget is generous, so that nothing is cut. Draws are fixed by the problem and the
ordinal of the draft, so majority and best-of-n of one width see the same samples, and a narrow run's samples are the
first ones of a wide run's. Only `weighted` is not run: it is another choice among the candidates of the best-of-n run
(with the pipeline's own `choose`), at the same cost. Coverage is pass@k of the widest best-of-n run.

Cells run in worker processes, in chunks. Each chunk's solves are appended to a checkpoint, under a key made of the
weights, the code, the seed and the number of problems; a run that was killed goes on from there.

Not covered: how well the confidence is calibrated, other tasks. Sources: pass@k, Chen et al. 2021, arXiv 2107.03374;
the interval of a share, Wilson 1927; McNemar's exact test, the binomial form.
"""

import concurrent.futures
import hashlib
import json
import math
import multiprocessing
import multiprocessing.connection
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from edgesearch import answer, catalog
from edgesearch.tasks.arithmetic import LEVELS, held_out

SOLVER, VERIFIER, BASELINES = "nano", "nano-prm", ("nano-medium", "nano-large")
BUDGET_S = 120.0
CHILDREN = 4  # m of beam search
CHUNK = 20  # problems between two lines of the checkpoint
NUM_RESAMPLES = 10_000
Z95 = 1.959964


# -- what is run ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the table that is run."""

    solver: str
    verifier: str
    """A name, or `none`."""
    strategy: str
    n: int

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"{self.solver} {self.strategy} {self.n}"

    @property
    def weight(self) -> float:
        """About how long a problem takes, in no unit."""
        factor = {"nano-medium": 2.0, "nano-large": 4.0}.get(self.solver, 1.0)
        return factor * (2.0 + self.n * (1.0 if self.strategy == "majority" else 1.6))


@dataclass(frozen=True, slots=True)
class Solve:
    """What is kept of one problem in one cell."""

    index: int
    """Of the problem."""
    answers: dict[str, str | None]
    """The chosen answer, by the strategy that chooses: its own, and `weighted` beside `best_of_n`."""
    num_candidates: int
    num_right: int
    """Candidates whose answer is the target."""
    prompt_tokens: int
    prefilled_tokens: int
    decoded_tokens: int
    verified_tokens: int
    kv_cells: int
    solver_flops: float
    verifier_flops: float
    wall_s: float
    """Measured around the call."""


def cells(widths: Sequence[int]) -> list[Cell]:
    """All rows that are run, the slowest first."""
    found = [Cell(name, "none", "greedy", 1) for name in (SOLVER, *BASELINES)]
    found += [Cell(SOLVER, VERIFIER, name, n) for n in widths for name in ("majority", "best_of_n", "beam")]
    return sorted(found, key=lambda cell: -cell.weight)


def run_key(seed: int, num_problems: int) -> str:
    """Names what the outcomes depend on: the weights, the code, the problems."""
    weights = {model.name: model.sha256 for model in catalog.known()}
    digest = hashlib.sha256(json.dumps([weights, seed, num_problems, BUDGET_S, CHILDREN]).encode())
    import edgesearch

    for path in sorted(Path(edgesearch.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


# -- in the workers ------------------------------------------------------------------------------------------------

_loaded: dict[tuple[str, str], Any] = {}  # in a worker: its pipelines


def _end_with_parent() -> None:
    """Ends this worker when the benchmark is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def solve_chunk(cell: Cell, indices: Sequence[int], seed: int, max_n: int) -> list[Solve]:
    """Solves some of the problems, one after another.

    Raises:
        RuntimeError: what ran is not what was asked for.
    """
    import edgesearch

    key = (cell.solver, cell.verifier)
    if key not in _loaded:
        _loaded[key] = edgesearch.load(cell.solver, cell.verifier, max_n=max_n if cell.verifier != "none" else 1)
    samples = held_out(seed, max(indices) + 1)
    return [_solve(_loaded[key], cell, index, samples[index], seed) for index in indices]


def _solve(pipeline: Any, cell: Cell, index: int, sample: Any, seed: int) -> Solve:
    start = time.perf_counter()
    solution = pipeline.solve(
        sample.problem,
        budget_s=BUDGET_S,
        strategy=cell.strategy,
        n=cell.n,
        m=CHILDREN,
        seed=seed * 1_000_003 + index,
    )
    wall_s = time.perf_counter() - start
    _check(cell, solution)
    usage = solution.usage
    return Solve(
        index=index,
        answers=_answers(cell, solution),
        num_candidates=len(solution.candidates),
        num_right=sum(is_right(candidate.answer, sample.target) for candidate in solution.candidates),
        prompt_tokens=usage.prompt_tokens,
        prefilled_tokens=usage.prefilled_tokens,
        decoded_tokens=usage.decoded_tokens,
        verified_tokens=usage.verified_tokens,
        kv_cells=usage.kv_cells,
        solver_flops=usage.solver_flops,
        verifier_flops=usage.verifier_flops,
        wall_s=wall_s,
    )


def _check(cell: Cell, solution: Any) -> None:
    ran = solution.strategy
    if (ran.name, ran.n) != (cell.strategy, cell.n):
        raise RuntimeError(f"{ran.name} with n={ran.n} ran, not {cell.strategy} with n={cell.n}")
    if solution.finish == "deadline":
        raise RuntimeError(
            f"{cell.name}: {solution.wall_s:.0f} s were not enough; the table would not be of n={cell.n}"
        )
    if cell.strategy in ("majority", "best_of_n") and len(solution.candidates) != cell.n:
        raise RuntimeError(f"{cell.name}: {len(solution.candidates)} candidates, not {cell.n}")


def _answers(cell: Cell, solution: Any) -> dict[str, str | None]:
    answers = {cell.strategy: solution.answer}
    if cell.strategy == "best_of_n":
        from edgesearch.choice import choose

        chosen = choose(solution.candidates, "weighted").candidate
        answers["weighted"] = chosen.answer if chosen is not None else None
    return answers


def is_right(found: str | None, target: str) -> bool:
    """Whether an answer is the target; None is not."""
    return found is not None and answer.equivalent(found, target)


# -- the run -------------------------------------------------------------------------------------------------------


class Checkpoint:
    """A JSONL file of chunks that are done."""

    def __init__(self, path: Path, key: str) -> None:
        """Reads what an earlier run with the same key has left; other lines are ignored."""
        self._path = path
        self._key = key
        self.done: dict[str, dict[int, Solve]] = {}
        """By cell and problem."""
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._read(line)
        self.num_resumed = sum(map(len, self.done.values()))

    def _read(self, line: str) -> None:
        try:
            row = json.loads(line)
        except ValueError:  # the line that a killed run was writing
            return
        if row.get("key") == self._key:
            names = {field.name for field in fields(Solve)}
            for solve in row["solves"]:
                if names == solve.keys():
                    self.done.setdefault(row["cell"], {})[solve["index"]] = Solve(**solve)

    def add(self, cell: Cell, solves: Sequence[Solve]) -> None:
        """Appends a chunk."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        row = {"key": self._key, "cell": cell.name, "solves": [asdict(solve) for solve in solves]}
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" * _is_torn(self._path) + json.dumps(row) + "\n")
        self.done.setdefault(cell.name, {}).update({solve.index: solve for solve in solves})


def _is_torn(path: Path) -> bool:
    data = path.read_bytes()
    return bool(data) and not data.endswith(b"\n")


def run(
    widths: Sequence[int], seed: int, num_problems: int, num_workers: int, checkpoint: Checkpoint
) -> dict[str, list[Solve]]:
    """Solves whatever the checkpoint lacks; all solves by cell, in the order of the problems."""
    todo = list(_chunks(widths, num_problems, checkpoint))
    progress = _Progress(sum(cell.weight * len(indices) for cell, indices in todo))
    if todo:
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(num_workers, context, _end_with_parent) as pool:
            futures = {
                pool.submit(solve_chunk, cell, indices, seed, max(widths)): (cell, indices) for cell, indices in todo
            }
            try:
                for future in concurrent.futures.as_completed(futures):
                    cell, indices = futures[future]
                    checkpoint.add(cell, future.result())
                    progress.add(cell.weight * len(indices))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return {cell.name: [checkpoint.done[cell.name][i] for i in range(num_problems)] for cell in cells(widths)}


def _chunks(widths: Sequence[int], num_problems: int, checkpoint: Checkpoint) -> Iterator[tuple[Cell, list[int]]]:
    for cell in cells(widths):
        missing = [i for i in range(num_problems) if i not in checkpoint.done.get(cell.name, {})]
        yield from ((cell, missing[i : i + CHUNK]) for i in range(0, len(missing), CHUNK))


class _Progress:
    """Lines on stderr, every few seconds."""

    def __init__(self, total: float) -> None:
        self._total = total
        self._done = 0.0
        self._start = self._shown = time.monotonic()

    def add(self, amount: float) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._shown < 5 and self._done < self._total:
            return
        self._shown = now
        left_s = (now - self._start) * max(0.0, self._total / self._done - 1)
        print(f"accuracy: {self._done / self._total:4.0%}, about {left_s:.0f} s left", file=sys.stderr, flush=True)


# -- figures -------------------------------------------------------------------------------------------------------


def figures(
    solves: Mapping[str, Sequence[Solve]], widths: Sequence[int], seed: int, num_problems: int, num_workers: int
) -> dict[str, Any]:
    """Everything that is reported."""
    samples = held_out(seed, num_problems)
    targets, levels = [sample.target for sample in samples], [sample.level for sample in samples]
    rows = [_row(cell, name, solves[cell.name], targets, levels) for cell in cells(widths) for name in _choices(cell)]
    rows.sort(key=lambda row: (row["strategy"] != "greedy", row["n"], row["params"], _ORDER.index(row["strategy"])))
    rights = {
        (cell.solver, name, cell.n): [
            is_right(solve.answers[name], target) for solve, target in zip(solves[cell.name], targets, strict=True)
        ]
        for cell in cells(widths)
        for name in _choices(cell)
    }
    n = 16 if 16 in widths else max(widths)
    beam = rights[SOLVER, "beam", n]
    rivals = {
        "greedy": rights[SOLVER, "greedy", 1],
        **{f"{name} n={n}": rights[SOLVER, name, n] for name in ("majority", "best_of_n", "weighted")},
        **{f"{name} greedy": rights[name, "greedy", 1] for name in BASELINES},
    }
    widest = solves[Cell(SOLVER, VERIFIER, "best_of_n", max(widths)).name]
    return {
        "problems": num_problems,
        "seed": seed,
        "budget_s": BUDGET_S,
        "workers": num_workers,
        "m": CHILDREN,
        "weights_sha256": {model.name: model.sha256 for model in catalog.known()},
        "cells": rows,
        "coverage": coverage(widest, max(widths), seed),
        "differences": [paired(f"beam n={n}", beam, name, right, seed) for name, right in rivals.items()],
        "counters": counters([solve for each in solves.values() for solve in each]),
    }


_ORDER = ("greedy", "majority", "best_of_n", "weighted", "beam")


def _choices(cell: Cell) -> tuple[str, ...]:
    return ("best_of_n", "weighted") if cell.strategy == "best_of_n" else (cell.strategy,)


def _row(
    cell: Cell, name: str, solves: Sequence[Solve], targets: Sequence[str], levels: Sequence[int]
) -> dict[str, Any]:
    rights = [is_right(solve.answers[name], target) for solve, target in zip(solves, targets, strict=True)]

    def mean(get: Callable[[Solve], float]) -> float:
        return statistics.fmean(get(solve) for solve in solves)

    by_level = {level: [right for right, at in zip(rights, levels, strict=True) if at == level] for level in LEVELS}
    return {
        "solver": cell.solver,
        "params": next(model.params for model in catalog.known() if model.name == cell.solver),
        "verifier": cell.verifier,
        "strategy": name,
        "n": cell.n,
        "m": min(CHILDREN, cell.n) if name == "beam" else 1,
        **share(rights),
        "unanswered": sum(solve.answers[name] is None for solve in solves),
        "by_level": {str(level): share(found) for level, found in by_level.items() if found},
        "decoded_tokens": round(mean(lambda solve: solve.decoded_tokens), 1),
        "verified_tokens": round(mean(lambda solve: solve.verified_tokens), 1),
        "solver_mflops": round(1e-6 * mean(lambda solve: solve.solver_flops), 2),
        "verifier_mflops": round(1e-6 * mean(lambda solve: solve.verifier_flops), 2),
        "wall_s": round(mean(lambda solve: solve.wall_s), 4),
        "is_derived": name == "weighted",
    }


def share(rights: Sequence[bool]) -> dict[str, Any]:
    """The share that is right, with Wilson's 95% interval."""
    n, k = len(rights), sum(rights)
    centre = (k + Z95**2 / 2) / (n + Z95**2)
    half = Z95 / (n + Z95**2) * math.sqrt(k * (n - k) / n + Z95**2 / 4)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return {"right": k, "of": n, "accuracy": round(k / n, 4), "interval95": [round(low, 4), round(high, 4)]}


def paired(name: str, ours: Sequence[bool], rival: str, theirs: Sequence[bool], seed: int) -> dict[str, Any]:
    """The difference of two accuracies on the same problems: bootstrap over problems, and McNemar's exact test."""
    gains = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    losses = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    n = len(ours)
    # Resampling n problems whose differences are 1, -1 or 0 is a multinomial draw of how many there are of each.
    shares = (gains / n, losses / n, 1 - (gains + losses) / n)
    drawn = np.random.default_rng(seed).multinomial(n, shares, NUM_RESAMPLES)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, (0.025, 0.975))
    return {
        "name": f"{name} - {rival}",
        "difference": round((gains - losses) / n, 4),
        "interval95": [round(float(low), 4), round(float(high), 4)],
        "gains": gains,
        "losses": losses,
        "mcnemar_p": mcnemar_p(gains, losses),
    }


def mcnemar_p(gains: int, losses: int) -> float:
    """Two-sided exact p: of `gains + losses` fair coins, a split at least as uneven as this one."""
    n = gains + losses
    tail = sum(math.comb(n, k) for k in range(min(gains, losses) + 1))
    return min(1.0, 2 * tail / (1 << n))


def pass_at_k(n: int, num_right: int, k: int) -> float:
    """Chance that k of n candidates, drawn without putting back, hold a right one: unbiased (Chen et al. 2021)."""
    return 1.0 - math.comb(n - num_right, k) / math.comb(n, k)


def coverage(solves: Sequence[Solve], n: int, seed: int) -> list[dict[str, Any]]:
    """pass@k for k = 1..n; the interval is a bootstrap over problems."""
    table = np.array([[pass_at_k(n, right, k) for k in range(1, n + 1)] for right in range(n + 1)])
    counts = np.bincount([solve.num_right for solve in solves], minlength=n + 1)
    drawn = np.random.default_rng(seed).multinomial(len(solves), counts / len(solves), NUM_RESAMPLES)
    means = drawn @ table / len(solves)  # (resamples, k)
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    exact = counts @ table / len(solves)
    return [
        {
            "k": k + 1,
            "coverage": round(float(exact[k]), 4),
            "interval95": [round(float(low[k]), 4), round(float(high[k]), 4)],
        }
        for k in range(n)
    ]


def counters(solves: Sequence[Solve]) -> dict[str, Any]:
    """No work was done twice, in any solve."""
    return {
        "solves": len(solves),
        "prefilled_other_than_once": sum(solve.prefilled_tokens != solve.prompt_tokens for solve in solves),
        "max_verified_per_decoded": round(max(solve.verified_tokens / solve.decoded_tokens for solve in solves), 4),
        "kv_cells_above_prompt_and_decoded": sum(
            solve.kv_cells > solve.prompt_tokens + solve.decoded_tokens for solve in solves
        ),
        "max_kv_cells": max(solve.kv_cells for solve in solves),
    }


# -- output --------------------------------------------------------------------------------------------------------


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """The figures for a reader, line by line."""
    yield f"accuracy on {found['problems']} held-out problems (seed {found['seed']}), 95% intervals"
    yield (
        "solver       strategy    n  accuracy  interval        none  decoded  verified  solver MF  verifier MF"
        "   wall s  by level " + " ".join(f"{level:>3}" for level in LEVELS)
    )
    for row in found["cells"]:
        low, high = row["interval95"]
        levels = [row["by_level"].get(str(level)) for level in LEVELS]
        shares = " ".join(f"{100 * each['accuracy']:3.0f}" if each else "  -" for each in levels)
        yield (
            f"{row['solver']:11}  {row['strategy']:9}  {row['n']:2}  {row['accuracy']:8.1%}  "
            f"{low:5.1%} - {high:5.1%}  {row['unanswered']:4}  {row['decoded_tokens']:7.0f}  "
            f"{row['verified_tokens']:8.0f}  {row['solver_mflops']:9.1f}  {row['verifier_mflops']:11.1f}  "
            f"{row['wall_s']:7.3f}           {shares}"
        )
    shown = [each for each in found["coverage"] if each["k"] & (each["k"] - 1) == 0]
    yield "coverage: " + ", ".join(f"pass@{each['k']} {each['coverage']:.1%}" for each in shown)
    for each in found["differences"]:
        low, high = each["interval95"]
        yield (
            f"{each['name']}: {100 * each['difference']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}), "
            f"{each['gains']} gained, {each['losses']} lost, McNemar p = {each['mcnemar_p']:.2g}"
        )
    counts = found["counters"]
    yield (
        f"{counts['solves']} solves: prompt not prefilled exactly once in {counts['prefilled_other_than_once']}, "
        f"verified/decoded at most {counts['max_verified_per_decoded']}, KV cells above prompt + decoded in "
        f"{counts['kv_cells_above_prompt_and_decoded']}"
    )
