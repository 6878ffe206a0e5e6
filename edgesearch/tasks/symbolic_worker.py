r"""The process in which math-verify compares answers: `python -m edgesearch.tasks.symbolic_worker CAP_S`.

Why a process: `9^{9^{9^9}}` keeps SymPy busy for ever inside one C call, which no exception, thread or alarm can
end (Math-Verify issues 57, 63 and 65). A process can be killed, and its memory can be limited. The client,
`symbolic.py`, does the killing; its own clock is the one that counts.

The protocol is one JSON object a line. On start: `{"ready": true}`, or `{"error": "..."}` and the end. Then for each
request `{"id", "target", "answer"}` one reply `{"id", "verdict", "reason"}`. An answer is a tree: a string is an
expression, `{"kind", "items"}` a set, tuple, interval, union or matrix whose items are trees. Everything that a
library prints goes to stderr, so stdout holds replies only.

What is believed, since math-verify alone says yes too often (its version 0.9 takes `1/2004!` for `1/2006!`, `2X` for
`2x`, and `x^2+1=0` for `x^2+2=0`):

- Two expressions are equal if math-verify says so *and* their values agree to 15 digits at three points; different
  if the values differ; else unknown.
- Two relations are equal if both sides' differences are proportional, or if both hold for the same real numbers.
- Groups are compared here, item by item, never by math-verify, which takes an element for its list.

Not covered: assumptions about variables (`\sqrt{x^2}` and `x` are not equal), equations with the same roots but
different factors, numbers in other bases. Bounds on inputs are the client's.
"""

from __future__ import annotations

import importlib
import itertools
import json
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import IO, Any, Literal

from edgesearch.answer import MIN_APPROXIMATE_DIGITS, RELATIVE_TOLERANCE

Tree = Any
"""A string, or a dict of `kind` and `items`: what `json.loads` makes of an answer."""
Equality = Literal["equal", "different", "unknown"]
Reply = tuple[Equality, str]

MAX_MEMORY_BYTES = 1 << 30
WARM_UP = (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}")
UNORDERED = ("{}", "union")
BRACKETS = ("()", "[]", "(]", "[)")

_POINTS = ((7, 4), (23, 6), (101, 10))
"""First value and step of the variables, by name: whole numbers, since sums and factorials are defined there."""
_DIGITS = 30
_DIFFERS = "1e-15"
"""Two values further apart than this share of the larger are different."""
_NOISE = "1e-90"
"""An evaluated zero may come out this small: no evidence that two values differ."""
_MIRRORED = {">": "<", ">=": "<="}


