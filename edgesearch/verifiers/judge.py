"""A language model as a verifier: it reads the problem and a solution, and says whether the solution is right.

Any engine serves: another GGUF, an endpoint, or the solver's own weights loaded a second time. It must be an engine of
its own, since the solver's has drafts under way. The judge answers greedily and at once, Yes or No or with a grade
(judge_question.py); a reply that is neither is an error, or the fallback score that the user named, with a warning.

Only the judge's reply is read for a verdict, never the solution: one that says Yes, ends its own mark or imitates a
reply is data like any other. It may still persuade the judge, as any text may; nothing here prevents that.

Cost: for each different solution the judge reads it with the question, and draws one token (up to 6 where Yes is not
one token, 8 for a grade). What comes before the solution is read once for each problem, where the engine can go on from
a prompt that begins alike. All tokens that the judge reads and draws count as verified tokens, in its own vocabulary.

Not covered: judges that reason before they reply; comparing solutions with each other. An endpoint that tells no
log-probabilities gives scores of exactly 1 and 0.
"""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence

from edgesearch.budget import Budget, Clock
from edgesearch.engines.base import Draft, Drafted, Engine
from edgesearch.errors import ContextOverflow, EdgesearchError, UsageError
from edgesearch.types import Beam, Prompt, Sampling
from edgesearch.verifiers.base import Judged, VerifierInfo
from edgesearch.verifiers.fallback import Fallback, NoVerdict
from edgesearch.verifiers.judge_question import MODES, Reply, question
from edgesearch.verifiers.pace import TYPICAL_TOKENS, Pace

_GREEDY = Sampling(temperature=0.0)
_OWN_ENGINE = (
    "the judge needs an engine of its own, since the solver's has drafts under way; "
    "load the model a second time, or name another"
)

_Key = tuple[int, str]
"""A prompt's id, and a solution's text."""


