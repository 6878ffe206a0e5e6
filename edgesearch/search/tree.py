"""A search tree with statistics, for Monte Carlo tree search: what is known of a node, and how simulations pass it.

A simulation enters nodes from the root down and, once it knows what its end is worth, backs that up along its way. In
between it stands for a visit that brought nothing (virtual loss), so that simulations that run side by side spread.

A solver's next steps cannot be listed, only drawn. So a node has few draws at first, and more as more simulations pass
(progressive widening): the number of draws follows the square root of the visits.

Not covered: how children are compared (mcts.py, uct.py).

Sources: Chaslot et al., "Parallel Monte-Carlo tree search", 2008 (virtual loss); Couetoux et al., "Continuous upper
confidence trees", 2011 (widening).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from edgesearch.search.base import SearchConfig
from edgesearch.search.select import aggregate
from edgesearch.types import Aggregator, Beam


@dataclass(slots=True, eq=False)
class Node:
    """A beam and what simulations found beyond it. Unlike all other data of a search, it changes."""

    beam: Beam
    parent: "Node | None" = None
    value: float = 0.0
    """What the verifier says of the beam itself, in [0, 1]."""
    children: list["Node"] = field(default_factory=list)
    num_copies: int = 1
    """Draws from its parent that gave this step."""
    num_draws: int = 0
    """Draws from it, those under way included."""
    prior: float = 1.0
    """Its share among its siblings before anything is known of them."""
    visits: int = 0
    """Simulations that passed and ended."""
    total: float = 0.0
    """Sum of what their ends were worth."""
    pending: int = 0
    """Simulations that passed and have not ended."""
    num_open: int = 0
    """Places where a simulation can still come to an end or to a first draw, at it and below it."""

    @property
    def tries(self) -> int:
        """Simulations that passed, ended or not."""
        return self.visits + self.pending

    @property
    def mean(self) -> float:
        """What a simulation that passed was worth; its own value where none has ended."""
        return self.total / self.visits if self.visits else self.value

    @property
    def mean_with_losses(self) -> float:
        """The same, with simulations that have not ended as worth 0."""
        return self.total / self.tries if self.tries else self.value

    def lineage(self) -> Iterator["Node"]:
        """Itself and its ancestors, up to the root."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def wants_draws(self, m: int) -> bool:
        """Whether it can grow and has fewer draws than m, or than the square root of m times its visits."""
        return self.beam.is_alive and (self.num_draws < m or self.num_draws**2 < m * self.visits)

    def adopt(self, beam: Beam, value: float) -> "Node":
        """The child for a step that was drawn: the one that it is a copy of, or a new one."""
        for child in self.children:
            if _is_copy(child.beam, beam):
                child.num_copies += 1
                return child
        self.children.append(Node(beam, self, value))
        return self.children[-1]

    def open(self, change: int) -> None:
        """Counts such a place at this node, or takes it off."""
        for node in self.lineage():
            node.num_open += change

    def enter(self) -> "Node":
        """A simulation passes."""
        self.pending += 1
        return self

    def leave(self) -> None:
        """A simulation that came to here is given up."""
        for node in self.lineage():
            node.pending -= 1

    def back_up(self, worth: float) -> None:
        """A simulation that came to here has ended."""
        for node in self.lineage():
            node.pending -= 1
            node.visits += 1
            node.total += worth


def worth(beam: Beam, aggregator: Aggregator) -> float:
    """What a judged beam is worth, in [0, 1]; 0 if a limit cut it off, since it is no solution and cannot go on."""
    return aggregate(beam.scores, aggregator) if beam.finish in ("step", "stop") else 0.0


def num_children(config: SearchConfig) -> int:
    """m, or n where that is less."""
    return min(config.m, config.n)


def _is_copy(one: Beam, other: Beam) -> bool:
    """Whether two beams that were drawn from one node took the same step."""
    return one.steps[-1].text == other.steps[-1].text and one.finish == other.finish
