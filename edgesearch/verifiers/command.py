"""Any program as a verifier: a solver, a proof checker, a rule of one's own, in any language.

For each solution the program is started once and given one JSON object on stdin, on one line:

    {"schema_version": 1, "problem": "...", "text": "the solution", "answer": "..." or null, "steps": ["...", ...]}

`answer` is what answer.py extracts: a final answer, or a program where code was asked for. What the program answers is
told in verdict.py: in short, an exit status of 0 for right and 1 for wrong, or {"score": 0.8} on stdout. The last step
gets the solution's score, and so do the others where the program gives no `step_scores`. A program that fails is an
error that says how, or the fallback score that the user named, with a warning.

The command is the user's, but what it reads was written by a model. So no shell takes part, the text goes through
stdin only, and the program runs in the strongest sandbox that works here (sandbox/tiers.py), in an empty directory and
with an empty environment; words of the command that name files are made absolute before.

Cost: one process for each different solution, several at once; nothing is counted in tokens of weights or FLOPs. At
load the command is run once on a sample problem to see how long it takes; its verdict on that is not used.

Not covered: programs that stay and answer many questions. A run may last its `limits.wall_s` however near the deadline
is, since nobody tells a verifier the deadline: set the limit below the budget.
"""

import json
import os
import shlex
import shutil
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from edgesearch import answer
from edgesearch.budget import Clock
from edgesearch.errors import UsageError
from edgesearch.sandbox import probe
from edgesearch.sandbox.base import Completed, Limits, Sandbox
from edgesearch.types import SCHEMA_VERSION, Beam, Prompt
from edgesearch.verifiers.base import Judged, VerifierInfo
from edgesearch.verifiers.fallback import Fallback, NoVerdict
from edgesearch.verifiers.pace import Pace
from edgesearch.verifiers.verdict import Verdict, last_line, read_verdict

DEFAULT_LIMITS = Limits(wall_s=5.0, cpu_s=5.0)
_MAX_WORKERS = 8
_SAMPLE_PROBLEM, _SAMPLE_STEPS = "What is 1+1?", ("1+1=2\n\n", "The answer is \\boxed{2}")
_NOT_STARTED = (126, 127)
"""Exit statuses of a command that could not be started, here as in shells."""

_Steps = tuple[str, ...]
_Key = tuple[int, _Steps]
"""A prompt's id, and a solution's steps."""


