"""Views of a run on stderr, and words for a finished one. Imports rich only where there is a terminal to paint.

A live view on a terminal: a line for each cell under way (several on a cluster) and the time left. Elsewhere lines: how
it starts, a lost worker at once, else at most one line in ten seconds and one for each cell that is done.
"""

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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

    from edgesearch.bench.records import Status
    from edgesearch.bench.report.model import Curve, Point

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


def samples_line(summary: Summary) -> str:
    """What was drawn or read, and what of it was run."""
    cut = f", {summary.num_cut:,} of them cut off" if summary.num_cut else ""
    samples = f"{summary.num_candidates:,} samples{cut}"
    if not summary.num_programs:
        return samples
    return f"{samples}; {summary.num_programs:,} programs, of which {summary.num_tried:,} different ones were run"


def table_lines(summary: Summary, *, is_by_seed: bool = True) -> list[str]:
    """A line for each cell, or one for all seeds of what is the same, under a heading."""
    statuses = list(summary.counts)
    rows = [(each.cell.name, Counter(each.counts)) for each in summary.cells]
    if not is_by_seed:
        rows = _without_seeds(rows)
    width = max((len(name) for name, _ in rows), default=4)
    heading = "  ".join([f"{'cell':<{width}}", "accuracy", *(f"{status:>10}" for status in statuses)])
    return [heading, *(_table_line(name, counts, statuses, width) for name, counts in rows)]


def _without_seeds(rows: "Sequence[tuple[str, Counter[Status]]]") -> "list[tuple[str, Counter[Status]]]":
    found: dict[str, Counter[Status]] = {}
    for name, counts in rows:
        found.setdefault(name.rpartition(" seed=")[0], Counter()).update(counts)
    return list(found.items())


def _table_line(name: str, counts: "Mapping[Status, int]", statuses: "Sequence[Status]", width: int) -> str:
    num_done = sum(counts.values())
    share = f"{counts['correct'] / num_done:.1%}" if num_done else "-"
    return "  ".join([f"{name:<{width}}", f"{share:>8}", *(f"{counts[status]:>10,}" for status in statuses)])


def curves_lines(curves: "Sequence[Curve]", points: "Sequence[Point]") -> list[str]:
    """What k samples of each setting reach, below an empty line each."""
    return [line for curve in curves for line in ("", *_curve_lines(curve, points))]


def _curve_lines(curve: "Curve", points: "Sequence[Point]") -> list[str]:
    """At 1, 10, 100 and so on and at the end; the law that coverage follows, and the pace."""
    from edgesearch.bench.report import looks
    from edgesearch.bench.report.curves import DECADES

    places = [place for place, k in enumerate(curve.ks) if k in DECADES or k == curve.ks[-1]]
    rows = [("pass@k", curve.coverage), ("best of k", curve.best_of_n), ("majority of k", curve.majority)]
    lines = ["  ".join([f"{'k':<13}", *(f"{curve.ks[place]:>8,}" for place in places)])]
    for name, found in rows:
        if found is not None:
            shares = (f"{looks.percent(found[place].value):>8}" for place in places)
            lines.append("  ".join([f"{name:<13}", *shares]))
    fit, pace = curve.fit, next(each.tokens_per_s for each in points if each.id == curve.point)
    if fit is not None:
        law = f"exp(a k^b) with a = {fit.a:.4g}, b = {fit.b:.4g}"
        lines.append(f"pass@k follows {law}, off by {100 * fit.max_error:.2f} points at most")
    if pace is not None:
        lines.append(f"{pace:,.1f} tokens drawn a second of solving")
    return lines


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as coarse as people want them."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
