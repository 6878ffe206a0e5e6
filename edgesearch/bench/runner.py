"""Runs a plan: a crew solves its units, every outcome is graded and on the disk before it is told.

    plan = make_plan(recipe.load("small.toml"))
    for event in Runner(plan, "small.sqlite").events(): ...

What is done is skipped, so the same call resumes a run that was cancelled, killed or cut off. By default one worker
process on this machine solves one unit at a time, and grading that takes time waits until nothing is solved: what is
measured is a solve on a machine that does nothing else. Where a recipe has several problems share an engine
(`concurrent`), that many are under way, and are graded beside those that go on. With a `ClusterCrew` several nodes
solve at once; the plan, the targets, the grading and the store stay here.

A worker that crashes or hangs is replaced and the unit tried again; a unit that loses two workers is recorded as an
error that says how. An engine that cannot be loaded, or an endpoint that fails, ends the run with its error and exit
code: it would fail for every unit, so none is recorded, and the run can be gone on with later.

Not covered: what a run has to do (units.py), who solves it (crew.py, cluster.py), showing it (the command).
"""

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from edgesearch.bench.crew import Crew, LocalCrew, RecordedCrew, Taken, Todo, Tried
from edgesearch.bench.events import CrewChanged, Event, RunFinished, WorkerLost
from edgesearch.bench.outcomes import OutcomeGrader, failed
from edgesearch.bench.records import Outcome, RunInfo
from edgesearch.bench.store import Store
from edgesearch.bench.tally import Tally
from edgesearch.bench.units import Group, Plan
from edgesearch.errors import EdgesearchError
from edgesearch.sandbox.pool import PoolClosed, TrialPool
from edgesearch.tasks.grading import PYTHON
from edgesearch.tasks.program_grading import OpenPool
from edgesearch.verifiers.trials import Pool

MAX_LOST = 2
"""Workers that a unit may lose, while it is solved and again while its engine is loaded."""


