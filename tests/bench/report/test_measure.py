"""Whole reports: of stores made by hand, of recorded generations with known figures, and of the built-in models.

The recorded generations are read only where the environment variable EDGESEARCH_TEST_DATA names their folder.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from bench_runs import run, write_recipe
from made_stores import GRADER, failed, measured, outcome, point, samples, write

from edgesearch.bench.prices import Price
from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Outcome
from edgesearch.bench.report.measure import measuring, result_of
from edgesearch.bench.report.model import Quoted, Report
from edgesearch.bench.store import Store
from edgesearch.types import ModelNames, StrategyUsed

NUM = 20
SMALL = tuple(Cell("nano", "majority", 4, 1, 10.0, seed=seed) for seed in (0, 1))
LARGE = (Cell("large", "greedy", 1, 1, 10.0),)


def tell(cell: Cell, number: int) -> Outcome:
    share = (number + cell.seed) % 5 / 4
    answers = ["right" if place / cell.n < share else "x" for place in range(cell.n)]
    return outcome(cell, number, answers, scores=[0.5] * cell.n)


def made(path: Path, name: str = "run", **options: Any) -> Path:
    return write(path / f"{name}.sqlite", (*SMALL, *LARGE), tell, samples(NUM, ["1", "2"] * 10), **options)


def test_a_report_has_all_of_its_parts_and_is_json_without_nan(tmp_path: Path):
    quoted = Quoted("arithmetic", "a model", None, "greedy", 1, 0.5, "a paper", "https://example.org")
    report = measured(made(tmp_path), quoted=[quoted], prices={"nano": Price("p", "hour", dollars=1.0)})
    for name in ("runs", "points", "curves", "levels", "fronts", "differences", "matches", "quoted"):
        assert getattr(report, name), name
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert found["schema_version"] == 1
    assert [each["axis"] for each in found["fronts"]] == ["wall_s", "flops", "peak_bytes", "dollars", "tokens"]
    assert found["grader_disagreement"]["graders"] == [GRADER, "math-1"]


def test_a_run_says_where_it_is_from_and_how_much_of_it_is_there(tmp_path: Path):
    (found,) = measured(made(tmp_path)).runs
    assert (found.name, found.task, found.num_sessions) == ("a run", "arithmetic (mixed)", 1)
    assert (found.num_samples, found.num_outcomes, found.num_expected) == (NUM, 3 * NUM, 3 * NUM)
    assert found.created == "2023-11-14T22:13:20+00:00"


def test_the_same_stores_give_the_same_report(tmp_path: Path):
    path = made(tmp_path)
    assert measured(path) == measured(path)


def test_two_runs_of_the_same_samples_are_one_report(tmp_path: Path):
    report = measured(made(tmp_path, "a"), made(tmp_path, "b", machine={"processor": "another"}, digest="another"))
    assert len({each.id for each in report.points}) == len(report.points) == 4
    assert {each.second for each in report.differences} > {"2/large greedy n=1 m=1 10s"}
    assert any("different machines" in each for each in report.warnings)
    assert any("another prompt or grader" in each for each in report.warnings)


def test_every_step_is_said_before_it_is_done(tmp_path: Path):
    with Store.read(made(tmp_path)) as store:
        said = list(measuring([store]))
        assert isinstance(result_of(measuring([store])), Report)
    assert said[0] == f"drawing resamples of {NUM} problems"
    assert said[-1] == "asking a second grader"


def test_a_setting_without_an_outcome_is_no_point_and_the_run_is_told_to_be_incomplete(tmp_path: Path):
    path = write(
        tmp_path / "run.sqlite", (*SMALL, *LARGE), lambda c, n: None if c in LARGE else tell(c, n), samples(NUM)
    )
    report = measured(path)
    assert [each.engine for each in report.points] == ["nano"]
    assert any("40 of 60 outcomes are there" in each for each in report.warnings)


def test_what_happened_to_outcomes_is_told(tmp_path: Path):
    def troubled(cell: Cell, number: int) -> Outcome:
        if number == 0:
            return failed(cell, number, "the worker was killed")
        used = StrategyUsed(cell.strategy, 2, 1, "last")
        return outcome(cell, number, ["right"] * cell.n, finish="deadline", strategy=used, warnings=("it was cut",))

    warnings = measured(write(tmp_path / "run.sqlite", SMALL, troubled, samples(NUM))).warnings
    for words in (
        "2 of 40 outcomes are errors and count as not right; the most frequent: the worker was killed",
        "cut off at their deadline or length: nano majority n=4 m=1 10s (38 of 40)",
        "narrower than asked, or as another strategy: nano majority n=4 m=1 10s (38 of 40)",
        "38 outcomes were warned: it was cut",
    ):
        assert any(words in each for each in warnings), words


def test_a_run_of_nothing_but_errors_is_still_a_report(tmp_path: Path):
    report = measured(write(tmp_path / "run.sqlite", SMALL, failed, samples(3)))
    (found,) = report.points
    assert (found.accuracy.value, found.num_errors, found.coverage, found.wall_s.mean) == (0.0, 6, None, 0.0)
    assert (report.curves, report.levels, report.fronts, report.grader_disagreement) == ((), (), (), None)
    json.dumps(report.as_json(), allow_nan=False)


def test_one_problem_and_one_outcome_are_enough(tmp_path: Path):
    report = measured(write(tmp_path / "run.sqlite", LARGE, tell, samples(1)))
    assert report.points[0].accuracy.value == 0.0
    assert report.differences == ()


# -- recorded generations ------------------------------------------------------------------------------------------

GOLDEN = "qwen_rm_maj_example/math_cot_100.jsonl"
RECIPE = """
[[engines]]
id = "past"
kind = "samples"
file = "samples.jsonl"
verifier = "recorded"

