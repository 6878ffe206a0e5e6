"""The seam between a search and whatever scores its steps.

A verifier keeps what it has computed for a judged beam under the beam's node id until it is told to `release` it, so
that each step is read once and forks share their past. A score is the verifier's number in [0, 1], never correctness.

Not covered: aggregating step scores (search/select.py), votes (answer.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgesearch.types import Beam, Prompt


@dataclass(frozen=True, slots=True)
class VerifierInfo:
    """What a verifier runs, for reports and for the planner."""

    name: str
    num_params: int
    device: str
    """Where it runs: `cpu`, `cuda`, ..."""
    aggregator: str = "last"
    """The aggregator it was trained for."""
    attention_flops_per_token_context: float = 0.0
    max_context: int = 0
    """Tokens of prompt and solution it can read; 0 for any number."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One beam's new scores."""

    beam: Beam
    """The beam as given, with a score for every step."""
    verified_tokens: int
    """Solution tokens that were read for it."""


class Verifier(Protocol):
    """Scores steps. Used from one thread at a time."""

    @property
    def info(self) -> VerifierInfo:
        """What it runs."""
        ...

    @property
    def seconds_per_token(self) -> float:
        """How long it takes per solution token when judging a batch, measured."""
        ...

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        """Reads a prompt, once.

        Args:
            prompt: the prompt.
            token_ids: its ids in the solver's vocabulary.

        Returns:
            Tokens read.

        Raises:
            ContextOverflow: it leaves no room for a solution.
        """
        ...

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        """Scores the steps that have no score yet, all beams in one batch, in the order given.

        A beam that is already judged comes back as it is, at no cost. Beams may have several new steps each.
        """
        ...

    def release(self, nodes: Iterable[int]) -> None:
        """Frees what is kept under these node ids. Unknown ids are ignored."""
        ...

    def close(self) -> None:
        """Frees the weights; safe to call twice."""
        ...
