r"""Countdown, the game of 24 and its kin: an expression of the given numbers that makes the goal. Checked exactly.

    How can you make 45 from 3, 5, 7 and 10, using each number once?
    7-3=4, 4*10=40, 40+5=45; ((7-3)*10)+5

A solution is a chain: each step takes the last result and one more number. What the first step must be cannot be read
off the problem, so it takes search; whether an expression is right is a matter of arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgesearch.tasks.arithmetic.draft import MAX_NUMBER, DeadEnd, Draft, evaluate

OPERATORS = {1: "+-", 2: "+-*", 3: "+-*/", 4: "+-", 5: "+-*"}
COUNT = {1: 3, 2: 3, 3: 3, 4: 4, 5: 4}
LARGEST = {1: 20, 2: 12, 3: 25, 4: 30, 5: 10}
MAX_GOAL = 999


def reachable(value: int, numbers: Sequence[int], goal: int, operators: str = "+-*/") -> bool:
    """Whether a chain from `value` over all of `numbers` ends at `goal`, with whole positive values on the way."""
    if not numbers:
        return value == goal
    for index, number in enumerate(numbers):
        if number in numbers[:index]:
            continue
        rest = [*numbers[:index], *numbers[index + 1 :]]
        for operator in operators:
            result = evaluate(str(value), operator, number)
            if result is not None and 1 <= result <= MAX_NUMBER and reachable(result, rest, goal, operators):
                return True
    return False


def write(draft: Draft) -> str:
    rng, operators = draft.rng, OPERATORS[draft.level]
    numbers = [rng.randint(1, LARGEST[draft.level]) for _ in range(COUNT[draft.level])]
    expression, value = str(numbers[0]), numbers[0]
    for position, number in enumerate(numbers[1:]):
        operator = rng.choice(operators)
        if operator in "*/" and number == 1:
            raise DeadEnd
        draft.tag(operator)
        value = draft.compute(value, operator, number)
        expression = f"({expression}){operator}{number}" if position else f"{expression}{operator}{number}"
    if value > MAX_GOAL or value in numbers:
        raise DeadEnd
    shown = rng.sample(numbers, len(numbers))
    draft.tag("".join(str(shown.index(number)) for number in numbers))
    listed = f"{', '.join(map(str, shown[:-1]))} and {shown[-1]}"
    draft.say(
        "How [can|do|would] you [make|reach] {goal} [from|with|out of] {listed}, "
        "[using|taking] each number [|exactly ]once?",
        goal=value,
        listed=listed,
    )
    return expression
