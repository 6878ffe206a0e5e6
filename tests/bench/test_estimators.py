"""Estimators at k, against all subsets one by one, exact fractions, and recorded generations.

The recorded generations are read only where the environment variable EDGESEARCH_TEST_DATA names their folder.
"""

import itertools
import json
import math
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch import answer
from edgesearch.bench import estimators
from edgesearch.bench.estimators import (
    Candidates,
    best_of_n_at_k,
    curves,
    majority_at_k,
    pass_at_k,
    unanswered_at_k,
    weighted_at_k,
)

unhurried = settings(deadline=None, max_examples=150)  # a busy machine is not a failure

EIGHTHS = [i / 8 for i in range(9)]
"""Scores whose sums are exact, so that ties are ties; few, so that there are some."""


def exact_pass(n: int, c: int, k: int) -> Fraction:
    return 1 - Fraction(math.comb(n - c, k), math.comb(n, k))


# -- pass@k --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
@unhurried
def test_pass_at_k_is_the_exact_fraction(case: tuple[int, int, int]) -> None:
    n, c, k = case
    assert pass_at_k(n, c, [k]) == pytest.approx([float(exact_pass(n, c, k))], abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 7, 100, 1_000, 5_000, 9_000, 9_999, 10_000])
def test_pass_at_k_of_ten_thousand_candidates_is_exact_to_1e_9_and_finite(k: int) -> None:
    rights = [0, 1, 2, 3, 10, 100, 999, 1_000, 5_000, 9_000, 9_999, 10_000]
    found = pass_at_k(10_000, rights, [k])[:, 0]
    assert np.isfinite(found).all()
    assert found == pytest.approx([float(exact_pass(10_000, c, k)) for c in rights], abs=1e-9, rel=0)


def test_pass_at_k_of_every_k_of_ten_thousand_is_finite_and_rises() -> None:
    found = pass_at_k(10_000, [1, 37], range(1, 10_001))
    assert found.shape == (2, 10_000)
    assert found[0] == pytest.approx(np.arange(1, 10_001) / 10_000, abs=1e-9)
    assert (np.diff(found) >= 0).all()


def test_pass_at_k_takes_problems_of_different_sizes_at_once() -> None:
    n, c, ks = np.array([[4, 9], [6, 4]]), np.array([[1, 3], [0, 4]]), [1, 2, 4]
    found = pass_at_k(n, c, ks)
    assert found.shape == (2, 2, 3)
    for place in np.ndindex(2, 2):
        assert found[place] == pytest.approx([float(exact_pass(int(n[place]), int(c[place]), k)) for k in ks])


def test_pass_at_k_is_0_with_none_right_and_1_where_too_few_are_wrong_to_miss() -> None:
    assert pass_at_k(7, 0, range(1, 8)).tolist() == [0.0] * 7
    assert pass_at_k(7, 7, range(1, 8)).tolist() == [1.0] * 7
    assert pass_at_k(7, 3, [5, 6, 7]).tolist() == [1.0] * 3
    assert pass_at_k(1, [0, 1], [1]).tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("n", "c", "ks", "message"),
    [
        (3, 1, [1, 4], r"k is 4; it must be in \[1, 3\]"),
        ([9, 3], 1, [4], r"k is 4; it must be in \[1, 3\]"),
        (3, 1, [0], r"k is 0; it must be in \[1, 3\]"),
        (3, 4, [1], r"num_right goes from 4 to 4"),
        (3, -1, [1], r"num_right goes from -1"),
        (3, 0.5, [1], r"num_right holds float64; it must hold integers"),
        ([], [], [1], r"num_candidates is empty"),
        (3, 1, [], r"ks is empty"),
    ],
)
def test_pass_at_k_refuses_counts_out_of_range(n: Any, c: Any, ks: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pass_at_k(n, c, ks)


# -- choices, against all subsets ----------------------------------------------------------------------------------


@st.composite
def problems(draw: st.DrawFn) -> Candidates:
    """Up to seven candidates with few answers and few scores, so that there are ties; a class is right or wrong."""
    n = draw(st.integers(1, 7))
    keys = draw(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=n, max_size=n))
    right = draw(st.sets(st.sampled_from("abc")))
    scores = draw(st.lists(st.sampled_from([*EIGHTHS, 0.0, math.nan]), min_size=n, max_size=n))
    return Candidates.from_keys(keys, [key in right for key in keys], scores)


Choose = Callable[[Candidates, Sequence[int]], int | None]


def best(candidates: Candidates, subset: Sequence[int]) -> int | None:
    """The answered candidate with the highest score, the first of equals."""
    assert candidates.scores is not None
    scores = np.nan_to_num(candidates.scores, nan=-1)
    return max((i for i in subset if candidates.is_answered[i]), key=scores.__getitem__, default=None)


