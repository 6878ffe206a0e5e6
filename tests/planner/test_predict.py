"""How long a search should last: exact where nothing is left to chance, and sane everywhere else."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_parts import SLOW, row, slower

from edgesearch import search
from edgesearch.budget import Budget, ManualClock
from edgesearch.driver import Driver
from edgesearch.engines.base import Pace
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.jobs import Job
from edgesearch.planner.predict import SLOWEST, Outlook, predict_row_s, predict_s
from edgesearch.planner.profile import Profile
from edgesearch.search.base import SearchConfig, Strategy
from edgesearch.types import Prompt, Sampling

GREEDY, MAJORITY, BEAM, WEIGHTED = map(search.strategy, ("greedy", "majority", "beam", "weighted"))
PREFILL_S = 100 / 200


def seconds(strategy: Strategy, n: int, outlook: Outlook = SLOW, beside: int = 0) -> float:
    return predict_s(strategy, SearchConfig(n=n, m=1), strategy.options(), outlook, beside=beside)


OUTLOOKS = st.builds(
    lambda first, more, prefill, verify, prompt, mean, longest, slowdown: Outlook(
        Profile.of_pace(Pace(((1, first), (4, first + more), (16, first + 5 * more)), prefill), verify),
        prompt,
        mean,
        max(1.0, mean / 8),
        longest,
        slowdown,
    ),
    st.floats(1e-4, 1),
    st.floats(0, 1),
    st.floats(1, 1e5),
    st.floats(0, 0.1),
    st.integers(0, 4000),
    st.integers(1, 2000),
    st.integers(1, 4000),
    st.floats(0.1, 10),
)
STRATEGIES = st.sampled_from([BEAM, MAJORITY, WEIGHTED, GREEDY])


# -- what it is made of ------------------------------------------------------------------------------------------------


def test_one_solution_takes_its_prompt_and_a_pass_for_each_token() -> None:
    assert seconds(GREEDY, 1) == pytest.approx(PREFILL_S + 200 * 0.02)


def test_a_batch_lasts_as_long_as_its_longest_solution_and_grows_narrow_on_the_way() -> None:
    passes, width = SLOWEST * 200, 16 / SLOWEST
    assert seconds(MAJORITY, 16) == pytest.approx(PREFILL_S + passes * SLOW.pass_s(width))


def test_verifying_comes_on_top_the_prompt_included() -> None:
    assert seconds(BEAM, 16) - seconds(MAJORITY, 16) == pytest.approx(0.0005 * (16 * 200 + 100))


def test_a_stepwise_search_calls_the_verifier_at_each_step_and_others_when_solutions_have_ended() -> None:
    outlook = dataclasses.replace(SLOW, profile=dataclasses.replace(SLOW.profile, verify_call_s=1.0))
    assert seconds(BEAM, 16, outlook) - seconds(BEAM, 16) == pytest.approx(SLOWEST * 200 / 20)
    assert seconds(WEIGHTED, 16, outlook) - seconds(WEIGHTED, 16) == pytest.approx(16 * 200 / 1024)
    assert seconds(WEIGHTED, 2, outlook) - seconds(WEIGHTED, 2) == pytest.approx(1.0)  # one call at least
    assert seconds(MAJORITY, 16, outlook) == seconds(MAJORITY, 16)


def test_a_strategy_whose_rounds_follow_each_other_lasts_as_many_times_as_long() -> None:
    twice = dataclasses.replace(MAJORITY, rounds=lambda config, options: 2.0)
    assert seconds(twice, 16) - PREFILL_S == pytest.approx(2 * (seconds(MAJORITY, 16) - PREFILL_S))


def test_a_prompt_that_was_read_costs_nothing_again() -> None:
    again = dataclasses.replace(SLOW, is_prompt_read=True)
    assert seconds(MAJORITY, 16) - seconds(MAJORITY, 16, again) == pytest.approx(PREFILL_S)
    assert seconds(BEAM, 16) - seconds(BEAM, 16, again) == pytest.approx(PREFILL_S + 0.0005 * 100)


def test_a_solution_is_never_expected_to_be_longer_than_its_limit() -> None:
    short = dataclasses.replace(SLOW, max_tokens=150)
    assert seconds(MAJORITY, 16, short) == pytest.approx(PREFILL_S + 150 * 0.07)
    assert seconds(GREEDY, 1, short) == pytest.approx(PREFILL_S + 150 * 0.02)


def test_drafts_beside_it_make_each_pass_wider_and_no_pass_more() -> None:
    width = 4 / SLOWEST
    assert seconds(MAJORITY, 4, beside=8) == pytest.approx(PREFILL_S + SLOWEST * 200 * SLOW.pass_s(width + 8))


def test_longer_contexts_make_slower_passes_where_the_profile_says_so() -> None:
    profile = dataclasses.replace(SLOW.profile, context_s=((1, 1e-4),))
    outlook = dataclasses.replace(SLOW, profile=profile)
    middle = 100 + 200 / 2
    assert seconds(GREEDY, 1, outlook) == pytest.approx(PREFILL_S + 200 * (0.02 + 1e-4 * middle))


def test_what_was_measured_of_a_setting_says_its_passes_and_their_width() -> None:
    measured = dataclasses.replace(row("beam", 16, 0.5), decode_passes=300.0, decoded_tokens=3000.0)
    measured = dataclasses.replace(measured, verifier_calls=0.0, verified_tokens=0.0)
    assert predict_row_s(measured, SLOW) == pytest.approx(PREFILL_S + 300 * SLOW.pass_s(10))
    judged = dataclasses.replace(measured, verified_tokens=3000.0, verifier_calls=20.0)
    assert predict_row_s(judged, SLOW) - predict_row_s(measured, SLOW) == pytest.approx(0.0005 * 3100)


@pytest.mark.parametrize("slowdown", [0.0, -1.0, float("nan")])
def test_a_slowdown_that_is_none_is_refused(slowdown: float) -> None:
    with pytest.raises(ValueError, match="slowdown must be above 0"):
        slower(SLOW, slowdown)


# -- whatever the device -----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(OUTLOOKS, st.integers(1, 249), STRATEGIES)
def test_a_wider_search_is_never_predicted_to_be_faster(outlook: Outlook, n: int, strategy: Strategy) -> None:
    assert seconds(strategy, n, outlook) <= seconds(strategy, n + 1, outlook) * (1 + 1e-9)


@settings(deadline=None)
@given(OUTLOOKS, st.integers(1, 250), st.floats(1, 10), STRATEGIES)
def test_longer_solutions_are_never_predicted_to_be_faster(
    outlook: Outlook, n: int, factor: float, strategy: Strategy
) -> None:
    longer = dataclasses.replace(outlook, mean_solution_tokens=outlook.mean_solution_tokens * factor)
    assert seconds(strategy, n, outlook) <= seconds(strategy, n, longer) * (1 + 1e-9)


@settings(deadline=None)
@given(OUTLOOKS, st.integers(1, 250), st.integers(0, 100), STRATEGIES)
def test_drafts_beside_it_never_make_a_search_faster(outlook: Outlook, n: int, beside: int, strategy: Strategy) -> None:
    assert seconds(strategy, n, outlook) <= seconds(strategy, n, outlook, beside=beside) * (1 + 1e-9)


@settings(deadline=None)
@given(OUTLOOKS, st.integers(1, 250), st.floats(0.1, 10), STRATEGIES)
def test_on_a_device_that_is_twice_as_slow_all_takes_twice_as_long(
    outlook: Outlook, n: int, factor: float, strategy: Strategy
) -> None:
    one = slower(outlook, 1.0)
    assert seconds(strategy, n, slower(one, factor)) == pytest.approx(factor * seconds(strategy, n, one))
    measured = row("beam", n, 0.5)
    assert predict_row_s(measured, slower(one, factor)) == pytest.approx(factor * predict_row_s(measured, one))


# -- against what it then takes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3, 16])
@pytest.mark.parametrize("limit", [7, 50])
def test_where_all_solutions_reach_their_limit_the_prediction_is_what_it_takes(n: int, limit: int) -> None:
    clock = ManualClock()
    engine = ScriptedEngine(lambda beam, seed: "on and " * 100, clock=clock, pass_s=0.25)
    profile = Profile.of_pace(engine.pace, 0.0)
    outlook = Outlook(profile, 6, mean_solution_tokens=200, mean_step_tokens=10, max_tokens=limit, is_prompt_read=True)
    job = Job(Prompt("how many?"), MAJORITY, SearchConfig(n, 1), Sampling(), Budget(1000).start(clock), limit)
    driver = Driver(engine, None)
    driver.submit(job)
    while not driver.turn():
        pass
    assert clock.now_s == pytest.approx(seconds(MAJORITY, n, outlook)) == limit * 0.25
