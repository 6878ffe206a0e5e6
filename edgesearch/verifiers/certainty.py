"""The solver's own certainty as a verifier: what it already knew while it drew, so nothing is read or decoded for it.

A process reward model that does not choose better than this is not worth its seconds, so tables show both. Each kind is
a number per step, mapped to [0, 1] so that more certain is never less. With p_t the probability at temperature 1 of the
token that was drawn at t, and T tokens in the step:

    mean     exp(1/T sum_t log p_t)   the geometric mean of the tokens' probabilities
    sum      exp(sum_t log p_t)       the probability of the step, so longer steps score lower
    worst    min over steps so far    of `mean`: one doubtful step spoils what follows
    entropy  exp(-1/T sum_t H_t)      H_t: entropy at t of the whole distribution, in nats
    margin   1/T sum_t (a_t - b_t)    a_t, b_t: probabilities of the two likeliest tokens at t

A solution's score, by the aggregator that each kind names, is the mean of its steps' scores (mean, entropy, margin),
their product, which is the probability of the whole solution (sum), or the last, which is the smallest (worst).

`mean`, `sum` and `worst` need log-probabilities only; `entropy` and `margin` need `Step.certainty`, which engines tell
that see whole distributions. A blank ending (`Step.num_folded`) is left out where `Step.certainty` is there to tell its
share, and counts as part of the step that it was folded into where it is not.

Cost: none. No tokens, no FLOPs, and nothing is kept between calls.

Not covered: agreement between solutions (consensus.py), certainty within a window of a solution (search).

Sources: Malinin and Gales, arXiv 2002.07650 (log-probability of a sequence by its length); Fadeeva et al., arXiv
2311.07383 (these as estimators of one output: sequence probability, perplexity, mean token entropy); Wang and Zhou,
arXiv 2402.10200 (the margin, there over the tokens of the answer).
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.types import Aggregator, Beam, Certainty, Prompt, Step
from edgesearch.verifiers.base import Judged, VerifierInfo

DEFAULT_KIND = "mean"
_ROUNDING = 1e-6
"""How far beyond 1 a probability may lie for having been computed in single precision."""


def _mean(step: Step) -> float:
    if step.certainty is not None:
        return _exp(_average(step.certainty.logprobs, step))
    if not step.token_ids:
        raise UsageError("this engine does not tell how many tokens a step has; use --verifier certainty:sum")
    return _exp(step.logprob / len(step.token_ids))


def _sum(step: Step) -> float:
    return _exp(step.logprob if step.certainty is None else sum(_own(step.certainty.logprobs, step)))


def _entropy(step: Step) -> float:
    return _exp(-_average(_told(step).entropies, step))


def _margin(step: Step) -> float:
    return _average(_told(step).margins, step)


def _average(values: Sequence[float], step: Step) -> float:
    own = _own(values, step)
    return sum(own) / len(own)


def _own(values: Sequence[float], step: Step) -> Sequence[float]:
    """Without those of a blank ending."""
    return values[: max(1, len(values) - step.num_folded)]


def _told(step: Step) -> Certainty:
    if step.certainty is None:
        raise UsageError(
            "this engine does not tell how the probabilities of a token were spread; use --verifier certainty"
        )
    return step.certainty


def _exp(logprob: float) -> float:
    """Its probability; of what cannot be a log-probability a number above 1, or NaN."""
    return math.exp(min(logprob, 1.0))


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a step's certainty becomes a score, and the scores of steps a solution's."""

    score: Callable[[Step], float]
    aggregator: Aggregator
    needs_certainty: bool = False
    is_running: bool = False
    """Whether a step's score is the smallest up to it."""


_KINDS = {
    "mean": _Kind(_mean, "mean"),
    "sum": _Kind(_sum, "prod"),
    "worst": _Kind(_mean, "last", is_running=True),
    "entropy": _Kind(_entropy, "mean", needs_certainty=True),
    "margin": _Kind(_margin, "mean", needs_certainty=True),
}
KINDS: tuple[str, ...] = tuple(_KINDS)
"""Names of the kinds."""


class CertaintyVerifier:
    """Implements `Verifier` without weights."""

    def __init__(self, kind: str = DEFAULT_KIND) -> None:
        """Makes one.

        Args:
            kind: one of `KINDS`; the module says what each is.

        Raises:
            UsageError: there is no such kind.
        """
        if kind not in _KINDS:
            raise UsageError(f"certainty has no kind {kind!r}; it has {', '.join(KINDS)}, as in certainty:{KINDS[-1]}")
        self._kind = _KINDS[kind]
        self._info = VerifierInfo(
            name="certainty" if kind == DEFAULT_KIND else f"certainty:{kind}",
            num_params=0,
            device="cpu",
            aggregator=self._kind.aggregator,
            needs_certainty=self._kind.needs_certainty,
        )

    @property
    def info(self) -> VerifierInfo:
        """What it is: no parameters, and no limit to what it reads."""
        return self._info

    @property
    def seconds_per_token(self) -> float:
        """0: a step takes about a microsecond, whatever its length."""
        return 0.0

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        """Reads nothing."""
        del prompt, token_ids
        return 0

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        """Scores the steps that have no score yet; see `Verifier.judge`.

        Raises:
            UsageError: the engine does not tell what this kind reads.
            EdgesearchError: what it tells cannot be right.
        """
        self._refuse_silence([beam for beam in beams if not beam.is_judged])
        return [Judged(beam if beam.is_judged else beam.judged(self._scores(beam)), 0) for beam in beams]

    def release(self, nodes: Iterable[int]) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is kept."""

    def _scores(self, beam: Beam) -> tuple[float, ...]:
        """Of the steps that have none."""
        start = len(beam.scores)
        if not self._kind.is_running:
            return tuple(self._score(step) for step in beam.steps[start:])
        return tuple(itertools.accumulate((self._score(step) for step in beam.steps), min))[start:]

    def _score(self, step: Step) -> float:
        score = self._kind.score(step)
        if not (0 <= score <= 1 + _ROUNDING and step.logprob <= _ROUNDING):  # NaN is neither
            raise EdgesearchError(
                f"verifier {self._info.name} gave a score outside [0, 1] ({score:g}): the engine's figures for a step "
                f"(log-probability {step.logprob:g}) cannot be right; use another verifier"
            )
        return min(1.0, score)

    def _refuse_silence(self, beams: Sequence[Beam]) -> None:
        """Of two texts that differ somewhere, not both are certain: an engine that says so tells nothing."""
        certain = sorted((beam.prompt.id, beam.text) for beam in beams if beam.logprob == 0)
        for (prompt, text), (other_prompt, other) in itertools.pairwise(certain):
            if prompt == other_prompt and not other.startswith(text):
                raise UsageError(
                    f"verifier {self._info.name} reads log-probabilities, and this engine does not tell them; "
                    "use --verifier consensus"
                )
