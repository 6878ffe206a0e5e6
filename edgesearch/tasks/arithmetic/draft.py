"""A problem while it is written: sentences, solution steps, and the tags that name its structure.

Every family writes into a `Draft`. The draft knows the level's number sizes, keeps the arithmetic honest (each step's
value is computed here) and refuses what gets too large or does not come out even by raising `DeadEnd`; the generator
then starts the problem again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgesearch.tasks.arithmetic import grammar

MAX_NUMBER = 9999
START = {1: (5, 40), 2: (8, 60), 3: (10, 90), 4: (15, 150), 5: (20, 400)}
"""Where a problem's first amount lies, by level."""
CHANGE = {1: (2, 20), 2: (2, 30), 3: (3, 40), 4: (4, 60), 5: (5, 150)}
"""How much a change adds or takes away, by level."""
LENGTH = {1: 1, 2: 2, 3: 3, 4: 3, 5: 4}
"""How many changes, relations or statements a problem has, by level. All sizes here were chosen so
that the smallest solver finds a right solution of most problems among 64."""
PERCENTS = (10, 20, 25, 50)
FRACTIONS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth"}

NAMES = (
    "Ana", "Ben", "Cara", "Dan", "Ella", "Finn", "Gina", "Hugo",
    "Iris", "Jack", "Kate", "Liam", "Mia", "Noah", "Olga", "Paul",
)  # fmt: skip
ITEMS = (
    "apples", "shells", "coins", "marbles", "stickers", "cards",
    "books", "pencils", "stamps", "beads", "eggs", "plums",
)  # fmt: skip
GOODS = ("pens", "cups", "hats", "toys", "cakes", "lamps", "maps", "ropes")
BOXES = ("boxes", "bags", "baskets", "jars")


class DeadEnd(Exception):
    """What was drawn cannot become a problem; the generator starts again."""


@dataclass(slots=True)
class Draft:
    """One problem under way. Writers call `say`, `compute` and `tag`."""

    rng: random.Random
    level: int
    is_reserved_wording: bool = False
    sentences: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    def wording(self, template: str, **fields: object) -> str:
        """An expansion of the template with its fields filled in."""
        return grammar.expand(self.rng, template, self.is_reserved_wording).format(**fields)

    def say(self, template: str, **fields: object) -> None:
        self.sentences.append(self.wording(template, **fields))

    def tag(self, *tags: str) -> None:
        """Names a choice that is part of the problem's structure."""
        self.tags += tags

    def compute(self, left: int | str, operator: str, right: int, name: str = "") -> int:
        """Adds a step such as `Ben=12+5=17` and returns its value.

        Raises:
            DeadEnd: the value is not a whole number from 1 to `MAX_NUMBER`.
        """
        value = evaluate(str(left), operator, right)
        if value is None or not 1 <= value <= MAX_NUMBER:
            raise DeadEnd
        self.steps.append(f"{name}{'=' if name else ''}{left}{operator}{right}={value}")
        return value

    @property
    def length(self) -> int:
        return LENGTH[self.level]

    def start(self) -> int:
        return self.rng.randint(*START[self.level])

    def change(self, most: int = MAX_NUMBER) -> int:
        """An amount to add or take away, at most `most`.

        Raises:
            DeadEnd: even the level's smallest change is more.
        """
        low, high = CHANGE[self.level]
        if most < low:
            raise DeadEnd
        return self.rng.randint(low, min(high, most))

    def divisor(self, value: int, candidates: Sequence[int] = range(2, 10)) -> int:
        """One of the candidates that divides `value`.

        Raises:
            DeadEnd: none does.
        """
        found = [divisor for divisor in candidates if value % divisor == 0 and value > divisor]
        if not found:
            raise DeadEnd
        return self.rng.choice(found)

    def percent(self, value: int) -> int:
        """One of `PERCENTS` that takes a whole number out of `value`.

        Raises:
            DeadEnd: none does.
        """
        found = [percent for percent in PERCENTS if value * percent % 100 == 0]
        if not found:
            raise DeadEnd
        return self.rng.choice(found)

    def names(self, count: int) -> list[str]:
        return self.rng.sample(NAMES, count)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability


def evaluate(left: str, operator: str, right: int) -> int | None:
    """The value of `left operator right`, `left` a number or a percentage; None if it is not a whole number.

    A percentage is only ever multiplied.
    """
    if left.endswith("%"):
        quotient, rest = divmod(int(left[:-1]) * right, 100)
        return None if rest else quotient
    number = int(left)
    if operator == "/":
        quotient, rest = divmod(number, right) if right else (0, 1)
        return None if rest else quotient
    return {"+": number + right, "-": number - right, "*": number * right}[operator]
