"""Views of a run on stderr, and words for a finished one. Imports rich only where there is a terminal to paint.

A live view on a terminal: a line for each cell under way (several on a cluster) and the time left. Elsewhere lines: how
it starts, a lost worker at once, else at most one line in ten seconds and one for each cell that is done.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from edgesearch.bench.events import (
    CellCounts,
    CrewChanged,
    EngineLoading,
    Event,
    RunFinished,
    RunStarted,
    Summary,
    UnitDone,
    WorkerLost,
)

from .terminal import can_repaint, note, one_line, warn

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

SECONDS_PER_PAINT = 0.25
SECONDS_PER_LINE = 10.0


class View(Protocol):
    """Shows the events of a run on stderr."""

    def show(self, event: Event) -> None:
        """Shows one event, or passes it over."""
        ...

    def close(self) -> None:
        """Leaves the terminal as it was; safe to call twice."""
        ...


class NoView:
    """Shows nothing but lost workers (`--no-progress`)."""

    def show(self, event: Event) -> None:
        """Warns of a lost worker."""
        if isinstance(event, WorkerLost):
            warn(lost_line(event))

    def close(self) -> None:
        """Does nothing."""


class PlainView:
    """Lines for logs and pipes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_line_at = -math.inf

    def show(self, event: Event) -> None:
        """Prints a line, if it is time for one."""
        match event:
            case RunStarted():
                note(started_line(event))
            case EngineLoading():
                note(loading_line(event))
            case CrewChanged():
                note(crew_line(event))
            case WorkerLost():
                warn(lost_line(event))
            case UnitDone():
                self._show_unit(event)
            case _:
                pass

    def _show_unit(self, event: UnitDone) -> None:
        is_cell_done = event.cell.num_done == event.cell.num_units
        if is_cell_done or self._clock() >= self._next_line_at:
            note(unit_line(event))
            self._next_line_at = self._clock() + SECONDS_PER_LINE

    def close(self) -> None:
        """Does nothing."""


class LiveView:
    """A few lines that are painted over: the cell under way, the last ones that are done, the time left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console

        self._clock = clock
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._lines: dict[str, str] = {}
        self._footer = ""
        self._next_paint_at = -math.inf

    def show(self, event: Event) -> None:
        """Takes an event in, and paints if it is time to."""
        match event:
            case RunStarted():
                note(started_line(event))
                self._open()
            case EngineLoading() | CrewChanged():
                self._footer = loading_line(event) if isinstance(event, EngineLoading) else crew_line(event)
                self._paint(is_urgent=True)
            case WorkerLost():
                self.close()
                warn(lost_line(event))
                self._open()
            case UnitDone():
                self._lines.pop(event.cell.cell.key, None)  # the newest comes last
                self._lines[event.cell.cell.key] = cell_line(event.cell)
                self._footer = left_line(event)
                self._paint()
            case RunFinished():
                self.close()

    def _open(self) -> None:
        from rich.live import Live

        self.close()
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._live.start()

    def _paint(self, *, is_urgent: bool = False) -> None:
        if self._live is not None and (is_urgent or self._clock() >= self._next_paint_at):
            max_lines = max(1, min(12, self._console.size.height - 3))
            self._live.update(picture(list(self._lines.values())[-max_lines:], self._footer), refresh=True)
            self._next_paint_at = self._clock() + SECONDS_PER_PAINT

    def close(self) -> None:
        """Wipes the view."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def open_view(*, is_shown: bool) -> View:
    """The view for this stderr."""
    if not is_shown:
        return NoView()
    return LiveView() if can_repaint(os.environ) else PlainView()


def picture(lines: Sequence[str], footer: str) -> "Group":
    """What the live view paints."""
    from rich.console import Group
    from rich.text import Text

    shown = [Text(line, no_wrap=True, overflow="ellipsis") for line in lines]
    return Group(*shown, Text(footer, style="bold", no_wrap=True, overflow="ellipsis"))


# ------------------------------------------------------------------------------------------------------------ words


def started_line(event: RunStarted) -> str:
    """What is to be done."""
    done = f", {event.num_done:,} of them done already" if event.num_done else ""
    cells = f"{len(event.cells):,} cell" + ("" if len(event.cells) == 1 else "s")
    return one_line(f"{event.name}: {event.task}, {cells}, {event.num_units:,} units{done}; into {event.path}")


def loading_line(event: EngineLoading) -> str:
    """Which engine is being loaded."""
    return one_line(f"loading {event.engine} for n={event.n}, {event.num_units:,} units ...")


def crew_line(event: CrewChanged) -> str:
    """How many workers of a cluster there are."""
    return f"{event.num_ready:,} of {event.num_places:,} workers are there"


def unit_line(event: UnitDone) -> str:
    """How far the run is."""
    return f"{cell_line(event.cell)}; {left_line(event)}"


def cell_line(cell: CellCounts) -> str:
    """How far a cell is."""
    return one_line(f"{cell.cell.name}: {cell.num_done:,} of {cell.num_units:,}, {counts_words(cell)}")


def left_line(event: UnitDone) -> str:
    """How far the run is, and how long it still takes."""
    done = f"{event.num_done:,} of {event.num_units:,} units"
    return done if event.time_left_s is None else f"{done}, about {duration(event.time_left_s)} left"


def counts_words(cell: CellCounts) -> str:
    """The share that is correct, and the statuses that are there."""
    if not cell.num_done:
        return "nothing yet"
    words = [f"{count:,} {status}" for status, count in cell.counts.items() if count]
    return f"{cell.counts['correct'] / cell.num_done:.1%} correct ({', '.join(words)})"


def lost_line(event: WorkerLost) -> str:
    """How a worker was lost, and what follows."""
    then = "the unit is recorded as an error" if event.is_given_up else "the unit is tried again"
    return one_line(f"the worker of {event.engine} was lost over sample {event.sample_id}: {event.reason}; {then}")


def summary_line(summary: Summary) -> str:
    """What the session did, and what the harness cost."""
    done = f"{summary.num_run:,} units in {duration(summary.wall_s)}"
    resumed = f", {summary.num_resumed:,} were there before" if summary.num_resumed else ""
    if summary.harness_share is None:
        return f"{done}{resumed}"
    spent = f"{duration(summary.solve_s)} solving, {duration(summary.load_s)} loading"
    of = "" if summary.worker_s is None else f" of {duration(summary.worker_s)} of workers' time"
    return f"{done} ({spent}, {summary.harness_share:.1%}{of} for the harness){resumed}"


def table_lines(summary: Summary) -> list[str]:
    """A line for each cell, under a heading."""
    statuses = list(summary.counts)
    width = max((len(each.cell.name) for each in summary.cells), default=4)
    heading = "  ".join([f"{'cell':<{width}}", "accuracy", *(f"{status:>10}" for status in statuses)])
    return [heading, *(_table_line(each, statuses, width) for each in summary.cells)]


def _table_line(each: CellCounts, statuses: Sequence[str], width: int) -> str:
    share = f"{each.counts['correct'] / each.num_done:.1%}" if each.num_done else "-"
    counts = {str(status): count for status, count in each.counts.items()}
    return "  ".join([f"{each.cell.name:<{width}}", f"{share:>8}", *(f"{counts[status]:>10,}" for status in statuses)])


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as coarse as people want them."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
