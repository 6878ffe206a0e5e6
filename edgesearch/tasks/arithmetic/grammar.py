r"""Wordings: sentences with alternatives, and which of their expansions training never sees.

    template    "[Then|After that|Next] {hero} [buys|gets] {k} [more|extra] {item}."
    fields      hero="Ana", k=5, item="shells"
    expansion   "Next Ana buys 5 extra shells."

A template has alternatives in brackets, not nested, and fields in braces. The template above has 12 expansions. Where a
template has at least `MIN_RESERVABLE`, about one expansion in `RESERVED_SHARE` is reserved, by a checksum of the
template and the choices made: training draws only the others, and the held-out split `phrasings` only these, where
there are any.

What it is not: a claim about wording in general. Training draws every alternative of every slot, so each word of a
reserved expansion is known in its place; only the combination is not.
"""

from __future__ import annotations

import random
import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from math import prod

MIN_RESERVABLE = 6
RESERVED_SHARE = 6

_ALTERNATIVES = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed wording: fixed parts around slots."""

    parts: tuple[str, ...]
    """One more than there are slots."""
    slots: tuple[tuple[str, ...], ...]

    @property
    def num_expansions(self) -> int:
        return prod(len(slot) for slot in self.slots)

    def fill(self, choice: tuple[int, ...]) -> str:
        text = self.parts[0]
        for slot, index, part in zip(self.slots, choice, self.parts[1:], strict=True):
            text += slot[index] + part
        return text


@lru_cache(maxsize=4096)
def parse(template: str) -> Template:
    pieces = _ALTERNATIVES.split(template)
    return Template(tuple(pieces[::2]), tuple(tuple(piece.split("|")) for piece in pieces[1::2]))


@lru_cache(maxsize=1 << 16)
def is_reserved(template: str, choice: tuple[int, ...]) -> bool:
    """Whether this expansion is kept from training. Never all of a template's are, and rarely none of a large one's.

    A template whose slots are 3 and then 2 long can have none: its sums below take only five residues of six.
    """
    if parse(template).num_expansions < MIN_RESERVABLE:
        return False
    # A weighted sum rather than a checksum of the choices: it walks through the residues, so that a template with few
    # expansions has some of both kinds as well.
    return (zlib.crc32(template.encode()) + sum((i + 1) * c for i, c in enumerate(choice))) % RESERVED_SHARE == 0


def expand(rng: random.Random, template: str, is_reserved_wanted: bool) -> str:
    """A random expansion, its fields still in braces: of the reserved ones, if there are any, or of the others."""
    parsed = parse(template)
    while True:
        choice = tuple([int(rng.random() * len(slot)) for slot in parsed.slots])
        if is_reserved(template, choice) == (is_reserved_wanted and _has_reserved(template)):
            return parsed.fill(choice)


@lru_cache(maxsize=4096)
def _has_reserved(template: str) -> bool:
    return any(is_reserved(template, choice) for choice in _choices(template))


def _choices(template: str) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for slot in parse(template).slots:
        found = [(*choice, index) for choice in found for index in range(len(slot))]
    return found
