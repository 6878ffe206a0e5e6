"""Tuning: which strategy at which width is right how often, at what cost, on problems of each difficulty.

For each problem of the tuning split, four things are measured, all with draws of their own:

* `row`: each setting (strategy, n, m) of the grid, for accuracy and what it cost.
* `drafts`: a vote of 4 samples, whose mean score says how hard the problem looks before it is searched.
* `draws`: 32 samples, whose share of right answers (pass@1) says how hard it is; for the record.
* `pool`: searches after searches whose candidates are counted together, for calibrating the confidence.

Searches get a budget that ends none of them, and answers go through exact checks as in any solve: a proof ends a
search, so a problem with an exact check costs less than its width says. Every measurement is a line of a file beside
the policy (tuning_file.py): a run that was ended goes on.

A setting that was chosen on some problems looks better on them than it is: report on others. The policy says which
split and seed it was tuned on.

Not covered: what follows from the measurements (tuning_policy.py), seconds on another machine (planner/profile.py).

Source: compute-optimal test-time scaling, Snell et al. 2024, arXiv 2408.03314, section 3.2.
"""

import dataclasses
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from edgesearch import search
from edgesearch.bench import tuning_file
from edgesearch.bench.outcomes import ARITHMETIC, arithmetic_1
from edgesearch.bench.tuning_file import TuningFile
from edgesearch.budget import MAX_BUDGET_S, Clock
from edgesearch.errors import ContextOverflow, UsageError
from edgesearch.search.base import SearchConfig
from edgesearch.tasks import grading
from edgesearch.tasks.base import Sample, Task
from edgesearch.types import Candidate, Problem, Solution

Kind = Literal["row", "drafts", "draws", "pool"]
DEFAULT_GRID = (
    "greedy; majority:4,16,64; best_of_n:4,16,64; weighted:4,16,64; rebase:4,16,64; beam:4,16,64; particle:4,16,64"
)
NUM_DRAFTS = 4
NUM_DRAWS = 32
POOL_N = 16
"""Width of the searches whose candidates are pooled, where the grid is as wide."""
_OTHER_DRAWS = 1_000_000
"""Added to a seed for draws that have nothing to do with those that are compared."""
_TICK_S = 1.0


_REPORTED_SEEDS, _REPORTED_SIZE = (0, 1, 2), 1000
"""Of the generated problems that the project's own results are on."""


class Solver(Protocol):
    """What is tuned: `edgesearch.pipeline.Pipeline`, or a fake."""

    def solve(self, problem: Problem, *, budget_s: float, strategy: str, n: int, m: int, seed: int) -> Solution:
        """As `Pipeline.solve`."""
        ...

    def cancel(self) -> None:
        """As `Pipeline.cancel`."""
        ...


def apart(task: Task) -> tuple[Task, tuple[str, ...]]:
    """The task without generated problems that reported sets hold, too, by their texts; and the ids of those.

    Another seed is not enough: short problems come up twice. No problem of the split `structures` can be in another
    split. Tasks that are not generated are given back as they are: name a split that is not reported on.

    Raises:
        UsageError: no problem is left.
    """
    if task.name != "arithmetic":
        return task, ()
    from edgesearch.tasks.arithmetic import held_out

    splits = ("structures",) if task.split == "structures" else ("mixed", "phrasings")
    sets = (held_out(seed, _REPORTED_SIZE, split) for split in splits for seed in _REPORTED_SEEDS)
    reported = {sample.problem for drawn in sets for sample in drawn}
    kept = tuple(sample for sample in task.samples if sample.question not in reported)
    left_out = tuple(sample.id for sample in task.samples if sample.question in reported)
    if not kept:
        raise UsageError("results are reported on all of these problems; tune on another --seed, such as 1000000")
    return dataclasses.replace(task, samples=kept), left_out


@dataclass(frozen=True, slots=True)
class Setting:
    """A strategy and its shape."""

    strategy: str
    n: int = 1
    m: int = 4
    """Children per kept beam; 1 for strategies without branching."""

    def __str__(self) -> str:
        return self.strategy if self.strategy == "greedy" else f"{self.strategy}:{self.n}"


