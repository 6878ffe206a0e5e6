"""`edgesearch bench report` and `bench compare`: tables, JSON, files and refusals, on a run of the built-in models."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from edgesearch.bench import recipe
from edgesearch.bench.report.model import Estimate, Quoted
from edgesearch.bench.runner import Runner
from edgesearch.bench.units import make_plan

Run = Callable[..., Result]

RECIPE = """
name = "a [bold]test"
seeds = [0, 1]

[task]
name = "arithmetic"
limit = {limit}

[[engines]]
id = "small"
kind = "gguf"
solver = "nano"
check = false

[[engines]]
id = "large"
kind = "gguf"
solver = "nano-large"
verifier = "none"
check = false

[[grid]]
engines = ["small", "large"]
strategy = "greedy"
budget_s = 60.0

[[grid]]
engines = "small"
strategy = "weighted"
n = [1, 4]
budget_s = 60.0
"""


def solved(folder: Path, limit: int) -> str:
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(limit=limit), encoding="utf-8")
    store = folder / f"run-{limit}.sqlite"
    for _ in Runner(make_plan(recipe.load(path)), store).events():
        pass
    return str(store)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return solved(tmp_path_factory.mktemp("run"), 6)


def error_of(result: Result) -> str:
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


# -- report ------------------------------------------------------------------------------------------------------------


def test_a_report_is_a_table_of_points_and_sentences(run: Run, store: str) -> None:
    result = run("bench", "report", store, "--price", "small=0.02/hour")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    heading = next(line for line in lines if line.startswith("setting  "))
    assert heading.split()[:4] == ["setting", "accuracy", "coverage", "gap"]
    assert heading.split()[-2:] == ["memory", "dollars"]
    row = next(line for line in lines if line.startswith("small weighted n=4 m=1 60s "))
    assert re.search(r"\d+\.\d% \(\d+\.\d to \d+\.\d\)", row)
    assert "MFLOP" in row
    assert row.split()[-1].startswith("$")
    assert next(line for line in lines if line.startswith("large greedy")).split()[-1] == "-"  # no price
    for words in ("What k candidates", "to reach a larger one", "At equal cost", "Differences", "Two graders"):
        assert words in result.stdout
    assert "a [bold]test: arithmetic, 6 samples, 48 of 48 outcomes" in result.stdout
    assert "Warning: matches at equal cost" in result.stderr


def test_json_is_the_whole_report(run: Run, store: str) -> None:
    result = run("bench", "report", store, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["schema_version"], len(found["points"]), len(found["curves"])) == (1, 4, 1)
    assert found["points"][0]["dollars"] is None
    assert {each["kind"] for each in found["levels"]} == {"oracle", "predicted", "stated"}


def test_pages_and_charts_are_written_by_their_makers(
    run: Run, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgesearch.bench.report import charts, page

    written: list[Any] = []
    monkeypatch.setattr(page, "write", lambda report, stores, path: written.append((stores[0].counts(), path)))
    monkeypatch.setattr(charts, "write", lambda report, folder: written.append(folder))
    result = run("bench", "report", store, "--html", str(tmp_path / "r.html"), "--png", str(tmp_path / "png"), "--json")
    assert result.exit_code == 0
    (counts, path), folder = written
    assert (path, folder) == (tmp_path / "r.html", tmp_path / "png")
    assert counts  # the stores are open while the page is written


def test_published_figures_stand_beside_the_measured_ones(
    run: Run, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgesearch.bench import published

    quoted = Quoted("arithmetic", "a model", None, "greedy", None, 0.5, "a paper", "https://example.org")
    other = dataclasses.replace(quoted, task="another task")
    monkeypatch.setattr(published, "read", lambda path: (quoted, other))
    result = run("bench", "report", store, "--published", str(tmp_path / "published.toml"))
    line = next(line for line in result.stdout.splitlines() if "https://example.org" in line)
    assert "quoted" in line
    assert line.endswith(": 50.0% (a paper, https://example.org)")
    assert "published figures of other tasks: 1" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--price", "smal=1/hour"], "no run has the engine 'smal'"),
        (["--price", "small=free"], "no price is named 'free'"),
        (["--price", "small"], "write ENGINE=NAME"),
        (["--price", "small=1/hour", "--price", "small=2/hour"], "more than once"),
    ],
)
def test_a_price_that_means_nothing_is_wrong_usage(run: Run, store: str, options: list[str], message: str) -> None:
    result = run("bench", "report", store, *options)
    assert result.exit_code == 2
    assert message in error_of(result)


def test_a_store_that_is_not_there_or_none_is_wrong_usage(run: Run, store: str, tmp_path: Path) -> None:
    result = run("bench", "report", str(tmp_path / "gone.sqlite"), "--json")
    assert result.exit_code == 2
    assert "there is no store" in json.loads(result.stdout)["error"]["message"]
    other = tmp_path / "notes.txt"
    other.write_text("no store", encoding="utf-8")
    assert "no store of a run" in error_of(run("bench", "report", str(other)))
    assert run("bench", "report").exit_code == 2
    assert "given twice" in error_of(run("bench", "report", store, store))


def test_runs_of_other_samples_are_refused(run: Run, store: str, tmp_path: Path) -> None:
    result = run("bench", "report", store, solved(tmp_path, 2))
    assert result.exit_code == 2
    assert "other samples" in error_of(result)


# -- compare -----------------------------------------------------------------------------------------------------------


def test_a_comparison_tells_pairs_and_that_a_copy_cannot_be_told_apart(run: Run, store: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    shutil.copy(store, copy)
    result = run("bench", "compare", store, str(copy))
    assert result.exit_code == 0
    row = next(line for line in result.stdout.splitlines() if line.startswith("small weighted n=4"))
    assert "+0.0 (+0.0 to +0.0)" in row
    assert row.split()[-1] == "1.00"
    assert "In 4 of 4 pairs the interval includes zero" in result.stdout
    assert "does not show that they are equal" in result.stdout


def test_a_comparison_is_json_with_winners(run: Run, store: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    shutil.copy(store, copy)
    found = json.loads(run("bench", "compare", store, str(copy), "--json").stdout)
    assert found["schema_version"] == 1
    assert [pair["winner"] for pair in found["pairs"]] == [None] * 4
    assert found["pairs"][0]["ratios"]["flops"] == 1.0


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def words(part: Callable[[str], Any]) -> Any:
    return part("render_report")


def test_a_difference_is_told_as_what_its_interval_allows(words: Any, run: Run, store: str) -> None:
    from edgesearch.bench.report.measure import measure
    from edgesearch.bench.store import Store

    with Store.read(store) as opened:
        report = measure([opened])
    made = dataclasses.replace(report.differences[0], gains=5, losses=1, mcnemar_p=0.2)
    names = [report.point(name).name for name in (made.first, made.second)]
    for estimate, verdict in (
        (Estimate(0.1, 0.02, 0.2), f"{names[0]} is ahead of {names[1]}: +10.0 (+2.0 to +20.0) points"),
        (Estimate(-0.1, -0.2, -0.02), f"{names[0]} is behind {names[1]}"),
        (Estimate(0.1, -0.02, 0.2), f"{names[0]} and {names[1]} cannot be told apart here"),
    ):
        assert words.difference_line(report, dataclasses.replace(made, difference=estimate)).startswith(verdict)
    same = dataclasses.replace(made, gains=0, losses=0)
    assert "are right on the same of 6 problems" in words.difference_line(report, same)


def test_plain_tables_are_aligned_and_harmless(words: Any) -> None:
    table = words.Table(("name", "figure"), (("a\x1b[2J\nname", "1"), ("b", "1,000")))
    assert words.plain_lines(table) == ["name       figure", "a[2J name       1", "b           1,000"]


def test_a_painted_table_shows_names_as_they_are(words: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words._paint(words.Table(("name", "figure"), (("[red]x[/red]", "1"),)))
    assert "[red]x[/red]" in capsys.readouterr().out
