"""The calibrated confidence: what it is fitted to, how it is checked, and that asking for it costs nothing."""

from __future__ import annotations

import dataclasses
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.planner import confidence
from edgesearch.planner.confidence import Calibration, Path
from edgesearch.planner.standing import Standing, Tally
from edgesearch.types import Beam, Candidate, Prompt

EMPTY = Tally().standing()
PLAIN = Calibration(intercept=-1.0, lead=0.5, best=0.75, typical_best=2.0)


def standing(**changes: object) -> Standing:
    """Ten votes of twelve, all scored 0.8."""
    whole = Standing(
        answer="7", share=10 / 12, weight=8.0, rival_weight=1.6, num_votes=10, num_rival_votes=2, num_cast=12,
        num_candidates=12, num_disproven=0, best_score=0.9, mean_score=0.8, is_proven=False,
    )  # fmt: skip
    return dataclasses.replace(whole, **changes)  # type: ignore[arg-type]


def path(rng: random.Random, quality: float, num: int = 32) -> Path:
    """The moments of a pool whose candidates are right with that probability; scores tell a little."""
    tally, moments = Tally(), []
    for _ in range(num):
        is_right = rng.random() < quality
        score = min(max(rng.gauss(0.65 if is_right else 0.4, 0.2), 0.01), 0.99)
        stated = "right" if is_right else rng.choice(["wrong", "false"])
        tally.add(Candidate(Beam(Prompt("?")), stated, score))
        moments.append((tally.standing(), tally.standing().answer == "right"))
    return moments


def problems(num: int, seed: int = 0) -> list[list[Path]]:
    rng = random.Random(seed)
    return [[path(rng, quality)] for quality in (rng.random() for _ in range(num))]


def test_what_is_proven_is_certain_and_what_is_not_there_is_not_right():
    assert PLAIN.probability(standing(is_proven=True)) == 1
    assert PLAIN.probability(EMPTY) == 0


def test_without_a_proof_nothing_is_certain():
    sure = Calibration(intercept=500.0, lead=1.0, best=1.0, typical_best=0.0)
    assert sure.probability(standing()) == 0.99
    assert dataclasses.replace(sure, intercept=-500.0).probability(standing()) == 0.01


def test_it_is_the_logistic_function_of_the_two_log_odds():
    log_odds = -1.0 + 0.5 * math.log((8 + 0.25) / (1.6 + 0.25)) + 0.75 * math.log(0.9 / 0.1)
    assert PLAIN.probability(standing()) == pytest.approx(1 / (1 + math.exp(-log_odds)))


def test_caution_lowers_it():
    assert dataclasses.replace(PLAIN, caution=0.5).probability(standing()) < PLAIN.probability(standing())


def test_where_nothing_is_scored_the_usual_best_score_stands_in():
    unscored = PLAIN.probability(standing(best_score=None, mean_score=None))
    assert unscored == pytest.approx(PLAIN.probability(standing(best_score=1 / (1 + math.exp(-2.0)))))


@given(
    weight=st.floats(0, 500),
    others=st.floats(0, 500),
    best=st.one_of(st.none(), st.floats(0, 1)),
    num_votes=st.integers(1, 500),
)
def test_it_is_a_probability_for_every_vote(weight: float, others: float, best: float | None, num_votes: int):
    total = weight + others
    now = standing(weight=weight, share=weight / total if total else 0.0, best_score=best, num_votes=num_votes)
    assert 0.01 <= PLAIN.probability(now) <= 0.99


@given(share=st.floats(0.05, 0.9), more=st.floats(0.01, 0.1))
def test_a_larger_share_is_never_less_likely_right(share: float, more: float):
    def probability(share: float) -> float:
        return PLAIN.probability(standing(share=share, weight=8.0 * share))

    assert probability(share + more) >= probability(share)


@pytest.mark.parametrize(
    "changes", [{"caution": -0.1}, {"lead": math.nan}, {"intercept": math.inf}], ids=["caution", "nan", "infinite"]
)
def test_values_out_of_range_are_refused(changes: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(changes))):
        dataclasses.replace(PLAIN, **changes)


