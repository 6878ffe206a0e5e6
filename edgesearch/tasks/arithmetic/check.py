"""Exact checks: whether an answer is right, told from the problem's text alone.

Three families can be checked so: countdown (the expression is evaluated against the numbers and the goal), subset sums
(the same) and equations (the answer is put in). That is what a person could do too, so it may be used while solving;
the reference answer never is.

The texts are untrusted. A problem is one of these only if all of it has the family's form. Expressions are read by a
small parser that knows ASCII digits, `+ - * /`, brackets and `x`; no answer raises, and none takes long.
"""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction

MAX_LENGTH = 200
MAX_BRACKETS = 40  # each is a few levels of recursion
_LIST = r"((?:[0-9]{1,4}, ){0,20}[0-9]{1,4} and [0-9]{1,4})"
_COUNTDOWN = re.compile(
    rf"How (?:can|do|would) you (?:make|reach) ([0-9]{{1,6}}) (?:from|with|out of) {_LIST}, "
    r"(?:using|taking) each number (?:exactly )?once\?"
)
_SUBSET = re.compile(
    rf"Which of (?:the numbers |these numbers: )?{_LIST} (?:add up to|sum to|have the sum) ([0-9]{{1,6}})\?"
)
_EQUATION = re.compile(
    r"([0-9x+*()\-]{1,60})=([0-9x+*()\-]{1,60})\. "
    r"(?:What|Which) (positive )?whole number (?:is x|does x stand for|is the value of x|solves this)\?"
)
_SUM = re.compile(r"[0-9]{1,6}(?: ?\+ ?[0-9]{1,6}){0,20}")


def check(problem: str, answer: str) -> bool | None:
    """Whether `answer` solves `problem`; None where only a reference answer could tell."""
    problem, answer = problem.strip(), answer.strip()
    if found := _COUNTDOWN.fullmatch(problem):
        return _makes(answer, int(found[1]), _numbers(found[2]), is_all=True)
    if found := _SUBSET.fullmatch(problem):
        is_sum = _SUM.fullmatch(answer) is not None
        return is_sum and _makes(answer, int(found[2]), _numbers(found[1]), is_all=False)
    if found := _EQUATION.fullmatch(problem):
        return _solves(answer, found[1], found[2], smallest=1 if found[3] else 0)
    return None


def is_checkable(problem: str) -> bool:
    """Whether `check` can judge answers to this problem."""
    return check(problem, "0") is not None


def numbers_and_goal(problem: str) -> tuple[list[int], int] | None:
    """What a countdown or subset problem gives and wants; None for any other text."""
    if found := _COUNTDOWN.fullmatch(problem.strip()):
        return _numbers(found[2]), int(found[1])
    if found := _SUBSET.fullmatch(problem.strip()):
        return _numbers(found[1]), int(found[2])
    return None


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"[0-9]+", text)]


def _makes(answer: str, goal: int, numbers: list[int], is_all: bool) -> bool:
    value = evaluate(answer)
    if value is None or value != goal:
        return False
    used, given = Counter(_numbers(answer)), Counter(numbers)
    return used == given if is_all else used <= given


def _solves(answer: str, left: str, right: str, smallest: int) -> bool:
    if not re.fullmatch(r"[0-9]{1,6}", answer):
        return False
    x = int(answer)
    value = evaluate(left, x)
    return x >= smallest and value is not None and value == evaluate(right, x)


def evaluate(expression: str, x: int | None = None) -> Fraction | None:
    """The exact value, `x` put in for its letter; None if it divides by zero or is not an expression that is read here.

    There are no signs before a number, and no more than `MAX_LENGTH` characters and `MAX_BRACKETS` brackets.
    """
    if len(expression) > MAX_LENGTH or expression.count("(") > MAX_BRACKETS:
        return None
    parser = _Parser(re.findall(r"[0-9]+|\S", expression), x)
    try:
        value = parser.sum()
    except (ValueError, ZeroDivisionError):
        return None
    return value if parser.is_done else None


class _Parser:
    """Recursive descent over `sum := product (+|- product)*`, `product := atom (*|/ atom)*`."""

    def __init__(self, tokens: list[str], x: int | None) -> None:
        self.tokens = tokens
        self.position = 0
        self.x = x

    @property
    def is_done(self) -> bool:
        return self.position == len(self.tokens)

    def take(self, *wanted: str) -> str | None:
        if not self.is_done and self.tokens[self.position] in wanted:
            self.position += 1
            return self.tokens[self.position - 1]
        return None

    def sum(self) -> Fraction:
        value = self.product()
        while sign := self.take("+", "-"):
            right = self.product()
            value = value + right if sign == "+" else value - right
        return value

    def product(self) -> Fraction:
        value = self.atom()
        while sign := self.take("*", "/"):
            right = self.atom()
            value = value * right if sign == "*" else value / right
        return value

    def atom(self) -> Fraction:
        """A number, `x` or a sum in brackets.

        Raises:
            ValueError: none of these stands here.
        """
        if self.take("("):
            value = self.sum()
            if not self.take(")"):
                raise ValueError("a bracket is not closed")
            return value
        if self.take("x"):
            if self.x is None:
                raise ValueError("x has no value here")
            return Fraction(self.x)
        if self.is_done or self.tokens[self.position][0] not in "0123456789":
            raise ValueError("a number is missing")
        self.position += 1
        return Fraction(int(self.tokens[self.position - 1]))
