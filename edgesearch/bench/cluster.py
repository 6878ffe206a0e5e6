"""A crew that is spread over a cluster: workers on its nodes; plan, targets, grading and store stay here.

Each worker is a Ray actor that owns a supervised worker process (node.py), and is pinned: to a node, to CPUs, and to
GPUs where asked. By default it has a node to itself. The units of a group are spread over the workers, and a worker
keeps the engine that it has loaded as long as there are units for it. A worker that is lost with its process, its actor
or its node gives its unit back, and another takes its place as soon as a node has room; nodes may join and leave.

Every node needs the same edgesearch, and the same model files: built-in models are found by name, others by the path
that they have here, and a worker refuses what differs from the plan. A variable with an endpoint's key must be set
where `ray start` was run.

What a unit gives depends on its seed, its prompt and the weights, not on who solves it or beside whom; but its budget
is seconds, and a slower node has less time in them. So results equal those of a single machine where the budget is far
above what a search takes and the processors do the same arithmetic (give engines a fixed number of `threads` to be
sure); where the budget binds they are the node's own. Seconds always are. While a node solves, this machine grades and
stores: where seconds are to be compared it should not solve as well (`ray start --head --num-cpus=0`).

Not covered: Ray (ray_cluster.py), what a node does (node.py). Whoever reaches a Ray cluster can run code on it, and the
runner believes what its nodes send: keep it to a network of your own.
"""

import dataclasses
import itertools
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from edgesearch.bench import node
from edgesearch.bench.crew import Report, Taken, Todo, Tried
from edgesearch.bench.events import CrewChanged, EngineLoading
from edgesearch.bench.lines import Message
from edgesearch.bench.messages import raised
from edgesearch.bench.places import Node, Place, Share, places
from edgesearch.bench.station import Attempt, Order, Patience
from edgesearch.errors import EdgesearchError, UsageError

INSTALL = "pip install 'edgesearch[cluster]'"
PLACE_S = 120.0
"""How long to go on without any worker before the run is ended."""
REACH_S = 60.0
"""Beyond what a node grants its worker, before the node counts as lost."""
_SCAN_S = 2.0
_WAIT_S = 0.2
_MAX_STARTS = 2
"""Workers that a place may lose before they are ready."""


class Cluster(Protocol):
    """Actors on nodes, known by numbers; what `RayCluster` and the tests' own cluster have in common."""

    def nodes(self) -> list[Node]:
        """Those that are alive."""
        ...

    def start(self, actor: int, place: Place, settings: node.Settings) -> None:
        """Begins an actor, which describes itself once it is there."""
        ...

    def work(self, actor: int, line: str) -> None:
        """Gives an actor an order."""
        ...

    def wait(self, wait_s: float) -> list[Message]:
        """Replies as in ray_bridge.py; waits for the first one, and at most that long."""
        ...

    def stop(self, actor: int) -> None:
        """Ends an actor with its worker, and forgets it; it does not reply any more."""
        ...


@dataclass(slots=True)
class _Member:
    """A worker on its place."""

    actor: int
    place: Place
    since: float
    """When it was asked for; when it came, once it is ready."""
    is_ready: bool = False
    loaded: int | None = None
    """Number of the group whose engine it has."""
    taken: Taken | None = None
    due: float = math.inf
    """When it must have replied."""

    @property
    def is_loading(self) -> bool:
        """Whether its order begins with loading an engine."""
        return self.taken is not None and self.taken.number != self.loaded