class Judge:
    """Compares trees with math-verify and SymPy, which it imports.

    Raises:
        ImportError: math-verify or a part that it needs is missing.
    """

    def __init__(self) -> None:
        self.sympy: Any = importlib.import_module("sympy")
        self.math_verify: Any = importlib.import_module("math_verify")
        # Answers come in one spelling already; further rewriting could only drop a part of one.
        rules = importlib.import_module("latex2sympy2_extended").NormalizationConfig(
            basic_latex=False, units=False, malformed_operators=False, nits=False, boxed="none", equations=False
        )
        self.extraction = [self.math_verify.LatexExtractionConfig(boxed_match_priority=-1, normalization_config=rules)]
        self.parse: Callable[[str], Any] = lru_cache(maxsize=4096)(self._parse)

    def compare(self, target: Tree, answer: Tree) -> Reply:
        """Whether two trees are one value; by item where both are groups."""
        if target == answer:
            return "equal", "the same text"
        if isinstance(target, str) and isinstance(answer, str):
            return self._expressions(target, answer)
        if isinstance(target, str) or isinstance(answer, str):
            return self._region(target, answer)
        if target["kind"] != answer["kind"] or len(target["items"]) != len(answer["items"]):
            return "different", "another structure"
        compare_items = self._unordered if target["kind"] in UNORDERED else self._ordered
        return compare_items(target["items"], answer["items"])

    def _ordered(self, target: Sequence[Tree], answer: Sequence[Tree]) -> Reply:
        replies: list[Reply] = []
        for pair in zip(target, answer, strict=True):
            replies.append(self.compare(*pair))
            if replies[-1][0] == "different":
                return replies[-1]
        return _all_of(replies)

    def _unordered(self, target: Sequence[Tree], answer: Sequence[Tree]) -> Reply:
        """Pairs each item with the first equal one that is free: enough, as equality is an equivalence."""
        free = list(answer)
        found: list[Reply] = []
        for item in target:
            replies = [self.compare(item, other) for other in free]
            verdicts = [verdict for verdict, _ in replies]
            if "equal" in verdicts:
                del free[verdicts.index("equal")]
                continue
            if "unknown" not in verdicts:
                return "different", "an item of the target has no equal"
            found.append(replies[verdicts.index("unknown")])
        return _all_of(found)

    def _parse(self, text: str) -> Any:
        """The expression, or None; variables are real and known by name, `i` is the imaginary unit."""
        found = self.math_verify.parse(
            f"${text}$",
            extraction_config=self.extraction,
            fallback_mode="no_fallback",
            extraction_mode="first_match",
            parsing_timeout=None,  # its alarm works in a main thread only, and not on Windows
        )
        if len(found) != 1 or not isinstance(found[0], self.sympy.Basic) or isinstance(found[0], self.sympy.Set):
            return None
        expression = found[0]
        variables = {symbol: self._variable(symbol.name) for symbol in expression.free_symbols}
        changed = {symbol: variable for symbol, variable in variables.items() if symbol != variable}
        # Replacing evaluates, and would turn `x^2+1=0` into false: only what has to change is replaced.
        return expression.xreplace(changed) if changed else expression

    def _variable(self, name: str) -> Any:
        return self.sympy.I if name == "i" else self.sympy.Symbol(name, real=True)

    def _expressions(self, target: str, answer: str) -> Reply:
        left, right = self.parse(target), self.parse(answer)
        for expression, text in ((left, target), (right, answer)):
            if expression is None:
                return "unknown", _unreadable(text)
        num_relations = _is_relation(left) + _is_relation(right)
        if num_relations == 1:
            return "different", "a relation and a value"
        if num_relations == 2:
            return self._relations(left, right)
        if self._rounds(target, right) or self._rounds(answer, left):
            return "equal", "a decimal that rounds the value"
        return self._values(left, right)

    # ----------------------------------------------------------------------------------------------- values

    def _values(self, left: Any, right: Any) -> Reply:
        agrees = self._agrees(left, right)
        if agrees is False:
            return "different", "the values differ"
        if self.math_verify.verify(left, right, timeout_seconds=None):
            return "equal", "math-verify"
        return "unknown", "not shown to be equal" if agrees is None else "equal at all points tried, but not shown"

    def _agrees(self, left: Any, right: Any) -> bool | None:
        """Whether the values agree wherever both can be had; None where none can."""
        if exact := self._rationals(left, right):
            return bool(exact[0] == exact[1])
        symbols = sorted(left.free_symbols | right.free_symbols, key=str)
        agreed = [self._close(left, right, _point(symbols, *numbers)) for numbers in _POINTS]
        known = [is_close for is_close in agreed if is_close is not None]
        return all(known) if known else None

    def _rationals(self, left: Any, right: Any) -> tuple[Any, Any] | None:
        if left.free_symbols or right.free_symbols:
            return None
        exact = left.doit(), right.doit()
        return exact if all(value.is_Rational for value in exact) else None

    def _close(self, left: Any, right: Any, point: dict[Any, int]) -> bool | None:
        a, b = self._value(left, point), self._value(right, point)
        if a is None or b is None:
            return None
        if a.is_infinite or b.is_infinite:
            return bool(a == b)
        gap, size = abs(a - b), max(abs(a), abs(b))
        if size < self.sympy.Float(_NOISE):
            return None
        return bool(gap <= self.sympy.Float(_DIFFERS) * size)

    def _value(self, expression: Any, point: dict[Any, int]) -> Any:
        value = expression.subs(point).doit().evalf(_DIGITS)
        if not value.is_number or value.has(self.sympy.Function, self.sympy.nan, self.sympy.zoo):
            return None
        return value

    def _rounds(self, text: str, expression: Any) -> bool:
        """Whether the text is a long decimal that rounds or truncates a constant without an end: `2\\pi`, `2^5/7`."""
        places = _decimal_places(text)
        if places is None or _is_relation(expression) or expression.free_symbols:
            return False
        value, exact = self._value(expression, {}), expression.doit()
        if value is None or not value.is_real or (exact.is_Rational and _ends(exact.q)):
            return False
        number = self.sympy.Rational(text)
        gap = abs(value - number)
        return bool(gap < self.sympy.Rational(1, 10**places) and gap <= abs(value) * self._tolerance())

    def _tolerance(self) -> Any:
        return self.sympy.Rational(RELATIVE_TOLERANCE.numerator, RELATIVE_TOLERANCE.denominator)

    # -------------------------------------------------------------------------------------------- relations

    def _relations(self, left: Any, right: Any) -> Reply:
        """Relations that say the same: proportional differences, or the same real numbers."""
        sides = _sides(left), _sides(right)
        if sides[0] and sides[1] and sides[0][0] == sides[1][0] and self._proportional(*sides[0], sides[1][1]):
            return "equal", "proportional relations"
        if sides[0] and sides[1] and sides[0][0] == sides[1][0] == "=":
            return self._same_roots(sides[0][1], sides[1][1])
        return self._same_numbers(left, right)

    def _same_roots(self, left: Any, right: Any) -> Reply:
        """Polynomials without their repeated factors have the same complex roots only if they are proportional."""
        symbols = left.free_symbols | right.free_symbols
        if not (left.is_polynomial(*symbols) and right.is_polynomial(*symbols)):
            return "unknown", "equations that are not proportional"
        bare = [self.sympy.sqf_part(self.sympy.expand(side), *symbols) for side in (left, right)]
        if self._proportional("=", *bare):
            return "unknown", "the same roots, but not as often"
        return "different", "equations with other roots"

    def _proportional(self, operator: str, left: Any, right: Any) -> bool:
        ratio = self.sympy.simplify(left / right)
        if not ratio.is_number or ratio.is_zero is not False or not ratio.is_finite:
            return False
        return operator in ("=", "!=") or bool(ratio.is_positive)

    def _same_numbers(self, left: Any, right: Any) -> Reply:
        symbols = left.free_symbols | right.free_symbols
        if len(symbols) != 1 or left.free_symbols != right.free_symbols:
            return "unknown", "not proportional"
        return self._same_set(left.as_set(), right.as_set())

    def _region(self, one: Tree, other: Tree) -> Reply:
        """A relation against an interval, a union or a set: `2 < x` and `(2, \\infty)`."""
        text, group = (one, other) if isinstance(one, str) else (other, one)
        relation = self.parse(text)
        if relation is None:
            return "unknown", _unreadable(text)
        if not _is_relation(relation) or len(relation.free_symbols) != 1:
            return "different", "another structure"
        numbers = self._set(group)
        return ("different", "another structure") if numbers is None else self._same_set(relation.as_set(), numbers)

    def _set(self, tree: Tree) -> Any:
        """The set of real numbers that an interval, a set or a union of them spells; None for anything else."""
        if isinstance(tree, str):
            return None
        if tree["kind"] == "union":
            parts = [self._set(item) for item in tree["items"]]
            return None if None in parts else self.sympy.Union(*parts)
        ends = [self.parse(item) if isinstance(item, str) else None for item in tree["items"]]
        if any(end is None or _is_relation(end) or end.free_symbols for end in ends):
            return None
        if tree["kind"] == "{}":
            return self.sympy.FiniteSet(*ends)
        if tree["kind"] not in BRACKETS or len(ends) != 2:
            return None
        return self.sympy.Interval(*ends, left_open=tree["kind"][0] == "(", right_open=tree["kind"][1] == ")")

    def _same_set(self, left: Any, right: Any) -> Reply:
        # Two empty sets say nothing: `x^2+1=0` and `x^2+2=0` have no real root alike.
        if left.is_empty is not False or right.is_empty is not False:
            return "unknown", "a relation without real solutions"
        if left == right:
            return "equal", "the same real numbers"
        is_same = left.symmetric_difference(right).is_empty
        if is_same is None:
            return "unknown", "sets that SymPy cannot compare"
        return ("equal", "the same real numbers") if is_same else ("different", "other real numbers")


