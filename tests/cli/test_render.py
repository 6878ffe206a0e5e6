"""The views of a running search: what they show, how often, and that model text cannot act in them."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from fake_pipeline import beam, progress, solution
from rich.console import Console

from edgesearch.events import Progress, Solved, Started
from edgesearch.types import Beam, Candidate, ModelNames, StrategyUsed

STARTED = Started("?", 10.0, 0.5, ModelNames("nano", "nano-prm"), StrategyUsed("beam", 16, 4, "last"), "it fits")


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def render(part: Callable[[str], Any]) -> Any:
    return part("render")


def painted(render: Any, event: Progress, width: int = 60, max_beams: int = 6) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(render.picture("nano", event, max_beams))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def feed(view: Any, clock: Clock, times: Iterable[float]) -> None:
    view.show(STARTED)
    for time_s in times:
        clock.now = time_s
        view.show(progress())
    view.show(Solved(solution()))
    view.close()


def test_a_plain_view_prints_at_most_a_line_a_second(render: Any, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    feed(render.PlainView(clock), clock, [tenth / 10 for tenth in range(31)])
    stderr = capsys.readouterr().err
    assert stderr.count("s left") == 3
    assert stderr.startswith("nano with nano-prm, 10 s, beam n=16 m=4 last: it fits\n")
    assert "\x1b" not in stderr


def test_a_plain_line_tells_time_width_speed_and_the_best_answer(
    render: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    view = render.PlainView(clock)
    view.show(STARTED)
    clock.now = 1.0
    view.show(progress(beam("x"), best=Candidate(beam("x"), "41", None)))
    expected = "5.0 s left, 1 beam, 1 candidate, 100 tokens, 200 tokens/s, best so far 41\n"
    assert capsys.readouterr().err.endswith(expected)


def test_an_answer_that_is_proven_wrong_is_not_called_the_best(render: Any) -> None:
    wrong = dataclasses.replace(beam("x"), proof=False)
    assert render.best_line(progress(best=Candidate(wrong, "41", 0.9))) == "no right answer yet, 41 is wrong"
    assert render.best_line(progress(best=Candidate(beam("x"), "41", 0.9))) == "best so far 41 (score 0.90)"


def test_a_picture_shows_the_last_line_of_the_best_beams_with_their_scores(render: Any) -> None:
    found = painted(render, progress(*(beam("first", f"\nline\nlast of {n}\n\n") for n in range(9)), seconds_left=1.26))
    assert "1.3 s left" in found
    assert "0.50  last of 0" in found
    assert "last of 5" in found
    assert "last of 6" not in found


def test_markup_and_control_characters_in_model_text_are_shown_or_dropped_but_never_obeyed(render: Any) -> None:
    text = "[bold red]x[/] [link=http://a]\x1b[2J\x07\u202e[/nope] :smile:"
    best = Candidate(beam("x"), "[/red]4\x1b[1m2", 0.5)
    found = painted(render, progress(beam(text), best=best), width=100)
    assert "[bold red]x[/] [link=http://a][2J[/nope] :smile:" in found
    assert "best so far [/red]4[1m2 (score 0.50)" in found
    assert not {"\x1b", "\x07", "\u202e"} & set(found)


def test_no_line_is_wider_than_the_terminal(render: Any) -> None:
    found = painted(render, progress(beam("word " * 5000), best=Candidate(beam("x"), "9" * 500, 0.5)), width=40)
    assert max(map(len, found.splitlines())) <= 40
    assert len(found.splitlines()) == 4


@pytest.mark.parametrize("each", [beam(), beam(""), beam("\n\n"), beam("x", " \n")])
def test_a_beam_without_text_has_an_empty_line(render: Any, each: Beam) -> None:
    assert render.last_line(each) == ""


def test_a_live_view_paints_at_most_four_times_a_second_and_leaves_nothing(render: Any) -> None:
    clock = Clock()
    view = render.LiveView(clock)
    file = io.StringIO()
    view._console = Console(file=file, width=60, height=20, force_terminal=True)
    feed(view, clock, [tick / 40 for tick in range(41)])
    output = file.getvalue()
    assert 4 <= output.count("s left") <= 6
    assert output.count("\x1b[?25l") == output.count("\x1b[?25h") == 1  # the cursor is hidden and comes back


def test_a_live_view_can_show_one_problem_after_another(render: Any) -> None:
    clock = Clock()
    view = render.LiveView(clock)
    view._console = Console(file=io.StringIO(), width=60, height=20, force_terminal=True)
    for _ in range(2):
        feed(view, clock, [0.0, 1.0])


@pytest.mark.parametrize(("term", "is_live"), [("xterm-256color", True), ("dumb", False), ("unknown", False)])
def test_only_a_capable_terminal_is_painted(
    render: Any, monkeypatch: pytest.MonkeyPatch, term: str, is_live: bool
) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", term)
    assert isinstance(render.open_view(is_shown=True), render.LiveView) == is_live
    assert isinstance(render.open_view(is_shown=False), render.NoView)


@pytest.mark.parametrize(("seconds", "text"), [(0.5, "500 ms"), (1, "1 s"), (90, "90 s"), (2.5, "2.5 s")])
def test_durations_read_like_budgets(render: Any, seconds: float, text: str) -> None:
    assert render.seconds(seconds) == text
