"""A strategy's own settings from text."""

from dataclasses import dataclass, fields

import pytest

from edgesearch import search
from edgesearch.errors import UsageError
from edgesearch.search.base import Strategy
from edgesearch.search.options import described, parse_options


@dataclass(frozen=True, slots=True)
class Own:
    depth: int = 3
    heat: float = 0.5
    is_odd: bool = False
    word: str = "Wait"

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ValueError(f"depth must be >= 1, not {self.depth}")


STRATEGY = Strategy("own", lambda root, config, options: iter(()), "best", False, False, "a test", Own)


def test_nothing_given_gives_the_defaults():
    assert parse_options(STRATEGY, {}) == Own()


def test_text_is_read_as_the_type_of_its_field():
    given = {"depth": "7", "heat": "1e-1", "is_odd": "True", "word": "Hmm = so"}
    assert parse_options(STRATEGY, given) == Own(7, 0.1, True, "Hmm = so")


def test_values_are_taken_as_they_are():
    assert parse_options(STRATEGY, {"depth": 7, "heat": 2, "is_odd": True}) == Own(7, 2.0, True)


@pytest.mark.parametrize("text", ["2.5", "x", "", "nan", "inf", "true"])
def test_what_is_no_whole_number_is_refused_by_name(text):
    with pytest.raises(UsageError, match=r"^option depth of strategy own must be a whole number, not '"):
        parse_options(STRATEGY, {"depth": text})


def test_a_truth_value_is_no_number_and_a_number_no_text():
    with pytest.raises(UsageError, match=r"heat of strategy own must be a number, not True"):
        parse_options(STRATEGY, {"heat": True})
    with pytest.raises(UsageError, match=r"word of strategy own must be text, not 3"):
        parse_options(STRATEGY, {"word": 3})


def test_what_is_neither_true_nor_false_is_refused():
    with pytest.raises(UsageError, match=r"is_odd of strategy own must be true or false, not 'maybe'"):
        parse_options(STRATEGY, {"is_odd": "maybe"})


def test_a_value_out_of_its_range_is_refused_with_the_rule():
    with pytest.raises(UsageError, match=r"^strategy own: depth must be >= 1, not 0$"):
        parse_options(STRATEGY, {"depth": 0})


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"^strategy own has no option 'width'; it has depth, heat, is_odd, word$"):
        parse_options(STRATEGY, {"width": 1})
    with pytest.raises(UsageError, match=r"^strategy greedy has no option 'width'; it has none$"):
        parse_options(search.strategy("greedy"), {"width": 1})


@pytest.mark.parametrize("name", search.names())
def test_every_strategy_s_options_can_be_given_as_text_and_come_back(name):
    strategy = search.strategy(name)
    defaults = strategy.options()
    assert {field.type for field in fields(defaults)} <= {bool, int, float, str}
    given = {key: str(value) for key, value in described(defaults).items()}
    assert parse_options(strategy, given) == defaults