def parse_grid(text: str, *, m: int = 4) -> tuple[Setting, ...]:
    """The settings of such as `greedy; rebase:4,16; beam:16`.

    Args:
        text: strategies with their widths; greedy has none.
        m: children per kept beam, for strategies that branch.

    Raises:
        UsageError: an unknown strategy, a width that is none or does not suit it, a setting twice, or no setting.
    """
    found = [setting for part in text.split(";") if part.strip() for setting in _settings(part.strip(), m)]
    if not found:
        raise UsageError("the grid is empty; write strategies and widths, as in 'greedy; rebase:4,16,64'")
    if len(set(found)) < len(found):
        raise UsageError(f"the grid {text[:80]!r} names a setting twice; name each once")
    return tuple(found)


def _settings(part: str, m: int) -> Iterator[Setting]:
    name, _, widths = (piece.strip() for piece in part.partition(":"))
    strategy = search.strategy(name)
    if name == "greedy" and not widths:
        yield Setting("greedy", 1, 1)
        return
    for width in widths.split(","):
        if not width.strip().isdecimal() or not 1 <= int(width) <= 4096:
            raise UsageError(f"the grid's {part[:40]!r} needs widths from 1 to 4096, as in {name}:4,16")
        setting = Setting(name, int(width), min(m, int(width)) if strategy.uses_m else 1)
        try:
            strategy.check(SearchConfig(n=setting.n, m=setting.m), strategy.options())
        except ValueError as error:
            raise UsageError(f"the grid's {part[:40]!r} cannot be run: {error}") from error
        yield setting


def can_run(solver: Solver, problem: Problem, setting: Setting) -> bool:
    """Whether the solver runs the setting as it is, found by running it: its verifier may not score, or not steps."""
    try:
        solution = solver.solve(
            problem, budget_s=MAX_BUDGET_S, strategy=setting.strategy, n=setting.n, m=setting.m, seed=0
        )
    except UsageError:
        return False
    return solution.strategy.name == setting.strategy


def suiting(solver: Solver, problem: Problem, grid: Sequence[Setting]) -> tuple[Setting, ...]:
    """The settings whose strategies the solver can run with its verifier."""
    narrowest = {each.strategy: each for each in sorted(grid, key=lambda each: -each.n)}
    runs = {name: can_run(solver, problem, setting) for name, setting in narrowest.items()}
    return tuple(setting for setting in grid if runs[setting.strategy])


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing to measure of a problem."""

    kind: Kind
    setting: Setting
    seed: int
    num_waves: int = 1
    """Of a pool: searches one after the other."""


def units(grid: Sequence[Setting], seeds: Sequence[int], *, has_scores: bool) -> tuple[Unit, ...]:
    """All that is measured of each problem.

    Pools are of the voting strategies of the grid that judge by scores, or of majority votes where none does; they hold
    twice as many candidates as the widest setting, since a solve that is planned while it runs pools that many.
    """
    first = seeds[0]
    rows = [Unit("row", setting, seed) for seed in seeds for setting in grid]
    drafts = [Unit("drafts", Setting("weighted", NUM_DRAFTS, 1), first + _OTHER_DRAWS)] if has_scores else []
    draws = Unit("draws", Setting("sample", NUM_DRAWS, 1), first + 2 * _OTHER_DRAWS)
    widest = max(setting.n for setting in grid)
    n = min(POOL_N, widest)
    names = {setting.strategy for setting in grid}
    scored = ("weighted", "rebase") if has_scores else ()
    pooled = [*filter(names.__contains__, scored)] or ["majority"]
    pools = [
        Unit("pool", Setting(name, n, 1), first + (3 + place) * _OTHER_DRAWS, max(1, 2 * widest // n))
        for place, name in enumerate(pooled)
    ]
    return (*rows, *drafts, draws, *pools)


@dataclass(frozen=True, slots=True)
class TuneProgress:
    """How far a run is; told about once a second."""

    num_done: int
    """Measurements that are in the file, those of earlier runs included."""
    num_units: int
    time_left_s: float | None
    """At the pace of this run; None before it has measured anything."""


@dataclass(frozen=True, slots=True)
class ProblemSkipped:
    """A problem that cannot be measured."""

    sample_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Measured:
    """All that is measured; the last event."""

    problems: tuple[Mapping[Unit, Mapping[str, Any]], ...]
    """Of each problem that is wholly measured, in the task's order: the line of each unit."""
    num_skipped: int
    num_damaged: int
    """Lines of the file that could not be read and were measured again."""
    is_cancelled: bool


