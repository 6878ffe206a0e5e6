"""Recorded samples as an engine: the first n completions of a problem are the candidates, and nothing is drawn.

    {"task_id": "gsm8k-test-0011", "sample_idx": 0, "completion": "... The answer is \\boxed{18}"}
    {"task_id": "gsm8k-test-0011", "sample_idx": 1, "completion": "...", "scores": [0.9, 0.4], "logprob": -12.5}

`scores` (of the steps, each in [0, 1]) and `logprob` (natural, of the whole) may be left out, and whatever else a line
holds is ignored. With `verifier = "recorded"` in the recipe the scores choose, as a verifier's would.

Every sample of the task must have as many completions as the widest cell takes: fewer would be another width under the
same name.

Not covered: strategies that draw (recipe.py refuses them), scoring recorded texts with a verifier's weights, which
needs the solver's tokens.
"""

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
from edgesearch.types import AGGREGATORS, Aggregator, Beam, Candidate, ModelNames, Prompt, Step, StrategyUsed, Usage

RECORDED = "recorded"
"""As the verifier of an engine: the scores are in the file."""
_VERIFIERS = ("none", "consensus", RECORDED)


@dataclass(frozen=True, slots=True)
class Completion:
    """One recorded sample."""

    text: str
    scores: tuple[float, ...] = ()
    """Of its steps, each in [0, 1]; empty where none were recorded."""
    logprob: float | None = None
    """Natural; None where it was not recorded."""


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
                self._check_sample(sample, cell)

    def _check_sample(self, sample: Sample, cell: Cell) -> None:
        found = self.completions.get(sample.id, ())
        if len(found) < cell.n:
            raise UsageError(
                f"{self.engine.file} has {len(found)} completions of sample {sample.id!r}, and cell {cell.name} takes "
                f"{cell.n}; record more, or use a smaller n"
            )
        if search.strategy(cell.strategy).needs_scores and not all(each.scores for each in found[: cell.n]):
            raise UsageError(
                f"{self.engine.file} has no scores for a completion of sample {sample.id!r}, and strategy "
                f"{cell.strategy} needs them; record scores, or use majority"
            )

    def solve(self, cell: Cell, sample: Sample) -> Solved:
        """The outcome of a cell on a sample: chosen among the first n completions; takes no time."""
        strategy = search.strategy(cell.strategy)
        how = _aggregator(cell)
        found = self.completions[sample.id][: cell.n]
        prompt = Prompt(sample.problem.text)
        candidates = [_candidate(each, prompt, how) for each in found]
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
            candidates=tuple(map(_kept, candidates, found)),
        )


def read(engine: SamplesEngine) -> Recording:
    """The recorded samples of an engine.

    Raises:
        UsageError: the file cannot be read or used, names the line; or the verifier is none that reads recordings.
    """
    if engine.verifier not in _VERIFIERS:
        raise UsageError(
            f"engine {engine.id!r} holds recorded samples, whose tokens verifier {engine.verifier} would need; write "
            f'the scores into the file and verifier = "{RECORDED}" into the recipe, or use consensus'
        )
    found: dict[str, dict[int, Completion]] = {}
    for number, line in _lines(engine.file):
        place = f"{engine.file}, line {number}"
        task_id, index, completion = _parsed(line, place)
        if index in found.setdefault(task_id, {}):
            raise UsageError(f"{place}: task_id {task_id!r} has sample_idx {index} twice; give each its own")
        found[task_id][index] = completion
    ordered = {name: tuple(each for _, each in sorted(group.items())) for name, group in found.items()}
    return Recording(engine, ordered)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())
    except OSError as error:
        raise UsageError(f"recorded samples {path} cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"recorded samples {path} are not UTF-8; save them as UTF-8") from error


def _parsed(line: str, place: str) -> tuple[str, int, Completion]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not JSON ({error}); write one object a line") from None
    if not isinstance(row, dict):
        raise UsageError(f"{place} is no JSON object; write {{task_id, sample_idx, completion}} a line")
    task_id = _field(row, "task_id", str, place)
    index = _field(row, "sample_idx", int, place)
    text = _field(row, "completion", str, place)
    if index < 0 or not _is_unicode(text):
        raise UsageError(f"{place}: sample_idx must be >= 0 and completion without half surrogate pairs")
    return task_id, index, Completion(text, _scores(row, place), _logprob(row, place))


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
    return Candidate(beam, answer.extract(recorded.text), score)


def _kept(candidate: Candidate, recorded: Completion) -> GradedCandidate:
    """With what was recorded, and without what was not."""
    kept = ungraded(candidate)
    return replace(
        kept, step_scores=recorded.scores, step_ends=(), logprob=recorded.logprob, num_tokens=None, finish=None
    )
