r"""Which steps of a solution are right, by program: what process reward models are trained on.

A step is right when it and all before it are, so nothing is right after the first mistake. Three rules:

* countdown and subset sums: a step takes the last result and one more number, its arithmetic is right, all is whole and
  from 1 to 9999, the number is still there, and the goal can still be reached in such steps;
* all other families: the step is the reference's at the same place. Steps in another valid order or with other names
  count as wrong, since the training solutions have one form, and a label that follows it is exact and free;
* the answer line: the answer is right (`grade`), and all the reference steps, or a full chain, came before it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from edgesearch.tasks.arithmetic import countdown, subset
from edgesearch.tasks.arithmetic.check import check, numbers_and_goal
from edgesearch.tasks.arithmetic.draft import evaluate
from edgesearch.tasks.arithmetic.sample import ArithmeticSample

_ANSWER_LINE = re.compile(r"The answer is \\boxed\{([^{}]*)\}")
_NUMBER = "([1-9][0-9]{0,3})"
_CHAIN_STEP = re.compile(rf"{_NUMBER}([+\-*/]){_NUMBER}={_NUMBER}")


def grade(sample: ArithmeticSample, answer: str | None) -> bool:
    """Whether an extracted answer is right: exactly checked where the problem allows it, else equal to the target.

    Case does not matter, nor do spaces, unless they part two digits.
    """
    if answer is None:
        return False
    exact = check(sample.problem, answer)
    return _plain(answer) == _plain(sample.target) if exact is None else exact


def _plain(answer: str) -> str:
    return re.sub(r"(?<![0-9])\s+|\s+(?![0-9])", "", answer).lower()


def label_steps(sample: ArithmeticSample, steps: Sequence[str]) -> list[bool]:
    """For each step, the answer line included, whether it and all before it are right."""
    judge = _ChainJudge(sample).judge if sample.family in ("countdown", "subset") else _reference_judge(sample)
    labels: list[bool] = []
    is_right = True
    for step in steps:
        is_right = is_right and judge(step)
        labels.append(is_right)
    return labels


def _reference_judge(sample: ArithmeticSample) -> Callable[[str], bool]:
    """Follows the reference; each call judges the next step."""
    expected = iter(sample.steps)
    is_done = False

    def judge(step: str) -> bool:
        nonlocal is_done
        if is_done:
            return False
        reference = next(expected, None)
        if reference is not None:
            return step == reference
        is_done = True
        answer = _ANSWER_LINE.fullmatch(step)
        return answer is not None and grade(sample, answer[1])

    return judge


class _ChainJudge:
    """Follows a chain over the given numbers; each call of `judge` judges the next step. No use after a wrong one."""

    def __init__(self, sample: ArithmeticSample) -> None:
        given = numbers_and_goal(sample.problem)
        assert given is not None, "a generated problem of these families can be read"
        numbers, self.goal = given
        self.sample = sample
        self.left = Counter(numbers)
        self.value: int | None = None
        self.is_done = False

    def judge(self, step: str) -> bool:
        if self.is_done:
            return False
        if answer := _ANSWER_LINE.fullmatch(step):
            self.is_done = True
            return self.is_complete and grade(self.sample, answer[1])
        found = _CHAIN_STEP.fullmatch(step)
        if not found or (self.sample.family == "subset" and found[2] != "+"):
            return False
        left, right, value = int(found[1]), int(found[3]), int(found[4])
        return evaluate(found[1], found[2], right) == value and self._uses(left, right) and self._leads_on(value)

    @property
    def is_complete(self) -> bool:
        is_used_up = self.sample.family == "subset" or not self.left.total()
        return self.value == self.goal and is_used_up

    def _uses(self, left: int, right: int) -> bool:
        """Takes the step's numbers from those left; whether they were there."""
        if self.value is None:
            self.left[left] -= 1
        elif left != self.value:
            return False
        self.left[right] -= 1
        return min(self.left.values()) >= 0

    def _leads_on(self, value: int) -> bool:
        self.value = value
        rest = list(self.left.elements())
        if self.sample.family == "subset":
            return subset.reachable(value, rest, self.goal)
        return countdown.reachable(value, rest, self.goal)
