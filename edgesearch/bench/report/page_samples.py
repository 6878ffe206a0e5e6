"""What a page shows of the outcomes of each point: problems, candidates, and the tree of their steps.

    {"total": 240, "outcomes": [
      {"id": "p-7", "seed": 0, "status": "correct", "answer": "17", "chosen": 0, "num_candidates": 4, ...,
       "nodes": [[-1, "3*4=12\n\n", 0.97], [0, "12+5=17", 0.95], [0, "12+5=18", 0.2]],
       "candidates": [[0, 1, "17", true, 0.95, "stop", 12, 2], ...]}]}

A node is a step after the steps before it: [parent, text, score], -1 for the first steps; candidates that share steps
share nodes. A candidate is [position, its last node, answer, is right, score, finish, tokens, scored steps].

Bounds: all outcomes are shown where they take up to `MAX_BYTES` together. Otherwise each point gets its share: first
its errors and unanswered ones (at most `MAX_RARE`), then an even choice, the same problems for every point; and of
each outcome as many candidates as `_tight_chars` lets in, the chosen one first. Texts are read for what is shown only,
one outcome at a time, so a store of any size takes little memory.

Not covered: how it is shown (page.js), figures (measure.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import GradedCandidate, Outcome, Status
from edgesearch.bench.report.embedding import encoded
from edgesearch.bench.report.model import Point, Report
from edgesearch.bench.store import Store
from edgesearch.tasks.base import Sample

MAX_BYTES = 20_000_000
"""Of all outcomes and problems in a page; a browser reads that in about a second."""
MAX_OUTCOME_CHARS = 200_000
"""Of the steps of one outcome."""
MAX_TEXT_CHARS = 40_000
"""Of one step, problem or message."""
MAX_RARE = 20
"""Errors, and unanswered ones, that come before the even choice."""
_WANTED_OUTCOMES = 50
"""Of a point, where not all fit."""
_MIN_OUTCOME_CHARS = 4_000
_MAX_MISFITS = 8

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Listed:
    """An outcome that can be shown."""

    cell: str
    seed: int
    sample_id: str
    status: Status


@dataclass(frozen=True, slots=True)
class _Room:
    """What a point may take."""

    max_bytes: int
    max_chars: int
    """Of the steps of each outcome."""
    max_misfits: int
    """Outcomes in a row that do not fit, before it is left as it is."""


@dataclass(slots=True)
class _Taken:
    """What is shown of a point, as far as it is read."""

    texts: dict[_Listed, str] = field(default_factory=dict)
    """Encoded."""
    sample_ids: set[str] = field(default_factory=set)
    num_bytes: int = 0
    """With the problems that no other point shows."""


class Excerpts:
    """What is shown of each point; a point is read when it is asked for."""

    def __init__(self, report: Report, stores: Sequence[Store], max_bytes: int = MAX_BYTES) -> None:
        """Reads how long the problems are, and no candidate yet.

        Args:
            report: the points.
            stores: of its runs, in their order.
            max_bytes: of all that is shown.
        """
        self._report = report
        self._stores = stores
        self._bytes_left = max_bytes
        self._cells = [{cell.key: cell for cell in store.cells()} for store in stores]
        self._sizes = {sample.id: _problem_chars(sample) for store in stores for sample in store.samples()}
        self._shown: set[str] = set()

    def points(self) -> Iterator[tuple[int, str]]:
        """The index and encoded outcomes of each point, the smallest first: what they leave, others get."""
        points = self._report.points
        order = sorted(range(len(points)), key=lambda number: points[number].n * points[number].num_outcomes)
        for place, number in enumerate(order):
            yield number, self._point(points[number], self._bytes_left // (len(order) - place))

    def problems(self) -> Iterator[tuple[str, str]]:
        """The id and encoding of the problems of the outcomes that `points` gave."""
        left = set(self._shown)
        for sample in (each for store in self._stores for each in store.samples()):
            if sample.id in left:
                left.remove(sample.id)
                yield sample.id, encoded(_problem(sample))

    def _point(self, point: Point, max_bytes: int) -> str:
        listed = self._listed(point)
        found = self._taken(point, listed, _Room(max_bytes, MAX_OUTCOME_CHARS, max_misfits=1))
        if len(found.texts) < len(listed):
            found = self._taken(point, listed, _Room(max_bytes, _tight_chars(max_bytes), _MAX_MISFITS))
        self._shown |= found.sample_ids
        self._bytes_left -= found.num_bytes
        ordered = sorted(found.texts, key=lambda each: (each.sample_id, each.seed))
        return f'{{"total":{len(listed)},"outcomes":[{",".join(found.texts[each] for each in ordered)}]}}'

    def _listed(self, point: Point) -> list[_Listed]:
        """The outcomes of a point, in the order in which they are taken."""
        cells = [self._cells[point.run][key] for key in point.cells]
        listed = [each for cell in cells for each in _listed(self._stores[point.run], cell)]
        return _in_order(listed)

    def _taken(self, point: Point, listed: Sequence[_Listed], room: _Room) -> _Taken:
        """As many outcomes as fit."""
        taken = _Taken()
        num_misfits = 0
        for each in listed:
            outcome = self._stores[point.run].outcome(each.cell, each.sample_id)
            assert outcome is not None, "outcomes are never removed"
            text = encoded(outcome_object(outcome, each.seed, room.max_chars))
            num_bytes = len(text) + self._problem_bytes(each.sample_id, taken)
            num_misfits = num_misfits + 1 if taken.num_bytes + num_bytes > room.max_bytes else 0
            if num_misfits == room.max_misfits:
                break
            if not num_misfits:
                taken.texts[each] = text
                taken.num_bytes += num_bytes
                taken.sample_ids.add(each.sample_id)
        return taken

    def _problem_bytes(self, sample_id: str, taken: _Taken) -> int:
        """What the problem of an outcome adds, which is shown once for all points."""
        is_there = sample_id in self._shown or sample_id in taken.sample_ids
        return 0 if is_there else self._sizes.get(sample_id, 0)


def _tight_chars(max_bytes: int) -> int:
    """Of the steps of an outcome, where not all outcomes of a point fit."""
    return min(MAX_OUTCOME_CHARS, max(_MIN_OUTCOME_CHARS, max_bytes // _WANTED_OUTCOMES))


def _listed(store: Store, cell: Cell) -> Iterator[_Listed]:
    key = cell.key
    for outcome in store.outcomes(key, has_candidates=False):
        yield _Listed(key, cell.seed, outcome.sample_id, outcome.status)


# ------------------------------------------------------------------------------------------------------------- choice


def _in_order(listed: Sequence[_Listed]) -> list[_Listed]:
    """Some errors and unanswered ones first, then all others so that any first part of them is an even choice."""
    ordered = sorted(listed, key=lambda each: (each.sample_id, each.seed))
    by_sample = [list(group) for _, group in groupby(ordered, key=lambda each: each.sample_id)]
    even = [each for number in spread(len(by_sample)) for each in by_sample[number]]
    rare = [[each for each in even if each.status == status][:MAX_RARE] for status in ("error", "unanswered")]
    first = rare[0] + rare[1]
    seen = set(first)
    return first + [each for each in even if each not in seen]


def spread(count: int) -> list[int]:
    """0 to count - 1, so ordered that any first part of them is evenly spread (van der Corput's sequence)."""
    width = max(1, (count - 1).bit_length())
    return [number for number in (_reversed(place, width) for place in range(2**width)) if number < count]


def _reversed(number: int, width: int) -> int:
    return int(f"{number:0{width}b}"[::-1], 2)


def _evenly(candidates: Sequence[GradedCandidate], chosen: int | None) -> list[int]:
    """All positions, the chosen one first, then spread."""
    first = [] if chosen is None else [chosen]
    return first + [position for position in spread(len(candidates)) if position != chosen]


# ------------------------------------------------------------------------------------------------------------ objects


def outcome_object(outcome: Outcome, seed: int, max_chars: int = MAX_OUTCOME_CHARS) -> Json:
    """An outcome with its tree.

    Args:
        outcome: with its candidates.
        seed: of its cell.
        max_chars: of all steps; candidates that would need more are left out, but never the first one.
    """
    tree = _Tree()
    kept: list[list[Any]] = []
    for position in _evenly(outcome.candidates, outcome.chosen):
        candidate = outcome.candidates[position]
        if not kept or tree.num_chars + len(candidate.text) <= max_chars:
            leaf = tree.add(candidate)
            kept.append(_candidate(position, leaf, candidate))
    return {
        "id": outcome.sample_id,
        "seed": seed,
        "status": outcome.status,
        "answer": outcome.answer,
        "chosen": outcome.chosen,
        "confidence": _short(outcome.confidence),
        "finish": outcome.finish,
        "wall_s": _short(outcome.wall_s),
        "tokens": outcome.usage.decoded_tokens,
        "flops": outcome.usage.solver_flops + outcome.usage.verifier_flops,
        "ran_as": None if outcome.strategy is None else f"{outcome.strategy.name} n={outcome.strategy.n}",
        "grades": [[each.grader, each.extraction, each.answer, each.is_right] for each in outcome.grades],
        "warnings": [cut(each) for each in outcome.warnings],
        "error": cut(outcome.error),
        "num_candidates": len(outcome.candidates),
        "num_right": sum(each.is_right for each in outcome.candidates),
        "nodes": tree.nodes,
        "candidates": sorted(kept, key=lambda each: each[0]),
    }


def _candidate(position: int, leaf: int, candidate: GradedCandidate) -> list[Any]:
    return [
        position,
        leaf,
        candidate.answer,
        candidate.is_right,
        _short(candidate.score),
        candidate.finish,
        candidate.num_tokens,
        len(candidate.step_scores),
    ]


class _Tree:
    """The steps of candidates, those in common once."""

    def __init__(self) -> None:
        self.nodes: list[list[Any]] = []
        """[parent, text, score] each, a parent before its children."""
        self.num_chars = 0
        self._places: dict[tuple[int, str], int] = {}

    def add(self, candidate: GradedCandidate) -> int:
        """Its last node."""
        node = -1
        for number, step in enumerate(steps_of(candidate)):
            score = candidate.step_scores[number] if number < len(candidate.step_scores) else None
            node = self._child(node, step, _short(score))
        return node

    def _child(self, parent: int, step: str, score: float | None) -> int:
        place = self._places.setdefault((parent, step), len(self.nodes))
        if place == len(self.nodes):
            self.nodes.append([parent, cut(step), score])
            self.num_chars += len(step)
        elif self.nodes[place][2] is None:  # a candidate that was not verified came first
            self.nodes[place][2] = score
        return place


def steps_of(candidate: GradedCandidate) -> list[str]:
    """Its text in pieces: the steps whose ends are known, and what comes after; one piece at least."""
    text, starts = candidate.text, (0, *candidate.step_ends)
    steps = [text[start:end] for start, end in zip(starts, candidate.step_ends, strict=False)]
    rest = text[starts[-1] :]
    return [*steps, rest] if rest or not steps else steps


def _problem(sample: Sample) -> Json:
    return {
        "question": cut(sample.question),
        "asked": None if sample.problem.text == sample.question else cut(sample.problem.text),
        "target": cut(sample.target),
        "metadata": {name: cut(value) for name, value in sample.metadata.items()},
    }


def _problem_chars(sample: Sample) -> int:
    return sum(min(len(text), MAX_TEXT_CHARS) for text in (sample.question, sample.problem.text, sample.target))


def cut(text: str) -> str:
    """A text, or its beginning and how much more there is."""
    more = len(text) - MAX_TEXT_CHARS
    return text if more <= 0 else f"{text[:MAX_TEXT_CHARS]} … ({more:,} more characters)"


def _short(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.4g}")
