"""`edgesearch bench run TASK`: a run without a recipe, of recorded programs and of a built-in model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from interruptible import hear_interrupts

Run = Callable[..., Result]

PROMPT = 'def double(x):\n    """Twice x.\n\n    >>> double(2)\n    4\n    """\n'
TEST = "def check(candidate):\n    for x in range(5):\n        assert candidate(x) == 2 * x\n"
PROGRAMS = ["    return x\n", "    return 2 * x\n", "    return 2*x\n", "no program at all: ("] * 5


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the data of three problems and recorded programs for them."""
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, Any]] = [
        {"task_id": f"HumanEval/{number}", "prompt": PROMPT, "entry_point": "double", "test": test}
        for number, test in enumerate([TEST, TEST, f"import no_such_module\n{TEST}"])
    ]
    _write(tmp_path / "task.jsonl", rows)
    _write(
        tmp_path / "samples.jsonl",
        [
            {"task_id": row["task_id"], "sample_idx": number, "completion": text}
            for row in rows
            for number, text in enumerate(PROGRAMS if row["task_id"] != "HumanEval/1" else ["    return x\n"] * 20)
        ],
    )
    return tmp_path


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def error_of(result: Result) -> str:
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


RECORDED = ("bench", "run", "humaneval", "--data", "task.jsonl", "--samples", "samples.jsonl")


def test_recorded_programs_give_pass_at_k_and_the_store_of_the_tasks_name(run: Run, folder: Path) -> None:
    result = run(*RECORDED, "--n", "20")
    assert result.exit_code == 0
    heading, cell, empty, ks, coverage, fit = result.stdout.splitlines()
    assert heading.split() == ["cell", "accuracy", "correct", "wrong", "unanswered", "error"]
    assert cell.startswith("model sample n=20 m=1 600s ")
    assert sum(map(int, cell.split()[-4:])) == 3
    assert cell.split()[-1] == "1"
    assert empty == ""
    assert ks.split() == ["k", "1", "10", "20"]
    assert coverage.split()[:2] == ["pass@k", "16.7%"]
    assert coverage.split()[-1] == "33.3%"
    assert fit.startswith("pass@k follows exp(a k^b) with a = -")
    assert result.stderr.splitlines()[-1] == "60 samples; 50 programs, of which 4 different ones were run"
    assert (folder / "humaneval.sqlite").is_file()


def test_the_same_command_goes_on_and_does_nothing_twice(run: Run) -> None:
    first, second = run(*RECORDED, "--n", "20"), run(*RECORDED, "--n", "20")
    assert second.stdout == first.stdout
    assert "3 of them done already" in second.stderr
    assert "different ones were run" not in second.stderr


def test_json_has_the_curve_and_the_counts(run: Run) -> None:
    result = run(*RECORDED, "--n", "20", "--json", "--no-progress")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["num_candidates"], found["num_programs"], found["num_tried_programs"]) == (60, 50, 4)
    (curve,) = found["curves"]
    at = dict(zip(curve["ks"], curve["coverage"], strict=True))
    assert at[1]["value"] == pytest.approx(1 / 6)
    assert at[20]["value"] == pytest.approx(1 / 3)
    assert {"a", "b", "rmse", "max_error"} <= set(curve["fit"])
    assert curve["majority"] is None
    assert found["tokens_per_s"] == {curve["point"]: None}


def test_visible_tests_choose_among_recorded_programs(run: Run) -> None:
    result = run(*RECORDED, "--n", "20", "--strategy", "best_of_n", "--out", "best.sqlite")
    assert result.exit_code == 0
    assert "model best_of_n n=20" in result.stdout
    best = next(line for line in result.stdout.splitlines() if line.startswith("best of k"))
    assert best.split()[-1] == "33.3%"


