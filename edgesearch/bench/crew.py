"""Who solves the units of a run: the seam between the runner and its workers, and the crew of this machine.

    Runner -- Todo --> Crew.work -- Tried --> Runner

A crew takes unit after unit from what is left to do and tells what came of each attempt, in whatever order. The runner
grades, stores, and puts back a unit whose worker was lost, so a crew neither counts nor tries again. There are three:
one worker process on this machine (`LocalCrew`), nobody at all for recorded samples (`RecordedCrew`), and a worker on
each node of a cluster (cluster.py).

Not covered: the worker (station.py), what becomes of an attempt (runner.py).
"""

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from edgesearch.bench.events import CrewChanged, EngineLoading
from edgesearch.bench.outcomes import LIGHT
from edgesearch.bench.recorded import open_scorer
from edgesearch.bench.station import Attempt, Order, Patience, Station
from edgesearch.bench.units import Group, Plan, Unit
from edgesearch.bench.worker import COMMAND
from edgesearch.verifiers.base import Verifier
from edgesearch.verifiers.trials import Pool

_AT_HAND = 3
"""Units that wait at a worker for the one before them: the disk may hold up the runner for some short solves."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A unit that somebody is at."""

    unit: Unit
    group: Group
    number: int
    """Of the group, within its `Todo`."""
    began: float
    """By the clock of the run."""
    began_s: float
    """Unix time."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A unit is back from its worker, whatever came of it."""

    taken: Taken
    attempt: Attempt


Report = Tried | EngineLoading | CrewChanged


