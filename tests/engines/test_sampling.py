"""A draw is exact, whatever the filters, and depends on nothing but its own row, seed and position."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgesearch.engines import sampling as sampling_module
from edgesearch.engines.sampling import draw, mix_seed, sureness, uniforms
from edgesearch.types import Sampling

LLAMA3_VOCABULARY = 128_256
FILTERS = [
    Sampling(temperature=1.0, top_k=0),
    Sampling(temperature=0.6, top_k=0),
    Sampling(temperature=1.7, top_k=0),
    Sampling(temperature=0.8, top_k=5),
    Sampling(temperature=1.0, top_k=0, top_p=0.7),
    Sampling(temperature=1.0, top_k=0, min_p=0.2),
    Sampling(temperature=1.3, top_k=8, top_p=0.8, min_p=0.05),
]


def reference(logits: Sequence[float], sampling: Sampling) -> dict[int, float]:
    """The filtered distribution in plain Python: temperature, top-k, top-p, min-p, each of what is left."""
    top = max(logits)
    mass = {token: math.exp((logit - top) / sampling.temperature) for token, logit in enumerate(logits)}
    order = sorted(mass, key=lambda token: -mass[token])
    if sampling.top_k:
        order = order[: sampling.top_k]
    whole, before, kept = math.fsum(mass[token] for token in order), 0.0, []
    for token in order:
        if kept and before >= sampling.top_p * whole:
            break
        kept.append(token)
        before += mass[token]
    kept = [token for token in kept if mass[token] >= sampling.min_p]
    total = math.fsum(mass[token] for token in kept)
    return {token: mass[token] / total for token in kept if mass[token]}


def chi_square_excess(counts: NDArray[np.integer], expected: NDArray[np.floating]) -> float:
    """How many standard deviations chi-square is above its mean, by Wilson and Hilferty (PNAS 17, 1931)."""
    degrees = len(counts) - 1
    statistic = float(((counts - expected) ** 2 / expected).sum())
    spread = 2 / (9 * degrees)
    return float(((statistic / degrees) ** (1 / 3) - (1 - spread)) / math.sqrt(spread))


def draw_many(logits: NDArray[np.float32], sampling: Sampling, count: int, seed: int = 1) -> NDArray[np.int64]:
    rows = np.broadcast_to(logits, (count, len(logits)))
    return draw(rows, sampling, np.full(count, seed, np.uint64), np.arange(count))[0]


def random_logits(size: int, seed: int = 0, scale: float = 2.0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, scale, size).astype(np.float32)


def seeds_of(count: int) -> NDArray[np.uint64]:
    return np.array([mix_seed(number) for number in range(count)], np.uint64)


# -- greedy ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-50, 1e-38, 1e-6])
@pytest.mark.parametrize(
    "filters", [{"top_k": 0}, {"top_k": 4}, {"top_k": 0, "top_p": 0.9}, {"top_k": 0, "min_p": 0.1}]
)
def test_temperatures_next_to_zero_take_the_likeliest_token(temperature: float, filters: dict[str, float]) -> None:
    logits = np.array([[0.0, 3.0, 2.9999, -np.inf], [-5.0, -9.0, -5.5, -4.0]], np.float32)
    tokens, _ = draw(logits, Sampling(temperature=temperature, **filters), seeds_of(2), np.arange(2))
    assert tokens.tolist() == [1, 3]


def test_the_first_of_equal_tokens_is_the_greedy_one() -> None:
    tokens, _ = draw(np.zeros((1, 300), np.float32), Sampling(temperature=0), seeds_of(1), np.zeros(1, int))
    assert tokens.tolist() == [0]


def test_the_smallest_usable_temperature_is_drawn_without_overflow() -> None:
    logits = random_logits(5000, scale=1e4)
    tokens = draw_many(logits, Sampling(temperature=1.1e-5, top_k=0, top_p=0.9), 10)
    assert set(tokens.tolist()) == {int(logits.argmax())}


# -- the filters are exact ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", FILTERS, ids=str)
@pytest.mark.parametrize("size", [23, 700, 5000])
def test_twenty_thousand_draws_follow_the_filtered_distribution(size: int, sampling: Sampling) -> None:
    logits = random_logits(size)
    expected = reference(logits.tolist(), sampling)
    tokens = draw_many(logits, sampling, 20_000)
    counts = np.bincount(tokens, minlength=size)
    assert set(np.flatnonzero(counts).tolist()) <= expected.keys()
    likely = [token for token, share in expected.items() if share * 20_000 >= 10]
    rest = 1 - math.fsum(expected[token] for token in likely)
    groups = np.array([counts[token] for token in likely] + [20_000 - counts[likely].sum()])
    shares = np.array([expected[token] for token in likely] + [rest])
    is_tested = shares * 20_000 >= 10
    if is_tested.sum() > 1:
        assert abs(chi_square_excess(groups[is_tested], 20_000 * shares[is_tested])) < 4


@pytest.mark.parametrize("size", [1, 2, 65, 4096, 4097, 4352, 9000])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_without_filters_a_draw_inverts_the_distribution_in_order_of_the_vocabulary(
    size: int, temperature: float
) -> None:
    logits = random_logits(size)
    seeds, positions = np.full(200, 7, np.uint64), np.arange(200)
    tokens, _ = draw(np.tile(logits, (200, 1)), Sampling(temperature=temperature, top_k=0), seeds, positions)
    mass = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    running = np.cumsum(mass / mass.sum())
    points = uniforms(seeds, positions)
    assert all(running[token] > point - 1e-6 for token, point in zip(tokens, points, strict=True))
    assert all(
        running[token] - mass[token] / mass.sum() < point + 1e-6 for token, point in zip(tokens, points, strict=True)
    )


@pytest.mark.parametrize(
    "sampling", [Sampling(top_k=6), Sampling(top_k=0, top_p=0.6), Sampling(top_k=40, min_p=0.1)], ids=str
)
def test_with_filters_a_draw_inverts_the_distribution_from_the_likeliest_token_down(sampling: Sampling) -> None:
    logits = random_logits(900)
    expected = sorted(reference(logits.tolist(), sampling).items(), key=lambda item: -item[1])
    ends = list(itertools.accumulate(share for _, share in expected))
    seeds, positions = np.full(300, 3, np.uint64), np.arange(300)
    tokens, _ = draw(np.tile(logits, (300, 1)), sampling, seeds, positions)
    for token, point in zip(tokens.tolist(), uniforms(seeds, positions).tolist(), strict=True):
        place = [candidate for candidate, _ in expected].index(token)
        assert (ends[place - 1] if place else 0.0) - 1e-6 < point < ends[place] + 1e-6


@pytest.mark.parametrize("top_k", [1, 2, 40, 300, 501, 502, 2000])
def test_top_k_of_a_large_vocabulary_keeps_exactly_the_k_largest(top_k: int) -> None:
    logits = random_logits(LLAMA3_VOCABULARY + 3, scale=0.01)  # flat, so that every candidate is drawn
    logits[-3:] = [0.98, 1, 0.99]  # after the last whole block
    largest = set(np.argsort(-logits)[:top_k].tolist())
    drawn = set(draw_many(logits, Sampling(temperature=1.0, top_k=top_k), 400).tolist())
    assert drawn <= largest
    if top_k <= 40:
        assert drawn == largest


def test_top_k_of_a_large_vocabulary_follows_the_distribution_when_the_largest_share_a_block() -> None:
    logits = np.full(LLAMA3_VOCABULARY, -20, np.float32)
    logits[640:704] = np.linspace(0, 2, 64, dtype=np.float32)
    sampling = Sampling(temperature=1.0, top_k=16)
    expected = reference(logits[640:704].tolist(), sampling)
    counts = np.bincount(draw_many(logits, sampling, 3000) - 640, minlength=64)
    tokens = list(expected)
    assert counts.sum() == counts[tokens].sum()
    assert chi_square_excess(counts[tokens], 3000 * np.array([expected[token] for token in tokens])) < 4


def test_a_large_vocabulary_without_filters_follows_the_distribution() -> None:
    logits = np.full(LLAMA3_VOCABULARY, -np.inf, np.float32)
    places = np.array([0, 255, 256, 70_000, 128_255])
    logits[places] = [0, 1, 2, 1, 0]
    counts = np.bincount(draw_many(logits, Sampling(temperature=1.0, top_k=0), 4000), minlength=LLAMA3_VOCABULARY)
    shares = np.exp([0.0, 1, 2, 1, 0])
    assert counts[places].sum() == 4000
    assert chi_square_excess(counts[places], 4000 * shares / shares.sum()) < 4


@pytest.mark.parametrize("size", [10, 5000])
def test_among_ties_top_k_keeps_k_tokens(size: int) -> None:
    drawn = draw_many(np.zeros(size, np.float32), Sampling(temperature=1.0, top_k=3), 300)
    assert len(set(drawn.tolist())) == 3


@pytest.mark.parametrize("size", [10, 5000])
def test_among_ties_top_p_keeps_its_share_of_the_tokens(size: int) -> None:
    drawn = draw_many(np.zeros(size, np.float32), Sampling(temperature=1.0, top_k=0, top_p=0.004), 400)
    assert len(set(drawn.tolist())) == max(1, round(0.004 * size))


def test_top_k_beyond_the_vocabulary_keeps_all_of_it() -> None:
    drawn = draw_many(np.zeros(7, np.float32), Sampling(temperature=1.0, top_k=10**6), 400)
    assert set(drawn.tolist()) == set(range(7))


@pytest.mark.parametrize(
    "sampling",
    [Sampling(top_k=0, top_p=1e-9), Sampling(top_k=9, top_p=1e-9), Sampling(top_k=0, min_p=0.9999), Sampling(top_k=1)],
    ids=str,
)
@pytest.mark.parametrize("size", [50, 5000])
def test_filters_so_tight_that_one_token_is_left_give_the_likeliest(size: int, sampling: Sampling) -> None:
    logits = random_logits(size)
    assert set(draw_many(logits, sampling, 50).tolist()) == {int(logits.argmax())}


@pytest.mark.parametrize("sampling", FILTERS, ids=str)
@pytest.mark.parametrize("size", [6, 4096, 4400])
def test_a_token_with_no_probability_is_never_drawn(size: int, sampling: Sampling) -> None:
    logits = np.full(size, -np.inf, np.float32)
    logits[[1, size - 2]] = [-3.0, -3.1]
    assert set(draw_many(logits, sampling, 200).tolist()) <= {1, size - 2}


@settings(deadline=None, max_examples=60)
@given(
    logits=st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=30),
    temperature=st.floats(0.05, 5),
    top_k=st.integers(0, 40),
    top_p=st.floats(0.01, 1),
    min_p=st.floats(0, 0.99),
    seed=st.integers(0, 2**64 - 1),
)
def test_whatever_the_filters_a_draw_is_one_of_the_tokens_they_keep(
    logits: list[float], temperature: float, top_k: int, top_p: float, min_p: float, seed: int
) -> None:
    sampling = Sampling(temperature, top_k, top_p, min_p)
    tokens, logprobs = draw(np.array([logits], np.float32), sampling, np.array([seed], np.uint64), np.zeros(1, int))
    loose = Sampling(
        temperature, 0, min(1.0, top_p * 1.001 + 1e-6), min_p * 0.999
    )  # at a filter's edge rounding decides
    drawn = logits[int(tokens[0])]
    assert any(logits[token] <= drawn for token in reference(logits, loose))
    if top_k:
        assert sum(logit > drawn for logit in logits) < top_k
    assert logprobs[0] <= 1e-6


# -- log-probabilities -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", [*FILTERS, Sampling(temperature=0)], ids=str)
@pytest.mark.parametrize("size", [5, 3000, LLAMA3_VOCABULARY])
def test_a_logprob_is_the_log_softmax_at_temperature_one_before_filters(size: int, sampling: Sampling) -> None:
    logits = np.stack([random_logits(size, seed, scale) for seed, scale in ((1, 0.1), (2, 3.0), (3, 20.0))])
    tokens, logprobs = draw(logits, sampling, seeds_of(3), np.arange(3))
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True)
    exact -= np.log(np.exp(exact).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(logprobs, exact[np.arange(3), tokens], rtol=1e-6, atol=1e-5)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 70), st.integers(0, 2**32))
def test_inverting_by_blocks_is_inverting_the_whole_running_sum(size: int, num_rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    mass = (random.integers(0, 4, (num_rows, size)) * (random.random((num_rows, size)) < 0.2)).astype(np.float32)
    mass[np.arange(num_rows), random.integers(0, size, num_rows)] += 1  # whole numbers: sums are exact in any order
    points = random.integers(0, 64, num_rows) / 64
    expected = sampling_module._invert_directly(mass, points)
    many = -(-sampling_module._DIRECT // mass.size) + 1  # as many times as makes it large enough for blocks
    found = sampling_module._invert(np.tile(mass, (many, 1)), np.tile(points, many))
    assert (found == np.tile(expected, many)).all()
    assert (mass[np.arange(num_rows), expected] > 0).all()


def test_logits_are_only_read() -> None:
    logits = np.tile(random_logits(5000), (3, 1))
    logits.flags.writeable = False
    for sampling in FILTERS:
        draw(logits, sampling, seeds_of(3), np.arange(3))


# -- a row is on its own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", FILTERS, ids=str)
@pytest.mark.parametrize("size", [300, 5000, 70_000])
def test_a_draw_depends_neither_on_its_batch_mates_nor_on_its_place(size: int, sampling: Sampling) -> None:
    scales = [0.0, 0.01, 1.0, 5.0, 0.0, 3.0, 0.1]
    logits = np.stack([np.round(random_logits(size, row, scale), 1) for row, scale in enumerate(scales)])  # many ties
    seeds, positions = seeds_of(len(scales)), np.arange(len(scales))
    together = draw(logits, sampling, seeds, positions)
    order = np.array([4, 2, 0, 6, 5, 1, 3])
    moved = draw(logits[order], sampling, seeds[order], positions[order])
    for index, row in enumerate(order):
        alone = draw(logits[row : row + 1], sampling, seeds[row : row + 1], positions[row : row + 1])
        assert alone[0][0] == together[0][row] == moved[0][index]
        assert alone[1][0] == pytest.approx(together[1][row], abs=1e-6)


@pytest.mark.parametrize("sampling", FILTERS, ids=str)
def test_a_row_given_by_reference_many_times_draws_like_copies_of_it(sampling: Sampling) -> None:
    logits, seeds = random_logits(5000), seeds_of(9)
    by_reference = draw(np.broadcast_to(logits, (9, 5000)), sampling, seeds, np.zeros(9, int))
    copied = draw(np.tile(logits, (9, 1)), sampling, seeds, np.zeros(9, int))
    assert by_reference[0].tolist() == copied[0].tolist()
    np.testing.assert_allclose(by_reference[1], copied[1], atol=1e-6)


def test_no_rows_draw_nothing() -> None:
    tokens, logprobs = draw(np.zeros((0, 10), np.float32), Sampling(), np.zeros(0, np.uint64), np.zeros(0, int))
    assert len(tokens) == len(logprobs) == 0


# -- seeds -------------------------------------------------------------------------------------------------------------


def test_uniforms_lie_in_the_half_open_unit_interval_and_repeat() -> None:
    seeds = np.array([0, 1, 2**63, 2**64 - 1], np.uint64)
    points = uniforms(seeds, np.array([0, 10**6, 2**40, 0]))
    assert points.tolist() == uniforms(seeds, np.array([0, 10**6, 2**40, 0])).tolist()
    assert ((points >= 0) & (points < 1)).all()
    assert len(set(points.tolist())) == 4


@pytest.mark.parametrize(("from_seed", "stream"), [(0, "position"), (0, "seed"), (2**63, "seed"), (0, "mixed")])
def test_consecutive_seeds_and_positions_give_independent_uniform_draws(from_seed: int, stream: str) -> None:
    count = 20_000
    numbers = np.arange(count, dtype=np.uint64) + np.uint64(from_seed)
    if stream == "position":
        points = uniforms(np.full(count, 5, np.uint64), np.arange(count))
    elif stream == "seed":
        points = uniforms(numbers, np.zeros(count, int))
    else:
        points = uniforms(seeds_of(2000), np.zeros(2000, int))
    size = len(points)
    assert abs(points.mean() - 1 / 2) < 4 / math.sqrt(12 * size)
    assert abs(points.var() - 1 / 12) < 4 / math.sqrt(180 * size)
    for lag in (1, 2, 3):
        assert abs(np.corrcoef(points[:-lag], points[lag:])[0, 1]) < 4 / math.sqrt(size)
    pairs = np.histogram2d(points[:-1:2], points[1::2], bins=10, range=[[0, 1], [0, 1]])[0].ravel()
    assert abs(chi_square_excess(pairs, np.full(100, pairs.sum() / 100))) < 4


def test_the_streams_of_two_seeds_do_not_overlap() -> None:
    streams = uniforms(np.repeat(seeds_of(50), 200), np.tile(np.arange(200), 50))
    assert len(set(streams.tolist())) == 50 * 200


def test_splitmix64_gives_the_published_sequence() -> None:
    """First outputs for seed 1234567; source: https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64."""
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    points = uniforms(np.full(5, 1234567, np.uint64), np.arange(5))
    assert points.tolist() == [(number >> 11) * 2.0**-53 for number in expected]


def test_a_mixed_seed_depends_on_every_part_and_on_their_order() -> None:
    small = list(itertools.product(range(12), repeat=2))
    seeds = [mix_seed(*parts) for parts in small] + [mix_seed(part) for part in range(12)] + [mix_seed(1, 2, 3)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert mix_seed(3, 4) == mix_seed(3, 4)


@pytest.mark.parametrize(("seed", "same"), [(-1, 2**64 - 1), (2**64, 0), (2**70 + 5, 5)])
def test_any_integer_is_a_seed_taken_modulo_two_to_the_64(seed: int, same: int) -> None:
    assert mix_seed(seed, 1) == mix_seed(same, 1)


def test_neighbouring_seeds_differ_in_half_of_their_bits() -> None:
    flips = [(mix_seed(number) ^ mix_seed(number + 1)).bit_count() for number in range(400)]
    assert abs(np.mean(flips) - 32) < 4 * 4 / math.sqrt(400)


@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=60))
def test_how_sure_a_row_is_agrees_with_its_probabilities_written_out(logits: list[float]) -> None:
    top = max(logits)
    mass = [math.exp(logit - top) for logit in logits]
    probabilities = sorted((part / math.fsum(mass) for part in mass), reverse=True)
    entropies, margins, confidences = sureness(np.array([logits], np.float32))
    assert entropies[0] == pytest.approx(-math.fsum(p * math.log(p) for p in probabilities if p), abs=1e-4)
    assert margins[0] == pytest.approx(probabilities[0] - sum(probabilities[1:2]), abs=1e-5)
    likeliest = probabilities[:20]
    expected = -math.fsum(math.log(max(p, 1e-300)) for p in likeliest) / len(likeliest)
    assert confidences[0] == pytest.approx(expected, abs=1e-3)


def test_a_token_that_cannot_be_drawn_does_not_spoil_the_entropy() -> None:
    entropies, margins, _ = sureness(np.array([[0.0, 0.0, -np.inf]], np.float32))
    assert entropies[0] == pytest.approx(math.log(2), abs=1e-6)
    assert margins[0] == pytest.approx(0.0, abs=1e-6)
