"""The ledger of KV cells agrees with counting them one by one."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from edgesearch.engines.cells import CellLedger, Segment


def test_n_beams_hold_the_prompt_once_and_their_own_tokens() -> None:
    ledger = CellLedger()
    prompt = Segment(ledger)
    prompt.grow(100)
    beams = [prompt.fork() for _ in range(16)]
    prompt.release()
    for beam in beams:
        beam.grow(7)
    assert ledger.used == 100 + 16 * 7
    for beam in beams[1:]:
        beam.release()
    assert ledger.used == 107
    beams[0].release()
    assert (ledger.used, ledger.peak) == (0, 212)


def test_a_chain_of_forks_is_freed_from_its_end() -> None:
    ledger = CellLedger()
    segment = Segment(ledger)
    for _ in range(5000):  # far deeper than Python's stack
        segment.grow(1)
        child = segment.fork()
        segment.release()
        segment = child
    assert ledger.used == 5000
    segment.release()
    assert ledger.used == 0


def test_a_new_peak_starts_from_what_is_in_use() -> None:
    ledger = CellLedger()
    kept, gone = Segment(ledger), Segment(ledger)
    kept.grow(3)
    gone.grow(10)
    gone.release()
    assert ledger.peak == 13
    ledger.restart_peak()
    assert ledger.peak == 3
    kept.grow(2)
    assert ledger.peak == 5


class Cells(RuleBasedStateMachine):
    """Random trees of forks against a count of the segments that anyone still needs."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = CellLedger()
        self.parent: dict[Segment, Segment | None] = {}
        self.count: dict[Segment, int] = {}
        self.owned: set[Segment] = set()
        self.peak = 0

    def _known(self, segment: Segment, parent: Segment | None) -> Segment:
        self.parent[segment], self.count[segment] = parent, 0
        self.owned.add(segment)
        return segment

    @rule(target=held)
    def open(self) -> Segment:
        return self._known(Segment(self.ledger), None)

    @rule(target=held, segment=held)
    def fork(self, segment: Segment) -> Segment:
        return self._known(segment.fork(), segment)

    @rule(segment=held, cells=st.integers(0, 50))
    def grow(self, segment: Segment, cells: int) -> None:
        segment.grow(cells)
        self.count[segment] += cells
        self.peak = max(self.peak, self._used())

    @rule(segment=consumes(held))
    def release(self, segment: Segment) -> None:
        segment.release()
        self.owned.discard(segment)

    @rule()
    def restart_peak(self) -> None:
        self.ledger.restart_peak()
        self.peak = self._used()

    def _used(self) -> int:
        needed: set[Segment] = set()
        for owned in self.owned:
            segment: Segment | None = owned
            while segment is not None:
                needed.add(segment)
                segment = self.parent[segment]
        return sum(self.count[segment] for segment in needed)

    @invariant()
    def the_ledger_counts_what_is_needed(self) -> None:
        assert self.ledger.used == self._used()
        assert self.ledger.peak == self.peak


Cells.TestCase.settings = settings(deadline=None, max_examples=50, stateful_step_count=40)


class TestCellsOfRandomTrees(Cells.TestCase):
    """Whatever is forked, grown and released."""
