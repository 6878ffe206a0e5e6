"""Curves over k: only where candidates are independent, and what estimators.py says of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_stores import failed, measured, outcome, samples, write

from edgesearch.bench import estimators, power_law
from edgesearch.bench.estimators import Candidates
from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Grade, Outcome
from edgesearch.bench.report.curves import widest
from edgesearch.bench.report.model import Report
from edgesearch.tasks.grading import PYTHON
from edgesearch.types import ModelNames

N = 8
NUM = 12
CELLS = tuple(Cell("nano", "weighted", N, 1, 10.0, seed=seed) for seed in (0, 1))


def drawn(cell: Cell, number: int) -> tuple[list[str | None], list[float | None]]:
    """Answers and scores of an outcome: easy problems, hard ones, and some candidates without either."""
    rng = np.random.default_rng([cell.seed, number])
    words: list[str | None] = ["right", "x", "y", None]
    share = number / (NUM - 1)
    chances = [share, 0.6 * (1 - share), 0.3 * (1 - share), 0.1 * (1 - share)]
    answers = [words[place] for place in rng.choice(4, N, p=chances)]
    return answers, [None if answer is None else float(rng.random()) for answer in answers]


def tell(cell: Cell, number: int) -> Outcome:
    answers, scores = drawn(cell, number)
    return outcome(cell, number, answers, scores=scores)


def made(path: Path, cells: tuple[Cell, ...] = CELLS) -> Report:
    return measured(write(path / "run.sqlite", cells, tell, samples(NUM)))


def test_a_curve_is_what_the_estimators_say_of_all_outcomes(tmp_path: Path):
    (found,) = made(tmp_path).curves
    problems = []
    for cell in CELLS:
        for number in range(NUM):
            answers, scores = drawn(cell, number)
            problems.append(Candidates.from_keys(answers, [answer == "right" for answer in answers], scores))
    expected = estimators.curves(problems, found.ks)
    assert found.ks == tuple(power_law.spread(N))
    assert found.best_of_n is not None
    assert found.weighted is not None
    assert found.majority is not None
    assert [each.value for each in found.coverage] == pytest.approx(expected.coverage.mean(axis=0))
    assert [each.value for each in found.best_of_n] == pytest.approx(expected.accuracy("best_of_n").mean(axis=0))
    for ours, theirs in ((found.majority, expected.majority), (found.weighted, expected.accuracy("weighted"))):
        assert [each.value for each in ours] == pytest.approx(theirs.mean(axis=0), abs=0.01)  # other subsets
        assert (ours[0].value, ours[-1].value) == pytest.approx((theirs[:, 0].mean(), theirs[:, -1].mean()))  # exact
    assert all(each.low <= each.value <= each.high for each in (*found.coverage, *found.majority))
    assert found.fit is not None


def test_the_end_of_a_curve_is_the_point_itself(tmp_path: Path):
    """With all candidates the vote elects what a plain vote elects, and coverage is whether any is right."""
    report = made(tmp_path)
    assert report.points[0].coverage is not None
    assert report.curves[0].coverage[-1].value == pytest.approx(report.points[0].coverage.value)


def test_only_the_widest_setting_of_a_series_has_a_curve_and_only_where_candidates_are_independent_and_all_there():
    cells = [
        Cell("nano", "majority", 4, 1, 10.0),
        Cell("nano", "majority", 8, 1, 10.0),
        Cell("nano", "majority", 8, 1, 10.0, temperature=0.5),
        Cell("nano", "majority", 16, 1, 10.0, early_stop=0.95),
        Cell("nano", "beam", 8, 4, 10.0),
        Cell("nano", "revision", 8, 1, 10.0),
        Cell("nano", "greedy", 1, 1, 10.0),
        Cell("nano", "auto", 8, 1, 10.0),
        Cell("large", "majority", 1, 1, 10.0),
    ]
    assert widest([(cell,) for cell in cells]) == {cells[1], cells[2]}


def test_without_scores_there_is_only_the_vote(tmp_path: Path):
    path = write(
        tmp_path / "run.sqlite", CELLS, lambda cell, number: outcome(cell, number, drawn(cell, number)[0]), samples(NUM)
    )
    (found,) = measured(path).curves
    assert (found.best_of_n, found.weighted) == (None, None)
    assert found.majority is not None
    assert len(found.majority) == len(found.ks)


def test_candidates_that_are_not_there_count_as_unanswered_and_are_told(tmp_path: Path):
    def short(cell: Cell, number: int) -> Outcome:
        if number == 0:
            return failed(cell, number)
        return outcome(cell, number, ["right"] * (4 if number == 1 else N))

    report = measured(write(tmp_path / "run.sqlite", CELLS[:1], short, samples(4)))
    (found,) = report.curves
    assert found.coverage[0].value == pytest.approx((0 + 4 / N + 1 + 1) / 4)
    assert found.majority is not None
    assert found.majority[-1].value == pytest.approx(3 / 4)
    assert any("12 of 32 candidates are not there" in each for each in report.warnings)


def test_a_run_with_exact_checks_has_no_curve_and_says_why(tmp_path: Path):
    checked = ModelNames("nano", "nano-prm", check="arithmetic")
    path = write(
        tmp_path / "run.sqlite",
        CELLS,
        lambda cell, number: outcome(cell, number, drawn(cell, number)[0], models=checked),
        samples(NUM),
    )
    report = measured(path)
    assert report.curves == ()
    assert any("exact check" in each and "check = false" in each for each in report.warnings)


def test_a_problem_that_is_never_or_always_solved_needs_no_draws(tmp_path: Path):
    path = write(
        tmp_path / "run.sqlite",
        CELLS,
        lambda cell, number: outcome(cell, number, (["right", None] if number % 2 else ["x", "y"]) * 4),
        samples(4),
    )
    (found,) = measured(path).curves
    odd = 1 - estimators.pass_at_k(8, 4, found.ks)  # no answer among k
    assert found.majority is not None
    assert [each.value for each in found.majority] == pytest.approx((1 - odd) / 2)


# -- all samples of all seeds ------------------------------------------------------------------------------------------

SAMPLES = tuple(Cell("nano", "sample", N, 1, 10.0, seed=seed) for seed in range(3))
PROGRAMS = (Grade(PYTHON, "strict", None, False),)


def pool_of(number: int) -> list[str | None]:
    """What a problem's 24 samples answer."""
    return [answer for cell in SAMPLES for answer in drawn(cell, number)[0]]


