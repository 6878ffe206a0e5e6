"""Recorded samples as an engine: the first n completions of a problem are the candidates, and nothing is drawn.

    {"task_id": "gsm8k-test-0011", "sample_idx": 0, "completion": "... The answer is \\boxed{18}"}
    {"task_id": "gsm8k-test-0011", "sample_idx": 1, "completion": "...", "scores": [0.9, 0.4], "logprob": -12.5}

`scores` (of the steps, each in [0, 1]) and `logprob` (natural, of the whole) may be left out, and whatever else a line
holds is ignored. With `verifier = "recorded"` in the recipe the scores choose, as a verifier's would. Where the answers
are programs, the verifier `tests` scores them by the visible tests of their problem.

Every sample of the task must have as many completions as the widest cell takes: fewer would be another width under the
same name. A completion that is not Unicode, or too long, is one without an answer, and its outcome says so; a line that
is no record at all ends the run before it begins.

Not covered: strategies that draw (recipe.py refuses them), scoring recorded texts with a verifier's weights, which
needs the solver's tokens.
"""

import codecs
import itertools
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgesearch import answer, search
from edgesearch.bench.messages import Solved, ungraded
from edgesearch.bench.recipe import Cell, SamplesEngine
from edgesearch.bench.records import GradedCandidate
from edgesearch.choice import choose
from edgesearch.errors import UsageError
from edgesearch.search.select import aggregate
from edgesearch.tasks.base import Sample, Task
from edgesearch.tasks.python_code import published_id
from edgesearch.types import AGGREGATORS, Aggregator, Beam, Candidate, ModelNames, Prompt, Step, StrategyUsed, Usage
from edgesearch.verifiers.base import Verifier, warnings_of
from edgesearch.verifiers.trials import Pool

RECORDED = "recorded"
"""As the verifier of an engine: the scores are in the file."""
TESTS = "tests"
"""The verifier that tries programs on visible tests, which needs neither weights nor tokens."""
_VERIFIERS = ("none", "consensus", RECORDED, TESTS)
MAX_LINE_BYTES = 64 << 20
MAX_COMPLETION_CHARS = 1 << 20
_KEPT_CHARS = 1_000
"""Of a longer completion."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One recorded sample."""

    text: str
    scores: tuple[float, ...] = ()
    """Of its steps, each in [0, 1]; empty where none were recorded."""
    logprob: float | None = None
    """Natural; None where it was not recorded."""
    fault: str = ""
    """Why the text is not what was recorded; then it states no answer."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of recorded samples."""

    engine: SamplesEngine
    completions: Mapping[str, tuple[Completion, ...]]
    """By task_id, in the order of sample_idx."""

    def check(self, task: Task, cells: Sequence[Cell]) -> None:
        """Whether it holds what these cells take.

        Raises:
            UsageError: it does not; names the first sample that lacks something.
        """
        for cell in cells:
            for sample in task.samples:
                if not sample.fault:
                    self._check_sample(sample, cell)

    def of(self, sample: Sample) -> tuple[Completion, ...]:
        """The completions of a sample; the id of one that asks for a program may be spelled as other publishers do."""
        if sample.id in self.completions or sample.problem.code is None:
            return self.completions.get(sample.id, ())
        wanted = published_id(sample.id)
        return next((found for name, found in self.completions.items() if published_id(name) == wanted), ())

    def _check_sample(self, sample: Sample, cell: Cell) -> None:
        found = self.of(sample)
        if len(found) < cell.n:
            raise UsageError(
                f"{self.engine.file} has {len(found)} completions of sample {sample.id!r}, and cell {cell.name} takes "
                f"{cell.n}; record more, or use a smaller n"
            )
        if self.engine.verifier == TESTS:
            if sample.problem.code is None:
                raise UsageError(
                    f"verifier {TESTS} runs programs, and sample {sample.id!r} asks for none; use "
                    f'"{RECORDED}" or consensus'
                )
            return
        if search.strategy(cell.strategy).needs_scores and not all(each.scores for each in found[: cell.n]):
            raise UsageError(
                f"{self.engine.file} has no scores for a completion of sample {sample.id!r}, and strategy "
                f"{cell.strategy} needs them; record scores, or use majority"
            )

    def solve(self, cell: Cell, sample: Sample, scorer: Verifier | None = None) -> Solved:
        """The outcome of a cell on a sample: chosen among the first n completions.

        Args:
            cell: how.
            sample: whose completions.
            scorer: scores them where the strategy needs scores, in place of what was recorded.
        """
        strategy = search.strategy(cell.strategy)
        how = _aggregator(cell)
        found = self.of(sample)[: cell.n]
        prompt = Prompt(sample.problem.text, code=sample.problem.code)
        candidates = [_candidate(each, prompt, how) for each in found]
        warnings = _faults(found)
        if scorer is not None and strategy.needs_scores:
            candidates, more = _scored(candidates, prompt, scorer)
            warnings += more
        choice = choose(candidates, strategy.selection)
        chosen = candidates.index(choice.candidate) if choice.candidate is not None else None
        now_s = time.time()
        return Solved(
            answer=choice.candidate.answer if choice.candidate is not None else None,
            chosen=chosen,
            confidence=choice.confidence,
            finish="stop",
            started_s=now_s,
            ended_s=now_s,
            wall_s=0.0,
            usage=Usage(),
            strategy=StrategyUsed(cell.strategy, cell.n, 1, how),
            models=ModelNames(self.engine.id, _verifier_name(self.engine), RECORDED),
            warnings=warnings,
            candidates=tuple(map(_kept, candidates, found)),
        )


