"""Charts are drawn of what has data, whatever the texts, and of nothing else."""

import dataclasses
import importlib
import struct
from pathlib import Path
from typing import Any

import made_reports
import pytest

from edgesearch.bench.report import chart_curves, charts
from edgesearch.bench.report.chart_curves import k_ticks
from edgesearch.bench.report.model import Estimate, Report, Run
from edgesearch.bench.store import Store
from edgesearch.errors import EdgesearchError

ALL = [
    "accuracy-seconds.png",
    "accuracy-flops.png",
    "accuracy-memory.png",
    "accuracy-dollars.png",
    "accuracy-tokens.png",
    "coverage.png",
    "difficulty-oracle.png",
    "difficulty-stated.png",
    "differences.png",
]


@pytest.fixture
def matplotlib() -> None:
    pytest.importorskip("matplotlib")


@pytest.fixture
def figures(matplotlib: None, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Takes the figures that are drawn."""
    return kept_figures(monkeypatch)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Path, ...], list[Any]]:
    """All charts of the whole report: their files and figures."""
    pytest.importorskip("matplotlib")
    with pytest.MonkeyPatch.context() as patch:
        figures = kept_figures(patch)
        written = charts.write(made_reports.report(), tmp_path_factory.mktemp("charts") / "new" / "folder")
    return written, figures


def kept_figures(patch: pytest.MonkeyPatch) -> list[Any]:
    library = importlib.import_module("matplotlib.figure")
    found: list[Any] = []
    save = library.Figure.savefig

    def kept(figure: Any, *args: Any, **options: Any) -> None:
        found.append(figure)
        save(figure, *args, **options)

    patch.setattr(library.Figure, "savefig", kept)
    return found


def only_seconds(report: Report) -> Report:
    """The same with one chart only, which is quicker."""
    points = tuple(
        dataclasses.replace(each, dollars=None, peak_bytes=None, solver_flops=0.0, verifier_flops=0.0, tokens=0.0)
        for each in report.points
    )
    return dataclasses.replace(report, points=points, curves=(), levels=(), differences=(), fronts=report.fronts[:1])


def texts(figure: Any) -> list[str]:
    """Every text in a figure."""
    text = importlib.import_module("matplotlib.text")
    return [each.get_text() for each in figure.findobj(text.Text)]


def check_png(path: Path) -> None:
    data = path.read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[-8:-4] == b"IEND"
    assert min(width, height) > 100


def test_every_axis_with_data_has_a_chart_of_its_own(drawn: tuple[tuple[Path, ...], list[Any]]):
    written, _ = drawn
    assert [path.name for path in written] == ALL
    assert sorted(ALL) == sorted(path.name for path in written[0].parent.iterdir())
    for path in written:
        check_png(path)


@pytest.mark.usefixtures("matplotlib")
def test_a_chart_without_data_is_not_drawn(tmp_path: Path):
    written = charts.write(only_seconds(made_reports.report()), tmp_path)
    assert [path.name for path in written] == ["accuracy-seconds.png"]


@pytest.mark.usefixtures("matplotlib")
def test_a_report_without_points_has_no_charts(tmp_path: Path):
    assert charts.write(made_reports.empty(), tmp_path) == ()
    assert charts.write(Report(runs=(), points=()), tmp_path) == ()


@pytest.mark.usefixtures("matplotlib")
def test_one_point_that_is_always_right_and_equal_costs_can_be_drawn(tmp_path: Path):
    report = made_reports.report()
    sure = Estimate(1.0, 1.0, 1.0)
    same = dataclasses.replace(report.points[0], accuracy=sure, peak_bytes=100)
    for points in ((same,), (same, dataclasses.replace(same, id="2", n=4))):
        assert len(charts.write(only_seconds(Report(runs=report.runs, points=points)), tmp_path)) == 1


def test_titles_say_what_is_drawn_and_axes_have_units(drawn: tuple[tuple[Path, ...], list[Any]]):
    _, figures = drawn
    seconds = texts(figures[0])
    assert "Accuracy against seconds per problem (mean): arithmetic mixed" in seconds
    assert "accuracy (%), bars: 95% intervals" in seconds
    assert "100 ms" in seconds
    assert {"16", "4", "1"} <= set(seconds)  # the points' n
    assert {"nano", "large", "beam search", "Pareto front"} <= set(seconds)
    assert "Difference of accuracy on the same problems, first minus second" in texts(figures[-1])


def test_the_fitted_law_is_dashed_and_its_error_is_in_the_legend(drawn: tuple[tuple[Path, ...], list[Any]]):
    _, figures = drawn
    axes = figures[ALL.index("coverage.png")].axes[0]
    (fit,) = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert fit.get_label() == "exp(-0.60 k^-0.40), off by 2.1 points at most"
    assert {"coverage: a right one among k", "majority vote of k", "best of k", "weighted vote of k"} <= {
        line.get_label() for line in axes.get_lines()
    }


def test_quoted_figures_are_hollow_apart_and_joined_to_nothing(drawn: tuple[tuple[Path, ...], list[Any]]):
    figure = drawn[1][0]
    measured, quoted = figure.axes
    assert any("71.0 quoted: Big-8B greedy" in words for words in texts(figure))
    assert not any("Big-70B" in words for words in texts(figure))  # it is about another task
    (mark,) = [line for line in quoted.get_lines() if line.get_marker() == "o"]
    assert mark.get_markerfacecolor() == "none"
    assert all(71.0 not in line.get_ydata() for line in measured.get_lines())


def test_without_quoted_figures_there_is_no_place_for_them(tmp_path: Path, figures: list[Any]):
    charts.write(dataclasses.replace(only_seconds(made_reports.report()), quoted=()), tmp_path)
    assert len(figures[0].axes) == 1


@pytest.mark.usefixtures("matplotlib")
def test_dollar_signs_and_odd_letters_are_text_and_not_formulas(tmp_path: Path):
    report = made_reports.renamed(only_seconds(made_reports.report()), task="costs $5 or $x_{$ \\frac{ $ $$ <b>")
    assert len(charts.write(report, tmp_path)) == 1


@pytest.mark.usefixtures("matplotlib")
def test_many_points_differences_and_engines_can_be_drawn(tmp_path: Path):
    report = made_reports.report()
    run = report.runs[0]
    points = tuple(
        dataclasses.replace(each, id=f"{number}/{each.id}", run=number, n=each.n + number)
        for number in range(10)
        for each in report.points
    )
    differences = tuple(
        dataclasses.replace(report.differences[0], first=points[0].id, second=each.id) for each in points[1:]
    )
    many = only_seconds(Report(runs=(run,) * 10, points=points, quoted=report.quoted * 20))
    assert len(charts.write(dataclasses.replace(many, differences=differences), tmp_path)) == 2


def test_more_differences_than_there_is_room_for_are_counted(tmp_path: Path, figures: list[Any]):
    report = only_seconds(made_reports.report())
    many = made_reports.report().differences * 30
    charts.write(dataclasses.replace(report, differences=many), tmp_path)
    title = "Difference of accuracy on the same problems, first minus second (the first 40 of 60)"
    assert title in texts(figures[-1])


def test_no_chart_touches_the_state_of_pyplot(tmp_path: Path, matplotlib: None):
    library = importlib.import_module("matplotlib")
    before = dict(library.rcParams)
    charts.write(only_seconds(made_reports.report()), tmp_path)
    assert dict(library.rcParams) == before


def test_without_matplotlib_the_error_holds_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(EdgesearchError, match=r"pip install 'edgesearch\[bench\]'"):
        charts.write(made_reports.report(), tmp_path / "charts")
    assert not (tmp_path / "charts").exists()


@pytest.mark.usefixtures("matplotlib")
def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EdgesearchError, match="cannot be made"):
        charts.write(made_reports.report(), tmp_path / "file" / "charts")


def test_ticks_of_k_are_powers_of_two_and_never_too_many():
    assert k_ticks([1, 2, 3, 4]) == [1, 2, 4]
    assert k_ticks([1]) == [1]
    assert k_ticks([3, 5, 9]) == [3, 4, 8]
    assert k_ticks([1, 10_000]) == [1, 4, 16, 64, 256, 1024, 4096]


@pytest.mark.usefixtures("matplotlib")
def test_a_run_of_the_built_in_models_is_drawn(real_run: tuple[Report, Store], tmp_path: Path):
    names = {path.name for path in charts.write(real_run[0], tmp_path)}
    wanted = {"accuracy-seconds.png", "accuracy-flops.png", "accuracy-memory.png", "coverage.png", "differences.png"}
    assert wanted <= names
    for name in names:
        check_png(tmp_path / name)


def test_runs_are_told_apart_by_their_number(tmp_path: Path, figures: list[Any]):
    report = only_seconds(made_reports.report())
    other: Run = dataclasses.replace(report.runs[0], path="other.sqlite")
    moved = tuple(dataclasses.replace(each, id=f"2/{each.name}", run=1) for each in report.points)
    charts.write(Report(runs=(*report.runs, other), points=report.points + moved), tmp_path)
    assert {"1/nano", "2/nano", "1/large", "2/large"} <= set(texts(figures[0]))


@pytest.mark.parametrize("num_curves", [1, 2, 3])
def test_a_panel_without_a_curve_is_not_drawn(matplotlib: None, num_curves: int) -> None:
    from matplotlib.figure import Figure

    figure, made = Figure(), made_reports.report()
    chart_curves.draw(made, [made.curves[0]] * num_curves, figure)
    assert [axes.axison for axes in figure.axes].count(True) == num_curves
