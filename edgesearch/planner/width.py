"""How wide: the widest search of a given strategy that should end in time.

`n` is a limit, not an order: a search that cannot finish answers nothing. Where even two beams do not fit, one greedy
solution is drafted.

Not covered: which strategy, and what comes after it (auto.py); how long a search lasts (predict.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgesearch.errors import UsageError
from edgesearch.planner.predict import Outlook, predict_s
from edgesearch.search.base import SearchConfig, Strategy
from edgesearch.types import Aggregator

WIDTHS = (64, 32, 16, 8, 4, 2)
SHARE = 0.8
"""Share of the budget that a prediction may fill; the rest is for what was not foreseen."""
_LANE_SHARE = 0.35
"""Predicted share of the budget from which on a greedy draft runs beside the search."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and why."""

    strategy: Strategy
    config: SearchConfig
    has_safety_lane: bool
    predicted_s: float
    reason: str
    least_s: float
    """What one greedy solution should take."""


def least_s(greedy: Strategy, outlook: Outlook) -> float:
    """Seconds that one greedy solution should take: less than that is no sensible budget."""
    return predict_s(greedy, SearchConfig(n=1, m=1), greedy.options(), outlook)


def plan(
    strategy: Strategy,
    greedy: Strategy,
    outlook: Outlook,
    *,
    budget_s: float,
    n: int,
    m: int,
    aggregator: Aggregator,
    options: Any = None,
    room: int | None = None,
) -> Plan:
    """The widest search with at most n beams that is predicted to end in time.

    Args:
        strategy: what to run where there is time for at least two beams.
        greedy: what to run where there is not.
        outlook: what is known of the device and the problem.
        budget_s: seconds left.
        n: most beams.
        m: children per kept beam.
        aggregator: how step scores become one.
        options: the strategy's own settings; None for its defaults.
        room: beams that the engine has room for beside other problems'; None for as many as are asked for.

    Raises:
        UsageError: n, m and the options do not go together.
    """
    options = strategy.options() if options is None else options
    alone = least_s(greedy, outlook)
    if strategy.name == greedy.name:
        return Plan(greedy, SearchConfig(1, 1, aggregator), False, alone, "greedy was asked for", alone)
    for config in configs(strategy, options, n, m, aggregator, room):
        predicted = predict_s(strategy, config, options, outlook)
        if predicted <= SHARE * budget_s:
            reason = f"{strategy.name} with n={config.n} should take {predicted:.2g} s of {budget_s:.3g} s"
            return Plan(strategy, config, predicted > _LANE_SHARE * budget_s, predicted, reason, alone)
    reason = f"one greedy solution should take {alone:.2g} s; {budget_s:.3g} s are not enough for a search"
    return Plan(greedy, SearchConfig(1, 1, aggregator), False, alone, reason, alone)


def configs(
    strategy: Strategy, options: Any, n: int, m: int, aggregator: Aggregator, room: int | None = None
) -> Iterator[SearchConfig]:
    """The width asked for, or as much of it as there is room for, then narrower ones that the strategy can run with.

    Raises:
        UsageError: it cannot run with the one that was asked for.
    """
    widest = n if room is None else min(n, room)
    for width in dict.fromkeys([n, widest, *(width for width in WIDTHS if width < widest)]):
        config = SearchConfig(n=width, m=min(m, width) if strategy.uses_m else 1, aggregator=aggregator)
        try:
            strategy.check(config, options)
        except ValueError as error:
            if width == n:
                raise UsageError(f"strategy {strategy.name}: {error}") from error
            continue
        if width <= widest:
            yield config
