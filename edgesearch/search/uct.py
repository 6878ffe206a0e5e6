"""Monte Carlo tree search with rollouts: plain UCT.

A simulation goes down from the root to the child with the highest UCB1(s) = Q(s) + c sqrt(ln N / N(s)), where N counts
the visits of s and its siblings together, until it comes to a node with too few draws. There it draws one step, which
becomes a child, and from the child a rollout to the end of the solution. The verifier's score of that solution is
backed up: Q is the mean over the simulations through a node. A rollout is a solution like any other and competes for
the answer; its further steps do not become nodes. Nothing is decided by the score of an unfinished beam.

A node has m draws before simulations pass on to its children, and more when it is visited often (widening, see
tree.py). A step that was drawn before from the same node is the same child and gets another rollout. Where a child is
itself a solution, its score stands for the rollout's, and coming to it again costs nothing. A solution that a token
limit cut off is worth 0.

n rollouts are made, so that n means what it means in best-of-n. `parallel` of them are drawn side by side, so that the
solver's batch is filled; each counts as a visit that brought nothing while it runs (virtual loss).

Cost: at most n solutions drawn and verified, less the steps that rollouts share with the tree. It lasts n / parallel
solutions. The engine keeps at most n + 1 beams beside those being grown.

Source: Kocsis and Szepesvari, "Bandit based Monte-Carlo planning", 2006. c = 1.4 is about the square root of 2, as in
UCB1 (Auer et al. 2002), and the value that optillm takes for its rStar.
"""

import math
from dataclasses import dataclass

from edgesearch.search.base import Expand, Judge, Search, SearchConfig, Strategy
from edgesearch.search.select import alive
from edgesearch.search.tree import Node, num_children, worth
from edgesearch.types import Beam


@dataclass(frozen=True, slots=True)
class UctOptions:
    """Settings of UCT."""

    c: float = 1.4
    """Weight of exploration; >= 0."""
    parallel: int = 4
    """Rollouts that are drawn side by side; >= 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.c < math.inf:
            raise ValueError(f"c must be >= 0, not {self.c}")
        if self.parallel < 1:
            raise ValueError(f"parallel must be >= 1, not {self.parallel}")


def rounds(config: SearchConfig, options: UctOptions) -> float:
    """One for each set of rollouts that are drawn side by side."""
    return float(math.ceil(config.n / options.parallel))


def uct(root: Beam, config: SearchConfig, options: UctOptions) -> Search:
    """Goes down, draws a step and a rollout, judges it and backs it up, n times."""
    m, num_left = num_children(config), config.n
    tree = Node(root)
    kept = [root]  # beams of all nodes that can grow, since the copy of a step comes back as the beam drawn first
    while num_left:
        places: list[Node] = []
        while len(places) < min(num_left, options.parallel) and (place := descend(tree, m, options.c)):
            places.append(place)
        num_left -= len(places)
        children = yield Expand([place.beam for place in places], keep=kept)
        children = yield Judge(children)
        if len(children) < len(places):
            return  # the engine has no room to go on
        kept += alive(children)
        ends = yield Expand(alive(children), is_to_end=True, keep=kept if num_left else ())
        ends = yield Judge(ends)
        rollouts = iter(ends)
        for place, child in zip(places, children, strict=True):
            end = next(rollouts) if child.is_alive else child
            value = worth(end, config.aggregator)
            place.adopt(child, value).enter().back_up(value)


def descend(root: Node, m: int, c: float) -> Node | None:
    """Where a new simulation draws its step; None where it must wait for those under way.

    Simulations that come to a solution again end, and the next one starts.
    """
    node = root.enter()
    while not node.wants_draws(m):
        if not node.beam.is_alive:
            node.back_up(node.value)
            node = root.enter()
        elif node.children:
            visits = sum(child.tries for child in node.children)
            node = max(node.children, key=lambda child: ucb(child, visits, c)).enter()
        else:
            node.leave()
            return None
    node.num_draws += 1
    return node


def ucb(node: Node, visits: int, c: float) -> float:
    """How much a node promises, with that many visits of it and its siblings together: UCB1."""
    return node.mean_with_losses + c * math.sqrt(math.log(visits) / node.tries)


STRATEGIES = (
    Strategy(
        "uct",
        uct,
        "best",
        needs_scores=True,
        is_stepwise=True,
        summary="tree search with scored rollouts as values (UCT), n rollouts",
        options=UctOptions,
        uses_m=True,
        rounds=rounds,
    ),
)