def open_scorer(engine: SamplesEngine, pool: Pool | None) -> Verifier | None:
    """What scores the recorded samples of an engine by running them; None where nothing does.

    Args:
        engine: whose.
        pool: where programs are run; stays its owner's, so the verifier is not to be closed.

    Raises:
        UsageError: it cannot be opened.
        SandboxUnavailable: not even a right program passes.
    """
    if pool is None or engine.verifier != TESTS:
        return None
    from edgesearch.verifiers.unit_tests import UnitTestsVerifier

    return UnitTestsVerifier(pool)


def _scored(
    candidates: Sequence[Candidate], prompt: Prompt, scorer: Verifier
) -> tuple[list[Candidate], tuple[str, ...]]:
    """The candidates with their scores, and what to warn of; without scores where the verifier can give none."""
    try:
        scorer.open(prompt, ())
    except UsageError as error:
        return list(candidates), (f"the recorded programs have no scores, so the first one is chosen: {error}",)
    before = warnings_of(scorer)
    judged = scorer.judge([each.beam for each in candidates])
    scorer.release([prompt.id])
    scored = [replace(each, score=one.beam.scores[-1]) for each, one in zip(candidates, judged, strict=True)]
    return scored, tuple(each for each in warnings_of(scorer) if each not in before)


def _faults(found: Sequence[Completion]) -> tuple[str, ...]:
    faults = [each.fault for each in found if each.fault]
    return (f"{len(faults):,} of {len(found):,} completions cannot be used: {faults[0]}",) if faults else ()


def read(engine: SamplesEngine) -> Recording:
    """The recorded samples of an engine.

    Raises:
        UsageError: the file cannot be read or used, names the line; or the verifier is none that reads recordings.
    """
    if engine.verifier not in _VERIFIERS:
        raise UsageError(
            f"engine {engine.id!r} holds recorded samples, whose tokens verifier {engine.verifier} would need; write "
            f'the scores into the file and verifier = "{RECORDED}" into the recipe, or use consensus, or {TESTS} where '
            "the answers are programs"
        )
    found: dict[str, dict[int, Completion]] = {}
    for number, line, fault in _lines(engine.file):
        place = f"{engine.file}, line {number}"
        task_id, index, completion = _parsed(line, place, fault)
        if index in found.setdefault(task_id, {}):
            raise UsageError(f"{place}: task_id {task_id!r} has sample_idx {index} twice; give each its own")
        found[task_id][index] = completion
    ordered = {name: tuple(each for _, each in sorted(group.items())) for name, group in found.items()}
    return Recording(engine, ordered)


