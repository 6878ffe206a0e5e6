"""Text that came from a server, and the steps in it.

A server gives text with the number of its tokens and, sometimes, each token's text and log-probability. Where the
tokens are known the steps are cut from them; otherwise the text is cut at the delimiters and its tokens and
log-probability are shared out by length, so that the totals are the server's.

The token ids of such steps stand for the tokens' texts (equal texts have equal ids); they are not the vocabulary's.

What was written for the solver is in it as tokens of probability 1, in as many as a local vocabulary says; without one
their number is an estimate: a word with the space before it is one, and so is a run of signs or of line breaks.

Not covered: asking for it (openai_api.py).
"""

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgesearch.engines.openai_protocol import Token, Tokens
from edgesearch.engines.steps import StepBuilder, Sureness
from edgesearch.types import Finish, Step

END_ID = 0
"""Stands for the end of turn."""
_FILLER_ID = 1  # a token of which only the number is known
_Unit = tuple[Token, int]  # one or more tokens together, and their number
_WORDS = re.compile(r"\n+|[^\S\n]?\w+|[^\S\n]?[^\w\s]+|[^\S\n]+")  # every character is in one of them


@dataclass(frozen=True, slots=True)
class Written:
    """A piece of a solution."""

    text: str = ""
    tokens: Tokens | None = ()
    """Together they are the text; None where the server does not list them."""
    count: int | None = 0
    """Tokens drawn for it; None where the server does not tell."""
    logprob: float = 0.0

    def plus(self, more: "Written") -> "Written":
        """Both, one after the other."""
        return Written(
            self.text + more.text,
            None if self.tokens is None or more.tokens is None else self.tokens + more.tokens,
            None if self.count is None or more.count is None else self.count + more.count,
            self.logprob + more.logprob,
        )

    def head(self, count: int) -> "Written":
        """Its first tokens, which are listed."""
        return self._made_of([(token, 1) for token in (self.tokens or ())[: max(0, count)]])

    def without_end(self) -> "Written":
        """It without the end of turn, which is its last token."""
        if self.tokens and not self.tokens[-1].text:
            count = None if self.count is None else self.count - 1
            return Written(self.text, self.tokens[:-1], count, self.logprob - self.tokens[-1].logprob)
        return self if self.tokens or not self.count else dataclasses.replace(self, count=self.count - 1)

    def first_steps(
        self, delimiter: str, num_steps: int, stand_in: Sureness | None = None
    ) -> "tuple[tuple[Step, ...], Written] | None":
        """Its first steps and what comes after them; None when fewer end in it."""
        builder, units = StepBuilder(delimiter), self._units(delimiter, self.count)
        for index, unit in enumerate(units):
            if _add(builder, unit, stand_in) and len(builder.steps) == num_steps:
                return self._counted(builder.steps), self._made_of(units[index + 1 :])
        return None

    def steps(self, delimiter: str, finish: Finish, stand_in: Sureness | None = None) -> tuple[Step, ...]:
        """All its steps, the last of which ended for that reason; none for an empty text that was cut off.

        Args:
            delimiter: ends a step.
            finish: why it ended.
            stand_in: how sure the solver was of a token for which it is not told; None for steps without `certainty`.
        """
        builder = StepBuilder(delimiter)
        count, end, tokens = self.count, Token("", 0.0), self.tokens
        if finish == "stop" and tokens and not tokens[-1].text:  # the end of turn is listed
            tokens, end = tokens[:-1], tokens[-1]
        elif finish == "stop" and count and not tokens:
            count -= 1  # the end of turn is one of them
        for unit in dataclasses.replace(self, tokens=tokens)._units(delimiter, count):
            _add(builder, unit, stand_in)
        if finish == "stop":
            builder.stop(END_ID, end.logprob, _told(end, stand_in))
        else:
            builder.cut(finish)
        return self._counted(builder.steps)

    def _units(self, delimiter: str, count: int | None) -> list[_Unit]:
        if self.tokens is not None:
            return [(token, 1) for token in self.tokens]
        texts = re.findall(rf"(?s:.*?){re.escape(delimiter)}|(?s:.+)", self.text)
        sizes = [len(text.encode()) for text in texts]
        total = max(1, sum(sizes))
        counts = _shares(count or 0, sizes)
        return [(Token(text, self.logprob * sizes[i] / total), counts[i]) for i, text in enumerate(texts)]

    def _made_of(self, units: Sequence[_Unit]) -> "Written":
        tokens = tuple(token for token, _ in units)
        return Written(
            "".join(token.text for token in tokens),
            None if self.tokens is None else tokens,
            None if self.count is None else sum(count for _, count in units),
            sum(token.logprob for token in tokens),
        )

    def _counted(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """The steps; without ids where nobody knows how many tokens they have."""
        if self.tokens is None and self.count is None:
            return tuple(dataclasses.replace(step, token_ids=(), certainty=None) for step in steps)
        return tuple(steps)


def aligned(text: str, tokens: Tokens | None) -> Tokens | None:
    """The tokens that make up a text; those after its end (the end of turn) as one without text. None if they do not.

    They do not where a token holds part of a character, or where the server lists others than it gives the text of.
    """
    if tokens is None:
        return None
    position = 0
    for index, token in enumerate(tokens):
        if position == len(text) and token.text:
            logprob = sum(each.logprob for each in tokens[index:])
            return (*tokens[:index], Token("", logprob, token.sureness))
        if not text.startswith(token.text, position):
            return None
        position += len(token.text)
    return tokens if position == len(text) else None


def dictated(text: str, pieces: Sequence[str] | None = None) -> Written:
    """What is written for the solver.

    Args:
        text: not empty.
        pieces: its tokens, as a vocabulary cuts it; None where there is none, or where a token is part of a character.
    """
    tokens = tuple(Token(piece, 0.0) for piece in pieces or _WORDS.findall(text))
    return Written(text, tokens, len(tokens))


def _add(builder: StepBuilder, unit: _Unit, stand_in: Sureness | None) -> bool:
    """Feeds a unit; True when a step ended with it."""
    token, count = unit
    for _ in range(count - 1):
        builder.add(_FILLER_ID, b"", 0.0, stand_in)
    return builder.add(_id(token.text), token.text.encode(), token.logprob, _told(token, stand_in))


def _told(token: Token, stand_in: Sureness | None) -> Sureness | None:
    """How sure the solver was of a token, if that is asked for."""
    return None if stand_in is None else token.sureness or stand_in


def _id(text: str) -> int:
    """A number above the reserved ones that stands for a text."""
    return 2 + (int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 2)


def _shares(total: int, sizes: Sequence[int]) -> list[int]:
    """A number of tokens in parts proportional to sizes, at least 1 each; their sum is the total where that allows."""
    bounds = [0]
    for position in range(len(sizes)):
        share = round(total * sum(sizes[: position + 1]) / max(1, sum(sizes)))
        most = total - (len(sizes) - position - 1)  # leaves one for each that follows
        bounds.append(max(bounds[-1] + 1, min(share, most)))
    return [after - before for before, after in itertools.pairwise(bounds)]
