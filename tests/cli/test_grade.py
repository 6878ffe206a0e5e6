"""`edgesearch grade`: the verdict is the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.answer import equivalent

Run = Callable[..., Result]


def test_equal_answers_exit_with_0(run: Run) -> None:
    result = run("grade", "1/2", "0.5")
    assert (result.exit_code, result.stdout) == (0, "equal\n")


def test_different_answers_exit_with_1(run: Run) -> None:
    result = run("grade", "1/2", "0.6")
    assert (result.exit_code, result.stdout) == (1, "different\n")


def test_json_tells_what_was_compared(run: Run) -> None:
    result = run("grade", "--json", "1/2", "0.6")
    assert json.loads(result.stdout) == {"schema_version": 1, "equal": False, "target": "1/2", "answer": "0.6"}
    assert result.exit_code == 1


@pytest.mark.parametrize(("target", "answer", "exit_code"), [("-5", "-5.0", 0), ("-5", "5", 1), ("--", "-5", 2)])
def test_negative_numbers_are_answers_not_options(run: Run, target: str, answer: str, exit_code: int) -> None:
    assert run("grade", target, answer).exit_code == exit_code


@pytest.mark.parametrize("args", [[], ["1"], ["1", "2", "3"]])
def test_other_than_two_answers_is_wrong_usage(run: Run, args: list[str]) -> None:
    assert run("grade", *args).exit_code == 2


def test_answers_that_are_no_unicode_are_compared_and_printed(run: Run) -> None:
    result = run("grade", "--json", "\udce9", "2")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["target"] == "\ufffd"


ANSWERS = st.sampled_from(["1/2", "0.5", "-3", "\\frac{1}{2}", "x", "42.0", "42", " ", "1,000", "1000"])


@given(target=ANSWERS, answer=ANSWERS)
def test_the_command_agrees_with_the_library(target: str, answer: str) -> None:
    from click.testing import CliRunner
    from fake_pipeline import command

    result = CliRunner().invoke(command(), ["grade", "--", target, answer])  # type: ignore[arg-type]
    assert result.exit_code == (0 if equivalent(target, answer) else 1)
