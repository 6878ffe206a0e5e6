"""The seam between a search and whatever scores its steps.

A verifier keeps what it has computed for a judged beam under the beam's node id until it is told to `release` it, so
that each step is read once and forks share their past. A score is the verifier's number in [0, 1], never correctness.

Not covered: aggregating step scores (search/select.py), votes (answer.py).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgesearch.errors import EdgesearchError
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
    is_outcome: bool = False
    """Whether it scores whole solutions only, so that no search can be guided by it."""
    needs_certainty: bool = False
    """Whether it reads `Step.certainty`."""
    counts_copies: bool = False
    """Whether a score depends on how often a text was drawn, so that copies of it must all be judged."""
    is_collective: bool = False
    """Whether a score depends on all solutions of the problem.

    Then they are judged together, once the search asks for their scores or nothing more is drawn.
    """
    reads_tests: bool = False
    """Whether it judges by tests that the solver wrote (`Prompt.asks_tests`), which a search must draw for it."""
    enough: float | None = None
    """A score at which a solution needs no better, so that a search that has one may end; None for no such score."""
    sandbox: str = ""
    """What it runs programs in; empty where it runs none."""

    @property
    def place(self) -> str:
        """Where it runs, for people: the device, and the sandbox where there is one."""
        return f"{self.device}, sandbox {self.sandbox}" if self.sandbox else self.device


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


def warnings_of(verifier: Verifier) -> tuple[str, ...]:
    """What a user should know of how it ran so far; only kinds that may fall back on something say any."""
    return tuple(getattr(verifier, "warnings", ()))


def num_tests_of(verifier: Verifier, prompt: Prompt) -> int:
    """Visible tests that it tries the programs of an open prompt on; 0 of verifiers that try none."""
    count: Callable[[Prompt], int] | None = getattr(verifier, "num_tests", None)
    return 0 if count is None else count(prompt)


def is_bounded(verifier: Verifier) -> bool:
    """Whether it can be told how long it may take (`judged_within`), so that any time left is worth a call."""
    return hasattr(verifier, "judge_within")


def judged_within(verifier: Verifier, beams: Sequence[Beam], seconds: float) -> list[Judged]:
    """What a verifier says of beams; as they were come back those that it had no time for.

    Most verifiers take about as long as they say they do. One that runs programs cannot know, and is told how long it
    may take (`judge_within`).
    """
    within: Callable[[Sequence[Beam], float], list[Judged]] | None = getattr(verifier, "judge_within", None)
    return verifier.judge(beams) if within is None else within(beams, seconds)


def judged_by(part: Verifier, beams: Sequence[Beam]) -> list[Judged]:
    """What a verifier that another one is made of says of beams; its mistakes carry its name.

    Raises:
        EdgesearchError: it fails, or a score is missing or not in [0, 1].
    """
    name = part.info.name
    try:
        judged = part.judge(beams)
    except EdgesearchError as error:
        if name in str(error):
            raise
        raise type(error)(f"verifier {name}: {error}") from error
    if len(judged) != len(beams):
        raise EdgesearchError(f"verifier {name} judged {len(judged)} of {len(beams)} beams; leave it out")
    for one in judged:
        if not one.beam.is_judged or not all(0 <= score <= 1 for score in one.beam.scores):  # NaN is not either
            raise EdgesearchError(
                f"verifier {name} gave a score outside [0, 1], or none: {one.beam.scores[:8]}; leave it out"
            )
    return judged