def test_a_report_tells_coverage_of_the_stored_programs(run: Run, folder: Path) -> None:
    run(*RECORDED, "--n", "20")
    result = run("bench", "report", "humaneval.sqlite", "--html", "report.html")
    assert result.exit_code == 0
    assert "coverage 16.7% at 1, " in result.stdout
    assert "second grader" not in result.stderr
    assert "the tests that grade it are at fault" in result.stderr
    assert "pass@k" not in result.stderr
    assert (folder / "report.html").stat().st_size > 10_000


def test_a_built_in_model_that_writes_nonsense_is_graded_in_chunks(run: Run) -> None:
    flags = ("--data", "task.jsonl", "--n", "70", "--max-tokens", "16", "--limit", "2", "--out", "nano.sqlite")
    result = run("bench", "run", "humaneval", *flags, "--json", "--no-progress")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [cell["name"].rpartition(" ")[2] for cell in found["cells"]] == ["seed=0", "seed=1"]
    assert (found["num_units"], found["num_candidates"], found["counts"]["correct"]) == (4, 140, 0)
    (curve,) = found["curves"]
    assert curve["ks"][-1] == 70
    assert found["tokens_per_s"][curve["point"]] > 0
    *_, ks, coverage, pace = run("bench", "run", "humaneval", *flags).stdout.splitlines()
    assert (ks.split(), coverage.split()) == (["k", "1", "10", "70"], ["pass@k", "0.0%", "0.0%", "0.0%"])
    assert pace.endswith(" tokens drawn a second of solving")


def test_a_task_of_answers_runs_so_as_well(run: Run) -> None:
    result = run("bench", "run", "arithmetic", "--limit", "2", "--n", "4", "--seed", "3")
    assert result.exit_code == 0
    assert "majority of k" in result.stdout


def test_without_a_sandbox_nothing_is_generated(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGESEARCH_ALLOW_UNSANDBOXED", raising=False)
    result = run("bench", "run", "humaneval", "--data", "task.jsonl", "--sandbox", "none")
    assert (result.exit_code, result.stdout) == (6, "")
    assert "EDGESEARCH_ALLOW_UNSANDBOXED=1" in error_of(result)
    assert "loading" not in result.stderr
    assert not (folder / "humaneval.sqlite").exists()


def test_no_sandbox_that_is_asked_for_twice_is_said_with_every_outcome(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESEARCH_ALLOW_UNSANDBOXED", "1")
    assert run(*RECORDED, "--n", "1", "--sandbox", "none").exit_code == 0
    exported = run("bench", "export", "humaneval.sqlite", "--jsonl", "out.jsonl")
    assert exported.exit_code == 0
    outcomes = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all("--sandbox none, which does not isolate them" in each["warnings"][-1] for each in outcomes)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("humaneval", "--samples", "a.jsonl", "--endpoint", "http://127.0.0.1:1/v1", "--model", "m"), 2, "--samples"),
        (("humaneval", "--samples", "samples.jsonl", "--temperature", "1"), 2, "--temperature has no effect"),
        (("humaneval", "--endpoint", "http://127.0.0.1:1/v1"), 2, "--endpoint needs --model"),
        (("humaneval", "--mode", "chat"), 2, "--mode is about a server"),
        (("humaneval", "--temperature", "nan"), 2, "--temperature"),
        (("humaneval", "--budget", "soon"), 2, "budget 'soon' is not a duration"),
        (("humaneval", "--n", "0"), 2, "--n"),
        (("humaneval", "--sandbox", "jail"), 2, "jail"),
        (("humaneval", "--data", "gone.jsonl"), 2, "gone.jsonl"),
        (("humaneval", "--samples", "gone.jsonl"), 2, "gone.jsonl"),
        (("humaneval", "--samples", "samples.jsonl", "--n", "21"), 2, "has 20 completions"),
        (("humaneval", "--model", "no-such-model"), 4, "no-such-model"),
        (("humanevil",), 2, "neither the file of a recipe nor a task; tasks are gsm8k"),
        (("recipe.toml",), 2, "--out"),
        (("humanevil", "--out", "x.sqlite"), 2, "humanevil"),
        (("recipe.toml", "--n", "4", "--out", "x.sqlite"), 2, "--n is for a task"),
    ],
)
def test_what_cannot_be_run_is_told_before_there_is_a_store(
    run: Run, folder: Path, flags: tuple[str, ...], code: int, message: str
) -> None:
    data = () if "--data" in flags or flags[0] != "humaneval" else ("--data", "task.jsonl")
    result = run("bench", "run", *flags, *data)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in error_of(result)
    assert not list(folder.glob("*.sqlite"))


