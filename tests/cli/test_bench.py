"""`edgesearch bench`: runs, resumes, refuses, is interrupted, and exports; on the built-in models."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from interruptible import hear_interrupts

Run = Callable[..., Result]

MODELS = Path(str(resources.files("edgesearch_models"))) / "nano"
ROOT = Path(__file__).parents[2]
COMMAND = shutil.which("edgesearch", path=str(Path(sys.executable).parent)) or "edgesearch"
RECIPE = """
name = "a test"

[task]
name = "arithmetic"
limit = {limit}

[[engines]]
id = "small"
kind = "gguf"
solver = "{solver}"

[[grid]]
engines = "small"
strategy = "majority"
n = {n}
budget_s = 60.0
"""


def write(folder: Path, *, limit: int = 2, solver: str = "nano", n: str = "2", more: str = "") -> str:
    path = folder / "recipe.toml"
    path.write_text(more + RECIPE.format(limit=limit, solver=solver, n=n), encoding="utf-8")
    return str(path)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "run.sqlite")


def error_of(result: Result) -> str:
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


# -- running -----------------------------------------------------------------------------------------------------------


def test_a_run_prints_a_line_a_cell_and_resumes(run: Run, tmp_path: Path, store: str) -> None:
    recipe = write(tmp_path)
    first = run("bench", "run", recipe, "--out", store)
    assert first.exit_code == 0
    heading, line = first.stdout.splitlines()
    assert heading.split() == ["cell", "accuracy", "correct", "wrong", "unanswered", "error"]
    assert line.startswith("small majority n=2 m=1 60s seed=0")
    assert "2 units in" in first.stderr
    second = run("bench", "run", recipe, "--out", store)
    assert second.stdout == first.stdout
    assert "2 of them done already" in second.stderr


def test_json_is_one_object_with_counts_seconds_and_the_harness_share(run: Run, tmp_path: Path, store: str) -> None:
    result = run("bench", "run", write(tmp_path, limit=5), "--out", store, "--limit", "2", "--json", "--no-progress")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["schema_version"] == 1
    assert found["run"] == {"name": "a test", "path": store, "task": "arithmetic (mixed), 2 samples"}
    assert (found["num_units"], found["num_run"], found["num_resumed"], found["num_lost_workers"]) == (2, 2, 0, 0)
    assert sum(found["counts"].values()) == 2
    assert [each["num_units"] for each in found["cells"]] == [2]
    assert 0 <= found["harness_share"] <= 1
    assert found["wall_s"] >= found["solve_s"] > 0
    assert (found["is_complete"], found["is_interrupted"]) == (True, False)


def test_the_example_recipe_runs_as_it_is(run: Run, store: str) -> None:
    recipe = ROOT / "benchmarks" / "recipes" / "nano-small.toml"
    result = run("bench", "run", str(recipe), "--out", store, "--limit", "1", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["is_complete"], found["counts"]["error"], found["warnings"]) == (True, 0, [])
    assert {cell["name"].split()[1] for cell in found["cells"]} == {"greedy", "majority", "best_of_n", "beam"}


@pytest.mark.parametrize(
    ("parts", "code", "message"),
    [
        ({"more": "nmae = 1\n"}, 2, "nmae"),
        ({"solver": "no-such"}, 4, "no-such"),
        ({"solver": "gone.gguf"}, 4, "gone.gguf"),
        ({"n": "300"}, 2, "n=300"),
    ],
)
def test_a_recipe_that_cannot_run_is_refused_before_there_is_a_store(
    run: Run, tmp_path: Path, store: str, parts: dict[str, Any], code: int, message: str
) -> None:
    result = run("bench", "run", write(tmp_path, **parts), "--out", store)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in error_of(result)
    assert not Path(store).exists()


def test_a_recipe_that_is_not_there_is_wrong_usage(run: Run, store: str) -> None:
    result = run("bench", "run", "gone.toml", "--out", store, "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["exit_code"] == 2


def test_the_store_must_be_named(run: Run, tmp_path: Path) -> None:
    result = run("bench", "run", write(tmp_path))
    assert result.exit_code == 2
    assert "--out" in result.stderr


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--gpus-per-worker", "1"], 2, "are for --ray"),
        (["--cpus-per-worker", "2"], 2, "are for --ray"),
        (["--ray", "ray://10.0.0.1:10001"], 2, "give HOST:PORT of ray start --head, or auto"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_before_there_is_a_store(
    run: Run, tmp_path: Path, store: str, flags: list[str], code: int, message: str
) -> None:
    result = run("bench", "run", write(tmp_path), "--out", store, *flags)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in error_of(result)
    assert not Path(store).exists()


def test_errors_are_run_again_where_asked(run: Run, tmp_path: Path, store: str) -> None:
    recipe = write(tmp_path)
    run("bench", "run", recipe, "--out", store)
    with sqlite3.connect(store) as db:
        db.execute("UPDATE outcomes SET status = 'error', error = 'it crashed', answer = NULL WHERE id = 1")
    db.close()
    kept = run("bench", "run", recipe, "--out", store, "--json")
    assert (json.loads(kept.stdout)["num_run"], json.loads(kept.stdout)["counts"]["error"]) == (0, 1)
    again = json.loads(run("bench", "run", recipe, "--out", store, "--json", "--retry-errors").stdout)
    assert (again["num_run"], again["counts"]["error"], again["is_complete"]) == (1, 0, True)


def test_a_changed_model_or_task_under_a_resumed_run_exits_with_5(run: Run, tmp_path: Path, store: str) -> None:
    shutil.copy(MODELS / "nano-q8_0.gguf", tmp_path / "model.gguf")
    recipe = write(tmp_path, limit=1, solver="model.gguf")
    assert run("bench", "run", recipe, "--out", store).exit_code == 0
    assert run("bench", "run", recipe, "--out", store, "--limit", "2").exit_code == 5
    shutil.copy(MODELS / "nano-medium-q8_0.gguf", tmp_path / "model.gguf")
    result = run("bench", "run", recipe, "--out", store)
    assert result.exit_code == 5
    assert "the model small/solver was" in error_of(result)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_cleanly_and_says_how_to_go_on(
    tmp_path: Path, store: str, signum: signal.Signals, code: int
) -> None:
    command = [COMMAND, "bench", "run", write(tmp_path, limit=500), "--out", store]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": hear_interrupts}
    with subprocess.Popen(command, text=True, **pipes) as process:
        while "1 of 500 units" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signum)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Run the same command again to go on." in stderr
    assert "Traceback" not in stderr
    assert stdout.startswith("cell ")
    exported = subprocess.run([COMMAND, "bench", "export", store, "--jsonl", f"{store}.jsonl"], check=False)
    assert exported.returncode == 0
    kept = re.search(r"Interrupted: (\d+) of 500 units are kept", stderr)
    assert kept is not None
    assert len(Path(f"{store}.jsonl").read_text(encoding="utf-8").splitlines()) == int(kept[1]) >= 1


# -- exporting ---------------------------------------------------------------------------------------------------------


def test_export_writes_every_format_that_is_named(run: Run, tmp_path: Path, store: str) -> None:
    run("bench", "run", write(tmp_path), "--out", store)
    files = {name: str(tmp_path / f"out.{name}") for name in ("jsonl", "parquet", "samples")}
    flags = [part for name, path in files.items() for part in (f"--{name}", path)]
    result = run("bench", "export", store, *flags)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{files['jsonl']}: 2 rows", f"{files['parquet']}: 2 rows", f"{files['samples']}: 4 rows",
    ]  # fmt: skip
    rows = [json.loads(line) for line in Path(files["samples"]).read_text(encoding="utf-8").splitlines()]
    assert [row["sample_idx"] for row in rows] == [0, 1, 0, 1]
    told = run("bench", "export", store, "--jsonl", files["jsonl"], "--json")
    assert json.loads(told.stdout)["files"] == [{"path": files["jsonl"], "num_rows": 2}]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "name what to write"),
        (["--jsonl", "x.jsonl", "--cell", "abc"], "--cell is for --samples"),
        (["--jsonl", "x.jsonl"], "there is no store"),
    ],
)
def test_an_export_that_cannot_be_is_wrong_usage(run: Run, store: str, flags: list[str], message: str) -> None:
    result = run("bench", "export", store, *flags)
    assert result.exit_code == 2
    assert message in error_of(result)


# -- the command -------------------------------------------------------------------------------------------------------


def test_help_of_every_command_has_examples_and_imports_nothing_heavy() -> None:
    code = (
        "import importlib.metadata, sys\n"
        "(entry,) = importlib.metadata.entry_points(group='console_scripts', name='edgesearch')\n"
        "try:\n    entry.load()(sys.argv[1:], prog_name='edgesearch')\n"
        "finally:\n    print(*sorted(sys.modules), file=sys.stderr)"
    )
    for args in (["bench"], ["bench", "run"], ["bench", "export"]):
        done = subprocess.run([sys.executable, "-c", code, *args, "--help"], capture_output=True, text=True, check=True)
        assert "Examples:" in done.stdout
        heavy = {"numpy", "rich", "llama_cpp", "onnxruntime", "sqlite3", "edgesearch.bench.store"}
        assert not heavy & set(done.stderr.split())
