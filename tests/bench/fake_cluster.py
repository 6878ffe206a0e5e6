"""A cluster in this process: its actors are real ones with real worker processes, on nodes that exist in name only."""

import dataclasses
import json
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

from edgesearch.bench.lines import Message
from edgesearch.bench.node import NodeWorker, Settings
from edgesearch.bench.places import Node, Place


class FakeCluster:
    """See `edgesearch.bench.cluster.Cluster`. A test may lose actors and change what nodes there are."""

    def __init__(self, *names: str, num_cpus: float = 1.0, num_gpus: float = 0.0) -> None:
        self.living = [Node(name, f"10.0.0.{number}", num_cpus, num_gpus) for number, name in enumerate(names)]
        self.actors: dict[int, NodeWorker] = {}
        self.places: dict[int, Place] = {}
        self.orders: list[tuple[int, str]] = []
        """All that was asked of actors: number and line."""
        self.told: Message = {}
        """What every node says of itself that is not so."""
        self.instead: Callable[[int, str], Message | None] = lambda actor, line: None
        """A reply in place of the actor's own; called before an order is carried out."""
        self._pool = futures.ThreadPoolExecutor(8)
        self._pending: dict[futures.Future[Message], int] = {}

    def nodes(self) -> list[Node]:
        return list(self.living)

    def start(self, actor: int, place: Place, settings: Settings) -> None:
        self.actors[actor] = NodeWorker(dataclasses.asdict(settings))
        self.places[actor] = place
        self._submit(actor, "", lambda: json.dumps({**json.loads(self.actors[actor].describe()), **self.told}))

    def work(self, actor: int, line: str) -> None:
        self.orders.append((actor, line))
        self._submit(actor, line, lambda: self.actors[actor].work(line))

    def _submit(self, actor: int, line: str, act: Callable[[], str]) -> None:
        instead = self.instead(actor, line)
        found: futures.Future[Any] = self._pool.submit(lambda: instead or {"line": act()})
        self._pending[found] = actor

    def wait(self, wait_s: float) -> list[Message]:
        if not self._pending:
            time.sleep(wait_s)
            return []
        ready, _ = futures.wait(self._pending, wait_s, futures.FIRST_COMPLETED)
        return [{"actor": self._pending.pop(each), **each.result()} for each in ready]

    def stop(self, actor: int) -> None:
        self._pending = {found: each for found, each in self._pending.items() if each != actor}
        self.actors.pop(actor)._station.end()

    def close(self) -> None:
        for actor in self.actors.values():
            actor._station.end()
        self._pool.shutdown()
