"""Visible tests: which examples of a docstring become tests, which never do, and that nothing raises."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.tasks.visible_tests import asserts, of_docstring, of_text, parsed

unhurried = settings(deadline=None)


def shown(*lines: str, signature: str = "f(x, y=0)", quotes: str = '"""') -> tuple[str, ...]:
    """The tests of a docstring of these lines."""
    doc = "".join(f"    {line}\n" for line in lines)
    return of_docstring(f"def {signature}:\n    {quotes}\n{doc}    {quotes}\n", "f")


# ------------------------------------------------------------------------------------------------- doctest examples


def test_an_example_with_its_value_becomes_an_assertion() -> None:
    assert shown(">>> f(2, 3)", "5", ">>> f([1], y='a')", "{'a': [1]}") == (
        "assert f(2, 3) == 5",
        "assert f([1], y='a') == {'a': [1]}",
    )


def test_a_value_on_several_lines_is_one_value() -> None:
    assert shown(">>> f(1)", "[1,", " 2]") == ("assert f(1) == [1, 2]",)


def test_a_float_may_be_off_by_a_millionth() -> None:
    assert shown(">>> f(1)", "0.5", ">>> round(f(2), 2)", "-1.25") == (
        "assert abs(f(1) - 0.5) <= 1e-06",
        "assert abs(round(f(2), 2) - -1.25) <= 1e-06",
    )


def test_an_equation_after_the_prompt_is_an_assertion() -> None:
    assert shown(">>> f(1) == 2", ">>> f(3) == None") == ("assert f(1) == 2", "assert f(3) == None")


def test_statements_before_an_example_are_its_setup() -> None:
    assert shown(">>> numbers = [3, 1]", ">>> f(numbers)", "[1, 3]") == (
        "numbers = [3, 1]\nassert f(numbers) == [1, 3]",
    )


@pytest.mark.parametrize(
    "lines",
    [
        (">>> f(1)",),  # None, or left out
        (">>> f(1)", "Traceback (most recent call last):", "ValueError: no"),
        (">>> f(1)", "..."),
        (">>> f(1)", "<object at 0x7f>"),
        (">>> f(1)", "hello world"),
        (">>> print(f(1))", "1"),
        (">>> g(1)", "1"),
        (">>> f(1) [1]",),
        (">>> f(1", "1"),
        (">>>f(1)", "1"),
    ],
)
def test_an_example_without_a_value_that_can_be_compared_is_left_out(lines: tuple[str, ...]) -> None:
    assert shown(*lines) == ()


# -------------------------------------------------------------------------------------------------- prose examples


@pytest.mark.parametrize(
    "line",
    [
        "f(1) == 3",
        "f(1) = 3",
        "f(1) => 3",
        "f(1) ==> 3",
        "f(1)==>3",
        "f(1) -> 3",
        "f(1) ➞ 3",
        "f(1) → 3   # because",
        "f(1) # => 3 (a reason)",
        "f(1)   # returns 3",
        "f(1) returns 3",
        "f(1) should return 3.",
        "* f(1) -> 3",
        "- f(1) -> 3",
        "1. f(1) -> 3",
        "For example, f(1) should be 3.",
        "for f(1) == 3",
        "assert f(1) => 3",
        "`f(1)` returns `3`.",
        "f(1) == 1 + 1 + 1 = 3",
        "f(1) -> 5 - 2 = 3",
        "For x = 1 the output should be 3.",
        "For x = 1, the steps will be 2 the output should be 3",
    ],
)
def test_a_call_and_what_it_gives_become_an_assertion(line: str) -> None:
    assert shown(line) == ("assert f(1) == 3",)


def test_values_may_be_spelled_as_in_other_languages() -> None:
    assert shown("f(1) => true", "f(2) => FALSE", "f(3) => null", "f(4) => 'a'") == (
        "assert f(1) == True",
        "assert f(2) == False",
        "assert f(3) == None",
        "assert f(4) == 'a'",
    )


def test_a_call_may_run_over_several_lines() -> None:
    assert shown("f([", "  [1, 2],", "  [3]", "], 1) == [(0, 0)]") == ("assert f([[1, 2], [3]], 1) == [(0, 0)]",)


def test_two_examples_on_a_line_are_two_tests() -> None:
    assert shown("f(1) == 2 and f(2) == 3.") == ("assert f(1) == 2", "assert f(2) == 3")


def test_input_and_output_blocks_become_calls_without_names() -> None:
    assert shown("Input: x = [1, 2], y = 3", "Output: [3]", signature="f(x, y)") == ("assert f([1, 2], 3) == [3]",)
    assert shown("Input: y = 1, x = 2", "Output: 3 # a sum", signature="f(x, y)") == ("assert f(2, 1) == 3",)
    assert shown("Input: [4, 2]", "Output: 2", signature="f(x)") == ("assert f([4, 2]) == 2",)


