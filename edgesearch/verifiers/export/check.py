"""How far an exported graph is from PyTorch: on random tokens, whole sequences at once and piece by piece after a past.

The pieces go through the runtime itself (onnx_graph.py), several sequences in one padded batch, as a search does.

Not covered: whether a verifier is any good; that takes a benchmark.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesearch.verifiers.export.tensors import Floats
from edgesearch.verifiers.onnx_graph import OnnxGraph, Past, Row

NUM_SEQUENCES = 6
LONGEST = 96


@dataclass(frozen=True, slots=True)
class Differences:
    """Largest differences of scores, over all tokens."""

    whole: float
    """Between the graph and PyTorch, each sequence read at once."""
    incremental: float
    """Between the graph and PyTorch, sequences read together, piece by piece."""

    @property
    def largest(self) -> float:
        return max(self.whole, self.incremental)


def random_sequences(vocab_size: int, max_positions: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Token ids of different lengths."""
    rng = random.Random(seed)  # noqa: S311 - samples, not secrets
    longest = min(LONGEST, max_positions)
    lengths = [rng.randint(max(1, longest // 3), longest) for _ in range(NUM_SEQUENCES)]
    return [tuple(rng.choices(range(vocab_size), k=length)) for length in lengths]


def differences(path: Path, sequences: Sequence[Sequence[int]], expected: Sequence[Floats]) -> Differences:
    """Compares a graph with PyTorch's scores of the same sequences.

    Raises:
        EdgesearchError: the graph cannot be run, or gives no number.
    """
    graph = OnnxGraph(path, path.stem)
    try:
        whole = [graph.read([_row(graph.blank(), ids)])[0].scores for ids in sequences]
        pieces = _in_pieces(graph, sequences)
    finally:
        graph.close()
    return Differences(_largest(whole, expected), _largest(pieces, expected))


def _row(past: Past, ids: Sequence[int]) -> Row:
    return Row(past, tuple(ids), tuple(range(len(ids))))


def _in_pieces(graph: OnnxGraph, sequences: Sequence[Sequence[int]], seed: int = 0) -> list[tuple[float, ...]]:
    """Scores of sequences that grow together by pieces of different lengths."""
    rng = random.Random(seed)  # noqa: S311 - samples, not secrets
    pasts = [graph.blank() for _ in sequences]
    while unread := [i for i, ids in enumerate(sequences) if pasts[i].num_tokens < len(ids)]:
        rows = []
        for i in unread:
            start = pasts[i].num_tokens
            rows.append(_row(pasts[i], sequences[i][start : start + rng.randint(1, 24)]))
        for i, past in zip(unread, graph.read(rows), strict=True):
            pasts[i] = past
    return [past.scores for past in pasts]


def _largest(scores: Sequence[Sequence[float]], expected: Sequence[Floats]) -> float:
    return max(float(np.abs(np.array(a) - b).max()) for a, b in zip(scores, expected, strict=True))
