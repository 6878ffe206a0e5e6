"""The widest search whose solutions finish in time, one greedy draft where not even two beams do."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch import search
from edgesearch.engines.base import Pace
from edgesearch.errors import UsageError
from edgesearch.planner.width import WIDTHS, Plan, Speeds, plan
from edgesearch.planner.width import predict_s as predict_config_s
from edgesearch.search.base import SearchConfig, Strategy

GREEDY = search.strategy("greedy")
BEAM = search.strategy("beam")
MAJORITY = search.strategy("majority")
SLOW = Speeds(
    pace=Pace(((1, 0.02), (4, 0.03), (16, 0.07)), prefill_tokens_per_s=200),
    verify_s_per_token=0.0005,
    prompt_tokens=100,
    mean_solution_tokens=200,
    max_tokens=1024,
)
"""A 1B model on two cores: 50 tokens a second alone, 230 in a batch of 16."""


def planned(budget_s: float, *, n: int = 64, m: int = 4, speeds: Speeds = SLOW, strategy: Strategy = BEAM) -> Plan:
    return plan(strategy, GREEDY, speeds, budget_s=budget_s, n=n, m=m, aggregator="last")


def predict_s(strategy: Strategy, n: int, speeds: Speeds) -> float:
    return predict_config_s(strategy, SearchConfig(n=n, m=1), strategy.options(), speeds)


def test_a_strategy_whose_rounds_follow_each_other_lasts_as_many_times_as_long() -> None:
    twice = dataclasses.replace(MAJORITY, rounds=lambda config, options: 2.0)
    assert predict_s(twice, 16, SLOW) - 0.5 == pytest.approx(2 * (predict_s(MAJORITY, 16, SLOW) - 0.5))


def test_a_width_that_the_strategy_cannot_run_with_is_passed_over() -> None:
    def at_least_8(config: SearchConfig, options: object) -> None:
        if config.n < 8:
            raise ValueError(f"n must be at least 8, not {config.n}")

    picky = dataclasses.replace(MAJORITY, check=at_least_8)
    assert planned(1000, strategy=picky, n=16).config.n == 16
    assert planned(8, strategy=picky, n=16).strategy.name == "greedy"
    with pytest.raises(UsageError, match=r"^strategy majority: n must be at least 8, not 5$"):
        planned(1000, strategy=picky, n=5)


def test_a_prediction_adds_prefill_drawing_and_verifying() -> None:
    assert predict_s(GREEDY, 1, SLOW) == pytest.approx(100 / 200 + 200 * 0.02)
    assert predict_s(MAJORITY, 16, SLOW) == pytest.approx(100 / 200 + 1.6 * 200 * 0.07)
    assert predict_s(BEAM, 16, SLOW) == pytest.approx(100 / 200 + 1.6 * 200 * 0.07 + 0.0005 * (16 * 200 + 100))


def test_a_solution_is_never_expected_to_be_longer_than_its_limit() -> None:
    speeds = Speeds(SLOW.pace, 0.0, 100, mean_solution_tokens=200, max_tokens=150)
    assert predict_s(MAJORITY, 16, speeds) == pytest.approx(100 / 200 + 150 * 0.07)


@pytest.mark.parametrize(("budget_s", "width"), [(200, 64), (60, 32), (32, 16), (20, 8), (14, 4), (12, 2)])
def test_more_time_makes_a_wider_search(budget_s: float, width: int) -> None:
    chosen = planned(budget_s)
    assert (chosen.strategy.name, chosen.config.n, chosen.config.m) == ("beam", width, min(4, width))
    assert chosen.predicted_s <= 0.8 * budget_s
    assert f"beam with n={width} should take" in chosen.reason


def test_one_greedy_solution_is_drafted_where_even_two_beams_do_not_fit() -> None:
    chosen = planned(6)
    assert (chosen.strategy.name, chosen.config.n, chosen.config.m) == ("greedy", 1, 1)
    assert chosen.predicted_s == pytest.approx(4.5)
    assert chosen.reason == "one greedy solution should take 4.5 s; 6 s are not enough for a search"
    assert not chosen.has_safety_lane


@pytest.mark.parametrize("budget_s", [1e-6, 0.0, -1.0])
def test_no_time_at_all_still_makes_a_plan(budget_s: float) -> None:
    assert planned(budget_s).strategy.name == "greedy"


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 100])
def test_n_is_a_limit_that_time_alone_does_not_raise(n: int) -> None:
    assert planned(1e4, n=n).config.n == n


def test_a_limit_between_two_widths_is_tried_first() -> None:
    assert planned(1e4, n=11).config.n == 11
    assert planned(20, n=11).config.n == 8


def test_children_are_limited_by_the_width() -> None:
    assert planned(1e4, n=2, m=8).config.m == 2


def test_a_strategy_that_does_not_branch_has_one_child_a_beam() -> None:
    assert planned(1e4, strategy=MAJORITY, m=4).config.m == 1


def test_greedy_is_planned_as_greedy_however_much_time_there_is() -> None:
    chosen = planned(1e4, strategy=GREEDY)
    assert (chosen.strategy.name, chosen.config.n, chosen.reason) == ("greedy", 1, "greedy was asked for")


def test_a_greedy_draft_runs_beside_a_search_that_fills_much_of_its_budget() -> None:
    predicted = predict_s(BEAM, 16, SLOW)
    assert planned(predicted / 0.79, n=16).has_safety_lane
    assert planned(predicted / 0.36, n=16).has_safety_lane
    assert not planned(predicted / 0.34, n=16).has_safety_lane


def test_the_aggregator_is_passed_on() -> None:
    for budget_s in (1.0, 1e4):
        assert plan(BEAM, GREEDY, SLOW, budget_s=budget_s, n=4, m=2, aggregator="prod").config.aggregator == "prod"


SPEEDS = st.builds(
    lambda first, more, prefill, verify, prompt, mean, longest: Speeds(
        Pace(((1, first), (4, first + more), (16, first + 5 * more)), prefill), verify, prompt, mean, longest
    ),
    st.floats(1e-4, 1),
    st.floats(0, 1),
    st.floats(1, 1e5),
    st.floats(0, 0.1),
    st.integers(0, 4000),
    st.integers(1, 2000),
    st.integers(1, 4000),
)


@settings(deadline=None)
@given(SPEEDS, st.floats(0.01, 86400), st.floats(1, 50), st.integers(1, 250), st.sampled_from([BEAM, MAJORITY]))
def test_more_time_never_makes_a_narrower_search(
    speeds: Speeds, budget_s: float, factor: float, n: int, strategy: Strategy
) -> None:
    short = planned(budget_s, n=n, speeds=speeds, strategy=strategy)
    long = planned(budget_s * factor, n=n, speeds=speeds, strategy=strategy)
    assert short.config.n <= long.config.n
    assert short.strategy.name in ("greedy", long.strategy.name)


@settings(deadline=None)
@given(SPEEDS, st.floats(0.01, 86400), st.integers(1, 250), st.integers(1, 64), st.sampled_from([BEAM, MAJORITY]))
def test_a_plan_keeps_its_limits_and_its_promise(
    speeds: Speeds, budget_s: float, n: int, m: int, strategy: Strategy
) -> None:
    chosen = planned(budget_s, n=n, m=m, speeds=speeds, strategy=strategy)
    assert 1 <= chosen.config.m <= chosen.config.n <= n
    assert chosen.config.n in {1, n, *WIDTHS}
    if chosen.strategy is strategy:
        assert chosen.predicted_s <= 0.8 * budget_s
        assert chosen.predicted_s == predict_s(strategy, chosen.config.n, speeds)
    else:
        assert predict_s(strategy, min(2, n), speeds) > 0.8 * budget_s


@settings(deadline=None)
@given(SPEEDS, st.integers(1, 249), st.sampled_from([BEAM, MAJORITY, GREEDY]))
def test_a_wider_search_is_never_predicted_to_be_faster(speeds: Speeds, n: int, strategy: Strategy) -> None:
    assert predict_s(strategy, n, speeds) <= predict_s(strategy, n + 1, speeds) * (1 + 1e-12)
