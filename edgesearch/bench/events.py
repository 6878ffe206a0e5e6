"""What happens during a run, as values: the command renders them, a program reads them.

    RunStarted (EngineLoading | UnitDone | WorkerLost | CrewChanged)* RunFinished

The last event of a run that is not ended by an error is `RunFinished`, also of one that was cancelled.

Not covered: what happens inside a solve (edgesearch/events.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgesearch.bench.recipe import Cell

if TYPE_CHECKING:
    from edgesearch.bench.records import Status


@dataclass(frozen=True, slots=True)
class CellCounts:
    """How far a cell is."""

    cell: Cell
    num_units: int
    counts: Mapping["Status", int] = field(hash=False)
    """Outcomes by status, zeros included."""

    @property
    def num_done(self) -> int:
        """Of its units."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Summary:
    """A run as it stands at its end."""

    name: str
    path: Path
    """Of the store."""
    task: str
    """Name, split and number of samples, for people."""
    cells: tuple[CellCounts, ...]
    """In the order of the recipe."""
    num_units: int
    num_resumed: int
    """Units that were done before."""
    num_run: int
    """Units that were run now."""
    num_lost_workers: int
    wall_s: float
    """Of this session, planning included."""
    solve_s: float
    """Inside solves; of those that shared an engine their part of it."""
    load_s: float
    """Loading and measuring models."""
    is_cancelled: bool
    worker_s: float | None = None
    """Seconds for which the workers of a cluster were there, all together; None for one worker on this machine."""
    num_candidates: int = 0
    """Candidates of this session."""
    num_cut: int = 0
    """Those of them that were cut off, by their budget or the limit of their length."""
    num_programs: int = 0
    """Those of them that are programs."""
    num_tried: int = 0
    """Programs that were run, the same one of a problem once."""
    warnings: tuple[str, ...] = ()

    @property
    def num_left(self) -> int:
        """Units that are still to be run."""
        return self.num_units - self.num_resumed - self.num_run

    @property
    def counts(self) -> dict["Status", int]:
        """Outcomes of all cells by status."""
        statuses = self.cells[0].counts if self.cells else {}
        return {status: sum(cell.counts[status] for cell in self.cells) for status in statuses}

    @property
    def harness_share(self) -> float | None:
        """Share of the time that was neither solving nor loading, in [0, 1]; None where nothing was run.

        With one worker on this machine, of the session's wall time. With several, whose solves add up to more than
        that, of `worker_s`: then a worker that waits for the head, or for the others at the end, counts as well.
        """
        held_s = self.wall_s if self.worker_s is None else self.worker_s
        if not self.num_run or held_s <= 0:
            return None
        return max(0.0, 1.0 - (self.solve_s + self.load_s) / held_s)


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run is planned and its store is open."""

    name: str
    path: Path
    task: str
    cells: tuple[CellCounts, ...]
    num_units: int
    num_done: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineLoading:
    """An engine is being loaded for the next cells; on a cluster, by the first of those that will."""

    engine: str
    n: int
    """How wide it is loaded."""
    num_units: int
    """That it is to solve."""


@dataclass(frozen=True, slots=True)
class UnitDone:
    """A unit's outcome is on the disk."""

    cell: CellCounts
    """With this unit."""
    sample_id: str
    status: "Status"
    wall_s: float
    error: str
    """What failed; empty unless the status is error."""
    num_done: int
    """Of all cells, this one included."""
    num_units: int
    cell_left_s: float | None
    """Until the cell is done, at the pace measured; None where there is none yet."""
    time_left_s: float | None
    """Until the run is done, loading apart; cells that have no pace yet count as the mean of those that have."""


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker process crashed or hung, or was lost with its node; another is started."""

    engine: str
    cell: Cell
    sample_id: str
    """The unit under way."""
    reason: str
    """How it was lost."""
    is_given_up: bool
    """Whether the unit is recorded as an error, since it was lost twice; else it is tried again."""


@dataclass(frozen=True, slots=True)
class CrewChanged:
    """A worker of a cluster joined, or was lost with its node or process."""

    num_ready: int
    """Workers that are there now."""
    num_places: int
    """Workers that the living nodes have room for."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The end: always the last event."""

    summary: Summary


Event = RunStarted | EngineLoading | UnitDone | WorkerLost | CrewChanged | RunFinished
