"""A draft on its way: the text that one request after another has added to it.

Budget forcing. Where the end of turn came, or the closing is due, the text is added here and the next request goes on
after it. The server draws nothing for it but reads it, so it counts as prefilled and not as drawn. Against the draft's
limit it counts as the tokens that a local vocabulary makes of it; without one their number is an estimate (written.py).

Certainty. A token that the server does not list (one that was written for the solver; on some servers the end of turn;
each one of a text that its listed tokens do not add up to) is told as the mean of the draft's listed ones. With a local
vocabulary there is still one number for each token that the server drew, which need not be one for each of
`Step.token_ids`.

Not covered: requests (openai_api.py), steps (written.py).
"""

import dataclasses
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from edgesearch.engines.base import Draft
from edgesearch.engines.sampling import mix_seed
from edgesearch.engines.steps import Sureness
from edgesearch.engines.written import Written
from edgesearch.types import Beam, Sampling


@dataclass(frozen=True, slots=True)
class Leftover:
    """Text that was drawn beyond a step."""

    written: Written
    has_ended: bool
    sampling: Sampling
    has_certainty: bool

    def serves(self, draft: Draft) -> bool:
        """Whether it is what the draft would have had drawn."""
        return self.sampling == draft.sampling and self.has_certainty >= draft.has_certainty


@dataclass(slots=True, eq=False)
class Run:
    """A draft that is waiting or under way."""

    draft: Draft
    rendered: str
    """Its prompt."""
    written: Written = field(default_factory=Written)
    has_ended: bool = False
    """Whether the end of turn was drawn."""
    drawn: int = 0
    """Tokens of its text; where nobody counts them, those asked for."""
    booked: int = 0
    """Tokens that its requests drew, those that were no use to it included."""
    extensions_left: int = 0
    """Times that the end of turn is still to be replaced."""
    is_closed: bool = False
    """Whether the closing has been written."""
    sure: list[Sureness] = field(default_factory=list)
    """How sure the solver was of each token for which the server told."""
    limit: int | None = None
    """Most tokens to ask for at a time, once the server's context turned out to be that small."""
    num_requests: int = 0
    prompt_tokens: int | None = None
    """Of the prompt alone, where the server told."""
    prefilled_tokens: int = 0
    reused_tokens: int = 0
    started_s: float = 0.0

    @property
    def is_fresh(self) -> bool:
        """Whether nothing has been drawn or written for it."""
        return not self.num_requests and not self.written.text

    @property
    def tokens_left(self) -> int:
        """Until the draft's limit."""
        return self.draft.max_tokens - self.drawn

    @property
    def tokens_to_closing(self) -> int:
        """Until the closing is due; those that are left where there is none to come."""
        forcing, left = self.draft.forcing, self.tokens_left
        if forcing is None or not forcing.closing or self.is_closed:
            return left
        thinking_left = forcing.max_thinking_tokens - self.drawn if forcing.max_thinking_tokens else left
        return min(thinking_left, left - forcing.closing_tokens)

    @property
    def seed(self) -> int:
        """Of the request that goes on from here: fixed by the place, however it was reached."""
        beam = self.draft.beam  # where nobody counts tokens, it is the text that tells places apart
        return mix_seed(self.draft.seed, beam.num_tokens + self.drawn, len(beam.text) + len(self.written.text))

    def is_like(self, other: "Run") -> bool:
        """Whether one request can begin both."""
        one, two = self.draft, other.draft
        is_same_text = one.beam.node == two.beam.node and self.is_fresh and other.is_fresh
        return is_same_text and dataclasses.replace(two, beam=one.beam, seed=one.seed, id=one.id) == one

    def take(self, rest: Leftover) -> None:
        """Begins with what was drawn beyond its beam."""
        self.written, self.has_ended, self.drawn = rest.written, rest.has_ended, rest.written.count or 0

    def force(self, dictated: Callable[[str], Written]) -> None:
        """Writes for the solver what is due now; `dictated` cuts such a text into tokens."""
        forcing = self.draft.forcing
        if forcing is None or self.is_closed:
            return
        if self.has_ended and self.extensions_left:
            self.extensions_left -= 1
            self._drop_end()
            self._write(dictated(forcing.extension))
        if not self.has_ended and forcing.closes(self.drawn, self.draft.max_tokens):
            self.is_closed = True
            self._write(dictated(forcing.closing))

    def _drop_end(self) -> None:
        kept = self.written.without_end()
        self.drawn -= (self.written.count or 0) - (kept.count or 0)
        self.written, self.has_ended = kept, False

    def _write(self, text: Written) -> None:
        """Adds what is written for the solver, as far as the limit allows."""
        cut = text.head(self.tokens_left)
        self.written = self.written.plus(cut)
        self.drawn += cut.count or 0

    def mean_sureness(self) -> Sureness:
        """How sure the solver was of this draft's tokens, else of the step before; zeros where none is told."""
        known = self.sure or _sureness_of(self.draft.beam) or [(0.0, 0.0, 0.0)]
        entropies, margins, confidences = zip(*known, strict=True)
        return statistics.fmean(entropies), statistics.fmean(margins), statistics.fmean(confidences)


def _sureness_of(beam: Beam) -> list[Sureness]:
    """How sure the solver was of the tokens of a beam's last step; none where that is not told."""
    sure = beam.steps[-1].certainty if beam.steps else None
    return list(zip(sure.entropies, sure.margins, sure.confidences, strict=True)) if sure else []
