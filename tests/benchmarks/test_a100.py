"""The A100 side: recipes, commands and README say the same, and the job script serves, waits, runs and tears down."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from edgesearch.bench import recipe as recipes

FOLDER = Path(__file__).parents[2] / "benchmarks" / "a100"
MODELS = ("llama-3.1-8b", "llama-3.1-70b", "llama-3.1-70b-int8", "qwen2.5-72b", "ducks")
needs_shell = pytest.mark.skipif(
    os.name != "posix" or not shutil.which("bash") or not shutil.which("curl"), reason="needs bash and curl"
)
FAKE_VLLM = """#!/usr/bin/env python3
import http.server, os, sys
open(os.environ["NOTES"] + "/vllm", "w").write(str(os.getpid()))
if os.environ.get("BROKEN"):
    sys.exit("no GPU")
class Handler(http.server.BaseHTTPRequestHandler):
    num_asked = 0
    def do_GET(self):
        Handler.num_asked += 1
        self.send_response(200 if Handler.num_asked > 2 else 503)
        self.end_headers()
    def log_message(self, *args):
        pass
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
FAKE_EDGESEARCH = """#!/usr/bin/env bash
echo "$@" > "$NOTES/edgesearch"
[[ -z "${STAYS:-}" ]] && exit "${CODE:-0}"
trap 'echo ended > "$NOTES/ended"; exit 143' TERM
touch "$NOTES/started"
while true; do sleep 0.05; done
"""


