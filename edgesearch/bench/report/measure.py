"""From the stores of runs to a measured report.

    stores -> settings (arrays) -> points, curves, levels -> fronts, differences, crossings, matches -> Report

Everything is read once, a setting at a time, and of the candidates only their figures (Store.columns), so that a
million of them take seconds and little memory. One set of resamples of the problems serves all bootstrap intervals.

Not covered: how each figure is made (its module says), showing them (the command, charts.py, page.py).
"""

import datetime
import tomllib
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edgesearch.bench.prices import Price
from edgesearch.bench.records import Session
from edgesearch.bench.report import cautions, crossings, curves, differences, fronts, levels, matches, regrade, solvers
from edgesearch.bench.report.by_problem import ByProblem
from edgesearch.bench.report.levels import Levels
from edgesearch.bench.report.model import Curve, Point, Quoted, Report, Run
from edgesearch.bench.report.points import Costs, costs, points
from edgesearch.bench.report.resamples import Resamples
from edgesearch.bench.report.settings import Answers, Setting, read_setting, settings_of, shared_samples
from edgesearch.bench.report.solvers import Size
from edgesearch.bench.store import Store
from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.tasks.base import Sample
from edgesearch.tasks.grading import PYTHON

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """All that a report or a comparison is made of."""

    samples: tuple[Sample, ...]
    runs: tuple[Run, ...]
    settings: tuple[Setting, ...]
    """Those with an outcome, run after run in the order of the recipe."""
    points: tuple[Point, ...]
    """In the order of the settings, as all that follows."""
    costs: tuple[Costs, ...]
    sizes: Mapping[tuple[int, str], Size] = field(hash=False)
    curves: tuple[Curve, ...]
    reference: Setting | None
    """The setting that levels the problems."""
    levels: tuple[Levels, ...]
    by_problem: ByProblem
    answers: Answers = field(hash=False)
    digests: tuple[str, ...]
    """Of the task of each run."""
    num_machines: int
    """On which any session of any run was."""


def measure(
    stores: Sequence[Store], *, quoted: Sequence[Quoted] = (), prices: Mapping[str, Price] | None = None
) -> Report:
    """All figures of one or more runs on the same samples.

    Args:
        stores: open for reading.
        quoted: published figures to show beside them.
        prices: by the id of the engine; `2/small` is the engine `small` of the second run only.

    Raises:
        UsageError: there is no run, one is empty or given twice, the runs have other samples, or a price is of an
            engine that no run has.
    """
    return result_of(measuring(stores, quoted=quoted, prices=prices))


def measuring(
    stores: Sequence[Store], *, quoted: Sequence[Quoted] = (), prices: Mapping[str, Price] | None = None
) -> Generator[str, None, Report]:
    """As `measure`; yields what is done next in a few words, before it is done, and returns the report."""
    material = yield from gathering(stores, prices=prices)
    settings, by_problem, sizes = material.settings, material.by_problem, material.sizes
    yield "comparing points"
    pairs = differences.pairs(settings, sizes)
    crossed = crossings.crossings(by_problem, settings, sizes)
    matched = matches.matches(by_problem, settings, sizes)
    yield "asking a second grader"
    disagreement, regrade_warnings = _regraded(material)
    warnings = [*_warnings(material), *cautions.of_matches(matched), *regrade_warnings]
    warnings += _cut_warnings(len(pairs), len(crossed))
    pairs_of_points = zip(material.points, settings, strict=True)
    return Report(
        runs=material.runs,
        points=material.points,
        curves=material.curves,
        levels=tuple(
            each
            for point, setting in pairs_of_points
            for kind in material.levels
            for each in levels.accuracies(point.id, setting, kind)
        ),
        level_agreement=levels.agreement(material.levels),
        fronts=fronts.fronts(material.points),
        differences=tuple(by_problem.differences(pairs[: differences.MAX_PAIRS])),
        crossings=tuple(crossed[: crossings.MAX_CROSSINGS]),
        matches=tuple(matched),
        grader_disagreement=disagreement,
        quoted=tuple(quoted),
        warnings=tuple(warnings),
    )


