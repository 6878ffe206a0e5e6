r"""Subset sums: which of the numbers add up to the goal? Checked exactly.

    Which of the numbers 3, 8, 12, 17 and 21 add up to 32?
    3+8=11, 11+21=32; 3+8+21

The reference adds in the order of the list.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgesearch.tasks.arithmetic.draft import DeadEnd, Draft

COUNT = {1: 4, 2: 5, 3: 5, 4: 6, 5: 6}
CHOSEN = {1: (2, 2), 2: (2, 3), 3: (2, 3), 4: (3, 3), 5: (3, 3)}
LARGEST = {1: 30, 2: 40, 3: 50, 4: 50, 5: 90}


def reachable(value: int, numbers: Sequence[int], goal: int) -> bool:
    """Whether some of `numbers`, or none, brings `value` to `goal`."""
    sums = {value}
    for number in numbers:
        sums |= {known + number for known in sums if known + number <= goal}
    return goal in sums


def write(draft: Draft) -> str:
    rng = draft.rng
    numbers = rng.sample(range(2, LARGEST[draft.level]), COUNT[draft.level])
    chosen = sorted(rng.sample(range(len(numbers)), rng.randint(*CHOSEN[draft.level])))
    draft.tag(*(str(index) for index in chosen))
    total = numbers[chosen[0]]
    for index in chosen[1:]:
        total = draft.compute(total, "+", numbers[index])
    if total in numbers:
        raise DeadEnd
    listed = f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
    draft.say(
        "Which of [|the numbers |these numbers: ]{listed} [add up to|sum to|have the sum] {goal}?",
        listed=listed,
        goal=total,
    )
    return "+".join(str(numbers[index]) for index in chosen)
