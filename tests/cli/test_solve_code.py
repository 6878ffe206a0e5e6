"""`edgesearch solve --task code`: on a pipeline that runs no model, on the built-in one, and through a server."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from fake_pipeline import Loader, solution

from edgesearch.errors import SandboxUnavailable
from edgesearch.sandbox import probe
from edgesearch.sandbox.worker_tiers import WORKER_TIERS
from edgesearch.types import CodeSpec, VisibleTests

Run = Callable[..., Result]
PROGRAM = "def add(a, b):\n    # brackets [bold] and \\boxed{7} stay\n    return a + b\n"
ADD = "Write a function add(a, b) that adds two numbers."
COMMAND = shutil.which("edgesearch", path=str(Path(sys.executable).parent)) or "edgesearch"


@pytest.fixture
def tests_file(tmp_path: Path) -> str:
    path = tmp_path / "tests.py"
    path.write_text("from solution import add\n\nassert add(1, 2) == 3\nassert add(0, 0) == 0\n", encoding="utf-8")
    return str(path)


def program_solution(num_passed: int | None = 2, **changes: object) -> Any:
    tests = None if num_passed is None else VisibleTests(2, num_passed, "bubblewrap")
    return solution(PROGRAM, tests=tests, confidence=None, warnings=(), **changes)


@pytest.fixture
def needs_sandbox() -> None:
    try:
        probe.find_for_programs()
    except SandboxUnavailable as error:
        pytest.skip(f"needs a sandbox: {error}")


# ------------------------------------------------------------------------------------------------------- printing


def test_stdout_holds_the_program_alone_and_stderr_how_many_tests_it_passes(run: Run, loader: Loader) -> None:
    loader.pipeline.result = program_solution(early_stop="passed")
    result = run("solve", "--task", "code", ADD)
    assert (result.exit_code, result.stdout) == (0, PROGRAM)
    assert "passes 2 of 2 tests in the sandbox bubblewrap" in result.stderr
    assert "stopped early: the program passes all visible tests" in result.stderr
    assert "Warning" not in result.stderr


def test_the_best_program_so_far_is_printed_and_said_not_to_pass(run: Run, loader: Loader) -> None:
    loader.pipeline.result = program_solution(1)
    result = run("solve", "-q", "--task", "code", ADD)
    assert (result.exit_code, result.stdout) == (0, PROGRAM)
    assert result.stderr == "Warning: this is the best program so far: it passes 1 of 2 visible tests\n"


def test_a_program_s_control_characters_do_not_reach_the_terminal_and_that_is_said(run: Run, loader: Loader) -> None:
    loader.pipeline.result = dataclasses.replace(program_solution(), answer="x = '\x1b[2J'\n")
    result = run("solve", "--task", "code", ADD)
    assert result.stdout == "x = '[2J'\n"
    assert "characters that could harm a terminal" in result.stderr


def test_json_holds_the_program_as_it_is_and_its_tests(run: Run, loader: Loader) -> None:
    loader.pipeline.result = program_solution(1)
    found = json.loads(run("solve", "--json", "--task", "code", ADD).stdout)
    assert found["answer"] == PROGRAM
    assert found["tests"] == {"num_tests": 2, "num_passed": 1, "sandbox": "bubblewrap", "is_passed": False}
    loader.pipeline.result = program_solution(None)
    assert json.loads(run("solve", "--json", "--task", "code", ADD).stdout)["tests"] is None


def test_no_program_at_all_exits_with_3(run: Run, loader: Loader) -> None:
    loader.pipeline.result = dataclasses.replace(program_solution(None), answer=None)
    result = run("solve", "--task", "code", ADD)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no answer: no solution holds a program" in result.stderr


def test_the_best_program_so_far_is_told_by_its_length_while_the_search_runs(part: Callable[[str], Any]) -> None:
    assert part("render").answer_words(PROGRAM) == "a program of 3 lines"
    assert part("render").answer_words("def f(): return 1\n") == "a program of 1 line"
    assert part("render").answer_words("42") == "42"


# --------------------------------------------------------------------------------------------------------- asking


def test_the_flags_reach_the_library(run: Run, loader: Loader, tests_file: str) -> None:
    run("solve", "--task", "code", "--tests", tests_file, "--sandbox", "landlock", "--budget", "3s", "Add them.")
    (problem,) = loader.pipeline.problems
    assert problem.code == CodeSpec(("add",), "", ("assert add(1, 2) == 3", "assert add(0, 0) == 0"))
    assert problem.text.startswith("Add them.")
    assert loader.calls[0][:2] == ("nano", "tests")
    assert loader.sandboxes == ["landlock"]


def test_without_tests_the_verifier_is_agreement_and_a_named_one_stays(run: Run, loader: Loader) -> None:
    run("solve", "--task", "code", ADD)
    run("solve", "--task", "code", "--verifier", "none", ADD)
    assert [call[1] for call in loader.calls] == ["agreement", "none"]
    assert loader.sandboxes == ["auto", "auto"]


def test_a_docstring_s_examples_are_its_tests(run: Run, loader: Loader) -> None:
    run("solve", "--task", "code", 'def add(a, b):\n    """Adds.\n\n    >>> add(1, 2)\n    3\n    """\n')
    code = loader.pipeline.problems[0].code
    assert code is not None
    assert code.tests == ("assert add(1, 2) == 3",)
    assert loader.calls[0][1] == "tests"


def test_a_problem_with_a_final_answer_is_as_before(run: Run, loader: Loader) -> None:
    run("solve", "What is 3 + 4?")
    assert loader.pipeline.problems[0].code is None
    assert loader.calls[0][1] == "auto"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tests", "t.py", "x"], "--tests is about programs; ask for one with --task code"),
        (["--sandbox", "none", "x"], "--sandbox is about programs"),
        (["--task", "code", "Write something."], "the problem names no function"),
        (["--task", "code", "--tests", "no-such-file.py", ADD], "cannot read file 'no-such-file.py'"),
        (["--task", "code", "--tests", "t.py", "--jsonl", "-"], "--tests is of one problem"),
        (["--task", "poem", "x"], "'poem' is not one of 'answer', 'code'"),
        (["--task", "code", "--sandbox", "cardboard", "x"], "'cardboard' is not one of 'auto', 'bubblewrap'"),
    ],
)
def test_flags_that_do_not_fit_are_a_usage_error_before_anything_loads(
    run: Run, loader: Loader, arguments: list[str], said: str
) -> None:
    result = run("solve", *arguments, stdin="")
    assert result.exit_code == 2
    assert said in result.stderr
    assert loader.calls == []


def test_tests_that_are_no_python_are_named_with_their_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_bytes(b"assert add(1, 2) == 3\nassert add(\n")
    result = run("solve", "--task", "code", "--tests", str(path), ADD)
    assert result.exit_code == 2
    assert "line 2 of file" in result.stderr
    path.write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text" in run("solve", "--task", "code", "--tests", str(path), ADD).stderr


def test_the_sandboxes_that_can_be_named_are_those_there_are(part: Callable[[str], Any]) -> None:
    assert ("auto", *WORKER_TIERS) == part("solve_code").SANDBOXES


def test_no_sandbox_exits_with_6_before_a_model_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGESEARCH_ALLOW_UNSANDBOXED", raising=False)
    done = edgesearch("solve", "--task", "code", "--sandbox", "none", "--model", "no-such-model.gguf", ADD)
    assert (done.returncode, done.stdout) == (6, "")
    assert "EDGESEARCH_ALLOW_UNSANDBOXED=1" in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------------------------------------------------- lines


def test_each_line_may_have_its_own_tests_and_function(run: Run, loader: Loader) -> None:
    lines = [
        {"id": 1, "problem": "Add.", "tests": "assert add(1, 2) == 3"},
        {"id": 2, "problem": "Double it.", "entry_point": "double"},
        {"id": 3, "problem": "Say nothing of a function."},
        {"id": 4, "problem": "Add.", "tests": 7},
    ]
    result = run("solve", "--task", "code", "--jsonl", "-", stdin="".join(f"{json.dumps(each)}\n" for each in lines))
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert [problem.code.functions for problem in loader.pipeline.problems if problem.code] == [("add",), ("double",)]
    assert [problem.id for problem in loader.pipeline.problems] == ["1", "2"]
    assert "names no function" in found[2]["error"]["message"]
    assert 'line 4 has no text under "tests"' in found[3]["error"]["message"]
    assert loader.calls[0][1] == "tests"


# ----------------------------------------------------------------------------------------------- the real command


def edgesearch(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.usefixtures("needs_sandbox")
def test_a_model_that_writes_no_programs_ends_in_its_budget_and_is_said_to_be_the_wrong_one(tests_file: str) -> None:
    done = edgesearch("solve", "--task", "code", "--tests", tests_file, "--budget", "1s", "--json", ADD)
    found = json.loads(done.stdout)
    assert done.returncode in (0, 3)
    assert (done.returncode == 0) == (found["answer"] is not None)
    assert "Traceback" not in done.stderr
    assert found["wall_s"] < 30
    assert found["models"]["verifier"] == "tests"
    assert any("cannot write programs" in warning for warning in found["warnings"])


class Handler(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that answers each chat with a fenced program, the first one wrong."""

    texts: tuple[str, ...] = ()
    asked: list[Any]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": "big"}]})

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(payload)
        text = self.texts[min(len(self.asked), len(self.texts)) - 1]
        message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        self._send({"choices": [message], "usage": {"prompt_tokens": 9, "completion_tokens": 20}})

    def _send(self, found: object) -> None:
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def chat_server() -> Iterator[tuple[str, list[Any]]]:
    wrong = "```python\ndef add(a, b):\n    return a - b\n```"
    right = f"Sure! Here it is:\n\n```python\n{PROGRAM}```\n\nIt adds them."
    asked: list[Any] = []
    handler = type("_Handler", (Handler,), {"texts": (wrong, right), "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.usefixtures("needs_sandbox")
def test_through_a_server_the_program_that_passes_is_printed_and_nothing_else(
    chat_server: tuple[str, list[Any]], tests_file: str
) -> None:
    url, asked = chat_server
    done = edgesearch(
        "solve", "--endpoint", url, "--model", "big", "--mode", "chat", "--budget", "30s", "--n", "4", "--no-progress",
        "--task", "code", "--tests", tests_file, ADD,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, PROGRAM), done.stderr
    assert "passes 2 of 2 tests" in done.stderr
    (user,) = {turns[-1]["content"] for each in asked if ADD in json.dumps(turns := each["messages"])}
    assert user.startswith(ADD)
    assert "assert add(1, 2) == 3" in user
    assert "boxed" not in json.dumps(asked)