def result_of(steps: Generator[object, None, Result]) -> Result:
    """Goes through all steps; what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Result = end.value
            return found


# ------------------------------------------------------------------------------------------------------- gathering


def gathering(
    stores: Sequence[Store], *, prices: Mapping[str, Price] | None = None, has_curves: bool = True
) -> Generator[str, None, Material]:
    """Reads the stores; arguments, steps and errors as for `measuring`. Curves can be left out."""
    samples = shared_samples(stores)
    prices = prices or {}
    _check_prices(prices, stores)
    yield f"drawing resamples of {len(samples):,} problems"
    resamples = Resamples(len(samples))
    answers: Answers = {}
    settings: list[Setting] = []
    drawn: list[Curve] = []
    for run, store in enumerate(stores):
        read = _reading(store, run, samples, answers, resamples if has_curves else None)
        settings_of_run, curves_of_run = yield from read
        settings += settings_of_run
        drawn += curves_of_run
    yield "measuring points"
    sizes = solvers.sizes(settings)
    spent = tuple(costs(each, sizes[each.engine], _price(prices, each)) for each in settings)
    measured = points(settings, spent, len(stores), len(samples), resamples)
    reference = levels.reference(settings, sizes)
    return Material(
        samples=samples,
        runs=tuple(_run(store, len(samples)) for store in stores),
        settings=tuple(settings),
        points=measured,
        costs=spent,
        sizes=sizes,
        curves=tuple(drawn),
        reference=reference,
        levels=tuple(levels.all_levels(reference, samples)),
        by_problem=ByProblem(measured, settings, spent, len(samples), resamples),
        answers=answers,
        digests=tuple(store.run.task_digest for store in stores),
        num_machines=len({_machine(session) for store in stores for session in store.sessions()}),
    )


def _reading(
    store: Store, run: int, samples: Sequence[Sample], answers: Answers, resamples: Resamples | None
) -> Generator[str, None, tuple[list[Setting], list[Curve]]]:
    """The settings of a store that have an outcome, and their curves, if there are resamples for their intervals."""
    numbers = {sample.id: number for number, sample in enumerate(samples)}
    groups = settings_of(store.cells())
    with_curve = curves.widest(groups)
    settings, drawn = [], []
    for place, cells in enumerate(groups, 1):
        yield f"reading {store.path}, setting {place:,} of {len(groups):,}"
        setting, columns = read_setting(store, run, cells, numbers, answers)
        if not len(setting.rows):
            continue
        settings.append(setting)
        is_independent = cells[0] in with_curve and not curves.is_cut_short(setting)
        if resamples is None or not is_independent or not setting.rows["num_candidates"].any():
            continue
        name = f"{run + 1}/{setting.name}"
        if curves.is_pooled(setting):
            drawn.append(curves.pooled(name, setting, store, numbers, resamples))
        else:
            drawn.append(curves.curve(name, setting, columns, len(samples), resamples))
    return settings, drawn


def _check_prices(prices: Mapping[str, Price], stores: Sequence[Store]) -> None:
    known = dict.fromkeys(cell.engine for store in stores for cell in store.cells())
    numbered = {f"{run}/{cell.engine}" for run, store in enumerate(stores, 1) for cell in store.cells()}
    for name in prices:
        if name not in known and name not in numbered:
            raise UsageError(
                f"no run has the engine {name!r:.60}, so it can have no price; engines are {', '.join(known)}"
            )


def _price(prices: Mapping[str, Price], setting: Setting) -> Price | None:
    engine = setting.cell.engine
    return prices.get(f"{setting.run + 1}/{engine}", prices.get(engine))


def _machine(session: Session) -> tuple[str, ...]:
    """What tells machines apart; a system may have been upgraded on the same one."""
    return tuple(session.machine.get(name, "") for name in ("processor", "cpus", "memory_bytes"))


def _run(store: Store, num_samples: int) -> Run:
    info, sessions = store.run, store.sessions()
    recipe = tomllib.loads(info.recipe)
    created = datetime.datetime.fromtimestamp(sessions[0].started_s, datetime.UTC)
    return Run(
        name=str(recipe.get("name", store.path.stem)),
        path=str(store.path),
        task=_task_words(recipe.get("task", {})),
        num_samples=num_samples,
        num_outcomes=sum(sum(counts.values()) for counts in store.counts().values()),
        num_expected=len(info.cells) * num_samples,
        created=created.isoformat(timespec="seconds"),
        versions=info.versions,
        machine=info.machine,
        num_sessions=len(sessions),
    )


def _task_words(task: Mapping[str, Any]) -> str:
    name = str(task.get("name", "a task"))
    return f"{name} ({task['split']})" if "split" in task else name


# ------------------------------------------------------------------------------------------------------- warnings


def _regraded(material: Material) -> tuple[dict[str, Any] | None, list[str]]:
    """The disagreement of two graders, or why there is none."""
    graders: Counter[str] = Counter()
    for setting in material.settings:
        graders.update(setting.facts.graders)
    if not graders or not material.answers:
        return None, []
    grader, _ = graders.most_common(1)[0]
    if grader == PYTHON:  # tests say what is right, and there are no others
        return None, []
    if regrade.second_of(grader) is None:
        return None, [f"no second grader is known beside {grader}, so their disagreement is not told"]
    try:
        return regrade.disagreement(material.answers, material.samples, grader), []
    except EdgesearchError as error:
        return None, [f"a second grader could not be asked, so their disagreement is not told: {error}"]


def _warnings(material: Material) -> Iterator[str]:
    settings = material.settings
    with_curve = {each.point for each in material.curves}
    has_curve = [point.id in with_curve for point in material.points]
    yield from cautions.of_runs(material.runs, material.digests, material.num_machines)
    yield from cautions.of_settings(settings, material.points, material.costs)
    yield from cautions.of_sizes(material.sizes, settings)
    yield from cautions.of_curves([each for each, has in zip(settings, has_curve, strict=True) if has])
    yield from cautions.of_levels(material.reference)
    yield from cautions.of_outcomes(settings)


def _cut_warnings(num_pairs: int, num_crossings: int) -> Iterator[str]:
    if num_pairs > differences.MAX_PAIRS:
        yield (
            f"{differences.MAX_PAIRS:,} of {num_pairs:,} differences are shown: each strategy against greedy of its "
            "engine, then other engines' points, greedy ones first; `bench compare` tells the rest"
        )
    if num_crossings > crossings.MAX_CROSSINGS:
        yield f"{crossings.MAX_CROSSINGS:,} of {num_crossings:,} crossings are shown"