def elected(weights: Sequence[float] | None, candidates: Candidates, subset: Sequence[int]) -> int | None:
    """What `edgesearch.answer.vote` elects, as the first candidate that gives it."""
    names = [None if candidates.classes[i] < 0 else f"answer {candidates.classes[i]}" for i in subset]
    found = answer.vote(names, None if weights is None else [float(weights[i]) for i in subset])
    return None if found is None else subset[names.index(found.answer)]


def most_frequent(candidates: Candidates, subset: Sequence[int]) -> int | None:
    return elected(None, candidates, subset)


def heaviest(candidates: Candidates, subset: Sequence[int]) -> int | None:
    assert candidates.scores is not None
    return elected(np.nan_to_num(candidates.scores).tolist(), candidates, subset)


def over_all_subsets(candidates: Candidates, k: int, choose: Choose) -> tuple[float, float]:
    """The share of subsets whose choice is right, and the share of those without one."""
    chosen = [choose(candidates, subset) for subset in itertools.combinations(range(len(candidates.classes)), k)]
    rights = [i is not None and bool(candidates.is_right[i]) for i in chosen]
    return sum(rights) / len(chosen), chosen.count(None) / len(chosen)


RULES: list[tuple[Callable[..., Any], Choose]] = [
    (best_of_n_at_k, best),
    (majority_at_k, most_frequent),
    (weighted_at_k, heaviest),
]


@pytest.mark.parametrize(("estimate", "choose"), RULES)
@given(problems())
@unhurried
def test_each_rule_is_the_mean_over_all_subsets(
    estimate: Callable[..., Any], choose: Choose, candidates: Candidates
) -> None:
    ks = range(1, len(candidates.classes) + 1)
    expected = [over_all_subsets(candidates, k, choose) for k in ks]
    assert estimate(candidates, ks) == pytest.approx([right for right, _ in expected], abs=1e-12)
    assert unanswered_at_k(candidates, ks) == pytest.approx([none for _, none in expected], abs=1e-12)


@given(problems())
@unhurried
def test_no_rule_beats_coverage_and_what_is_right_is_answered(candidates: Candidates) -> None:
    ks = range(1, len(candidates.classes) + 1)
    found = curves([candidates], ks)
    for rule in ("majority", "best_of_n", "weighted"):
        assert (found.selection_gap(rule) >= -1e-12).all()
        assert (found.accuracy(rule) + found.unanswered <= 1 + 1e-12).all()
        assert found.accuracy(rule)[0, 0] == pytest.approx(found.coverage[0, 0])  # of one there is nothing to choose


def test_one_candidate_is_what_every_rule_chooses() -> None:
    for is_right in (True, False):
        only = Candidates.from_keys(["a"], [is_right], [0.5])
        assert [estimate(only, [1]).tolist() for estimate, _ in RULES] == [[float(is_right)]] * 3


def test_all_right_or_none_right_leaves_nothing_to_choose() -> None:
    for is_right in (True, False):
        same = Candidates.from_keys(["a", "b", "c", "a"], [is_right] * 4, [0.1, 0.9, 0.5, 0.5])
        for estimate, _ in RULES:
            assert estimate(same, [1, 2, 3, 4]) == pytest.approx([float(is_right)] * 4)


def test_the_first_drawn_wins_among_equals() -> None:
    first_right = Candidates.from_keys(["a", "b"], [True, False], [0.5, 0.5])
    last_right = Candidates.from_keys(["b", "a"], [False, True], [0.5, 0.5])
    for estimate, _ in RULES:
        assert estimate(first_right, [2]).tolist() == [1.0]
        assert estimate(last_right, [2]).tolist() == [0.0]


def test_a_candidate_without_an_answer_is_chosen_only_where_no_other_is() -> None:
    silent_best = Candidates.from_keys([None, "a"], [False, True], [0.9, 0.1])
    for estimate, _ in RULES:
        assert estimate(silent_best, [1, 2]).tolist() == [0.5, 1.0]
    assert unanswered_at_k(silent_best, [1, 2]).tolist() == [0.5, 0.0]


def test_a_candidate_without_a_score_ranks_last_and_weighs_nothing() -> None:
    unscored = Candidates.from_keys(["a", "a", "b"], [True, True, False], [math.nan, math.nan, 0.0])
    assert unscored.num_unscored == 2
    assert best_of_n_at_k(unscored, [3]).tolist() == [0.0]
    assert weighted_at_k(unscored, [3]).tolist() == [1.0]  # nobody weighs anything, so each counts one
    lightly = Candidates.from_keys(["a", "a", "b"], [True, True, False], [math.nan, math.nan, 1e-300])
    assert weighted_at_k(lightly, [3]).tolist() == [0.0]


