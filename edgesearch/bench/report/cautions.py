"""What a reader of a report must know before believing it, one sentence each.

Runs that are not complete, errors, searches that were cut off or ran narrower, exact checks, levels from the same luck,
choices made on the reported samples, seconds of different machines, costs that were not counted, and what the runs
themselves warned of.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from edgesearch.bench.report.curves import num_missing
from edgesearch.bench.report.model import Axis, Match, Point, Run
from edgesearch.bench.report.points import Costs
from edgesearch.bench.report.settings import Setting
from edgesearch.bench.report.solvers import Size

MAX_RUN_WARNINGS = 10
MIN_CANDIDATES = 8
"""Of a problem, for levels that are more than rough."""
_MAX_NAMED = 4


def of_runs(runs: Sequence[Run], digests: Sequence[str], num_machines: int) -> Iterator[str]:
    """About whole runs."""
    for run in runs:
        if run.num_outcomes < run.num_expected:
            yield (
                f"{run.path} is not complete: {run.num_outcomes:,} of {run.num_expected:,} outcomes are there, so its "
                "points may be of fewer problems than others; run its recipe again to go on"
            )
    if num_machines > 1:
        yield "the outcomes come from different machines, so their seconds and bytes compare machines, too"
    if len(set(digests)) > 1:
        yield "the runs asked or graded the same samples in different ways (another prompt or grader)"


def of_settings(settings: Sequence[Setting], points: Sequence[Point], costs: Sequence[Costs]) -> Iterator[str]:
    """About single points, each kind in one sentence."""
    names = [point.name for point in points]

    def told(counts: Sequence[int], sentence: str) -> Iterator[str]:
        hit = [
            f"{name} ({count:,} of {len(setting.rows):,})"
            for name, count, setting in zip(names, counts, settings, strict=True)
            if count
        ]
        if hit:
            yield sentence.format(_listed(hit))

    for point, setting in zip(points, settings, strict=True):
        if point.num_errors:
            error, _ = setting.facts.errors.most_common(1)[0]
            count = f"{point.num_errors:,} of {point.num_outcomes:,}"
            yield f"{point.name}: {count} outcomes are errors and count as not right; the most frequent: {error:.200}"
    yield from told(
        [each.facts.num_cut for each in settings], "outcomes that were cut off at their deadline or length: {}"
    )
    yield from told(
        [each.facts.num_narrower for each in settings],
        "outcomes that ran narrower than asked, or as another strategy: {}",
    )
    yield from told(
        [each.facts.num_checked for each in settings],
        "answers went through an exact check, which ends a search at its first right answer: {}; these have no curve, "
        "as their candidates are not independent (set check = false in the recipe)",
    )
    yield from _of_costs(points, costs)
    elsewhere = [name for name, setting in zip(names, settings, strict=True) if not setting.has_own_memory]
    if elsewhere and len(elsewhere) < len(names):
        yield f"memory is not known of {_listed(elsewhere)}: their models were not in the memory of the run's process"


def _of_costs(points: Sequence[Point], costs: Sequence[Costs]) -> Iterator[str]:
    estimated = {point.solver for point, spent in zip(points, costs, strict=True) if spent.is_estimated}
    if estimated:
        yield f"FLOPs are 2 a parameter and token for {_listed(sorted(estimated))}, whose engine counts none"
    told: tuple[tuple[Axis, str], ...] = (("wall_s", "seconds"), ("flops", "FLOPs"))
    for axis, words in told:
        unknown = [point.name for point in points if point.cost(axis) is None]
        if unknown and len(unknown) < len(points):
            yield f"{words} are not known of {_listed(unknown)}; comparisons in {words} leave them out"


def of_sizes(sizes: Mapping[tuple[int, str], Size], settings: Sequence[Setting]) -> Iterator[str]:
    """About how large solvers are."""
    solvers = {setting.engine: setting.models.solver for setting in settings}
    nominal = {f"{solvers[engine]} ({size.num_params:,})" for engine, size in sizes.items() if size.is_nominal}
    if nominal:
        yield f"numbers of parameters are what the names say: {_listed(sorted(nominal))}"
    unknown = {solvers[engine] for engine, size in sizes.items() if size.num_params is None}
    if unknown and len(sizes) > 1:
        yield (
            f"how many parameters {_listed(sorted(unknown))} has is not known, so there is no FLOPs-matched comparison "
            "with pretraining for it; a name such as Llama-3.2-1B would tell"
        )


def of_curves(settings: Sequence[Setting]) -> Iterator[str]:
    """About candidates that are not there, of the settings that have a curve."""
    for setting in settings:
        missing, asked = num_missing(setting), setting.cell.n * len(setting.rows)
        if missing:
            count = f"{missing:,} of {asked:,} candidates"
            yield f"{setting.name}: {count} are not there; its curve counts them as unanswered"


def of_levels(reference: Setting | None) -> Iterator[str]:
    """About how problems were levelled."""
    if reference is None:
        return
    if len(reference.cells) == 1:
        yield (
            f"oracle and predicted levels come from the one seed of {reference.name}, so its luck is in the levels and "
            "in the accuracies by level; run two seeds or more"
        )
        return
    num_samples = len(set(reference.rows["sample"].tolist()))
    if reference.rows["num_candidates"].sum() < MIN_CANDIDATES * num_samples:
        few = f"fewer than {MIN_CANDIDATES} candidates a problem ({reference.name})"
        yield f"oracle and predicted levels come from {few}; take them as rough"


def of_matches(matches: Sequence[Match]) -> Iterator[str]:
    """About choices made on the reported samples."""
    if any(match.small is not None for match in matches):
        yield (
            "matches at equal cost take the best small point on these very problems, which flatters it; choose a "
            "strategy and width on other problems before you claim its accuracy"
        )


def of_outcomes(settings: Sequence[Setting]) -> Iterator[str]:
    """What the runs themselves warned of, the most frequent first."""
    found: Counter[str] = Counter()
    for setting in settings:
        found.update(setting.facts.warnings)
    for text, count in found.most_common(MAX_RUN_WARNINGS):
        yield f"{count:,} outcomes were warned: {text:.300}"
    if len(found) > MAX_RUN_WARNINGS:
        yield f"{len(found) - MAX_RUN_WARNINGS:,} other kinds of warnings are in the stores"


def _listed(words: Sequence[str]) -> str:
    rest = f" and {len(words) - _MAX_NAMED:,} more" if len(words) > _MAX_NAMED else ""
    return ", ".join(words[:_MAX_NAMED]) + rest
