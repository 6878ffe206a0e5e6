"""Two runs on the same samples: who wins where, and by how much.

Each setting of the first run stands against the setting of the second that has its strategy, n and m; of several, the
one that is most alike otherwise. A setting without such a partner stands against the most accurate setting of the other
run, which was chosen on these very problems; so was each run's best for the comparison of the two.

A difference is of the first run minus the second, paired by problem, with a bootstrap interval over problems. Where its
interval includes zero, the two cannot be told apart by these problems.

Not covered: more than two runs (`bench report` takes any number), settings of one run against each other.
"""

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from edgesearch.bench.prices import Price
from edgesearch.bench.report import cautions
from edgesearch.bench.report.by_problem import Pair as Places
from edgesearch.bench.report.by_problem import Part
from edgesearch.bench.report.measure import Material, gathering, result_of
from edgesearch.bench.report.model import Axis, Difference, Estimate, LevelKind, Point, Run
from edgesearch.bench.store import Store
from edgesearch.types import SCHEMA_VERSION

Why = Literal["same strategy, n and m", "best of the other run", "best of both runs"]
Winner = Literal["first", "second"]
_KINDS: tuple[LevelKind, ...] = ("stated", "oracle")


@dataclass(frozen=True, slots=True)
class LevelDifference:
    """The difference of a pair on the problems of one level."""

    kind: LevelKind
    level: str
    num_samples: int
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Pair:
    """A setting of the first run against one of the second."""

    why: Why
    """Why these two."""
    difference: Difference
    ratios: Mapping[Axis, float] = field(hash=False)
    """Cost of the first over that of the second, on each axis on which both are known."""
    levels: tuple[LevelDifference, ...]

    @property
    def winner(self) -> Winner | None:
        """Who is ahead; None where the interval includes zero."""
        return winner(self.difference.difference)


