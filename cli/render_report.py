"""Reports and comparisons in words and tables; rich paints them where stdout is a terminal, else they are plain lines.

The table has every point. Below it, only what a reader asks first: the widest curve of each engine and strategy, the
greedy and the best point of each larger engine as targets, accuracy by difficulty. `--json` has everything.

Not covered: measuring (edgesearch.bench.report), charts and the page.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgesearch.bench.report import looks
from edgesearch.bench.report.compare import Comparison, Pair, winner
from edgesearch.bench.report.curves import DECADES
from edgesearch.bench.report.model import (
    Axis,
    Crossing,
    Curve,
    Difference,
    Estimate,
    LevelKind,
    Match,
    Point,
    Report,
    Run,
)

from .terminal import one_line, say

if TYPE_CHECKING:
    from rich.table import Table as RichTable

_AXIS_WORDS: dict[Axis, str] = {
    "wall_s": "seconds",
    "flops": "FLOPs",
    "peak_bytes": "memory",
    "dollars": "dollars",
    "joules": "joules",
    "tokens": "tokens",
}
_CROSSING_AXES: tuple[Axis, ...] = ("wall_s", "flops", "dollars", "joules")
_LETTERS = "AB"
_LEVEL_WORDS: dict[LevelKind, str] = {
    "oracle": "oracle level",
    "predicted": "predicted level",
    "stated": "stated level",
}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; the first column is a name, the others are figures."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of what is shown: a title, then a table, then sentences."""

    title: str
    table: Table | None = None
    lines: tuple[str, ...] = ()


# ----------------------------------------------------------------------------------------------------------- showing


def show(parts: Sequence[Part]) -> None:
    """Prints all parts on stdout."""
    is_painted = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    for number, part in enumerate(parts):
        if number:
            say("")
        say(one_line(part.title), is_bold=True)
        if part.table is not None:
            _paint(part.table) if is_painted else _print(part.table)
        for line in part.lines:
            say(one_line(line))


def _print(table: Table) -> None:
    for line in plain_lines(table):
        say(line)


