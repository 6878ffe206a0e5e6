"""The end of a cluster that solves: what runs on a node, as the body of a Ray actor.

It owns one station, and so one supervised worker process on its node. Before it loads an engine it resolves it by
itself, built-in models by their name and files by their path, and refuses one whose files, manifest or settings are
not those that the run was planned with. What is said is text, so that nothing but data crosses; there is no target in
it.

Not covered: where actors are put and what they are given to do (cluster.py), Ray itself (ray_bridge.py).
"""

import hashlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import edgesearch
from edgesearch.bench import units
from edgesearch.bench.messages import failure
from edgesearch.bench.recipe import Engine
from edgesearch.bench.station import Attempt, Order, Patience, Station
from edgesearch.bench.units import Source
from edgesearch.bench.worker import COMMAND
from edgesearch.errors import EdgesearchError, IntegrityError

_NOT_ON_NODES = ("python", "math-verify")
"""What results on a node do not depend on, or what Ray itself checks."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How an actor is set up."""

    number: int
    """Of the worker on its node, from 0."""
    num_cpus: int
    """Of the node's that are this worker's."""
    node_cpus: int
    """That the node has in all."""
    command: tuple[str, ...] | None = None
    """What to start as a worker; None for the node's own."""
    load_s: float = Patience().load_s
    grace_s: float = Patience().grace_s


class NodeWorker:
    """The actor: told what it is once, then order after order."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Starts nothing yet.

        Args:
            settings: the fields of `Settings`.
        """
        chosen = Settings(**settings)
        _pin(chosen)
        self._station = Station(chosen.command or COMMAND, Patience(chosen.load_s, chosen.grace_s))
        self._resolved: dict[Engine, Source] = {}

    def describe(self) -> str:
        """What the node is: a JSON object of `host`, `code`, `versions` and `machine`."""
        machine = units.machine()
        return json.dumps({"host": socket.gethostname(), "code": code(), "versions": versions(), "machine": machine})

    def work(self, line: str) -> str:
        """Carries out an order; returns `{"attempt": ...}`, or `{"error", "kind"}` for what ends the run."""
        try:
            return json.dumps({"attempt": self._attempt(Order.from_json(json.loads(line))).as_json()}, allow_nan=False)
        except EdgesearchError as error:
            return json.dumps(failure(error))

    def _attempt(self, order: Order) -> Attempt:
        if not self._station.holds(order.load):
            self._check(order)
        return self._station.attempt(order)

    def _check(self, order: Order) -> None:
        """Whether the engine is here what it is where the run was planned. Files that did not change are read once.

        Raises:
            IntegrityError: it is another.
            ModelNotFound: it is not here.
        """
        engine, host = order.load.engine, socket.gethostname()
        try:
            source = self._resolved.get(engine)
            if source is None:
                source = self._resolved[engine] = units.resolve(engine)
            for file in source.files:
                file.check()
        except EdgesearchError as error:
            raise type(error)(f"on {host}: {error}") from error
        if differing := _differing(order.digests, source.digests):
            raise IntegrityError(
                f"on {host}, the {differing[0]} of engine {engine.id!r} is not what the run was planned with; put the "
                "same files there as on the machine that runs the command"
            )


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]


def versions() -> dict[str, str]:
    """Of the packages that what a node solves depends on; both builds of ONNX Runtime go by one name."""
    found = {name: version for name, version in units.versions().items() if name not in _NOT_ON_NODES}
    if "onnxruntime-gpu" in found:
        found["onnxruntime"] = found.pop("onnxruntime-gpu")
    return found


@lru_cache(maxsize=1)
def code() -> str:
    """A digest of edgesearch's source files: two checkouts of one version differ."""
    root = Path(edgesearch.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _pin(settings: Settings) -> None:
    """Keeps this process and its worker to CPUs of their own, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        own = own_cpus(settings, sorted(os.sched_getaffinity(0)))
        if own:
            os.sched_setaffinity(0, own)


def own_cpus(settings: Settings, usable: Sequence[int]) -> Sequence[int]:
    """The CPUs of one worker among several on a node; empty where it has all of them.

    Also empty where Ray counts other CPUs than the process may use: then nobody knows whose are which.
    """
    if len(usable) != settings.node_cpus or settings.num_cpus >= settings.node_cpus:
        return ()
    first = settings.number * settings.num_cpus
    return usable[first : first + settings.num_cpus]
