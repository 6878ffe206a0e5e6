"""When a vote is decided before all samples are drawn.

Dominance: no sample that is still being drawn can change the answer. It costs no accuracy, and the rule is exact both
ways: it holds as soon as no continuation gives another winner, and never before. A sample counts 1 in a majority vote
and at most 1 in a weighted one, a score that is still missing may be anything in [0, 1], and a tie goes to the answer
that appeared first, as in `answer.vote`. A search for the best score is decided by a finished solution with a score
of 1: another may equal it, but not pass it. So is any search for a program: programs that have scores are chosen by
them, and votes decide nothing. Votes weighted by confidence (DeepConf) are never decided so: a confidence has no upper
bound, and each trace moves the threshold of the others.

Confidence (adaptive consistency): the answer in the lead is the solver's most frequent one with at least a given
probability. With v1 votes for it and v2 for the next, and a uniform prior over what share of the two is the leader's,
that is P(p > 1/2) for p ~ Beta(v1 + 1, v2 + 1). It counts votes whatever their weights, knows nothing of right and
wrong, and can end with another answer than all samples would have given.

Not covered: proofs. An answer that an exact check proves right ends a search whatever the vote, so a search that has
such a check may still be worth going on with; answers that were proven wrong have no vote here.

Sources: Aggarwal et al., arXiv 2305.11860 (section 3, the Beta criterion).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgesearch import answer
from edgesearch.search.base import Selection
from edgesearch.types import Candidate

Reason = Literal["dominance", "confidence"]


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """When to stop."""

    confidence: float | None = None
    """Probability that the leader is the solver's most frequent answer from which on to stop; None: dominance only."""

    def __post_init__(self) -> None:
        if self.confidence is not None and not 0.5 < self.confidence < 1:
            raise ValueError(f"confidence must be in (0.5, 1), not {self.confidence}")


def verdict(
    candidates: Sequence[Candidate], num_left: int, selection: Selection, early_stop: EarlyStop
) -> Reason | None:
    """Why to stop now; None to go on, or where nothing is left to save.

    Args:
        candidates: all samples that have ended, in that order; those without a score may still get one.
        num_left: samples that have not ended; >= 0.
        selection: how the answer will be chosen.
        early_stop: what is asked for.
    """
    if not num_left:
        return None
    if decided(candidates, num_left, selection):
        return "dominance"
    if early_stop.confidence is None or selection == "best" or _are_programs(candidates):
        return None
    return "confidence" if _confidence(candidates, selection) >= early_stop.confidence else None


def decided(candidates: Sequence[Candidate], num_left: int, selection: Selection) -> bool:
    """Whether nothing that is left can change the answer; see the module, and `verdict` for the arguments.

    Args:
        num_left: >= 1.
    """
    if any(candidate.beam.proof for candidate in candidates):
        return True
    if selection == "best" or _are_programs(candidates):
        return any(each.score == 1 and each.beam.finish == "stop" for each in candidates if has_vote(each))
    votes = _votes(candidates, selection)
    if selection == "confident" or not votes:
        return False
    keys, leader = list(votes), _leader(votes)
    lead, place = _sure(votes[leader]), keys.index(leader)
    most = {key: _sure([1.0 if weight is None else weight for weight in votes[key]] + [num_left]) for key in keys}
    return (
        all(lead > most[key] for key in keys[:place])  # with a tie the one that appeared first wins
        and all(lead >= most[key] for key in keys[place + 1 :])
        and lead >= num_left  # an answer that nobody gave yet
    )


def posterior(leader: int, rival: int) -> float:
    """The probability that the first of two answers is the likelier one, by their votes; 0.5 for equally many.

    P(p > 1/2) for p ~ Beta(leader + 1, rival + 1), which for whole numbers is that of at most `leader` heads in
    leader + rival + 1 throws of a fair coin; exact but for one rounding.
    """
    throws = leader + rival + 1
    return sum(math.comb(throws, heads) for heads in range(leader + 1)) / (1 << throws)


_Votes = dict[str, list[float | None]]
"""The weight of each vote for each answer, by canonical key in order of appearance; None for one that is not known."""


def has_vote(candidate: Candidate) -> bool:
    """Whether its answer counts among others: it states one, and no exact check has spoken."""
    return candidate.answer is not None and candidate.beam.proof is None


def _are_programs(candidates: Sequence[Candidate]) -> bool:
    """Whether what they state are programs; those of one problem all are, or none is."""
    return any(answer.is_program(each.answer) for each in candidates if each.answer is not None)


def _votes(candidates: Sequence[Candidate], selection: Selection) -> _Votes:
    votes: _Votes = {}
    for candidate in candidates:
        if has_vote(candidate):
            weight = candidate.score if selection == "weighted" else 1.0
            votes.setdefault(answer.canonical(candidate.answer or ""), []).append(weight)
    return votes


def _sure(cast: Sequence[float | None]) -> float:
    """The weight that is known."""
    return math.fsum(weight for weight in cast if weight is not None)


def _leader(votes: _Votes) -> str:
    """The first of those with the most weight."""
    return max(votes, key=lambda key: _sure(votes[key]))


def _confidence(candidates: Sequence[Candidate], selection: Selection) -> float:
    """That the answer in the lead is the solver's most frequent one; 0 where there is none."""
    votes = _votes(candidates, selection)
    if not votes:
        return 0.0
    leader = _leader(votes)
    return posterior(len(votes[leader]), max((len(cast) for key, cast in votes.items() if key != leader), default=0))
