"""The nodes of a trace as a tree to look at: equal siblings are one branch, and each branch knows what lies below it.

Samples are drawn side by side, so the same step is often drawn several times after the same steps; only one of its
copies is scored, and the search goes on from that one. As one branch they show what happened: a step, how often it was
drawn, its score and all that came after it. Branches of different waves stay apart, but what was scored in one of them
has that score in all.

Not covered: how a tree is drawn (page.py, the command's render_trace.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from edgesearch import answer
from edgesearch.trace.model import End, Node, Trace, Wave
from edgesearch.types import Finish

Fate = Literal["grown", "finished", "length", "deadline", "dropped"]
"""What became of a branch: the search went on from it, or it ended by itself, at a token limit or with the time, or
nothing was drawn after it."""

_FINALITY: tuple[Finish, ...] = ("step", "deadline", "length", "stop")


@dataclass(slots=True)
class Branch:
    """A step after certain steps, however often it was drawn. Filled by `grow`, and read-only afterwards."""

    number: int
    parent: int | None
    """The branch before it; None for a first step."""
    prompt: int
    wave: int
    text: str
    depth: int
    """1 for a first step."""
    members: list[int] = field(default_factory=list)
    """The nodes that it is made of, in their order; never empty."""
    children: list[int] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    """Candidates that end here."""
    kind: int = 0
    """The same for branches with the same texts up to here."""
    first_s: float = 0.0
    """When it was drawn for the first time."""
    score: float | None = None
    """Of the first copy that was scored."""
    scored_at_s: float | None = None
    finish: Finish = "step"
    proof: bool | None = None
    is_chosen: bool = False
    """Whether it lies on the way to the chosen solution."""
    is_live: bool = False
    """Whether a solution below it came to its end by itself."""
    num_below: int = 0
    """Branches below it."""
    best_score: float | None = None
    """Highest score of it and of all below it."""

    @property
    def fate(self) -> Fate:
        """What became of it."""
        if self.children:
            return "grown"
        match self.finish:
            case "stop":
                return "finished"
            case "step":
                return "dropped"
            case _:
                return self.finish


@dataclass(frozen=True, slots=True)
class Span:
    """One wave, as it went."""

    number: int
    wave: Wave | None
    """As it began; None where that was not recorded."""
    started_s: float
    ended_s: float
    """When its last step was drawn or scored."""
    num_nodes: int
    ends: tuple[End, ...]


def grow(trace: Trace) -> list[Branch]:
    """The branches, each behind its parent."""
    branches: list[Branch] = []
    found: dict[tuple[int | None, int, int, str], Branch] = {}
    homes: list[Branch] = []  # of every node
    for number, node in enumerate(trace.nodes):
        above = homes[node.parent] if node.parent is not None else None
        key = (above.number if above else None, node.prompt, node.wave, node.text)
        if key not in found:
            depth = above.depth + 1 if above else 1
            found[key] = Branch(len(branches), key[0], node.prompt, node.wave, node.text, depth)
            branches.append(found[key])
            if above is not None:
                above.children.append(found[key].number)
        _join(found[key], number, node)
        homes.append(found[key])
    _share_scores(branches)
    for number in trace.chosen:
        homes[number].is_chosen = True
    for end in trace.ends:
        homes[end.node].ends.append(end)
    _look_below(branches)
    return branches


def _join(branch: Branch, number: int, node: Node) -> None:
    branch.first_s = min(branch.first_s, node.at_s) if branch.members else node.at_s
    branch.members.append(number)
    branch.finish = max(branch.finish, node.finish, key=_FINALITY.index)
    if branch.score is None:
        branch.score, branch.scored_at_s = node.score, node.scored_at_s
    if branch.proof is None:
        branch.proof = node.proof


def _share_scores(branches: Sequence[Branch]) -> None:
    """Gives branches without a score that of one with the same texts."""
    kinds: dict[tuple[int | None, str], int] = {}
    scored: dict[int, Branch] = {}
    for branch in branches:
        above = branches[branch.parent].kind if branch.parent is not None else None
        branch.kind = kinds.setdefault((above, branch.text), len(kinds))
        if branch.score is not None:
            scored.setdefault(branch.kind, branch)
    for branch in branches:
        if branch.score is None and branch.kind in scored:
            branch.score, branch.scored_at_s = scored[branch.kind].score, scored[branch.kind].scored_at_s


def _look_below(branches: Sequence[Branch]) -> None:
    """Sums up, from the last to the first: children come behind their parents."""
    for branch in reversed(branches):
        branch.is_live = branch.is_live or branch.finish == "stop"
        branch.best_score = _higher(branch.best_score, branch.score)
        if branch.parent is not None:
            above = branches[branch.parent]
            above.is_live = above.is_live or branch.is_live
            above.num_below += 1 + branch.num_below
            above.best_score = _higher(above.best_score, branch.best_score)


def _higher(one: float | None, other: float | None) -> float | None:
    return max((each for each in (one, other) if each is not None), default=None)


def tops(branches: Sequence[Branch]) -> dict[tuple[int, int], list[int]]:
    """First steps by prompt and wave, in that order; the safety lane before the other waves."""
    found: dict[tuple[int, int], list[int]] = {}
    for branch in branches:
        if branch.parent is None:
            found.setdefault((branch.prompt, branch.wave), []).append(branch.number)
    return dict(sorted(found.items()))


def spans(trace: Trace) -> list[Span]:
    """All waves by their numbers, those included of which only nodes were recorded."""
    began = {wave.number: wave for wave in trace.waves}
    nodes: dict[int, list[Node]] = {}
    for node in trace.nodes:
        nodes.setdefault(node.wave, []).append(node)
    ends: dict[int, list[End]] = {}
    for end in trace.ends:
        ends.setdefault(trace.nodes[end.node].wave, []).append(end)
    return [
        _span(number, began.get(number), nodes.get(number, []), ends.get(number, []))
        for number in sorted(began.keys() | nodes.keys())
    ]


def _span(number: int, wave: Wave | None, nodes: Sequence[Node], ends: Sequence[End]) -> Span:
    times = [max(each.at_s, each.scored_at_s or 0.0) for each in nodes]
    started_s = wave.used.started_s if wave is not None else min(each.at_s for each in nodes)
    return Span(number, wave, started_s, max([started_s, *times]), len(nodes), tuple(ends))


def agrees(trace: Trace, end: End) -> bool:
    """Whether a candidate has the answer that was given."""
    given = trace.outcome.answer
    if given is None or end.answer is None:
        return False
    return end.answer == given or answer.canonical(end.answer) == answer.canonical(given)
