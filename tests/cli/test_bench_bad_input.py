"""What `edgesearch bench run` makes of bad input: a sentence, an exit code, and nothing lost.

Here is what no other test runs through the command itself. Elsewhere: unknown keys of a recipe (test_recipe.py,
test_bench.py), models and tasks that changed (test_bench.py), folders without permission (test_store.py), endpoints
that give too few choices or count no tokens (test_openai_api.py).
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Run = Callable[..., Result]

COMMAND = shutil.which("edgesearch", path=str(Path(sys.executable).parent)) or "edgesearch"
LIMIT_BYTES = 150_000
RECIPE = """
name = "a test"

[task]
{task}

[[engines]]
id = "small"
kind = "gguf"
solver = "nano"
verifier = "none"

[[grid]]
engines = "small"
strategy = "majority"
n = 16
budget_s = 60.0
"""


def write(folder: Path, task: str) -> str:
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(task=task), encoding="utf-8")
    return str(path)


def small_disk() -> None:
    """No file may grow beyond a limit."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES))


def stored(store: str) -> dict[str, tuple[Any, ...]]:
    """What is kept of each unit, by its key."""
    with closing(sqlite3.connect(store)) as db:
        return {row[0]: row for row in db.execute("SELECT key, sample_id, answer, wall_s FROM outcomes")}


@pytest.mark.skipif(sys.platform == "win32", reason="limits are set the POSIX way")
def test_a_disk_that_is_full_ends_a_run_with_a_sentence_and_the_same_command_goes_on(tmp_path: Path) -> None:
    store = str(tmp_path / "run.sqlite")
    command = [COMMAND, "bench", "run", write(tmp_path, 'name = "arithmetic"\nlimit = 30'), "--out", store, "--json"]
    full = subprocess.run(command, check=False, capture_output=True, text=True, preexec_fn=small_disk)
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    message = json.loads(full.stdout)["error"]["message"]
    assert "is full" in message
    assert "what was stored before is whole" in message
    assert "run the same command again to resume" in message
    before = stored(store)
    assert 0 < len(before) < 30
    resumed = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(resumed.stdout)["num_resumed"] == len(before)
    after = stored(store)
    assert len(after) == 30
    assert before.items() <= after.items()


def test_a_task_with_one_id_twice_names_the_lines_and_begins_no_store(run: Run, tmp_path: Path) -> None:
    rows = [{"id": name, "problem": "2 + 2?", "answer": "4"} for name in ("a", "b", "a")]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    store = tmp_path / "run.sqlite"
    result = run("bench", "run", write(tmp_path, 'name = "jsonl"\ndata = "rows.jsonl"'), "--out", str(store))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "line 3 of rows.jsonl repeats the id 'a' of line 1 of rows.jsonl" in result.stderr
    assert not store.exists()


@pytest.mark.parametrize("command", [("run", "RECIPE", "--out", "STORE"), ("export", "STORE", "--jsonl", "x.jsonl")])
def test_a_store_from_a_newer_version_is_refused_with_the_pip_command(
    run: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    store = tmp_path / "run.sqlite"
    with closing(sqlite3.connect(store)) as db:
        db.execute(f"PRAGMA application_id = {0x45534252}")
        db.execute("PRAGMA user_version = 99")
    before = store.read_bytes()
    places = {"STORE": str(store), "RECIPE": write(tmp_path, 'name = "arithmetic"\nlimit = 1')}
    result = run("bench", *(places.get(word, word) for word in command))
    assert result.exit_code == 2
    assert "from a newer edgesearch" in result.stderr
    assert "pip install --upgrade edgesearch" in result.stderr
    assert store.read_bytes() == before
