"""Strategies by name."""

from __future__ import annotations

import pytest

from edgesearch import search
from edgesearch.errors import UsageError
from edgesearch.search.base import Expand, SearchConfig
from edgesearch.types import Beam, CodeSpec, Prompt


@pytest.mark.parametrize("name", search.names())
def test_every_strategy_has_its_name_a_summary_and_a_first_request(name: str) -> None:
    strategy = search.strategy(name)
    assert strategy.name == name
    assert search.summaries()[name] == strategy.summary
    assert strategy.summary
    assert "\n" not in strategy.summary
    root = Beam(Prompt("2 + 2?", code=CodeSpec(("add",))))
    request = next(strategy.run(root, SearchConfig(n=4, m=2), strategy.options()))
    assert isinstance(request, Expand)
    assert {id(beam) for beam in request.beams if not beam.prompt.asks_tests} == {id(root)}
    assert any(beam.prompt.asks_tests for beam in request.beams) == strategy.draws_tests
    assert request.is_to_end or strategy.is_stepwise


def test_all_strategies_but_those_that_draw_tests_work_on_any_problem() -> None:
    assert set(search.names()) - set(search.general_names()) == {"codet"}


def test_the_strategies_choose_their_answer_as_they_say() -> None:
    found = {name: (search.strategy(name).selection, search.strategy(name).needs_scores) for name in search.names()}
    assert found["greedy"] == ("best", False)
    assert found["majority"] == ("majority", False)
    assert found["best_of_n"] == ("best", True)
    assert found["weighted"] == ("weighted", True)
    assert found["beam"] == ("best", True)


def test_a_misspelled_strategy_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(
        UsageError, match=r"^unknown strategy 'baem'; did you mean beam\? Known: auto, greedy, .*majority"
    ):
        search.strategy("baem")


def test_an_unknown_strategy_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"^unknown strategy 'xyz'\. Known: auto, .*beam"):
        search.strategy("xyz")
