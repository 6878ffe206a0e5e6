"""Text that came from a server, and the steps in it.

A server gives text with the number of its tokens and, sometimes, each token's text and log-probability. Where the
tokens are known the steps are cut from them; otherwise the text is cut at the delimiters and its tokens and
log-probability are shared out by length, so that the totals are the server's.

The token ids of such steps stand for the tokens' texts (equal texts have equal ids); they are not the vocabulary's.

Not covered: asking for it (openai_api.py).
"""

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgesearch.engines.openai_protocol import Tokens
from edgesearch.engines.steps import StepBuilder
from edgesearch.types import Finish, Step

END_ID = 0
"""Stands for the end of turn."""
_FILLER_ID = 1  # a token of which only the number is known
_Unit = tuple[str, float, int]  # text, log-probability, tokens


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

    def first_step(self, delimiter: str) -> "tuple[Step, Written] | None":
        """Its first step and what comes after it; None when no step ends in it."""
        builder, units = StepBuilder(delimiter), self._units(delimiter, self.count)
        for index, unit in enumerate(units):
            if _add(builder, unit):
                return self._counted(builder.steps)[0], self._rest(units[index + 1 :])
        return None

    def steps(self, delimiter: str, finish: Finish) -> tuple[Step, ...]:
        """All its steps, the last of which ended for that reason; none for an empty text that was cut off."""
        builder = StepBuilder(delimiter)
        count, end_logprob, tokens = self.count, 0.0, self.tokens
        if finish == "stop" and tokens and not tokens[-1][0]:  # the end of turn is listed
            tokens, end_logprob = tokens[:-1], tokens[-1][1]
        elif finish == "stop" and count and not tokens:
            count -= 1  # the end of turn is one of them
        for unit in dataclasses.replace(self, tokens=tokens)._units(delimiter, count):
            _add(builder, unit)
        if finish == "stop":
            builder.stop(END_ID, end_logprob)
        else:
            builder.cut(finish)
        return self._counted(builder.steps)

    def _units(self, delimiter: str, count: int | None) -> list[_Unit]:
        if self.tokens is not None:
            return [(text, logprob, 1) for text, logprob in self.tokens]
        texts = re.findall(rf"(?s:.*?){re.escape(delimiter)}|(?s:.+)", self.text)
        sizes = [len(text.encode()) for text in texts]
        total = max(1, sum(sizes))
        counts = _shares(count or 0, sizes)
        return [(text, self.logprob * sizes[i] / total, counts[i]) for i, text in enumerate(texts)]

    def _rest(self, units: Sequence[_Unit]) -> "Written":
        return Written(
            "".join(text for text, _, _ in units),
            None if self.tokens is None else tuple((text, logprob) for text, logprob, _ in units),
            None if self.count is None else sum(count for _, _, count in units),
            sum(logprob for _, logprob, _ in units),
        )

    def _counted(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """The steps; without ids where nobody knows how many tokens they have."""
        if self.tokens is None and self.count is None:
            return tuple(dataclasses.replace(step, token_ids=()) for step in steps)
        return tuple(steps)


def aligned(text: str, tokens: Tokens | None) -> Tokens | None:
    """The tokens that make up a text; those after its end (the end of turn) as one without text. None if they do not.

    They do not where a token holds part of a character, or where the server lists others than it gives the text of.
    """
    if tokens is None:
        return None
    position = 0
    for index, (token, _) in enumerate(tokens):
        if position == len(text) and token:
            return (*tokens[:index], ("", sum(logprob for _, logprob in tokens[index:])))
        if not text.startswith(token, position):
            return None
        position += len(token)
    return tokens if position == len(text) else None


def _add(builder: StepBuilder, unit: _Unit) -> bool:
    """Feeds a unit; True when a step ended with it."""
    text, logprob, count = unit
    for _ in range(count - 1):
        builder.add(_FILLER_ID, b"", 0.0)
    return builder.add(_id(text), text.encode(), logprob)


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
