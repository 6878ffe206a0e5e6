"""A station: where units are solved, by one worker process that is replaced when it is lost.

    station = Station()
    attempt = station.attempt(Order.of(group, unit))

An order says which engine is to be loaded and what is to be solved; an attempt says what came of it. Both can be
written as JSON, since a station may be on another machine (node.py). A worker that crashes, hangs or replies nonsense
is a lost attempt, and the next order gets a new one. Nothing here tries again: that is for who gives the orders.

Several orders may be begun before the first is finished: where problems share an engine, and where the worker is to
have the next one at hand. A worker that is lost then loses all of them; they are told in the order in which they were
begun.

Not covered: the process itself (process.py), which unit comes next (crew.py), what becomes of an attempt (runner.py).
"""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from edgesearch.bench.messages import Load, Message, Solved, raised, solve_request
from edgesearch.bench.process import Worker, WorkerGone
from edgesearch.bench.units import Group, Unit
from edgesearch.bench.worker import COMMAND
from edgesearch.errors import EndpointError


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


@dataclass(frozen=True, slots=True)
class Order:
    """One unit to be solved; no target."""

    load: Load
    """The engine to solve it with."""
    digests: Mapping[str, str] = field(hash=False)
    """By role: what the engine's results depend on, as the run was planned (`Source.digests`)."""
    request: Message = field(hash=False)
    """As `solve_request` makes it."""
    budget_s: float

    @classmethod
    def of(cls, group: Group, unit: Unit) -> Self:
        """The order for a unit of a group."""
        request = solve_request(unit.cell, unit.sample.problem)
        return cls(group.load, group.source.digests, request, unit.cell.budget_s)

    def as_json(self) -> Message:
        """For the line."""
        load = self.load.as_json()
        return {"load": load, "digests": dict(self.digests), "solve": self.request, "budget_s": self.budget_s}

    @classmethod
    def from_json(cls, found: Message) -> Self:
        """From the line."""
        return cls(Load.from_json(found["load"]), found["digests"], found["solve"], found["budget_s"])


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an order: solved, an error of this unit alone, or a lost worker."""

    solved: Solved | None = None
    error: str = ""
    """What failed, where the unit cannot be solved."""
    lost: str = ""
    """How the worker was lost."""
    is_loading: bool = False
    """Whether it was lost before it began to solve."""
    load_s: float = 0.0
    """Seconds of loading before it; 0 where the engine was there already."""

    def __post_init__(self) -> None:
        if [self.solved is not None, bool(self.error), bool(self.lost)].count(True) != 1:
            raise ValueError(f"an attempt has exactly one of solved, error and lost, not {self!r:.80}")

    def as_json(self) -> Message:
        """For the line."""
        solved = None if self.solved is None else self.solved.as_json()
        rest = {name: getattr(self, name) for name in ("error", "lost", "is_loading", "load_s")}
        return {"solved": solved, **rest}

    @classmethod
    def from_json(cls, found: Message) -> Self:
        """From the line.

        Raises:
            TypeError, ValueError, KeyError: it is not what `as_json` makes.
        """
        solved = None if found["solved"] is None else Solved.from_json(found["solved"])
        return cls(**{**found, "solved": solved})


@dataclass(frozen=True, slots=True)
class _Sent:
    """An order under way."""

    number: int
    load_s: float
    due: float
    """When it must have been replied to."""


class Station:
    """Holds at most one worker process, with the engine of the last order. Close it in the end."""

    def __init__(self, command: Sequence[str] = COMMAND, patience: Patience | None = None) -> None:
        """Starts nothing yet.

        Args:
            command: what to start as a worker.
            patience: how long to wait for it.
        """
        self._command = command
        self._patience = patience or Patience()
        self._worker: Worker | None = None
        self._loaded: Load | None = None
        self._is_ended = False
        self._numbers = itertools.count(1)
        self._sent: dict[int, _Sent] = {}
        """By the id of the message: orders under way."""
        self._lost: list[tuple[int, Attempt]] = []
        """Orders that were lost before they were under way."""

    def holds(self, wanted: Load) -> bool:
        """Whether an order with that engine needs no loading."""
        return self._worker is not None and self._loaded == wanted

    def attempt(self, order: Order) -> Attempt:
        """Solves a unit, after loading its engine where another one, or none, is there.

        Raises:
            EdgesearchError: the engine cannot be loaded, as the worker says; or no worker can be started.
            EndpointError: the endpoint refused or failed.
        """
        self.begin(order)
        [(_, attempt)] = self.finish()
        return attempt

    def begin(self, order: Order) -> int:
        """Has a unit solved beside or after those under way, which must be of the same engine; returns a number for it.

        Raises:
            EdgesearchError: as `attempt`.
        """
        number, load_s = next(self._numbers), 0.0
        try:
            if not self.holds(order.load):
                load_s = self._load(order.load)
            assert self._worker is not None
            begins = max([time.monotonic(), *(sent.due for sent in self._sent.values())])  # perhaps after the others
            due = begins + order.budget_s + self._patience.grace_s
            self._sent[self._worker.send({"solve": order.request})] = _Sent(number, load_s, due)
        except WorkerGone as gone:
            self.close()
            self._lost.append((number, Attempt(lost=str(gone), is_loading=True, load_s=load_s)))
        return number

    def finish(self) -> list[tuple[int, Attempt]]:
        """Waits for what comes of an order under way; all of them, where their worker is lost.

        Raises:
            EndpointError: the endpoint refused or failed.
        """
        if self._lost:
            lost, self._lost = self._lost, []
            return lost
        assert self._worker is not None
        try:
            reply = self._worker.receive(min(sent.due for sent in self._sent.values()) - time.monotonic())
            sent = self._sent[reply["id"]]
            attempt = _read(reply, sent.load_s)
        except WorkerGone as gone:
            lost = [(sent.number, Attempt(lost=str(gone), load_s=sent.load_s)) for sent in self._sent.values()]
            self.close()
            return lost
        del self._sent[reply["id"]]
        return [(sent.number, attempt)]

    def _load(self, wanted: Load) -> float:
        """Starts a worker with that engine; returns the seconds that loading took."""
        self.close()
        self._worker = Worker(self._command)
        if self._is_ended:  # before there was a worker to kill
            raise WorkerGone("it was ended")
        reply = self._worker.ask({"load": wanted.as_json()}, self._patience.load_s)
        if "error" in reply:
            raise raised(reply)
        try:
            load_s = float(reply["load_s"])
        except (KeyError, TypeError, ValueError) as error:
            raise _nonsense(error) from error
        self._loaded = wanted
        return load_s

    def end(self) -> None:
        """Ends the attempt under way, which comes back as lost, and all later ones; safe from another thread."""
        self._is_ended = True
        worker = self._worker
        if worker is not None:
            worker.kill()

    def close(self) -> None:
        """Ends the worker and frees what belongs to it; safe to call twice."""
        worker, self._worker, self._loaded = self._worker, None, None
        self._sent.clear()
        if worker is not None:
            worker.close()


def _read(reply: Message, load_s: float) -> Attempt:
    """What a reply says.

    Raises:
        EndpointError: the endpoint refused or failed.
        WorkerGone: it is nonsense.
    """
    if isinstance(reply.get("error"), str):
        error = raised(reply)
        if isinstance(error, EndpointError):
            raise error
        return Attempt(error=str(error), load_s=load_s)
    try:
        return Attempt(Solved.from_json(reply["solved"]), load_s=load_s)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _nonsense(error) from error


def _nonsense(error: Exception) -> WorkerGone:
    return WorkerGone(f"it replied nonsense ({type(error).__name__}: {error})")
