"""Checks answers to countdown problems by doing the sums again. Needs nothing but Python.

    How can you make 45 from 3, 5, 7 and 10, using each number once?
    ((7-3)*10)+5

    edgesearch solve --verifier "command:python benchmarks/checkers/countdown_check.py" --strategy best_of_n "How ..."

Right is an answer that uses exactly the numbers given, with + - * / and brackets, and has the goal as its value. It
stands for any checker of a few lines: read one JSON object, print another. Other problems are an error, with status 2.
"""

import ast
import json
import operator
import re
import sys
from fractions import Fraction

PROBLEM = re.compile(r"(?:make|reach) (\d{1,9}) (?:from|with|out of) ((?:\d{1,9}(?:, | and ))*\d{1,9})\b")
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
MAX_CHARS = 200


class Unreadable(Exception):
    """The answer is no sum."""


def value(node: ast.expr, used: list[int]) -> Fraction:
    """What an expression is worth; notes the numbers in it."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        used.append(node.value)
        return Fraction(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        result: Fraction = OPERATORS[type(node.op)](value(node.left, used), value(node.right, used))
        return result
    raise Unreadable("something other than numbers and + - * /")


def reason_against(answer: str | None, goal: int, numbers: list[int]) -> str | None:
    """Why an answer is wrong; None where it is right."""
    if not answer or len(answer) > MAX_CHARS:
        return "no answer, or one that is too long"
    used: list[int] = []
    try:
        made = value(ast.parse(answer.strip(), mode="eval").body, used)
    except (SyntaxError, ValueError, Unreadable, ZeroDivisionError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: {error}"
    if sorted(used) != sorted(numbers):
        return f"it uses {used}, not {numbers}"
    return None if made == goal else f"it makes {made}, not {goal}"


def main() -> int:
    given = json.load(sys.stdin)
    found = PROBLEM.search(given["problem"])
    if found is None:
        print("this is no countdown problem", file=sys.stderr)
        return 2
    reason = reason_against(given["answer"], int(found[1]), [int(number) for number in re.findall(r"\d+", found[2])])
    print(json.dumps({"score": 0 if reason else 1, "reason": reason or "right"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
