"""An endpoint as users reach it: `edgesearch solve` and `edgesearch bench run` over HTTP, with faults in between."""

import importlib.metadata
import json
import threading

import pytest
from click.testing import CliRunner

from edgesearch.bench.store import Store

from .openai_server import Kind, cut_off_in_the_body, serving, status

PROBLEMS = ("Question one?", "Question two?", "Question three?", "Question four?", "Question five?")
RECIPE = """
name = "over HTTP"

[task]
name = "jsonl"
data = "problems.jsonl"
prompt = "plain-1"

[[engines]]
id = "far"
kind = "endpoint"
url = "{url}"
model = "model"
params = 1000
{keys}

[[grid]]
engines = "far"
strategy = "{strategy}"
n = {n}
budget_s = {budget_s}
"""


def run(*args):
    """The command, as its console script starts it."""
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="edgesearch")
    return CliRunner().invoke(entry.load(), [str(arg) for arg in args])


def solve(server, *args):
    """`solve` of a problem in words that the server's faults can be about."""
    return run("solve", "Question one?", "--endpoint", server.url, "--model", "model", "--no-progress", *args)


class Bench:
    """A recipe in a folder, over a server, on five problems whose greedy answer is 0."""

    def __init__(self, folder, server, *, keys="", strategy="greedy", n=1, budget_s=60.0):
        rows = [{"id": f"p{number}", "problem": text, "answer": "0"} for number, text in enumerate(PROBLEMS)]
        (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.recipe, self.store = folder / "recipe.toml", folder / "run.sqlite"
        text = RECIPE.format(url=server.url, keys=keys, strategy=strategy, n=n, budget_s=budget_s)
        self.recipe.write_text(text)

    def run(self):
        return run("bench", "run", self.recipe, "--out", self.store, "--no-progress", "--json")

    def outcomes(self):
        with Store.read(self.store) as store:
            return list(store.outcomes())


def held(handler):
    """A fault: no answer within the second that a request has."""
    handler.server.patience.wait(20)
    handler.hang_up()


# -- bench run ---------------------------------------------------------------------------------------------------------


def test_faults_that_pass_cost_a_run_one_more_request_each_and_no_outcome(tmp_path):
    faults = [status(429), status(500), held, cut_off_in_the_body, lambda handler: handler.hang_up()]
    with serving() as server:
        server.patience = threading.Event()
        server.faults_of = {text: [fault] for text, fault in zip(PROBLEMS, faults, strict=True)}
        result = Bench(tmp_path, server, keys="timeout_s = 1.0\nconcurrency = 1").run()
        server.patience.set()
        assert result.exit_code == 0
        found = json.loads(result.stdout)
        assert (found["is_complete"], found["num_lost_workers"]) == (True, 0)
        assert found["counts"] == {"correct": 5, "wrong": 0, "unanswered": 0, "error": 0}
        assert [len(server.posts_of(text)) for text in PROBLEMS] == [2] * 5


def test_an_endpoint_that_refuses_ends_the_run_and_the_same_command_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv("ENDPOINT_KEY", "sk-secret-1")
    with serving() as server:
        server.faults_of = {"Question three?": [status(401, message="bad key sk-secret-1")]}
        bench = Bench(tmp_path, server, keys='api_key_env = "ENDPOINT_KEY"\nconcurrency = 1')
        first = bench.run()
        assert first.exit_code == 9
        assert "refused with status 401" in first.stderr
        assert "--api-key-env" in first.stderr
        assert "secret" not in first.output
        assert [outcome.sample_id for outcome in bench.outcomes()] == ["p0", "p1"]
        second = bench.run()
        assert second.exit_code == 0
        found = json.loads(second.stdout)
        assert (found["num_resumed"], found["num_run"], found["counts"]["correct"]) == (2, 3, 5)
        assert [len(server.posts_of(text)) for text in PROBLEMS] == [1, 1, 2, 1, 1]
        assert "secret" not in second.output
        assert b"secret" not in bench.store.read_bytes()


def test_an_endpoint_that_is_not_there_ends_the_run_before_anything_is_recorded(tmp_path):
    with serving() as server:
        bench = Bench(tmp_path, server)
    result = bench.run()
    assert result.exit_code == 9
    assert "look whether the server runs" in result.stderr
    assert bench.outcomes() == []


def test_a_server_that_asks_for_more_patience_than_there_is_leaves_the_problem_unanswered(tmp_path):
    with serving() as server:
        server.faults_of = {text: [status(429, {"Retry-After": "3600"})] for text in PROBLEMS}
        bench = Bench(tmp_path, server, budget_s=0.5)
        assert json.loads(bench.run().stdout)["counts"]["unanswered"] == 5
        for outcome in bench.outcomes():
            assert (outcome.status, outcome.finish) == ("unanswered", "deadline")
            assert any("no time left to ask again" in warning for warning in outcome.warnings)


def test_fewer_choices_than_asked_are_made_up_for_and_told(tmp_path):
    with serving(Kind(max_choices=3)) as server:
        bench = Bench(tmp_path, server, keys="choices_per_request = 8", strategy="majority", n=8)
        result = bench.run()
        assert json.loads(result.stdout)["counts"]["error"] == 0
        first, *others = bench.outcomes()
        assert any("3 of 8 choices" in warning for warning in first.warnings)
        assert {len(outcome.candidates) for outcome in (first, *others)} == {8}
        assert {outcome.usage.decoded_tokens for outcome in (first, *others)} == {8 * 16}


def test_a_server_that_gives_no_choice_at_all_ends_the_run(tmp_path):
    with serving() as server:
        server.faults_of = {"Question two?": [lambda handler: handler.send(200, {"choices": []})] * 3}
        bench = Bench(tmp_path, server, keys="concurrency = 1")
        result = bench.run()
        assert result.exit_code == 9
        assert "3 times without a single choice" in result.stderr
        assert [outcome.sample_id for outcome in bench.outcomes()] == ["p0"]


@pytest.mark.parametrize("has_logprobs", [True, False])
def test_answers_without_usage_are_counted_from_their_tokens_or_said_to_be_uncounted(tmp_path, has_logprobs):
    with serving(Kind(has_usage=False, has_logprobs=has_logprobs)) as server:
        bench = Bench(tmp_path, server)
        assert json.loads(bench.run().stdout)["counts"]["correct"] == 5
        for outcome in bench.outcomes():
            assert any("does not count tokens" in warning for warning in outcome.warnings)
            assert outcome.usage.decoded_tokens == (16 if has_logprobs else 0)
            assert outcome.candidates[0].num_tokens == (16 if has_logprobs else 0)


def test_flops_of_a_run_over_an_endpoint_are_those_of_the_params_in_the_recipe(tmp_path):
    with serving() as server:
        bench = Bench(tmp_path, server)
        bench.run()
        for outcome in bench.outcomes():
            usage = outcome.usage
            assert usage.solver_flops == 2000 * (usage.prefilled_tokens + usage.decoded_tokens) > 0


def test_whole_solutions_come_through_the_chat_api(tmp_path):
    with serving() as server:
        bench = Bench(tmp_path, server, keys='mode = "chat"', strategy="majority", n=4)
        assert json.loads(bench.run().stdout)["counts"]["error"] == 0
        assert {path for path, _, payload in server.requests if payload} == {"/v1/chat/completions"}


# -- solve -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [status(429), status(500), cut_off_in_the_body, lambda handler: handler.hang_up()],
    ids=["429", "500", "dropped in the body", "dropped before it"],
)
def test_a_fault_that_passes_is_not_seen_in_the_answer(fault):
    with serving() as server:
        server.faults_of = {"Question one?": [fault]}
        result = solve(server, "--strategy", "greedy")
        assert (result.exit_code, result.stdout) == (0, "0\n")
        assert len(server.posts_of("Question one?")) == 2


