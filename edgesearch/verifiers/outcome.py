"""An outcome reward model: one score for a whole solution, given to each of its steps.

Wraps any verifier: a model that was trained to score whole solutions (ORM), or a process reward model of which only the
score of the last step is wanted. A beam that can still grow has no score and is refused, so strategies that are guided
step by step cannot run with it; those that draw whole solutions and then choose can. All steps have the same score, so
that `last`, the aggregator it names, gives it back; so do `min` and `mean`.

Cost: each solution is read once, when it is finished; nothing is kept between calls but what was read of the prompt.

Sources: verifiers of whole solutions, Cobbe et al., arXiv 2110.14168; process against outcome, Lightman et al., arXiv
2305.20050.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from edgesearch.errors import UsageError
from edgesearch.types import Beam, Prompt
from edgesearch.verifiers.base import Judged, Verifier, VerifierInfo, judged_by, warnings_of


class OutcomeVerifier:
    """Implements `Verifier` over the score that another gives to a solution's last step."""

    def __init__(self, part: Verifier) -> None:
        """Takes a verifier over, to be closed with this one."""
        self._part = part
        self._info = dataclasses.replace(
            part.info, name=f"outcome:{part.info.name}", aggregator="last", is_outcome=True
        )

    @property
    def info(self) -> VerifierInfo:
        """That of the verifier it wraps, but for the name, the aggregator and what it scores."""
        return self._info

    @property
    def seconds_per_token(self) -> float:
        """That of the verifier it wraps."""
        return self._part.seconds_per_token

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the verifier it wraps."""
        return warnings_of(self._part)

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        """Reads a prompt, once; see `Verifier.open`."""
        return self._part.open(prompt, token_ids)

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        """Scores finished beams; see `Verifier.judge`.

        Raises:
            UsageError: a beam that has no score yet can still grow.
            EdgesearchError: the verifier it wraps fails.
        """
        unjudged = [beam for beam in beams if not beam.is_judged]
        if any(beam.is_alive for beam in unjudged):
            raise UsageError(
                f"verifier {self._info.name} scores whole solutions only, and a search asked for the score of a step; "
                "use --strategy best_of_n or weighted"
            )
        whole = iter(judged_by(self._part, [Beam(beam.prompt, beam.steps) for beam in unjudged]))
        return [Judged(beam, 0) if beam.is_judged else _spread(beam, next(whole)) for beam in beams]

    def release(self, nodes: Iterable[int]) -> None:
        """Frees what is kept under these node ids; see `Verifier.release`."""
        self._part.release(nodes)

    def close(self) -> None:
        """Closes the verifier it wraps; safe to call twice."""
        self._part.close()


def _spread(beam: Beam, whole: Judged) -> Judged:
    """The beam with the last score of its copy for each step that has none."""
    missing = len(beam.steps) - len(beam.scores)
    return Judged(beam.judged((whole.beam.scores[-1],) * missing), whole.verified_tokens)