TuneEvent = TuneProgress | ProblemSkipped | Measured


class Tuner:
    """One run. Its events are to be taken once."""

    def __init__(
        self,
        solver: Solver,
        task: Task,
        todo: Sequence[Unit],
        path: Path,
        *,
        models: Mapping[str, str],
        clock: Clock = time.monotonic,
    ) -> None:
        """Makes one.

        Args:
            solver: loaded; stays the caller's.
            task: the problems of the tuning split.
            todo: what is measured of each, as `units` gives.
            path: of the measurements, new or of an earlier run.
            models: digests of all that answers depend on beside problem, setting and seed.
            clock: for progress.

        Raises:
            UsageError: the task's grader is not known, or an extra that it needs is missing.
        """
        self._solver, self._task, self._todo, self._path, self._clock = solver, task, tuple(todo), path, clock
        self._models = dict(models)
        self._grader = None if task.grader == ARITHMETIC else grading.grader(task.grader)
        self._rights: dict[str, bool] = {}
        """Of the problem under way: what the grader said of each answer."""
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ends the run now; what is measured is kept. Safe from another thread and a signal handler."""
        self._cancelled.set()
        self._solver.cancel()

    def events(self) -> Iterator[TuneEvent]:
        """Measures what is not in the file yet and tells how it goes; the last event is `Measured`.

        Raises:
            UsageError: the file is another's.
            EdgesearchError: the file cannot be written, or a solve fails.
        """
        try:
            with tuning_file.opened(self._path) as file:
                yield from self._measure(file)
        finally:
            if self._grader is not None:
                self._grader.close()

    def _measure(self, file: TuningFile) -> Iterator[TuneEvent]:
        missing = [
            (sample, [unit for unit in self._todo if file.get(self._key(sample, unit)) is None])
            for sample in self._task.samples
        ]
        session = _Session(sum(len(each) for _, each in missing), len(missing) * len(self._todo), self._clock)
        skipped: set[str] = set()
        for sample, left in missing:
            self._rights.clear()
            try:
                for unit in left:
                    if self._cancelled.is_set() or not self._take(sample, unit, file):
                        break
                    yield from session.measured()
            except ContextOverflow as error:
                skipped.add(sample.id)
                yield ProblemSkipped(sample.id, str(error))
        lines = [self._lines(sample, file) for sample in self._task.samples]
        whole = tuple(each for each in lines if each is not None)
        yield Measured(whole, len(skipped), file.num_damaged, self._cancelled.is_set())

    def _take(self, sample: Sample, unit: Unit, file: TuningFile) -> bool:
        """Measures one unit and writes it; False where it was cancelled meanwhile."""
        measured = self._measured(sample, unit)
        if self._cancelled.is_set():
            return False
        head = {"key": self._key(sample, unit), "task_id": sample.id, "kind": unit.kind}
        file.append(head | dataclasses.asdict(unit.setting) | {"seed": unit.seed} | measured)
        return True

    def _lines(self, sample: Sample, file: TuningFile) -> Mapping[Unit, Mapping[str, Any]] | None:
        """The lines of a problem; None where one is missing."""
        found = {unit: file.get(self._key(sample, unit)) for unit in self._todo}
        return {unit: line for unit, line in found.items() if line is not None} if all(found.values()) else None

    def _key(self, sample: Sample, unit: Unit) -> str:
        asked = [sample.id, sample.problem.text, sample.target, self._task.grader]
        content = [self._models, asked, dataclasses.astuple(unit)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    # -- the measurements ------------------------------------------------------------------------------------------

    def _measured(self, sample: Sample, unit: Unit) -> dict[str, Any]:
        if unit.kind == "pool":
            return self._pool(sample, unit)
        solution = self._solved(sample, unit.setting, unit.seed)
        if unit.kind == "drafts":
            return _drafts(solution)
        if unit.kind == "draws":
            stated = [candidate.answer for candidate in solution.candidates]
            return {"num": len(stated), "num_right": sum(self._is_right(sample, each) for each in stated)}
        return _row(solution, is_right=self._is_right(sample, solution.answer))

    def _pool(self, sample: Sample, unit: Unit) -> dict[str, Any]:
        """The candidates of several searches, in the order in which they would finish if each began halfway."""
        found: list[tuple[float, Candidate]] = []
        begin_s = 0.0
        for wave in range(unit.num_waves):
            candidates = self._solved(sample, unit.setting, unit.seed + wave).candidates
            times = sorted(candidate.finished_s or 0.0 for candidate in candidates)
            found += [(begin_s + (candidate.finished_s or 0.0), candidate) for candidate in candidates]
            if self._cancelled.is_set() or any(candidate.beam.proof for candidate in candidates):
                break
            begin_s += times[len(times) // 2] if times else 0.0
        found.sort(key=lambda pair: pair[0])
        return self._listed(sample, [candidate for _, candidate in found])

    def _listed(self, sample: Sample, candidates: Sequence[Candidate]) -> dict[str, Any]:
        """Candidates as [answer, score, proof], the answer as its place in the list of all."""
        places: dict[str, int] = {}
        listed = [
            [
                None if each.answer is None else places.setdefault(each.answer, len(places)),
                None if each.score is None else round(each.score, 6),
                each.beam.proof,
            ]
            for each in candidates
        ]
        return {
            "answers": list(places),
            "rights": [self._is_right(sample, each) for each in places],
            "candidates": listed,
        }

    def _solved(self, sample: Sample, setting: Setting, seed: int) -> Solution:
        solution = self._solver.solve(
            sample.problem, budget_s=MAX_BUDGET_S, strategy=setting.strategy, n=setting.n, m=setting.m, seed=seed
        )
        run = Setting(solution.strategy.name, solution.strategy.n)
        if (run.strategy, run.n) != (setting.strategy, setting.n):
            raise UsageError(f"{setting} was run as {run} with these models; leave {setting} out of --grid")
        return solution

    def _is_right(self, sample: Sample, stated: str | None) -> bool:
        """As the task's grader says; an answer is graded once, and what cannot be decided is not right."""
        if stated is None:
            return False
        if stated not in self._rights:
            if self._grader is None:
                self._rights[stated] = arithmetic_1(sample, stated)
            else:
                self._rights[stated] = self._grader.compare(sample.target, stated).is_equal
        return self._rights[stated]