class CommandVerifier:
    """Implements `Verifier` with a program."""

    def __init__(
        self,
        command: str | Sequence[str],
        *,
        on_failure: float | None = None,
        limits: Limits = DEFAULT_LIMITS,
        must_isolate: bool = False,
        num_workers: int | None = None,
        sandbox: Sandbox | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        """Finds the program and a sandbox, and runs the one in the other once.

        Args:
            command: a program and its arguments: one text, in which quotes are read as a shell reads them and nothing
                else is, or its words.
            on_failure: the score in [0, 1] of a solution that the program fails on; None makes that an error.
            limits: of each run.
            must_isolate: whether to refuse where no sandbox isolates.
            num_workers: programs at once; default: one a processor, at most 8.
            sandbox: default: the strongest that works here.
            clock: what `seconds_per_token` is measured by.

        Raises:
            UsageError: there is no such program, it cannot be started, or a value is out of range.
            SandboxUnavailable: no sandbox works, or none isolates and one must.
        """
        if num_workers is not None and num_workers < 1:
            raise UsageError(f"num_workers must be >= 1, not {num_workers}")
        words = _words(command)
        self._argv = _absolute(words)
        self._fallback, self._limits, self._clock = Fallback(on_failure), limits, clock
        self._sandbox = sandbox or probe.find(must_isolate=must_isolate)
        tier = self._sandbox.info
        name = f"command:{shlex.join(words)}"
        self._info = VerifierInfo(name, num_params=0, device="cpu", is_outcome=True, sandbox=tier.name)
        self._warning = f"the checker {words[0]} is not isolated: {tier.caution}"
        self._verdicts: dict[int, dict[_Steps, Verdict]] = {}
        """By the prompt's id."""
        self._pace = Pace(self._try())
        self._pool = ThreadPoolExecutor(num_workers or min(os.cpu_count() or 1, _MAX_WORKERS), "checker")

    @property
    def info(self) -> VerifierInfo:
        """What it runs, and in which sandbox."""
        return self._info

    @property
    def seconds_per_token(self) -> float:
        """Seconds per solution token: of the run at load, then of real runs, the newer the more."""
        return self._pace.seconds_per_token

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know: a sandbox that does not isolate, and every use of the fallback score."""
        isolation = () if self._sandbox.info.is_isolating else (self._warning,)
        return (*isolation, *self._fallback.warnings)

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        """Reads nothing: the program is given the problem with each solution."""
        del token_ids
        self._verdicts.setdefault(prompt.id, {})
        return 0

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        """Scores the steps that have no score yet; see `Verifier.judge`. A text is judged once for each prompt.

        Raises:
            EdgesearchError: the program fails on a solution, and no fallback score is named.
            SandboxUnavailable: the sandbox cannot be started any more.
            ValueError: a beam's prompt is not open.
        """
        new: dict[_Key, Beam] = {}
        for beam in beams:
            if not beam.is_judged and _steps(beam) not in self._known(beam):
                new.setdefault((beam.prompt.id, _steps(beam)), beam)
        self._run(list(new.values()))
        return [self._judged(beam, new) for beam in beams]

    def release(self, nodes: Iterable[int]) -> None:
        """Forgets the verdicts on these prompts' solutions; nothing is kept under other nodes."""
        for node in nodes:
            self._verdicts.pop(node, None)

    def close(self) -> None:
        """Waits for programs that still run; safe to call twice."""
        self._verdicts.clear()
        self._pool.shutdown(cancel_futures=True)

    # -- the parts -------------------------------------------------------------------------------------------------

    def _known(self, beam: Beam) -> dict[_Steps, Verdict]:
        """The verdicts on a prompt's solutions."""
        if beam.prompt.id not in self._verdicts:
            raise ValueError(f"prompt {beam.prompt.id} is not open; call open() before judge()")
        return self._verdicts[beam.prompt.id]

    def _judged(self, beam: Beam, unpaid: dict[_Key, Beam]) -> Judged:
        """The beam with its verdict, at the cost of its new tokens if it is the first that the program read it for."""
        if beam.is_judged:
            return Judged(beam, 0)
        is_paid = unpaid.pop((beam.prompt.id, _steps(beam)), None) is None
        scores = self._known(beam)[_steps(beam)].of_steps(len(beam.steps))
        return Judged(beam.judged(scores[len(beam.scores) :]), 0 if is_paid else beam.num_unjudged_tokens)

    def _run(self, beams: Sequence[Beam]) -> None:
        """Has the program judge these, several at once, and keeps its verdicts."""
        if not beams:
            return
        started = self._clock()
        futures = [self._pool.submit(self._verdict, beam.prompt, _steps(beam)) for beam in beams]
        try:
            for beam, future in zip(beams, futures, strict=True):
                self._known(beam)[_steps(beam)] = self._accepted(future.result())
        finally:
            for future in futures:  # after an error or Ctrl-C none of the rest is wanted
                future.cancel()
        self._pace.measure(self._clock() - started, beams)

    def _verdict(self, prompt: Prompt, steps: _Steps) -> Verdict | NoVerdict:
        """Runs the program on a solution; in a thread of the pool."""
        try:
            return read_verdict(self._complete(prompt, steps), len(steps))
        except NoVerdict as failure:
            return failure

    def _complete(self, prompt: Prompt, steps: _Steps) -> Completed:
        text = "".join(steps)
        request = {
            "schema_version": SCHEMA_VERSION,
            "problem": prompt.user,
            "text": text,
            "answer": answer.stated(prompt, text),
            "steps": steps,
        }
        return self._sandbox.run(self._argv, stdin=json.dumps(request).encode() + b"\n", limits=self._limits)

    def _accepted(self, found: Verdict | NoVerdict) -> Verdict:
        """The verdict, or the fallback for one that failed."""
        return found if isinstance(found, Verdict) else Verdict(self._fallback.score(self._info.name, found))

    def _try(self) -> float:
        """Seconds of one run, on a sample."""
        started = self._clock()
        done = self._complete(Prompt(_SAMPLE_PROBLEM), _SAMPLE_STEPS)
        if done.exit_code in _NOT_STARTED:
            raise UsageError(f"the checker {self._argv[0]} cannot be run: {last_line(done.stderr) or done.ending}")
        return self._clock() - started


def _words(command: str | Sequence[str]) -> list[str]:
    try:
        words = shlex.split(command) if isinstance(command, str) else list(command)
    except ValueError as error:
        raise UsageError(f"the checker's command cannot be read ({error}): {command}") from error
    if not words or not words[0]:
        raise UsageError("the checker's command is empty; name a program, as in command:'python check.py'")
    return words


def _absolute(words: Sequence[str]) -> list[str]:
    """The command as it can be run in another directory: its program looked up, and its files by their full paths."""
    program = shutil.which(words[0])
    if program is None:
        raise UsageError(f"there is no program {words[0]!r} to check solutions with; is it installed and executable?")
    files = [os.path.abspath(word) if os.path.isfile(word) else word for word in words[1:]]
    return [os.path.abspath(program), *files]


def _steps(beam: Beam) -> _Steps:
    return tuple(step.text for step in beam.steps)
