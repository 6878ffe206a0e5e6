"""Problems that ask for a program, as a user gives them: a text, and tests or examples."""

import pytest

from edgesearch import code_problem
from edgesearch.errors import UsageError
from edgesearch.tasks.code_problem import MAX_SHOWN_TESTS

SIGNATURE = '''def add(a: int, b: int) -> int:
    """Adds two numbers.

    >>> add(1, 2)
    3
    """
'''


def test_given_tests_say_what_is_asked_for_and_the_solver_is_shown_them():
    problem = code_problem("Write something that adds.", tests="assert add(1, 2) == 3", id="7")
    assert problem.code is not None
    assert problem.code.functions == ("add",)
    assert problem.code.tests == ("assert add(1, 2) == 3",)
    assert problem.id == "7"
    assert problem.text.startswith("Write something that adds.")
    assert "assert add(1, 2) == 3" in problem.text
    assert "```python" in problem.text


def test_of_many_or_long_tests_the_solver_is_shown_the_first_and_all_are_run():
    many = code_problem("Write add.", tests="\n".join(f"assert add({n}, 0) == {n}" for n in range(100)))
    assert many.text.count("assert") == MAX_SHOWN_TESTS
    long = code_problem("Write add.", tests=f"assert add('{'x' * 5000}', '') == ''")
    assert "must pass" not in long.text
    assert many.code is not None
    assert long.code is not None
    assert (len(many.code.tests), len(long.code.tests)) == (100, 1)


def test_a_signature_with_a_docstring_gives_the_function_its_beginning_and_its_tests():
    code = code_problem(SIGNATURE).code
    assert code is not None
    assert (code.functions, code.prefix, len(code.tests)) == (("add",), SIGNATURE, 1)


def test_a_text_that_names_a_function_needs_no_tests():
    code = code_problem("Write a function add(a, b) that adds.").code
    assert code is not None
    assert (code.functions, code.tests) == (("add",), ())


def test_a_function_that_is_named_beside_the_text_comes_first():
    code = code_problem("Write it.", function="add").code
    assert code is not None
    assert code.functions == ("add",)
    two = code_problem("Write both.", tests="assert double(2) == add(2, 2)", function="add").code
    assert two is not None
    assert two.functions == ("add", "double")
    whole = code_problem(SIGNATURE, function="add").code
    assert whole is not None
    assert whole.prefix == SIGNATURE


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "names no function"),
        ({"tests": "assert 1 +"}, "line 1 of mine is not Python"),
        ({"tests": ""}, "mine calls nothing"),
        ({"tests": "assert add(1) == 1", "function": "double"}, "mine calls add, and not double"),
        ({"function": "add it"}, "must be a Python name, not 'add it'"),
    ],
)
def test_what_says_nothing_of_a_function_is_a_usage_error(options, said):
    with pytest.raises(UsageError, match=said):
        code_problem("Write it.", name="mine", **options)