def _row(solution: Solution, *, is_right: bool) -> dict[str, Any]:
    usage = solution.usage
    return {
        "is_right": is_right,
        "is_answered": solution.answer is not None,
        "decode_passes": usage.decode_passes,
        "decoded_tokens": usage.decoded_tokens,
        "verifier_calls": usage.verifier_calls,
        "verified_tokens": usage.verified_tokens,
        "seconds": round(solution.wall_s, 6),
    }


def _drafts(solution: Solution) -> dict[str, Any]:
    scores = [candidate.score for candidate in solution.candidates if candidate.score is not None]
    is_proven = any(candidate.beam.proof for candidate in solution.candidates)
    return {"mean_score": sum(scores) / len(scores) if scores else None, "is_proven": is_proven}


class _Session:
    """Counts up as units are measured."""

    def __init__(self, num_missing: int, num_units: int, clock: Clock) -> None:
        self._num_missing, self._num_units, self._clock = num_missing, num_units, clock
        self._num_measured = 0
        self._begun = self._told = clock()

    def measured(self) -> Iterator[TuneProgress]:
        """Counts one; tells how far the run is where that is due."""
        self._num_measured += 1
        now = self._clock()
        if now - self._told >= _TICK_S:
            self._told = now
            left = self._num_missing - self._num_measured
            pace_s = (now - self._begun) / self._num_measured
            yield TuneProgress(self._num_units - left, self._num_units, pace_s * left)
