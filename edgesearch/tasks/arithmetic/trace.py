"""Trace: what a short program leaves in a variable. A level's `LENGTH` is the number of statements after the first.

    x=7; y=x*3; y=y+x. What is y at the end?          y=7*3=21, y=21+7=28

From level 3 some statements have a condition, and from level 4 some repeat.
"""

from __future__ import annotations

from edgesearch.tasks.arithmetic.draft import DeadEnd, Draft

VARIABLES = ("x", "y", "z")


class _Program:
    """The statements so far and what the variables hold."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.names = draft.rng.sample(VARIABLES, 2 if draft.level < 4 else 3)
        self.values: dict[str, int] = {}
        self.statements: list[str] = []

    def begin(self) -> None:
        name, value = self.names[0], self.draft.start()
        self.values[name] = value
        self.statements.append(f"{name}={value}")

    def operand(self, operator: str, left: int) -> tuple[str, int]:
        """A variable or a number to stand on the right, as text and value."""
        rng = self.draft.rng
        if operator in "*/":
            right = rng.randint(2, 9) if operator == "*" else self.draft.divisor(left)
            return str(right), right
        if len(self.values) > 1 and rng.random() < 0.5:
            name = rng.choice(list(self.values))
            return name, self.values[name]
        right = self.draft.change(left - 1 if operator == "-" else 9999)
        return str(right), right

    def assign(self) -> None:
        rng = self.draft.rng
        target, base = rng.choice(self.names), rng.choice(list(self.values))
        if target not in self.values and base == target:
            raise DeadEnd
        operator = rng.choice("++--*/" if self.draft.level > 1 else "+-*")
        left = self.values[base]
        text, right = self.operand(operator, left)
        kind = rng.choice(("plain", "plain", "if", "repeat")) if self.draft.level > 3 else "plain"
        if self.draft.level == 3 and rng.random() < 0.2:
            kind = "if"
        if kind == "repeat" and (base != target or operator not in "+-" or not text.isdigit()):
            kind = "plain"
        self.draft.tag(f"{kind}{operator}{'v' if not text.isdigit() else ''}{'' if base == target else 'o'}")
        statement = f"{target}={base}{operator}{text}"
        if kind == "if":
            self.condition(target, statement, left, operator, right)
            return
        times = rng.randint(2, 3) if kind == "repeat" else 1
        self.statements.append(f"repeat {times} times: {statement}" if times > 1 else statement)
        for _ in range(times):
            left = self.draft.compute(left, operator, right, target)
        self.values[target] = left

    def condition(self, target: str, statement: str, left: int, operator: str, right: int) -> None:
        """A statement that runs only if a comparison holds; the step says whether."""
        rng, draft = self.draft.rng, self.draft
        if target not in self.values:
            raise DeadEnd
        tested = rng.choice(list(self.values))
        value = self.values[tested]
        bound = max(2, value + rng.choice((-1, 1)) * rng.randint(1, max(2, value // 2)))
        if bound == value:
            raise DeadEnd
        sign = rng.choice("<>")
        holds = value > bound if sign == ">" else value < bound
        draft.tag("yes" if holds else "no")
        self.statements.append(f"if {tested}{sign}{bound}: {statement}")
        draft.steps.append(f"{value}{sign}{bound} {'yes' if holds else 'no'}")
        if holds:
            self.values[target] = draft.compute(left, operator, right, target)


def write(draft: Draft) -> int:
    program = _Program(draft)
    program.begin()
    for _ in range(draft.length):
        program.assign()
    asked = draft.rng.choice(list(program.values))
    last = program.statements[-1]
    if not draft.steps or asked not in last.split(":")[-1].split("=")[0]:
        raise DeadEnd  # a question about a variable that was last set long ago is too often trivial
    draft.say(
        "[Run this program|Look at this program|Here is a program|This is a program]: {code}.",
        code="; ".join(program.statements),
    )
    draft.tag("ask")
    draft.say("What is {asked} [at the end|in the end|then|after that]?", asked=asked)
    return program.values[asked]
