"""Agreement as a verifier: free, and right wherever a solver is right more often than it is wrong in any one way.

A finished beam's score is the share of this prompt's finished beams, all that were seen so far and those of this call,
that state its canonical answer; a beam that states none scores 0. An unfinished beam's new step scores the share of the
prompt's live beams in this call that have an equal step at its place, white space aside. So strategies that need step
scores run with it: at first they follow the step that most beams take, in the end the answer that most beams reach.

A score is fixed when it is given, as each step is scored once: what finishes first is compared with few others and may
hold a high share of little, and later votes do not change it. The strategy `majority` counts all votes at the end and
is the better choice for whole solutions. A share also says nothing where beams are few: alone, every beam scores 1.

Cost: none. No tokens and no FLOPs; kept are the answers of a prompt's finished beams, as long as one of its nodes.

Not covered: votes over final answers (answer.py, choice.py), steps that mean the same in other words.

Source: self-consistency, Wang et al., arXiv 2203.11171; step by step it is this project's own.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from edgesearch import answer
from edgesearch.types import Beam, Prompt
from edgesearch.verifiers.base import Judged, VerifierInfo

_Votes = dict[int, str | None]
"""The canonical answer of each finished beam, by its node; None for a beam that states none."""


class ConsensusVerifier:
    """Implements `Verifier` without weights."""

    def __init__(self) -> None:
        """Makes one that has seen nothing."""
        self._info = VerifierInfo("consensus", num_params=0, device="cpu", aggregator="last", counts_copies=True)
        self._votes: dict[int, _Votes] = {}
        """By kept node; all nodes of one prompt share theirs."""

    @property
    def info(self) -> VerifierInfo:
        """What it is: no parameters, and no limit to what it reads."""
        return self._info

    @property
    def seconds_per_token(self) -> float:
        """0: what it takes does not depend on the length of a step."""
        return 0.0

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        """Reads nothing; begins to count this prompt's votes."""
        del token_ids
        self._votes.setdefault(prompt.id, {})
        return 0

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        """Scores the steps that have no score yet; see `Verifier.judge`.

        All beams of the call count, whatever their order.

        Raises:
            ValueError: a beam's prompt is not open.
        """
        unjudged = [beam for beam in beams if not beam.is_judged]
        votes = {beam.node: self._cast(beam) for beam in unjudged}
        live = {beam.node: beam for beam in beams if beam.is_alive}.values()
        num_live = Counter(beam.prompt.id for beam in live)
        steps = Counter(key for beam in live for key in _step_keys(beam))
        judged = []
        for beam in beams:
            if beam.is_judged:
                scores: tuple[float, ...] = ()
            elif beam.is_alive:
                keys = _step_keys(beam)[len(beam.scores) :]
                scores = tuple(steps[key] / num_live[beam.prompt.id] for key in keys)
            else:
                scores = (_share(votes[beam.node], beam.node),) * (len(beam.steps) - len(beam.scores))
            judged.append(Judged(beam.judged(scores), 0))
        return judged

    def release(self, nodes: Iterable[int]) -> None:
        """Forgets these nodes, and a prompt's votes with the last of its nodes."""
        for node in nodes:
            self._votes.pop(node, None)

    def close(self) -> None:
        """Forgets everything."""
        self._votes.clear()

    def _cast(self, beam: Beam) -> _Votes:
        """The votes on a beam's prompt, after its own: a live beam has none, but its node keeps the others'."""
        nodes = (beam.prompt.id, *(step.id for step in beam.steps))
        votes = next((self._votes[node] for node in nodes if node in self._votes), None)
        if votes is None:
            raise ValueError(f"prompt {beam.prompt.id} is not open; call open() before judge()")
        if beam.is_alive:
            self._votes[beam.node] = votes
        else:
            stated = answer.stated(beam.prompt, beam.text)
            votes[beam.node] = None if stated is None else answer.canonical(stated)
        return votes


def _share(votes: _Votes, node: int) -> float:
    own = votes[node]
    return 0.0 if own is None else sum(vote == own for vote in votes.values()) / len(votes)


def _step_keys(beam: Beam) -> list[tuple[int, int, str]]:
    """What makes a step equal to another: its prompt, its place and its words."""
    return [(beam.prompt.id, place, " ".join(step.text.split())) for place, step in enumerate(beam.steps)]