def without_scores(cell: Cell, number: int, **changes: Any) -> Outcome:
    return outcome(cell, number, drawn(cell, number)[0], **changes)


def test_the_samples_of_all_seeds_are_one_pool(tmp_path: Path):
    (found,) = measured(write(tmp_path / "run.sqlite", SAMPLES, without_scores, samples(NUM))).curves
    num_right = [sum(answer == "right" for answer in pool_of(number)) for number in range(NUM)]
    assert found.ks == (1, 2, 3, 4, 6, 8, 10, 12, 16, 24)
    expected = estimators.pass_at_k(3 * N, num_right, found.ks).mean(axis=0)
    assert [each.value for each in found.coverage] == pytest.approx(expected)
    pools = [Candidates.from_keys(pool_of(number), [a == "right" for a in pool_of(number)]) for number in range(NUM)]
    votes = estimators.curves(pools, found.ks).majority.mean(axis=0)
    assert found.majority is not None
    assert [each.value for each in found.majority] == pytest.approx(votes, abs=0.04)  # other subsets
    fitted = power_law.fit(
        [1, 2, 3, 4, 6, 8, 12, 16, 24], [each for k, each in zip(found.ks, expected, strict=True) if k != 10]
    )
    assert fitted is not None
    assert found.fit is not None
    assert (found.fit.a, found.fit.b) == pytest.approx((fitted["a"], fitted["b"]))


def test_a_pool_that_is_not_complete_ends_with_the_fewest_samples_of_a_problem(tmp_path: Path):
    def partly(cell: Cell, number: int) -> Outcome | None:
        return None if cell.seed == 2 and number == 0 else without_scores(cell, number)

    (found,) = measured(write(tmp_path / "run.sqlite", SAMPLES, partly, samples(NUM))).curves
    assert found.ks[-1] == 2 * N
    first = sum(answer == "right" for answer in pool_of(0)[: 2 * N]) / (2 * N)
    others = [sum(answer == "right" for answer in pool_of(number)) / (3 * N) for number in range(1, NUM)]
    assert found.coverage[0].value == pytest.approx((first + sum(others)) / NUM)


def test_recorded_samples_are_the_same_for_every_seed_and_so_no_pool(tmp_path: Path):
    recorded = ModelNames("past", None, "recorded")

    def same(cell: Cell, number: int) -> Outcome:
        return outcome(cell, number, drawn(SAMPLES[0], number)[0], models=recorded)

    (found,) = measured(write(tmp_path / "run.sqlite", SAMPLES, same, samples(NUM))).curves
    assert found.ks[-1] == N


def test_programs_do_not_vote_and_the_best_is_by_score(tmp_path: Path):
    def graded(cell: Cell, number: int) -> Outcome:
        return outcome(cell, number, ["x", "right"], scores=[0.2, 0.9], chosen=1, grades=PROGRAMS)

    cells = (Cell("nano", "best_of_n", 2, 1, 10.0),)
    report = measured(write(tmp_path / "run.sqlite", cells, graded, samples(4)))
    (found,) = report.curves
    assert (found.majority, found.weighted) == (None, None)
    assert found.best_of_n is not None
    assert [each.value for each in found.best_of_n] == [0.5, 1.0]
    assert not any("second grader" in each for each in report.warnings)


def test_a_search_that_visible_tests_may_end_has_no_curve_unless_its_samples_were_recorded(tmp_path: Path):
    cells = (Cell("nano", "best_of_n", 2, 1, 10.0), Cell("past", "best_of_n", 2, 1, 10.0))
    names = {"nano": ModelNames("nano", "tests"), "past": ModelNames("past", "tests", "recorded")}

    def graded(cell: Cell, number: int) -> Outcome:
        return outcome(cell, number, ["right"] * 2, scores=[1.0] * 2, grades=PROGRAMS, models=names[cell.engine])

    report = measured(write(tmp_path / "run.sqlite", cells, graded, samples(4)))
    assert [report.point(each.point).engine for each in report.curves] == ["past"]