def _lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """The number and text of each line that is not blank, and what is wrong with its encoding."""
    try:
        with path.open("rb") as file:
            for number in itertools.count(1):
                line = file.readline(MAX_LINE_BYTES + 1)
                if not line:
                    return
                if len(line) > MAX_LINE_BYTES:
                    raise UsageError(f"{path}, line {number} is longer than {MAX_LINE_BYTES:,} bytes; is this JSONL?")
                text, fault = _decoded(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line)
                if text.strip():
                    yield number, text, fault
    except OSError as error:
        raise UsageError(f"recorded samples {path} cannot be read ({error.strerror}); check the path") from error


def _decoded(line: bytes) -> tuple[str, str]:
    try:
        return line.decode(), ""
    except UnicodeDecodeError as error:
        return line.decode(errors="replace"), f"it is not UTF-8 (byte {error.start + 1} of its line)"


def _parsed(line: str, place: str, fault: str) -> tuple[str, int, Completion]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not JSON ({fault or error}); write one object a line") from None
    if not isinstance(row, dict):
        raise UsageError(f"{place} is no JSON object; write {{task_id, sample_idx, completion}} a line")
    task_id = _field(row, "task_id", str, place)
    index = _field(row, "sample_idx", int, place)
    text = _field(row, "completion", str, place)
    if index < 0:
        raise UsageError(f"{place}: sample_idx must be >= 0, not {index}")
    completion = _completion(text, _scores(row, place), _logprob(row, place))
    return task_id, index, replace(completion, fault=fault) if fault else completion


def _completion(text: str, scores: tuple[float, ...], logprob: float | None) -> Completion:
    if len(text) > MAX_COMPLETION_CHARS:
        fault = f"it has {len(text):,} characters, and the most is {MAX_COMPLETION_CHARS:,}"
        return replace(_completion(text[:_KEPT_CHARS], scores, logprob), fault=fault)
    if not _is_unicode(text):
        kept = text.encode(errors="replace").decode()
        return Completion(kept, scores, logprob, "it holds half a surrogate pair")
    return Completion(text, scores, logprob)


def _field(row: Mapping[str, Any], name: str, wanted: type, place: str) -> Any:
    value = row.get(name)
    if type(value) is not wanted:
        kind = {str: "a text", int: "a whole number"}[wanted]
        raise UsageError(f"{place}: {name} must be {kind}, not {value!r:.60}")
    return value


def _scores(row: Mapping[str, Any], place: str) -> tuple[float, ...]:
    scores = row.get("scores")
    if scores is None:
        return ()
    if not isinstance(scores, list) or not all(_is_number(score) and 0 <= score <= 1 for score in scores):
        raise UsageError(f"{place}: scores must be a list of numbers in [0, 1], not {scores!r:.60}")
    return tuple(float(score) for score in scores)


def _logprob(row: Mapping[str, Any], place: str) -> float | None:
    logprob = row.get("logprob")
    if logprob is not None and not _is_number(logprob):
        raise UsageError(f"{place}: logprob must be a finite number, not {logprob!r:.60}")
    return None if logprob is None else float(logprob)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _aggregator(cell: Cell) -> Aggregator:
    return next((name for name in AGGREGATORS if name == cell.aggregator), "last")


def _verifier_name(engine: SamplesEngine) -> str | None:
    return None if engine.verifier == "none" else engine.verifier


def _candidate(recorded: Completion, prompt: Prompt, how: Aggregator) -> Candidate:
    """The completion as one step, which is all that choosing needs."""
    beam = Beam(prompt, (Step(recorded.text, (), recorded.logprob or 0.0, "stop"),))
    score = aggregate(recorded.scores, how) if recorded.scores else None
    return Candidate(beam, None if recorded.fault else answer.stated(prompt, recorded.text), score)


def _kept(candidate: Candidate, recorded: Completion) -> GradedCandidate:
    """With what was recorded, and without what was not."""
    kept = ungraded(candidate)
    return replace(
        kept, step_scores=recorded.scores, step_ends=(), logprob=recorded.logprob, num_tokens=None, finish=None
    )
