r"""The built-in verifier for systems that hand over text: a problem and some solutions in, a score for each out.

Others keep a solution as text, edgesearch as tokens. Here the text becomes the tokens that the solver writes, and each
step is read once, as in edgesearch: what was read of a text is kept for the texts that begin with it, until `forget`.
So no system pays more for the verifier than edgesearch does.

A text is taken as finished if its last step holds `\boxed`; then the end of turn is read after it. Any other text of a
stepwise search is taken as ending with the step delimiter, whether the delimiter is in it or not: that is where the
verifier's score of a step is read.

Not covered: aggregators other than `last`, which is the one that the built-in verifier was trained for.
"""

from collections.abc import Iterator, Sequence

from edgesearch import catalog
from edgesearch.engines.vocabulary import Vocabulary
from edgesearch.prompt import make_prompt
from edgesearch.types import Beam, Problem, Prompt, Step
from edgesearch.verifiers.onnx_prm import OnnxPrm

DELIMITER = "\n\n"
BOX = "\\boxed"


class TextPrm:
    """The verifier of a built-in solver."""

    def __init__(self, solver: str = "nano") -> None:
        """Loads it."""
        spec = catalog.solver(solver)
        self._vocabulary = Vocabulary(spec.path)
        found = catalog.verifier(spec.verifier)
        self._prm = OnnxPrm(found.path, name=found.name, vocab_sha256=self._vocabulary.sha256())
        self._prompt: Prompt | None = None
        self._steps: dict[str, Step] = {}
        self.verified_tokens = 0
        """Solution tokens that were read so far."""

    def score(self, problem: str, texts: Sequence[str], *, is_stepwise: bool) -> list[float]:
        """The score of each text's last step, in [0, 1].

        Args:
            problem: the problem as the solver was given it.
            texts: solutions so far, steps separated by the delimiter.
            is_stepwise: whether a text without an answer will go on, and is not one that a token limit cut off.
        """
        self._open(problem)
        assert self._prompt is not None
        beams = [Beam(self._prompt, tuple(self._read(text, is_stepwise))) for text in texts]
        judged = self._prm.judge(beams)
        self.verified_tokens += sum(each.verified_tokens for each in judged)
        return [each.beam.scores[-1] for each in judged]

    def forget(self) -> None:
        """Forgets what was read, so that a problem that was solved before is new."""
        if self._prompt is not None:
            self._prm.release([self._prompt.id, *(step.id for step in self._steps.values())])
        self._prompt, self._steps = None, {}

    def close(self) -> None:
        """Frees the weights."""
        self._prm.close()
        self._vocabulary.close()

    def _open(self, problem: str) -> None:
        prompt = make_prompt(Problem(problem))
        if self._prompt is not None and self._prompt.user == prompt.user:
            return
        self.forget()
        self._prompt = prompt
        self._prm.open(prompt, self._vocabulary.encode(prompt))

    def _read(self, text: str, is_stepwise: bool) -> Iterator[Step]:
        """The steps of a text; a blank one is none, as in edgesearch."""
        parts = [part for part in text.split(DELIMITER) if part.strip()] or [""]
        so_far = ""
        for part in parts[:-1]:
            so_far += part + DELIMITER
            yield self._step(so_far, part + DELIMITER)
        last = parts[-1]
        if BOX in last:
            yield Step(last, (*self._vocabulary.tokenize(last), self._vocabulary.end), 0.0, "stop")
        elif is_stepwise:
            yield self._step(so_far + last + DELIMITER, last + DELIMITER)
        else:
            yield Step(last, tuple(self._vocabulary.tokenize(last)) or (self._vocabulary.end,), 0.0, "length")

    def _step(self, so_far: str, text: str) -> Step:
        """The step that ends a text of this problem; the same one whenever the text is the same."""
        if so_far not in self._steps:
            self._steps[so_far] = Step(text, tuple(self._vocabulary.tokenize(text)), 0.0, "step")
        return self._steps[so_far]
