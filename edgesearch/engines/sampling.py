"""Drawing the next token of many sequences at once, in NumPy.

Order of the filters: temperature, top-k, top-p, min-p (the order of vLLM and transformers). Randomness is counter-based
(splitmix64 of the draft's seed and the position): a draw depends on its own draft and position only, never on which
other sequences share the batch, so runs reproduce whatever the batching.

Exactness: every filter is exact. Top-k looks for its candidates in the k blocks of the vocabulary with the largest
maxima, which is where the k largest values must lie; a vocabulary of 128,256 is then read about twice per draw.

Sources: splitmix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; min-p,
Nguyen et al., arXiv 2407.01082; top-p, Holtzman et al., arXiv 1904.09751.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesearch.types import Sampling

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

_BLOCK = 64  # vocabulary entries whose sum is looked at first
_IN_BLOCK = np.arange(_BLOCK)
_DIRECT = 4096  # up to so many entries of all rows it is quicker to sum them all
_ROWS_ELEMENTS = 1 << 18  # rows are handled together up to this many logits (1 MiB), which stays in a core's cache
_NUCLEUS_GUESS = 512  # candidates tried for top-p before all are sorted
_LIKELIEST = 20  # tokens that a confidence is the mean of
_IMPOSSIBLE = -1e4  # the log-probability of a token that cannot be drawn: its share of an entropy is 0, not NaN
_GREEDY_BELOW = 1e-5  # temperatures that float32 could not divide by; as in vLLM
_MASK64 = (1 << 64) - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix_seed(*parts: int) -> int:
    """One 64-bit seed from several numbers, well spread even when they are small and consecutive."""
    state = np.uint64(0)
    for part in parts:
        state = _splitmix(np.array([state ^ np.uint64(part & _MASK64)], np.uint64))[0]
    return int(state)


def _splitmix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = state + _GOLDEN  # unsigned arithmetic on arrays wraps silently, which is what splitmix64 wants
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniforms(seeds: NDArray[np.uint64], positions: IntArray) -> NDArray[np.float64]:
    """One number in [0, 1) per row, fixed by the row's seed and position."""
    bits = _splitmix(seeds + positions.astype(np.uint64) * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draw(
    logits: FloatArray, sampling: Sampling, seeds: NDArray[np.uint64], positions: IntArray
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draws one token per row.

    Args:
        logits: (rows, vocabulary) float32; only read.
        sampling: the same for all rows.
        seeds: (rows,) each row's seed.
        positions: (rows,) a counter that differs for each draw of one seed.

    Returns:
        Token ids (rows,) and their natural-log probabilities at temperature 1 without filters (rows,).
    """
    num_rows, size = logits.shape
    tokens = np.empty(num_rows, np.int64)
    logprobs = np.empty(num_rows, np.float64)
    at_once = max(1, _ROWS_ELEMENTS // size)
    points = uniforms(seeds, positions) if sampling.temperature >= _GREEDY_BELOW else np.zeros(num_rows)
    for start in range(0, num_rows, at_once):
        rows = slice(start, start + at_once)
        tokens[rows], logprobs[rows] = _draw_rows(logits[rows], sampling, points[rows])
    return tokens, logprobs


def sureness(logits: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """How sure of its next token each row is, at temperature 1 and before any filter.

    Args:
        logits: (rows, vocabulary) float32; only read.

    Returns:
        Entropies in nats, margins p1 - p2, and confidences, minus the mean natural-log probability of the 20 likeliest
        tokens; each (rows,).
    """
    top = logits.max(axis=1, keepdims=True)  # (rows, 1)
    shifted = np.maximum(logits - top, _IMPOSSIBLE)
    mass = np.exp(shifted)
    total = mass.sum(axis=1, dtype=np.float64)  # (rows,)
    energy = (mass * shifted).sum(axis=1, dtype=np.float64)
    _, values = _largest(shifted, min(_LIKELIEST, logits.shape[1]))
    logprobs = values - np.log(total)[:, None]  # (rows, likeliest)
    seconds = np.exp(logprobs[:, 1]) if logprobs.shape[1] > 1 else np.zeros(len(logits))
    entropies = np.maximum(0.0, np.log(total) - energy / total)
    return entropies, np.exp(logprobs[:, 0]) - seconds, -logprobs.mean(axis=1)


def _draw_rows(
    logits: FloatArray, sampling: Sampling, points: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    top = logits.max(axis=1, keepdims=True)  # (rows, 1)
    mass = np.exp(logits - top)  # (rows, vocabulary), the likeliest token has 1
    total = mass.sum(axis=1, dtype=np.float32)  # (rows,) pairwise summation: exact to about 1e-6
    if sampling.temperature < _GREEDY_BELOW:
        tokens = logits.argmax(axis=1)
    elif sampling.top_k or sampling.top_p < 1:
        tokens = _draw_filtered(logits, top, sampling, points)
    else:
        if sampling.temperature != 1:
            mass = np.exp((logits - top) / np.float32(sampling.temperature))
        if sampling.min_p:
            mass[mass < sampling.min_p] = 0
        tokens = _invert(mass, points)
    picked = logits[np.arange(len(logits)), tokens]
    return tokens, (picked - top[:, 0] - np.log(total)).astype(np.float64)


def _invert(mass: FloatArray, points: NDArray[np.float64]) -> NDArray[np.int64]:
    """The index at which the running sum of each row passes its point: first which block, then where inside it.

    A running sum over many whole rows costs several times the exponentials it sums; over blocks it is a few additions.
    Both ways give the same index, but for points within rounding (some 1e-16) of a boundary.
    """
    num_rows, size = mass.shape
    if mass.size <= _DIRECT:
        return _invert_directly(mass, points)
    num_whole = size // _BLOCK * _BLOCK
    sums = mass[:, :num_whole].reshape(num_rows, -1, _BLOCK).sum(axis=2, dtype=np.float64)  # (rows, whole blocks)
    if num_whole < size:
        rest = mass[:, num_whole:].sum(axis=1, keepdims=True, dtype=np.float64)
        sums = np.concatenate([sums, rest], axis=1)
    running = np.cumsum(sums, axis=1)  # (rows, blocks)
    targets = _targets(running, points)
    blocks = _first_above(running, targets)  # each has mass: its running sum is above the target
    rows = np.arange(num_rows)
    before = np.where(blocks > 0, running[rows, blocks - 1], 0.0)
    places = blocks[:, None] * _BLOCK + _IN_BLOCK  # (rows, _BLOCK)
    inside = mass[rows[:, None], np.minimum(places, size - 1)].astype(np.float64)
    if num_whole < size:
        inside[places >= size] = 0
    offsets = _first_above(np.cumsum(inside, axis=1), targets - before)
    last = _BLOCK - 1 - (inside[:, ::-1] > 0).argmax(axis=1)  # with mass; the sums were rounded in another order
    tokens: NDArray[np.int64] = blocks * _BLOCK + np.minimum(offsets, last)
    return tokens


def _invert_directly(mass: FloatArray, points: NDArray[np.float64]) -> NDArray[np.int64]:
    """The same in one sum."""
    running = np.cumsum(mass, axis=1, dtype=np.float64)
    return _first_above(running, _targets(running, points))


def _targets(running: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the running sum of each row is to pass; rounding must not step past the last mass."""
    total = running[:, -1]
    targets: NDArray[np.float64] = np.minimum(points * total, np.nextafter(total, 0))
    return targets


def _first_above(running: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where the running sum of each row is above its target first, (rows,)."""
    places: NDArray[np.int64] = np.sum(running <= targets[:, None], axis=1, dtype=np.int64)
    return places


def _draw_filtered(
    logits: FloatArray, top: FloatArray, sampling: Sampling, points: NDArray[np.float64]
) -> NDArray[np.int64]:
    size = logits.shape[1]
    if sampling.top_k:
        return _draw_sorted(*_largest(logits, min(sampling.top_k, size)), top, sampling, None, points)
    total = np.exp((logits - top) / np.float32(sampling.temperature)).sum(axis=1, dtype=np.float64)
    ids, values = _largest(logits, min(_NUCLEUS_GUESS, size))
    mass = np.exp((values - top) / np.float32(sampling.temperature)).sum(axis=1, dtype=np.float64)
    tokens = _draw_sorted(ids, values, top, sampling, total, points)
    flat = np.flatnonzero(mass < sampling.top_p * total)  # rows whose nucleus is larger than the guess
    if len(flat):
        tokens[flat] = _draw_sorted(*_largest(logits[flat], size), top[flat], sampling, total[flat], points[flat])
    return tokens


def _draw_sorted(
    ids: IntArray,
    values: FloatArray,
    top: FloatArray,
    sampling: Sampling,
    total: NDArray[np.float64] | None,
    points: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Draws from candidates in descending order; `total` is the mass that top-p is a share of (default: theirs)."""
    mass = np.exp((values - top) / np.float32(sampling.temperature)).astype(np.float64)  # (rows, candidates)
    running = np.cumsum(mass, axis=1)
    whole = running[:, -1] if total is None else total
    keep = (running - mass) < sampling.top_p * whole[:, None]
    keep &= mass >= sampling.min_p
    keep[:, 0] = True
    index = _invert_directly(np.where(keep, mass, 0.0), points)
    last_kept = keep.shape[1] - 1 - keep[:, ::-1].argmax(axis=1)
    index = np.minimum(index, last_kept)
    return np.take_along_axis(ids, index[:, None], 1)[:, 0].astype(np.int64)


def _largest(logits: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """The k largest logits of each row in descending order: ids and values, both (rows, k)."""
    ids, values = _block_candidates(logits, k)
    if k < values.shape[1]:
        part = np.argpartition(values, values.shape[1] - k, axis=1)[:, -k:]
        ids, values = np.take_along_axis(ids, part, 1), np.take_along_axis(values, part, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(ids, order, 1), np.take_along_axis(values, order, 1)


def _block_candidates(logits: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """A superset of the k largest of each row: the members of the k blocks with the largest maxima.

    Block b holds the entries b, b + num_blocks, b + 2 num_blocks, ...: so laid out, the maxima of all blocks come from
    whole vectors, which is ten times as fast as a maximum within each short run of neighbours.
    """
    num_rows, size = logits.shape
    width = 64
    num_blocks = size // width
    if k * 4 > num_blocks:  # too few blocks for the detour to pay
        return np.broadcast_to(np.arange(size), (num_rows, size)), logits
    body = logits[:, : num_blocks * width].reshape(num_rows, width, num_blocks)
    best = np.argpartition(body.max(axis=1), num_blocks - k, axis=1)[:, -k:]  # (rows, k)
    values = np.take_along_axis(body, best[:, None, :], 2).reshape(num_rows, -1)  # (rows, width * k)
    ids = (np.arange(width)[:, None] * num_blocks + best[:, None, :]).reshape(num_rows, -1)
    tail = np.arange(num_blocks * width, size)
    ids = np.concatenate([ids, np.broadcast_to(tail, (num_rows, len(tail)))], axis=1)
    return ids, np.concatenate([values, logits[:, tail]], axis=1)
