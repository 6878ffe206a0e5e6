"""A problem that asks for a program, from a text and tests that a user gives.

    code_problem("Write a function add(a, b) that adds.", tests="assert add(1, 2) == 3")
    == Problem("Write a function add(a, b) ...", code=CodeSpec(("add",), tests=("assert add(1, 2) == 3",)))

The text is worded for models that follow instructions (`PROMPT`), with the first of the tests; a text that is itself a
signature with a docstring says what is asked for, and its examples are the tests.

Not covered: how tests are read (given_tests.py), problems of data sets (python_code.py), which have hidden tests.
"""

import dataclasses

from edgesearch.errors import UsageError
from edgesearch.tasks.given_tests import code_spec_of_tests, code_spec_of_text, functions_in
from edgesearch.tasks.prompts import prompt
from edgesearch.tasks.visible_tests import of_text
from edgesearch.types import CodeSpec, Problem

PROMPT = "code-1"
MAX_SHOWN_TESTS = 5
MAX_SHOWN_CHARS = 2000
"""Of the tests that a solver is shown; the rest are only run."""


def code_problem(
    text: str, *, tests: str | None = None, function: str | None = None, id: str = "", name: str = "the file of tests"
) -> Problem:
    """The problem of writing a program.

    Args:
        text: what is asked for, in words or as the beginning of a program.
        tests: Python source of the visible tests; None for the examples in the text, if there are any.
        function: the name that is asked for; None for what tests and text say.
        id: of the problem.
        name: what messages call the tests.

    Raises:
        UsageError: nothing says which function is asked for, or the tests cannot be read.
    """
    if function is not None and not function.isidentifier():
        raise UsageError(f"the function that is asked for must be a Python name, not {function[:40]!r}")
    code = _of_text(text, function) if tests is None else _of_tests(tests, text, function, name)
    shown = text if tests is None else _with_tests(text, code)
    return Problem(prompt(PROMPT).render(shown), id, code)


def _of_text(text: str, function: str | None) -> CodeSpec:
    """What a text asks for, and its examples."""
    if function is None or function in functions_in(text):
        code = code_spec_of_text(text)
        if function in (None, code.functions[0]):
            return code
    return CodeSpec((function,), "", of_text(text, function))


def _of_tests(tests: str, text: str, function: str | None, name: str) -> CodeSpec:
    """What tests ask for, that function before all others."""
    code = code_spec_of_tests(tests, text, name=name)
    if function is None:
        return code
    if function not in code.functions:
        raise UsageError(f"{name} calls {', '.join(code.functions)}, and not {function}, which is asked for")
    return dataclasses.replace(code, functions=tuple(sorted(code.functions, key=lambda each: each != function)))


def _with_tests(text: str, code: CodeSpec) -> str:
    """The text and the first tests, as far as they are short."""
    shown: list[str] = []
    for test in code.tests[:MAX_SHOWN_TESTS]:
        if sum(map(len, shown)) + len(test) > MAX_SHOWN_CHARS:
            break
        shown.append(test)
    if not shown:
        return text
    block = "\n".join(shown)
    return f"{text.rstrip()}\n\nThe program must pass these tests:\n\n```python\n{block}\n```"
