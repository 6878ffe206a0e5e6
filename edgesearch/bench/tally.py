"""How far a run is: counts by cell, seconds spent, and the time that is left at the pace measured.

Cells that differ only in their seed have one pace. It is the wall time from the start of a unit to its outcome on the
disk, so the harness's own time is part of it, and loading is not. What is left is divided among the workers.

Not covered: showing it (the command).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgesearch.bench.events import CellCounts, RunStarted, Summary, UnitDone
from edgesearch.bench.records import Outcome, Status
from edgesearch.bench.units import Plan


class Tally:
    """Counts up as units are done."""

    def __init__(self, plan: Plan, path: Path, counts: Mapping[str, Mapping[Status, int]]) -> None:
        """Begins with what the store holds.

        Args:
            plan: of the run.
            path: of the store.
            counts: by the key of the cell, every status.
        """
        self._plan = plan
        self._path = path
        self._counts = {cell.key: dict(counts[cell.key]) for cell in plan.cells}
        self._cells = {cell.key: cell for cell in plan.cells}
        self._pace_keys = {cell.key: dataclasses.replace(cell, seed=0).key for cell in plan.cells}
        self._paces: dict[str, tuple[int, float]] = {}
        self.num_resumed = sum(sum(each.values()) for each in self._counts.values())
        self.num_run = 0
        self.num_lost_workers = 0
        self.num_candidates = 0
        self.num_cut = 0
        self.num_workers = 1
        """That are there now."""
        self.solve_s = 0.0
        self.load_s = 0.0

    def started(self) -> RunStarted:
        """The first event."""
        plan = self._plan
        cells = tuple(self._cell(key) for key in self._counts)
        units = (plan.num_units, self.num_resumed)
        return RunStarted(plan.recipe.name, self._path, plan.task_words, cells, *units, plan.warnings)

    def done(self, outcome: Outcome, seconds: float, *, num_together: int = 1) -> UnitDone:
        """Counts a unit.

        Args:
            outcome: what is on the disk.
            seconds: that it took in all.
            num_together: units that shared the engine, and so its seconds.
        """
        key = outcome.cell
        self._counts[key][outcome.status] += 1
        num, total_s = self._paces.get(self._pace_keys[key], (0, 0.0))
        self._paces[self._pace_keys[key]] = num + 1, total_s + seconds / num_together
        self.num_run += 1
        self.solve_s += outcome.wall_s / num_together
        self.num_candidates += len(outcome.candidates)
        self.num_cut += sum(each.finish in ("deadline", "length") for each in outcome.candidates)
        return UnitDone(
            cell=self._cell(key),
            sample_id=outcome.sample_id,
            status=outcome.status,
            wall_s=outcome.wall_s,
            error=outcome.error,
            num_done=self.num_resumed + self.num_run,
            num_units=self._plan.num_units,
            cell_left_s=self._left_s(key, None),
            time_left_s=self.time_left_s(),
        )

    def time_left_s(self) -> float | None:
        """Until all is done; None before anything was measured."""
        num = sum(count for count, _ in self._paces.values())
        mean_s = sum(seconds for _, seconds in self._paces.values()) / num if num else None
        if mean_s is None:
            return None
        return sum(self._left_s(key, mean_s) or 0.0 for key in self._counts)

    def _left_s(self, key: str, mean_s: float | None) -> float | None:
        num, total_s = self._paces.get(self._pace_keys[key], (0, 0.0))
        pace_s = total_s / num if num else mean_s
        return None if pace_s is None else pace_s * self._num_left(key) / max(1, self.num_workers)

    def _num_left(self, key: str) -> int:
        return len(self._plan.task.samples) - sum(self._counts[key].values())

    def _cell(self, key: str) -> CellCounts:
        return CellCounts(self._cells[key], len(self._plan.task.samples), dict(self._counts[key]))

    def summary(
        self, *, wall_s: float, worker_s: float | None, is_cancelled: bool, warnings: Sequence[str] = ()
    ) -> Summary:
        """The run as it stands; see the fields of `Summary`.

        Args:
            wall_s: as the field.
            worker_s: as the field.
            is_cancelled: as the field.
            warnings: beside those of the plan.
        """
        plan = self._plan
        return Summary(
            name=plan.recipe.name,
            path=self._path,
            task=plan.task_words,
            cells=tuple(self._cell(key) for key in self._counts),
            num_units=plan.num_units,
            num_resumed=self.num_resumed,
            num_run=self.num_run,
            num_lost_workers=self.num_lost_workers,
            wall_s=wall_s,
            solve_s=self.solve_s,
            load_s=self.load_s,
            is_cancelled=is_cancelled,
            worker_s=worker_s,
            num_candidates=self.num_candidates,
            num_cut=self.num_cut,
            warnings=(*plan.warnings, *warnings),
        )
