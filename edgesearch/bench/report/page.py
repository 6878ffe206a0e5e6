"""A report as one HTML file that works offline: tables, charts, and the samples behind every point.

The tables are plain HTML (page_tables.py). A script draws the charts and opens samples from JSON that is part of the
file (embedding.py, page_samples.py), and puts all text in as text. A content security policy forbids everything else:
the page can load nothing, send nothing, and run no script but its own, whose digest the policy names.

    page.html                       the frame, and how to read it
    page.css                        light, dark, paper
    page_dom.js page_charts.js page_viewer.js page.js

Not covered: the figures (measure.py), PNG files (charts.py).
Source: https://www.w3.org/TR/CSP3/ (hashes of inline scripts and styles).
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import metadata, resources
from pathlib import Path
from string import Template
from typing import Any

from edgesearch.bench.files import replaced
from edgesearch.bench.report import chart_curves, looks, page_tables
from edgesearch.bench.report.embedding import digest, element, encoded
from edgesearch.bench.report.model import Report
from edgesearch.bench.report.page_samples import Excerpts
from edgesearch.bench.store import Store

_SCRIPTS = ("page_dom.js", "page_charts.js", "page_viewer.js", "page.js")
_SAMPLES = "$samples"
"""Where the outcomes go, which are written as they are read."""


def write(report: Report, stores: Sequence[Store], path: Path) -> None:
    """Writes the page; a page that was there is replaced once the new one is whole.

    Args:
        report: what it shows.
        stores: of the report's runs, in their order, open for reading.
        path: of the file; its folder must be there.

    Raises:
        ValueError: there are not as many stores as runs.
        UsageError: the path is a folder, or belongs to a store.
        EdgesearchError: the file cannot be written.
    """
    if len(stores) != len(report.runs):
        raise ValueError(f"stores must be those of the report's {len(report.runs)} runs, not {len(stores)}")
    with replaced(path, stores=[store.path for store in stores]) as file:
        for part in _parts(report, stores):
            file.write(part.encode("utf-8", "backslashreplace"))  # a path may hold bytes that are no text


def _parts(report: Report, stores: Sequence[Store]) -> Iterator[str]:
    values = _values(report)
    before, after = _static("page.html").split(_SAMPLES)
    yield Template(before).substitute(values)
    excerpts = Excerpts(report, stores)
    for number, outcomes in excerpts.points():
        yield element(f"outcomes-{number}", outcomes)
    problems = ",".join(f"{encoded(name)}:{problem}" for name, problem in excerpts.problems())
    yield element("problems", f"{{{problems}}}")
    yield Template(after).substitute(values)


def _values(report: Report) -> dict[str, str]:
    """What goes into page.html."""
    style = _static("page.css")
    script = "\n".join(map(_static, _SCRIPTS))
    sections = [section for section in _sections(report) if section[2]]
    return {
        "policy": f"default-src 'none'; script-src {digest(script)}; style-src {digest(style)}; base-uri 'none'; "
        "form-action 'none'",
        "version": escape(metadata.version("edgesearch")),
        "title": escape(", ".join(dict.fromkeys(run.name for run in report.runs)) or "No runs"),
        "summary": escape(_summary(report)),
        "contents": "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in sections),
        "warnings": _warnings(report),
        "sections": "\n".join(_section(*section) for section in sections),
        "data": element("report", encoded(report.as_json())) + element("view", encoded(_view(report))),
        "style": style,
        "script": script,
    }


def _static(name: str) -> str:
    return resources.files("edgesearch.bench.report").joinpath(name).read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------- sections


def _sections(report: Report) -> Iterator[tuple[str, str, str]]:
    """Id, title and content of each; empty where there is nothing to show."""
    costs = _chart("costs") if looks.axes(report) else ""
    yield "accuracy", "Accuracy and what it costs", costs + page_tables.points(report)
    curves = _chart("curves") if report.curves else ""
    yield "coverage", "Coverage and selection", curves + page_tables.curves(report)
    levels = _chart("levels") if report.levels else ""
    yield "difficulty", "Difficulty", levels + _agreement(report) + page_tables.levels(report)
    differences = _chart("differences") if report.differences else ""
    yield "paired", "Differences", differences + page_tables.differences(report)
    yield "larger", "Small against large", page_tables.crossings(report) + page_tables.matches(report)
    yield "grading", "Grading", _grading(report)
    yield "published", "Published figures", page_tables.quoted(report)
    yield "origin", "Runs", page_tables.runs(report)


def _section(name: str, title: str, content: str) -> str:
    return f'<section class="card" id="{name}"><h2>{escape(title)}</h2>\n{content}</section>'


def _chart(kind: str) -> str:
    return f'<div class="chart" data-chart="{kind}"></div>\n'


def _summary(report: Report) -> str:
    dates = sorted(run.created for run in report.runs)
    counts = f"{len(report.points):,} points, {sum(point.num_outcomes for point in report.points):,} outcomes"
    machines = dict.fromkeys(run.machine["processor"] for run in report.runs if run.machine.get("processor"))
    words = [looks.task_words(report), counts, *machines, f"begun {dates[0]}" if dates else ""]
    return "; ".join(word for word in words if word)


def _warnings(report: Report) -> str:
    if not report.warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in report.warnings)
    return f'<section class="card warnings" id="warnings"><h2>Know before you read</h2><ul>{items}</ul></section>'


def _agreement(report: Report) -> str:
    found = report.level_agreement
    if not found:
        return ""
    same, near = looks.percent(found["same"]), looks.percent(found["within_one"])
    words = f"Measured and predicted levels are the same for {same} of the problems, and at most one apart for {near}"
    return f"<p>{words} (kappa {found['kappa']:.2f}).</p>\n"


def _grading(report: Report) -> str:
    """How far two graders, and two ways of finding the answer, disagree."""
    parts = []
    if found := report.grader_disagreement:
        graders = escape(" and ".join(map(str, found["graders"])))
        share = "none could be judged" if found["share"] is None else f"{looks.percent(found['share'])} of them"
        parts.append(f"<p>{graders} were asked about {found['of']:,} answers and disagree on {escape(share)}.</p>")
        parts += [f'<p class="text">{escape(_example(each))}</p>' for each in found["examples"]]
    disputed = [each.extraction_disagreement for each in report.points if each.extraction_disagreement is not None]
    if disputed:
        most = looks.percent(max(disputed))
        parts.append(
            f"<p>Strict and flexible extraction of answers differ on at most {most} of a point's outcomes.</p>"
        )
    return "\n".join(parts)


def _example(example: Mapping[str, Any]) -> str:
    """One answer on which graders disagree."""
    verdicts = {True: "right", False: "wrong", None: "cannot tell"}
    words = {name: value if isinstance(value, str) else verdicts.get(value, value) for name, value in example.items()}
    return ", ".join(f"{name.replace('_', ' ')}: {word}" for name, word in words.items())


# ------------------------------------------------------------------------------------------------------ for page.js


def _view(report: Report) -> dict[str, Any]:
    """How page.js shows the report; lists of points are in the report's order."""
    found = looks.point_looks(report)
    numbers = {point.id: number for number, point in enumerate(report.points)}
    shown = chart_curves.shown(report)
    return {
        "axes": [
            {
                "axis": axis,
                "title": looks.AXIS_LOOKS[axis].title,
                "word": looks.AXIS_LOOKS[axis].word,
                "unit": looks.AXIS_LOOKS[axis].unit,
                "costs": [looks.cost_of(point, axis) for point in report.points],
            }
            for axis in looks.axes(report)
        ],
        "points": [
            {
                "name": point.name,
                "engine": found[point.id].engine,
                "colour": found[point.id].colour,
                "strategy": found[point.id].strategy,
                "marker": found[point.id].marker,
                "label": found[point.id].label,
                "series": " ".join(found[point.id].series),
                "facts": facts,
            }
            for point, facts in zip(report.points, page_tables.facts(report), strict=True)
        ],
        "numbers": numbers,
        "widest": [numbers[point.id] for point in looks.widest(report)],
        "quoted": [
            {"accuracy": each.accuracy, "words": looks.quoted_words(each)} for each in looks.quoted_shown(report)
        ],
        "quoted_title": looks.quoted_title(report),
        "fits": {each.point: chart_curves.fit_words(each.fit) for each in report.curves if each.fit is not None},
        "curve": report.curves.index(shown[0]) if shown else 0,
        "level_words": looks.LEVEL_WORDS,
    }