def plain_lines(table: Table) -> list[str]:
    """The table as lines whose columns are aligned."""
    rows = [tuple(map(one_line, row)) for row in (table.headings, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_plain_line(row, widths) for row in rows]


def _plain_line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *figures = row
    cells = [f"{name:<{widths[0]}}", *(f"{each:>{width}}" for each, width in zip(figures, widths[1:], strict=True))]
    return "  ".join(cells).rstrip()


def _paint(table: Table) -> None:
    from rich.console import Console

    Console(highlight=False).print(_rich(table))


def _rich(table: Table) -> "RichTable":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    found = RichTable(box=SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for number, heading in enumerate(table.headings):
        found.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        found.add_row(*(Text(one_line(cell)) for cell in row))  # as text: a name may hold rich's own signs
    return found


# ------------------------------------------------------------------------------------------------------------ report


def report_parts(report: Report) -> list[Part]:
    """What `bench report` prints."""
    parts = [
        Part("Runs", lines=tuple(_numbered(report.runs))),
        Part("Points, with 95% intervals over problems", points_table(report.points)),
        _lines(
            "What k candidates of a setting would have reached", (curve_line(report, each) for each in report.curves)
        ),
        Part("What it costs a smaller engine to reach a larger one", crossings_table(report)),
        _lines("At equal cost, the best point of a smaller engine", _match_lines(report)),
        _lines("Differences on the same problems", _difference_lines(report)),
        *_level_parts(report),
        _lines("Two graders on the same answers", _grader_lines(report)),
        _lines("Published figures, quoted and not measured here", _quoted_lines(report)),
    ]
    return [part for part in parts if part.table is not None or part.lines]


def _lines(title: str, lines: Iterator[str]) -> Part:
    return Part(title, lines=tuple(lines))


def _numbered(runs: Sequence[Run]) -> Iterator[str]:
    """A line for each run; with its number, by which points are told apart, where there are several."""
    for number, run in enumerate(runs, 1):
        yield run_line(run) if len(runs) == 1 else f"{number}/ {run_line(run)}"


def run_line(run: Run) -> str:
    """What a run is of, and how much of it is there."""
    done = f"{run.num_outcomes:,} of {run.num_expected:,} outcomes"
    return f"{run.name}: {run.task}, {run.num_samples:,} samples, {done}, begun {run.created} ({run.path})"


def points_table(points: Sequence[Point]) -> Table:
    """A row for each point; a column that is empty for all is left out."""
    rows = [_point_cells(point) for point in points]
    shown = [name for name in rows[0] if any(row[name] for row in rows)]
    return Table(tuple(shown), tuple(tuple(row[name] or "-" for name in shown) for row in rows))


def _point_cells(point: Point) -> dict[str, str]:
    spread = point.wall_s
    return {
        "setting": point.name,
        "accuracy": looks.interval(point.accuracy),
        "coverage": _share(point.coverage),
        "gap": _share(point.gap),
        "flexible": _share(point.flexible) if point.extraction_disagreement else "",
        "unanswered": _share(point.unanswered) if point.unanswered.value else "",
        "errors": f"{point.num_errors:,}" if point.num_errors else "",
        "p50": looks.seconds(spread.p50) if spread.p50 else "",
        "p95": looks.seconds(spread.p95) if spread.p95 else "",
        "tokens": _cost(point, "tokens"),
        "tokens/s": "" if point.tokens_per_s is None else looks.prefixed(point.tokens_per_s),
        "FLOPs": _cost(point, "flops"),
        "verifier's": looks.percent(point.verifier_flops / point.flops) if point.verifier_flops else "",
        "memory": _cost(point, "peak_bytes"),
        "dollars": _cost(point, "dollars"),
        "joules": _cost(point, "joules"),
    }


def _share(estimate: Estimate | None) -> str:
    return "" if estimate is None else looks.percent(estimate.value)


def _cost(point: Point, axis: Axis) -> str:
    cost = point.cost(axis)
    return "" if cost is None else looks.cost_words(axis, cost)


def curve_line(report: Report, curve: Curve) -> str:
    """Coverage at 1, 10, 100 and so on and at the end, what each choice reaches there, and the fit."""
    most = curve.ks[-1]
    shown = [(k, each) for k, each in zip(curve.ks, curve.coverage, strict=True) if k in DECADES and k < most]
    coverage = "".join(f"{looks.percent(each.value)} at {k:,}, " for k, each in shown)
    rules = [("majority", curve.majority), ("best of n", curve.best_of_n), ("weighted", curve.weighted)]
    reached = [f"{name} {looks.interval(found[-1])}" for name, found in rules if found is not None]
    choices = f"; at {most:,}: {', '.join(reached)}" if reached else ""
    return (
        f"{report.point(curve.point).name}: coverage {coverage}{looks.interval(curve.coverage[-1])} at {most:,}"
        f"{choices}{_fit_words(curve)}"
    )


def _fit_words(curve: Curve) -> str:
    """The law that coverage follows, and how far it is off; nothing where there is none."""
    fit = curve.fit
    if fit is None:
        return ""
    return f"; coverage fits exp({fit.a:.3g} k^{fit.b:.3g}) within {100 * fit.max_error:.1f} points"


# ---------------------------------------------------------------------------------------------- small against large


def targets(report: Report) -> set[str]:
    """Ids of the points that small engines are compared with in words: greedy and the best of each engine."""
    engines: dict[tuple[int, str], list[Point]] = {}
    for point in report.points:
        engines.setdefault((point.run, point.engine), []).append(point)
    best = {max(group, key=lambda point: point.accuracy.value).id for group in engines.values()}
    return best | {point.id for point in report.points if point.strategy == "greedy"}


def crossings_table(report: Report) -> Table | None:
    """Where each series reaches the targets of larger engines; None where there is none to reach."""
    aims = targets(report)
    shown = [each for each in report.crossings if each.axis in _CROSSING_AXES and each.target in aims]
    headings = ("series", "reaches", "at", "interval", "of its cost", "resamples")
    return Table(headings, tuple(_crossing_row(report, each) for each in shown)) if shown else None


def _crossing_row(report: Report, crossing: Crossing) -> tuple[str, ...]:
    """`resamples` is the share of the resamples of problems in which the series gets there."""
    target, share = report.point(crossing.target), looks.percent(crossing.share)
    aim = f"{target.name} ({looks.percent(target.accuracy.value)})"
    if crossing.at is None:
        return crossing.series, aim, f"not up to n={report.point(crossing.points[-1]).n}", "-", "-", share
    at = looks.cost_words(crossing.axis, crossing.at)
    ends = [looks.cost_words(crossing.axis, end) for end in (crossing.low, crossing.high) if end is not None]
    ratio = f"{crossing.at / crossing.target_cost:.2g}" if crossing.target_cost else "-"
    return crossing.series, aim, at, " to ".join(ends) or "-", ratio, share


def _match_lines(report: Report) -> Iterator[str]:
    aims = targets(report)
    return (match_line(report, each) for each in report.matches if each.large in aims)


def match_line(report: Report, match: Match) -> str:
    """The best small point that costs no more than a large one."""
    large = report.point(match.large).name
    basis = next(
        (words for axis, words in _AXIS_WORDS.items() if axis == match.basis), match.basis.replace("flops", "FLOPs")
    )
    if match.small is None or match.difference is None:
        return f"{basis}: no point of a smaller engine costs as little as {large}"
    return f"{basis}: {difference_line(report, match.difference)}"


def _difference_lines(report: Report) -> Iterator[str]:
    """The widest points against greedy of their engine, and against the targets of larger engines."""
    widest, aims = {point.id for point in looks.widest(report)}, targets(report)
    for each in report.differences:
        if each.first in widest and each.second in aims:
            yield difference_line(report, each)


def difference_line(report: Report | Comparison, difference: Difference) -> str:
    """Who is ahead and by how much; or that these problems cannot tell."""
    first, second = (_name(report, name) for name in (difference.first, difference.second))
    counts = f"better on {difference.gains:,}, worse on {difference.losses:,}"
    by = f"{looks.in_points(difference.difference)} points; {counts} of {difference.num_samples:,} problems"
    evidence = f"{by}, p {_probability(difference.mcnemar_p)}"
    ahead = winner(difference.difference)
    if not difference.gains and not difference.losses:
        return f"{first} and {second} are right on the same of {difference.num_samples:,} problems"
    if ahead is None:
        return f"{first} and {second} cannot be told apart here: {evidence}"
    return f"{first} is {'ahead of' if ahead == 'first' else 'behind'} {second}: {evidence}"


def _name(found: Report | Comparison, name: str) -> str:
    """Of a point; in a comparison with the letter of its run."""
    point = found.point(name)
    return f"{_LETTERS[point.run]}'s {_bare_name(point)}" if isinstance(found, Comparison) else point.name


def _probability(p: float) -> str:
    words = looks.probability(p)
    return words if words.startswith("<") else f"= {words}"


# ------------------------------------------------------------------------------------------------------------ levels


def _level_parts(report: Report) -> Iterator[Part]:
    shown = targets(report) | {point.id for point in looks.widest(report)}
    for kind in looks.LEVEL_KINDS:
        found = {(each.point, each.level): each for each in report.levels if each.kind == kind and each.point in shown}
        if not found:
            continue
        names = list(dict.fromkeys(level for _, level in found))
        rows = [
            (
                point.name,
                *(_share(found[point.id, name].accuracy) if (point.id, name) in found else "-" for name in names),
            )
            for point in report.points
            if point.id in shown
        ]
        title = f"Accuracy by {looks.LEVEL_WORDS[kind]}"
        headings = ("setting", *(_level_heading(kind, name, names) for name in names))
        yield Part(title, Table(headings, tuple(rows)), tuple(_agreement(report, kind)))


def _level_heading(kind: LevelKind, name: str, names: Sequence[str]) -> str:
    if kind == "stated" or name not in (names[0], names[-1]):
        return name
    return f"{name} (easiest)" if name == names[0] else f"{name} (hardest)"


def _agreement(report: Report, kind: LevelKind) -> Iterator[str]:
    found = report.level_agreement
    if kind == "predicted" and found is not None:
        kappa = f", kappa {found['kappa']:.2f}" if "kappa" in found else ""
        same, near = looks.percent(found["same"]), looks.percent(found["within_one"])
        yield f"Predicted and measured levels are the same for {same}, within one for {near}{kappa}"


# ------------------------------------------------------------------------------------------------------------ others


def _grader_lines(report: Report) -> Iterator[str]:
    found = report.grader_disagreement
    if found is None or found["share"] is None:
        return
    first, second = found["graders"]
    yield (
        f"{first} and {second} disagree on {looks.percent(found['share'])} of {found['of']:,} answers judged, of "
        f"{found['among']:,} different ones"
    )
    for case in found["examples"][:3]:
        right, wrong = (first, second) if case[first] else (second, first)
        yield f"  {case['sample_id']}: {case['answer']} for {case['target']} is right to {right}, not to {wrong}"


def _quoted_lines(report: Report) -> Iterator[str]:
    shown = looks.quoted_here(report)
    for each in shown:
        yield f"{looks.quoted_words(each)}: {looks.percent(each.accuracy)} ({each.source}, {each.url})"
    if num_others := len(report.quoted) - len(shown):
        yield f"published figures of other tasks: {num_others:,}"


# -------------------------------------------------------------------------------------------------------- comparison


def comparison_parts(found: Comparison) -> list[Part]:
    """What `bench compare` prints."""
    names = [f"{letter} is {run_line(run)}" for letter, run in zip(_LETTERS, found.runs, strict=True)]
    parts = [
        Part("Runs", lines=tuple(names)),
        Part("A minus B in accuracy, A over B in cost", pairs_table(found)),
        _lines("Who is ahead", _won_lines(found)),
        _lines("By difficulty, where one is ahead", _won_levels(found)),
    ]
    if found.best is not None:
        best = difference_line(found, found.best.difference)
        parts.append(Part("The most accurate setting of each, chosen on these very problems", lines=(best,)))
    return [part for part in parts if part.table is not None or part.lines]


def pairs_table(found: Comparison) -> Table:
    """A row for each pair, and a column for each cost that some pair has."""
    axes = [axis for axis in _AXIS_WORDS if any(axis in pair.ratios for pair in found.pairs)]
    costs = (f"{_AXIS_WORDS[axis]} A/B" for axis in axes)
    headings = ("A", "accuracy", "B", "accuracy", "A - B", "better", "worse", "p", *costs)
    return Table(headings, tuple(_pair_row(found, pair, axes) for pair in found.pairs))


def _pair_row(found: Comparison, pair: Pair, axes: Sequence[Axis]) -> tuple[str, ...]:
    difference = pair.difference
    sides: list[str] = []
    for name in (difference.first, difference.second):
        sides += [_bare_name(found.point(name)), looks.percent(found.point(name).accuracy.value)]
    p = looks.probability(difference.mcnemar_p)
    tests = (looks.in_points(difference.difference), f"{difference.gains:,}", f"{difference.losses:,}", p)
    ratios = (f"{pair.ratios[axis]:.2f}" if axis in pair.ratios else "-" for axis in axes)
    return (*sides, *tests, *ratios)


def _bare_name(point: Point) -> str:
    """Without the number of its run."""
    return point.name.removeprefix(f"{point.run + 1}/")


def _won_lines(found: Comparison) -> Iterator[str]:
    """The pairs that one side has won, and how many neither has."""
    for pair in found.pairs:
        if pair.winner is not None:
            yield difference_line(found, pair.difference)
    num_open = sum(pair.winner is None for pair in found.pairs)
    if num_open:
        yield (
            f"In {num_open:,} of {len(found.pairs):,} pairs the interval includes zero: these problems cannot tell the "
            "two apart, which does not show that they are equal"
        )


def _won_levels(found: Comparison) -> Iterator[str]:
    for pair in found.pairs:
        for side, word in (("first", "ahead of"), ("second", "behind")):
            won = [each for each in pair.levels if winner(each.difference) == side]
            if won:
                first, second = (_name(found, name) for name in (pair.difference.first, pair.difference.second))
                levels = (f"{_LEVEL_WORDS[each.kind]} {each.level} {looks.in_points(each.difference)}" for each in won)
                yield f"{first} is {word} {second} on {', '.join(levels)}"
