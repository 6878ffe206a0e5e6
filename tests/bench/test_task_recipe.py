"""A run of a task is a recipe like any other, and many samples are drawn in chunks."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch import tasks
from edgesearch.bench import recipe
from edgesearch.bench.recipe import EndpointEngine, GgufEngine, SamplesEngine
from edgesearch.bench.task_recipe import Drawn, TaskRun, chunks, is_task, make
from edgesearch.errors import ModelNotFound, UsageError

RECORDED = Drawn(samples="samples.jsonl")
SERVER = Drawn("qwen", endpoint="http://127.0.0.1:1/v1", api_key_env="KEY", mode="chat", concurrency=32)


def test_samples_are_drawn_in_chunks_of_their_own_seeds():
    made = make(TaskRun("humaneval", Drawn(), n=1000, seed=5, temperature=0.7, max_tokens=300))
    cells = recipe.cells(made)
    assert made.name == "humaneval, sample n=1000"
    assert [cell.seed for cell in cells] == list(range(5, 25))
    assert {dataclasses.replace(cell, seed=0).name for cell in cells} == {
        "model sample n=50 m=1 600s temperature=0.7 max_tokens=300 seed=0"
    }
    assert made.engines == (GgufEngine("model", "nano", verifier="none", check=False),)


def test_other_strategies_and_recorded_samples_are_one_cell():
    (wide,) = recipe.cells(make(TaskRun("mbpp", Drawn(), strategy="majority", n=200)))
    (recorded,) = recipe.cells(make(TaskRun("mbpp", RECORDED, n=1000)))
    assert (wide.n, recorded.n) == (200, 1000)


def test_the_text_is_the_recipe_that_the_store_keeps():
    run = TaskRun("humaneval", RECORDED, n=4, data='a "b" \\ \x7f é.jsonl', split="test", limit=3, prompt="plain-1")
    made = make(run)
    assert recipe.parse(made.text, Path("the flags")) == made
    assert made.task.data == Path.cwd() / 'a "b" \\ \x7f é.jsonl'
    assert (made.task.split, made.task.limit, made.task.prompt) == ("test", 3, "plain-1")
    assert made.engines == (SamplesEngine("model", Path.cwd() / "samples.jsonl", "none"),)


def test_a_server_is_used_as_it_is_named():
    (engine,) = make(TaskRun("humaneval", SERVER, n=100)).engines
    assert isinstance(engine, EndpointEngine)
    assert (engine.url, engine.model, engine.api_key_env) == ("http://127.0.0.1:1/v1", "qwen", "KEY")
    assert (engine.mode, engine.concurrency, engine.check) == ("chat", 32, False)


@pytest.mark.parametrize(
    ("task", "strategy", "drawn", "verifier"),
    [
        ("humaneval", "sample", Drawn(), "none"),
        ("humaneval", "best_of_n", Drawn(), "tests"),
        ("mbpp_plus", "best_of_n", RECORDED, "tests"),
        ("humaneval", "best_of_n", SERVER, "tests"),
        ("humaneval", "codet", Drawn(), "agreement"),
        ("arithmetic", "best_of_n", Drawn(), "auto"),
        ("arithmetic", "best_of_n", RECORDED, "recorded"),
        ("arithmetic", "best_of_n", Drawn(verifier="certainty"), "certainty"),
    ],
)
def test_what_scores_is_what_the_strategy_and_the_task_need(task: str, strategy: str, drawn: Drawn, verifier: str):
    assert make(TaskRun(task, drawn, strategy=strategy, n=4)).engines[0].verifier == verifier


def test_every_task_of_programs_is_known_to_be_one(tmp_path: Path):
    row = '{"task_id": "x/1", "prompt": "def f(x):\\n", "entry_point": "f", "test": "assert f(1)", "answer": "2", '
    row += '"id": "p0", "question": "1?", "problem": "1?", "test_list": ["assert f(1)"], "code": "def f(x): ..."}\n'
    path = tmp_path / "rows.jsonl"
    path.write_text(row, encoding="utf-8")
    found = set()
    for name in tasks.names():
        try:
            task = tasks.load(name, data=path)
        except UsageError:
            continue  # rows of another kind
        found |= {name} if task.grader == "python-1" else set()
    assert found == set(tasks.REFERENCES)


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        ({"n": 0}, UsageError, "--n is 0"),
        ({"n": 5000, "drawn": RECORDED}, UsageError, "at most 4,096 a problem"),
        ({"strategy": "beem"}, UsageError, "beem"),
        ({"strategy": "beam", "drawn": RECORDED}, UsageError, "the flags: .* strategy beam has to draw"),
        ({"drawn": Drawn("no-such-model")}, ModelNotFound, "no-such-model"),
    ],
)
def test_what_cannot_be_run_is_told(run: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        make(TaskRun(**{"task": "humaneval", "drawn": Drawn(), **run}))


def test_samples_come_from_one_place():
    with pytest.raises(UsageError, match="give one of them"):
        Drawn(samples="a.jsonl", endpoint="http://127.0.0.1:1/v1")


@pytest.mark.parametrize(
    ("n", "width", "found"),
    [
        (1, 64, (1, 1)), (10, 64, (10, 1)), (64, 64, (64, 1)), (100, 64, (50, 2)), (128, 64, (64, 2)),
        (1000, 64, (50, 20)), (1000, 16, (10, 100)), (997, 64, (63, 16)),
    ],
)  # fmt: skip
def test_chunks_are_even_parts_where_there_are_any(n: int, width: int, found: tuple[int, int]):
    assert chunks(n, width) == found


@given(st.integers(1, 20_000), st.integers(1, 64))
def test_chunks_hold_all_samples_and_few_more(n: int, width: int):
    size, num = chunks(n, width)
    assert 1 <= size <= width
    assert n <= size * num < n + num


def test_a_file_of_a_tasks_name_is_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert is_task("mbpp")
    assert not is_task("mbpp.toml")
    assert not is_task("no-such-task")
    (tmp_path / "mbpp").touch()
    assert not is_task("mbpp")