@pytest.mark.parametrize(
    "line",
    [
        "f(x) == 3",  # not a literal
        "f(1, 2, 3) == 3",  # more than it takes
        "f() == 3",  # less
        "f(z=1) == 3",
        "f(*[1]) == 3",
        "g(1) == 3",
        "my_f(1) == 3",
        "o.f(1) == 3",
        "2 * f(1) == 3",
        "g(f(1)) == 3",
        "not f(1) == 3",
        "if f(1) == 3",
        "f(1) == 3 * x",
        "f(1) == 3 times as much",
        "f(1) == 3, 4",
        "f(1) == [1][0]",
        "f(1) == [1",
        'f(1) == ""a"',
        "f(1) == three",
        "f(1) >= 3",
        "f(1) != 3",
        "f(1) should not return 3",
        "f(1) is small",
        "For z = 1 the output should be 3.",
        "Input: 1, 2, 3",
    ],
)
def test_what_is_not_clearly_an_example_is_left_out(line: str) -> None:
    assert shown(line) == ()


def test_a_sequence_that_the_docstring_defines_is_not_what_the_function_gives() -> None:
    assert shown("f(1) = 3", "f(n) = 1 + n / 2", "f(3) = [1, 3]") == ()
    assert shown("f(0) -> 0", "f(n) -> f(n-1) + 1", ">>> f(3)", "3") == ("assert f(0) == 0", "assert f(3) == 3")


def test_tests_come_in_the_order_of_the_docstring_and_once() -> None:
    assert shown("f(1) == 2", ">>> f(0)", "1", "", "f(1) == 2") == ("assert f(1) == 2", "assert f(0) == 1")


# ------------------------------------------------------------------------------------------------- which docstring


def test_line_breaks_that_a_docstring_forgets_to_escape_are_meant() -> None:
    assert shown('>>> f("a\\nb")', "'a\\nb'", ">>> f('')", "''") == (
        r"assert f('a\nb') == 'a\nb'",
        "assert f('') == ''",
    )
    assert shown(r'>>> f("a\\nb")', r"'a\\nb'") == (r"assert f('a\nb') == 'a\nb'",)


def test_only_the_docstring_of_the_function_itself_counts() -> None:
    prefix = 'def g(x):\n    """g(1) == 2 and f(1) == 9"""\n    return x\n\ndef f(x):\n    """f(1) == 2"""\n'
    assert of_docstring(prefix, "f") == ("assert f(1) == 2",)
    assert of_docstring('def f(x):\n    import math\n    """f(1) == 2"""\n', "f") == ("assert f(1) == 2",)
    assert of_docstring("def f(x):\n    return x\n", "f") == ()
    assert of_docstring("def f(x):\n    '''f(1) == 2", "f") == ()
    assert of_docstring("\0", "f") == of_docstring("", "f") == ()


def test_a_text_shows_tests_of_a_function_whose_signature_is_not_known() -> None:
    assert of_text("Write a function f(a, b). For example, f(1, 2) returns 3.", "f") == ("assert f(1, 2) == 3",)
    assert of_text("Input: 1\nOutput: 2", "f") == ()


def test_asserts_are_those_of_the_source_or_of_its_only_function() -> None:
    assert asserts("import math\nassert f(1)\nassert g(2) == 3, 'no'") == ("assert f(1)", "assert g(2) == 3, 'no'")
    assert asserts("def check(candidate):\n    assert f(1)\n    x = 2\n    assert f(x)\n") == (
        "assert f(1)",
        "assert f(x)",
    )
    assert asserts("assert f(") == ()


# ------------------------------------------------------------------------------------------------------- any text

pieces = st.sampled_from(
    [">>> ", "... ", "f", "f(", "f(1)", "(", ")", "[", "]", "'", '"', "\\", "\n", "    ", " == ", " => ", " -> ", "=",
     "1", "2.5", "True", "null", ".", ",", "and ", "returns ", "For x = ", " the output should be ", "Input: ",
     "Output: ", "#", "`", "x", "-", "1e999", "９", "'''"]
)  # fmt: skip
docstrings = st.lists(pieces | st.text(max_size=5), max_size=40).map("".join)


@unhurried
@given(text=docstrings, is_raw=st.booleans())
def test_any_docstring_gives_tests_that_compile_and_call_the_function(text: str, is_raw: bool) -> None:
    prefix = f'def f(x, y=0):\n    {"r" * is_raw}"""{text}\n    """\n'
    for test in (*of_docstring(prefix, "f"), *of_text(text, "f")):
        tree = parsed(test)
        assert tree is not None
        assert isinstance(tree.body[-1], ast.Assert)
        assert "f" in {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }


@unhurried
@given(
    arguments=st.lists(
        st.integers() | st.text() | st.lists(st.floats(allow_nan=False), max_size=3), min_size=1, max_size=2
    ),
    value=st.booleans() | st.none() | st.integers() | st.text() | st.lists(st.integers(), max_size=3),
    sign=st.sampled_from(["==", "=>", "->", "➞", "returns", "should return"]),
)
def test_an_example_that_is_written_out_is_read_back(arguments: list[object], value: object, sign: str) -> None:
    call = f"f({', '.join(map(repr, arguments))})"
    prefix = f"def f(x, y=0):\n    {f'{call} {sign} {value!r}'!a}\n"
    for test in of_docstring(prefix, "f"):
        exec(test, {"f": lambda *given: value if list(given) == arguments else "another call"})
