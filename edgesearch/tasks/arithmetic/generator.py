"""Draws problems: for training, and for the held-out splits.

A problem's structure is its family and the choices that the family tagged; about a sixth of the structures, by
checksum, is reserved, as is about a sixth of the expansions of most large wordings (grammar.py). Training draws
neither.

The order of random draws is part of the contract: the given weights were trained on `training_problems(seed)`, and the
set can be drawn again only while that order stays.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from edgesearch.tasks.arithmetic import (
    clock,
    countdown,
    equation,
    rates,
    relations,
    sets,
    shop,
    story,
    subset,
    trace,
)
from edgesearch.tasks.arithmetic.draft import DeadEnd, Draft
from edgesearch.tasks.arithmetic.sample import ArithmeticSample

WRITERS: dict[str, Callable[[Draft], int | str]] = {
    "story": story.write,
    "relations": relations.write,
    "shop": shop.write,
    "rates": rates.write,
    "clock": clock.write,
    "trace": trace.write,
    "sets": sets.write,
    "equation": equation.write,
    "countdown": countdown.write,
    "subset": subset.write,
}
FAMILIES = tuple(WRITERS)
EXACT_FAMILIES = ("equation", "countdown", "subset")
"""Those whose answers `check` can judge without a reference."""
LEVELS = range(1, 6)
SPLITS = ("mixed", "phrasings", "structures")
"""mixed: wordings and structures that training may draw too; phrasings, structures: only reserved ones of these."""
RESERVED_SHARE = 6
RESERVING_SALT = 63  # with it every family has reserved structures at every level from 2, 7% to 30% of what is drawn
RESERVING_SALTS = {"equation": 1332}  # with it the same holds, and no form that earlier weights have seen is reserved
MIN_TAGS = 3  # a structure of fewer choices is a piece of every other
HELD_OUT_SHARE = 50  # one problem in so many is kept from training, by its text


def generate(
    rng: random.Random, level: int | None = None, family: str | None = None, split: str = "mixed"
) -> ArithmeticSample:
    """Draws one problem; a missing level or family is drawn too.

    Raises:
        ValueError: `level` is outside 1..5, or `family` or `split` is unknown.
    """
    if level is not None and level not in LEVELS:
        raise ValueError(f"level is {level}, must lie in {LEVELS[0]}..{LEVELS[-1]}")
    if family is not None and family not in FAMILIES:
        raise ValueError(f"family is {family!r}, must be one of {', '.join(FAMILIES)}")
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, must be one of {', '.join(SPLITS)}")
    this_level = level or rng.choice(LEVELS)
    this_family = family or rng.choice(FAMILIES)
    while True:
        draft = Draft(rng, this_level, is_reserved_wording=split == "phrasings")
        try:
            answer = WRITERS[this_family](draft)
        except DeadEnd:
            continue
        structure = f"{this_family} {' '.join(draft.tags)}"
        if is_reserved_structure(structure) == (split == "structures"):
            return ArithmeticSample(
                id="",
                problem=" ".join(draft.sentences),
                target=str(answer),
                steps=tuple(draft.steps),
                family=this_family,
                level=this_level,
                structure=structure,
            )


def is_reserved_structure(structure: str) -> bool:
    """Whether training never sees a problem of this structure."""
    if structure.count(" ") < MIN_TAGS:
        return False
    salt = RESERVING_SALTS.get(structure.split(maxsplit=1)[0], RESERVING_SALT)
    return zlib.crc32(f"{salt} {structure}".encode()) % RESERVED_SHARE == 0


def is_held_out(problem: str) -> bool:
    """Whether this problem's text is kept from training: one in `HELD_OUT_SHARE`, by checksum."""
    return zlib.crc32(problem.encode()) % HELD_OUT_SHARE == 0


def training_problems(seed: int | str) -> Iterator[ArithmeticSample]:
    """Endless problems that no held-out set has: levels and families in equal shares."""
    rng = random.Random(f"edgesearch arithmetic training {seed}")  # noqa: S311 - repeatable, not secret
    while True:
        sample = generate(rng)
        if not is_held_out(sample.problem):
            yield sample


def held_out(seed: int, count: int, split: str = "mixed") -> list[ArithmeticSample]:
    """The first `count` benchmark problems of a seed and split: families and levels in equal shares.

    No problem is given twice, a longer list of the same seed begins with the shorter one, and none can be in a training
    set: training leaves out all problems whose text has a certain checksum, and these have it.

    Raises:
        ValueError: `split` is unknown.
    """
    rng = random.Random(f"edgesearch arithmetic {split} {seed}")  # noqa: S311 - repeatable, not secret
    levels = LEVELS if split != "structures" else LEVELS[1:]  # a problem of level 1 is a piece of the others
    cells = [(family, level) for level in levels for family in FAMILIES]
    samples: list[ArithmeticSample] = []
    seen: set[str] = set()
    while len(samples) < count:
        family, level = cells[len(samples) % len(cells)]
        drawn = generate(rng, level, family, split)
        if drawn.problem in seen or not is_held_out(drawn.problem):
            continue
        seen.add(drawn.problem)
        samples.append(replace(drawn, id=f"arith-{split}-{seed}-{len(samples):06d}"))
    return samples
