"""A process reward model's reading in llama.cpp: new tokens after a kept past, many rows in one batch.

What was read up to a node of a search is a past. Pasts live in sequences of one KV cache; a row that goes on from the
end of a sequence extends it, any other forks it, which copies nothing. So a path through the tree costs one sequence,
and each token is decoded once and held once.

A model read through a head costs more: llama.cpp computes hidden states for all tokens of a batch or for none, and
logits with them. It is asked for them only in batches in which a score is read.

Not covered: which tokens to read (prm_text.py), what to forget when there is no room (llama_prm.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgesearch.engines.cells import CellLedger, Segment
from edgesearch.engines.llama_native import NativeContext, NativeModel
from edgesearch.errors import EdgesearchError
from edgesearch.verifiers.prm_readout import Floats, Readout

_BATCH = 512
_HIDDEN_BATCH = 128
"""Each token of it has a row of logits, half a megabyte in large vocabularies."""
_UBATCH = 128
SAME = -1
"""In place of where a score is read: it is the one of the step before."""


@dataclass(slots=True, eq=False)
class _Lane:
    """A sequence of the cache."""

    sequence: int
    lengths: list[int] = field(default_factory=list)
    """Of the pasts that it holds."""

    @property
    def end(self) -> int:
        """Positions it must keep."""
        return max(self.lengths, default=0)


@dataclass(slots=True, eq=False)
class Past:
    """What was read up to a node; compared by identity."""

    length: int
    """Tokens, the problem's included."""
    scores: tuple[float, ...]
    """Of every step on the path."""
    lane: _Lane | None
    """None where nothing was read yet, or nothing was kept."""
    segment: Segment


