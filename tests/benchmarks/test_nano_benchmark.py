"""The nano benchmark, on a few problems: all parts run, continue what was killed, and end with one JSON line."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Import = Callable[[str], ModuleType]
RunQuickly = Callable[..., tuple[dict[str, Any], str]]

SPLITS = ["mixed", "phrasings", "structures"]


def test_a_quick_run_ends_with_one_json_line_that_holds_all_parts(run_quickly: RunQuickly, tmp_path: Path) -> None:
    result, text = run_quickly("nano.py", "--workers", "1", "--checkpoint", tmp_path / "run.jsonl")
    assert {"date", "commit", "machine", "figures"} <= result.keys()
    figures = result["figures"]
    tables = {(table["split"], table["is_checked"]): table for table in figures["accuracy"]["tables"]}
    assert list(tables) == [(split, is_checked) for split in SPLITS for is_checked in (False, True)]
    rows = {(row["solver"], row["strategy"], row["n"]): row for row in tables["mixed", True]["rows"]}
    assert rows["nano", "beam", 4]["cost"]["solver_mflops"] > 0
    assert rows["nano", "weighted", 2]["cost"] is None
    control = figures["accuracy"]["check_control"]
    assert control["differing"] == control["derived_differing"] == 0
    assert control["derived_solves"] == 3 * 3
    assert figures["accuracy"]["counters"]["prefilled_other_than_once"] == 0
    assert [row["strategy"] for row in figures["accuracy"]["costs"]] == ["greedy", "beam"]
    assert list(figures["verifier"]["ranking"]) == SPLITS
    assert [point["n"] for point in figures["verifier"]["curve"]["choices"]["best_of_n"]] == [1, 2, 4, 8]
    assert [point["k"] for point in figures["coverage"]["coverage"]] == [1, 2, 3, 4, 6, 8, 12, 16]
    assert {row["name"] for row in figures["fidelity"]["files"]} == {"nano", "nano-medium", "nano-large", "nano-prm"}
    assert "structures, verifier alone" in text
    assert not (tmp_path / "run.jsonl").exists()


def test_parts_share_a_checkpoint_and_continue_it(run_quickly: RunQuickly, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    first, _ = run_quickly("nano.py", "--workers", "1", "--checkpoint", path, "--only", "coverage")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(lines) == 1
    second, text = run_quickly("nano.py", "--workers", "1", "--checkpoint", path, "--only", "coverage")
    assert second["figures"]["resumed_solves"] == 3
    assert "are taken from" in text
    assert first["figures"]["coverage"] == second["figures"]["coverage"]


# -- what is chosen among candidates -------------------------------------------------------------------------------


def sample() -> Any:
    from edgesearch.tasks.arithmetic import held_out

    return next(sample for sample in held_out(0, 50) if sample.family == "equation")


def candidate(answer: str | None, score: float, logprob: float, finish: Any = "stop") -> Any:
    from edgesearch.types import Beam, Candidate, Prompt, Step

    return Candidate(Beam(Prompt("?"), (Step(f"{answer}", (), logprob, finish),), (score,)), answer, score)


def test_each_choice_reads_its_own_evidence_and_a_proof_stands_above_all(benchmark_module: Import) -> None:
    solving = benchmark_module("solving")
    right = sample().target
    candidates = [candidate("1", 0.9, -9), candidate("2", 0.6, -1), candidate("2", 0.5, -2), candidate(right, 0.1, -8)]
    chosen = {name: solving._chosen(candidates, name) for name in ("majority", "weighted", "best_of_n", "likelihood")}
    assert chosen == {"majority": "2", "weighted": "2", "best_of_n": "1", "likelihood": "2"}
    proven = [solving._proven(sample(), each) for each in candidates]
    assert {solving._chosen(proven, name) for name in ("majority", "weighted", "best_of_n")} == {right}
    cut = solving._proven(sample(), candidate(right, 0.1, -8, "length"))
    assert cut.beam.proof is None  # the pipeline proves finished solutions only


def test_marks_tell_of_every_block_whether_its_choice_is_right(benchmark_module: Import) -> None:
    solving = benchmark_module("solving")
    right = sample().target
    candidates = [candidate(answer, 0.5, -1) for answer in (right, "0", None, None, right)]
    marks = solving._marks(candidates, [1, 2, 5], ["best_of_n"], solving._Grader(sample()))
    assert marks == {"best_of_n 1": "10--1", "best_of_n 2": "1-", "best_of_n 5": "1"}


def test_equal_solutions_are_one_draw_with_a_count(benchmark_module: Import) -> None:
    solving = benchmark_module("solving")
    grader = solving._Grader(sample())
    draws = solving._draws(
        sample(), [candidate("1", 0.5, -1), candidate("2", 0.4, -2), candidate("1", 0.5, -1)], grader
    )
    assert [(draw.count, draw.score) for draw in draws] == [(2, 0.5), (1, 0.4)]


# -- options -------------------------------------------------------------------------------------------------------


def test_an_impossible_plan_is_refused_by_the_name_of_its_field(benchmark_module: Import) -> None:
    plan = benchmark_module("nano_plan").Plan
    for fields, name in (({"seeds": (1, 1)}, "seeds"), ({"num_problems": 10}, "num_wide_problems")):
        with pytest.raises(ValueError, match=name):
            plan(**fields)


def test_targets_say_what_is_reached(benchmark_module: Import) -> None:
    nano = benchmark_module("nano")
    found = nano.targets({"coverage": {"problems": 5, "coverage": [{"k": 64, "coverage": 0.91}]}})
    assert [(row["value"], row["target"], row["is_reached"]) for row in found] == [(0.91, ">= 0.9", True)]


def test_pictures_are_drawn_where_matplotlib_is(benchmark_module: Import, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figures = benchmark_module("nano_figures")
    point = {"coverage": 0.5, "interval95": [0.4, 0.6]}
    fit = {"a": -1.0, "b": -0.5, "max_error": 0.01}
    coverage = {"problems": 5, "samples": 8, "coverage": [{"k": 1, **point}, {"k": 8, **point}], "fit": fit}
    paths = figures.draw({"coverage": coverage}, tmp_path)
    assert [path.name for path in paths] == ["nano-coverage.png", "nano-coverage.svg"]
    assert all(path.stat().st_size > 5000 for path in paths)
