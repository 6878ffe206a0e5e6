"""The benchmark of deadlines: a quick run, what it makes of solves, and that nothing stays busy behind it."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

Import = Callable[[str], ModuleType]
RunQuickly = Callable[..., tuple[dict[str, Any], str]]

HOLD_LOAD = """
import clock_load, psutil, time
with clock_load.full_load() as count:
    print(count, *(child.pid for child in psutil.Process().children()), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def solves(benchmark_module: Import) -> ModuleType:
    return benchmark_module("clock_solves")


@pytest.fixture
def rows(benchmark_module: Import) -> ModuleType:
    return benchmark_module("clock_rows")


def test_a_quick_run_ends_with_one_json_line_that_holds_both_loads(run_quickly: RunQuickly, tmp_path: Path) -> None:
    result, text = run_quickly("clock.py", "--checkpoint", tmp_path / "run.jsonl")
    assert {"date", "commit", "machine", "figures"} <= result.keys()
    loads = result["figures"]["loads"]
    assert list(loads) == ["idle", "full"]
    assert (loads["idle"]["busy_processes"], loads["full"]["busy_processes"] > 1) == (0, True)
    for each in loads.values():
        assert each["solves"] == len(each["rows"]) == 3
        assert all(0.05 <= row["budget_s"] <= 0.2 for row in each["rows"])
        assert each["used"]["solves"] + sum(stop["solves"] for stop in each["early_stops"].values()) == 3
        if sys.platform != "win32":
            interrupts = each["interrupts"]
            assert interrupts["interrupts"] + interrupts["ended_before"] >= 1
            assert interrupts["other_exit_codes"] == 0
    assert "overshoot ms" in text
    assert not (tmp_path / "run.jsonl").exists()


def made_row(budget_s: float, wall_s: float, *, is_answered: bool = True, early_stop: str | None = None) -> Any:
    told = {"is_answered": is_answered, "is_right": is_answered, "early_stop": early_stop, "waves": 1}
    return {"budget_s": budget_s, "wall_s": wall_s, **told}


def test_an_answer_may_be_late_by_a_floor_or_by_a_share_of_its_budget(solves: ModuleType) -> None:
    allowance = solves.Allowance(0.05, 0.01)
    assert [allowance.of(budget_s) for budget_s in (0.3, 5.0, 30.0)] == pytest.approx([0.05, 0.05, 0.3])
    found = solves.figures([made_row(1.0, 1.1), made_row(30.0, 30.15)], 0.01, allowance)
    assert found["overshoot_of_allowed"] == {"p50": 0.5, "p90": 2.0, "p99": 2.0, "max": 2.0}
    assert found["overshoot_ms"]["max"] == 150.0
    assert found["num_late"] == 1


def test_a_missing_answer_counts_where_the_budget_allowed_a_greedy_draft(solves: ModuleType) -> None:
    given = [made_row(budget_s, budget_s, is_answered=False) for budget_s in (0.1, 0.3)] + [made_row(0.5, 0.5)]
    found = solves.figures(given, 0.1, solves.ALLOWANCES["idle"])
    assert (found["unanswered"], found["budgets_with_enough"], found["unanswered_with_enough"]) == (2, 2, 1)


def test_seconds_may_be_given_back_for_a_reason_only(solves: ModuleType) -> None:
    given = [made_row(1.0, 0.1, early_stop="proof"), made_row(1.0, 0.3, early_stop="proof")]
    given += [made_row(1.0, 0.5), made_row(1.0, 0.95)]
    found = solves.figures(given, 0.01, solves.ALLOWANCES["idle"])
    assert found["early_stops"] == {"proof": {"solves": 2, "right": 2, "mean_used": 0.2}}
    assert found["used"] == {"solves": 2, "below": 1, "min": 0.5, "p1": 0.5, "p10": 0.5}
    assert solves.figures(given[:2], 0.01, solves.ALLOWANCES["idle"])["used"] == {"solves": 0, "below": 0}


def test_budgets_are_drawn_evenly_in_the_logarithm_and_the_same_for_a_seed(solves: ModuleType) -> None:
    drawn = solves.draw_budgets(0.3, 30.0, 2000, 5)
    assert drawn == solves.draw_budgets(0.3, 30.0, 2000, 5) != solves.draw_budgets(0.3, 30.0, 2000, 6)
    assert 0.3 <= min(drawn) < max(drawn) <= 30
    assert statistics.fmean(budget_s < 3 for budget_s in drawn) == pytest.approx(0.5, abs=0.04)


def test_targets_are_about_each_load_and_what_was_not_measured_is_not_reached(benchmark_module: Import) -> None:
    each = {
        "overshoot_of_allowed": {"p99": 0.4},
        "unanswered_with_enough": 1,
        "used": {"below": 0},
        "interrupts": {"exit_s": None, "other_exit_codes": 0, "unanswered": 0},
    }
    found = benchmark_module("clock").targets({"loads": {"idle": each, "full": each | {"interrupts": None}}})
    assert [row["is_reached"] for row in found] == [True, False, True, False, True, True, False, True]


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------


def test_commands_that_end_by_themselves_are_not_counted_as_interrupted(benchmark_module: Import) -> None:
    interrupts = benchmark_module("clock_interrupts")
    row = {"has_ended_before": False, "exit_s": 0.1, "exit_code": 130, "is_answered": True}
    ended = row | {"has_ended_before": True, "exit_s": 0.0, "exit_code": 0}
    found = interrupts.figures([row, ended, row | {"exit_s": 0.3, "exit_code": 1, "is_answered": False}])
    assert (found["interrupts"], found["ended_before"]) == (2, 1)
    assert found["exit_s"] == {"p50": 0.1, "max": 0.3}
    assert (found["other_exit_codes"], found["unanswered"]) == (1, 1)
    assert interrupts.figures([ended])["exit_s"] is None


def test_no_exact_check_can_end_the_search_that_is_interrupted(benchmark_module: Import) -> None:
    from edgesearch.tasks.arithmetic import is_checkable

    problems = benchmark_module("clock_interrupts").hard_problems(0, 40)
    assert len(problems) == 40
    assert {sample.level for sample in problems} == {5}
    assert not any(is_checkable(sample.problem) for sample in problems)


# -- the load ----------------------------------------------------------------------------------------------------------


def test_processes_that_keep_the_machine_busy_end_with_the_benchmark_however_it_ends(benchmark_module: Import) -> None:
    folder = Path(benchmark_module("clock_load").__file__).parent
    command = [sys.executable, "-c", HOLD_LOAD]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        count, *pids = map(int, holder.stdout.readline().split())
        children = [psutil.Process(pid) for pid in pids]
        holder.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert (len(children), alive) == (count, [])


def test_nothing_is_busy_after_the_load(benchmark_module: Import) -> None:
    before = set(psutil.Process().children())
    with benchmark_module("clock_load").full_load() as count:
        assert len(set(psutil.Process().children()) - before) == count
    assert set(psutil.Process().children()) <= before


# -- rows that are kept ------------------------------------------------------------------------------------------------


def test_rows_are_there_again_under_the_same_key_only(rows: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows.RowFile(path, "one").add({"a": {"x": 1}, "b": {"x": 2}})
    again = rows.RowFile(path, "one")
    assert (again.rows, again.num_resumed) == ({"a": {"x": 1}, "b": {"x": 2}}, 2)
    assert rows.RowFile(path, "two").rows == {}
    again.forget()
    assert not path.exists()


def test_a_torn_line_is_left_out_and_harms_no_row_after_it(rows: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows.RowFile(path, "one").add({"a": {"x": 1}, "b": {"x": 2}})
    path.write_text(path.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    rows.RowFile(path, "one").add({"c": {"x": 3}})
    assert rows.RowFile(path, "one").rows == {"a": {"x": 1}, "c": {"x": 3}}
    path.write_text('[1]\n"key"\n' + json.dumps({"key": "one", "name": "a", "row": {}}) + "\n", encoding="utf-8")
    assert rows.RowFile(path, "one").rows == {"a": {}}


def test_the_key_of_rows_holds_the_programs_that_measure(rows: ModuleType) -> None:
    assert rows.key_of("clock_solves") == rows.key_of("clock_solves") != rows.key_of("budgets_solve")