def winner(difference: Estimate) -> Winner | None:
    """Whom a difference puts ahead; None where its interval includes zero."""
    if difference.low > 0:
        return "first"
    return "second" if difference.high < 0 else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, setting against setting."""

    runs: tuple[Run, ...]
    """The first and the second."""
    points: tuple[Point, ...]
    """Of both; pairs name them by their id."""
    pairs: tuple[Pair, ...]
    best: Pair | None
    """The most accurate setting of each run; None where they have no problem in common."""
    warnings: tuple[str, ...] = ()

    def point(self, name: str) -> Point:
        """The point of that id.

        Raises:
            KeyError: there is none.
        """
        return {each.id: each for each in self.points}[name]

    def as_json(self) -> dict[str, Any]:
        """One JSON object; each pair has its `winner`, null where the interval includes zero."""
        fields = dataclasses.asdict(self)
        for shown, pair in zip(fields["pairs"], self.pairs, strict=True):
            shown["winner"] = pair.winner
        if self.best is not None:
            fields["best"]["winner"] = self.best.winner
        return {"schema_version": SCHEMA_VERSION, **fields}


def compare(first: Store, second: Store, *, prices: Mapping[str, Price] | None = None) -> Comparison:
    """Compares two runs on the same samples.

    Args:
        first: open for reading.
        second: likewise.
        prices: by the id of the engine, as for `measure`.

    Raises:
        UsageError: as `measure`.
    """
    return result_of(comparing(first, second, prices=prices))


def comparing(
    first: Store, second: Store, *, prices: Mapping[str, Price] | None = None
) -> Generator[str, None, Comparison]:
    """As `compare`; yields what is done next in a few words, before it is done, and returns the comparison."""
    material = yield from gathering([first, second], prices=prices, has_curves=False)
    yield "comparing settings"
    found = _pairs(material)
    best = _best_of_both(material)
    warnings = [
        *cautions.of_runs(material.runs, material.digests, material.num_machines),
        *cautions.of_settings(material.settings, material.points, material.costs),
        *cautions.of_levels(material.reference),
        *_of_choices(found),
    ]
    return Comparison(material.runs, material.points, found, best, tuple(warnings))


def _of_choices(found: Sequence[Pair]) -> list[str]:
    chosen = sum(pair.why == "best of the other run" for pair in found)
    if not chosen:
        return []
    return [
        f"{chosen:,} settings have no partner of the same strategy, n and m, and stand against the best of the other "
        "run, which was chosen on these very problems and looks better than it is"
    ]


# --------------------------------------------------------------------------------------------------- who meets whom


def _pairs(material: Material) -> tuple[Pair, ...]:
    ours, theirs = (_places(material, run) for run in (0, 1))
    partners = _partners(material, ours, theirs)
    met: list[tuple[Places, Why]] = [((one, other), "same strategy, n and m") for one, other in partners.items()]
    best_ours, best_theirs = (_best(material, places) for places in (ours, theirs))
    met += [((one, best_theirs), "best of the other run") for one in ours if one not in partners]
    left = [other for other in theirs if other not in partners.values()]
    met += [((best_ours, other), "best of the other run") for other in left if (best_ours, other) not in dict(met)]
    return _measured(material, met)


def _best_of_both(material: Material) -> Pair | None:
    first, second = (_best(material, _places(material, run)) for run in (0, 1))
    found = _measured(material, [((first, second), "best of both runs")])
    return found[0] if found else None


def _places(material: Material, run: int) -> list[int]:
    return [place for place, setting in enumerate(material.settings) if setting.run == run]


def _best(material: Material, places: Sequence[int]) -> int:
    return max(places, key=lambda place: material.points[place].accuracy.value)


def _partners(material: Material, ours: Sequence[int], theirs: Sequence[int]) -> dict[int, int]:
    """Settings with one strategy, n and m, the most alike first; each has one partner at most. In the order of ours."""
    alike = sorted(
        (
            (-_likeness(material, one, other), one, other)
            for one in ours
            for other in theirs
            if _has_one_shape(material, one, other)
        ),
    )
    found: dict[int, int] = {}
    for _, one, other in alike:
        if one not in found and other not in found.values():
            found[one] = other
    return dict(sorted(found.items()))


def _has_one_shape(material: Material, one: int, other: int) -> bool:
    a, b = (material.settings[place].cell for place in (one, other))
    return (a.strategy, a.n, a.m) == (b.strategy, b.n, b.m)


def _likeness(material: Material, one: int, other: int) -> int:
    """In how much two settings are alike; the engine's id and the solver count most."""
    a, b = (material.points[place] for place in (one, other))
    other_settings = ("budget_s", "temperature", "max_tokens", "aggregator", "early_stop")
    num_same = sum(bool(a.settings.get(name) == b.settings.get(name)) for name in other_settings)
    return 10 * (a.engine == b.engine) + 10 * (a.solver == b.solver) + 5 * (a.verifier == b.verifier) + num_same


# ---------------------------------------------------------------------------------------------------------- measuring


def _measured(material: Material, met: Sequence[tuple[Places, Why]]) -> tuple[Pair, ...]:
    """The pairs that have a problem in common."""
    places = {(material.points[a].id, material.points[b].id): ((a, b), why) for (a, b), why in met}
    found = []
    for difference in material.by_problem.differences([pair for pair, _ in met]):
        pair, why = places[difference.first, difference.second]
        first, second = (material.points[place] for place in pair)
        found.append(Pair(why, difference, _ratios(first, second), _levels(material, pair)))
    return tuple(found)


def _ratios(first: Point, second: Point) -> dict[Axis, float]:
    costs: dict[Axis, tuple[float | None, float | None]] = {
        axis: (first.cost(axis), second.cost(axis)) for axis in get_args(Axis)
    }
    return {axis: a / b for axis, (a, b) in costs.items() if a is not None and b is not None}


def _levels(material: Material, pair: Places) -> tuple[LevelDifference, ...]:
    """The difference on each stated and each oracle level."""
    names: list[tuple[LevelKind, str]] = []
    parts: list[Part] = []
    for levels in sorted(
        (each for each in material.levels if each.kind in _KINDS), key=lambda each: _KINDS.index(each.kind)
    ):
        first, second = (levels.of(material.settings[place]) for place in pair)
        for number, name in enumerate(levels.names, 1):
            names.append((levels.kind, name))
            parts.append(((pair[0], first == number), (pair[1], second == number)))
    found = zip(names, material.by_problem.differences_on(parts), strict=True)
    return tuple(LevelDifference(*name, *part) for name, part in found if part is not None)
