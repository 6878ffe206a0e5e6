"""Visible tests as a verifier: a program scores the share of its problem's visible tests that it passes.

Visible tests are what whoever asks can see too: the examples of a docstring, asserts in the problem, a file of the
user's. Each program runs in the sandbox (sandbox/trial.py), where it sees neither the tests nor what they expect. A
score of 1 is no proof: tests that nobody wrote may still find the program wrong. But no other can score better, so a
search may end with it (`VerifierInfo.enough`).

A test that is at fault itself, because it cannot be read or never calls the program, is left out of the share, with a
warning. Which these are is found out once a problem, by a program that returns None to every call: so no program that a
model wrote can decide it.

Cost: one trial for each different program, several at once; nothing is counted in tokens of weights or FLOPs. A program
that never ends costs the processor time of a trial's limit (`trials.LIMITS`).

Not covered: problems without visible tests (agreement.py), hidden tests (tasks).
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgesearch import answer
from edgesearch.budget import Clock
from edgesearch.errors import UsageError
from edgesearch.sandbox.trial import TrialResult
from edgesearch.types import Beam, CodeSpec, Prompt
from edgesearch.verifiers.base import Judged, VerifierInfo
from edgesearch.verifiers.trials import Pool, ProgramVerifier, cautions, every_test, give_up_at

_MAX_WARNINGS = 8


@dataclass(frozen=True, slots=True)
class _Problem:
    """A problem that is open."""

    code: CodeSpec
    counted: tuple[int, ...]
    """Places of the tests that are not at fault."""
    scores: dict[str, float] = field(default_factory=dict)
    """Of the programs that were tried, by their canonical form."""

    def book(self, key: str, result: TrialResult) -> None:
        """Takes in what came of a program. A test that was not reached, or fails as if at fault, is not passed."""
        passed = sum(place < len(result.tested) and result.tested[place].status == "passed" for place in self.counted)
        self.scores[key] = passed / len(self.counted)


class UnitTestsVerifier(ProgramVerifier[_Problem]):
    """Implements `Verifier` with the visible tests of each problem (`CodeSpec.tests`)."""

    def __init__(self, pool: Pool | None = None, *, sandbox: str = "auto", clock: Clock = time.perf_counter) -> None:
        """As `ProgramVerifier`, which says what the arguments are and what may fail."""
        info = VerifierInfo("tests", num_params=0, device="cpu", is_outcome=True, enough=1.0)
        super().__init__(info, pool, sandbox, clock)
        self._faults: dict[str, None] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know: a sandbox that does not isolate, and tests that were left out."""
        return (*cautions(self._pool), *self._faults)

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        """Finds out which of a problem's tests can be used; reads no tokens.

        Raises:
            UsageError: the problem has no visible tests, or all of them are at fault.
        """
        del token_ids
        if prompt.id not in self._problems:
            self._problems[prompt.id] = self._found_usable(prompt)
        return 0

    def num_tests(self, prompt: Prompt) -> int:
        """Visible tests of an open prompt that count; those at fault do not."""
        return len(self._problems[prompt.id].counted)

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        """Scores the steps that have no score yet; see `Verifier.judge`. A program is tried once for each prompt.

        Raises:
            ValueError: a beam's prompt is not open.
            SandboxUnavailable: no worker can be started any more.
        """
        return self.judge_within(beams, math.inf)

    def judge_within(self, beams: Sequence[Beam], seconds: float) -> list[Judged]:
        """The same, but programs that have not come to an end after so many seconds get no score."""
        until_s = give_up_at(seconds)
        unjudged = [beam for beam in beams if not beam.is_judged]
        stated = {beam.node: answer.stated(beam.prompt, beam.text) for beam in unjudged}
        self._try(unjudged, stated, until_s)
        return [Judged(beam, 0) if beam.is_judged else self._judged(beam, stated[beam.node]) for beam in beams]

    # -- the parts -------------------------------------------------------------------------------------------------

    def _found_usable(self, prompt: Prompt) -> _Problem:
        code = prompt.code
        if code is None or not code.tests:
            raise UsageError(
                "verifier tests needs a problem with visible tests: give some with --tests FILE, "
                "or use --strategy codet --verifier agreement"
            )
        (result,) = self._pool.run_all([every_test(code, _idle(code), code.tests)])
        faults = {place: each.reason for place, each in enumerate(result.tested) if each.status == "error"}
        if len(faults) == len(code.tests):
            raise UsageError(f"verifier tests cannot use any visible test of this problem; correct them: {faults[0]}")
        for place, reason in faults.items():
            self._warn(place, code.tests[place], reason)
        return _Problem(code, tuple(place for place in range(len(code.tests)) if place not in faults))

    def _warn(self, place: int, test: str, reason: str) -> None:
        if len(self._faults) < _MAX_WARNINGS:
            shown = " ".join(test.split())[:60]
            self._faults[f"visible test {place + 1} is left out, since it is at fault itself: {reason} ({shown})"] = (
                None
            )

    def _try(self, beams: Sequence[Beam], stated: dict[int, str | None], until_s: float) -> None:
        """Runs the programs that are new, several at once, and keeps their scores."""
        new: dict[tuple[int, str], tuple[_Problem, str]] = {}
        for beam in beams:
            problem, program = self._opened(beam.prompt.id), stated[beam.node]
            if program is not None and (key := answer.canonical(program)) not in problem.scores:
                new.setdefault((beam.prompt.id, key), (problem, program))
        if not new:
            return
        started = self._clock()
        trials = (every_test(problem.code, program, problem.code.tests) for problem, program in new.values())
        results = self._pool.run_all(trials, until_s=until_s)
        is_cut = False
        for ((_, key), (problem, _)), result in zip(new.items(), results, strict=True):
            is_cut |= result.is_cut
            if not result.is_cut:
                problem.book(key, result)
        if not is_cut:
            self._pace.measure(self._clock() - started, beams)

    def _judged(self, beam: Beam, program: str | None) -> Judged:
        """The beam with its program's score for each step that has none; 0 without a program, none without time."""
        score = 0.0 if program is None else self._opened(beam.prompt.id).scores.get(answer.canonical(program))
        if score is None:
            return Judged(beam, 0)
        missing = len(beam.steps) - len(beam.scores)
        return Judged(beam.judged((score,) * missing), beam.num_unjudged_tokens)


def _idle(code: CodeSpec) -> str:
    """A program that defines what is asked for and does nothing."""
    return "".join(f"def {name}(*args, **options):\n    return None\n" for name in code.functions)
