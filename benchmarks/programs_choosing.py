"""Choosing one of k recorded programs: at random, by visible examples, by agreement on recorded tests.

For k below all, the mean over random subsets of each problem's programs, the same subsets for every way; for agreement
with as many of the recorded texts of tests. Where several programs share the best score, one of them is taken at
random, so what counts is the share of right ones among them.

Not covered: running the programs against hidden tests (programs.py).
"""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import Progress
from programs_data import Recorded

from edgesearch import tasks
from edgesearch.answer import canonical
from edgesearch.bench.estimators import pass_at_k
from edgesearch.sandbox.pool import TrialPool
from edgesearch.types import CodeSpec
from edgesearch.verifiers import trials
from edgesearch.verifiers.agreement import MAX_TESTS, Table, rank
from edgesearch.verifiers.trials import every_test

KS = (1, 10, 100)
NUM_SUBSETS = 200
_SEED = 0


def choosing(recorded: Recorded, right: Mapping[str, Sequence[bool]], humaneval: Path) -> dict[str, Any]:
    """The accuracy of each way at each k."""
    progress = Progress("choosing", 2 * len(recorded.task.samples))
    shown = {sample.id: sample.problem.code for sample in tasks.load("humaneval", data=humaneval).samples}
    rows: list[dict[str, dict[str, float]]] = []
    with TrialPool(limits=trials.LIMITS) as pool:
        for sample in recorded.task.samples:
            code, examples = sample.problem.code, shown[sample.id]
            assert code is not None
            assert examples is not None
            programs = recorded.programs[sample.id]
            visible = _visible(pool, code, examples.tests, programs)
            progress.add(1)
            passed, tests = _agreement(pool, code, programs, recorded.tests[sample.id])
            progress.add(1)
            rows.append(_problem(right[sample.id], visible, passed, tests))
    ks = [str(k) for k in KS if str(k) in rows[0]]
    ways = ("random", "visible", "agreement", "visible_then_agreement", "any")
    return {
        "accuracy": {way: {k: sum(row[k][way] for row in rows) / len(rows) for k in ks} for way in ways},
        "num_problems": len(rows),
        "num_subsets": NUM_SUBSETS,
        "num_with_examples": sum(bool(code and code.tests) for code in shown.values()),
    }


def _visible(pool: TrialPool, code: CodeSpec, tests: Sequence[str], programs: Sequence[str]) -> list[float]:
    """The share of the visible tests that each program passes; 0 for all where there are none."""
    if not tests:
        return [0.0] * len(programs)
    different = {canonical(program): program for program in programs}
    results = pool.run_all(every_test(code, program, tests) for program in different.values())
    scores = {key: result.num_passed / len(tests) for key, result in zip(different, results, strict=True)}
    return [scores[canonical(program)] for program in programs]


def _agreement(
    pool: TrialPool, code: CodeSpec, programs: Sequence[str], texts: Sequence[tuple[str, ...]]
) -> tuple[list[list[bool]], list[list[int]]]:
    """Whether each program passes each different test, and the tests of each text by number."""
    numbers = {test: number for number, test in enumerate(dict.fromkeys(test for text in texts for test in text))}
    table = Table(code, pool)
    used = list(numbers)[:MAX_TESTS]
    passed = table.passed(programs, used)
    return passed, [[numbers[test] for test in text if numbers[test] < MAX_TESTS] for text in texts]


def _problem(
    right: Sequence[bool], visible: Sequence[float], passed: Sequence[Sequence[bool]], tests: Sequence[Sequence[int]]
) -> dict[str, dict[str, float]]:
    """What each way chooses at each k: the chance that it is right."""
    num = len(right)
    found = {}
    for k in (k for k in KS if k <= num):
        draw = random.Random(_SEED)
        subsets = [draw.sample(range(num), k) for _ in range(1 if k == num else NUM_SUBSETS)]
        sums = dict.fromkeys(("visible", "agreement", "visible_then_agreement"), 0.0)
        for subset in subsets:
            agreed = _agreed(
                [passed[place] for place in subset], [tests[place] for place in subset if place < len(tests)]
            )
            seen = [visible[place] for place in subset]
            marks = [right[place] for place in subset]
            sums["visible"] += _chance(marks, seen)
            sums["agreement"] += _chance(marks, agreed)
            sums["visible_then_agreement"] += _chance(marks, list(zip(seen, agreed, strict=True)))
        chances = {way: total / len(subsets) for way, total in sums.items()}
        found[str(k)] = {"random": sum(right) / num, "any": float(pass_at_k(num, sum(right), [k])[0]), **chances}
    return found


def _agreed(rows: Sequence[Sequence[bool]], texts: Sequence[Sequence[int]]) -> list[float]:
    """The agreement of these programs on the tests of these texts."""
    counts: dict[int, int] = {}
    for text in texts:
        for number in text:
            counts[number] = counts.get(number, 0) + 1
    return rank([[row[number] for number in counts] for row in rows], weights=list(counts.values()))


def _chance(right: Sequence[bool], scores: Sequence[Any]) -> float:
    """Of a right one among those with the best score."""
    best = max(scores)
    among = [mark for mark, score in zip(right, scores, strict=True) if score == best]
    return sum(among) / len(among)
