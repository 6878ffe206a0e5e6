"""The seam between a search and whatever runs the solver's weights.

An engine takes drafts (continue this beam, so far, like this) and is then asked to `advance` until they are done. All
drafts that are under way share each pass over the weights, whichever problem or strategy they belong to. The engine
keeps what it has computed for a beam (its KV cache) under the beam's node id until it is told to `release` it, so a
draft that continues a known beam starts without decoding anything twice.

Not covered: choosing beams (search), time planning (planner), scores (verifiers).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol, runtime_checkable

from edgesearch.budget import Deadline
from edgesearch.types import Beam, Forcing, Prompt, Sampling, Step, next_id

TIMED_BLOCK = 16
"""Tokens that the contexts of timed passes are made of."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine runs, for reports and for the planner."""

    name: str
    num_params: int
    """0 when unknown."""
    max_context: int
    """Tokens one solution and its prompt may hold together."""
    max_sequences: int
    """Drafts that can be under way together."""
    vocab_sha256: str
    """Fingerprint of the vocabulary (token texts joined by NUL); empty when unknown."""
    attention_flops_per_token_context: float = 0.0
    """FLOPs that one token costs per token of context, beside the 2 * num_params."""
    device: str = "cpu"
    num_threads: int = 1
    can_hurry: bool = False
    """Whether drafts under way can be made to state their answer."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A request to continue a beam by one step, or to its end."""

    beam: Beam
    sampling: Sampling
    seed: int
    """With the place of a token in its solution, fixes its draw, whatever else shares its batches; any 64-bit number.

    So a draft with the seed of its parent goes on as the parent would have.
    """
    max_tokens: int
    """Tokens this draft may draw; >= 1."""
    is_to_end: bool = False
    """Whether to go on after a step delimiter. Such a draft never comes back alive, wherever its token limit falls."""
    num_steps: int = 1
    """Steps to draw where it is not to the end; it comes back alive only after the last of them."""
    is_last_use: bool = True
    """Whether the beam it continues is not needed by anyone after this batch of drafts."""
    forcing: Forcing | None = None
    """What is written for the solver."""
    has_certainty: bool = False
    """Whether its steps tell how sure the solver was of their tokens."""
    priority: float = 0.0
    """Where more drafts wait than there is room, those with the lowest number start first, equals in order of arrival.

    With the job's deadline as the number that is earliest deadline first: every job comes to be the most urgent one.
    """
    id: int = field(default_factory=next_id)

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be >= 1, not {self.max_tokens}")
        if self.num_steps < 1:
            raise ValueError(f"num_steps must be >= 1, not {self.num_steps}")
        if self.forcing is not None and not self.is_to_end:
            raise ValueError("only a draft to its end can be forced")
        if math.isnan(self.priority):
            raise ValueError("priority must be a number, not NaN")


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft that is done, or was cut off."""

    draft: Draft
    steps: tuple[Step, ...]
    """New steps in order; empty when it was cut off before its first token."""
    prefilled_tokens: int
    """Prompt tokens that were decoded for this draft (0 when an earlier one had them decoded)."""
    reused_tokens: int
    """Context tokens taken from the KV cache."""
    seconds: float
    """From its first decode to its last."""
    prompt_tokens: int | None = None
    """Length of the rendered prompt, from engines that learn it only with an answer; None where `open` told it."""
    drawn_tokens: int | None = None
    """Tokens drawn, where that is not the number of the steps' ids; None where it is."""

    @property
    def num_drawn(self) -> int:
        """Tokens drawn for it."""
        if self.drawn_tokens is not None:
            return self.drawn_tokens
        return sum(len(step.token_ids) for step in self.steps)

    @property
    def beam(self) -> Beam:
        """The beam after this draft."""
        return self.draft.beam.grown(self.steps)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an engine decodes: seconds per pass over the weights by number of sequences in it, measured."""

    decode_s: tuple[tuple[int, float], ...]
    """(sequences, seconds) in ascending order of sequences; at least one."""
    prefill_tokens_per_s: float

    def step_s(self, num_sequences: int) -> float:
        """Seconds of one pass with that many sequences, linear between and beyond the measured widths."""
        points = self.decode_s
        if len(points) == 1 or num_sequences <= points[0][0]:
            return points[0][1]
        for (n0, s0), (n1, s1) in pairwise(points):
            if num_sequences <= n1:
                return s0 + (s1 - s0) * (num_sequences - n0) / (n1 - n0)
        (n0, s0), (n1, s1) = points[-2:]
        slope = max(0.0, (s1 - s0) / (n1 - n0))
        return s1 + slope * (num_sequences - n1)


@runtime_checkable
class Timed(Protocol):
    """What an engine adds whose costs on this device can be measured one by one. Only while nothing is open."""

    @property
    def version(self) -> str:
        """What decodes, with its version: another one has other costs."""
        ...

    @property
    def bytes_per_token(self) -> int:
        """Of the KV cache, a token."""
        ...

    def time_pass(self, width: int, context_tokens: int, num_passes: int) -> list[float]:
        """Seconds of warm passes, drawing included.

        Args:
            width: drafts in each of them.
            context_tokens: of each draft, a multiple of `TIMED_BLOCK`; half of the blocks are shared, as a prompt is.
            num_passes: passes to time.

        Returns:
            One number a pass; fewer where drafts kept ending, none where there is no room.
        """
        ...

    def time_prefill(self, num_tokens: int) -> float:
        """Seconds from a prompt of that many tokens to the first token drawn."""
        ...

    def time_fork(self) -> float:
        """Seconds of one fork of a sequence."""
        ...


class Engine(Protocol):
    """Runs a solver. Used from one thread at a time."""

    @property
    def info(self) -> EngineInfo:
        """What it runs."""
        ...

    @property
    def pace(self) -> Pace:
        """How fast it was when last measured; asked for while nothing is open, it may be measured then."""
        ...

    @property
    def kv_cells_peak(self) -> int:
        """Most KV cells in use together since the engine was last empty; 0 when it does not know."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know about the way it runs (a CPU workaround, a missing chat template)."""
        ...

    def open(self, prompt: Prompt) -> tuple[int, ...]:
        """Renders and tokenises a prompt and makes room for it.

        Returns:
            Its token ids; empty when the engine does not tell.

        Raises:
            ContextOverflow: it leaves no room for a solution.
        """
        ...

    def start(self, draft: Draft) -> None:
        """Queues a draft; its beam's prompt must be open."""
        ...

    def advance(self, deadline: Deadline) -> list[Drafted]:
        """Runs one pass for all drafts under way and returns those that are done.

        A pass that would outlast `deadline` is interrupted and has no effect; nothing is lost by it.
        """
        ...

    def hurry(self, draft_ids: Iterable[int], closing: str, max_tokens: int) -> None:
        """Makes drafts state their answer now, where `info.can_hurry`; elsewhere it does nothing.

        The closing is written for them as if drawn, with log-probability 0, and they go on to their end in place, also
        those that were to draw single steps. They come back as `stop` if the solver ends its turn, else as `length`.
        Once the brace that the closing opens is closed, the solver has one token more to end its turn with. Drafts
        that wait are closed as they start. What a draft has begun of the closing is not written again, and nothing is
        written for one that states its answer already.

        Args:
            draft_ids: drafts; those that are unknown, or closed already, by this or by their forcing, are ignored.
            closing: the beginning of an answer line, with a leading step delimiter; it is left out where the draft is
                at the head of a step.
            max_tokens: that each may still draw, the closing among them; its own limit stays.

        Raises:
            ValueError: `closing` is blank, or `max_tokens` below 1.
        """
        ...

    def cancel(self, draft_ids: Iterable[int]) -> list[Drafted]:
        """Ends drafts now; what they have comes back with `finish="deadline"`. Unknown ids are ignored."""
        ...

    def release(self, nodes: Iterable[int]) -> None:
        """Frees what is kept under these node ids. Unknown ids are ignored."""
        ...

    def clear(self) -> None:
        """Forgets all drafts and everything that is kept, whatever state it is in; nothing once closed."""
        ...

    def close(self) -> None:
        """Frees the weights; safe to call twice."""
        ...
