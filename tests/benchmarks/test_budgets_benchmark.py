"""The benchmark of accuracy against budget: a quick run, and what it makes of hand-made rows."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

Import = Callable[[str], ModuleType]
RunQuickly = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def plan(benchmark_module: Import) -> ModuleType:
    return benchmark_module("budgets_plan")


@pytest.fixture
def measure(benchmark_module: Import) -> ModuleType:
    return benchmark_module("budgets_measure")


def test_a_quick_run_holds_all_figures_and_another_takes_its_solves_from_the_checkpoint(
    run_quickly: RunQuickly, tmp_path: Path
) -> None:
    options = ("--checkpoint", tmp_path / "run.jsonl", "--rerun-best")
    result, _ = run_quickly("budgets.py", *options)
    assert {"date", "commit", "machine", "figures"} <= result.keys()
    figures = result["figures"]
    assert [row["budget_s"] for row in figures["auto"]] == [0.03, 0.1, 0.2]
    assert [row["name"] for row in figures["fixed"]] == [
        "greedy n=1",
        *(f"{name} n={n}" for name in ("majority", "weighted") for n in (2, 4)),
    ]
    assert not any(row["num_cut"] or row["num_not_as_asked"] for row in figures["fixed"])
    assert [each["budget_s"] for each in figures["against_best"]] == [0.1, 0.2]
    assert [each["name"] for each in figures["rerun"]] == [each["best"] for each in figures["against_best"]]
    lines = (tmp_path / "run.jsonl").read_text(encoding="utf-8").splitlines()
    again, text = run_quickly("budgets.py", *options)
    assert again["figures"]["resumed_solves"] == len(lines)
    assert "are taken from" in text
    for name in ("auto", "fixed", "seconds", "rerun"):
        assert again["figures"][name] == figures[name]  # seconds and all: nothing was run


# -- what is run -------------------------------------------------------------------------------------------------------


def test_every_setting_runs_on_every_problem_once_and_what_is_done_not_again(plan: ModuleType) -> None:
    own = plan.Plan(seeds=(0, 1), num_problems=13)
    settings = [*own.auto(), *own.fixed()]
    assert len({setting.key for setting in settings}) == len(settings) == 9 + 1 + 6 * 5
    asked = [(c.setting, problem) for c in plan.chunks(settings, own.problems, {}) for problem in c.problems]
    assert len(asked) == len(set(asked)) == len(settings) * 26
    done = {plan.row_name(setting, problem) for setting, problem in asked if problem != (1, 4)}
    left = [(c.setting, problem) for c in plan.chunks(settings, own.problems, done) for problem in c.problems]
    assert left == [(setting, (1, 4)) for setting in settings]


def test_an_impossible_plan_is_refused_by_the_name_of_its_field(plan: ModuleType) -> None:
    wrong: Mapping[str, Any] = {
        "seeds": (0, 0),
        "num_problems": 0,
        "budgets_s": (0.0,),
        "widths": (4, 251),
        "strategies": ("guessing",),
    }
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=name):
            plan.Plan(**{name: value})


# -- what is made of it ------------------------------------------------------------------------------------------------


def made_row(is_right: bool, wall_s: float, **others: Any) -> dict[str, Any]:
    usual = {"is_answered": True, "is_covered": is_right, "is_cut": False, "is_as_asked": True, "early_stop": None}
    counts = {"waves": None, "candidates": 1, "decoded_tokens": 10}
    told = {"proof": None, "confidence": 0.5, "is_calibrated": False}
    return {**usual, **counts, **told, "is_right": is_right, "wall_s": wall_s, **others}


def made_table(measure: ModuleType, plan: ModuleType, own: Any, columns: Mapping[str, list[dict[str, Any]]]) -> Any:
    """Rows by the key of their setting; `others` is that of all that are not named."""
    rows = {}
    for setting in (*own.auto(), *own.fixed()):
        column = columns.get(setting.key, columns.get("others", []))
        rows |= {
            plan.row_name(setting, problem): row for problem, row in zip(own.problems, column, strict=bool(column))
        }
    return measure.Table(rows, own.problems)


def test_a_solve_that_took_longer_than_the_budget_does_not_count_by_it(measure: ModuleType, plan: ModuleType) -> None:
    own = plan.Plan((0,), 4, (1.0, 4.0), (), ("weighted",), (4, 64))
    columns = {
        "weighted n=4 120 s": [made_row(right, 0.5) for right in (True, True, False, False)],
        "weighted n=64 120 s": [made_row(True, wall_s) for wall_s in (0.5, 2.0, 3.0, 3.0)],
        "greedy n=1 120 s": [made_row(right, 0.1) for right in (True, True, False, False)],
        "others": [made_row(True, 0.2)] * 4,
    }
    table = made_table(measure, plan, own, columns)
    wide = own.fixed()[2]
    assert table.rights_by(wide, 1.0) == [True, False, False, False]
    assert table.seconds_by(wide, 1.0) == [0.5, 1.0, 1.0, 1.0]
    assert measure.best_fixed(table, own, 1.0).name == "greedy n=1"  # as good as weighted n=4, and quicker
    assert measure.best_fixed(table, own, 4.0) == wide
    (less, more) = measure.figures(table, own)["against_best"]
    assert (less["best_accuracy"], less["difference"], less["mean_s"]) == (0.5, 0.5, 0.2)
    assert (more["best"], more["best_accuracy"], more["difference"]) == ("weighted n=64", 1.0, 0.0)


def test_a_setting_that_was_chosen_on_other_problems_has_no_advantage(measure: ModuleType, plan: ModuleType) -> None:
    own = plan.Plan((0,), 4, (1.0,), (), ("weighted",), (4, 64))
    first, second = measure.halves(4)
    columns = {
        "weighted n=4 120 s": [made_row(i in first, 0.5) for i in range(4)],
        "weighted n=64 120 s": [made_row(i in second, 0.5) for i in range(4)],
        "others": [made_row(False, 0.1)] * 4,
    }
    (found,) = measure.figures(made_table(measure, plan, own, columns), own)["against_best"]
    assert found["difference"] == -0.5
    assert found["cross_fitted"]["difference"] == 0.0
    assert found["cross_fitted"]["name"] == "auto - weighted n=64 / weighted n=4"


def test_halves_share_no_problem_and_no_family_is_in_one_of_them_only(measure: ModuleType) -> None:
    first, second = measure.halves(301)
    assert sorted(first + second) == list(range(301))
    assert (len(first), len(second)) == (151, 150)
    for half in (first, second):
        assert {index % 10 for index in half} == set(range(10))  # families take turns


def test_a_curve_reaches_an_accuracy_between_its_points_at_its_first_or_never(measure: ModuleType) -> None:
    seconds, accuracies = np.array([1.0, 4.0, 16.0]), np.array([0.5, 0.7, 0.6])
    assert measure.seconds_at(seconds, accuracies, 0.6) == pytest.approx(2.0)  # half way in the logarithm
    assert measure.seconds_at(seconds, accuracies, 0.7) == pytest.approx(4.0)
    assert measure.seconds_at(seconds, accuracies, 0.4) == 1.0
    assert measure.seconds_at(seconds, accuracies, 0.8) == math.inf
    assert measure.ratio_of(np.array([*accuracies, *seconds, 0.6, 8.0])) == pytest.approx(0.25)


def test_an_accuracy_that_is_never_reached_has_no_ratio_and_misses_its_target(
    benchmark_module: Import, measure: ModuleType, plan: ModuleType
) -> None:
    own = plan.Plan((0,), 2, (1.0, 2.0), (), ("weighted",), (4,))
    columns = {"auto 1 s": [made_row(False, 0.5)] * 2, "auto 2 s": [made_row(True, 0.5), made_row(False, 0.5)]}
    table = made_table(measure, plan, own, columns | {"others": [made_row(True, 0.5)] * 2})
    figures = measure.figures(table, own)
    assert [each["ratio"] for each in figures["seconds"]] == [None, None]
    assert figures["seconds"][0]["interval95"][1] is None
    found = {row["name"]: row["is_reached"] for row in benchmark_module("budgets").targets(figures)}
    assert found == {
        "held-out problems": False,
        "2 s - 1 s, upper end of the interval": True,
        "1 s: auto - greedy n=1, upper end of the interval": False,
        "2 s: auto - greedy n=1, upper end of the interval": True,
        "2 s: seconds at the accuracy of greedy n=1, over its own": False,
    }
    assert "never" in "\n".join(measure.lines(figures))


def test_confidences_are_held_against_being_right_with_and_without_what_was_proven(measure: ModuleType) -> None:
    rows = [
        made_row(True, 1.0, confidence=0.8, is_calibrated=True, early_stop="confidence"),
        made_row(False, 1.0, confidence=0.6),
        made_row(True, 1.0, confidence=1.0, proof=True),
        made_row(False, 1.0, confidence=None),
    ]
    found = measure._confidence_of(rows)
    assert (found["num_untold"], found["num_calibrated"]) == (1, 1)
    assert found["all"]["brier"] == pytest.approx((0.04 + 0.36) / 3, abs=1e-4)
    assert found["without_proof"]["brier"] == pytest.approx(0.2)
    assert found["without_proof"]["brier_of_a_constant"] == 0.25
    assert found["all"]["of"] == 3
    assert measure._confidence_of(rows[3:])["all"] is None


# -- the pictures ------------------------------------------------------------------------------------------------------


def test_pictures_are_drawn_where_matplotlib_is_also_without_any_confidence(
    benchmark_module: Import, measure: ModuleType, plan: ModuleType, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    drawn = benchmark_module("budgets_figures")
    own = plan.Plan((0,), 6, (1.0, 2.0), (0.5,), ("weighted", "beam"), (4, 16))
    for confidence in (0.7, None):
        rows = [made_row(i % 2 == 0, 0.1 + i, confidence=confidence) for i in range(6)]
        figures = measure.figures(made_table(measure, plan, own, {"others": rows}), own)
        paths = drawn.draw({"plan": {"budgets_s": [1.0, 2.0]}, **figures}, tmp_path)
        assert [path.name for path in paths] == ["budgets.svg", "budgets-reliability.svg"]
        assert all(path.stat().st_size > 5000 for path in paths)


def test_budgets_whose_points_cover_each_other_share_a_label(benchmark_module: Import) -> None:
    points = ((0.5, 0.2, 0.60), (1, 0.3, 0.79), (2, 0.31, 0.80), (4, 0.29, 0.80), (8, 0.9, 0.80))
    auto = [{"budget_s": budget_s, "mean_s": mean_s, "accuracy": accuracy} for budget_s, mean_s, accuracy in points]
    found = benchmark_module("budgets_figures").neighbours(auto)
    assert [[row["budget_s"] for row in rows] for rows in found] == [[0.5], [1, 2, 4], [8]]
