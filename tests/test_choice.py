"""One answer and an honest confidence from candidates."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.choice import choose
from edgesearch.search.base import Selection
from edgesearch.types import Beam, Candidate, Finish, Prompt, Step

PROMPT = Prompt("2 + 2?")
SELECTIONS: tuple[Selection, ...] = ("best", "majority", "weighted", "confident")


def candidate(
    answer: str | None,
    score: float | None = None,
    finish: Finish = "stop",
    logprob: float = -1.0,
    tokens: int = 2,
    proof: bool | None = None,
    weight: float | None = None,
) -> Candidate:
    beam = Beam(PROMPT, (Step("x", (1,) * tokens, logprob, finish),), proof=proof)
    return Candidate(beam, answer, score, weight=weight)


def chosen(candidates: list[Candidate], selection: Selection) -> tuple[int | None, float | None]:
    """Its place among the candidates, and the confidence."""
    choice = choose(candidates, selection)
    places = [index for index, each in enumerate(candidates) if each is choice.candidate]
    return (places[0] if places else None), choice.confidence


@pytest.mark.parametrize("selection", SELECTIONS)
def test_no_candidates_mean_no_choice_and_no_confidence(selection: Selection) -> None:
    assert chosen([], selection) == (None, None)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_lone_answer_is_chosen_without_a_confidence(selection: Selection) -> None:
    assert chosen([candidate("4", 0.9)], selection) == (0, None)
    assert chosen([candidate(None, 0.95), candidate("4", 0.1), candidate(None)], selection) == (1, None)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_without_any_answer_the_best_text_is_chosen_finished_ones_first(selection: Selection) -> None:
    cut, finished, better = candidate(None, 0.9, "length"), candidate(None, 0.1), candidate(None, 0.2)
    assert chosen([cut, finished, better], selection) == (2, None)


def test_best_takes_the_highest_score_and_the_share_of_score_its_answer_holds() -> None:
    place, confidence = chosen([candidate("4", 0.5), candidate("5", 0.9), candidate("4", 0.6)], "best")
    assert place == 1
    assert confidence == pytest.approx(0.9 / 2.0)


def test_weighted_adds_scores_of_equal_answers_and_takes_the_best_of_them() -> None:
    place, confidence = chosen([candidate("4", 0.5), candidate("5", 0.9), candidate("4.0", 0.6)], "weighted")
    assert place == 2
    assert confidence == pytest.approx(1.1 / 2.0)


def test_majority_counts_votes_and_is_blind_to_scores() -> None:
    place, confidence = chosen([candidate("5", 0.99), candidate("4", 0.1), candidate(r"4", 0.2)], "majority")
    assert place == 1
    assert confidence == pytest.approx(2 / 3)


def test_confident_adds_the_weights_of_equal_answers_and_is_blind_to_scores() -> None:
    sure, unsure = candidate("4", 0.1, weight=7.0), [candidate("5", 0.9, weight=2.5), candidate("5.0", 0.9, weight=3.0)]
    assert chosen([*unsure, sure], "confident") == (2, pytest.approx(7 / 12.5))
    assert chosen([*unsure, sure, candidate("5", weight=2.0)], "confident") == (1, pytest.approx(7.5 / 14.5))


def test_a_candidate_without_weight_has_no_say_unless_nobody_has_one() -> None:
    assert chosen([candidate("5"), candidate("5", weight=0.0), candidate("4", weight=0.1)], "confident") == (2, 1.0)
    assert chosen([candidate("4"), candidate("5"), candidate("5", weight=0.0)], "confident")[0] == 1


@pytest.mark.parametrize("selection", ["best", "majority", "weighted"])
def test_weights_of_confidence_count_where_they_are_asked_for_only(selection: Selection) -> None:
    candidates = [candidate("4", 0.4, weight=9.0), candidate("5", 0.5, weight=0.0), candidate("5", 0.6, weight=0.0)]
    assert chosen(candidates, selection)[0] == (1 if selection == "majority" else 2)


def test_votes_are_over_canonical_answers_not_strings() -> None:
    place, confidence = chosen(
        [candidate("3"), candidate("1/2"), candidate("0.5"), candidate(r"\frac{1}{2}")], "majority"
    )
    assert place == 1
    assert confidence == pytest.approx(3 / 4)


def test_candidates_without_an_answer_do_not_vote() -> None:
    assert chosen([candidate(None), candidate(None), candidate("4"), candidate("4")], "majority") == (2, 1.0)


def test_a_finished_candidate_comes_before_a_cut_off_one_with_a_higher_score() -> None:
    assert chosen([candidate("4", 0.9, "length"), candidate("5", 0.1)], "best")[0] == 1


def test_equal_scores_are_told_apart_by_the_solvers_own_mean_logprob() -> None:
    unlikely, likely = candidate("4", 0.5, logprob=-2, tokens=2), candidate("5", 0.5, logprob=-3, tokens=9)
    assert chosen([unlikely, likely], "best")[0] == 1


def test_an_unscored_candidate_ranks_below_a_scored_one() -> None:
    assert chosen([candidate("4"), candidate("5", 0.0), candidate("5", 0.1)], "best")[0] == 2


@pytest.mark.parametrize("selection", ["best", "weighted"])
def test_without_scores_the_votes_decide_and_the_choice_says_so(selection: Selection) -> None:
    candidates = [candidate("5"), candidate("4"), candidate("4")]
    assert chosen(candidates, selection) == (1, pytest.approx(2 / 3))
    assert choose(candidates, selection).is_unscored


def test_a_choice_is_not_unscored_where_no_scores_were_wanted_or_needed() -> None:
    assert not choose([candidate("4"), candidate("4")], "majority").is_unscored
    assert not choose([candidate("4"), candidate("4")], "confident").is_unscored
    assert not choose([candidate("4")], "best").is_unscored
    assert not choose([candidate("4", 0.0), candidate("5")], "best").is_unscored
    assert not choose([], "best").is_unscored


def test_where_all_scores_are_zero_the_votes_are_counted() -> None:
    place, confidence = chosen([candidate("5", 0.0), candidate("4", 0.0), candidate("4", 0.0)], "weighted")
    assert (place, confidence) == (1, pytest.approx(2 / 3))


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_proven_answer_is_chosen_with_certainty_whatever_the_scores_and_votes(selection: Selection) -> None:
    others = [candidate("4", 1.0), candidate("4", 1.0), candidate("5", 1.0, "length")]
    assert chosen([*others, candidate("6", 0.0, proof=True)], selection) == (3, 1.0)
    assert chosen([candidate("6", None, proof=True), *others], selection) == (0, 1.0)
    assert chosen([candidate("6", 0.1, proof=True)], selection) == (0, 1.0)
    assert not choose([*others, candidate("6", proof=True)], selection).is_unscored


@pytest.mark.parametrize("selection", SELECTIONS)
def test_of_several_proven_answers_the_verifier_s_favourite_is_chosen(selection: Selection) -> None:
    proven = [candidate("1+2", 0.1, proof=True), candidate("2+1", 0.9, proof=True), candidate("3", 1.0)]
    assert chosen(proven, selection) == (1, 1.0)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_an_answer_that_is_proven_wrong_ranks_below_every_other_answer_and_has_no_vote(selection: Selection) -> None:
    wrong = [candidate("4", 1.0, proof=False)] * 3
    assert chosen([*wrong, candidate("5", 0.0)], selection) == (3, None)
    assert chosen([*wrong, candidate("5", 0.0, "deadline"), candidate("5", 0.0)], selection)[1] == 1.0
    place, confidence = chosen([*wrong, candidate("5", 0.6), candidate("6", 0.2), candidate("5", 0.6)], selection)
    assert place == 3
    assert confidence == pytest.approx(1.2 / 1.4 if selection in ("best", "weighted") else 2 / 3)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_where_all_answers_are_proven_wrong_one_is_shown_without_any_confidence(selection: Selection) -> None:
    wrong = [candidate("4", 0.2, proof=False), candidate("5", 0.9, proof=False), candidate(None, 1.0)]
    choice = choose(wrong, selection)
    assert choice.candidate is not None
    assert choice.candidate.answer is not None
    assert (choice.confidence, choice.is_unscored) == (0.0, False)


CANDIDATES = st.lists(
    st.builds(
        candidate,
        st.sampled_from([None, "4", "4.0", "5", "x + 1", ""]),
        st.none() | st.floats(0, 1),
        st.sampled_from(["stop", "length", "deadline"]),
        st.floats(-50, 0),
        st.integers(0, 5),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(CANDIDATES, st.sampled_from(SELECTIONS))
def test_any_choice_is_one_of_the_candidates_with_an_answer_if_any_has_one(
    candidates: list[Candidate], selection: Selection
) -> None:
    choice = choose(candidates, selection)
    assert (choice.candidate is None) == (not candidates)
    assert choice.candidate is None or any(choice.candidate is each for each in candidates)
    num_answered = sum(each.answer is not None for each in candidates)
    if num_answered:
        assert choice.candidate is not None
        assert choice.candidate.answer is not None
    assert (choice.confidence is None) == (num_answered < 2)
    assert choice.confidence is None or 0 <= choice.confidence <= 1


@settings(deadline=None)
@given(CANDIDATES, st.lists(st.sampled_from([True, False, None]), max_size=8), st.sampled_from(SELECTIONS))
def test_proofs_come_before_everything_else(
    candidates: list[Candidate], proofs: list[bool | None], selection: Selection
) -> None:
    proven = [
        dataclasses.replace(each, beam=dataclasses.replace(each.beam, proof=proof))
        for each, proof in zip(candidates, proofs, strict=False)
    ]
    standings = [each.beam.proof for each in proven if each.answer is not None]
    choice = choose(proven, selection)
    if not standings:
        return
    assert choice.candidate is not None
    best = next(standing for standing in (True, None, False) if standing in standings)
    assert choice.candidate.beam.proof is best
    if best is not None:
        assert choice.confidence == float(best)


def program(name: str, *, comment: str = "") -> str:
    return f"def {name}(x):{comment}\n    return x\n"


@pytest.mark.parametrize("selection", SELECTIONS)
def test_programs_with_scores_are_chosen_by_score_whatever_the_rule_and_without_a_confidence(
    selection: Selection,
) -> None:
    many = [candidate(program("f"), 0.4, weight=9.0)] * 3
    choice = choose([*many, candidate(program("g"), 0.5), candidate(program("h"))], selection)
    assert choice.candidate is not None
    assert choice.candidate.answer == program("g")
    assert (choice.confidence, choice.share, choice.is_unscored) == (None, None, False)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_of_programs_with_equal_scores_a_finished_one_is_chosen_and_then_the_likeliest(selection: Selection) -> None:
    cut, unlikely = candidate(program("f"), 1.0, "length", -0.1), candidate(program("g"), 1.0, logprob=-4)
    likely = candidate(program("h"), 1.0, logprob=-2)
    assert chosen([cut, unlikely, likely], selection) == (2, None)
    assert chosen([candidate(program("f"), 0.9), cut], selection) == (1, None)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_programs_without_scores_vote_by_what_they_mean(selection: Selection) -> None:
    candidates = [candidate(program("g")), candidate(program("f")), candidate(program("f", comment="  # so"))]
    assert chosen(candidates, selection) == (1, pytest.approx(2 / 3))
