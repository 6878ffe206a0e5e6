"""Tests that users give: what is asked for, each test on its own, and clear words for what cannot be used."""

from __future__ import annotations

import ast
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.errors import UsageError
from edgesearch.sandbox.pool import TrialPool
from edgesearch.sandbox.trial import Trial
from edgesearch.tasks.given_tests import code_spec_of_tests, code_spec_of_text, functions_in

unhurried = settings(deadline=None)


def run_each(source: str, text: str = "", **functions: object) -> list[bool]:
    """Whether each test passes, run alone, for these functions."""
    outcomes = []
    for test in code_spec_of_tests(source, text).tests:
        names = dict(functions)
        try:
            exec(test, names)
            outcomes.append(True)
        except AssertionError:
            outcomes.append(False)
    return outcomes


def add(a: int, b: int) -> int:
    return a + b


# ---------------------------------------------------------------------------------------------------- forms of tests


def test_each_assert_is_a_test_of_what_nothing_defines() -> None:
    code = code_spec_of_tests("assert add(1, 2) == 3\nassert add(0, 0) == 1\nassert sub(1, 1) == 0\n")
    assert code.functions == ("add", "sub")
    assert code.tests == ("assert add(1, 2) == 3", "assert add(0, 0) == 1", "assert sub(1, 1) == 0")
    assert run_each("assert add(1, 2) == 3\nassert add(0, 0) == 1\n", add=add) == [True, False]


def test_a_test_carries_what_it_uses_of_the_file_and_no_more() -> None:
    source = "import math\nimport re\nTWO = 2\nONE = TWO - 1\ndef near(a, b): return math.isclose(a, b)\nOTHER = 5\n"
    code = code_spec_of_tests(source + "assert near(add(ONE, TWO), 3)\nassert add(OTHER, 0) == 5\n")
    assert code.tests[0].splitlines()[:3] == ["import math", "TWO = 2", "ONE = TWO - 1"]
    assert "re" not in code.tests[0].split()
    assert code.tests[1] == "OTHER = 5\nassert add(OTHER, 0) == 5"
    assert run_each(source + "assert near(add(ONE, TWO), 3)\nassert add(OTHER, 0) == 5\n", add=add) == [True, True]


def test_values_are_those_at_the_place_of_the_test() -> None:
    source = "x = 1\nassert add(x, 0) == 1\nx = 2\nassert add(x, 0) == 2\nx += 1\nassert add(x, 0) == 3\n"
    assert run_each(source, add=add) == [True, True, True]


def test_changes_of_what_a_test_uses_are_made_before_it() -> None:
    source = "import random\nrandom.seed(1)\nxs = [random.random()]\nxs.append(3)\nassert add(xs[1], 0) == 3\n"
    assert "random.seed(1)" in code_spec_of_tests(source).tests[0]
    assert run_each(source, add=add) == [True]


def test_functions_named_test_are_run() -> None:
    source = (
        "def test_sum():\n    assert add(1, 2) == LATER\ndef test_zero(n=0):\n    assert add(n, n) == 1\nLATER = 3\n"
    )
    assert run_each(source, add=add) == [True, False]


def test_a_loop_of_asserts_is_one_test() -> None:
    assert run_each("for n in range(3):\n    assert add(n, 0) == n\n", add=add) == [True]


@pytest.mark.parametrize(
    ("end", "text"), [("", "Write a function add(x)."), ("check(add)\n", ""), ("check(candidate=add)\n", "")]
)
def test_a_check_is_given_the_function(end: str, text: str) -> None:
    source = "METADATA = {}\ndef check(candidate):\n    assert candidate(1, 2) == 3\n" + end
    assert code_spec_of_tests(source, text).functions == ("add",)
    assert run_each(source, text, add=add) == [True]


def test_methods_of_test_cases_are_run_with_their_setup() -> None:
    source = (
        "import unittest\nclass Sums(unittest.TestCase):\n    def setUp(self): self.one = 1\n"
        "    def test_right(self): self.assertEqual(add(self.one, 1), 2)\n"
        "    def test_wrong(self): self.assertEqual(add(self.one, 1), 3)\n"
        "class TestMore:\n    def test_it(self): assert add(0, 0) == 0\n"
        "if __name__ == '__main__':\n    unittest.main()\n"
    )
    assert run_each(source, add=add) == [True, False, True]


@pytest.mark.parametrize(
    "source",
    [
        "from solution import add\nassert add(1, 2) == 3",
        "from .solution import *\nassert add(1, 2) == 3",
        "from solution import add as plus\nassert plus(1, 2) == 3",
        "import solution\nassert solution.add(1, 2) == 3",
        "import solution as s, math\nassert math.isclose(s.add(1, 2), 3)",
        "def test_it():\n    from my.solution import add\n    assert add(1, 2) == 3",
    ],
)
def test_an_unknown_module_is_the_program_that_is_asked_for(source: str) -> None:
    assert code_spec_of_tests(source).functions == ("add",)
    assert run_each(source, add=add) == [True]


def test_a_function_that_the_problem_names_is_asked_for_though_the_tests_define_it() -> None:
    code = code_spec_of_tests("def add(a, b): ...\nassert add(1, 2) == 3", "Write a function add(a, b).")
    assert (code.functions, code.tests) == (("add",), ("assert add(1, 2) == 3",))


def test_the_function_that_the_problem_names_comes_first() -> None:
    assert code_spec_of_tests("assert mul(add(1, 2), 1) == 3", "a function add(a, b)").functions == ("add", "mul")


