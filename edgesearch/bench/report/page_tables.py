"""The tables of a page, as plain HTML that reads without a script.

Every text is escaped here. A cell carries the number it is sorted by; a column without any text is left out. Links
from points (`#point-3`) open their samples where scripts run (page.js).

Not covered: the page around the tables (page.py, page.html).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from edgesearch.bench.report import looks
from edgesearch.bench.report.chart_curves import fit_words
from edgesearch.bench.report.model import (
    Axis,
    Crossing,
    Curve,
    Difference,
    Estimate,
    LevelAccuracy,
    Match,
    Point,
    Quoted,
    Report,
    Run,
)

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and what it is sorted by."""

    text: str = ""
    sort: float | None = None
    """None to sort by the text; an empty cell always comes last."""
    href: str | None = None


NOTHING = Cell()


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A heading, and how each row fills its cell."""

    title: str
    cell: Callable[[Row], Cell]
    note: str = ""
    """What it means, shown on hovering."""


def table(name: str, caption: str, columns: Sequence[Column[Row]], rows: Sequence[Row]) -> str:
    """A table that page.js makes sortable; nothing without rows.

    Args:
        name: its id.
        caption: above it.
        columns: from left to right; the first one heads each row.
        rows: from top to bottom.
    """
    cells = [[column.cell(row) for column in columns] for row in rows]
    used = [number for number in range(len(columns)) if any(row[number].text for row in cells)]
    if not used:
        return ""
    head = "".join(_heading(columns[number]) for number in used)
    body = "\n".join(
        f"<tr>{''.join(_cell(row[number], is_heading=number == used[0]) for number in used)}</tr>" for row in cells
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">\n'
        f'<table class="sortable" id="{escape(name)}"><caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n"
    )


def _heading(column: Column[Any]) -> str:
    note = f' title="{escape(column.note)}"' if column.note else ""
    return f'<th scope="col"{note}>{escape(column.title)}</th>'


def _cell(cell: Cell, *, is_heading: bool) -> str:
    text = escape(cell.text)
    if cell.href is not None:
        text = f'<a href="{escape(cell.href)}" rel="noreferrer">{text}</a>'
    sort = "" if cell.sort is None else f' data-sort="{cell.sort!r}"'
    kind = "" if cell.sort is None else ' class="number"'
    return f'<th scope="row"{sort}>{text}</th>' if is_heading else f"<td{kind}{sort}>{text}</td>"


# ------------------------------------------------------------------------------------------------------------- cells


def _number(value: float | None, write: Callable[[float], str]) -> Cell:
    return NOTHING if value is None else Cell(write(value), value)


def _count(value: int | None) -> Cell:
    return _number(value, lambda number: f"{number:,.0f}")


def _estimate(estimate: Estimate | None) -> Cell:
    return NOTHING if estimate is None else Cell(looks.interval(estimate), estimate.value)


def _points(estimate: Estimate | None) -> Cell:
    return NOTHING if estimate is None else Cell(looks.in_points(estimate), estimate.value)


def _cost(axis: Axis, value: float | None) -> Cell:
    return _number(value or None, lambda cost: looks.cost_words(axis, cost))


def _links(report: Report) -> Callable[[str], Cell]:
    """What makes the id of a point its name, which leads to its samples."""
    cells = {point.id: Cell(point.name, href=f"#point-{number}") for number, point in enumerate(report.points)}
    return cells.__getitem__


# ------------------------------------------------------------------------------------------------------------ tables


def points(report: Report) -> str:
    """What every point reaches and costs."""
    return table("points", "Points: what each setting reaches and costs", _point_columns(report), report.points)


def facts(report: Report) -> list[list[tuple[str, str]]]:
    """What the table of points says of each, but its name: headings and texts, without empty ones."""
    columns = _point_columns(report)[1:]
    cells = [[(column.title, column.cell(point).text) for column in columns] for point in report.points]
    return [[(title, text) for title, text in row if text] for row in cells]


def _point_columns(report: Report) -> list[Column[Point]]:
    link = _links(report)
    return [
        Column("point", lambda each: link(each.id), "a setting: all of its seeds together"),
        Column("accuracy", lambda each: _estimate(each.accuracy), "share whose chosen answer is right, 95% interval"),
        Column("coverage", lambda each: _estimate(each.coverage), "share with a right one among the candidates"),
        Column("selection gap", lambda each: _estimate(each.gap), "coverage minus accuracy, paired"),
        Column("unanswered", lambda each: _estimate(each.unanswered)),
        Column("errors", lambda each: _count(each.num_errors or None), "outcomes that failed; they count as not right"),
        Column("flexible", lambda each: _estimate(each.flexible), "accuracy with the answer taken from anywhere"),
        Column("s, mean", lambda each: _cost("wall_s", each.cost("wall_s"))),
        Column("s, median", lambda each: _cost("wall_s", each.wall_s.p50)),
        Column("s, 95%", lambda each: _cost("wall_s", each.wall_s.p95)),
        Column("FLOPs", lambda each: _cost("flops", each.cost("flops")), "solver and verifier together, per problem"),
        Column("of the verifier", _verifier_share, "the verifier's share of the FLOPs"),
        Column("memory", lambda each: _cost("peak_bytes", each.cost("peak_bytes")), "the most of any outcome"),
        Column("dollars", lambda each: _cost("dollars", each.cost("dollars")), "per problem, from the price table"),
        Column("joules", lambda each: _cost("joules", each.cost("joules")), "per problem"),
        Column("tokens", lambda each: _cost("tokens", each.cost("tokens")), "drawn by the solver, per problem"),
        Column("verified tokens", lambda each: _cost("tokens", each.verified_tokens), "read by the verifier"),
        Column("problems", lambda each: _count(each.num_samples)),
        Column("outcomes", lambda each: _count(each.num_outcomes), "problems times seeds"),
        Column("loading", lambda each: _cost("wall_s", each.load_s), "longest; not part of the seconds"),
        Column("solver", lambda each: Cell(each.solver)),
        Column("verifier", lambda each: Cell(each.verifier or "")),
        Column("price", lambda each: Cell(each.price or "")),
    ]


def _verifier_share(point: Point) -> Cell:
    flops = point.cost("flops")
    return NOTHING if not flops else _number(point.verifier_flops / flops, looks.percent)


def curves(report: Report) -> str:
    """Both ends of every curve, and its fit."""
    link = _links(report)

    def end(field: str) -> Callable[[Curve], Cell]:
        return lambda curve: _estimate((getattr(curve, field) or [None])[-1])

    columns: list[Column[Curve]] = [
        Column("point", lambda each: link(each.point)),
        Column("k", lambda each: _count(each.ks[-1]), "the most candidates of a problem"),
        Column("right, k = 1", lambda each: _estimate(each.coverage[0])),
        Column("coverage at k", end("coverage")),
        Column("majority at k", end("majority")),
        Column("best of k", end("best_of_n")),
        Column("weighted at k", end("weighted")),
        Column("fit of coverage", lambda each: Cell("" if each.fit is None else fit_words(each.fit))),
    ]
    return table("curves", "Coverage and selection at the most candidates", columns, report.curves)


def levels(report: Report) -> str:
    """Accuracy by difficulty, a row a point and kind of level."""
    link = _links(report)
    grouped: dict[tuple[str, str], dict[str, LevelAccuracy]] = {}
    for each in report.levels:
        grouped.setdefault((each.point, each.kind), {})[each.level] = each
    words = list(dict.fromkeys(each.level for each in report.levels))

    def at(level: str) -> Callable[[tuple[str, str]], Cell]:
        def cell(row: tuple[str, str]) -> Cell:
            found = grouped[row].get(level)
            return NOTHING if found is None else _estimate(found.accuracy)

        return cell

    columns: list[Column[tuple[str, str]]] = [
        Column("point", lambda row: link(row[0])),
        Column("levels", lambda row: Cell(row[1])),
        *(Column(f"level {word}", at(word)) for word in words),
    ]
    return table("levels", "Accuracy by difficulty", columns, list(grouped))


def differences(report: Report) -> str:
    """Every paired difference."""
    link = _links(report)
    columns: list[Column[Difference]] = [
        Column("first", lambda each: link(each.first)),
        Column("second", lambda each: link(each.second)),
        Column("difference, points", lambda each: _points(each.difference), "accuracy of the first minus the second's"),
        Column("gains", lambda each: _count(each.gains), "problems that the first solves with more of its seeds"),
        Column("losses", lambda each: _count(each.losses), "problems that the second solves with more of its seeds"),
        Column("McNemar p", lambda each: _number(each.mcnemar_p, looks.probability)),
        Column("problems", lambda each: _count(each.num_samples)),
    ]
    return table("differences", "Paired differences of accuracy, first minus second", columns, report.differences)


def crossings(report: Report) -> str:
    """Where small engines with search reach larger ones."""
    link = _links(report)

    def cost(each: Crossing, value: float | None) -> Cell:
        return _cost(each.axis, value)

    columns: list[Column[Crossing]] = [
        Column("series", lambda each: Cell(each.series)),
        Column("reaches", lambda each: link(each.target)),
        Column("in", lambda each: Cell(looks.AXIS_LOOKS[each.axis].word)),
        Column("at", lambda each: Cell("never") if each.at is None else cost(each, each.at)),
        Column("95%, from", lambda each: cost(each, each.low)),
        Column("to", lambda each: cost(each, each.high)),
        Column("resamples that reach it", lambda each: _number(each.share, looks.percent)),
        Column("it costs", lambda each: cost(each, each.target_cost), "what the point to be reached costs itself"),
    ]
    return table("crossings", "Where a series of points reaches another engine's point", columns, report.crossings)


def matches(report: Report) -> str:
    """The best small point for the cost of each large one."""
    link = _links(report)

    def of(each: Match, read: Callable[[Difference], Cell]) -> Cell:
        return NOTHING if each.difference is None else read(each.difference)

    columns: list[Column[Match]] = [
        Column("large", lambda each: link(each.large)),
        Column("at no more", lambda each: Cell(_basis_words(each.basis))),
        Column("best small", lambda each: Cell("none is as cheap") if each.small is None else link(each.small)),
        Column("small minus large, points", lambda each: of(each, lambda found: _points(found.difference))),
        Column("McNemar p", lambda each: of(each, lambda found: _number(found.mcnemar_p, looks.probability))),
        Column("problems", lambda each: of(each, lambda found: _count(found.num_samples))),
    ]
    return table("matches", "The best small point at no more than a large one's cost", columns, report.matches)


def _basis_words(basis: str) -> str:
    known: Mapping[str, looks.AxisLook] = {str(axis): look for axis, look in looks.AXIS_LOOKS.items()}
    return known[basis].word if basis in known else basis


def quoted(report: Report) -> str:
    """What others have published."""
    columns: list[Column[Quoted]] = [
        Column("model", lambda each: Cell(each.model)),
        Column("task", lambda each: Cell(each.task)),
        Column("strategy", lambda each: Cell(looks.strategy_words(each.strategy))),
        Column("n", lambda each: _count(each.n)),
        Column("verifier", lambda each: Cell(each.verifier or "")),
        Column("accuracy", lambda each: _number(each.accuracy, looks.percent)),
        Column("measured here", lambda each: Cell("run again" if each.is_rerun else "no, quoted")),
        Column("source", lambda each: Cell(each.source, href=_web_address(each.url))),
        Column("note", lambda each: Cell(each.note)),
    ]
    return table("quoted", "Published figures, not measured by this report", columns, report.quoted)


def _web_address(url: str) -> str | None:
    """The address where it is one: a link may not run a script."""
    return url if urlsplit(url).scheme in ("http", "https") else None


def runs(report: Report) -> str:
    """Where the outcomes are from."""
    columns: list[Column[Run]] = [
        Column("run", lambda each: Cell(each.name)),
        Column("store", lambda each: Cell(each.path)),
        Column("task", lambda each: Cell(each.task)),
        Column("begun", lambda each: Cell(each.created)),
        Column("problems", lambda each: _count(each.num_samples)),
        Column("outcomes", lambda each: Cell(f"{each.num_outcomes:,} of {each.num_expected:,}", each.num_outcomes)),
        Column("sessions", lambda each: _count(each.num_sessions), "openings for writing; more where it was resumed"),
        Column("machine", lambda each: Cell(_listed(each.machine))),
        Column("versions", lambda each: Cell(_listed(each.versions))),
    ]
    return table("runs", "Runs, their machines and versions (of their first session)", columns, report.runs)


def _listed(words: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {word}" for name, word in words.items())
