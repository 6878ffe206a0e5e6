"""`edgesearch verifier label`: labels in a file, what a kill or Ctrl-C leaves of it, and what bad input comes to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from interruptible import hear_interrupts

Run = Callable[..., Result]
COMMAND = shutil.which("edgesearch", path=str(Path(sys.executable).parent)) or "edgesearch"
WANTED = ("--task", "arithmetic", "--problems", "12", "--samples", "4", "--rollouts", "4", "--threads", "1")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "labels.jsonl"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a run in one go."""
    path = tmp_path_factory.mktemp("whole") / "labels.jsonl"
    done = subprocess.run([COMMAND, "verifier", "label", *WANTED, "--out", str(path)], capture_output=True, check=True)
    assert b"48 solutions of 12 problems" in done.stdout
    return path.read_bytes()


def test_the_group_lists_it(run: Run) -> None:
    assert "Label steps by rollouts" in run("verifier", "--help").output


def test_labels_of_a_file_of_ones_own_are_written_and_summed_up(run: Run, out: Path, tmp_path: Path) -> None:
    data = tmp_path / "problems.jsonl"
    problem = "Ana has 12 cards. After that Finn gives 7 cards to Ana. How many cards does Ana have at the end?"
    data.write_text(json.dumps({"id": "one", "problem": problem, "answer": 19}) + "\n", encoding="utf-8")
    done = run(
        "verifier", "label", "--data", str(data), "--samples", "2", "--rollouts", "2", "--out", str(out), "--json"
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["schema_version"] == 1
    assert (found["is_complete"], found["is_interrupted"]) == (True, False)
    assert (found["num_problems"], found["num_labelled"], found["num_solutions"]) == (1, 1, 2)
    assert {line["task_id"] for line in lines(out)} == {"one"}
    assert lines(out)[0]["problem"].startswith(problem)


def test_a_problem_that_does_not_fit_is_warned_of_and_left_out(run: Run, out: Path, tmp_path: Path) -> None:
    data = tmp_path / "problems.jsonl"
    data.write_text(json.dumps({"id": "long", "problem": "word " * 900, "answer": 7}) + "\n", encoding="utf-8")
    done = run("verifier", "label", "--data", str(data), "--out", str(out))
    assert done.exit_code == 0
    assert "problem long is left out: the problem needs" in done.stderr
    assert "nothing new" in done.stdout
    assert out.read_bytes() == b""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_run_that_is_killed_goes_on_and_makes_the_same_file(whole: bytes, out: Path) -> None:
    wanted = [COMMAND, "verifier", "label", *WANTED, "--out", str(out), "--no-progress"]
    with subprocess.Popen(wanted, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: out.exists() and out.stat().st_size > 0, process)
        process.kill()
    assert whole.startswith(out.read_bytes())
    done = subprocess.run([*wanted, "--json"], capture_output=True, check=True)
    assert out.read_bytes() == whole
    found = json.loads(done.stdout)
    assert found["is_complete"]
    assert found["num_resumed"] + found["num_labelled"] == 12


@pytest.mark.skipif(os.name != "posix", reason="needs SIGINT")
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(out: Path) -> None:
    wanted = [COMMAND, "verifier", "label", "--task", "arithmetic", "--problems", "150", "--out", str(out), "--json"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": hear_interrupts}
    with subprocess.Popen(wanted, **streams) as process:  # type: ignore[call-overload]
        wait_for(lambda: out.exists() and out.stat().st_size > 0, process)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    found = json.loads(stdout)
    assert found["is_interrupted"]
    assert not found["is_complete"]
    assert f"{found['num_labelled']:,} of 150 problems are kept. Run it again to go on." in stderr.decode()
    assert len(lines(out)) == 8 * found["num_labelled"]


def wait_for(is_there: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Until it is so; fails if the process ends before, or it takes a minute."""
    for _ in range(6000):
        if is_there():
            return
        assert process.poll() is None, "the command ended"
        time.sleep(0.01)
    raise AssertionError("it took too long")


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "exit_code", "message"),
    [
        ((), 2, "name the problems: --task NAME, or --data FILE"),
        (("--task", "arith"), 2, "unknown task 'arith'; did you mean arithmetic?"),
        (("--task", "arithmetic", "--split", "train"), 2, "has no split 'train'. Known: mixed"),
        (("--data", "/no/such/file.jsonl"), 2, "is not a file; check the path given with --data"),
        (("--task", "arithmetic", "--model", "nope"), 4, "no solver is named 'nope'"),
        (("--task", "arithmetic", "--model", "/no/such/file.gguf"), 4, "/no/such/file.gguf"),
        (("--task", "arithmetic", "--n", "4"), 2, "n must be at least the number of samples, 8, not 4"),
        (("--task", "arithmetic", "--samples", "0"), 2, "0 is not in the range"),
        (("--task", "arithmetic", "--rollouts", "5000"), 2, "5000 is not in the range"),
        (("--task", "arithmetic", "--problems", "0"), 2, "0 is not in the range"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    run: Run, out: Path, flags: tuple[str, ...], exit_code: int, message: str
) -> None:
    done = run("verifier", "label", "--problems", "2", *flags, "--out", str(out))
    assert done.exit_code == exit_code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_without_a_file_to_write_to_the_usage_is_shown(run: Run) -> None:
    done = run("verifier", "label", "--task", "arithmetic")
    assert done.exit_code == 2
    assert "Missing option '--out'" in done.stderr


def test_a_file_of_other_settings_is_left_as_it_is(run: Run, whole: bytes, out: Path) -> None:
    out.write_bytes(whole)
    done = run("verifier", "label", *WANTED, "--seed", "1", "--out", str(out))
    assert done.exit_code == 2
    assert "holds labels made with another model, task or settings (line 1)" in done.stderr
    assert out.read_bytes() == whole


def test_another_programs_file_is_left_as_it_is(run: Run, out: Path) -> None:
    out.write_text("my notes\n", encoding="utf-8")
    done = run("verifier", "label", *WANTED, "--out", str(out))
    assert done.exit_code == 2
    assert "line 1 of" in done.stderr
    assert out.read_text(encoding="utf-8") == "my notes\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs file size limits")
def test_a_full_disk_is_told_and_what_was_there_is_whole(whole: bytes, out: Path) -> None:
    limit = whole.index(b"\n", len(whole) // 2) - 20

    def small_disk() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    wanted = [COMMAND, "verifier", "label", *WANTED, "--out", str(out)]
    done = subprocess.run(wanted, capture_output=True, preexec_fn=small_disk, check=False)
    assert done.returncode == 1
    assert b"cannot be read or written" in done.stderr
    assert b"run the same command again" in done.stderr
    assert subprocess.run(wanted, capture_output=True, check=False).returncode == 0
    assert out.read_bytes() == whole


def test_a_negative_seed_is_a_seed(run: Run, out: Path) -> None:
    done = run(
        *("verifier", "label", "--task", "arithmetic", "--problems", "1", "--samples", "1", "--rollouts", "1"),
        *("--seed", "-1", "--out", str(out)),
    )
    assert done.exit_code == 0, done.stderr
    assert lines(out)[0]["seed"] == -1
