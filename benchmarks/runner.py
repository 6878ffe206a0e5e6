"""Runs cells in worker processes, in chunks.

Each chunk's solves are appended to a checkpoint, under a key made of the weights and the code; a run that was killed
goes on from there.
"""

import concurrent.futures
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from cells import Cell, Draw, Job, ProblemSet, Solve
from common import Progress
from solving import BUDGET_S, CHILDREN, solve_chunk

import edgesearch
from edgesearch import catalog
from edgesearch.tasks.arithmetic import ArithmeticSample, held_out

MAX_CHUNK = 20  # problems between two lines of the checkpoint
CHUNK_WEIGHT = 2200.0  # and about how long they may take
_FEW_PROBLEMS = 200


_OWN = ("cells", "solving")


def run_key() -> str:
    """Names what the outcomes depend on beside the cell: the weights and the code."""
    weights = {model.name: model.sha256 for model in catalog.known()}
    digest = hashlib.sha256(json.dumps([weights, BUDGET_S, CHILDREN]).encode())
    for path in [
        *sorted(Path(edgesearch.__file__).parent.rglob("*.py")),
        *(Path(__file__).with_name(f"{name}.py") for name in _OWN),
    ]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Checkpoint:
    """A JSONL file of chunks that are done."""

    def __init__(self, path: Path, key: str) -> None:
        """Reads what an earlier run with the same key has left; other lines are ignored."""
        self._path = path
        self._key = key
        self.done: dict[str, dict[int, Solve]] = {}
        """By cell and problem."""
        if path.exists():
            with path.open(encoding="utf-8") as file:
                for line in file:
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
                    self.done.setdefault(row["cell"], {})[solve["index"]] = _read_solve(solve)

    def add(self, cell: Cell, solves: Sequence[Solve]) -> None:
        """Appends a chunk."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        row = {"key": self._key, "cell": cell.name, "solves": [asdict(solve) for solve in solves]}
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" * _is_torn(self._path) + json.dumps(row) + "\n")
        self.done.setdefault(cell.name, {}).update({solve.index: solve for solve in solves})

    def solves(self, cell: Cell, indices: Iterable[int]) -> list[Solve]:
        """Those of a cell, in that order.

        Raises:
            KeyError: one is not done.
        """
        done = self.done[cell.name]
        return [done[index] for index in indices]


def _read_solve(row: dict[str, Any]) -> Solve:
    draws = row["draws"]
    return Solve(**row | {"draws": draws if draws is None else [Draw(**draw) for draw in draws]})


def _is_torn(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def held_out_sets(counts: Mapping[ProblemSet, int], num_workers: int) -> dict[ProblemSet, list[ArithmeticSample]]:
    """The problems of several sets; many take seconds to draw, so several sets are drawn at once."""
    if len(counts) == 1 or sum(counts.values()) <= _FEW_PROBLEMS:
        return {key: held_out(key[1], count, key[0]) for key, count in counts.items()}
    with pool(num_workers) as workers:
        futures = {key: workers.submit(held_out, key[1], count, key[0]) for key, count in counts.items()}
        return {key: future.result() for key, future in futures.items()}


def run(
    jobs: Sequence[Job],
    samples: Mapping[ProblemSet, Sequence[ArithmeticSample]],
    num_workers: int,
    checkpoint: Checkpoint,
    *,
    name: str = "accuracy",
) -> None:
    """Solves whatever the checkpoint lacks, the slowest first; afterwards it holds all.

    Args:
        jobs: cells with the problems to solve; a problem of a cell may be in several.
        samples: the problems of every set that a cell names, by index.
        num_workers: processes.
        checkpoint: what is done.
        name: begins each line of progress.
    """
    todo = sorted(_chunks(jobs, checkpoint), key=lambda job: -job.cell.weight)
    if not todo:
        return
    progress = Progress(name, sum(job.weight for job in todo))
    with pool(num_workers) as workers:
        try:
            futures = {}
            for job in todo:
                chunk = {index: samples[job.cell.problems][index] for index in job.indices}
                futures[workers.submit(solve_chunk, job.cell, chunk)] = job
            for future in concurrent.futures.as_completed(futures):
                job = futures[future]
                checkpoint.add(job.cell, future.result())
                progress.add(job.weight)
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise


def _chunks(jobs: Sequence[Job], checkpoint: Checkpoint) -> Iterator[Job]:
    wanted: dict[Cell, dict[int, None]] = {}
    for job in jobs:
        wanted.setdefault(job.cell, {}).update(dict.fromkeys(job.indices))
    for cell, indices in wanted.items():
        done = checkpoint.done.get(cell.name, {})
        missing = [index for index in indices if index not in done]
        size = max(1, min(MAX_CHUNK, int(CHUNK_WEIGHT / cell.weight)))
        yield from (Job(cell, tuple(missing[i : i + size])) for i in range(0, len(missing), size))


def pool(num_workers: int) -> concurrent.futures.ProcessPoolExecutor:
    """Worker processes that end with this one."""
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(num_workers, context, _end_with_parent)


def _end_with_parent() -> None:
    """Ends this worker when the benchmark is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
