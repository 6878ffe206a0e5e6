"""Places: where on a cluster there is room for a worker, by what each node has and what each worker is to have.

Not covered: whether it is free just now, which Ray knows (ray_cluster.py); who is put there (cluster.py).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster."""

    id: str
    address: str
    num_cpus: float
    """That Ray counts there in all."""
    num_gpus: float

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.address} ({self.num_cpus:g} CPUs, {self.num_gpus:g} GPUs)"


@dataclass(frozen=True, slots=True)
class Share:
    """What of a node each worker has to itself."""

    cpus: int | None = None
    """None for an equal part of its node's, which is all of them without `gpus`."""
    gpus: float = 0.0
    """May be a part of one. A worker without any sees none, as Ray has it."""

    def __post_init__(self) -> None:
        if self.cpus is not None and self.cpus < 1:
            raise ValueError(f"cpus must be >= 1, not {self.cpus}")
        if not (math.isfinite(self.gpus) and self.gpus >= 0):
            raise ValueError(f"gpus must be >= 0, not {self.gpus}")

    @property
    def words(self) -> str:
        """For people."""
        cpus = "at least 1 CPU" if self.cpus is None else f"{self.cpus} CPUs"
        return f"{cpus} and {self.gpus:g} GPUs" if self.gpus else cpus


@dataclass(frozen=True, slots=True)
class Place:
    """Room for a worker."""

    node: Node
    number: int
    """Among those of its node, from 0."""
    num_cpus: int
    num_gpus: float


def places(nodes: Sequence[Node], share: Share) -> list[Place]:
    """Where workers fit: on each node as many as its CPUs and GPUs hold, the first of every node first."""
    found = [place for each in nodes for place in _places_on(each, share)]
    return sorted(found, key=lambda place: place.number)


def _places_on(found: Node, share: Share) -> list[Place]:
    num_cpus = int(found.num_cpus)
    by_cpus = num_cpus if share.cpus is None else num_cpus // share.cpus
    by_gpus = int(found.num_gpus / share.gpus + 1e-9) if share.gpus else by_cpus
    most = min(by_cpus, by_gpus)
    if share.cpus is None and not share.gpus:
        most = min(most, 1)
    if most < 1:
        return []
    cpus = share.cpus or num_cpus // most
    return [Place(found, number, cpus, share.gpus) for number in range(most)]
