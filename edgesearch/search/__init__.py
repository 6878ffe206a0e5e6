"""Strategies: one generator per file, all over the same requests (base.py). This is their registry."""

from collections.abc import Callable
from difflib import get_close_matches

from edgesearch.errors import UsageError
from edgesearch.search.base import Strategy


def _greedy() -> Strategy:
    from edgesearch.search.greedy import greedy

    return Strategy("greedy", greedy, "best", False, False, "one solution at temperature 0")


def _majority() -> Strategy:
    from edgesearch.search.parallel import majority

    return Strategy("majority", majority, "majority", False, False, "n samples, the answer most of them reach")


def _best_of_n() -> Strategy:
    from edgesearch.search.parallel import best_of_n

    return Strategy("best_of_n", best_of_n, "best", True, False, "n samples, the one the verifier scores highest")


def _weighted() -> Strategy:
    from edgesearch.search.parallel import best_of_n

    return Strategy("weighted", best_of_n, "weighted", True, False, "n samples, votes weighted by the verifier's score")


def _beam() -> Strategy:
    from edgesearch.search.beam import beam_search

    return Strategy("beam", beam_search, "best", True, True, "beam search over steps, guided by the verifier")


STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "greedy": _greedy,
    "majority": _majority,
    "best_of_n": _best_of_n,
    "weighted": _weighted,
    "beam": _beam,
}


def names() -> list[str]:
    """Names of all strategies."""
    return list(STRATEGIES)


def summaries() -> dict[str, str]:
    """One sentence for each strategy."""
    return {name: factory().summary for name, factory in STRATEGIES.items()}


def strategy(name: str) -> Strategy:
    """The strategy of that name.

    Raises:
        UsageError: there is none; lists those there are.
    """
    if name not in STRATEGIES:
        close = get_close_matches(name, STRATEGIES, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise UsageError(f"unknown strategy {name!r}{hint} Known: auto, {', '.join(STRATEGIES)}")
    return STRATEGIES[name]()