[[grid]]
engines = "past"
strategy = ["majority", "best_of_n"]
n = 8
budget_s = 1.0
"""
MISREAD = r"10{,}000"
"""The target of one problem, which the grader of the record takes to be another number than 10000."""


def recorded(folder: Path, *, is_misread: bool) -> Report:
    """The report of 100 MATH problems x 8 responses of Qwen2.5-Math with a reward model's scores.

    Source: QwenLM/Qwen2.5-Math, evaluation/data/eval_rm_maj_example. The scores have no range: a sigmoid keeps their
    order.
    """
    data = os.environ.get("EDGESEARCH_TEST_DATA")
    if not data or not (Path(data) / GOLDEN).is_file():
        pytest.skip(f"set EDGESEARCH_TEST_DATA to a folder that holds {GOLDEN}")
    rows = [json.loads(line) for line in (Path(data) / GOLDEN).read_text(encoding="utf-8").splitlines()]
    problems, completions = [], []
    for row in rows:
        target = "not 10000" if is_misread and row["gt"] == MISREAD else row["gt"]
        problems.append({"id": f"m{row['idx']}", "problem": row["question"], "answer": target, "level": row["level"]})
        for number, (text, (score,)) in enumerate(zip(row["response"], row["pred_score"], strict=True)):
            scores = [1 / (1 + math.exp(-score))]
            completions.append(
                {"task_id": f"m{row['idx']}", "sample_idx": number, "completion": text, "scores": scores}
            )
    for name, lines in (("problems", problems), ("samples", completions)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    run(write_recipe(folder, RECIPE), folder / "run.sqlite")
    return measured(folder / "run.sqlite")


def test_recorded_generations_give_the_known_figures_from_run_to_report(tmp_path: Path):
    report = recorded(tmp_path, is_misread=True)
    majority, best = point(report, "majority"), point(report, "best_of_n")
    by_rule = report.curves[1]
    assert (majority.accuracy.value, best.accuracy.value) == (pytest.approx(0.93), pytest.approx(0.94))
    for curve in report.curves:
        assert (curve.coverage[0].value, curve.coverage[-1].value) == (pytest.approx(0.910), pytest.approx(0.96))
        assert curve.majority is not None
        assert (curve.ks[-1], curve.majority[-1].value) == (8, pytest.approx(0.93))
    assert by_rule.best_of_n is not None
    assert by_rule.best_of_n[-1].value == pytest.approx(0.94)
    assert {each.level for each in report.levels if each.kind == "stated"} == {f"Level {n}" for n in range(1, 6)}


def test_our_grader_reads_the_one_target_that_the_records_own_does_not(tmp_path: Path):
    report = recorded(tmp_path, is_misread=False)
    assert report.curves[1].coverage[0].value == pytest.approx(0.91125)
    assert [each.accuracy.value for each in report.points] == [pytest.approx(0.93), pytest.approx(0.95)]


# -- the built-in models -------------------------------------------------------------------------------------------

BUILT_IN = """
[[engines]]
id = "nano"
kind = "gguf"
solver = "nano"
check = {check}

[[engines]]
id = "large"
kind = "gguf"
solver = "nano-large"
verifier = "none"
check = false

[[grid]]
engines = ["nano", "large"]
strategy = "greedy"
budget_s = 60.0

[[grid]]
engines = "nano"
strategy = ["weighted", "beam"]
n = [2, 4]
budget_s = 60.0
"""
TASK = 'name = "arithmetic"\nlimit = 6'


def test_a_run_of_the_built_in_models_is_a_report(tmp_path: Path):
    body = BUILT_IN.format(check="false")
    recipe = write_recipe(tmp_path, body, task=TASK)
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace('name = "a test"', 'name = "a test"\nseeds = [0, 1]', 1), encoding="utf-8")
    run(recipe, tmp_path / "run.sqlite")
    report = measured(tmp_path / "run.sqlite")
    assert len(report.points) == 6
    assert all(each.wall_s.mean > 0 and each.flops > 0 for each in report.points)
    assert all(each.verifier_flops > 0 for each in report.points if each.strategy in ("weighted", "beam"))
    (curve,) = report.curves
    assert curve.point == point(report, "weighted n=4").id
    assert curve.weighted is not None
    assert {each.kind for each in report.levels} == {"oracle", "predicted", "stated"}
    assert {each.series for each in report.crossings} == {"nano weighted 60s"}  # the beams differ in m
    assert {each.large for each in report.matches} == {point(report, "large greedy").id}
    assert {each.basis for each in report.matches} >= {"wall_s", "flops", "peak_bytes", "flops with pretraining, R=22"}
    assert report.grader_disagreement is not None
    assert report.grader_disagreement["graders"] == ["arithmetic-1", "answer-1"]
    json.dumps(report.as_json(), allow_nan=False)


def test_a_run_with_checks_has_warnings_in_place_of_curves(tmp_path: Path):
    body = BUILT_IN.format(check="true").partition("[[grid]]")[0]
    grid = '[[grid]]\nengines = ["nano", "large"]\nstrategy = "majority"\nn = 2\nbudget_s = 60.0\n'
    run(write_recipe(tmp_path, body + grid, task='name = "arithmetic"\nlimit = 2'), tmp_path / "run.sqlite")
    report = measured(tmp_path / "run.sqlite")
    assert [each.point for each in report.curves] == [point(report, "large majority").id]
    assert any("exact check" in each and "nano majority" in each for each in report.warnings)
    with Store.read(tmp_path / "run.sqlite") as store:
        assert any(
            each.models == ModelNames("nano", "nano-prm", "cpu", "cpu", "arithmetic") for each in store.outcomes()
        )