def test_a_server_that_stays_broken_until_the_deadline_is_no_answer_and_says_why():
    with serving() as server:
        server.faults_of = {"Question one?": [status(503, {"Retry-After": "60"})]}
        result = solve(server, "--strategy", "greedy", "--budget", "500ms")
        assert result.exit_code == 3
        assert "Warning: the endpoint failed or was busy" in result.stderr
        assert "no answer within 500 ms" in result.stderr


def test_an_endpoint_that_refuses_exits_with_9_and_never_prints_the_key(monkeypatch):
    monkeypatch.setenv("ENDPOINT_KEY", "sk-secret-1")
    with serving() as server:
        server.faults_of = {"Question one?": [status(401, message="bad key sk-secret-1")]}
        result = solve(server, "--strategy", "greedy", "--api-key-env", "ENDPOINT_KEY", "--json", "-v")
        assert result.exit_code == 9
        assert "status 401 (bad key ***)" in result.stderr
        assert json.loads(result.stdout)["error"]["exit_code"] == 9
        assert "secret" not in result.output
        assert server.requests[-1][1]["Authorization"] == "Bearer sk-secret-1"


def test_an_endpoint_that_is_not_there_exits_with_9():
    with serving() as server:
        pass
    result = solve(server)
    assert result.exit_code == 9
    assert "look whether the server runs" in result.stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--endpoint", "http://me:s3cret@127.0.0.1:9/v1"], 2, "must not hold credentials"),
        (["--endpoint", "ftp://127.0.0.1/v1"], 2, "begins with http"),
        (["--endpoint", "http://127.0.0.1:9", "--api-key-env", "sk-s3cret"], 2, "not the key"),
        (["--endpoint", "http://127.0.0.1:9", "--api-key-env", "NOT_SET_HERE"], 9, "NOT_SET_HERE is not set"),
        (["--endpoint", "http://127.0.0.1:9", "--verifier", "nano-prm"], 2, "--like"),
        (["--endpoint", "http://127.0.0.1:9", "--like", "no-such"], 4, "no-such"),
        (["--endpoint", "http://127.0.0.1:9", "--template", "no-such"], 2, "neither a name"),
        (["--endpoint", "http://127.0.0.1:9", "--template", "chatml", "--mode", "chat"], 2, "no effect in mode chat"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_sent_and_secrets_are_not_repeated(args, code, message):
    result = run("solve", "hi", "--model", "model", *args)
    assert result.exit_code == code
    assert message in result.stderr
    assert "s3cret" not in result.output


def test_a_strategy_of_steps_through_the_chat_api_says_what_does():
    with serving() as server:
        result = solve(server, "--mode", "chat", "--like", "nano", "--strategy", "beam", "--no-check")
        assert result.exit_code == 2
        assert "majority or best_of_n, or mode completions" in result.stderr


def test_every_line_of_a_jsonl_run_over_an_endpoint_is_answered_or_an_error_of_its_own(tmp_path):
    lines = tmp_path / "problems.jsonl"
    lines.write_text("".join(json.dumps({"id": text, "problem": text}) + "\n" for text in PROBLEMS[:3]))
    with serving() as server:
        server.faults_of = {"Question two?": [status(401)]}
        flags = ("--model", "model", "--strategy", "greedy", "--no-progress")
        result = run("solve", "--jsonl", lines, "--endpoint", server.url, *flags)
        assert result.exit_code == 1
        first, second, third = (json.loads(line) for line in result.stdout.splitlines())
        assert (first["answer"], third["answer"]) == ("0", "0")
        assert second["error"]["exit_code"] == 9


# -- a real server -----------------------------------------------------------------------------------------------------

REAL = """
name = "every strategy over llama-cpp-python's own server, and the same model here"

[task]
name = "arithmetic"
limit = 3

[[engines]]
id = "there"
kind = "endpoint"
url = "{url}"
model = "nano-large"
like = "nano-large"
verifier = "nano-prm"
check = false

[[engines]]
id = "here"
kind = "gguf"
solver = "nano-large"
check = false

[[grid]]
engines = ["there", "here"]
strategy = "greedy"
budget_s = 60.0

[[grid]]
engines = "there"
strategy = ["majority", "best_of_n", "weighted", "beam"]
n = 4
m = 2
budget_s = 60.0
"""


@pytest.mark.filterwarnings("ignore")  # of the server's packages
def test_every_strategy_runs_over_a_real_server_and_greedy_is_what_it_is_here(real_url, tmp_path):
    recipe, store = tmp_path / "recipe.toml", tmp_path / "run.sqlite"
    recipe.write_text(REAL.format(url=real_url))
    result = run("bench", "run", recipe, "--out", store, "--no-progress", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["num_units"], found["counts"]["error"], found["counts"]["unanswered"]) == (18, 0, 0)
    with Store.read(store) as opened:
        outcomes = list(opened.outcomes())
    greedy = [outcome for outcome in outcomes if outcome.strategy.name == "greedy"]
    there, here = ([o for o in greedy if o.models.solver_device == device] for device in ("endpoint", "cpu"))
    assert [outcome.candidates[0].text for outcome in there] == [outcome.candidates[0].text for outcome in here]
    counts = [[outcome.usage.decoded_tokens for outcome in side] for side in (there, here)]
    assert [count + 1 for count in counts[0]] == counts[1]  # this server does not count the end of turn
    scored = [outcome for outcome in outcomes if outcome.strategy.name in ("best_of_n", "weighted", "beam")]
    assert len(scored) == 3 * 3
    assert all(outcome.usage.verified_tokens > 0 and outcome.candidates[0].step_scores for outcome in scored)
    assert all(outcome.usage.solver_flops > 0 for outcome in outcomes)


@pytest.mark.filterwarnings("ignore")
def test_solve_searches_over_a_real_server_with_the_verifier_of_the_model_that_it_is_like(real_url):
    problem = "Ana has 3 apples. Ana buys 4 more apples. How many apples does Ana have now?"
    flags = ("--model", "nano", "--like", "nano", "--strategy", "beam", "--n", "4", "--no-check", "--budget", "60s")
    result = run("solve", problem, "--endpoint", real_url, *flags, "--json", "--no-progress")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["answer"] == "7"
    assert found["models"]["solver_device"] == "endpoint"
    assert found["models"]["verifier"] == "nano-prm"
    assert found["steps"][0]["score"] is not None
