"""Counts KV cells that sequences share.

llama.cpp keeps a cell for as long as any sequence uses it and does not tell how many are in use, so the engine keeps
this ledger: a segment is a run of cells that were decoded for one owner; a fork hangs a new segment on its parent's.
It is what proves that n beams hold the prompt once and their own tokens, no more.
"""


class Segment:
    """A run of cells, alive while its owner or any fork of it is."""

    __slots__ = ("_ledger", "_parent", "_references", "count")

    def __init__(self, ledger: "CellLedger", parent: "Segment | None" = None) -> None:
        self._ledger = ledger
        self._parent = parent
        self._references = 1
        self.count = 0
        if parent is not None:
            parent._references += 1

    def grow(self, cells: int) -> None:
        """Adds decoded cells."""
        self.count += cells
        self._ledger.change(cells)

    def fork(self) -> "Segment":
        """A new, empty segment that shares everything up to here."""
        return Segment(self._ledger, self)

    def release(self) -> None:
        """The owner lets go; cells that no fork shares are free."""
        segment: Segment | None = self
        while segment is not None:
            segment._references -= 1
            if segment._references:
                return
            segment._ledger.change(-segment.count)
            segment = segment._parent


class CellLedger:
    """Cells in use now, and the most there were together."""

    __slots__ = ("peak", "used")

    def __init__(self) -> None:
        self.used = 0
        self.peak = 0

    def change(self, cells: int) -> None:
        """Books cells in or out."""
        self.used += cells
        self.peak = max(self.peak, self.used)

    def restart_peak(self) -> None:
        """Starts a new peak from what is in use now."""
        self.peak = self.used
