"""The solve benchmark, on a few problems: it runs, continues what was killed, and ends with one JSON line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

RunQuickly = Callable[..., tuple[dict[str, Any], str]]


def test_a_quick_run_ends_with_one_json_line_that_holds_all_figures(run_quickly: RunQuickly, tmp_path: Path) -> None:
    result, text = run_quickly("solve.py", "--checkpoint", tmp_path / "run.jsonl")
    assert {"date", "commit", "machine", "figures"} <= result.keys()
    figures = result["figures"]
    rows = {(row["solver"], row["strategy"], row["n"]): row for row in figures["accuracy"]["cells"]}
    assert len(rows) == 3 + 2 * 4
    assert all(row["of"] == 7 for row in rows.values())
    assert rows["nano", "weighted", 4]["decoded_tokens"] == rows["nano", "best_of_n", 4]["decoded_tokens"]
    assert figures["accuracy"]["counters"]["prefilled_other_than_once"] == 0
    assert [each["k"] for each in figures["accuracy"]["coverage"]] == [1, 2, 3, 4]
    assert all(table["solves"] == 4 for table in figures["deadline"]["tables"].values())
    assert figures["startup"]["rows"][0]["exit_code"] == 0
    assert "beam n=4 - greedy" in text
    assert not (tmp_path / "run.jsonl").exists()


def test_a_run_goes_on_where_a_killed_one_was(run_quickly: RunQuickly, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    first, _ = run_quickly("solve.py", "--checkpoint", path, "--only", "accuracy")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:40], encoding="utf-8")  # killed while it wrote
    second, text = run_quickly("solve.py", "--checkpoint", path, "--only", "accuracy")
    assert second["figures"]["accuracy"]["resumed_solves"] == 7 * (len(lines) - 1)
    assert "are taken from" in text
    accuracies = [[row["accuracy"] for row in each["figures"]["accuracy"]["cells"]] for each in (first, second)]
    assert accuracies[0] == accuracies[1]