def test_best_of_ten_thousand_is_finite_and_exact_at_every_k() -> None:
    """The only right one has r worse ones: the chance is C(r, k-1) / C(n, k)."""
    n, worse = 10_000, 9_990
    is_right = np.arange(n) == worse
    ranked = Candidates(np.arange(n), is_right, np.arange(n) / n)
    ks = [1, 2, 100, 1_000, 5_000, 9_991, 9_992, 10_000]
    expected = [float(Fraction(math.comb(worse, k - 1), math.comb(n, k))) for k in ks]
    assert best_of_n_at_k(ranked, ks) == pytest.approx(expected, abs=1e-9, rel=0)
    assert best_of_n_at_k(ranked, [9_992]).tolist() == [0.0]


# -- random subsets ------------------------------------------------------------------------------------------------


def sampled(n: int = 60) -> Candidates:
    rng = np.random.default_rng(3)
    classes = rng.choice(4, size=n, p=[0.4, 0.3, 0.2, 0.1])
    return Candidates(classes, classes == 0, rng.integers(0, 9, n) / 8)


def test_votes_over_many_random_subsets_are_near_those_over_all() -> None:
    candidates = sampled(14)
    for estimate in (majority_at_k, weighted_at_k):
        exact = estimate(candidates, [7], num_subsets=math.comb(14, 7))[0]
        drawn = estimate(candidates, [7], num_subsets=3_000)[0]
        error = math.sqrt(exact * (1 - exact) / 3_000)
        assert 0 < exact < 1
        assert drawn == pytest.approx(exact, abs=4 * error)
        assert drawn != exact


@pytest.mark.parametrize("estimate", [majority_at_k, weighted_at_k])
def test_a_vote_of_all_or_of_one_is_exact_however_few_subsets_are_drawn(estimate: Callable[..., Any]) -> None:
    candidates = sampled()
    one, all_of_them = estimate(candidates, [1, 60], num_subsets=1)
    assert one == candidates.is_right.mean()
    assert all_of_them == estimate(candidates, [60], num_subsets=1_000)[0]


def test_the_same_seed_draws_the_same_subsets_and_another_seed_others() -> None:
    candidates = sampled()
    again = [majority_at_k(candidates, range(1, 61), seed=seed).tolist() for seed in (5, 5, 6)]
    assert again[0] == again[1] != again[2]


def test_equal_scores_make_the_weighted_vote_the_majority_vote() -> None:
    candidates = sampled()
    level = Candidates(candidates.classes, candidates.is_right, np.full(60, 0.25))
    assert weighted_at_k(level, range(1, 61)).tolist() == majority_at_k(level, range(1, 61)).tolist()


@pytest.mark.parametrize(("n", "k"), [(10, 3), (30, 15), (30, 28)])
def test_subsets_have_k_different_members_in_the_order_of_drawing(n: int, k: int) -> None:
    (subsets,) = estimators._subsets(n, [k], 50, [0])
    assert subsets.shape == (50, k)
    assert (np.diff(subsets) > 0).all()
    assert len({tuple(subset) for subset in subsets.tolist()}) > 30  # they are not one subset, again and again


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))), st.integers(1, 2_000))
@unhurried
def test_subsets_are_few_when_there_are_at_most_so_many(case: tuple[int, int], most: int) -> None:
    assert estimators._is_few(*case, most) is (math.comb(*case) <= most)


# -- candidates ----------------------------------------------------------------------------------------------------


def test_answers_that_are_equal_are_one_class() -> None:
    found = Candidates.from_answers([r"\frac12", "3", "0.5", None], [True, False, True, False])
    assert found.classes.tolist() == [0, 1, 0, -1]
    assert found.num_unscored == 4


def test_candidates_keep_a_copy_that_cannot_be_written_to() -> None:
    scores = np.array([0.1, 0.2])
    found = Candidates.from_keys(["a", "b"], [True, False], scores)
    scores[0] = 9
    assert found.scores is not None
    assert found.scores.tolist() == [0.1, 0.2]
    with pytest.raises(ValueError, match="read-only"):
        found.scores[0] = 9