def test_a_run_of_other_flags_does_not_go_on_with_the_store(run: Run) -> None:
    run(*RECORDED, "--n", "4")
    result = run(*RECORDED, "--n", "5")
    assert result.exit_code == 2
    assert "grid[0].n in the recipe was 4, and is 5" in error_of(result)


@pytest.mark.skipif(os.name != "posix", reason="signals are sent the POSIX way")
def test_ctrl_c_ends_the_grading_of_programs_that_loop_for_ever(folder: Path, run: Run) -> None:
    rows = [json.loads(line) for line in (folder / "task.jsonl").read_text(encoding="utf-8").splitlines()[:2]]
    _write(folder / "task.jsonl", rows)
    sleeps = [f"    import time\n    time.sleep({1000 + number})\n" for number in range(20)]
    texts = {rows[0]["task_id"]: PROGRAMS, rows[1]["task_id"]: sleeps}
    _write(
        folder / "samples.jsonl",
        [
            {"task_id": name, "sample_idx": number, "completion": text}
            for name, each in texts.items()
            for number, text in enumerate(each)
        ],
    )
    command = [str(Path(sys.executable).with_name("edgesearch")), *RECORDED, "--n", "20"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": hear_interrupts}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stderr is not None
        while "1 of 2 units" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)  # one such program alone is waited for twice as long
    assert process.returncode == 130
    assert "Interrupted: 1 of 2 units are kept" in stderr
    assert "Traceback" not in stderr
    assert run("bench", "export", "humaneval.sqlite", "--jsonl", "kept.jsonl").stdout == "kept.jsonl: 1 rows\n"


class _Writer(BaseHTTPRequestHandler):
    """Writes right and wrong programs: fenced by the chat API, bodies by the other."""

    def log_message(self, *_args: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = "    return 2 * x\n" if asked["seed"] % 2 else "    return x\n"
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "text": f"{body}\nprint(1)\n"}
        if "messages" in asked:
            choice["message"] = {"content": f"So:\n\n```python\ndef double(x):\n{body}```\n"}
        _asked.append(asked)
        self._send({"choices": [choice], "usage": {"prompt_tokens": 20, "completion_tokens": 10}})

    def _send(self, found: object) -> None:
        sent = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)


_asked: list[dict[str, Any]] = []
"""What the server was asked in this test."""


@pytest.mark.parametrize("flags", [("--mode", "chat"), ("--prompt", "plain-1")], ids=["chat", "plain"])
def test_a_server_writes_programs_that_are_graded(run: Run, folder: Path, flags: tuple[str, ...]) -> None:
    rows = (folder / "task.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "task.jsonl").write_text("".join(rows[:2]), encoding="utf-8")
    _asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Writer)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        drawn = ("--endpoint", url, "--model", "model", "--n", "12", "--data", "task.jsonl")
        result = run("bench", "run", "humaneval", *drawn, *flags, "--json", "--no-progress")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["num_candidates"], found["num_programs"], found["num_tried_programs"]) == (24, 24, 4)
    at = dict(zip(found["curves"][0]["ks"], found["curves"][0]["coverage"], strict=True))
    assert 0 < at[1]["value"] < 1
    assert at[12]["value"] == 1
    if "plain-1" in flags:
        assert any(each.get("prompt", "").rstrip() == PROMPT.rstrip() for each in _asked)
    report = run("bench", "report", "humaneval.sqlite", "--html", "report.html")
    assert report.exit_code == 0
    assert "Traceback" not in report.stderr