def test_a_problem_that_is_the_beginning_of_a_program_is_the_prefix() -> None:
    begun = 'import math\n\ndef add(a, b):\n    """Adds."""'
    assert code_spec_of_tests("assert add(1, 2) == 3", begun).prefix == begun + "\n"
    assert code_spec_of_tests("assert add(1, 2) == 3", "Write add.").prefix == ""


# ------------------------------------------------------------------------------------------------- what is no test


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("assert add(1, 2) ==", "line 1 of t.py is not Python"),
        ("x = 1\n  assert add(1)", "line 2 of t.py is not Python"),
        ("assert add(1)\0", "is not Python"),
        ("def test_it():\n    x = 1\n    global x\n    assert add(x)", "line 3 of t.py is not Python"),
        ("return add(1)", "line 1 of t.py is not Python"),
        ("", "calls nothing that is still to be written"),
        ("assert len([]) == 0", "calls nothing that is still to be written"),
        ("def add(a, b): return a\nassert add(1, 2) == 3", "calls nothing that is still to be written"),
        ("print(add(1, 2))", "t.py holds no test; write `assert add"),
        ("assert add(1, 2) == RESULT", "uses RESULT, which it does not define"),
        ("import pytest\nassert add(1, 2) == 3", "line 1 of t.py imports pytest; tests run in a sandbox"),
        ("def test_it(tmp_path):\n    assert add(1, 2) == 3", "test_it in t.py takes arguments or is async"),
        ("async def test_it():\n    assert add(1, 2) == 3", "test_it in t.py takes arguments or is async"),
        ("assert add(1)\n" * 100_000, "is longer than 1,000,000 characters"),
        ("assert " + "(" * 500 + "add(1)" + ")" * 500, "t.py"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(source: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        code_spec_of_tests(source, name="t.py")


# ------------------------------------------------------------------------------------------------- the problem alone


@pytest.mark.parametrize(
    ("text", "functions"),
    [
        ("Write a function add(a, b) that adds.", ("add",)),
        ("Write a function named add, and one called `sub`.", ("add", "sub")),
        ("Implement `add(a, b)`.", ("add",)),
        ("def add(a, b):\n    '''Adds.'''", ("add",)),
        ("Write a function that adds two numbers (a and b).", ()),
        ("A function called if is no function", ()),
        ("", ()),
    ],
)
def test_functions_are_found_where_a_text_names_them(text: str, functions: tuple[str, ...]) -> None:
    assert functions_in(text) == functions


def test_a_problem_alone_gives_its_function_and_the_examples_that_it_shows() -> None:
    code = code_spec_of_text("Write a function add(a, b). For example, add(1, 2) returns 3.")
    assert (code.functions, code.prefix, code.tests) == (("add",), "", ("assert add(1, 2) == 3",))
    begun = 'def add(a, b):\n    """Adds.\n    >>> add(1, 2)\n    3\n    """\n'
    assert (code_spec_of_text(begun).prefix, code_spec_of_text(begun).tests) == (begun, ("assert add(1, 2) == 3",))
    with pytest.raises(UsageError, match="the problem names no function; name it as in"):
        code_spec_of_text("Add two numbers.")


lines = st.sampled_from(
    ["import math", "from solution import g as h", "import other", "x = 1", "x += y", "assert f(x) == 1", "assert h(2)",
     "def test_a():", "    assert f(1)", "class T(unittest.TestCase):", "    def test_b(self): f(2)", "check(f)",
     "f(3)", "def check(candidate):", "for i in [1]:", "y = lambda z: z", "del x", "global x", "return 1",
     "other.f(1)", "\0", "with a as b:", "try:", "[f(i) for i in range(3)]", "x: int = f(2)"]
)  # fmt: skip


@unhurried
@given(source=st.lists(lines | st.text(max_size=8), max_size=8).map("\n".join), text=st.text(max_size=20))
def test_any_file_gives_tests_that_are_python_or_a_usage_error(source: str, text: str) -> None:
    try:
        code = code_spec_of_tests(source, text)
    except UsageError:
        return
    assert code.tests
    for test in code.tests:
        ast.parse(test)


def test_tests_do_not_see_each_others_values() -> None:
    solution = SimpleNamespace(calls=0)

    def count(step: int) -> int:
        solution.calls += step
        return solution.calls

    assert run_each("a = count(1)\nassert a == 1\nb = count(1)\nassert b == 2\n", count=count) == [True, True]


def test_a_real_sandbox_runs_each_form_of_test() -> None:
    source = (
        "import unittest\nfrom solution import add\nassert add(1, 2) == 3\n"
        "def test_more():\n    assert add(0, 0) == 0\n"
        "class Sums(unittest.TestCase):\n    def test_one(self): self.assertEqual(add(1, 0), 1)\n"
        "def check(candidate):\n    assert candidate(2, 2) == 4\n"
    )
    code = code_spec_of_tests(source)
    with TrialPool(num_workers=1) as pool:
        right = pool.run(Trial("def add(a, b):\n    return a + b\n", code.functions, code.tests, ends_early=False))
        wrong = pool.run(Trial("def add(a, b):\n    return 3\n", code.functions, code.tests, ends_early=False))
    assert (right.num_passed, right.num_tests) == (4, 4)
    assert [each.status for each in wrong.tested] == ["passed", "failed", "failed", "failed"]