def _all_of(replies: Iterable[Reply]) -> Reply:
    """Equal if all are; none is different here."""
    return next((reply for reply in replies if reply[0] == "unknown"), ("equal", "every item has its equal"))


def _unreadable(text: str) -> str:
    return f"math-verify cannot read {text[:80]}"


def _is_relation(expression: Any) -> bool:
    return bool(expression.is_Relational) or bool(expression.is_Boolean)


def _sides(relation: Any) -> tuple[str, Any] | None:
    """The operator, `>` turned into `<`, and the difference of the sides; None for a chain such as `1 < x < 2`."""
    if not relation.is_Relational:
        return None
    operator = relation.rel_op.replace("==", "=")
    difference = relation.lhs - relation.rhs
    return (_MIRRORED[operator], -difference) if operator in _MIRRORED else (operator, difference)


def _point(symbols: Sequence[Any], first: int, step: int) -> dict[Any, int]:
    return {symbol: first + step * i for i, symbol in enumerate(symbols)}


def _decimal_places(text: str) -> int | None:
    """Decimal places of a fraction that is a decimal of at least 6 significant digits; None for any other text."""
    try:
        number = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None
    if number.denominator == 1 or not _ends(number.denominator):
        return None
    places = next(places for places in itertools.count(1) if 10**places % number.denominator == 0)
    digits = str(abs(number.numerator) * 10**places // number.denominator)
    return places if len(digits) >= MIN_APPROXIMATE_DIGITS else None


def _ends(denominator: int) -> bool:
    """Whether a fraction in lowest terms with this denominator is a decimal that ends: its primes are 2 and 5."""
    return pow(10, int(denominator).bit_length(), int(denominator)) == 0


# -------------------------------------------------------------------------------------------------- the process


def main(cap_s: float) -> int:
    """Answers requests until stdin ends."""
    replies = _own_stdout()
    _limit(cap_s)
    try:
        judge = Judge()
        judge.compare(*WARM_UP)  # loads the grammar's tables, so that the first request is not slower
    except ImportError as error:
        _send(replies, {"error": str(error)})
        return 1
    _send(replies, {"ready": True})
    for line in sys.stdin.buffer:
        _grant_cpu(cap_s)
        request = json.loads(line)
        verdict, reason = _judged(judge, request)
        _send(replies, {"id": request["id"], "verdict": verdict, "reason": reason})
    return 0


def _judged(judge: Judge, request: dict[str, Any]) -> Reply:
    try:
        return judge.compare(request["target"], request["answer"])
    except MemoryError:
        raise  # what is left of the heap cannot be trusted: the client starts another process
    except Exception as error:  # any of SymPy's many; all mean that it does not know
        return "unknown", f"{type(error).__name__} in math-verify"


def _own_stdout() -> IO[bytes]:
    """The real stdout, for replies alone; whatever else writes to stdout now writes to stderr."""
    sys.stdout.flush()
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the client decides when to end
    return replies


def _limit(cap_s: float) -> None:
    """Memory and core dumps, where the system has such limits (not on Windows; macOS may ignore the first)."""
    try:
        resource: Any = importlib.import_module("resource")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    except (ImportError, OSError, ValueError):
        return
    _grant_cpu(cap_s + 60.0)  # the imports; a busy machine is slower in wall time, not in this


def _grant_cpu(cap_s: float) -> None:
    """Ends this process when it computes on after its client was killed: nobody else would."""
    try:
        resource: Any = importlib.import_module("resource")
        usage = resource.getrusage(resource.RUSAGE_SELF)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(usage.ru_utime + usage.ru_stime + cap_s) + 1, hard))
    except (ImportError, OSError, ValueError):
        return


def _send(replies: IO[bytes], message: dict[str, Any]) -> None:
    replies.write(json.dumps(message).encode() + b"\n")
    replies.flush()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0))