def printed(model: str) -> str:
    command = ["bash", str(FOLDER / "serve.sh"), "--print", model]
    env = {name: value for name, value in os.environ.items() if name != "PORT"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout


# -- what is written ---------------------------------------------------------------------------------------------------


@needs_shell
def test_the_readme_lists_exactly_the_commands_that_the_script_runs():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = [line for line in text.splitlines() if line.startswith("vllm serve") and line.endswith("config vllm")]
    assert listed == [printed(model).strip() for model in MODELS]


@needs_shell
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("task", ["math500", "gsm8k"])
def test_a_recipe_asks_for_the_model_that_is_served_at_its_address(model: str, task: str):
    name = f"ducks-{task}" if model == "ducks" else f"{task}-{model}"
    found = recipes.load(FOLDER / f"{name}.toml")
    (engine,) = found.engines
    assert isinstance(engine, recipes.EndpointEngine)
    assert f"serve {engine.model} " in printed(model)
    assert (found.task.name, engine.url) == (task, "http://127.0.0.1:8000/v1")
    assert engine.template == ("chatml" if "Qwen" in engine.model else "llama-3")
    strategies = {(cell.strategy, cell.n) for cell in recipes.cells(found)}
    assert strategies == (
        {("majority", 100), ("majority", 1000)} if model == "ducks" else {("greedy", 1), ("majority", 64)}
    )


def test_every_recipe_has_a_model_that_can_be_served():
    wanted = {f"{task}-{model}.toml" for task in ("math500", "gsm8k") for model in MODELS[:-1]}
    assert {path.name for path in FOLDER.glob("*.toml")} == wanted | {
        f"ducks-{task}.toml" for task in ("math500", "gsm8k", "humaneval")
    }


def test_a_thousand_programs_of_each_problem_are_drawn_in_parts():
    found = recipes.load(FOLDER / "ducks-humaneval.toml")
    assert {(cell.strategy, cell.n) for cell in recipes.cells(found)} == {("sample", 100)}
    assert len(found.seeds) * 100 == 1000


def num_params(layers: int, width: int, mlp: int, vocab: int, *, has_bias: bool) -> int:
    """Of a network of Llama's kind with 8 key/value heads of 128 and two embeddings."""
    attention = 2 * width**2 + 2 * width * 1024 + has_bias * (width + 2 * 1024)
    return layers * (attention + 3 * width * mlp + 2 * width) + 2 * vocab * width + width


@pytest.mark.parametrize(
    ("file", "params"),
    [  # golden: the shapes in each model's config.json
        ("math500-llama-3.1-8b", num_params(32, 4096, 14336, 128256, has_bias=False)),
        ("ducks-gsm8k", num_params(32, 4096, 14336, 128256, has_bias=False)),
        ("gsm8k-llama-3.1-70b", num_params(80, 8192, 28672, 128256, has_bias=False)),
        ("gsm8k-llama-3.1-70b-int8", num_params(80, 8192, 28672, 128256, has_bias=False)),
        ("math500-qwen2.5-72b", num_params(80, 8192, 29568, 152064, has_bias=True)),
    ],
)
def test_parameters_are_those_of_the_models_shapes(file: str, params: int):
    (engine,) = recipes.load(FOLDER / f"{file}.toml").engines
    assert isinstance(engine, recipes.EndpointEngine)
    assert engine.params == params


@needs_shell
@pytest.mark.parametrize("args", [[], ["llama"], ["--print"]])
def test_an_unknown_model_is_told_the_known_ones(args: list[str]):
    done = subprocess.run(["bash", str(FOLDER / "serve.sh"), *args], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert all(model in done.stderr for model in MODELS)


# -- the job -----------------------------------------------------------------------------------------------------------


class Job:
    """The job script in a folder of its own, with stand-ins for vLLM and edgesearch."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        for name, text in (("vllm", FAKE_VLLM), ("edgesearch", FAKE_EDGESEARCH)):
            path = folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environment = {
            **os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "NOTES": str(folder), "POLL_S": "0.05",
            "PORT": str(self.port), "SLURM_SUBMIT_DIR": str(FOLDER.parents[1]), **environment,
        }  # fmt: skip

    def start(self, *args: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["bash", str(FOLDER / "baseline.sbatch"), *args],
            env=self.environment,
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *args: str) -> tuple[int, str]:
        with self.start(*args) as process:
            _, stderr = process.communicate(timeout=60)
        return process.returncode, stderr

    def note(self, name: str) -> str | None:
        path = self.folder / name
        return path.read_text().strip() if path.exists() else None

    def is_serving(self) -> bool:
        pid = self.note("vllm")
        assert pid is not None
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return False
        return True


@needs_shell
@pytest.mark.parametrize("code", [0, 9])
def test_a_job_waits_for_the_server_runs_the_recipe_and_ends_the_server(tmp_path: Path, code: int):
    job = Job(tmp_path, CODE=str(code))
    assert job.run("qwen2.5-72b", "gsm8k")[0] == code
    wanted = f"bench run {FOLDER}/gsm8k-qwen2.5-72b.toml --out gsm8k-qwen2.5-72b.sqlite --no-progress"
    assert job.note("edgesearch") == wanted
    assert not job.is_serving()


@needs_shell
def test_a_server_that_ends_at_once_ends_the_job_before_anything_is_run(tmp_path: Path):
    job = Job(tmp_path, BROKEN="1")
    code, stderr = job.run("llama-3.1-8b", "math500")
    assert code == 1
    assert "the server ended before it answered" in stderr
    assert job.note("edgesearch") is None


def answer_once(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@needs_shell
def test_a_port_that_is_taken_is_told_before_anything_is_served(tmp_path: Path):
    job = Job(tmp_path)
    with socket.create_server(("127.0.0.1", job.port)) as other:
        answer = threading.Thread(target=answer_once, args=(other,))
        answer.start()
        code, stderr = job.run("llama-3.1-8b", "math500")
        answer.join(60)
    assert code == 1
    assert "another server answers" in stderr
    assert job.note("vllm") is None


@needs_shell
def test_slurms_notice_ends_the_run_and_the_server_cleanly(tmp_path: Path):
    job = Job(tmp_path, STAYS="1")
    with job.start("llama-3.1-8b", "math500") as process:
        while job.note("started") is None:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert job.note("ended") == "ended"
    assert not job.is_serving()


@needs_shell
def test_the_notice_comes_two_minutes_before_the_limit_and_to_the_script_itself():
    text = (FOLDER / "baseline.sbatch").read_text(encoding="utf-8")
    assert re.search(r"^#SBATCH --signal=B:TERM@120$", text, re.MULTILINE)
