"""The views of a run: what they show, how often, and that no text of a problem or a worker can act in them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edgesearch.bench.events import (
    CellCounts,
    CrewChanged,
    EngineLoading,
    RunFinished,
    RunStarted,
    Summary,
    UnitDone,
    WorkerLost,
)
from edgesearch.bench.recipe import Cell

CELL = Cell("small", "majority", 4, 1, 60.0)
PATH = Path("run.sqlite")


def counts(correct: int, wrong: int = 0) -> CellCounts:
    return CellCounts(CELL, 1000, {"correct": correct, "wrong": wrong, "unanswered": 0, "error": 0})


STARTED = RunStarted("a test", PATH, "arithmetic (mixed), 1,000 samples", (counts(0),), 1000, 0)
LOST = WorkerLost("small", CELL, "p0", "it ended with signal SIGABRT; its last line: \x1b[2Joh", False)


def done(number: int, time_left_s: float | None = 200.0) -> UnitDone:
    return UnitDone(counts(number), f"p{number}", "correct", 0.5, "", number, 1000, time_left_s, time_left_s)


def summary(**changes: Any) -> Summary:
    values = {
        "name": "a test", "path": PATH, "task": "arithmetic", "cells": (counts(3, 1), counts(0)), "num_units": 2000,
        "num_resumed": 1, "num_run": 3, "num_lost_workers": 0, "wall_s": 100.0, "solve_s": 98.0, "load_s": 1.0,
        "is_cancelled": False,
    }  # fmt: skip
    return Summary(**values | changes)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def render(part: Callable[[str], Any]) -> Any:
    return part("render_bench")


@pytest.fixture
def terminal(render: Any, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    made = Console(file=written, width=80, height=24, force_terminal=True, color_system=None)
    monkeypatch.setattr("rich.console.Console", lambda **options: made)
    return written


def test_a_plain_view_tells_the_start_and_at_most_a_line_in_ten_seconds(
    render: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    view = render.PlainView(clock)
    view.show(STARTED)
    view.show(EngineLoading("small", 4, 1000))
    for second in range(31):
        clock.now = float(second)
        view.show(done(second + 1))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "a test: arithmetic (mixed), 1,000 samples, 1 cell, 1,000 units; into run.sqlite"
    assert lines[1] == "loading small for n=4, 1,000 units ..."
    assert len(lines) == 2 + 4
    assert lines[2] == (
        "small majority n=4 m=1 60s seed=0: 1 of 1,000, 100.0% correct (1 correct); 1 of 1,000 units, about 3 min left"
    )


def test_a_plain_view_tells_a_cell_that_is_done_at_once(render: Any, capsys: pytest.CaptureFixture[str]) -> None:
    view = render.PlainView(Clock())
    for number in (1, 2, 1000):
        view.show(done(number))
    assert [line.split(":")[1].split()[0] for line in capsys.readouterr().err.splitlines()] == ["1", "1,000"]


def test_a_lost_worker_is_told_in_every_view_without_control_characters(
    render: Any, terminal: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    for view in (render.NoView(), render.PlainView(), render.LiveView()):
        view.show(LOST)
        view.close()
        told = capsys.readouterr().err
        assert "the worker of small was lost over sample p0: it ended with signal SIGABRT" in told
        assert "the unit is tried again" in told
        assert "\x1b[2J" not in told


def test_a_unit_that_is_given_up_is_said_to_be_an_error(render: Any) -> None:
    given_up = WorkerLost("small", CELL, "p0", "it hung", True)
    assert render.lost_line(given_up).endswith("it hung; the unit is recorded as an error")


def test_no_view_shows_nothing_else(render: Any, capsys: pytest.CaptureFixture[str]) -> None:
    view = render.NoView()
    for event in (STARTED, EngineLoading("small", 4, 1), done(1), RunFinished(summary())):
        view.show(event)
    view.close()
    assert capsys.readouterr().err == ""


def test_a_live_view_paints_the_cells_and_the_time_left(render: Any, terminal: io.StringIO) -> None:
    clock = Clock()
    view = render.LiveView(clock)
    view.show(STARTED)
    view.show(EngineLoading("small", 4, 1000))
    clock.now = 1.0
    view.show(done(1))
    clock.now = 2.0
    view.show(done(2, time_left_s=None))
    shown = terminal.getvalue()
    assert "loading small for n=4" in shown
    assert "1 of 1,000 units, about 3 min left" in shown
    assert "2 of 1,000 units" in shown
    view.show(RunFinished(summary()))
    view.close()


def test_a_live_view_paints_at_most_four_times_a_second(
    render: Any, terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted: list[str] = []
    monkeypatch.setattr(render, "picture", lambda lines, footer: painted.append(footer) or footer)
    clock = Clock()
    view = render.LiveView(clock)
    view.show(STARTED)
    for tenth in range(11):
        clock.now = tenth / 10
        view.show(done(tenth))
    view.close()
    assert len(painted) == 4


def test_the_table_has_a_line_a_cell_with_its_accuracy(render: Any) -> None:
    heading, first, second = render.table_lines(summary())
    assert heading.split() == ["cell", "accuracy", "correct", "wrong", "unanswered", "error"]
    assert first.split()[-5:] == ["75.0%", "3", "1", "0", "0"]
    assert second.split()[-5:] == ["-", "0", "0", "0", "0"]
    assert len({len(line) for line in (heading, first, second)}) == 1


def test_the_seeds_of_a_setting_may_be_one_line(render: Any) -> None:
    _, line = render.table_lines(summary(), is_by_seed=False)
    assert line.startswith("small majority n=4 m=1 60s  ")
    assert line.split()[-5:] == ["75.0%", "3", "1", "0", "0"]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"num_candidates": 4000}, "4,000 samples"),
        ({"num_candidates": 40, "num_cut": 2}, "40 samples, 2 of them cut off"),
        (
            {"num_candidates": 4000, "num_programs": 3500, "num_tried": 1200},
            "4,000 samples; 3,500 programs, of which 1,200 different ones were run",
        ),
    ],
)
def test_samples_are_counted_and_so_are_those_that_were_run(render: Any, counts: dict[str, int], words: str) -> None:
    assert render.samples_line(summary(**counts)) == words


def test_the_summary_says_what_the_harness_cost(render: Any) -> None:
    assert render.summary_line(summary()) == (
        "3 units in 2 min (98 s solving, 1.0 s loading, 1.0% for the harness), 1 were there before"
    )
    assert render.summary_line(summary(num_run=0, num_resumed=4)) == "0 units in 2 min, 4 were there before"


def test_the_harness_share_of_a_cluster_is_of_its_workers_time(render: Any) -> None:
    spread = summary(wall_s=60.0, worker_s=110.0)
    assert render.summary_line(spread) == (
        "3 units in 60 s (98 s solving, 1.0 s loading, 10.0% of 2 min of workers' time for the harness), "
        "1 were there before"
    )


def test_views_tell_how_many_workers_of_a_cluster_there_are(
    render: Any, terminal: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    render.PlainView().show(CrewChanged(2, 3))
    assert capsys.readouterr().err == "2 of 3 workers are there\n"
    live = render.LiveView()
    live.show(STARTED)
    live.show(CrewChanged(2, 3))
    live.close()
    assert "2 of 3 workers are there" in terminal.getvalue()


def test_counts_name_only_what_is_there(render: Any) -> None:
    assert render.counts_words(counts(0)) == "nothing yet"
    assert render.counts_words(counts(3, 1)) == "75.0% correct (3 correct, 1 wrong)"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (59, "59 s"), (99, "99 s"), (180, "3 min"), (3600, "1 h 00 min")],
)
def test_durations_are_as_coarse_as_people_want_them(render: Any, seconds: float, words: str) -> None:
    assert render.duration(seconds) == words
