"""Monte Carlo tree search over steps: PUCT selection, with the verifier's scores as values.

A simulation goes down from the root to the child with the highest PUCT(s) = Q(s) + c P(s) sqrt(N) / (1 + N(s)), where
N counts the visits of s and its siblings together and c = c_puct + log((1 + N + 19652) / 19652). At a leaf it draws m
children, which the verifier scores, and goes on down among them, until it comes to a solution. The solution's score is
then backed up: Q is the mean of what the simulations through a node came to, and the node's own score before the first.
So the first simulation is a greedy search by score, and later ones leave its way where that promises more. All
solutions that were drawn compete for the answer, also those that no simulation went to.

A node that is visited often is drawn from again, m more children at a time (widening, see tree.py); copies of one step
are one child. Coming to a solution again costs nothing.

Simulations are made as long as one more, if it comes to a solution as long as the longest so far, leaves the cost
within n solutions of that length: about n/m, and more where they share steps. With n below m there are n children.

`parallel` simulations run side by side, so that the solver's batch is filled; each counts as a visit that brought
nothing while it runs (virtual loss). They see less of each other's results than one after the other would.

The engine has memory for about 2n beams, half of it for children. Of more than n nodes that could be drawn from, those
with the lowest Q are given up. A beam that a token limit cut off is worth 0.

Cost: at most n steps drawn and verified for every step of the longest solution. It lasts about n / (m * parallel)
solutions, but at least one.

Priors: `uniform` is each child's share of the draws. Children are drawn from the solver, so that a likely step is
already more likely to be among them; `likelihood` also weighs each by the geometric mean of its tokens' probabilities,
as OpenR does.

Sources: PUCT and its constants: Silver et al., "AlphaZero", Science 2018 (pseudocode); with step scores as values, and
simulations that go down to a solution: Wang et al., "OpenR", arXiv 2410.09671, and its code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgesearch.search.base import Expand, Judge, Search, SearchConfig, Strategy
from edgesearch.search.tree import Node, num_children, worth
from edgesearch.types import Aggregator, Beam

_BASE = 19652
PRIORS = ("uniform", "likelihood")


@dataclass(frozen=True, slots=True)
class MctsOptions:
    """Settings of Monte Carlo tree search with PUCT."""

    c_puct: float = 1.25
    """Weight of exploration; >= 0."""
    prior: str = "uniform"
    """uniform or likelihood."""
    parallel: int = 4
    """Simulations that run side by side, at most n/m; >= 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.c_puct < math.inf:
            raise ValueError(f"c_puct must be >= 0, not {self.c_puct}")
        if self.prior not in PRIORS:
            raise ValueError(f"prior must be one of {', '.join(PRIORS)}, not {self.prior!r}")
        if self.parallel < 1:
            raise ValueError(f"parallel must be >= 1, not {self.parallel}")


