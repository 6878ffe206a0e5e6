"""Splits a growing token stream into steps at the step delimiter.

Works on bytes, since tokens split characters and merge the delimiter with its neighbours (".\n\n" is one token in
several vocabularies). A step ends with the token that completes the delimiter. A blank step is no step: a delimiter
with nothing but white space and delimiters before it is kept at the head of the step that follows.
"""

import re
from dataclasses import replace

from edgesearch.types import Finish, Step


class StepBuilder:
    """Collects the tokens of one draft."""

    __slots__ = ("_blank_head", "_bytes", "_delimiter", "_logprob", "_tail", "_tokens", "steps")

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter.encode()
        self._blank_head = re.compile(rf"(?:\s|{re.escape(delimiter)})*")
        self.steps: list[Step] = []
        self._start()

    def _start(self) -> None:
        self._tokens: list[int] = []
        self._bytes: list[bytes] = []
        self._tail = b""
        self._logprob = 0.0

    def add(self, token: int, piece: bytes, logprob: float) -> bool:
        """Takes one token; True when it ends a step (which is then in `steps`)."""
        self._tokens.append(token)
        self._bytes.append(piece)
        self._logprob += logprob
        window = self._tail + piece
        if self._delimiter in window and self._has_ended():
            self._end("step")
            return True
        self._tail = window[-len(self._delimiter) :]
        return False

    def _has_ended(self) -> bool:
        """Whether there is a delimiter with something before it."""
        text = b"".join(self._bytes).decode(errors="replace")
        head = self._blank_head.match(text)
        assert head is not None  # it matches the empty text too
        return self._delimiter.decode() in text[head.end() :]

    def stop(self, token: int, logprob: float) -> None:
        """Takes the end-of-turn token, which has no text."""
        self._tokens.append(token)
        self._logprob += logprob
        self._end("stop")

    def cut(self, finish: Finish) -> None:
        """Ends an unfinished step. Where the token limit fell on a step's end, that step is the one that was cut."""
        if self._tokens:
            self._end(finish)
        elif self.steps and finish == "length":
            self.steps[-1] = replace(self.steps[-1], finish=finish)

    def _end(self, finish: Finish) -> None:
        text = b"".join(self._bytes).decode("utf-8", errors="replace")
        self.steps.append(Step(text, tuple(self._tokens), self._logprob, finish))
        self._start()
