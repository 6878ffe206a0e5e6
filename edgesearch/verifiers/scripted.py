"""A public fake: a verifier that gives the scores a function says. For tests of strategies and budgets."""

from collections.abc import Callable, Iterable, Sequence

from edgesearch.budget import ManualClock
from edgesearch.types import Beam, Prompt
from edgesearch.verifiers.base import Judged, VerifierInfo

Judgement = Callable[[Beam, int], float]
"""The score in [0, 1] of one step of a beam, by its index."""


class ScriptedVerifier:
    """Implements `Verifier` without weights."""

    def __init__(
        self, score: Judgement, *, clock: ManualClock | None = None, token_s: float = 0.0, aggregator: str = "last"
    ) -> None:
        """Makes one; `clock` moves on by `token_s` for every token that is judged."""
        self._score, self._clock = score, clock
        self.info = VerifierInfo("scripted", 1000, "cpu", aggregator)
        self.seconds_per_token = token_s
        self.calls: list[int] = []
        """How many beams each call judged."""
        self.judged_nodes: list[int] = []
        self._kept: set[int] = set()

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        self._kept.add(prompt.id)
        return len(token_ids)

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        self.calls.append(len(beams))
        return [self._judge(beam) for beam in beams]

    def _judge(self, beam: Beam) -> Judged:
        new = beam.steps[len(beam.scores) :]
        tokens = sum(len(step.token_ids) for step in new)
        if self._clock is not None:
            self._clock.advance(tokens * self.seconds_per_token)
        self.judged_nodes += [step.id for step in new]
        if beam.is_alive:
            self._kept.add(beam.node)
        scores = tuple(self._score(beam, index) for index in range(len(beam.scores), len(beam.steps)))
        return Judged(beam.judged(scores), tokens)

    def release(self, nodes: Iterable[int]) -> None:
        self._kept -= set(nodes)

    def close(self) -> None:
        self._kept.clear()

    @property
    def nodes(self) -> set[int]:
        """Ids that something is kept under."""
        return set(self._kept)
