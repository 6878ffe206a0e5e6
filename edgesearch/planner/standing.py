"""How the vote stands: kept up as candidates come in, so that asking costs nothing.

A search that is planned while it runs asks after every few tokens whether to go on. Counting all candidates each time
would cost more than drawing them, so each one is counted once, when it has its score or will not get any.

Votes are over canonical answers and weigh what the candidate's score says, 0 where it has none; where no vote weighs
anything each counts one, as in the choice at the end (choice.py). Answers that an exact check proved wrong have no
vote; one that is proven right has all. Programs that have scores are not voted on: the one with the highest leads, the
first of equals before the others.
"""

import math
from dataclasses import dataclass

from edgesearch import answer
from edgesearch.types import Candidate


@dataclass(frozen=True, slots=True)
class Standing:
    """The vote at one moment."""

    answer: str | None
    """In the lead, or proven right; as its first voter spelled it; None where nobody voted."""
    share: float
    """Of all weight cast, the leader's: in [0, 1]; 1 with a proof, 0 where nobody voted."""
    weight: float
    """The leader's: a sum of scores, so 0 where all of them are 0; without scores a number of votes."""
    rival_weight: float
    """That of the second."""
    num_votes: int
    """For the leader."""
    num_rival_votes: int
    """For the answer with the second most weight."""
    num_cast: int
    """For all answers."""
    num_candidates: int
    """Counted, with or without an answer, proven or not."""
    num_disproven: int
    """Candidates whose answer is proven wrong."""
    best_score: float | None
    """Highest score among the leader's voters; None without scores."""
    mean_score: float | None
    """Mean score of all scored candidates, which says how hard the problem is; None without scores."""
    is_proven: bool
    """Whether an answer is proven right."""


@dataclass(slots=True)
class _Class:
    """The voters of one canonical answer."""

    spelling: str
    is_program: bool
    weight: float = 0.0
    num_votes: int = 0
    best: Candidate | None = None
    best_score: float = -1.0


class Tally:
    """Counts candidates once each. Owned by one search."""

    def __init__(self) -> None:
        self._classes: dict[str, _Class] = {}
        self._num_candidates = self._num_disproven = self._num_scored = 0
        self._scores = self._weight = 0.0
        self._proven: Candidate | None = None
        self._disproven: Candidate | None = None
        self._standing: Standing | None = None

    def add(self, candidate: Candidate) -> None:
        """Counts a candidate whose score, if it is to have one, is known."""
        self._standing = None
        self._num_candidates += 1
        if candidate.score is not None:
            self._num_scored += 1
            self._scores += candidate.score
        if candidate.answer is None:
            return
        if candidate.beam.proof is False:
            self._num_disproven += 1
            self._disproven = self._disproven or candidate
            return
        if candidate.beam.proof:
            self._proven = self._proven or candidate
        self._vote(candidate, candidate.answer)

    def _vote(self, candidate: Candidate, stated: str) -> None:
        score = candidate.score or 0.0
        voters = self._classes.setdefault(answer.canonical(stated), _Class(stated, answer.is_program(stated)))
        voters.num_votes += 1
        voters.weight += score
        self._weight += score
        if score > voters.best_score:
            voters.best, voters.best_score = candidate, score

    @property
    def best(self) -> Candidate | None:
        """The best voter of the leader; one that is proven right before all; where nobody voted, one proven wrong."""
        if self._proven is not None:
            return self._proven
        leader = max(self._classes.values(), key=self._votes, default=None)
        return leader.best if leader is not None else self._disproven

    def _votes(self, voters: _Class) -> float:
        """What its votes count: what they weigh, or one each where none weighs anything; of a program its score."""
        if voters.is_program and self._num_scored:
            return max(0.0, voters.best_score)
        return voters.weight if self._weight > 0 else voters.num_votes

    def standing(self) -> Standing:
        """The vote as it is now."""
        if self._standing is None:
            self._standing = self._count()
        return self._standing

    def _count(self) -> Standing:
        ranked = self._ranked()
        leader, rival = [*ranked, None, None][:2]
        is_scored = self._num_scored > 0
        return Standing(
            answer=leader.spelling if leader is not None else None,
            share=self._share(leader) if leader is not None else 0.0,
            weight=_weight(leader, is_scored),
            rival_weight=_weight(rival, is_scored),
            num_votes=leader.num_votes if leader is not None else 0,
            num_rival_votes=rival.num_votes if rival is not None else 0,
            num_cast=sum(voters.num_votes for voters in ranked),
            num_candidates=self._num_candidates,
            num_disproven=self._num_disproven,
            best_score=max(0.0, leader.best_score) if leader is not None and is_scored else None,
            mean_score=self._scores / self._num_scored if is_scored else None,
            is_proven=self._proven is not None,
        )

    def _ranked(self) -> list[_Class]:
        """Most votes first, the first of equals before the others; before all the one that is proven right."""
        ranked = sorted(self._classes.values(), key=self._votes, reverse=True)  # a stable sort, also in reverse
        if self._proven is not None:
            proven = self._classes[answer.canonical(self._proven.answer or "")]
            ranked.sort(key=lambda voters: voters is not proven)
        return ranked

    def _share(self, leader: _Class) -> float:
        if self._proven is not None:
            return 1.0
        total = math.fsum(map(self._votes, self._classes.values()))
        return min(1.0, self._votes(leader) / total) if total else 0.0


def _weight(voters: _Class | None, is_scored: bool) -> float:
    if voters is None:
        return 0.0
    return voters.weight if is_scored else float(voters.num_votes)
