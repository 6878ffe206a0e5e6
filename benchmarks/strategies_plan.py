"""What strategies.py runs: `recipes/strategies.toml`, cut into parts by seed, verifier and strategy.

Each part is a run of `edgesearch bench` with a store of its own: parts run side by side, a killed one goes on where it
stopped, and a strategy that has changed since can be run again alone. A seed is one of problems and of draws alike, so
other seeds have other problems.

One more part for each seed says which problems are hard: samples of the same problems with draws that no other part
has. Problems that are called hard for having been missed by the very draws that are then compared would look easier for
whatever draws again.
"""

import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesearch import search
from edgesearch.bench.events import UnitDone
from edgesearch.bench.recipe import GridEntry, Recipe, cells
from edgesearch.bench.runner import Runner
from edgesearch.bench.units import make_plan
from edgesearch.search.base import SearchConfig

RECIPE = Path(__file__).parent / "recipes" / "strategies.toml"
ENGINE = "prm"
"""Of the recipe: the one that every strategy is run with."""
DIFFICULTY = "difficulty"
OTHER_DRAWS = 1_000_000
"""Added to a seed for draws that have nothing to do with its others."""
TELL_S = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is run; the defaults are the record's."""

    seeds: tuple[int, ...] = (0, 1, 2)
    num_problems: int = 170
    """For each seed."""
    widths: tuple[int, ...] = (1, 4, 16, 64)
    """n; 1 is among them."""
    is_split: bool = True
    """Whether each strategy has a store of its own; loading the models for each takes seconds."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be one or more, each once, not {self.seeds}")
        if self.num_problems < 1:
            raise ValueError(f"problems must be >= 1, not {self.num_problems}")
        if 1 not in self.widths or len(self.widths) < 2:
            raise ValueError(f"n must be 1 and at least one more, not {self.widths}")

    @property
    def compared_n(self) -> int:
        """The n at which strategies are compared: 16 where it is run."""
        return 16 if 16 in self.widths else max(self.widths)


QUICK = Plan((0,), 2, (1, 4), is_split=False)


@dataclass(frozen=True, slots=True)
class Part:
    """A run with a store of its own."""

    name: str
    recipe: Recipe

    @property
    def is_difficulty(self) -> bool:
        """Whether it only says which problems are hard."""
        return self.name.endswith(DIFFICULTY)

    @property
    def weight(self) -> float:
        """About how long it takes, in no unit: by how many solutions long its searches last."""
        shapes = ((search.strategy(cell.strategy), cell.n) for cell in cells(self.recipe))
        return sum(n * known.rounds(SearchConfig(n=n), known.options()) for known, n in shapes)

    def store(self, folder: Path) -> Path:
        """Its file."""
        return folder / f"{self.name}.sqlite"


def parts(recipe: Recipe, plan: Plan) -> list[Part]:
    """All parts, those that take long first.

    Raises:
        ValueError: the recipe has not all widths of the plan.
    """
    known = {n for entry in recipe.grid for n in entry.n}
    if not known.issuperset(plan.widths):
        raise ValueError(f"n must be among those of {recipe.path.name} ({sorted(known)}), not {plan.widths}")
    found = [part for seed in plan.seeds for part in _parts_of_seed(recipe, plan, seed)]
    return sorted(found, key=lambda part: -part.weight)


def _parts_of_seed(recipe: Recipe, plan: Plan, seed: int) -> Iterator[Part]:
    task = dataclasses.replace(recipe.task, seed=seed, limit=plan.num_problems)
    whole = dataclasses.replace(recipe, seeds=(seed,), task=task)
    for engine in recipe.engines:
        entries = [entry for entry in recipe.grid if engine.id in entry.engines]
        names = list(dict.fromkeys(name for entry in entries for name in entry.strategy))
        for group in [[name] for name in names] if plan.is_split else [names]:
            cut = (_cut(entry, engine.id, group, plan.widths) for entry in entries)
            grid = tuple(entry for entry in cut if entry.strategy and entry.n)
            name = "-".join([str(seed), engine.id, *(group if plan.is_split else ())])
            yield Part(name, dataclasses.replace(whole, engines=(engine,), grid=grid))
    entry = GridEntry((ENGINE,), ("sample",), (max(plan.widths),), recipe.grid[0].budget_s)
    samples = dataclasses.replace(whole, seeds=(seed + OTHER_DRAWS,), engines=(recipe.engine(ENGINE),), grid=(entry,))
    yield Part(f"{seed}-{DIFFICULTY}", samples)


def _cut(entry: GridEntry, engine: str, names: Sequence[str], widths: Sequence[int]) -> GridEntry:
    """What an entry says of some strategies with one verifier; without strategies where it says nothing."""
    strategy = tuple(name for name in entry.strategy if name in names)
    return dataclasses.replace(entry, engines=(engine,), strategy=strategy, n=tuple(n for n in entry.n if n in widths))


def run_part(part: Part, folder: Path) -> None:
    """Runs what is left of a part, and tells on stderr now and then how far it is.

    Raises:
        EdgesearchError: as `Runner.events`.
    """
    told = time.monotonic()
    for event in Runner(make_plan(part.recipe), part.store(folder)).events():
        if isinstance(event, UnitDone) and time.monotonic() - told > TELL_S:
            told = time.monotonic()
            left = "" if event.time_left_s is None else f", about {event.time_left_s:.0f} s left"
            print(f"{part.name}: {event.num_done} of {event.num_units}{left}", file=sys.stderr, flush=True)
