"""From the stores of strategies.py to its rows: one strategy, verifier and n over all problems of all seeds, as arrays.

A row that lacks outcomes, or has errors, is there and says so; nothing is left out silently.
"""

import datetime
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from strategies_plan import Part

from edgesearch.answer import canonical
from edgesearch.bench.recipe import Cell, Recipe, cells
from edgesearch.bench.records import UNANSWERED, Columns, Outcome
from edgesearch.bench.store import Store

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

COSTS = ("wall_s", "decoded_tokens", "verified_tokens", "solver_flops", "verifier_flops")
_COLUMNS = np.dtype(
    [
        ("is_done", np.bool_),  # it ran to an end
        ("is_right", np.bool_),
        ("is_covered", np.bool_),  # a right answer is among its candidates
        ("is_voted", np.bool_),  # the vote of its candidates is right, weighted by their scores if they have any
        *((name, np.float64) for name in COSTS),
    ]
)


@dataclass(frozen=True, slots=True)
class Key:
    """Which row."""

    verifier: str
    strategy: str
    n: int
    early_stop: float | None = None


@dataclass(slots=True, eq=False)
class Row:
    """One strategy, verifier and n on all problems; filled while the stores are read."""

    key: Key
    table: NDArray[Any]
    """(problems,) of `_COLUMNS`."""
    answers: list[str | None]
    """What it answers to each problem, canonical."""
    texts: list[str]
    """The solution that it chooses for each problem; only of n = 1."""
    errors: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    num_cut: int = 0
    """Outcomes that were cut off by their deadline."""
    num_narrower: int = 0
    """Outcomes whose strategy ran narrower than asked for, or as another."""

    @classmethod
    def empty(cls, key: Key, num: int) -> "Row":
        """Without any outcome."""
        return cls(key, np.zeros(num, _COLUMNS), [None] * num, [""] * num)

    @property
    def is_whole(self) -> bool:
        """Whether it ran to an end on every problem, so that it can be compared."""
        return len(self.table) > 0 and bool(self.table["is_done"].all())

    def add(self, index: int, outcome: Outcome) -> None:
        """Takes what one problem came to."""
        self.warnings.update(outcome.warnings)
        if outcome.error:
            self.errors[outcome.error] += 1
            return
        into = self.table[index]
        into["is_done"], into["is_right"], into["wall_s"] = True, outcome.status == "correct", outcome.wall_s
        for name in COSTS[1:]:
            into[name] = getattr(outcome.usage, name)
        self.answers[index] = None if outcome.answer is None else canonical(outcome.answer)
        if outcome.chosen is not None:
            self.texts[index] = outcome.candidates[outcome.chosen].text
        ran = outcome.strategy
        self.num_narrower += ran is not None and (ran.name, ran.n) != (self.key.strategy, self.key.n)
        self.num_cut += outcome.finish == "deadline"


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What the stores hold."""

    rows: Mapping[Key, Row]
    """In the order of the recipe."""
    pass_at_1: Floats
    """(problems,) share of right ones among samples with draws of their own; NaN where that part did not run."""
    begun: str = ""
    """When the first of the stores was begun; empty without any."""

    @property
    def num_problems(self) -> int:
        """Of all seeds."""
        return len(self.pass_at_1)

    def of(self, strategy: str, n: int, *, verifier: str, early_stop: float | None = None) -> Row | None:
        """The row, if it is there and whole."""
        row = self.rows.get(Key(verifier, strategy, n, early_stop))
        return row if row is not None and row.is_whole else None


def read(recipe: Recipe, parts: Sequence[Part], folder: Path, failed: Container[str] = ()) -> Rows:
    """Reads the stores of all parts; those that failed, or have no store, leave their rows without outcomes.

    What the store of a failed part holds may be of other models or problems, which may be why it failed.
    """
    verifiers = {engine.id: engine.verifier for engine in recipe.engines}
    whole = [part for part in parts if part.name not in failed]
    numbers = {name: number for number, name in enumerate(_sample_ids(whole, folder))}
    wanted = {_key(cell, verifiers): None for part in parts if not part.is_difficulty for cell in cells(part.recipe)}
    order = {_key(cell, verifiers): place for place, cell in enumerate(cells(recipe))}
    rows = {key: Row.empty(key, len(numbers)) for key in sorted(wanted, key=order.__getitem__)}
    pass_at_1 = np.full(len(numbers), np.nan)
    begun_s = []
    for part, store in _stores(whole, folder):
        with store:
            begun_s.append(store.sessions()[0].started_s)
            for cell in store.cells():
                if part.is_difficulty:
                    _add_difficulty(pass_at_1, store.columns(cell.key), numbers)
                else:
                    _add_cell(rows[_key(cell, verifiers)], store, cell, numbers)
    begun = datetime.datetime.fromtimestamp(min(begun_s), datetime.UTC) if begun_s else None
    return Rows(rows, pass_at_1, "" if begun is None else begun.isoformat(timespec="seconds"))


def _stores(parts: Sequence[Part], folder: Path) -> Iterator[tuple[Part, Store]]:
    for part in parts:
        if part.store(folder).exists():
            yield part, Store.read(part.store(folder))


def _sample_ids(parts: Sequence[Part], folder: Path) -> dict[str, None]:
    """Of all problems, seed by seed."""
    found: dict[str, None] = {}
    for _, store in _stores(sorted(parts, key=lambda part: part.recipe.task.seed), folder):
        with store:
            found |= dict.fromkeys(sample.id for sample in store.samples())
    return found


def _key(cell: Cell, verifiers: Mapping[str, str]) -> Key:
    return Key(verifiers[cell.engine], cell.strategy, cell.n, cell.early_stop)


def _add_difficulty(pass_at_1: Floats, columns: Columns, numbers: Mapping[str, int]) -> None:
    for place, name in enumerate(columns.sample_ids):
        kept = columns.of(place)
        if kept.stop > kept.start:
            pass_at_1[numbers[name]] = columns.is_right[kept].mean()


def _add_cell(row: Row, store: Store, cell: Cell, numbers: Mapping[str, int]) -> None:
    columns = store.columns(cell.key)
    for place, name in enumerate(columns.sample_ids):
        kept, index = columns.of(place), numbers[name]
        row.table[index]["is_covered"] = columns.is_right[kept].any()
        row.table[index]["is_voted"] = _vote(columns.answer_class[kept], columns.score[kept], columns.is_right[kept])
    for outcome in store.outcomes(cell.key, has_candidates=cell.n == 1):
        row.add(numbers[outcome.sample_id], outcome)


def _vote(classes: NDArray[Any], scores: Floats, is_right: Bools) -> bool:
    """Whether the answer with the most weight is right; each counts one where none has a score, as in choice.py."""
    voters = classes != UNANSWERED
    if not voters.any():
        return False
    weights = np.nan_to_num(scores[voters])
    votes = np.bincount(classes[voters], weights if weights.any() else None)
    return bool(is_right[voters][classes[voters] == votes.argmax()][0])
