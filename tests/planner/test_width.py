"""The widest search whose solutions finish in time, one greedy draft where not even two beams do."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_parts import SLOW, slower
from test_predict import OUTLOOKS

from edgesearch import search
from edgesearch.errors import UsageError
from edgesearch.planner.predict import Outlook
from edgesearch.planner.predict import predict_s as predict_config_s
from edgesearch.planner.width import SHARE, WIDTHS, Plan, plan
from edgesearch.search.base import SearchConfig, Strategy

GREEDY, MAJORITY, BEAM = map(search.strategy, ("greedy", "majority", "beam"))


def planned(budget_s: float, *, n: int = 64, m: int = 4, outlook: Outlook = SLOW, strategy: Strategy = BEAM) -> Plan:
    return plan(strategy, GREEDY, outlook, budget_s=budget_s, n=n, m=m, aggregator="last")


def predict_s(strategy: Strategy, n: int, outlook: Outlook = SLOW) -> float:
    return predict_config_s(strategy, SearchConfig(n=n, m=1), strategy.options(), outlook)


def test_a_width_that_the_strategy_cannot_run_with_is_passed_over() -> None:
    def at_least_8(config: SearchConfig, options: object) -> None:
        if config.n < 8:
            raise ValueError(f"n must be at least 8, not {config.n}")

    picky = dataclasses.replace(MAJORITY, check=at_least_8)
    assert planned(1000, strategy=picky, n=16).config.n == 16
    assert planned(predict_s(MAJORITY, 8), strategy=picky, n=16).strategy.name == "greedy"
    with pytest.raises(UsageError, match=r"^strategy majority: n must be at least 8, not 5$"):
        planned(1000, strategy=picky, n=5)


@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_the_widest_that_should_end_within_its_share_of_the_budget(width: int) -> None:
    enough_s = predict_s(BEAM, width) / SHARE
    chosen = planned(enough_s * 1.001)
    assert (chosen.strategy.name, chosen.config.n, chosen.config.m) == ("beam", width, min(4, width))
    assert f"beam with n={width} should take" in chosen.reason
    assert planned(enough_s * 0.999).config.n == (width // 2 if width > 2 else 1)


def test_one_greedy_solution_is_drafted_where_even_two_beams_do_not_fit() -> None:
    chosen = planned(6)
    assert (chosen.strategy.name, chosen.config.n, chosen.config.m) == ("greedy", 1, 1)
    assert chosen.predicted_s == chosen.least_s == pytest.approx(4.5)
    assert chosen.reason == "one greedy solution should take 4.5 s; 6 s are not enough for a search"
    assert not chosen.has_safety_lane


@pytest.mark.parametrize("budget_s", [0.5, 6, 1e4])
def test_the_smallest_budget_that_makes_sense_is_told_whatever_was_granted(budget_s: float) -> None:
    assert planned(budget_s).least_s == pytest.approx(100 / 200 + 200 * 0.02)


@pytest.mark.parametrize("budget_s", [1e-6, 0.0, -1.0, float("-inf")])
def test_no_time_at_all_still_makes_a_plan(budget_s: float) -> None:
    assert planned(budget_s).strategy.name == "greedy"


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 100])
def test_n_is_a_limit_that_time_alone_does_not_raise(n: int) -> None:
    assert planned(1e4, n=n).config.n == n


def test_a_limit_between_two_widths_is_tried_first() -> None:
    assert planned(1e4, n=11).config.n == 11
    assert planned(predict_s(BEAM, 11) / SHARE * 0.999, n=11).config.n == 8


@pytest.mark.parametrize(("room", "width"), [(None, 11), (64, 11), (9, 9), (8, 8), (1, 1)])
def test_it_is_no_wider_than_there_is_room_for(room: int | None, width: int) -> None:
    made = plan(BEAM, GREEDY, SLOW, budget_s=1e4, n=11, m=4, aggregator="last", room=room)
    assert made.config.n == width


def test_settings_that_do_not_go_together_are_refused_also_where_there_is_no_room_for_them() -> None:
    dvts = search.strategy("dvts")
    with pytest.raises(UsageError, match=r"^strategy dvts: n must be a multiple of m"):
        plan(dvts, GREEDY, SLOW, budget_s=1e4, n=6, m=4, aggregator="last", room=4)


def test_children_are_limited_by_the_width() -> None:
    assert planned(1e4, n=2, m=8).config.m == 2


def test_a_strategy_that_does_not_branch_has_one_child_a_beam() -> None:
    assert planned(1e4, strategy=MAJORITY, m=4).config.m == 1


def test_greedy_is_planned_as_greedy_however_much_time_there_is() -> None:
    chosen = planned(1e4, strategy=GREEDY)
    assert (chosen.strategy.name, chosen.config.n, chosen.reason) == ("greedy", 1, "greedy was asked for")


def test_a_greedy_draft_runs_beside_a_search_that_fills_much_of_its_budget() -> None:
    predicted = predict_s(BEAM, 16)
    assert planned(predicted / 0.79, n=16).has_safety_lane
    assert planned(predicted / 0.36, n=16).has_safety_lane
    assert not planned(predicted / 0.34, n=16).has_safety_lane


def test_the_aggregator_is_passed_on() -> None:
    for budget_s in (1.0, 1e4):
        assert plan(BEAM, GREEDY, SLOW, budget_s=budget_s, n=4, m=2, aggregator="prod").config.aggregator == "prod"


def test_the_strategy_s_own_settings_are_part_of_the_prediction() -> None:
    thrice = dataclasses.replace(MAJORITY, rounds=lambda config, options: options)
    made = plan(thrice, GREEDY, SLOW, budget_s=1e4, n=4, m=1, aggregator="last", options=3.0)
    assert made.predicted_s > 2.5 * predict_s(MAJORITY, 4)


STRATEGIES = st.sampled_from([BEAM, MAJORITY])


@settings(deadline=None)
@given(OUTLOOKS, st.floats(0.01, 86400), st.floats(1, 50), st.integers(1, 250), STRATEGIES)
def test_more_time_never_makes_a_narrower_search(
    outlook: Outlook, budget_s: float, factor: float, n: int, strategy: Strategy
) -> None:
    short = planned(budget_s, n=n, outlook=outlook, strategy=strategy)
    long = planned(budget_s * factor, n=n, outlook=outlook, strategy=strategy)
    assert short.config.n <= long.config.n
    assert short.strategy.name in ("greedy", long.strategy.name)


@settings(deadline=None)
@given(OUTLOOKS, st.floats(0.01, 86400), st.floats(1, 50), st.integers(1, 250), STRATEGIES)
def test_a_slower_device_never_makes_a_wider_search(
    outlook: Outlook, budget_s: float, factor: float, n: int, strategy: Strategy
) -> None:
    late = slower(outlook, outlook.slowdown * factor)
    assert (
        planned(budget_s, n=n, outlook=late, strategy=strategy).config.n
        <= planned(budget_s, n=n, outlook=outlook, strategy=strategy).config.n
    )


@settings(deadline=None)
@given(OUTLOOKS, st.floats(0.01, 86400), st.integers(1, 250), st.integers(1, 64), STRATEGIES)
def test_a_plan_keeps_its_limits_and_its_promise(
    outlook: Outlook, budget_s: float, n: int, m: int, strategy: Strategy
) -> None:
    chosen = planned(budget_s, n=n, m=m, outlook=outlook, strategy=strategy)
    assert 1 <= chosen.config.m <= chosen.config.n <= n
    assert chosen.config.n in {1, n, *WIDTHS}
    if chosen.strategy is strategy:
        assert chosen.predicted_s <= SHARE * budget_s
        assert chosen.predicted_s == predict_s(strategy, chosen.config.n, outlook)
    else:
        assert predict_s(strategy, min(2, n), outlook) > SHARE * budget_s
