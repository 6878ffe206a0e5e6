"""Numbers, ticks and labels of a report, the same in charts and page."""

import dataclasses
import itertools

import made_reports
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.bench.report import chart_style, looks
from edgesearch.bench.report.labels import Box, apart, beside_points
from edgesearch.bench.report.model import Estimate, Quoted, Report

POSITIVE = st.floats(1e-9, 1e21)
PLACES = st.lists(st.floats(-1000, 1000), max_size=12)


@pytest.mark.parametrize(
    ("axis", "cost", "words"),
    [
        ("wall_s", 0.0251, "25.1 ms"),
        ("wall_s", 2.5e-5, "25 µs"),
        ("wall_s", 12.345, "12.3 s"),
        ("wall_s", 12_345.6, "12346 s"),
        ("flops", 15_900_000, "15.9 MFLOP"),
        ("flops", 999_600, "1 MFLOP"),
        ("peak_bytes", 1_500_000_000, "1.5 GB"),
        ("dollars", 0.00123, "$0.00123"),
        ("dollars", 5e-7, "$5e-7"),
        ("tokens", 312, "312"),
        ("joules", 2500, "2.5 kJ"),
    ],
)
def test_a_cost_has_three_digits_and_a_unit(axis: looks.Axis, cost: float, words: str):
    assert looks.cost_words(axis, cost) == words


def test_shares_differences_and_probabilities_are_written_with_their_intervals():
    assert looks.interval(Estimate(0.725, 0.681, 0.763)) == "72.5% (68.1 to 76.3)"
    assert looks.in_points(Estimate(0.042, -0.01, 0.093)) == "+4.2 (-1.0 to +9.3)"
    assert looks.in_points(Estimate(-0.0, 0.0, 0.0)) == "+0.0 (+0.0 to +0.0)"
    assert [looks.probability(p) for p in (0.0004, 0.032, 1.0)] == ["< 0.001", "0.032", "1.000"]


@given(POSITIVE, st.floats(1.0, 1e9))
def test_an_axis_has_a_few_ticks_inside_it_whatever_it_spans(low: float, factor: float):
    ends = looks.padded([low, low * factor])
    ticks = looks.ticks(*ends)
    assert 2 <= len(ticks) <= 13
    assert ticks == sorted(set(ticks))
    assert all(ends[0] * (1 - 1e-9) <= tick <= ends[1] * (1 + 1e-9) for tick in ticks)


def test_ticks_are_decades_or_one_two_five_or_even():
    assert looks.ticks(0.9, 1.1e4) == [1, 10, 100, 1000, 1e4]
    assert looks.ticks(0.9, 21) == [1, 2, 5, 10, 20]
    assert looks.ticks(95, 152) == [100, 120, 140]


def test_the_label_of_a_point_is_its_n_and_what_else_tells_it_apart():
    report = made_reports.report()
    first = report.points[0]
    others = (
        dataclasses.replace(first, id="a", budget_s=2.0),
        dataclasses.replace(first, id="b", n=4, settings={"temperature": 0.5}),
        dataclasses.replace(first, id="c", n=4, settings={"temperature": None}),
    )
    found = looks.point_looks(dataclasses.replace(report, points=(first, *others)))
    assert [look.label for look in found.values()] == ["1, 60 s", "1, 2 s", "4, temperature=0.5", "4, temperature=None"]


def test_an_engine_has_a_colour_and_a_strategy_a_marker():
    report = made_reports.report()
    found = [looks.point_looks(report)[point.id] for point in report.points]
    assert [look.colour for look in found] == [0] * 6 + [1] * 2
    assert [look.marker for look in found][:6] == ["plus", "diamond", "diamond", "square", "circle", "circle"]
    strange = dataclasses.replace(report.points[0], id="x", strategy="tree_of_thoughts")
    look = looks.point_looks(dataclasses.replace(report, points=(strange,)))["x"]
    assert (look.marker in chart_style.MARKERS, look.strategy) == (True, "tree of thoughts")


def test_the_widest_points_are_chosen_by_width_and_never_by_accuracy():
    report = made_reports.report()
    worst = tuple(dataclasses.replace(each, accuracy=Estimate(1 / each.n, 0, 1)) for each in report.points)
    names = [point.name for point in looks.widest(dataclasses.replace(report, points=worst))]
    assert names == [
        "nano greedy n=1 m=1 60s",
        "nano majority n=16 m=1 60s",
        "nano best_of_n n=16 m=1 60s",
        "nano beam n=16 m=4 60s",
        "large greedy n=1 m=1 60s",
        "large majority n=4 m=1 60s",
    ]


def quoted(task: str, model: str = "a model") -> Quoted:
    return Quoted(task, model, None, "greedy", 1, 0.5, "a paper", "https://example.org")


@pytest.mark.parametrize("task", ["math500", "MATH-500", "Math 500"])
def test_published_figures_are_of_the_same_task_however_it_is_spelled(task: str):
    report = made_reports.renamed(made_reports.report(), task="math500 (test)")
    report = dataclasses.replace(report, quoted=(quoted(task), quoted("math"), quoted("gsm8k")))
    assert looks.quoted_here(report) == (quoted(task),)


def test_of_many_published_figures_those_of_the_reports_solvers_are_shown_first():
    task = made_reports.report().runs[0].task
    many = tuple(quoted(task, f"model {number}") for number in range(30))
    report = dataclasses.replace(made_reports.report(), quoted=(*many, quoted(task, "Nano-Large")))
    shown = looks.quoted_shown(report)
    assert shown == (quoted(task, "Nano-Large"), *many[: looks.MAX_QUOTED - 1])
    assert looks.quoted_title(report) == "quoted, not measured here (14 of 31)"
    rerun = dataclasses.replace(many[0], is_rerun=True)
    assert looks.quoted_words(rerun) == "quoted, run again here: model 0 greedy n=1"


def test_a_report_without_anything_has_no_axes():
    assert looks.axes(Report(runs=(), points=())) == ()
    assert looks.task_words(Report(runs=(), points=())) == ""


@given(PLACES, st.floats(0.1, 50))
def test_labels_on_a_line_keep_their_order_and_distance(wanted: list[float], gap: float):
    low, high = -1000.0, 1000.0
    places = apart(wanted, gap, low, high)
    room = min(gap, (high - low) / max(1, len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    for number, after in itertools.pairwise(order):
        assert places[after] - places[number] >= room - 1e-6
    assert all(low - 1e-6 <= place <= high + 1e-6 for place in places)


def test_labels_that_are_far_apart_stay_where_they_are_wanted():
    assert apart([30.0, 10.0], 5.0, 0.0, 100.0) == [30.0, 10.0]
    assert apart([50.0, 50.0], 10.0, 0.0, 100.0) == [45.0, 55.0]


def test_a_label_goes_where_it_hides_nothing():
    frame = Box(0, 0, 100, 100)
    points = [(50.0, 50.0), (64.0, 50.0), (97.0, 50.0)]
    places = beside_points(points, [(10.0, 8.0)] * 3, frame)
    for number, place in enumerate(places):
        assert place.shared(frame) == pytest.approx(place.area)
        assert all(place.shared(other) == 0 for other in places[:number])
        assert all(place.shared(Box(x - 4, y - 4, 8, 8)) == 0 for x, y in points)
