"""What budgets.py runs: which settings, on which problems.

`auto` runs at every budget. A fixed setting (a strategy and an n) runs once on each problem with a budget that cuts
nothing off; what it would have reached by a deadline is read from its seconds (budgets_measure.py).
"""

import itertools
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from edgesearch import search

AUTO = "auto"
GENEROUS_S = 120.0
"""The budget of a fixed setting: far above what any takes."""
CHUNK = 10
"""Problems between two lines of the checkpoint."""

ProblemKey = tuple[int, int]
"""Seed of the set, and place in it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a solve is asked for."""

    strategy: str
    n: int | None = None
    """None leaves it to the planner."""
    budget_s: float = GENEROUS_S

    @property
    def name(self) -> str:
        """For people, without the budget."""
        return self.strategy if self.n is None else f"{self.strategy} n={self.n}"

    @property
    def key(self) -> str:
        """Unique in a run."""
        return f"{self.name} {self.budget_s:g} s"

    @property
    def about_s(self) -> float:
        """About how long it takes, to tell how long the rest takes: the built-in models draw 700 solutions a second."""
        if self.n is None:
            return self.budget_s
        return min(self.budget_s, 0.01 + self.n / 700)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured; the defaults are the record's."""

    seeds: tuple[int, ...] = (0, 1, 2)
    num_problems: int = 100
    """For each seed."""
    budgets_s: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    curve_s: tuple[float, ...] = (0.03, 0.06, 0.12)
    """Smaller budgets: for the curve of accuracy against seconds, where nothing is promised."""
    strategies: tuple[str, ...] = ("majority", "best_of_n", "weighted", "beam", "rebase", "particle")
    widths: tuple[int, ...] = (4, 16, 64, 128, 250)
    is_checked: bool = True
    """Whether answers are checked exactly where a problem allows it, as by default."""

    def __post_init__(self) -> None:
        for name in ("seeds", "budgets_s", "strategies", "widths"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} are {values}, must be one or more, each once")
        if self.num_problems < 1:
            raise ValueError(f"num_problems is {self.num_problems}, must be >= 1")
        if min(self.all_budgets_s) <= 0 or max(self.all_budgets_s) > GENEROUS_S:
            raise ValueError(f"budgets_s are {self.all_budgets_s}, must be in (0, {GENEROUS_S:g}]")
        if not 1 <= min(self.widths) <= max(self.widths) <= 250:
            raise ValueError(f"widths are {self.widths}, must be in [1, 250]")
        if unknown := set(self.strategies) - set(search.names()):
            raise ValueError(f"strategies has {', '.join(sorted(unknown))}, must be among {', '.join(search.names())}")

    @property
    def all_budgets_s(self) -> tuple[float, ...]:
        """Of the curve and of the promise, rising."""
        return tuple(sorted({*self.curve_s, *self.budgets_s}))

    @property
    def problems(self) -> list[ProblemKey]:
        """In the order of every column of figures."""
        return list(itertools.product(self.seeds, range(self.num_problems)))

    @property
    def room(self) -> int:
        """Beams that a pipeline for the widest setting has room for."""
        return max(self.widths)

    def auto(self) -> list[Setting]:
        """The planner's choice at every budget, rising."""
        return [Setting(AUTO, None, budget_s) for budget_s in self.all_budgets_s]

    def fixed(self) -> list[Setting]:
        """What it is compared with: one greedy solution, and every strategy at every n."""
        wide = itertools.product(self.strategies, self.widths)
        return [Setting("greedy", 1), *(Setting(name, n) for name, n in wide if name != "greedy")]


QUICK = Plan((0,), 6, (0.1, 0.2), (0.03,), ("majority", "weighted"), (2, 4))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some problems of one setting."""

    setting: Setting
    problems: tuple[ProblemKey, ...]

    @property
    def about_s(self) -> float:
        """About how long it takes."""
        return len(self.problems) * self.setting.about_s


def row_name(setting: Setting, problem: ProblemKey) -> str:
    """What a checkpoint calls a solve."""
    seed, index = problem
    return f"{setting.key} | {seed} {index}"


def chunks(settings: Sequence[Setting], problems: Sequence[ProblemKey], done: Container[str]) -> Iterator[Chunk]:
    """All solves whose names are not in `done`."""
    for setting in settings:
        missing = [problem for problem in problems if row_name(setting, problem) not in done]
        for start in range(0, len(missing), CHUNK):
            yield Chunk(setting, tuple(missing[start : start + CHUNK]))
