"""The one place that talks to Ray: a process between the runner and the cluster.

Why a process: connecting to an address where no cluster answers takes Ray minutes and cannot be broken off, Ray writes
to stdout what it thinks the user should know, and it takes over signals. Here it can be killed, it is not heard, and
whatever becomes of it is an error with a reason. When it ends, however it ends, Ray ends the actors that it started.

    {"id": 1, "connect": "10.0.0.1:6379"}                          {"id": 1, "connected": true}
    {"id": 2, "nodes": true}                                       {"id": 2, "nodes": [{"id": "1b9e...", ...}]}
    {"id": 3, "start": 0, "place": {...}, "settings": {...}}       {"id": 3}
    {"id": 4, "work": 0, "line": "..."}                            {"id": 4}
    {"id": 5, "wait_s": 0.2}                                       {"id": 5, "replies": [{"actor": 0, "line": "..."}]}
    {"id": 6, "stop": 0}                                           {"id": 6}

An actor is known by a number that the runner gives it. Its first reply describes its node, the others answer `work`;
in place of a `line` there is `lost` (the actor or its node died) or `failed` (it cannot do what it is there for).

Not covered: where actors are put and what they are given to do (cluster.py), what they do (node.py).
"""

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from edgesearch.bench import lines
from edgesearch.bench.lines import Message
from edgesearch.bench.messages import failure
from edgesearch.bench.node import NodeWorker
from edgesearch.errors import EdgesearchError, EndpointError

COMMAND = (sys.executable, "-P", "-m", "edgesearch.bench.ray_bridge")
_MAX_WORDS = 300
_COLOUR = re.compile(r"\x1b\[\d*m")
_NAMED = re.compile(r"[\w.]+(?:Error|Exception): ")


class Bridge:
    """A connection to a Ray cluster, and the actors on it."""

    def __init__(self, address: str) -> None:
        """Connects.

        Raises:
            EndpointError: Ray refuses.
        """
        import ray

        self._ray = ray
        self._actors: dict[int, Any] = {}
        self._pending: dict[Any, int] = {}
        """By the reference of what is awaited: the actor's number."""
        try:
            with _nowhere():
                ray.init(address=address, log_to_driver=False, configure_logging=False)
        except Exception as error:  # Ray's are of many kinds
            raise EndpointError(
                f"Ray cannot connect to {address} ({_words(error)}); this machine must be part of the "
                "cluster: ray start --address=HOST:PORT"
            ) from error

    def nodes(self) -> list[Message]:
        """The living nodes, and what each has in all."""
        return [_node(found) for found in self._ray.nodes() if found["Alive"]]

    def start(self, actor: int, place: Message, settings: Message) -> None:
        """Begins an actor on a node; it may wait there for its resources."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        made = self._ray.remote(NodeWorker).options(
            num_cpus=place["num_cpus"],
            num_gpus=place["num_gpus"],
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place["node"], soft=False),
        )
        self._actors[actor] = made.remote(settings)
        self._pending[self._actors[actor].describe.remote()] = actor

    def work(self, actor: int, line: str) -> None:
        """Gives an actor an order."""
        self._pending[self._actors[actor].work.remote(line)] = actor

    def wait(self, wait_s: float) -> list[Message]:
        """What has come back; waits for the first reply, and at most that long."""
        if not self._pending:
            time.sleep(wait_s)
            return []
        ready, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=wait_s)
        if ready:
            ready, _ = self._ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
        return [{"actor": self._pending.pop(each), **self._reply(each)} for each in ready]

    def _reply(self, reference: Any) -> Message:
        errors = self._ray.exceptions
        try:
            return {"line": self._ray.get(reference)}
        except errors.RayError as error:
            is_unusable = isinstance(error, errors.RayTaskError) or "creation task" in str(error)
            return {"failed" if is_unusable else "lost": _words(error)}

    def stop(self, actor: int) -> None:
        """Ends an actor now, and forgets it; its worker process ends with it."""
        self._pending = {reference: each for reference, each in self._pending.items() if each != actor}
        self._ray.kill(self._actors.pop(actor))


@contextmanager
def _nowhere() -> Iterator[None]:
    """A working directory that is gone afterwards: Ray lets actors import from the driver's, if they have such a one.

    A node should use what is installed there, and not a checkout that happens to lie at the same place.
    """
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(os.sep)


def _node(found: Message) -> Message:
    resources = found["Resources"]
    return {
        "id": found["NodeID"],
        "address": found["NodeManagerAddress"],
        "num_cpus": resources.get("CPU", 0.0),
        "num_gpus": resources.get("GPU", 0.0),
    }


def _words(error: BaseException) -> str:
    """Ray's messages go on for pages; what counts is the last error that they name, or else their first line."""
    told = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    named = [line for line in told if _NAMED.match(line)]
    return (named or told[:1] or [type(error).__name__])[-1].rstrip(".:")[:_MAX_WORDS]


def serve(requests: Iterable[Message], send: Callable[[Message], None]) -> int:
    """Answers requests, the first of which connects; returns the exit code."""
    bridge: Bridge | None = None
    for request in requests:
        try:
            if bridge is None:
                bridge = Bridge(request["connect"])
                reply: Message = {"connected": True}
            else:
                reply = _answer(bridge, request)
        except EdgesearchError as error:
            reply = failure(error)
        send({"id": request["id"], **reply})
    return 0


def _answer(bridge: Bridge, request: Message) -> Message:
    match request:
        case {"nodes": True}:
            return {"nodes": bridge.nodes()}
        case {"start": actor, "place": place, "settings": settings}:
            bridge.start(actor, place, settings)
        case {"work": actor, "line": line}:
            bridge.work(actor, line)
        case {"wait_s": wait_s}:
            return {"replies": bridge.wait(wait_s)}
        case {"stop": actor}:
            bridge.stop(actor)
        case _:
            raise EdgesearchError(f"the bridge to Ray does not understand {request!r:.80}")
    return {}


if __name__ == "__main__":
    lines.answer(serve)
