"""Problem and steps as tokens of a verifier that has a vocabulary of its own.

An exported verifier says how a solution is written for it: which token ids and which texts stand before, between and
after the problem and the steps. Texts are tokenised here with its `tokenizer.json`, each step alone, so that the tokens
of a step do not depend on what comes after it and are read once. A step's score is read at the last token it puts in.
A delimiter is no step: steps are read without theirs, and one that holds nothing else has the score of the step before
it, at no cost. Only a solution that begins with an empty step is read as it is.

Problems and steps are untrusted, and none can forge a step or a score:

- Scores are read at positions that are counted, never at tokens that are searched for.
- Texts are tokenised as plain text, so the name of a control token such as `<extra_0>` stays a name.
- Where the vocabulary holds a separator as an ordinary word (" ки"), a text that spells it is cut inside that word and
  the halves are tokenised apart. A separator of white space becomes a space in texts.

Not covered: how a layout is found (export/layouts.py), the graph (onnx_graph.py).
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgesearch.errors import UsageError
from edgesearch.types import Beam, Prompt
from edgesearch.verifiers.onnx_graph import SAME
from edgesearch.verifiers.plain_tokenizer import PlainTokenizer
from edgesearch.verifiers.prm_turns import own_text

Part = int | str
"""A token id, or a text in which `{problem}` or `{step}` stands for what is said."""
PROBLEM, STEP = "{problem}", "{step}"

_PLACES = {"prompt": PROBLEM, "first": STEP, "next": STEP}


@dataclass(frozen=True, slots=True)
class TokenLayout:
    """What is put around a problem and its steps."""

    prompt: tuple[Part, ...]
    """All that stands before the first step; one text in it holds `{problem}`."""
    first: tuple[Part, ...]
    """What the first step puts in; one text in it holds `{step}`."""
    next: tuple[Part, ...]
    """The same for every other step."""
    flattened: str = ""
    """A separator of white space, which becomes a space in problems and steps; empty for none."""

    def __post_init__(self) -> None:
        for name, place in _PLACES.items():
            parts: tuple[Part, ...] = getattr(self, name)
            if sum(part.count(place) for part in parts if isinstance(part, str)) != 1:
                raise ValueError(f"{name} must hold {place} exactly once")
            if any(isinstance(part, int) and part < 0 for part in parts):
                raise ValueError(f"{name} must hold token ids >= 0")
        if self.flattened and not self.flattened.isspace():
            raise ValueError(f"flattened must be white space, not {self.flattened!r}")

    @property
    def token_ids(self) -> frozenset[int]:
        """All ids that it puts in."""
        return frozenset(part for part in (*self.prompt, *self.first, *self.next) if isinstance(part, int))

    def to_json(self) -> str:
        """As a verifier's metadata holds it."""
        return json.dumps({**{name: getattr(self, name) for name in _PLACES}, "flattened": self.flattened})

    @classmethod
    def from_json(cls, text: str) -> "TokenLayout":
        """Reads what `to_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        table = json.loads(text)
        if not isinstance(table, dict) or set(table) != {*_PLACES, "flattened"}:
            raise ValueError(f"it must have {', '.join(_PLACES)} and flattened")
        if not isinstance(table["flattened"], str):
            raise ValueError("flattened must be a text")
        prompt, first, following = (_parts(name, table[name]) for name in _PLACES)
        return cls(prompt, first, following, table["flattened"])


def _parts(name: str, parts: object) -> tuple[Part, ...]:
    if not isinstance(parts, list) or not all(isinstance(part, str) or type(part) is int for part in parts):
        raise ValueError(f"{name} must be a list of token ids and texts")
    return tuple(parts)


class OwnTokens:
    """A layout in a vocabulary."""

    def __init__(self, layout: TokenLayout, tokenizer: PlainTokenizer, name: str) -> None:
        """Notes the tokens that no text may give; `name` is what errors call the verifier."""
        self._layout, self._tokenizer, self._name = layout, tokenizer, name
        words = {token: tokenizer.text(token) for token in layout.token_ids}
        words = {token: word for token, word in words.items() if len(word) > 1}
        self._kept_out = frozenset(words)
        names = "|".join(re.escape(word) for word in sorted(words.values(), key=len, reverse=True))
        self._starts = re.compile(f"(?={names})")

    def prompt(self, prompt: Prompt, token_ids: Sequence[int]) -> Sequence[int]:
        """Ids of a problem and of what stands around it; the solver's ids are of no use here.

        Raises:
            UsageError: the vocabulary cannot represent it.
        """
        del token_ids
        return self._encode(self._layout.prompt, PROBLEM, self._flat(prompt.user))

    def step(self, beam: Beam, index: int) -> tuple[Sequence[int], int]:
        """Ids that a step puts in, and which of them its score is read at: the last, or none for an empty step.

        Raises:
            UsageError: the vocabulary cannot represent it.
        """
        delimiter = beam.prompt.step_delimiter
        text = self._flat(own_text(beam.steps[index], delimiter))
        if index and not text:
            return (), SAME
        parts = self._layout.next if index else self._layout.first
        ids = self._encode(parts, STEP, text) or self._encode(parts, STEP, delimiter)
        return ids, len(ids) - 1

    def _flat(self, said: str) -> str:
        return said.replace(self._layout.flattened, " ") if self._layout.flattened else said

    def _encode(self, parts: Iterable[Part], place: str, said: str) -> list[int]:
        ids: list[int] = []
        for part in parts:
            ids += [part] if isinstance(part, int) else self._plain(said.join(part.split(place)))
        return ids

    def _plain(self, text: str) -> list[int]:
        """Ids of a text, which is cut as far as it takes to keep the layout's own tokens out."""
        whole = [0, len(text)]
        inside = [0, *(match.start() + 1 for match in self._starts.finditer(text)), len(text)]
        for cuts in (whole, inside):
            ids = [token for start, end in pairwise(cuts) for token in self._ids(text[start:end])]
            if self._kept_out.isdisjoint(ids):
                return ids
        return [token for letter in text for token in self._ids(letter)]  # spelled in a way that only it reads as such

    def _ids(self, text: str) -> list[int]:
        ids = self._tokenizer.ids(text)
        if self._tokenizer.unknown_id in ids:
            raise UsageError(
                f"the vocabulary of verifier {self._name} has nothing for {self._tokenizer.unknown(text)!r}; "
                "use another verifier, or --verifier consensus"
            )
        return ids
