"""The installed `edgesearch` command on the real built-in models, as a person or a program would run it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from interruptible import hear_interrupts

PROBLEM = "Ana has 12 apples. Ben has twice as many as Ana. How many apples do Ana and Ben have together?"
COMMAND = shutil.which("edgesearch", path=str(Path(sys.executable).parent)) or "edgesearch"


def edgesearch(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, timeout=120, check=False, **{"text": True, **options}
    )


def test_solve_prints_the_right_answer_and_nothing_else_on_stdout():
    done = edgesearch("solve", "--budget", "10s", PROBLEM)
    assert (done.returncode, done.stdout) == (0, "36\n")


def test_solve_json_is_one_object_with_the_documented_keys():
    done = edgesearch("solve", "--json", "--budget", "10s", "--n", "16", PROBLEM)
    found = json.loads(done.stdout)
    assert found["answer"] == "36"
    assert found["schema_version"] == 1
    own = {"temperature": 0.2, "deduplicate": False}
    n = found["strategy"].pop("n")
    assert found["strategy"] == {"name": "rebase", "m": 1, "aggregator": "last", "options": own}
    assert n == found["plan"]["waves"][0]["strategy"]["n"] <= 16
    assert found["plan"]["least_s"] > 0
    assert (found["models"]["solver"], found["models"]["verifier"]) == ("nano", "nano-prm")
    assert found["models"]["verifier_device"] in ("cpu", "cuda")
    keys = {
        "answer",
        "text",
        "finish",
        "confidence",
        "is_calibrated",
        "agreement",
        "plan",
        "early_stop",
        "budget_s",
        "wall_s",
        "load_s",
        "usage",
        "warnings",
    }
    assert keys <= set(found)
    usage = {"prompt_tokens", "prefilled_tokens", "reused_tokens", "decoded_tokens", "verified_tokens"}
    usage |= {"decode_passes", "verifier_calls"}
    assert usage | {"solver_flops", "verifier_flops", "peak_bytes"} <= set(found["usage"])
    assert found["usage"]["peak_bytes"] < 400e6


def test_explain_tells_the_plan_in_a_line_on_stderr():
    done = edgesearch("solve", "--budget", "1s", "--explain", "-q", "--no-check", "--confidence", "1", PROBLEM)
    assert (done.returncode, done.stdout) == (0, "36\n")
    [line] = done.stderr.splitlines()
    assert line.startswith("plan: ")
    assert "one solution should take" in line


def test_solve_reads_standard_input_and_files(tmp_path: Path):
    file = tmp_path / "problem.txt"
    file.write_text(PROBLEM, encoding="utf-8")
    assert edgesearch("solve", f"@{file}").stdout == "36\n"
    assert edgesearch("solve", "-", input=PROBLEM).stdout == "36\n"


def test_solve_jsonl_solves_one_problem_a_line_in_one_process(tmp_path: Path):
    file = tmp_path / "problems.jsonl"
    lines = [{"id": str(number), "problem": PROBLEM.replace("12", str(number))} for number in (4, 5)]
    file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    done = edgesearch("solve", "--jsonl", str(file), "--budget", "10s")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["id"], line["answer"]) for line in found] == [("4", "12"), ("5", "15")]


def test_a_foreign_text_gets_a_plain_warning_that_names_model():
    done = edgesearch("solve", "Prove that there are infinitely many primes.")
    assert "--model" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["solve", ""], 2),
        (["solve", "--budget", "0", PROBLEM], 2),
        (["solve", "--budget", "-1", PROBLEM], 2),
        (["solve", "--budget", "abc", PROBLEM], 2),
        (["solve", "--n", "0", PROBLEM], 2),
        (["solve", "--n", "10000", PROBLEM], 2),
        (["solve", "--strategy", "beem", PROBLEM], 2),
        (["solve", "--model", "nanoo", PROBLEM], 4),
        (["solve", "--model", "no/such/model.gguf", PROBLEM], 4),
        (["solve", "--verifier", "no-such.onnx", PROBLEM], 4),
        (["solve", "--model", __file__, PROBLEM], 2),
        (["solve", PROBLEM * 60], 7),
    ],
)
def test_bad_input_is_one_sentence_and_its_exit_code(arguments, code):
    done = edgesearch(*arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("option", "name"), [("--model", "bad.gguf"), ("--verifier", "bad.onnx")])
@pytest.mark.parametrize("content", [b"", b"GGUF", b"\x08\x07 not a model " * 50], ids=["empty", "stub", "noise"])
def test_a_file_that_is_no_model_is_one_sentence_and_exit_code_5(tmp_path: Path, option, name, content):
    (tmp_path / name).write_bytes(content)
    done = edgesearch("solve", option, str(tmp_path / name), PROBLEM)
    assert done.returncode == 5
    assert "Traceback" not in done.stderr


def test_a_budget_too_small_for_any_answer_exits_with_3_and_still_prints_json():
    done = edgesearch("solve", "--json", "--budget", "1ms", PROBLEM)
    assert done.returncode == 3
    assert json.loads(done.stdout)["answer"] is None


def test_a_home_that_cannot_be_written_is_no_obstacle(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    environment = {**os.environ, "HOME": str(blocked), "XDG_CACHE_HOME": str(blocked)}
    assert edgesearch("solve", PROBLEM, env=environment).stdout == "36\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
def test_ctrl_c_ends_a_search_with_the_best_so_far_and_130(tmp_path: Path):
    file = tmp_path / "problems.jsonl"
    file.write_text("\n".join(json.dumps({"id": str(n), "problem": PROBLEM}) for n in range(2000)), encoding="utf-8")
    command = [COMMAND, "solve", "--jsonl", str(file), "--n", "64"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": hear_interrupts}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert all("answer" in json.loads(line) for line in [first, *rest.splitlines()])
    assert "Traceback" not in errors
