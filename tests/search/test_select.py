"""Which beams live on: the best 1/m of the frontier, branched back to its width."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.search.base import SearchConfig
from edgesearch.search.select import aggregate, alive, branch, distinct, select
from edgesearch.types import AGGREGATORS, Aggregator, Beam, Finish, Prompt, Step

PROMPT = Prompt("2 + 2?")


def beam(*scores: float, finish: Finish = "step") -> Beam:
    """A judged beam whose last step ended so."""
    steps = [Step("x\n\n", (1,), -1.0, "step") for _ in scores[1:]] + [Step("x\n\n", (1,), -1.0, finish)]
    return Beam(PROMPT, tuple(steps), scores)


def children(beams: list[Beam], n: int, m: int, aggregator: Aggregator = "last") -> list[tuple[float, int]]:
    """(score, children) of each beam that was kept, in the order they come back."""
    kept = select(beams, SearchConfig(n=n, m=m, aggregator=aggregator))
    return [(aggregate(each.scores, aggregator), count) for each, count in _runs(kept)]


def _runs(beams: list[Beam]) -> list[tuple[Beam, int]]:
    counts = Counter(each.node for each in beams)
    firsts = {each.node: each for each in reversed(beams)}
    return [(firsts[node], counts[node]) for node in dict.fromkeys(each.node for each in beams)]


# -- aggregators -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "scores", "expected"),
    [
        ("last", (0.9, 0.5, 0.8), 0.8),
        ("min", (0.9, 0.5, 0.8), 0.5),
        ("prod", (0.9, 0.5, 0.8), 0.36),
        ("mean", (0.9, 0.5, 0.8), 2.2 / 3),
        *((how, (0.7,), 0.7) for how in AGGREGATORS),
        *((how, (0.0, 0.0), 0.0) for how in AGGREGATORS),
        *((how, (1.0, 1.0, 1.0), 1.0) for how in AGGREGATORS),
        ("mean", (0.1,) * 10, 0.1),
    ],
)
def test_step_scores_become_one_score(how: Aggregator, scores: tuple[float, ...], expected: float) -> None:
    assert aggregate(scores, how) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("how", AGGREGATORS)
def test_a_beam_without_scores_has_no_score(how: Aggregator) -> None:
    with pytest.raises(ValueError, match="without scored steps"):
        aggregate((), how)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.sampled_from(AGGREGATORS))
def test_any_aggregate_lies_between_zero_and_one(scores: list[float], how: Aggregator) -> None:
    assert 0 <= aggregate(scores, how) <= 1
    if how != "prod":
        assert min(scores) - 1e-12 <= aggregate(scores, how) <= max(scores) + 1e-12


# -- the frontier ------------------------------------------------------------------------------------------------------


def test_finished_and_truncated_beams_leave_the_frontier() -> None:
    going_on, root = beam(0.1), Beam(PROMPT)
    ended = [beam(0.9, finish=finish) for finish in ("stop", "length", "deadline")]
    assert alive([ended[0], going_on, ended[1], root, ended[2]]) == [going_on, root]
    assert alive(ended) == []


# -- selection ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "m", "expected"),
    [
        (8, 4, [4, 4]),
        (8, 2, [2, 2, 2, 2]),
        (8, 1, [1] * 8),
        (8, 8, [8]),
        (8, 3, [4, 4]),
        (10, 4, [5, 5]),
        (11, 4, [6, 5]),
        (7, 2, [3, 2, 2]),
        (3, 4, [3]),
        (1, 4, [1]),
        (1, 1, [1]),
        (4, 1000, [4]),
    ],
)
def test_the_best_nth_of_m_are_kept_and_what_is_left_over_goes_to_the_best(
    width: int, m: int, expected: list[int]
) -> None:
    beams = [beam(index / 100) for index in range(width)]
    scores = sorted((each.scores[-1] for each in beams), reverse=True)
    assert children(beams, 8, m) == list(zip(scores, expected, strict=False))


def test_no_beams_select_none() -> None:
    assert select([], SearchConfig()) == []


def test_the_width_is_that_of_the_frontier_and_not_of_the_setting() -> None:
    assert len(select([beam(0.1), beam(0.2), beam(0.3)], SearchConfig(n=16, m=4))) == 3


def test_identical_beams_count_once() -> None:
    twin, second, third = beam(0.9), beam(0.8), beam(0.7)
    assert children([twin, twin, twin, second, third, twin, twin, twin], 8, 4) == [(0.9, 4), (0.8, 4)]
    assert children([twin] * 5, 8, 2) == [(0.9, 5)]


def test_beams_with_the_same_score_are_kept_in_the_order_they_came() -> None:
    beams = [beam(0.5) for _ in range(4)]
    assert select(beams, SearchConfig(n=4, m=2)) == [beams[0], beams[0], beams[1], beams[1]]


def worded(text: str, score: float) -> Beam:
    return Beam(PROMPT, (Step(text, (1,), -1.0, "step"),), (score,))


def test_beams_are_equal_by_their_tokens_or_up_to_white_space_by_their_text() -> None:
    first, same_text, other = worded("a b\n\n", 0.1), worded("  a\tb\n\n", 0.2), worded("ab\n\n", 0.3)
    assert distinct([first, same_text, first, other]) == [first, same_text, other]
    assert distinct([first, same_text, first, other], by_text=True) == [first, other]
    assert distinct([]) == distinct([], by_text=True) == []


def test_of_beams_with_the_same_words_the_best_is_kept() -> None:
    low, high, other = worded("a b\n\n", 0.7), worded("a  b\n\n", 0.9), worded("c\n\n", 0.8)
    config = SearchConfig(n=3, m=1)
    assert select([low, high, other], config) == [high, other, low]
    assert select([low, high, other], config, deduplicate=True) == [high, high, other]


def test_given_values_rank_instead_of_scores() -> None:
    low, high = worded("a\n\n", 0.1), worded("b\n\n", 0.9)
    assert select([low, high], SearchConfig(n=2, m=2), values={low.node: 0.6, high.node: 0.5}) == [low, low]


@pytest.mark.parametrize(("width", "expected"), [(0, []), (2, [1, 1]), (3, [2, 1]), (5, [3, 2]), (1, [1])])
def test_children_that_do_not_share_out_evenly_go_to_the_first(width: int, expected: list[int]) -> None:
    kept = [beam(0.1), beam(0.9)]
    assert [count for _, count in _runs(branch(kept, width))] == expected
    assert branch([], width) == []


@pytest.mark.parametrize(
    ("aggregator", "best"), [("last", (0.1, 0.9)), ("min", (0.6, 0.6)), ("mean", (0.95, 0.5)), ("prod", (0.95, 0.5))]
)
def test_the_aggregator_decides_who_is_best(aggregator: Aggregator, best: tuple[float, ...]) -> None:
    beams = [beam(0.1, 0.9), beam(0.6, 0.6), beam(0.95, 0.5)]
    assert select(beams, SearchConfig(n=3, m=3, aggregator=aggregator))[0].scores == best


def test_a_beam_that_was_not_judged_cannot_be_selected() -> None:
    with pytest.raises(ValueError, match="without scored steps"):
        select([Beam(PROMPT, (Step("x", (1,), -1.0, "step"),))], SearchConfig())


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 3)), max_size=20),
    st.integers(1, 64),
    st.integers(1, 64),
    st.sampled_from(AGGREGATORS),
)
def test_as_many_come_back_as_were_given_and_the_best_are_among_them(
    scored: list[tuple[float, int]], n: int, m: int, aggregator: Aggregator
) -> None:
    beams = [each for score, copies in scored for each in [beam(score)] * copies]
    kept = select(beams, SearchConfig(n=n, m=m, aggregator=aggregator))
    assert len(kept) == len(beams)
    assert {each.node for each in kept} <= {each.node for each in beams}
    if not beams:
        return
    counts = Counter(each.node for each in kept)
    assert len(counts) == min(len(scored), max(1, len(beams) // m))
    assert max(counts.values()) - min(counts.values()) <= 1
    left = [each.scores[-1] for each in beams if each.node not in counts]
    assert min(each.scores[-1] for each in kept) >= max(left, default=-math.inf)
    assert [each.scores[-1] for each in kept] == sorted((each.scores[-1] for each in kept), reverse=True)


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"n": 0}, r"n must be in \[1, 4096\], not 0"),
        ({"n": 4097}, r"n must be in \[1, 4096\], not 4097"),
        ({"m": 0}, "m must be >= 1, not 0"),
        ({"aggregator": "max"}, "aggregator must be one of last, min, prod, mean, not 'max'"),
    ],
)
def test_a_setting_out_of_range_is_named(settings_: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SearchConfig(**settings_)  # type: ignore[arg-type]
