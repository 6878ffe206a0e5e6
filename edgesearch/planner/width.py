"""The simplest honest planner: the widest search whose solutions finish in time.

It knows how long a pass of the engine lasts at a given width and how long the verifier takes per token, both measured
when the models were loaded, and how long solutions of this solver usually are. From these it predicts how long a
search of each width would last and takes the widest that fits the budget. Where even two beams do not fit, it drafts
one greedy solution. `n` is a limit, not an order: a search that cannot finish answers nothing.

Not covered: the problem's difficulty, re-planning under way.
"""

from dataclasses import dataclass

from edgesearch.engines.base import Pace
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


def predict_s(strategy: Strategy, n: int, speeds: Speeds) -> float:
    """Seconds that a search of that width lasts, from prompt to last beam."""
    tokens = min(speeds.max_tokens, speeds.mean_solution_tokens * (_SLOWEST if n > 1 else 1.0))
    drawing = tokens * speeds.pace.step_s(n)
    verifying = 0.0
    if strategy.needs_scores:
        verifying = speeds.verify_s_per_token * (n * speeds.mean_solution_tokens + speeds.prompt_tokens)
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
    """
    if strategy.name == greedy.name:
        return _greedy_plan(greedy, speeds, aggregator, "greedy was asked for")
    for width in _widths(n):
        predicted = predict_s(strategy, width, speeds)
        if predicted <= _SHARE * budget_s:
            config = SearchConfig(n=width, m=min(m, width) if strategy.is_stepwise else 1, aggregator=aggregator)
            reason = f"{strategy.name} with n={width} should take {predicted:.2g} s of {budget_s:.3g} s"
            return Plan(strategy, config, predicted > _LANE_SHARE * budget_s, predicted, reason)
    alone = predict_s(greedy, 1, speeds)
    reason = f"one greedy solution should take {alone:.2g} s; {budget_s:.3g} s are not enough for a search"
    return _greedy_plan(greedy, speeds, aggregator, reason)


def _widths(n: int) -> list[int]:
    return [n, *(width for width in WIDTHS if width < n)]


def _greedy_plan(greedy: Strategy, speeds: Speeds, aggregator: Aggregator, reason: str) -> Plan:
    config = SearchConfig(n=1, m=1, aggregator=aggregator)
    return Plan(greedy, config, has_safety_lane=False, predicted_s=predict_s(greedy, 1, speeds), reason=reason)