class ClusterCrew:
    """See the module, and `Crew`."""

    def __init__(
        self,
        cluster: Cluster,
        share: Share,
        *,
        command: Sequence[str] | None = None,
        patience: Patience | None = None,
        place_s: float = PLACE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Looks the cluster over, and starts nothing yet.

        Args:
            cluster: connected.
            share: what each worker has to itself.
            command: what a node starts as a worker; by default its own.
            patience: how long to wait for it.
            place_s: how long to go on without any worker.
            clock: for seconds spent.

        Raises:
            UsageError: no node has room for a worker; says what the nodes have.
        """
        self._cluster = cluster
        self._share = share
        self._command = None if command is None else tuple(command)
        self._patience = patience or Patience()
        self._place_s = place_s
        self._clock = clock
        self._is_cancelled = threading.Event()
        self._numbers = itertools.count()
        self._members: dict[int, _Member] = {}
        """By the number of the actor."""
        self._failures: Counter[tuple[str, int]] = Counter()
        """Workers that were lost before they were ready, by node and number."""
        self._last_failure = ""
        self._announced: set[int] = set()
        self._processors: dict[str, str] = {}
        """By the address of the node."""
        self._next_scan = -math.inf
        self._empty_since = 0.0
        self._worker_s = 0.0
        self._nodes = cluster.nodes()
        self._places = places(self._nodes, share)
        if not self._places:
            raise UsageError(
                f"no node of the cluster has room for a worker with {share.words}; there are: {self._words()}. Ask for "
                "less (--cpus-per-worker, --gpus-per-worker), or add nodes (ray start --address=...)"
            )

    def _words(self) -> str:
        return ", ".join(each.words for each in self._nodes) or "none"

    @property
    def machine(self) -> Mapping[str, str]:
        """See `Crew.machine`."""
        return {"cluster": self._words(), "cluster_worker": self._share.words}

    @property
    def warnings(self) -> Sequence[str]:
        """See `Crew.warnings`."""
        kinds = sorted(set(self._processors.values()))
        if len(kinds) < 2:
            return ()
        return (f"the nodes have different processors, so seconds depend on the node: {'; '.join(kinds)}",)

    @property
    def worker_s(self) -> float | None:
        """See `Crew.worker_s`."""
        return self._worker_s

    def cancel(self) -> None:
        """See `Crew.cancel`."""
        self._is_cancelled.set()

    def work(self, todo: Todo) -> Generator[Report, None, None]:
        """See `Crew.work`.

        Raises:
            UsageError: problems are to share an engine.
        """
        if any(group.concurrent > 1 for group in todo.groups):
            raise UsageError(
                "the workers of a cluster solve one problem at a time; leave concurrent out of the recipe, or run it "
                "on this machine"
            )
        self._empty_since = self._clock()
        try:
            while not self._is_cancelled.is_set() and (todo or self._num_busy):
                self._staff(len(todo))
                yield from self._hand_out(todo)
                reports = self._collect()
                yield from self._hand_out(todo)  # before grading, so that nobody waits for it
                yield from reports
        finally:
            self._dismiss()

    @property
    def _num_busy(self) -> int:
        return sum(member.taken is not None for member in self._members.values())

    @property
    def _num_ready(self) -> int:
        return sum(member.is_ready for member in self._members.values())

    # -- who is there ------------------------------------------------------------------------------------------------

    def _staff(self, num_left: int) -> None:
        """Starts a worker on every place that is free, as far as there are units for it.

        Raises:
            EdgesearchError: there has been no worker for too long.
        """
        now = self._clock()
        if now >= self._next_scan:
            self._next_scan = now + _SCAN_S
            self._nodes = self._cluster.nodes()
            self._places = places(self._nodes, self._share)
            self._part_with_the_dead()
            taken = {(member.place.node.id, member.place.number) for member in self._members.values()}
            free = [place for place in self._places if _key(place) not in taken and not self._is_given_up(place)]
            for place in free[: max(0, num_left - len(self._members) + self._num_busy)]:
                self._start(place)
        if self._num_ready:
            self._empty_since = now
        elif now - self._empty_since > self._place_s or (self._places and all(map(self._is_given_up, self._places))):
            raise EdgesearchError(self._nowhere(now - self._empty_since))

    def _part_with_the_dead(self) -> None:
        """Lets go of workers whose node is gone and who were at nothing; of the others, their order tells."""
        living = {each.id for each in self._nodes}
        for member in list(self._members.values()):
            if member.is_ready and member.taken is None and member.place.node.id not in living:
                self._leave(member)

    def _is_given_up(self, place: Place) -> bool:
        return self._failures[_key(place)] >= _MAX_STARTS

    def _start(self, place: Place) -> None:
        member = _Member(next(self._numbers), place, self._clock())
        settings = node.Settings(
            place.number,
            place.num_cpus,
            int(place.node.num_cpus),
            self._command,
            self._patience.load_s,
            self._patience.grace_s,
        )
        self._cluster.start(member.actor, place, settings)
        self._members[member.actor] = member

    def _nowhere(self, waited_s: float) -> str:
        why = f"the last one failed: {self._last_failure}" if self._last_failure else "other programs may hold them"
        return (
            f"the cluster has had no worker with {self._share.words} for {waited_s:.0f} s ({why}); its nodes are: "
            f"{self._words()}. See ray status, and run the same command again to go on"
        )

    def _changed(self) -> CrewChanged:
        return CrewChanged(self._num_ready, len(self._places))

    def _leave(self, member: _Member) -> None:
        del self._members[member.actor]
        with suppress(EdgesearchError):  # the bridge is gone, and the actor with it
            self._cluster.stop(member.actor)
        if member.is_ready:
            self._worker_s += self._clock() - member.since

    def _dismiss(self) -> None:
        for member in list(self._members.values()):
            self._leave(member)

    # -- orders ------------------------------------------------------------------------------------------------------

    def _hand_out(self, todo: Todo) -> Iterator[EngineLoading]:
        """Gives everybody who is free a unit; tells the first loading of each engine."""
        for member in list(self._members.values()):
            if member.is_ready and member.taken is None:
                others = [each.loaded for each in self._members.values() if each is not member]
                taken = todo.take(member.loaded, [number for number in others if number is not None])
                if taken is None:
                    return
                self._order(member, taken)
                if taken.number not in self._announced:
                    self._announced.add(taken.number)
                    engine = taken.group.source.engine.id
                    yield EngineLoading(engine, taken.unit.cell.n, todo.num_left(taken.number) + 1)

    def _order(self, member: _Member, taken: Taken) -> None:
        member.taken = taken
        # The files are read before the worker loads them, which may take as long.
        load_s = 2 * self._patience.load_s if member.is_loading else 0.0
        member.due = self._clock() + load_s + taken.unit.cell.budget_s + self._patience.grace_s + REACH_S
        self._cluster.work(member.actor, json.dumps(Order.of(taken.group, taken.unit).as_json(), allow_nan=False))

    def _collect(self) -> list[Report]:
        """What has come back, or is overdue."""
        reports: list[Report] = []
        for reply in self._cluster.wait(_WAIT_S):
            member = self._members.get(reply["actor"])
            if member is not None:
                reports += self._read(member, reply)
        now = self._clock()
        for member in [each for each in self._members.values() if now > each.due]:
            reports += self._lost(member, "its node gave no reply in time and was given up")
        return reports

    def _read(self, member: _Member, reply: Message) -> list[Report]:
        """What a reply means.

        Raises:
            EdgesearchError: it ends the run.
        """
        address = member.place.node.address
        if "failed" in reply:
            raise EdgesearchError(
                f"node {address} cannot run a worker ({reply['failed']}); install the same edgesearch there: {INSTALL}"
            )
        if "lost" in reply:
            return self._lost(member, f"the Ray actor on {address} was lost: {reply['lost']}")
        if not member.is_ready:
            return self._joined(member, json.loads(reply["line"]))
        found = json.loads(reply["line"])
        if "error" in found:
            raise raised(found)
        return [self._back(member, Attempt.from_json(found["attempt"]))]

    def _joined(self, member: _Member, told: Message) -> list[Report]:
        """Somebody is ready.

        Raises:
            EdgesearchError: it has other versions than are here.
        """
        _check_same(member.place.node, told)
        self._processors[member.place.node.address] = f"{told['machine']['processor']}, {told['machine']['cpus']} CPUs"
        self._failures.pop(_key(member.place), None)
        member.is_ready, member.since = True, self._clock()
        return [self._changed()]

    def _back(self, member: _Member, attempt: Attempt) -> Tried:
        taken = member.taken
        assert taken is not None, "nobody replies without an order"
        member.loaded = None if attempt.lost else taken.number
        member.taken, member.due = None, math.inf
        if attempt.solved is not None and self._is_shared(member):
            attempt = dataclasses.replace(attempt, solved=dataclasses.replace(attempt.solved, joules=None))
        return Tried(taken, attempt)

    def _is_shared(self, member: _Member) -> bool:
        """Whether its machine's energy is another worker's as well."""
        return sum(each.node.address == member.place.node.address for each in self._places) > 1

    def _lost(self, member: _Member, reason: str) -> list[Report]:
        """A worker is gone with its actor; its place is filled again at the next scan."""
        is_loading, taken = member.is_loading, member.taken
        self._leave(member)
        if not member.is_ready:
            self._failures[_key(member.place)] += 1
            self._last_failure = reason
            return []
        reports: list[Report] = [self._changed()]
        if taken is not None:
            reports.append(Tried(taken, Attempt(lost=reason, is_loading=is_loading)))
        return reports


def _key(place: Place) -> tuple[str, int]:
    return place.node.id, place.number


def _check_same(found: Node, told: Message) -> None:
    """Whether a node runs what runs here.

    Raises:
        EdgesearchError: it does not; names the first difference.
    """
    here = node.versions()
    for name in sorted(here.keys() | told["versions"].keys()):
        there, own = told["versions"].get(name, "none"), here.get(name, "none")
        if there != own:
            raise EdgesearchError(
                f"node {found.address} ({told['host']}) has {name} {there}, and this machine {own}, so results could "
                f"differ; install the same on every node: {INSTALL}"
            )
    if told["code"] != node.code():
        raise EdgesearchError(
            f"node {found.address} ({told['host']}) has edgesearch {here['edgesearch']} with other code than this "
            "machine, so results could differ; install the same on every node"
        )
