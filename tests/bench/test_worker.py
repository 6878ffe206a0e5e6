"""The worker loads what it is told to, answers unit after unit, and never outlives its supervisor."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgesearch.bench import energy, worker
from edgesearch.bench.energy import Counters
from edgesearch.bench.messages import Load, Message, Solved, asked_of, failure, raised, solve_request, ungraded
from edgesearch.bench.process import Worker
from edgesearch.bench.recipe import Cell, EndpointEngine, GgufEngine
from edgesearch.bench.worker import MeasuredPipeline, SharedUnits, serve
from edgesearch.catalog import SolverSpec
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.errors import EdgesearchError, EndpointError, ModelNotFound, UsageError
from edgesearch.pipeline import Pipeline
from edgesearch.types import Beam, Candidate, CodeSpec, Problem, Prompt, Step

ENGINE = GgufEngine("small", "nano", "none", threads=1)
LOAD = Load(ENGINE, 4, None)
CELL = Cell("small", "majority", 4, 1, 10.0)
TEXTS = ("2+2=4\n\nThe answer is 4.", "The answer is 4.", "The answer is 5.", "no idea")


def scripted_pipeline() -> Pipeline:
    engine = ScriptedEngine(lambda beam, seed: TEXTS[seed % len(TEXTS)])
    spec = SolverSpec("scripted", Path("scripted.gguf"), max_tokens=50)
    return Pipeline(spec, engine, None, "consensus", load_s=0.5)


@pytest.fixture
def pipeline() -> MeasuredPipeline:
    return MeasuredPipeline(scripted_pipeline(), Counters([]))


def ask(pipeline: Any, *requests: Message) -> list[Message]:
    replies: list[Message] = []
    lines = [{"id": number, **request} for number, request in enumerate(requests, 1)]
    assert serve(lines, replies.append, lambda wanted: pipeline) == 0
    return replies


def request(text: str = "What is 2 + 2?") -> Message:
    return {"solve": solve_request(CELL, Problem(text, "p0"))}


# -- what is said ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [ENGINE, EndpointEngine("big", "http://127.0.0.1:8000/v1", "llama", concurrency=4)])
def test_a_request_to_load_survives_the_line(engine: Any):
    wanted = Load(engine, 16, 200)
    assert Load.from_json(json.loads(json.dumps(wanted.as_json()))) == wanted


def test_a_request_to_solve_holds_the_options_of_the_cell_and_no_target():
    assert request()["solve"] == {
        "problem": "What is 2 + 2?", "sample_id": "p0", "strategy": "majority", "n": 4, "m": 1, "budget_s": 10.0,
        "temperature": None, "max_tokens": None, "aggregator": None, "seed": 0,
    }  # fmt: skip


def test_what_was_solved_survives_the_line(pipeline: MeasuredPipeline):
    solved = pipeline.solve(request()["solve"])
    assert solved.candidates
    assert Solved.from_json(json.loads(json.dumps(solved.as_json()))) == solved


@pytest.mark.parametrize("found", [{}, {"answer": "4"}, {"usage": 3}])
def test_nonsense_is_no_solution(found: Message):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Solved.from_json(found)


def test_an_error_keeps_its_class_and_so_its_exit_code():
    error = raised(failure(ModelNotFound("no such model")))
    assert (type(error), str(error)) == (ModelNotFound, "no such model")


def test_an_error_of_a_finer_class_is_told_by_the_one_that_is_public():
    class Refused(EndpointError):
        pass

    assert type(raised(failure(Refused("no")))) is EndpointError


@pytest.mark.parametrize("kind", ["RuntimeError", "annotations", "", None, "__doc__"])
def test_an_error_of_another_class_is_of_the_base_class(kind: Any):
    assert type(raised({"error": "oh", "kind": kind})) is EdgesearchError


# -- answers -----------------------------------------------------------------------------------------------------------


def test_every_candidate_is_told_with_its_text_class_finish_and_time(pipeline: MeasuredPipeline):
    solved = pipeline.solve(request()["solve"])
    assert len(solved.candidates) == 4
    assert {each.text for each in solved.candidates} <= set(TEXTS)
    assert all(each.answer_class == each.answer and not each.is_right for each in solved.candidates)
    assert all(each.finish == "stop" for each in solved.candidates)
    assert all(solved.started_s <= (each.ended_s or 0) <= solved.ended_s for each in solved.candidates)
    ends = [each.ended_s or 0 for each in solved.candidates]
    assert ends == sorted(ends)  # they come in the order in which they were finished


def test_the_chosen_candidate_is_the_one_whose_answer_is_given(pipeline: MeasuredPipeline):
    solved = pipeline.solve(request()["solve"])
    assert solved.chosen is not None
    assert solved.candidates[solved.chosen].answer == solved.answer


def test_loading_is_answered_first_and_then_unit_after_unit(pipeline: MeasuredPipeline):
    replies = ask(pipeline, {"load": LOAD.as_json()}, request(), request())
    assert [reply["id"] for reply in replies] == [1, 2, 3]
    assert replies[0] == {"id": 1, "load_s": 0.5}
    assert Solved.from_json(replies[1]["solved"]).answer in ("4", "5")


def test_units_that_share_an_engine_give_what_they_give_alone_and_say_that_they_share(pipeline: MeasuredPipeline):
    texts = [f"What is 2 + {number}?" for number in range(5)]
    alone = ask(pipeline, {"load": LOAD.as_json()}, *map(request, texts))
    shared = ask(SharedUnits(scripted_pipeline(), 5), {"load": LOAD.as_json()}, *map(request, texts))
    assert shared[0] == alone[0]
    for one, other in zip(alone[1:], sorted(shared[1:], key=lambda reply: int(reply["id"])), strict=True):
        assert one["id"] == other["id"]
        found, same = Solved.from_json(one["solved"]), Solved.from_json(other["solved"])
        assert (same.answer, [each.text for each in same.candidates]) == (
            found.answer,
            [each.text for each in found.candidates],
        )
        assert same.joules is None
        assert same.warnings[-1].startswith("up to 5 problems shared the engine, so its seconds")


def test_a_unit_that_cannot_be_solved_is_an_error_of_its_own_also_among_others():
    bad = {"solve": {**request()["solve"], "m": 0}}
    replies = ask(
        SharedUnits(scripted_pipeline(), 4),
        {"load": LOAD.as_json()},
        request(),
        request("word " * 5000),
        bad,
        request(),
    )
    kinds = {reply["id"]: reply.get("kind", "solved") for reply in replies[1:]}
    assert kinds == {2: "solved", 3: "ContextOverflow", 4: "UsageError", 5: "solved"}


def test_a_unit_that_cannot_be_solved_is_an_error_and_the_next_is_solved(pipeline: MeasuredPipeline):
    replies = ask(pipeline, {"load": LOAD.as_json()}, request("word " * 5000), request())
    assert replies[1]["kind"] == "ContextOverflow"
    assert "solved" in replies[2]


def test_an_unexpected_error_is_told_with_its_class():
    class Broken:
        load_s = 0.0

        def solve(self, request: Message) -> Solved:
            raise RuntimeError("something broke")

    assert ask(Broken(), {"load": LOAD.as_json()}, request())[1]["error"] == "RuntimeError: something broke"


def test_out_of_memory_ends_the_worker():
    class Full:
        load_s = 0.0

        def solve(self, request: Message) -> Solved:
            raise MemoryError

    with pytest.raises(MemoryError):
        ask(Full(), {"load": LOAD.as_json()}, request())


def test_what_cannot_be_loaded_is_one_reply_and_the_end(capsys: pytest.CaptureFixture[str]):
    def load(wanted: Load) -> Any:
        raise UsageError("the verifier does not fit")

    replies: list[Message] = []
    assert serve([{"id": 1, "load": LOAD.as_json()}, {"id": 2, **request()}], replies.append, load) == 1
    assert replies == [{"id": 1, "error": "the verifier does not fit", "kind": "UsageError"}]
    assert "UsageError" in capsys.readouterr().err  # where the runner finds the last line


def test_an_endpoint_is_connected_to_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []

    def connect(*place: str, **options: Any) -> Pipeline:
        asked.append((place, options))
        return scripted_pipeline()

    monkeypatch.setattr("edgesearch.loading.load_endpoint", connect)
    options = {
        "like": "nano", "verifier": "consensus", "mode": "chat", "template": None, "api_key_env": "KEY",
        "concurrency": 4, "choices_per_request": 2, "timeout_s": 9.0, "check": False,
    }  # fmt: skip
    engine = EndpointEngine("far", "http://127.0.0.1:1/v1", "llama", params=8, **options)
    assert worker.load(Load(engine, 16)).load_s == 0.5
    options |= {"num_params": 8, "max_n": 16, "sandbox": "auto"}
    assert asked == [(("http://127.0.0.1:1/v1", "llama"), options)]


def test_nothing_asked_is_nothing_done():
    assert serve([], lambda reply: None) == 0


# -- times and joules --------------------------------------------------------------------------------------------------


class Meter:
    """Gives its readings one by one."""

    description = "a test"

    def __init__(self, *readings: float | None) -> None:
        self.readings = list(readings)

    def read_joules(self) -> float | None:
        return self.readings.pop(0)


@pytest.mark.parametrize(("readings", "joules"), [((3.0, 5.5), 2.5), ((None, None), None), ((5.5, 3.0), None)])
def test_a_unit_carries_the_joules_between_its_beginning_and_its_end(readings: Any, joules: float | None):
    assert MeasuredPipeline(scripted_pipeline(), Meter(*readings)).solve(request()["solve"]).joules == joules


def test_joules_are_counted_for_models_that_run_here_and_for_no_endpoint(monkeypatch: pytest.MonkeyPatch):
    meter = Meter(1.0, 2.0)
    monkeypatch.setattr("edgesearch.bench.energy.find", lambda: meter)
    for name in ("load", "load_endpoint"):
        monkeypatch.setattr(f"edgesearch.loading.{name}", lambda *place, **options: scripted_pipeline())
    far = worker.load(Load(EndpointEngine("far", "http://127.0.0.1:1/v1", "llama"), 4))
    assert far.solve(request()["solve"]).joules is None
    assert worker.load(LOAD).solve(request()["solve"]).joules == 1.0


def candidate(prompt: Prompt, text: str) -> Candidate:
    return Candidate(Beam(prompt, (Step(text, (1,), -0.5, "stop"),)), None, None, finished_s=0.25)


def test_a_candidate_without_an_answer_has_no_class():
    kept = ungraded(candidate(Prompt("?"), "no idea"), 3.0)
    assert (kept.answer, kept.answer_class, kept.ended_s, kept.num_tokens) == (None, None, 3.25, 1)


# -- the process -------------------------------------------------------------------------------------------------------


def test_the_process_replies_on_its_own_stdout():
    process = Worker(worker.COMMAND)
    try:
        reply = process.ask({"load": Load(GgufEngine("x", "no-such-model"), 4).as_json()}, 120.0)
    finally:
        process.close()
    assert (reply["id"], reply["kind"]) == (1, "ModelNotFound")


def test_a_built_in_model_tells_when_each_candidate_was_drawn_and_joules_where_they_are_counted():
    process = Worker(worker.COMMAND)
    try:
        assert "load_s" in process.ask({"load": LOAD.as_json()}, 120.0)
        reply = process.ask(
            request("Ana has 3 apples. Ana buys 4 more apples. How many apples does Ana have now?"), 60.0
        )
    finally:
        process.close()
    solved = Solved.from_json(reply["solved"])
    ends = [each.ended_s or 0.0 for each in solved.candidates]
    assert len(ends) == 4
    assert solved.started_s < ends[0]
    assert ends == sorted(ends)
    assert ends[-1] < solved.ended_s
    is_counted = energy.find().read_joules() is not None
    assert solved.joules is None or (is_counted and solved.joules >= 0)


def test_the_process_ends_when_its_stdin_does_also_in_the_middle_of_a_solve():
    code = (
        "import sys, time\nfrom edgesearch.bench import worker\n"
        "def load(wanted):\n    print('loading', file=sys.stderr, flush=True)\n    time.sleep(600)\n"
        "worker.main(load)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:  # type: ignore[call-overload]
        process.stdin.write(json.dumps({"id": 1, "load": LOAD.as_json()}).encode() + b"\n")
        process.stdin.flush()
        assert process.stderr.readline() == b"loading\n"
        process.stdin.close()
        assert process.wait(timeout=60) == 0


# -- programs ----------------------------------------------------------------------------------------------------------


def test_a_request_says_what_a_program_must_be_like_and_only_where_one_is_asked_for():
    code = CodeSpec(("f", "g"), "import math\n", ("assert f(1) == 2",))
    problem = Problem("Write f.", "p0", code)
    found, options = asked_of(json.loads(json.dumps(solve_request(CELL, problem))))
    assert found == problem
    plain = Problem("What is 1 + 1?", "p1")
    assert "code" not in solve_request(CELL, plain)
    assert asked_of(solve_request(CELL, plain)) == (plain, options)
    assert {"problem", "sample_id", "code", "engine"}.isdisjoint(options)


def test_the_sandbox_for_verifiers_travels_with_the_engine():
    load = Load(ENGINE, 4, None, "landlock")
    assert Load.from_json(json.loads(json.dumps(load.as_json()))) == load
