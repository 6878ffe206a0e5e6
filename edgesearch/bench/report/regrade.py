"""How far two graders disagree: chosen answers that the task's grader has judged, judged by another.

The second grader of `math-1` is `answer-1`, which knows no algebra; of all others `math-1`, which needs math-verify;
of the generated arithmetic, whose own grader computes from the problem, `answer-1`, which knows the target alone.

An answer to a sample is judged once, however many outcomes give it. With many answers a random part of them is judged,
and judging stops after `MAX_S` seconds; the report tells how many answers it was.

Not covered: which grader is right; candidates that were not chosen.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgesearch.bench.outcomes import ARITHMETIC
from edgesearch.bench.report.settings import Answers
from edgesearch.tasks import grading
from edgesearch.tasks.base import Sample

MAX_ANSWERS = 2_000
MAX_S = 20.0
MAX_EXAMPLES = 10

_SECOND: Mapping[str, str] = {"math-1": "answer-1", ARITHMETIC: "answer-1", "answer-1": "math-1"}


def second_of(grader: str) -> str | None:
    """The grader that is asked beside one; None where there is none to ask."""
    return _SECOND.get(grader)


def disagreement(
    answers: Answers,
    samples: Sequence[Sample],
    grader: str,
    *,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """How far the second grader disagrees with the stored verdicts of the first.

    Args:
        answers: by sample and answer what the first said.
        samples: of the report.
        grader: the first; `second_of` must know it.
        seed: of the choice of answers, where they are too many.
        clock: seconds.

    Returns:
        `graders` (both names), `of` (answers judged), `among` (all different answers), `share` (of those judged, that
        are right to one grader only; None where none was) and `examples`.

    Raises:
        UsageError: an extra that the second grader needs is missing.
    """
    second = _SECOND[grader]
    num_judged, cases = 0, []
    for sample, answer, first, other in _judged(_chosen(answers, seed), answers, samples, second, clock):
        num_judged += 1
        if first != other:
            cases.append(
                {"sample_id": sample.id, "target": sample.target, "answer": answer, grader: first, second: other}
            )
    return {
        "graders": [grader, second],
        "of": num_judged,
        "among": len(answers),
        "share": len(cases) / num_judged if num_judged else None,
        "examples": cases[:MAX_EXAMPLES],
    }


def _chosen(answers: Answers, seed: int) -> list[tuple[int, str]]:
    """At most `MAX_ANSWERS` of them, in a random order, so that a part is a fair one."""
    keys = sorted(answers)
    order = np.random.default_rng(seed).permutation(len(keys))[:MAX_ANSWERS]
    return [keys[place] for place in order]


def _judged(
    chosen: Sequence[tuple[int, str]],
    answers: Answers,
    samples: Sequence[Sample],
    second: str,
    clock: Callable[[], float],
) -> Iterator[tuple[Sample, str, bool, bool]]:
    """Each sample and answer with both verdicts, until the time is over; what is undecided is not right."""
    started = clock()
    with grading.grader(second) as grader:
        for number, answer in chosen:
            if clock() - started > MAX_S:
                return
            sample = samples[number]
            yield sample, answer, answers[number, answer] is True, grader.compare(sample.target, answer).is_equal