class Todo:
    """What is left to do, group by group; whoever has loaded an engine goes on with it as long as it has units."""

    def __init__(
        self, plan: Plan, groups: Iterable[Group], done: Set[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """All units of those groups whose keys are not done."""
        self._groups = tuple(groups)
        self._left = [deque(plan.units(group, done)) for group in self._groups]
        self._clock = clock
        self.is_graded_aside = plan.task.grader in LIGHT
        """Whether grading a unit is so little work that the next one may be solved meanwhile."""

    def __len__(self) -> int:
        return sum(map(len, self._left))

    def num_left(self, number: int) -> int:
        """Units of a group that nobody has taken."""
        return len(self._left[number])

    @property
    def groups(self) -> Sequence[Group]:
        """All of them, done or not."""
        return self._groups

    def next_key(self, number: int) -> str | None:
        """The key of the unit of that group that comes next; None where none is left."""
        return self._left[number][0].key if self._left[number] else None

    def take(self, own: int | None = None, others: Collection[int] = ()) -> Taken | None:
        """The next unit; None where none is left.

        Of the group `own`, if it has any left. Else of the first group that nobody is at, so that a single worker goes
        by the order of the recipe; else of the one with most units left for each of its workers.

        Args:
            own: number of the group whose engine the worker has.
            others: the same for the other workers, once for each.
        """
        numbers = [number for number, left in enumerate(self._left) if left]
        if not numbers:
            return None
        number = own if own in numbers else min(numbers, key=lambda each: self._rank(each, others))
        assert number is not None
        return Taken(self._left[number].popleft(), self._groups[number], number, self._clock(), time.time())

    def _rank(self, number: int, others: Collection[int]) -> tuple[bool, float, int]:
        num_workers = sum(other == number for other in others)
        share = len(self._left[number]) / (num_workers + 1)
        return num_workers > 0, -share if num_workers else 0.0, number

    def begun(self, taken: Taken) -> Taken:
        """A unit that had to wait, and is begun now."""
        return dataclasses.replace(taken, began=self._clock(), began_s=time.time())

    def put_back(self, taken: Taken) -> None:
        """Its worker was lost: it comes next again."""
        self._left[taken.number].appendleft(taken.unit)


class Crew(Protocol):
    """Solves what there is to do. One `work` at a time."""

    @property
    def machine(self) -> Mapping[str, str]:
        """What the session's record says of where units are solved, beside this machine."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences for the end of the run."""
        ...

    @property
    def worker_s(self) -> float | None:
        """Seconds for which workers were there, all together; None for one worker throughout."""
        ...

    def work(self, todo: Todo) -> Generator[Report, None, None]:
        """Solves all that is to do, also what is put back meanwhile, until nothing is left or it is cancelled.

        Leaves no worker behind, however it ends. Closing it ends it.

        Raises:
            EdgesearchError: an engine cannot be loaded, a model changed, or there is nowhere to work.
            EndpointError: an endpoint refused or failed.
        """
        ...

    def cancel(self) -> None:
        """Ends `work` now, without a word about what is under way; safe from another thread, and before it begins."""
        ...


class LocalCrew:
    """One worker process on this machine, and one unit at a time, or as many as share the engine (`concurrent`).

    With one unit at a time what is measured is a solve on a machine that does nothing else: where grading may take
    seconds or all processors, the next unit is begun when the last is stored. Where it only compares numbers the worker
    has the next ones at hand and begins them at once: waiting for the disk would be most of what the harness costs.
    Units that were being solved together when their worker was lost are tried again one by one, since nobody knows
    which of them it was.
    """

    machine: Mapping[str, str] = {}
    warnings: Sequence[str] = ()
    worker_s: float | None = None

    def __init__(self, command: Sequence[str] = COMMAND, patience: Patience | None = None) -> None:
        """As `Station`."""
        self._station = Station(command, patience)
        self._is_cancelled = threading.Event()
        self._suspects: set[str] = set()
        """Keys of units that are to be solved alone."""

    def work(self, todo: Todo) -> Generator[Report, None, None]:
        """See `Crew.work`."""
        number = None
        under_way: dict[int, Taken] = {}
        with closing(self._station) as station:
            while not self._is_cancelled.is_set():
                while (taken := self._next(todo, under_way, number)) is not None:
                    if taken.number != number:
                        number = taken.number
                        engine = taken.group.source.engine.id
                        yield EngineLoading(engine, taken.unit.cell.n, todo.num_left(number) + 1)
                    order = Order.of(taken.group, taken.unit)
                    if not station.holds(order.load):
                        for file in taken.group.source.files:
                            file.check()
                    under_way[station.begin(order)] = taken
                if not under_way:
                    return
                tried = self._finished(todo, under_way)
                yield from (each for each in tried if not (each.attempt.lost and self._is_cancelled.is_set()))

    def _next(self, todo: Todo, under_way: Mapping[int, Taken], number: int | None) -> Taken | None:
        """The next unit, if it can be sent beside those under way; None where it cannot, or nothing is left."""
        if not under_way:
            return todo.take(number)
        assert number is not None
        key, beside = todo.next_key(number), list(under_way.values())
        is_full = len(beside) >= max(beside[0].group.concurrent, 1 + (_AT_HAND if todo.is_graded_aside else 0))
        if key is None or is_full or self._suspects & {key, *(each.unit.key for each in beside)}:
            return None
        return todo.take(number)

    def _finished(self, todo: Todo, under_way: dict[int, Taken]) -> list[Tried]:
        """Waits for what comes of a unit under way; of all that were being solved, where their worker is lost."""
        tried = [Tried(under_way.pop(ticket), attempt) for ticket, attempt in self._station.finish()]
        if tried[0].taken.group.concurrent > 1:
            if len(tried) > 1:
                self._suspects |= {each.taken.unit.key for each in tried}
            return tried
        for waiting in reversed(tried[1:]):  # the worker was lost before it began these
            todo.put_back(waiting.taken)
        for ticket, taken in under_way.items():
            under_way[ticket] = todo.begun(taken)  # only now
        return tried[:1]

    def cancel(self) -> None:
        """See `Crew.cancel`."""
        self._is_cancelled.set()
        self._station.end()


class RecordedCrew:
    """Nobody: the samples are recorded, and nothing has to be drawn."""

    machine: Mapping[str, str] = {}
    warnings: Sequence[str] = ()
    worker_s: float | None = None

    def __init__(self) -> None:
        self._is_cancelled = threading.Event()
        self.pool: Pool | None = None
        """Where recorded programs are run that a verifier scores; whoever sets it closes it."""

    def work(self, todo: Todo) -> Generator[Report, None, None]:
        """See `Crew.work`."""
        scorers: dict[str, Verifier | None] = {}
        while not self._is_cancelled.is_set() and (taken := todo.take()) is not None:
            recording = taken.group.source.recording
            assert recording is not None
            name = recording.engine.id
            if name not in scorers:
                scorers[name] = open_scorer(recording.engine, self.pool)
            yield Tried(taken, Attempt(recording.solve(taken.unit.cell, taken.unit.sample, scorers[name])))

    def cancel(self) -> None:
        """See `Crew.cancel`."""
        self._is_cancelled.set()