@dataclass(frozen=True, slots=True)
class Row:
    """New tokens to read after a past; equal rows are the same work."""

    past: Past
    token_ids: tuple[int, ...]
    score_at: tuple[int, ...]
    """Where among the new tokens each new step's score is read, ascending, or `SAME`."""

    @property
    def length(self) -> int:
        """Tokens, once it is read."""
        return self.past.length + len(self.token_ids)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One token of a batch."""

    token: int
    position: int
    sequence: int
    is_read: bool


class LlamaRows:
    """A model, its KV cache and its readout: rows in, pasts out."""

    def __init__(
        self,
        model: NativeModel,
        readout: Readout,
        name: str,
        *,
        num_cells: int,
        num_sequences: int,
        num_threads: int,
    ) -> None:
        """Allocates the cache.

        Args:
            model: the weights; they stay the caller's.
            readout: what a score is read by.
            name: what errors call the model.
            num_cells: tokens the cache holds.
            num_sequences: paths it holds, at most 256; each costs a row of logits.
            num_threads: of a decode.

        Raises:
            OutOfMemory: llama.cpp could not allocate it.
        """
        self._readout, self._name = readout, name
        self._context = NativeContext(
            model,
            num_cells=num_cells,
            max_sequences=num_sequences,
            num_threads=num_threads,
            # llama.cpp aborts the process where a batch is smaller than the number of sequences
            batch_size=max(_HIDDEN_BATCH if readout.reads_hidden else _BATCH, num_sequences),
            ubatch_size=_UBATCH,
        )
        self._free = list(range(num_sequences))
        self._cells = CellLedger()

    @property
    def num_cells(self) -> int:
        """Tokens the cache holds."""
        return self._context.num_cells

    @property
    def cells_used(self) -> int:
        """Tokens in the cache, each counted once however many pasts share it."""
        return self._cells.used

    def blank(self) -> Past:
        """The past of a text that begins."""
        return Past(0, (), None, Segment(self._cells))

    def num_fitting(self, rows: Sequence[Row]) -> int:
        """How many of these rows, from the first, there is room for."""
        cells, lanes = self.num_cells - self._cells.used, len(self._free)
        extended: set[Past] = set()
        for count, row in enumerate(rows):
            cells -= len(row.token_ids)
            lanes -= row.past in extended or not self.is_end(row.past)
            extended.add(row.past)
            if cells < 0 or lanes < 0:
                return count
        return len(rows)

    def read(self, rows: Sequence[Row]) -> list[Past]:
        """Reads rows that there is room for; each past is the caller's to `release`.

        Raises:
            EdgesearchError: llama.cpp fails, or a score is not a number; then nothing of the rows is kept.
        """
        pasts: list[Past] = []
        try:
            for row in rows:
                pasts.append(self._begin(row))
            scores = self._decode(list(self._entries(rows, pasts)))
            for row, past in zip(rows, pasts, strict=True):
                past.scores = self._continued(row, scores)
        except BaseException:
            for past in pasts:
                self.release(past)
            raise
        return pasts

    def release(self, past: Past) -> None:
        """Frees a past; what others share with it stays."""
        lane, past.lane = past.lane, None
        if lane is None:
            return
        past.segment.release()
        lane.lengths.remove(past.length)
        self._context.free(lane.sequence, lane.end)
        if not lane.lengths:
            self._free.append(lane.sequence)

    @staticmethod
    def is_end(past: Past) -> bool:
        """Whether it is the end of a sequence: a row that goes on from it needs none of its own."""
        return past.lane is not None and past.lane.end == past.length

    def close(self) -> None:
        """Frees the cache; safe to call twice."""
        self._context.close()

    def _begin(self, row: Row) -> Past:
        """Books the row's place in the cache; its scores are not known yet."""
        past = row.past
        assert past.lane is not None or not past.length, "a row goes on from a past that was released"
        if past.lane is not None and self.is_end(past):
            lane = past.lane
        else:
            lane = _Lane(self._free.pop())
            if past.lane is not None:
                self._context.fork(past.lane.sequence, lane.sequence, past.length)
        lane.lengths.append(row.length)
        segment = past.segment.fork()
        segment.grow(len(row.token_ids))
        return Past(row.length, (), lane, segment)

    def _entries(self, rows: Sequence[Row], pasts: Sequence[Past]) -> Iterator[_Entry]:
        for row, past in zip(rows, pasts, strict=True):
            assert past.lane is not None
            for index, token in enumerate(row.token_ids):
                yield _Entry(token, row.past.length + index, past.lane.sequence, index in row.score_at)

    def _decode(self, entries: Sequence[_Entry]) -> Iterator[float]:
        """Decodes all entries, batch by batch; the scores of those that are read, in order."""
        scores: list[float] = []
        for start in range(0, len(entries), self._context.batch_size):
            scores += self._decode_batch(entries[start : start + self._context.batch_size]).tolist()
        return iter(scores)

    def _decode_batch(self, entries: Sequence[_Entry]) -> Floats:
        is_read = np.array([entry.is_read for entry in entries])
        flags = is_read
        if self._readout.reads_hidden:
            self._context.compute_hidden(bool(is_read.any()))
            flags = np.full(len(entries), is_read.any())
        result = self._context.decode(
            [entry.token for entry in entries],
            [entry.position for entry in entries],
            [entry.sequence for entry in entries],
            flags.tolist(),
        )
        if result != "ok":
            raise EdgesearchError(f"verifier {self._name} has no room in its KV cache; lower --n or --max-tokens")
        return self._scores(is_read) if is_read.any() else np.empty(0, np.float32)

    def _scores(self, is_read: NDArray[np.bool_]) -> Floats:
        """Of the last batch's entries that are read."""
        if self._readout.reads_hidden:
            outputs = self._context.hidden(len(is_read))[is_read]
        else:
            outputs = self._context.logits(int(is_read.sum()))
        scores = self._readout.scores(outputs)
        if not ((scores >= 0) & (scores <= 1)).all():  # NaN is neither
            raise EdgesearchError(
                f"verifier {self._name} gave a score outside [0, 1] ({scores.tolist()[:4]}); its file or its head is "
                "broken: use another, or --verifier consensus"
            )
        return scores

    @staticmethod
    def _continued(row: Row, scores: Iterator[float]) -> tuple[float, ...]:
        """The path's scores, with those of the row's steps; takes as many as the row reads."""
        path = list(row.past.scores)
        for at in row.score_at:
            path.append(path[-1] if at == SAME else next(scores))
        return tuple(path)
