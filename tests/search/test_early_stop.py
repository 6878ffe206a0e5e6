"""When a vote is decided: dominance is held to all continuations, the posterior to exact integration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch import answer
from edgesearch.choice import choose
from edgesearch.search.base import Selection
from edgesearch.search.early_stop import EarlyStop, decided, posterior, verdict
from edgesearch.types import Beam, Candidate, Finish, Prompt, Step

PROMPT = Prompt("2 + 2?")
NEVER_SURE = EarlyStop()


def sample(
    stated: str | None, score: float | None = None, proof: bool | None = None, finish: Finish = "stop"
) -> Candidate:
    return Candidate(Beam(PROMPT, (Step("x", (1,), -1.0, finish),), proof=proof), stated, score)


def samples(answers: str) -> list[Candidate]:
    """One for each letter; a dash states nothing."""
    return [sample(None if letter == "-" else letter) for letter in answers]


# -- dominance ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "num_left", "expected"),
    [
        ("aaa", 2, True),
        ("aaa", 3, True),  # a tie goes to the answer that appeared first
        ("aaa", 4, False),
        ("baaa", 2, False),  # a tie would go to b
        ("baaa", 1, True),
        ("aaab", 2, True),
        ("aaab", 3, False),
        ("aabbb", 1, False),
        ("a", 1, True),
        ("a", 2, False),
        ("ab", 1, False),
        ("-", 1, False),
        ("", 1, False),
        ("-aa-", 2, True),
    ],
)
def test_a_majority_is_decided_once_the_samples_left_cannot_turn_it(
    answers: str, num_left: int, expected: bool
) -> None:
    assert decided(samples(answers), num_left, "majority") is expected


def test_votes_are_over_canonical_answers() -> None:
    assert decided([sample("1/2"), sample("0.5"), sample(r"\frac{1}{2}")], 3, "majority")


def test_an_answer_that_is_proven_wrong_has_no_vote() -> None:
    wrong = [sample("a", proof=False)] * 5
    assert not decided(wrong, 1, "majority")
    assert not decided([*wrong, sample("b")], 2, "majority")
    assert decided([*wrong, sample("b"), sample("b")], 2, "majority")


@pytest.mark.parametrize("selection", ["majority", "weighted", "best", "confident"])
def test_an_answer_that_is_proven_right_decides_everything(selection: Selection) -> None:
    assert decided([*samples("bbb"), sample("a", proof=True)], 100, selection)


@pytest.mark.parametrize(
    ("scored", "num_left", "expected"),
    [
        ([("a", 0.9), ("a", 0.9)], 1, True),
        ([("a", 0.9), ("a", 0.9)], 2, False),
        ([("a", 1.0), ("a", 1.0)], 2, True),
        ([("b", 0.5), ("a", 1.0), ("a", 0.5)], 1, False),
        ([("a", 1.0), ("b", 0.5), ("a", 0.5)], 1, True),
        ([("a", 1.0), ("a", None)], 1, True),
        ([("a", 1.0), ("b", None)], 1, False),
        ([("a", 1.0), ("a", 1.0), ("b", None)], 1, True),
        ([("a", None)] * 9, 1, False),
        ([("a", 0.0)] * 9, 1, False),
    ],
)
def test_a_weighted_vote_is_decided_once_scores_of_one_for_another_answer_cannot_turn_it(
    scored: list[tuple[str, float | None]], num_left: int, expected: bool
) -> None:
    assert decided([sample(*each) for each in scored], num_left, "weighted") is expected


@pytest.mark.parametrize(
    ("best", "expected"),
    [
        (sample("a", 1.0), True),
        (sample("a", 0.999), False),
        (sample("a", None), False),
        (sample(None, 1.0), False),
        (sample("a", 1.0, finish="length"), False),
        (sample("a", 1.0, proof=False), False),
    ],
)
def test_a_search_for_the_best_score_is_decided_by_a_finished_answer_with_a_score_of_one(
    best: Candidate, expected: bool
) -> None:
    assert decided([sample("b", 0.5), best], 3, "best") is expected


def test_a_vote_weighted_by_confidence_is_never_dominated() -> None:
    assert not decided(samples("a" * 50), 1, "confident")


def continuations(num_left: int, answers: Sequence[str], selection: Selection) -> Iterator[list[Candidate]]:
    """All ways in which the samples left may end, as far as they can differ in the answer."""
    scores = (0.0, 1.0) if selection == "weighted" else (None,)
    outcomes = [sample(None), *(sample(stated, score) for stated in (*answers, "new") for score in scores)]
    yield from (list(each) for each in itertools.combinations_with_replacement(outcomes, num_left))


def scored(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """All ways in which the missing scores may come out, none at all among them."""
    choices = [(each.score,) if each.score is not None else (None, 0.0, 1.0) for each in candidates]
    for scores in itertools.product(*choices):
        yield [Candidate(each.beam, each.answer, score) for each, score in zip(candidates, scores, strict=True)]


def winners(candidates: Sequence[Candidate], num_left: int, selection: Selection) -> set[str | None]:
    """Every answer that may be chosen in the end."""
    answers = sorted({each.answer for each in candidates if each.answer is not None})
    found: set[str | None] = set()
    for rest in continuations(num_left, answers, selection):
        for now in scored(candidates) if selection == "weighted" else [list(candidates)]:
            chosen = choose([*now, *rest], selection).candidate
            stated = chosen.answer if chosen is not None else None
            found.add(None if stated is None else answer.canonical(stated))
    return found


SAMPLES = st.lists(
    st.builds(
        sample,
        st.sampled_from([None, "a", "b", "a", "0.5", "1/2"]),
        st.sampled_from([None, 0.0, 0.25, 0.5, 1.0]),
        st.sampled_from([None, None, None, False]),
    ),
    max_size=7,
)


@settings(deadline=None, max_examples=150)
@given(SAMPLES, st.integers(1, 4))
def test_a_majority_is_decided_exactly_when_no_continuation_changes_the_answer(
    candidates: list[Candidate], num_left: int
) -> None:
    is_fixed = len(winners(candidates, num_left, "majority")) == 1
    assert decided(candidates, num_left, "majority") == is_fixed


@settings(deadline=None, max_examples=100)
@given(SAMPLES.filter(lambda drawn: sum(each.score is None for each in drawn) < 4), st.integers(1, 3))
def test_a_weighted_vote_is_decided_exactly_when_no_continuation_changes_the_answer(
    candidates: list[Candidate], num_left: int
) -> None:
    is_fixed = len(winners(candidates, num_left, "weighted")) == 1
    assert decided(candidates, num_left, "weighted") == is_fixed


# -- confidence --------------------------------------------------------------------------------------------------------


def integrated(leader: int, rival: int) -> Fraction:
    """P(p > 1/2) for p ~ Beta(leader + 1, rival + 1), by integrating the expanded polynomial."""
    total = above = Fraction(0)
    for power in range(rival + 1):
        term = Fraction((-1) ** power * math.comb(rival, power), leader + power + 1)
        total += term
        above += term * (1 - Fraction(1, 2 ** (leader + power + 1)))
    return above / total


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_the_posterior_is_the_beta_integral(leader: int, rival: int) -> None:
    assert posterior(leader, rival) == pytest.approx(float(integrated(leader, rival)), abs=1e-12)


@pytest.mark.parametrize(
    ("leader", "rival", "expected"),
    [(0, 0, 0.5), (1, 0, 0.75), (4, 0, 1 - 1 / 32), (3, 3, 0.5), (5, 1, 0.9375), (2, 4, 29 / 128)],
)
def test_the_posterior_of_small_votes(leader: int, rival: int, expected: float) -> None:
    assert posterior(leader, rival) == expected


def test_the_posterior_of_many_votes_neither_overflows_nor_rounds_away() -> None:
    assert posterior(4000, 96) == 1.0
    assert 0.5 < posterior(2049, 2047) < 0.52


def test_a_confidence_stops_the_vote_before_it_is_dominated() -> None:
    sure = EarlyStop(confidence=0.95)
    assert verdict(samples("aaa"), 13, "majority", sure) is None  # 15/16
    assert verdict(samples("aaaa"), 12, "majority", sure) == "confidence"  # 31/32
    assert verdict(samples("aaaa"), 12, "majority", NEVER_SURE) is None
    assert verdict(samples("aaaab"), 11, "majority", sure) is None  # 57/64
    assert verdict(samples("aaaa"), 12, "confident", sure) == "confidence"


def test_dominance_is_named_before_confidence() -> None:
    assert verdict(samples("aaaaaaaa"), 8, "majority", EarlyStop(confidence=0.95)) == "dominance"


def test_nothing_is_stopped_where_nothing_is_left() -> None:
    assert verdict(samples("aaaaaaaa"), 0, "majority", EarlyStop(confidence=0.6)) is None


def test_nothing_is_stopped_before_somebody_votes() -> None:
    assert verdict(samples("--"), 8, "majority", EarlyStop(confidence=0.6)) is None


def test_the_confidence_of_a_weighted_vote_is_that_of_the_heaviest_answer() -> None:
    sure = EarlyStop(confidence=0.6)
    few_but_heavy = [sample("b", 0.1)] * 3 + [sample("a", 1.0)]
    assert verdict(few_but_heavy, 8, "weighted", sure) is None
    assert verdict([*few_but_heavy[:3], sample("a", 0.2)], 8, "weighted", sure) == "confidence"


def test_no_confidence_stops_a_search_for_the_best_score() -> None:
    assert verdict([sample("a", 0.9)] * 9, 8, "best", EarlyStop(confidence=0.6)) is None


@pytest.mark.parametrize("confidence", [0.5, 1.0, 0.0, 95.0, math.nan])
def test_a_confidence_out_of_its_range_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"^confidence must be in \(0\.5, 1\), not "):
        EarlyStop(confidence)


# -- programs ----------------------------------------------------------------------------------------------------------


def test_votes_for_a_program_decide_nothing() -> None:
    same = [sample("def f(): return 1\n", 0.5)] * 9
    for selection in ("majority", "weighted", "best"):
        assert verdict(same, 1, selection, EarlyStop(confidence=0.6)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("selection", ["majority", "weighted", "best"])
def test_a_finished_program_with_the_highest_score_decides_the_search(selection: Selection) -> None:
    others = [sample("def f(): return 1\n", 0.5)] * 2
    assert verdict([*others, sample("def f(): return 2\n", 1.0)], 9, selection, NEVER_SURE) == "dominance"
    assert verdict([*others, sample("def f(): return 2\n", 1.0, finish="length")], 9, selection, NEVER_SURE) is None
