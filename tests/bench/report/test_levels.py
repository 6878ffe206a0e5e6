"""Accuracy by difficulty, cross-fitted over seeds."""

from pathlib import Path

import numpy as np
import pytest
from made_stores import measured, outcome, samples, write

from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Outcome
from edgesearch.bench.report.model import LevelAccuracy, Report

NUM, N = 200, 10
CELLS = tuple(Cell("nano", "best_of_n", N, 1, 10.0, seed=seed) for seed in (0, 1))
GREEDY = Cell("large", "greedy", 1, 1, 10.0, seed=0)


def lucky(cell: Cell, number: int) -> Outcome:
    """All problems are equally hard: whatever levels show is luck."""
    rng = np.random.default_rng([cell.seed, number, cell.n])
    answers = ["right" if rng.random() < 0.5 else "x" for _ in range(cell.n)]
    return outcome(cell, number, answers, scores=rng.random(cell.n).tolist())


def graded(cell: Cell, number: int) -> Outcome:
    """The higher the number, the harder, and the scores know."""
    rng = np.random.default_rng([cell.seed, number, cell.n])
    chance = 1 - number / NUM
    answers = ["right" if rng.random() < chance else "x" for _ in range(cell.n)]
    return outcome(cell, number, answers, scores=[chance] * cell.n)


def levels(report: Report, engine: str, kind: str) -> list[LevelAccuracy]:
    return [each for each in report.levels if each.kind == kind and f"/{engine} " in each.point]


def spread(found: list[LevelAccuracy]) -> float:
    return max(each.accuracy.value for each in found) - min(each.accuracy.value for each in found)


def test_luck_alone_makes_no_levels_with_two_seeds(tmp_path: Path):
    report = measured(write(tmp_path / "two.sqlite", CELLS, lucky, samples(NUM)))
    assert spread(levels(report, "nano", "oracle")) < 0.2
    assert not any("luck" in each for each in report.warnings)


def test_with_one_seed_luck_makes_levels_and_the_report_says_so(tmp_path: Path):
    report = measured(write(tmp_path / "one.sqlite", CELLS[:1], lucky, samples(NUM)))
    assert spread(levels(report, "nano", "oracle")) > 0.3
    assert any("the one seed of nano best_of_n n=10 m=1 10s" in each for each in report.warnings)


@pytest.mark.parametrize("kind", ["oracle", "predicted"])
def test_levels_fall_from_the_easiest_to_the_hardest_for_every_point(tmp_path: Path, kind: str):
    report = measured(write(tmp_path / "run.sqlite", (*CELLS, GREEDY), graded, samples(NUM)))
    for engine in ("nano", "large"):
        found = levels(report, engine, kind)
        assert [each.level for each in found] == ["1", "2", "3", "4", "5"]
        assert sum(each.num_samples for each in found) >= NUM
        values = [each.accuracy.value for each in found]
        assert values[0] > 0.75 > 0.25 > values[-1]


def test_oracle_and_predicted_levels_agree_where_scores_know(tmp_path: Path):
    report = measured(write(tmp_path / "run.sqlite", CELLS, graded, samples(NUM)))
    assert report.level_agreement is not None
    assert report.level_agreement["within_one"] > 0.9
    assert report.level_agreement["same"] > 0.5
    assert 0.4 < report.level_agreement["kappa"] <= 1


def test_without_scores_nothing_is_predicted(tmp_path: Path):
    path = write(tmp_path / "run.sqlite", CELLS, lambda c, n: outcome(c, n, ["right"] * N), samples(10))
    report = measured(path)
    assert report.level_agreement is None
    assert {each.kind for each in report.levels} == {"oracle"}


def test_stated_levels_are_as_the_task_says_and_in_their_order(tmp_path: Path):
    asked = samples(4, ["Level 10", "Level 2", "Level 2", ""])
    path = write(tmp_path / "run.sqlite", [GREEDY], lambda c, n: outcome(c, n, ["right" if n else "x"]), asked)
    found = measured(path).levels
    assert [(each.kind, each.level, each.num_samples, each.accuracy.value) for each in found] == [
        ("stated", "Level 2", 2, 1.0),
        ("stated", "Level 10", 1, 0.0),
    ]


def test_a_problem_that_the_reference_lacks_is_on_no_level(tmp_path: Path):
    def tell(cell: Cell, number: int) -> Outcome | None:
        return None if cell.engine == "nano" and number == 0 else graded(cell, number)

    report = measured(write(tmp_path / "run.sqlite", (*CELLS, GREEDY), tell, samples(20)))
    assert sum(each.num_samples for each in levels(report, "large", "oracle")) == 19


def test_the_smallest_solver_with_the_most_candidates_is_the_reference(tmp_path: Path):
    """The large one has more candidates, and would level the problems the other way round."""
    large = tuple(Cell("large", "majority", 2 * N, 1, 10.0, seed=seed) for seed in (0, 1))

    def tell(cell: Cell, number: int) -> Outcome:
        return graded(cell, NUM - 1 - number if cell.engine == "large" else number)

    def placed(cell: Cell, number: int) -> Outcome:
        found = tell(cell, number)
        return outcome(cell, number, [each.answer for each in found.candidates])

    report = measured(write(tmp_path / "run.sqlite", (*large, *CELLS), placed, samples(NUM)))
    values = [each.accuracy.value for each in levels(report, "nano", "oracle")]
    assert values[0] > values[-1]
    values = [each.accuracy.value for each in levels(report, "large", "oracle")]
    assert values[0] < values[-1]
