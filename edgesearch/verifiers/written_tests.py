"""Reads tests that a language model wrote: the asserts in a text, each made plain and safe to run by itself.

    "assert add(1, 2) == 3, 'small'\\n```\\nThe next test ..."   ->   ("assert add(1, 2) == 3",)

Only an `assert` that calls the function counts, as text that parses; where it stands does not matter (in prose, in a
fenced block, in a function of tests). Its message is dropped and its spelling made one, so that equal tests are equal
texts. The first few of each text are taken: a model that goes on and on says less and less.

Nothing is run here. Not covered: unittest's methods, tests of several statements, asserts over names that were set
before (they are read, and are at fault when run).

Source: the reading follows Chen et al., arXiv 2207.10397, whose released code takes the first 5 asserts of a sample.
"""

import ast
import re
import warnings
from collections.abc import Iterator

MAX_TESTS = 5
"""Of one text."""
_MAX_ASSERTS = 50
"""Looked at in one text."""
_MAX_CHARS = 2_000
_MAX_LINES = 12
"""Of one test."""
_ASSERT = re.compile(r"\bassert\b\s*")
_LINE_END = re.compile(r"\n|\Z")


def read(text: str, function: str) -> tuple[str, ...]:
    """The first `MAX_TESTS` tests of a function in a text, without repeats.

    Args:
        text: what a model wrote. It may begin within a test, where the prompt ended in `assert`.
        function: the name that a test must call.
    """
    found: dict[str, None] = {}
    text, end = f"assert {text}", 0
    starts = [(match.start(), match.end()) for match in _ASSERT.finditer(text)]
    for place, (start, body) in enumerate(starts[:_MAX_ASSERTS]):
        if start < end:  # within the last one, in a text of its own
            continue
        following = starts[place + 1][0] if place + 1 < len(starts) else None
        for stop in _stops(text, body, following):
            if (test := _plain(text[body:stop], function)) is not None:
                found[test] = None
                end = stop
                break
        if len(found) >= MAX_TESTS:
            break
    return tuple(found)


def _stops(text: str, body: int, following: int | None) -> Iterator[int]:
    """Where a test may end, nearest first: at the end of a line, or where another begins."""
    ends = [match.start() for _, match in zip(range(_MAX_LINES), _LINE_END.finditer(text, body), strict=False)]
    if following is not None:
        ends = sorted({*ends, following})
    return (end for end in ends if end - body <= _MAX_CHARS)


def _plain(condition: str, function: str) -> str | None:
    """The one way to write an assert of this; None where it is none, or does not call the function."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes and comparisons
            body = ast.parse(f"assert {condition.strip()}").body
        if len(body) != 1 or not isinstance(body[0], ast.Assert) or not _can_fail(body[0].test, function):
            return None
        return f"assert {ast.unparse(body[0].test)}"
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _can_fail(condition: ast.expr, function: str) -> bool:
    """Whether it calls the function, and is not the pair that a message within brackets makes, which is always true."""
    calls = (node.func for node in ast.walk(condition) if isinstance(node, ast.Call))
    is_called = any(isinstance(called, ast.Name) and called.id == function for called in calls)
    return is_called and not isinstance(condition, ast.Tuple)
