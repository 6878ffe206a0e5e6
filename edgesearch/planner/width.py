"""The simplest honest planner: the widest search whose solutions finish in time.

It knows how long a pass of the engine lasts at a given width and how long the verifier takes per token, both measured
when the models were loaded, and how long solutions of this solver usually are. From these it predicts how long a
search of each width would last and takes the widest that fits the budget. Where even two beams do not fit, it drafts
one greedy solution. `n` is a limit, not an order: a search that cannot finish answers nothing.

Not covered: the problem's difficulty, re-planning under way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgesearch.engines.base import Pace
from edgesearch.errors import UsageError
from edgesearch.search.base import SearchConfig, Strategy
from edgesearch.types import Aggregator

WIDTHS = (64, 32, 16, 8, 4, 2)
_SLOWEST = 1.6
"""How much longer than the mean the longest of the beams is; every search waits for it."""
_SHARE = 0.8
"""Share of the budget that a prediction may fill; the rest is for what was not foreseen."""
_LANE_SHARE = 0.35
"""Predicted share of the budget from which on a greedy draft runs beside the search."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """What was measured and what is known of the solver's solutions."""

    pace: Pace
    verify_s_per_token: float
    """0 without a verifier."""
    prompt_tokens: int
    mean_solution_tokens: float
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and why."""

    strategy: Strategy
    config: SearchConfig
    has_safety_lane: bool
    predicted_s: float
    reason: str


def predict_s(strategy: Strategy, config: SearchConfig, options: Any, speeds: Speeds) -> float:
    """Seconds that a search lasts, from prompt to last beam."""
    n, rounds = config.n, strategy.rounds(config, options)
    tokens = min(speeds.max_tokens, speeds.mean_solution_tokens * (_SLOWEST if n > 1 else 1.0))
    drawing = rounds * tokens * speeds.pace.step_s(n)
    verifying = 0.0
    if strategy.needs_scores:
        verifying = speeds.verify_s_per_token * (rounds * n * speeds.mean_solution_tokens + speeds.prompt_tokens)
    return speeds.prompt_tokens / speeds.pace.prefill_tokens_per_s + drawing + verifying


def plan(
    strategy: Strategy,
    greedy: Strategy,
    speeds: Speeds,
    *,
    budget_s: float,
    n: int,
    m: int,
    aggregator: Aggregator,
    options: Any = None,
) -> Plan:
    """The widest search with at most n beams that is predicted to end in time.

    Args:
        strategy: what to run where there is time for at least two beams.
        greedy: what to run where there is not.
        speeds: measured.
        budget_s: seconds left.
        n: most beams.
        m: children per kept beam.
        aggregator: how step scores become one.
        options: the strategy's own settings; None for its defaults.

    Raises:
        UsageError: n, m and the options do not go together.
    """
    options = strategy.options() if options is None else options
    if strategy.name == greedy.name:
        return _greedy_plan(greedy, speeds, aggregator, "greedy was asked for")
    for config in _configs(strategy, options, n, m, aggregator):
        predicted = predict_s(strategy, config, options, speeds)
        if predicted <= _SHARE * budget_s:
            reason = f"{strategy.name} with n={config.n} should take {predicted:.2g} s of {budget_s:.3g} s"
            return Plan(strategy, config, predicted > _LANE_SHARE * budget_s, predicted, reason)
    alone = predict_s(greedy, SearchConfig(n=1, m=1), greedy.options(), speeds)
    reason = f"one greedy solution should take {alone:.2g} s; {budget_s:.3g} s are not enough for a search"
    return _greedy_plan(greedy, speeds, aggregator, reason)


def _configs(strategy: Strategy, options: Any, n: int, m: int, aggregator: Aggregator) -> Iterator[SearchConfig]:
    """The width asked for, then narrower ones that the strategy can run with."""
    for width in [n, *(width for width in WIDTHS if width < n)]:
        config = SearchConfig(n=width, m=min(m, width) if strategy.uses_m else 1, aggregator=aggregator)
        try:
            strategy.check(config, options)
        except ValueError as error:
            if width == n:
                raise UsageError(f"strategy {strategy.name}: {error}") from error
            continue
        yield config


def _greedy_plan(greedy: Strategy, speeds: Speeds, aggregator: Aggregator, reason: str) -> Plan:
    config = SearchConfig(n=1, m=1, aggregator=aggregator)
    predicted = predict_s(greedy, config, greedy.options(), speeds)
    return Plan(greedy, config, has_safety_lane=False, predicted_s=predicted, reason=reason)
