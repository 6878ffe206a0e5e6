"""Tests that a model wrote: what is read of a text, and what is not."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.verifiers.written_tests import MAX_TESTS, read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" add(1, 2) == 3\nassert add(2, 2) == 4\n", ("assert add(1, 2) == 3", "assert add(2, 2) == 4")),
        ("assert add(1, 2) == 3", ("assert add(1, 2) == 3",)),
        ("Sure!\n```python\nassert add(1, 2) == 3\nassert add(0,0)==0\n```\nThese assert that it adds.", None),
        ("def test_add():\n    assert add(1, 2) == 3\n\n    assert add(0, 0) == 0\n", None),
        ("add(1, 2) == 3, 'small'\nassert add(0, 0) == 0, \"none\"", None),
        ("\n    add(1, 2) == 3\nassert \n    add(0, 0) == 0\n", None),
        ("add(1, 2) == 3; assert add(0, 0) == 0; assert add(", None),
        ("add(1, 2) == 3 assert add(0, 0) == 0", None),
        ("add(1,\n    2) == 3  # small\nassert (add(0, 0)\n    == 0)", None),
        ("add(1, 2) == 3\nprint('ok')\nassert add(0, 0) == 0", None),
        ("add(1, 2) == 3\nassert add(1, 2)  ==  3\nassert add(0, 0) == 0", None),
        ('add("assert x", 1) == 2', ("assert add('assert x', 1) == 2",)),
        ("assert sum([add(1, 2)]) == 3", ("assert sum([add(1, 2)]) == 3",)),
    ],
)
def test_the_asserts_that_call_the_function_are_read(text: str, expected: tuple[str, ...] | None) -> None:
    assert read(text, "add") == (expected or ("assert add(1, 2) == 3", "assert add(0, 0) == 0"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "____ == ____",
        "add == 3",
        "plus(1, 2) == 3",
        "math.add(1, 2) == 3",
        "add(1, 2) == ",
        "add(1, 2 == 3",
        "(add(1, 2) == 3, 'always true')",
        "assert that add(1, 2) is 3",
        "add(1, 2) == '\ud800'",
        "add(1, 2) == 3\x00",
        "add(" + "(" * 1500,
        "add(1) == " + "-" * 1900 + "1",
        "add(1) == [" + "1, " * 2000 + "]",
    ],
)
def test_what_is_no_test_of_the_function_is_not(text: str) -> None:
    assert read(text, "add") == ()


def test_the_first_of_a_text_are_taken() -> None:
    text = "\n".join(f"assert add({number}, 0) == {number}" for number in range(20))
    assert read(text, "add") == tuple(f"assert add({number}, 0) == {number}" for number in range(MAX_TESTS))


def test_odd_spellings_that_python_warns_of_are_read_in_silence() -> None:
    assert read("assert add('\\d', 1) is 3", "add") == ("assert add('\\\\d', 1) is 3",)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["assert ", "add(", ")", "1", " == ", "\n", "'", '"""', "\\", "(", "[", "#", "é", " "]))
)
def test_any_text_is_read_as_tests_that_stand_alone(pieces: list[str]) -> None:
    for test in read("".join(pieces), "add"):
        (statement,) = ast.parse(test).body
        assert isinstance(statement, ast.Assert)
        assert read(test, "add") == (test,)
