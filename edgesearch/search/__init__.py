"""Strategies: one generator per file, all over the same requests (base.py). This is their registry.

A file ends with `STRATEGIES`, which says what its generators are called and how their answer is chosen.
"""

import importlib
from difflib import get_close_matches

from edgesearch.errors import UsageError
from edgesearch.search.base import Strategy

MODULES = {
    "greedy": "greedy",
    "sample": "parallel",
    "majority": "parallel",
    "best_of_n": "parallel",
    "weighted": "parallel",
    "beam": "beam",
    "dvts": "dvts",
    "lookahead": "lookahead",
    "rebase": "rebase",
    "particle": "particle",
    "particle_gibbs": "gibbs",
    "mcts": "mcts",
    "uct": "uct",
    "codet": "codet",
    "revision": "revision",
    "revision_vote": "revision",
    "budget_forcing": "budget_forcing",
    "deepconf": "deepconf",
    "deepconf_online": "deepconf",
    "mur": "mur",
    "phi": "phi",
}
"""The file of each strategy, by its name."""


def names() -> list[str]:
    """Names of all strategies."""
    return list(MODULES)


def general_names() -> list[str]:
    """Names of those that work on any problem, not only on such as ask for a program."""
    return [name for name in MODULES if not strategy(name).draws_tests]


def summaries() -> dict[str, str]:
    """One sentence for each strategy."""
    return {name: strategy(name).summary for name in MODULES}


def strategy(name: str) -> Strategy:
    """The strategy of that name.

    Raises:
        UsageError: there is none; lists those there are.
    """
    if name not in MODULES:
        close = get_close_matches(name, MODULES, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise UsageError(f"unknown strategy {name!r}{hint} Known: auto, {', '.join(MODULES)}")
    module = importlib.import_module(f"edgesearch.search.{MODULES[name]}")
    found: Strategy = next(each for each in module.STRATEGIES if each.name == name)
    return found
