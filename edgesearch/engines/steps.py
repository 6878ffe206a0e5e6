"""Splits a growing token stream into steps at the step delimiter.

Works on bytes, since tokens split characters and merge the delimiter with its neighbours (".\n\n" is one token in
several vocabularies). A step ends with the token that completes the delimiter. A blank step is no step: a delimiter
with nothing but white space and delimiters before it is kept at the head of the step that follows.
"""

import re
from dataclasses import replace

from edgesearch.types import Certainty, Finish, Step

Sureness = tuple[float, float, float]
"""Entropy, margin and confidence of one token; see `Certainty`."""


class StepBuilder:
    """Collects the tokens of one draft."""

    __slots__ = ("_blank_head", "_bytes", "_delimiter", "_logprobs", "_sureness", "_tail", "_tokens", "steps")

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter.encode()
        self._blank_head = re.compile(rf"(?:\s|{re.escape(delimiter)})*")
        self.steps: list[Step] = []
        self._start()

    def _start(self) -> None:
        self._tokens: list[int] = []
        self._bytes: list[bytes] = []
        self._tail = b""
        self._logprobs: list[float] = []
        self._sureness: list[Sureness] = []

    @property
    def text(self) -> str:
        """Of the step under way, so far."""
        return b"".join(self._bytes).decode(errors="replace")

    def add(self, token: int, piece: bytes, logprob: float, sureness: Sureness | None = None) -> bool:
        """Takes one token; True when it ends a step (which is then in `steps`)."""
        self._take(token, logprob, sureness)
        self._bytes.append(piece)
        window = self._tail + piece
        if self._delimiter in window and self._has_ended():
            self._end("step")
            return True
        self._tail = window[-len(self._delimiter) :]
        return False

    def _has_ended(self) -> bool:
        """Whether there is a delimiter with something before it."""
        text = self.text
        head = self._blank_head.match(text)
        assert head is not None  # it matches the empty text too
        return self._delimiter.decode() in text[head.end() :]

    def _take(self, token: int, logprob: float, sureness: Sureness | None) -> None:
        self._tokens.append(token)
        self._logprobs.append(logprob)
        if sureness is not None:
            self._sureness.append(sureness)

    def stop(self, token: int, logprob: float, sureness: Sureness | None = None) -> None:
        """Takes the end-of-turn token, which has no text."""
        self._take(token, logprob, sureness)
        self._end("stop")

    def cut(self, finish: Finish) -> None:
        """Ends an unfinished step. Where the token limit fell on a step's end, that step is the one that was cut."""
        if self._tokens:
            self._end(finish)
        elif self.steps and finish == "length":
            self.steps[-1] = replace(self.steps[-1], finish=finish)

    def _end(self, finish: Finish) -> None:
        step = Step(self.text, tuple(self._tokens), sum(self._logprobs), finish, certainty=self._certainty())
        self.steps.append(step)
        self._start()

    def _certainty(self) -> Certainty | None:
        if not self._sureness:
            return None
        entropies, margins, confidences = zip(*self._sureness, strict=True)
        return Certainty(tuple(self._logprobs), entropies, margins, confidences)
