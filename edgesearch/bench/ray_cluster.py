"""A Ray cluster as the runner sees it: nodes, and actors that take orders, through a process that talks to Ray.

    with connected("10.0.0.1:6379", Share()) as crew:
        for event in Runner(plan, "run.sqlite", crew=crew).events(): ...

Not covered: that process (ray_bridge.py); who gets which order (cluster.py); starting a cluster, which Ray's own
commands do: `ray start --head` on one machine, `ray start --address=HOST:PORT` on the others. The machine that runs the
command must be one of them.

Source: https://docs.ray.io/en/latest/cluster/vms/user-guides/launching-clusters/on-premises.html.
"""

import dataclasses
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from edgesearch.bench import ray_bridge
from edgesearch.bench.cluster import INSTALL, ClusterCrew
from edgesearch.bench.lines import Message
from edgesearch.bench.messages import raised
from edgesearch.bench.node import Settings
from edgesearch.bench.places import Node, Place, Share
from edgesearch.bench.process import Worker, WorkerGone
from edgesearch.errors import EndpointError, UsageError

CONNECT_S = 30.0
_BRIDGE_S = 60.0
"""For an answer of the process that talks to Ray, which is there at once."""


class RayCluster:
    """A Ray cluster, through a process of its own. Close it in the end."""

    def __init__(self, address: str, *, connect_s: float = CONNECT_S) -> None:
        """Connects.

        Args:
            address: HOST:PORT of `ray start --head`, or `auto` for the cluster that this machine is part of.
            connect_s: how long to wait for it.

        Raises:
            EndpointError: nobody answers there, or Ray refuses.
            UsageError: Ray is not installed here, or the address is of another kind.
        """
        if "://" in address:
            raise UsageError(f"{address} is no address of a cluster; give HOST:PORT of ray start --head, or auto")
        if importlib.util.find_spec("ray") is None:
            raise UsageError(f"a run over a cluster needs Ray; install it here and on every node: {INSTALL}")
        self._bridge = Worker(ray_bridge.COMMAND)
        try:
            self._ask({"connect": address}, connect_s)
        except WorkerGone as gone:
            self.close()
            raise EndpointError(
                f"no Ray cluster answers at {address} ({gone}); check it with: ray status --address={address}"
            ) from gone
        except BaseException:
            self.close()
            raise

    def nodes(self) -> list[Node]:
        """See `Cluster.nodes`."""
        return [Node(**found) for found in self._told({"nodes": True})["nodes"]]

    def start(self, actor: int, place: Place, settings: Settings) -> None:
        """See `Cluster.start`."""
        wanted = {"node": place.node.id, "num_cpus": place.num_cpus, "num_gpus": place.num_gpus}
        self._told({"start": actor, "place": wanted, "settings": dataclasses.asdict(settings)})

    def work(self, actor: int, line: str) -> None:
        """See `Cluster.work`."""
        self._told({"work": actor, "line": line})

    def wait(self, wait_s: float) -> list[Message]:
        """See `Cluster.wait`."""
        replies: list[Message] = self._told({"wait_s": wait_s})["replies"]
        return replies

    def stop(self, actor: int) -> None:
        """See `Cluster.stop`."""
        self._told({"stop": actor})

    def _told(self, message: Message) -> Message:
        try:
            return self._ask(message, _BRIDGE_S)
        except WorkerGone as gone:
            raise EndpointError(
                f"the connection to Ray was lost ({gone}); run the same command again to go on"
            ) from gone

    def _ask(self, message: Message, timeout_s: float) -> Message:
        reply = self._bridge.ask(message, timeout_s)
        if "error" in reply:
            raise raised(reply)
        return reply

    def close(self) -> None:
        """Leaves the cluster; Ray ends whatever is left of the actors."""
        self._bridge.close()


@contextmanager
def connected(address: str, share: Share) -> Iterator["ClusterCrew"]:
    """The crew of a Ray cluster, until the end of the context.

    Raises:
        EndpointError, UsageError: as `RayCluster` and `ClusterCrew`.
    """
    cluster = RayCluster(address)
    try:
        yield ClusterCrew(cluster, share)
    finally:
        cluster.close()