class Runner:
    """One session of a run. Its events are to be taken once."""

    def __init__(
        self,
        plan: Plan,
        path: str | Path,
        *,
        crew: Crew | None = None,
        retries_errors: bool = False,
        clock: Callable[[], float] = time.monotonic,
        open_pool: OpenPool | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            plan: what to run.
            path: of the store, new or of the same run.
            crew: who solves; by default one worker process on this machine.
            retries_errors: whether units that ended in an error are run again.
            clock: for seconds spent.
            open_pool: finds a sandbox; asked before anything else, and only where the task's answers are programs. By
                default the one that the plan names.
        """
        self._plan = plan
        self._path = Path(path)
        self._crew = crew or LocalCrew()
        self._recorded = RecordedCrew()
        self._open_pool = open_pool or functools.partial(TrialPool, plan.sandbox)
        self._retries_errors = retries_errors
        self._clock = clock
        self._cancelled = threading.Event()
        self._grading: Pool | None = None
        """Where programs are run in this session."""

    def cancel(self) -> None:
        """Ends the run now; the units under way are not recorded. Safe from another thread and a signal handler."""
        self._cancelled.set()
        self._recorded.cancel()
        self._crew.cancel()
        if self._grading is not None:
            self._grading.close()  # programs that loop for ever would be waited for

    def events(self) -> Iterator[Event]:
        """Runs what is left to do and tells how it goes; the last event is `RunFinished`.

        Raises:
            IntegrityError: the store is of another task or other models; or a model changed meanwhile.
            UsageError: the store is of another recipe; or the engine cannot be loaded so.
            EndpointError: an endpoint refused or failed.
            SandboxUnavailable: the answers are programs, and nothing here can run them safely.
            EdgesearchError: the store is in use or cannot be written; an engine cannot be loaded; or the cluster has
                no worker any more.
        """
        started = self._clock()
        with ExitStack() as undo:
            pool = self._pool(undo)
            grader = undo.enter_context(OutcomeGrader(self._plan.task.grader, pool))
            store = undo.enter_context(Store.open(self._path, self._run_info(pool)))
            self._recorded.pool = pool
            store.add_samples(self._plan.task.samples)
            if self._retries_errors:
                store.forget_errors()
            tally = Tally(self._plan, self._path, store.counts())
            done = set(store.done_keys())
            yield tally.started()
            yield from self._tell_faulty(done, store, tally)
            for crew, groups in ((self._recorded, _recorded(self._plan)), (self._crew, _drawn(self._plan))):
                todo = Todo(self._plan, groups, done, self._clock)
                try:
                    yield from _Shift(todo, crew, store, grader, tally, self._clock).events()
                except PoolClosed:
                    if not self._cancelled.is_set():
                        raise
            wall_s = self._plan.plan_s + self._clock() - started
            summary = tally.summary(
                wall_s=wall_s,
                worker_s=self._crew.worker_s,
                is_cancelled=self._cancelled.is_set(),
                warnings=self._crew.warnings,
            )
            summary = dataclasses.replace(summary, num_programs=grader.num_programs, num_tried=grader.num_tried)
        yield RunFinished(summary)

    def _tell_faulty(self, done: set[str], store: Store, tally: Tally) -> Iterator[Event]:
        """Books an error for each unit whose sample can be neither asked nor graded."""
        for unit in [unit for group in self._plan.groups for unit in self._plan.units(group, done)]:
            if unit.sample.fault:
                now_s = time.time()
                outcome = failed(unit, unit.sample.fault, started_s=now_s, ended_s=now_s)
                store.add(outcome)
                done.add(unit.key)
                yield tally.done(outcome, 0.0)

    def _pool(self, undo: ExitStack) -> Pool | None:
        """Where programs are run, until the end of the session; None where no answer is one."""
        if self._plan.task.grader != PYTHON:
            return None
        pool = self._grading = self._open_pool()
        undo.callback(pool.close)
        if self._cancelled.is_set():  # `cancel` may not have seen it
            pool.close()
        return pool

    def _run_info(self, pool: Pool | None) -> RunInfo:
        info = self._plan.run_info()
        sandbox = {} if pool is None else {"sandbox": pool.info.name}
        return dataclasses.replace(info, machine={**info.machine, **self._crew.machine, **sandbox})


def _recorded(plan: Plan) -> Sequence[Group]:
    """Groups that need no worker; they come first, since they take no time."""
    return [group for group in plan.groups if group.source.recording is not None]


def _drawn(plan: Plan) -> Sequence[Group]:
    return [group for group in plan.groups if group.source.recording is None]


class _Shift:
    """What one crew does in a session, and what becomes of it."""

    def __init__(
        self,
        todo: Todo,
        crew: Crew,
        store: Store,
        grader: OutcomeGrader,
        tally: Tally,
        clock: Callable[[], float],
    ) -> None:
        self._todo = todo
        self._crew = crew
        self._store = store
        self._grader = grader
        self._tally = tally
        self._clock = clock
        self._losses: dict[tuple[str, bool], list[str]] = {}
        """By the key of the unit and whether its engine was being loaded: how its workers were lost."""

    def events(self) -> Iterator[Event]:
        """Has the crew work until nothing is left or it is cancelled."""
        with closing(self._crew.work(self._todo)) as reports:
            for report in reports:
                if isinstance(report, Tried):
                    yield from self._tried(report)
                    continue
                if isinstance(report, CrewChanged):
                    self._tally.num_workers = report.num_ready
                yield report

    def _tried(self, tried: Tried) -> Iterator[Event]:
        taken, attempt = tried.taken, tried.attempt
        self._tally.load_s += attempt.load_s
        if attempt.lost:
            lost = self._lost(tried)
            yield lost
            if not lost.is_given_up:
                self._todo.put_back(taken)
                return
        outcome = self._outcome(tried)
        self._store.add(outcome)
        seconds = max(0.0, self._clock() - taken.began - attempt.load_s)
        yield self._tally.done(outcome, seconds, num_together=taken.group.concurrent)

    def _lost(self, tried: Tried) -> WorkerLost:
        """Counts a lost worker.

        Raises:
            EdgesearchError: the unit lost its last one while its engine was loaded, as any other unit would.
        """
        unit, attempt = tried.taken.unit, tried.attempt
        losses = self._losses.setdefault((unit.key, attempt.is_loading), [])
        losses.append(attempt.lost)
        is_given_up = len(losses) == MAX_LOST
        if is_given_up and attempt.is_loading:
            raise EdgesearchError(f"the worker of engine {unit.cell.engine!r} was lost while it loaded: {attempt.lost}")
        self._tally.num_lost_workers += 1
        return WorkerLost(unit.cell.engine, unit.cell, unit.sample.id, attempt.lost, is_given_up)

    def _outcome(self, tried: Tried) -> Outcome:
        taken, attempt = tried.taken, tried.attempt
        if attempt.solved is not None:
            return self._grader.outcome(taken.unit, attempt.solved, load_s=attempt.load_s)
        return self._failed(taken, attempt.error or self._losses_words(taken), attempt.load_s)

    def _failed(self, taken: Taken, error: str, load_s: float) -> Outcome:
        outcome = failed(taken.unit, error, started_s=taken.began_s, ended_s=time.time())
        return dataclasses.replace(outcome, load_s=load_s)

    def _losses_words(self, taken: Taken) -> str:
        losses = self._losses[taken.unit.key, False]
        return f"the worker process was lost {len(losses)} times: {'; then '.join(losses)}"