def rounds(config: SearchConfig, options: MctsOptions) -> float:
    """One for each set of simulations that run side by side."""
    return float(math.ceil(config.n // num_children(config) / options.parallel))


def mcts(root: Beam, config: SearchConfig, options: MctsOptions) -> Search:
    """Goes down, draws children, judges them and goes on, until what n solutions cost is spent."""
    m = num_children(config)
    tree = Tree(root, m, options)
    places: list[Node] = []  # where the simulations under way stand
    num_drawn = depth = 0
    while True:
        places = tree.moved(places)
        while len(places) < min(options.parallel, config.n // m) and (place := tree.start()):
            cost = sum(m * (depth - len(each.beam.steps)) for each in (*places, place))
            if num_drawn + cost > config.n * depth:
                tree.give_up(place)
                break
            places.append(place)
        if not places:
            return
        keep = tree.kept(places, config.n)
        children = yield Expand([place.beam for place in places for _ in range(m)], keep=keep)
        children = yield Judge(children)
        if len(children) < len(places) * m:
            return  # the engine has no room to go on
        num_drawn, depth = num_drawn + len(children), max(depth, *(len(child.steps) for child in children))
        for index, place in enumerate(places):
            tree.grow(place, children[index * m : (index + 1) * m], config.aggregator)


class Tree:
    """The nodes, and which of them can be drawn from."""

    def __init__(self, root: Beam, m: int, options: MctsOptions) -> None:
        self._root = Node(root, num_open=1)
        self._m, self._options = m, options
        self._held: dict[Node, None] = {self._root: None}  # nodes that the engine holds; a set that keeps its order

    def start(self) -> Node | None:
        """Where a new simulation draws next; None where it would have to wait for others. It takes the place.

        Simulations that come to a solution without a draw end, and the next one starts.
        """
        while self._root.num_open:
            if place := self._down(self._root.enter()):
                return place
        return None

    def moved(self, places: Sequence[Node]) -> list[Node]:
        """Where simulations draw next that have just drawn at these places; fewer where some come to their end."""
        moved = []
        for place in places:
            if not place.num_open:  # only copies of steps that others are at, or that were given up
                place.leave()
            elif following := self._down(self._best_child(place).enter()):
                moved.append(following)
        return moved

    def give_up(self, place: Node) -> None:
        """Ends a simulation that has taken this place, as if it had never started."""
        place.num_draws -= self._m
        if not place.num_draws:
            place.open(1)
        place.leave()

    def kept(self, places: Sequence[Node], most: int) -> list[Beam]:
        """The beams that can be drawn from later: root and places, then those with the highest Q."""
        first = dict.fromkeys((self._root, *places))
        others = sorted(self._held.keys() - first.keys(), key=lambda node: (-node.mean, node.beam.node))
        room = max(0, most - len(first))
        for node in others[room:]:
            if not node.num_draws:
                node.open(-1)
        self._held = first | dict.fromkeys(others[:room])
        return [node.beam for node in self._held]

    def grow(self, place: Node, beams: Sequence[Beam], aggregator: Aggregator) -> None:
        """Gives a node the children that were drawn, and all its children their priors."""
        for beam in beams:
            child = place.adopt(beam, worth(beam, aggregator))
            if child.num_copies == 1:
                child.open(1)
                if beam.is_alive:
                    self._held[child] = None
        is_weighed = self._options.prior == "likelihood"
        weights = [child.num_copies * (likelihood(child.beam) if is_weighed else 1.0) for child in place.children]
        total = math.fsum(weights)
        for child, weight in zip(place.children, weights, strict=True):
            child.prior = weight / total

    def _down(self, node: Node) -> Node | None:
        """From a node that a simulation has entered to where it draws; None where it came to a solution."""
        while node.beam.is_alive:
            if node in self._held and node.wants_draws(self._m):
                if not node.num_draws:
                    node.open(-1)
                node.num_draws += self._m
                return node
            node = self._best_child(node).enter()
        node.back_up(node.value)
        return None

    def _best_child(self, node: Node) -> Node:
        """The child that promises most, of those below which there is somewhere to go."""
        visits = sum(child.tries for child in node.children)
        children = (child for child in node.children if child.num_open)
        return max(children, key=lambda child: puct(child, visits, self._options.c_puct))


def puct(node: Node, visits: int, c_puct: float) -> float:
    """How much a node promises, with that many visits of it and its siblings together; see the module's text."""
    weight = c_puct + math.log((1 + visits + _BASE) / _BASE)
    return node.mean_with_losses + weight * node.prior * math.sqrt(visits) / (1 + node.tries)


def likelihood(beam: Beam) -> float:
    """The geometric mean of the probabilities of its last step's tokens."""
    step = beam.steps[-1]
    return math.exp(step.logprob / max(1, len(step.token_ids)))


STRATEGIES = (
    Strategy(
        "mcts",
        mcts,
        "best",
        needs_scores=True,
        is_stepwise=True,
        summary="tree search with the verifier's scores as values (PUCT), at the cost of n solutions",
        options=MctsOptions,
        uses_m=True,
        rounds=rounds,
    ),
)