@pytest.mark.parametrize(
    ("keys", "rights", "scores", "message"),
    [
        ([], [], None, "classes is empty; a problem without candidates has no @k"),
        (["a"], [True, False], None, r"is_right has the shape \(2,\); it must be \(1,\)"),
        (["a"], [True], [0.1, 0.2], r"scores has the shape \(2,\)"),
        (["a"], [True], [math.inf], "scores hold an infinity"),
        ([None], [True], None, "is_right is true for a candidate without an answer"),
    ],
)
def test_candidates_that_contradict_themselves_are_refused(keys: Any, rights: Any, scores: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Candidates.from_keys(keys, rights, scores)


@pytest.mark.parametrize("classes", [[0, 2], [-2, 0]])
def test_classes_are_numbered_from_0_and_none_is_minus_1(classes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"classes go from .* they must be in \[-1, 2\)"):
        Candidates(np.array(classes), np.array([False, False]))


def test_a_choice_that_cannot_be_made_says_what_it_needs() -> None:
    bare = Candidates.from_keys(["a", "b"], [True, False])
    negative = Candidates.from_keys(["a", "b"], [True, False], [-0.5, 0.5])
    for estimate, _ in RULES:
        with pytest.raises(ValueError, match=r"k is 3; it must be in \[1, 2\]"):
            estimate(Candidates.from_keys(["a", "b"], [True, False], [0.1, 0.2]), [3])
    for needs_scores in (best_of_n_at_k, weighted_at_k):
        with pytest.raises(ValueError, match="scores is None"):
            needs_scores(bare, [1])
    with pytest.raises(ValueError, match=r"scores hold -0.5; a weighted vote needs each to be >= 0"):
        weighted_at_k(negative, [1])
    assert best_of_n_at_k(negative, [2]).tolist() == [0.0]
    with pytest.raises(ValueError, match="num_subsets is 0"):
        majority_at_k(bare, [1], num_subsets=0)


# -- curves --------------------------------------------------------------------------------------------------------


def test_curves_are_the_figures_of_each_problem() -> None:
    first, second = sampled(), Candidates.from_keys([None, "a"] * 4, [False, True] * 4, [0.5] * 8)
    found = curves(iter([first, second]), [1, 8])
    assert found.ks == (1, 8)
    assert found.coverage == pytest.approx(pass_at_k([60, 8], [int(first.is_right.sum()), 4], [1, 8]))
    assert found.accuracy("best_of_n")[0] == pytest.approx(best_of_n_at_k(first, [1, 8]))
    assert found.accuracy("majority")[1].tolist() == found.accuracy("weighted")[1].tolist() == [0.5, 1.0]
    assert found.unanswered == pytest.approx(np.array([[0, 0], [0.5, 0]]))
    assert found.selection_gap("majority") == pytest.approx(found.coverage - found.majority)


def test_without_scores_there_is_only_the_majority() -> None:
    found = curves([Candidates.from_keys(["a", "b"], [True, False])], [1, 2])
    assert found.majority.tolist() == [[0.5, 1.0]]
    for rule in ("best_of_n", "weighted"):
        with pytest.raises(ValueError, match=f"there is no {rule}"):
            found.accuracy(rule)


def test_curves_refuse_nothing_and_a_mix_of_scored_and_not() -> None:
    with pytest.raises(ValueError, match="problems is empty"):
        curves([], [1])
    with pytest.raises(ValueError, match="scores is None for some problems only"):
        curves([Candidates.from_keys(["a"], [True]), Candidates.from_keys(["a"], [True], [0.5])], [1])


def test_a_large_run_is_measured_whole() -> None:
    """200 problems x 1,000 candidates: the accuracy at k = n is what a plain count finds."""
    rng = np.random.default_rng(0)
    chances = rng.random(200)
    classes = [np.where(rng.random(1_000) < chance, 0, 1 + rng.integers(0, 30, 1_000)) for chance in chances]
    run = [Candidates(each, each == 0, rng.random(1_000)) for each in classes]
    found = curves(run, [1, 10, 100, 1_000], num_subsets=50)
    assert found.coverage.shape == (200, 4)
    assert found.coverage.mean(axis=0)[0] == pytest.approx(np.mean([each == 0 for each in classes]))
    assert found.majority[:, -1].tolist() == [float(np.bincount(each).argmax() == 0) for each in classes]


# -- recorded generations ------------------------------------------------------------------------------------------


def records(name: str) -> list[dict[str, Any]]:
    folder = os.environ.get("EDGESEARCH_TEST_DATA")
    path = Path(folder or "", name)
    if not folder or not path.is_file():
        pytest.skip(f"set EDGESEARCH_TEST_DATA to a folder that holds {name}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("make", [Candidates.from_keys, Candidates.from_answers])
def test_recorded_generations_give_the_known_figures(make: Callable[..., Candidates]) -> None:
    """100 MATH problems x 8 responses with a reward model's scores, which have no range; votes over its `pred`."""
    run = [
        make([text or None for text in row["pred"]], row["score"], [score for (score,) in row["pred_score"]])
        for row in records("qwen_rm_maj_example/math_cot_100.jsonl")
    ]
    num_right = [int(candidates.is_right.sum()) for candidates in run]
    assert len(run) == 100
    assert 100 * pass_at_k(8, num_right, [1, 8]).mean(axis=0) == pytest.approx([91.0, 96.0])
    assert 100 * np.mean([majority_at_k(each, [8])[0] for each in run]) == pytest.approx(93.0)
    assert 100 * np.mean([best_of_n_at_k(each, [8])[0] for each in run]) == pytest.approx(94.0)
