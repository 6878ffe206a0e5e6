"""Checks solutions of equations in one unknown with an SMT solver: z3 (pip install z3-solver).

    x*6+33=2*x+197. Which positive whole number does x stand for?
    197-33=164          follows: true of any x
    6-2=4               follows
    x=164/4=41          follows from the equation
    \\boxed{41}          is a solution

    edgesearch solve --verifier "command:python benchmarks/checkers/smt_check.py" --strategy best_of_n "x*6+33=..."

The score is 1 if the answer solves the problem's equation and 0 if not. A step's score is 1 if each of its equations
follows from the problem's, for positive whole x: z3 proves that there is no x for which the one holds and the other
does not. It is 0 if there is such an x, and 0.5 where there is nothing to check or z3 cannot tell in time. So a step
may be right that no rule foresaw, and one that "solves" another equation is not.

Text becomes formulas by a small reader of sums that knows numbers, x, + - * / and brackets; nothing is evaluated.
Other problems are an error, with status 2.
"""

import ast
import importlib
import itertools
import json
import re
import sys
from typing import Any

EQUATION = re.compile(r"(?<![\w.,])[-0-9x+*/() ]*[0-9x)] *(?:=[-0-9x+*/() ]*[0-9x)] *)+(?!\w|[.,]\d)")
MISREAD = re.compile(r"[\^\\²³√!%]")
"""Marks of mathematics that the reader does not know, and would pass over."""
ANSWER = re.compile(r"\s*(\d{1,12})\s*")
TIME_MS = 500
"""For one question to z3."""
MAX_CHARS = 200
UNKNOWN = 0.5

try:
    z3: Any = importlib.import_module("z3")
except ImportError:
    sys.exit("smt_check needs z3; install it: pip install z3-solver")


class Unreadable(Exception):
    """No sum."""


def term(node: ast.expr, x: Any) -> Any:
    """A sum as z3's real term."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return z3.RealVal(node.value)
    if isinstance(node, ast.Name) and node.id == "x":
        return z3.ToReal(x)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -term(node.operand, x)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
        left, right = term(node.left, x), term(node.right, x)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        return left * right if isinstance(node.op, ast.Mult) else left / right
    raise Unreadable


def equations(text: str, x: Any) -> list[Any]:
    """The equations in a text, as formulas; those of a chain (a=b=c) one by one.

    Raises:
        Unreadable: one is not made of sums, or may not be.
    """
    if MISREAD.search(text) and "=" in text:
        raise Unreadable
    found = []
    for match in EQUATION.finditer(text):
        if len(match[0]) > MAX_CHARS:
            raise Unreadable
        try:
            sides = [term(ast.parse(side.strip(), mode="eval").body, x) for side in match[0].split("=")]
        except (SyntaxError, ValueError) as error:
            raise Unreadable from error
        found += [left == right for left, right in itertools.pairwise(sides)]
    return found


def is_possible(*formulas: Any) -> bool | None:
    """Whether some x fits them all; None where z3 cannot tell."""
    solver = z3.Solver()
    solver.set("timeout", TIME_MS)
    solver.add(*formulas)
    verdict = solver.check()
    return None if verdict == z3.unknown else bool(verdict == z3.sat)


def step_score(step: str, given: Any, x: Any) -> float:
    """Whether what a step states follows from what is given."""
    try:
        stated = equations(step, x)
    except Unreadable:
        return UNKNOWN
    if not stated:
        return UNKNOWN
    is_refuted = is_possible(given, z3.Not(z3.And(*stated)))
    return UNKNOWN if is_refuted is None else float(not is_refuted)


def main() -> int:
    request = json.load(sys.stdin)
    x = z3.Int("x")
    try:
        stated = equations(request["problem"], x)
    except Unreadable:
        stated = []
    if len(stated) != 1:
        print("this is no problem of one equation in x", file=sys.stderr)
        return 2
    given = z3.And(x > 0, stated[0])
    answer = ANSWER.fullmatch(request["answer"] or "")
    is_right = answer is not None and is_possible(given, x == int(answer[1]))
    if is_right is None:
        print("z3 cannot tell in time", file=sys.stderr)
        return 2
    step_scores = [step_score(step, given, x) for step in request["steps"]]
    print(
        json.dumps({"score": float(is_right), "step_scores": step_scores, "reason": f"by z3 {z3.get_version_string()}"})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
