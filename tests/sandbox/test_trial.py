"""What a prefix gives to the tests of its programs."""

import ast

import pytest

from edgesearch.sandbox.trial import setup_of


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "import math\n\n\ndef helper(x):\n    return x\n",
        'def add(a, b):\n    """Adds."""\n',
        'def add(a):\n    """A \\d in a docstring."""\n',
    ],
)
def test_a_prefix_that_is_python_is_its_own_setup(prefix: str):
    assert setup_of(prefix) == prefix


@pytest.mark.parametrize(
    "prefix",
    [
        "import math\n\n\ndef add(a, b):\n",
        "def add(\n    a,\n    b,\n):\n",
        "def add(a, b):\n    # adds them\n",
        "class A:\n    def add(self):\n",
    ],
)
def test_a_function_that_is_only_begun_gets_a_body(prefix: str):
    setup = setup_of(prefix)
    assert setup.startswith(prefix)
    ast.parse(setup)


@pytest.mark.parametrize("prefix", ["def add(a, b", "it is not Python", "\0", "(" * 10_000])
def test_what_no_body_makes_python_stays_as_it_is(prefix: str):
    assert setup_of(prefix) == prefix