class JudgeVerifier:
    """Implements `Verifier` with an engine."""

    def __init__(
        self,
        engine: Engine,
        *,
        solver: Engine | None = None,
        mode: str = "yes_no",
        on_failure: float | None = None,
        timeout_s: float = 60.0,
        clock: Clock = time.monotonic,
    ) -> None:
        """Takes over an engine.

        Args:
            engine: runs the judge and nothing else; closed with this verifier.
            solver: the solver's engine, to see at once that it is another.
            mode: one of `MODES`.
            on_failure: the score in [0, 1] of a solution on which there is no verdict; None makes that an error.
            timeout_s: of a batch of questions; in (0, 86400].
            clock: what time is measured by.

        Raises:
            UsageError: the engine is the solver's, or a value is out of range.
            ContextOverflow: the judge's context has no room for a solution.
        """
        if engine is solver:
            raise UsageError(_OWN_ENGINE)
        if mode not in MODES:
            raise UsageError(f"the judge's mode must be one of {', '.join(MODES)}, not {mode!r}")
        self._engine, self._fallback, self._clock = engine, Fallback(on_failure), clock
        self._mode, self._timeout = MODES[mode], Budget(timeout_s)
        self._scores: dict[int, dict[str, float]] = {}
        """By the prompt's id and the solution's text."""
        self._bases: dict[int, int] = {}
        """The question that the engine keeps for a prompt, so that others go on from what they share with it."""
        num_own = self._num_own_tokens()
        self._info = self._described(mode, num_own)
        pace = engine.pace
        read_s = (num_own + 2 * TYPICAL_TOKENS) / pace.prefill_tokens_per_s
        self._pace = Pace(read_s + pace.step_s(1))

    @property
    def info(self) -> VerifierInfo:
        """The judge's model; its context is what it holds beside the question."""
        return self._info

    @property
    def seconds_per_token(self) -> float:
        """Seconds per token of a solution: estimated by the engine's pace, then of real calls, the newer the more."""
        return self._pace.seconds_per_token

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know: what the engine says, and every use of the fallback score."""
        return (*self._engine.warnings, *self._fallback.warnings)

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        """Reads nothing yet: the problem is read with its first solution."""
        del token_ids
        self._scores.setdefault(prompt.id, {})
        return 0

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        """Gives each step that has no score its solution's; see `Verifier.judge`. A text is judged once a prompt.

        Raises:
            EdgesearchError: there is no verdict on a solution, and no fallback score is named.
            ContextOverflow: a solution is longer than the judge reads, and no fallback score is named.
            ValueError: a beam's prompt is not open.
        """
        new: dict[_Key, Beam] = {}
        for beam in beams:
            if not beam.is_judged and beam.text not in self._known(beam):
                new.setdefault((beam.prompt.id, beam.text), beam)
        costs: dict[_Key, int] = {}
        started = self._clock()
        for batch in self._batches(list(new.values())):
            costs |= self._ask(batch)
        if new:
            self._pace.measure(self._clock() - started, new.values())
        return [self._judged(beam, costs) for beam in beams]

    def release(self, nodes: Iterable[int]) -> None:
        """Forgets what is kept for these prompts; nothing is kept under other nodes."""
        for node in nodes:
            self._scores.pop(node, None)
            if (base := self._bases.pop(node, None)) is not None:
                self._engine.release([base])

    def close(self) -> None:
        """Closes the engine; safe to call twice."""
        self._scores.clear()
        self._bases.clear()
        self._engine.close()

    # -- asking ----------------------------------------------------------------------------------------------------

    def _batches(self, beams: Sequence[Beam]) -> Iterator[Sequence[Beam]]:
        """First one solution of each problem that was not read yet; the others go on from it. Each as many as fit."""
        first = {beam.prompt.id: beam for beam in reversed(beams) if beam.prompt.id not in self._bases}
        rest = [beam for beam in beams if first.get(beam.prompt.id) is not beam]
        size = max(1, self._engine.info.max_sequences // 2)  # the engine holds a prompt and a draft of each
        for part in (list(first.values()), rest):
            for start in range(0, len(part), size):
                yield part[start : start + size]

    def _ask(self, beams: Sequence[Beam]) -> dict[_Key, int]:
        """Asks about all of these at once and keeps the scores; returns the tokens that each took."""
        prompts = [self._question(beam) for beam in beams]
        costs = dict.fromkeys((prompt.id for prompt in prompts), 0)
        try:
            verdicts = self._verdicts(prompts, costs)
            for beam, prompt in zip(beams, prompts, strict=True):
                self._known(beam)[beam.text] = self._accepted(verdicts[prompt.id])
                if costs[prompt.id]:  # it was read
                    self._bases.setdefault(beam.prompt.id, prompt.id)
        finally:
            kept = set(self._bases.values())
            self._engine.release(prompt.id for prompt in prompts if prompt.id not in kept)
        return {(beam.prompt.id, beam.text): costs[p.id] for beam, p in zip(beams, prompts, strict=True)}

    def _question(self, beam: Beam) -> Prompt:
        base = self._bases.get(beam.prompt.id)
        return dataclasses.replace(question(self._mode, beam.prompt.user, beam.text), base=base)

    def _verdicts(self, prompts: Sequence[Prompt], costs: dict[int, int]) -> dict[int, float | EdgesearchError]:
        """The score that each question leads to, or why there is none, by the prompt's id; adds to their costs."""
        verdicts: dict[int, float | EdgesearchError] = {}
        for prompt in prompts:
            try:
                self._engine.open(prompt)
            except ContextOverflow as error:
                verdicts[prompt.id] = error
        for length in self._mode.lengths:
            pending = [prompt for prompt in prompts if prompt.id not in verdicts]
            if not pending:
                break
            for drafted in self._drafted(pending, length):
                prompt_id = drafted.draft.beam.prompt.id
                costs[prompt_id] += drafted.prefilled_tokens + drafted.num_drawn
                verdict = self._read(drafted)
                if verdict is not None:
                    verdicts[prompt_id] = verdict
        unclear = NoVerdict(f"its reply was not clear after {self._mode.lengths[-1]} tokens")
        return {prompt.id: verdicts.get(prompt.id, unclear) for prompt in prompts}

    def _drafted(self, prompts: Sequence[Prompt], max_tokens: int) -> list[Drafted]:
        """The first tokens of a reply to each; those that are not done in time are cut off."""
        drafts = [
            Draft(Beam(prompt), _GREEDY, seed=0, max_tokens=max_tokens, is_to_end=True, is_last_use=False)
            for prompt in prompts
        ]
        left = {draft.id for draft in drafts}
        deadline = self._timeout.start(self._clock)
        done: list[Drafted] = []
        try:
            for draft in drafts:
                self._engine.start(draft)
            while left and not deadline.expired():
                done += self._engine.advance(deadline)
                left -= {drafted.draft.id for drafted in done}
        finally:
            done += self._engine.cancel(left)
        if len(done) > len(drafts):
            raise UsageError(_OWN_ENGINE)
        return done

    def _read(self, drafted: Drafted) -> float | EdgesearchError | None:
        """The score in a reply or why there is none; None where a longer reply may tell."""
        finish = drafted.steps[-1].finish if drafted.steps else "deadline"
        if finish == "deadline":
            return NoVerdict(f"it did not reply within {self._timeout.seconds:g} s, or its cache was full")
        text = "".join(step.text for step in drafted.steps)
        logprob = sum(step.logprob for step in drafted.steps)
        try:
            return self._mode.read(Reply(text, logprob, is_cut=finish != "stop"))
        except NoVerdict as failure:
            return failure

    # -- scores ----------------------------------------------------------------------------------------------------

    def _known(self, beam: Beam) -> dict[str, float]:
        """The scores of a prompt's solutions."""
        if beam.prompt.id not in self._scores:
            raise ValueError(f"prompt {beam.prompt.id} is not open; call open() before judge()")
        return self._scores[beam.prompt.id]

    def _accepted(self, found: float | EdgesearchError) -> float:
        """The score, or the fallback where there is none."""
        return found if isinstance(found, float) else self._fallback.score(self._info.name, found)

    def _judged(self, beam: Beam, costs: dict[_Key, int]) -> Judged:
        """The beam with its solution's score; the first that has a text is told what that took."""
        if beam.is_judged:
            return Judged(beam, 0)
        score = self._known(beam)[beam.text]
        missing = len(beam.steps) - len(beam.scores)
        return Judged(beam.judged((score,) * missing), costs.pop((beam.prompt.id, beam.text), 0))

    # -- what it is ------------------------------------------------------------------------------------------------

    def _num_own_tokens(self) -> int:
        """Tokens of a question about nothing; 0 where the engine does not tell."""
        empty = question(self._mode, "", "")
        num_tokens = len(self._engine.open(empty))
        self._engine.release([empty.id])
        return num_tokens

    def _described(self, mode: str, num_own: int) -> VerifierInfo:
        model = self._engine.info
        room = model.max_context - num_own - self._mode.lengths[-1] if num_own else 0
        if num_own and room < 2 * TYPICAL_TOKENS:
            raise ContextOverflow(
                f"the judge {model.name} has a context of {model.max_context} tokens, and the question alone takes "
                f"{num_own}; use a judge with more context"
            )
        return VerifierInfo(
            name=f"judge:{model.name}" if mode == "yes_no" else f"judge:{mode}:{model.name}",
            num_params=model.num_params,
            device=model.device,
            attention_flops_per_token_context=model.attention_flops_per_token_context,
            max_context=room,
            is_outcome=True,
        )
