"""Runs a plan: one worker process at a time, one unit at a time, every outcome on the disk before the next begins.

    plan = make_plan(recipe.load("small.toml"))
    for event in Runner(plan, "small.sqlite").events(): ...

What is done is skipped, so the same call resumes a run that was cancelled, killed or cut off. One unit at a time, and
graded while nothing is solved: what is measured is a solve on a machine that does nothing else.

A worker that crashes or hangs is replaced and the unit tried again; a unit that loses two workers is recorded as an
error that says how. An engine that cannot be loaded, or an endpoint that fails, ends the run with its error and exit
code: it would fail for every unit, so none is recorded, and the run can be gone on with later.

Not covered: what a run has to do (units.py), showing it (the command), several machines.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesearch.bench.events import EngineLoading, Event, RunFinished, Summary, WorkerLost
from edgesearch.bench.messages import Solved, raised, solve_request
from edgesearch.bench.outcomes import OutcomeGrader, failed
from edgesearch.bench.process import Worker, WorkerGone
from edgesearch.bench.store import Outcome, Store
from edgesearch.bench.tally import Tally
from edgesearch.bench.units import Group, Plan, Unit
from edgesearch.bench.worker import COMMAND
from edgesearch.errors import EdgesearchError, EndpointError

MAX_LOST = 2
"""Workers that a unit may lose."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a worker before it counts as hanging."""

    load_s: float = 600.0
    """To load an engine: a large model on a slow disk takes minutes."""
    grace_s: float = 60.0
    """Beyond the budget of a solve, which normally ends within it."""

    def __post_init__(self) -> None:
        for name in ("load_s", "grace_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, not {getattr(self, name)}")


class _Cancelled(Exception):
    """Somebody called `Runner.cancel`."""


