"""From candidates to one answer and a confidence.

A proof (of an exact check of the problem's text) stands above every score and vote, whatever the rule and the
aggregator: an answer that is proven right is chosen before all others, and one that is proven wrong has no vote and is
chosen only where there is no other.

The confidence is the share of the vote that the answer holds among all candidates that are not proven wrong; votes are
weighted by score where there are scores, or by how sure the solver was where the strategy asks for it. It is honest
about agreement, not calibrated: 0.8 does not mean right four times in five. With a proof there is nothing to weigh: it
is 1 for right and 0 for wrong.

Programs hardly ever agree, and what tests say of each is worth more than agreement: where they have scores the best
score is chosen, whatever the rule, and among equals a finished one and then the likeliest. Such a choice has no
confidence: to pass the tests that can be seen is no probability of being right. Programs without scores vote.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgesearch import answer
from edgesearch.search.base import Selection
from edgesearch.types import Candidate


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen candidate."""

    candidate: Candidate | None
    """None when there was none at all."""
    confidence: float | None
    """In [0, 1]; None with no proof and fewer than two answers to compare, and for a program chosen by its score."""
    is_unscored: bool = False
    """Whether scores were wanted and no candidate had one."""
    share: float | None = None
    """Of the vote that the answer holds, in [0, 1]; None where there is a proof or no confidence."""


def choose(candidates: Sequence[Candidate], selection: Selection) -> Choice:
    """The best candidate by that rule; one with an answer before one without."""
    answered = [candidate for candidate in candidates if candidate.answer is not None]
    if not answered:
        return Choice(max(candidates, key=_rank, default=None), None)
    proven = [candidate for candidate in answered if candidate.beam.proof]
    if proven:
        return Choice(max(proven, key=_rank), 1.0)
    undecided = [candidate for candidate in answered if candidate.beam.proof is None]
    if undecided:
        return _elected(undecided, selection)
    return Choice(_elected(answered, selection).candidate, 0.0)


def _elected(answered: Sequence[Candidate], selection: Selection) -> Choice:
    """The choice among answers that nothing but scores and votes tells apart."""
    is_scored = any(candidate.score is not None for candidate in answered)
    if is_scored and any(answer.is_program(candidate.answer or "") for candidate in answered):
        return Choice(max(answered, key=_merit), None)
    vote = answer.vote([candidate.answer for candidate in answered], _weights(answered, selection))
    assert vote is not None  # at least one has an answer
    if selection == "best" and (is_scored or len(answered) == 1):
        chosen = max(answered, key=_rank)
        share = _share(vote, chosen.answer)
    else:
        chosen, share = answered[vote.index], vote.share
    confidence = share if len(answered) > 1 else None
    is_unscored = selection in ("best", "weighted") and not is_scored and len(answered) > 1
    return Choice(chosen, confidence, is_unscored, confidence)


def _weights(answered: Sequence[Candidate], selection: Selection) -> list[float] | None:
    """What each vote weighs; None for one each. The vote counts one each as well where all weights are 0."""
    if selection == "majority":
        return None
    return [(each.weight if selection == "confident" else each.score) or 0.0 for each in answered]


def _rank(candidate: Candidate) -> tuple[bool, float, float]:
    """Finished first, then the verifier's score, then the solver's own mean log-probability."""
    score, is_finished, logprob = _merit(candidate)
    return is_finished, score, logprob


def _merit(candidate: Candidate) -> tuple[float, bool, float]:
    """The same for programs, of which a cut-off one may be whole: what passes its tests comes first."""
    beam = candidate.beam
    score = -1.0 if candidate.score is None else candidate.score
    return score, beam.finish == "stop", beam.logprob / max(1, beam.num_tokens)


def _share(vote: answer.Vote, chosen: str | None) -> float:
    total = sum(vote.counts.values())
    return vote.counts.get(answer.canonical(chosen or ""), 0.0) / total if total else 0.0
