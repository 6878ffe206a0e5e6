"""Several verifiers as one: a step's score is the product, or the weighted sum, of what each of them gives it.

Each part judges the same beams in turn and is shown its own earlier scores on them, never another's, so each reads a
step once. A product asks all parts to agree: one low score is enough to reject. A sum lets a sure part outvote a
doubtful one; its weights are divided by their sum, so that scores stay in [0, 1].

Weights do not make up for scores that are spread differently: a part whose scores all lie between 0.9 and 1 hardly
moves a sum. Nothing is fitted here.

Cost: seconds, parameters and FLOPs are the sums of the parts'. Tokens are their mean, weighted by parameters: so many,
at the parameters of all, are the FLOPs of each part at its own, and where the parts with weights read the same tokens,
each token counts once. Only the FLOPs of attention are approximate where parts read different numbers of tokens.

Source: ensembles of reward models, Coste et al., arXiv 2310.02743; the product and the weights are this project's own.
"""

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from edgesearch.types import Beam, Prompt
from edgesearch.verifiers.base import Judged, Verifier, VerifierInfo, judged_by, warnings_of

_Scores = tuple[tuple[float, ...], ...]
"""Each part's own scores of the steps on a path."""


class CombinedVerifier:
    """Implements `Verifier` over others."""

    def __init__(self, name: str, parts: Sequence[Verifier], weights: Sequence[float] | None = None) -> None:
        """Takes verifiers over, to be closed with this one.

        Args:
            name: what reports call it.
            parts: at least two. The first names the aggregator; `last` if one of them scores whole solutions only.
            weights: one a part, each finite and > 0, for a weighted sum; None for the product.

        Raises:
            ValueError: fewer than two parts, or a weight that is missing or out of range.
        """
        if len(parts) < 2:
            raise ValueError(f"a combination has at least 2 parts, not {len(parts)}")
        if weights is not None and len(weights) != len(parts):
            raise ValueError(f"{len(parts)} parts need {len(parts)} weights, not {len(weights)}")
        for weight in weights or ():
            if not 0 < weight < math.inf:
                raise ValueError(f"a weight must be finite and > 0, not {weight:g}")
        self._parts = tuple(parts)
        self._weights = None if weights is None else tuple(weight / max(weights) for weight in weights)
        self._info = _info(name, [part.info for part in parts])
        self._scores: dict[int, _Scores] = {}
        """By node of a beam that can grow."""

    @property
    def info(self) -> VerifierInfo:
        """What its parts are together."""
        return self._info

    @property
    def seconds_per_token(self) -> float:
        """The sum of its parts'."""
        return math.fsum(part.seconds_per_token for part in self._parts)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of its parts."""
        return tuple(warning for part in self._parts for warning in warnings_of(part))

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        """Lets each part read a prompt, once; see `Verifier.open`."""
        return self._num_tokens([part.open(prompt, token_ids) for part in self._parts])

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        """Scores the steps that have no score yet; see `Verifier.judge`.

        Raises:
            EdgesearchError: a part fails, or gives a score outside [0, 1]; its name is in the message.
        """
        known = [(beam, self._known(beam)) for beam in beams if not beam.is_judged]
        said = [
            judged_by(part, [Beam(beam.prompt, beam.steps, scores[index]) for beam, scores in known])
            for index, part in enumerate(self._parts)
        ]
        opinions = iter(zip(*said, strict=True))
        return [Judged(beam, 0) if beam.is_judged else self._merged(beam, next(opinions)) for beam in beams]

    def release(self, nodes: Iterable[int]) -> None:
        """Frees what is kept under these node ids, here and in each part."""
        gone = tuple(nodes)
        for node in gone:
            self._scores.pop(node, None)
        for part in self._parts:
            part.release(gone)

    def close(self) -> None:
        """Closes each part, also where another fails to; safe to call twice."""
        self._scores.clear()
        with ExitStack() as stack:
            for part in self._parts:
                stack.callback(part.close)

    def _known(self, beam: Beam) -> _Scores:
        """Each part's scores as far as they are kept: up to the deepest kept node."""
        nodes = (step.id for step in reversed(beam.steps))
        return next((self._scores[node] for node in nodes if node in self._scores), ((),) * len(self._parts))

    def _merged(self, beam: Beam, opinions: Sequence[Judged]) -> Judged:
        scores = tuple(opinion.beam.scores for opinion in opinions)
        if beam.is_alive:
            self._scores[beam.node] = scores
        steps = list(zip(*scores, strict=True))[len(beam.scores) :]
        tokens = self._num_tokens([opinion.verified_tokens for opinion in opinions])
        return Judged(beam.judged(tuple(self._one(each) for each in steps)), tokens)

    def _num_tokens(self, counts: Sequence[int]) -> int:
        """What the parts read, as tokens that a model with the parameters of all of them would read."""
        params = [part.info.num_params for part in self._parts]
        if not any(params):
            return max(counts)
        return round(sum(count * each for count, each in zip(counts, params, strict=True)) / sum(params))

    def _one(self, scores: Sequence[float]) -> float:
        """One score of one step."""
        if self._weights is None:
            return math.prod(scores)
        weighted = math.fsum(weight * score for weight, score in zip(self._weights, scores, strict=True))
        return min(1.0, weighted / math.fsum(self._weights))


def _info(name: str, parts: Sequence[VerifierInfo]) -> VerifierInfo:
    limits = [part.max_context for part in parts if part.max_context]
    devices = dict.fromkeys(part.device for part in parts if part.num_params) or {parts[0].device: None}
    is_outcome = any(part.is_outcome for part in parts)
    return VerifierInfo(
        name=name,
        num_params=sum(part.num_params for part in parts),
        device="+".join(devices),
        aggregator="last" if is_outcome else parts[0].aggregator,
        attention_flops_per_token_context=math.fsum(part.attention_flops_per_token_context for part in parts),
        max_context=min(limits, default=0),
        is_outcome=is_outcome,
        needs_certainty=any(part.needs_certainty for part in parts),
        counts_copies=any(part.counts_copies for part in parts),
        sandbox="+".join(dict.fromkeys(part.sandbox for part in parts if part.sandbox)),
    )