class Runner:
    """One session of a run. Its events are to be taken once."""

    def __init__(
        self,
        plan: Plan,
        path: str | Path,
        *,
        command: Sequence[str] = COMMAND,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts nothing yet.

        Args:
            plan: what to run.
            path: of the store, new or of the same run.
            command: what to start as a worker.
            patience: how long to wait for it.
            clock: for seconds spent.
        """
        self._plan = plan
        self._path = Path(path)
        self._command = command
        self._patience = patience or Patience()
        self._clock = clock
        self._cancelled = threading.Event()
        self._crew: _Crew | None = None

    def cancel(self) -> None:
        """Ends the run now; the unit under way is not recorded. Safe from another thread and a signal handler."""
        self._cancelled.set()
        crew = self._crew
        if crew is not None:
            crew.kill()

    def events(self) -> Iterator[Event]:
        """Runs what is left to do and tells how it goes; the last event is `RunFinished`.

        Raises:
            IntegrityError: the store is of another task or other models; or a model changed meanwhile.
            UsageError: the store is of another recipe; or the engine cannot be loaded so.
            EndpointError: an endpoint refused or failed.
            EdgesearchError: the store is in use or cannot be written; or an engine cannot be loaded.
        """
        started = self._clock()
        with OutcomeGrader(self._plan.task.grader) as grader, Store.open(self._path, self._plan.run_info()) as store:
            store.add_samples(self._plan.task.samples)
            tally, done = Tally(self._plan, self._path, store.counts()), store.done_keys()
            yield tally.started()
            try:
                for group in self._plan.groups:
                    units = list(self._plan.units(group, done))
                    if units:
                        yield from self._run_group(group, units, store, grader, tally)
            except _Cancelled:
                pass  # what is done is kept; the summary says the rest
            wall_s = self._plan.plan_s + self._clock() - started
            summary: Summary = tally.summary(wall_s=wall_s, is_cancelled=self._cancelled.is_set())
        yield RunFinished(summary)

    def _run_group(
        self, group: Group, units: Sequence[Unit], store: Store, grader: OutcomeGrader, tally: Tally
    ) -> Iterator[Event]:
        crew = self._crew = _Crew(group, self._command, self._patience, self._cancelled, tally)
        try:
            if group.source.recording is None:
                yield EngineLoading(group.source.engine.id, group.cells[0].n, len(units))
            for unit in units:
                started = self._clock()
                outcome = yield from self._run_unit(unit, crew, grader, tally)
                store.add(outcome)
                yield tally.done(outcome, max(0.0, self._clock() - started - outcome.load_s))
        finally:
            self._crew = None
            crew.close()

    def _run_unit(
        self, unit: Unit, crew: "_Crew", grader: OutcomeGrader, tally: Tally
    ) -> Generator[Event, None, Outcome]:
        """Solves and grades a unit, with another worker where one is lost."""
        started_s = time.time()
        reasons: list[str] = []
        while len(reasons) < MAX_LOST:
            crew.start()
            try:
                solved = crew.solve(unit)
            except WorkerGone as gone:
                self._check_cancelled()
                reasons.append(str(gone))
                tally.num_lost_workers += 1
                is_given_up = len(reasons) == MAX_LOST
                yield WorkerLost(unit.cell.engine, unit.cell, unit.sample.id, str(gone), is_given_up)
                continue
            if isinstance(solved, Solved):
                return grader.outcome(unit, solved, load_s=crew.take_load_s())
            return failed(unit, solved, started_s=started_s, ended_s=time.time())
        error = f"the worker process was lost {len(reasons)} times: {'; then '.join(reasons)}"
        return failed(unit, error, started_s=started_s, ended_s=time.time())

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise _Cancelled


class _Crew:
    """Solves the units of one group: by a worker process, which is replaced when it is lost, or from recordings."""

    def __init__(
        self, group: Group, command: Sequence[str], patience: Patience, cancelled: threading.Event, tally: Tally
    ) -> None:
        self._group = group
        self._command = command
        self._patience = patience
        self._cancelled = cancelled
        self._tally = tally
        self._worker: Worker | None = None
        self._load_s = 0.0

    def start(self) -> None:
        """Has a worker ready.

        Raises:
            EdgesearchError: the engine cannot be loaded, as the worker says; or two workers were lost over it.
            _Cancelled: the run is over.
        """
        self._check_cancelled()
        if self._worker is not None or self._group.source.recording is not None:
            return
        for file in self._group.source.files:
            file.check()
        for is_last in (False, True):
            try:
                self._load()
                return
            except WorkerGone as gone:
                self.close()
                self._check_cancelled()
                if is_last:
                    engine = self._group.source.engine.id
                    raise EdgesearchError(f"the worker of engine {engine!r} was lost while it loaded: {gone}") from gone

    def _load(self) -> None:
        self._worker = Worker(self._command)
        self._check_cancelled()  # it may have come before there was a worker to kill
        reply = self._worker.ask({"load": self._group.load.as_json()}, self._patience.load_s)
        if "error" in reply:
            raise raised(reply)
        self._load_s = float(reply["load_s"])
        self._tally.load_s += self._load_s

    def take_load_s(self) -> float:
        """Seconds of loading that no outcome has told yet."""
        load_s, self._load_s = self._load_s, 0.0
        return load_s

    def solve(self, unit: Unit) -> Solved | str:
        """What came of a unit; what failed, where it cannot be solved.

        Raises:
            WorkerGone: the worker crashed or hung.
            EndpointError: the endpoint refused or failed.
        """
        recording = self._group.source.recording
        if recording is not None:
            return recording.solve(unit.cell, unit.sample)
        assert self._worker is not None
        try:
            request = {"solve": solve_request(unit.cell, unit.sample.problem)}
            return _read(self._worker.ask(request, unit.cell.budget_s + self._patience.grace_s))
        except WorkerGone:
            self.close()
            raise

    def kill(self) -> None:
        """Ends the worker; safe from another thread."""
        worker = self._worker
        if worker is not None:
            worker.kill()

    def close(self) -> None:
        """Ends the worker and frees what belongs to it."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise _Cancelled


def _read(reply: dict[str, object]) -> Solved | str:
    """A reply as what was solved, or as what failed.

    Raises:
        WorkerGone: it makes no sense, so the worker is not to be relied on.
        EndpointError: it says so.
    """
    if isinstance(reply.get("error"), str):
        error = raised(reply)
        if isinstance(error, EndpointError):
            raise error
        return str(error)
    try:
        return Solved.from_json(reply["solved"])  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WorkerGone(f"it replied nonsense ({type(error).__name__}: {error})") from error