def test_a_fit_finds_the_weights_that_made_the_answers():
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(20_000):
        share, best = rng.uniform(0.05, 0.95), rng.uniform(0.02, 0.98)
        now = standing(share=share, weight=12 * share, best_score=best)
        rows.append((now, bool(rng.random() < PLAIN.probability(now))))
    found = confidence.fit(rows)
    assert (found.intercept, found.lead, found.best) == pytest.approx((-1.0, 0.5, 0.75), abs=0.06)


def test_a_weight_of_two_is_a_row_given_twice():
    rows = [moment for each in problems(30) for moment in each[0]]
    twice = confidence.fit([*rows, *rows[:200]])
    weighted = confidence.fit(rows, [2.0] * 200 + [1.0] * (len(rows) - 200))
    assert dataclasses.astuple(twice)[:4] == pytest.approx(dataclasses.astuple(weighted)[:4], abs=1e-6)


def test_a_fit_without_scores_leaves_the_best_score_out():
    rows = [
        (standing(share=share, weight=share, mean_score=None, best_score=None), share > 0.5 or share == 0.2)
        for share in (0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9)
    ]
    found = confidence.fit(rows)
    assert found.best == 0
    assert found.lead > 0


def test_rows_that_are_proven_say_nothing():
    rows = [moment for each in problems(30) for moment in each[0]]
    proven = [(standing(is_proven=True), True), (EMPTY, False)] * 100
    assert confidence.fit([*rows, *proven]) == confidence.fit(rows)


@pytest.mark.parametrize(
    "rows", [[], [(standing(), True)] * 5, [(standing(is_proven=True), True), (standing(), False)]]
)
def test_a_fit_needs_right_and_wrong_answers(rows: list[confidence.Moment]):
    with pytest.raises(ValueError, match="right and wrong"):
        confidence.fit(rows)


def test_too_few_problems_or_all_of_one_kind_give_no_calibration():
    rng = random.Random(0)
    assert confidence.calibrate(problems(confidence.MIN_PROBLEMS - 1)) is None
    assert confidence.calibrate([[path(rng, 1.0)] for _ in range(40)]) is None
    assert confidence.calibrate([]) is None


def test_what_a_calibration_says_holds_on_problems_of_another_draw():
    found = confidence.calibrate(problems(400))
    assert found is not None
    assert found.reliability is not None
    rows = [moment for each in problems(400, seed=1) for moment in each[0] if moment[0].num_candidates == 32]
    said = [found.probability(now) for now, _ in rows]
    assert np.mean(said) == pytest.approx(np.mean([is_right for _, is_right in rows]), abs=0.06)
    assert found.reliability.brier < found.reliability.base_brier
    assert found.reliability.ece < 0.05


def test_no_threshold_promises_more_than_those_stopped_there_hold():
    found = confidence.calibrate(problems(200))
    assert found is not None
    assert found.reliability is not None
    reached = [each for each in found.reliability.stopped if each.share > 0]
    assert reached
    assert all(each.accuracy >= each.threshold for each in reached)
    assert all(each.median_candidates >= confidence.FEWEST_TO_STOP for each in reached)


def test_where_early_moments_mislead_stopping_is_made_cautious():
    """The first candidates of a third of the problems agree on a wrong answer, and later ones on the right one."""
    rng = random.Random(2)

    def misled() -> Path:
        tally, moments = Tally(), []
        for place in range(128):
            stated = "wrong" if place < 6 else "right"
            tally.add(Candidate(Beam(Prompt("?")), stated, 0.9))
            moments.append((tally.standing(), tally.standing().answer == "right"))
        return moments

    given = [[misled() if place % 3 == 0 else path(rng, 0.9, 128)] for place in range(60)]
    found = confidence.calibrate(given)
    assert found is not None
    assert found.caution > 0


def test_reliability_bins_share_out_all_moments():
    predicted = np.array([0.0, 0.05, 0.55, 1.0])
    bins = confidence.reliability_bins(predicted, np.array([0.0, 1.0, 1.0, 1.0]), np.full(4, 0.25))
    assert [(each.predicted, each.right, each.weight) for each in bins] == [
        (0.025, 0.5, 0.5), (0.55, 1.0, 0.25), (1.0, 1.0, 0.25),
    ]  # fmt: skip
