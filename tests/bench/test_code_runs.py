"""Runs whose answers are programs, in the real sandbox: recorded programs of every kind, and tests at fault."""

import dataclasses
from functools import partial
from pathlib import Path

import pytest
from bench_runs import outcomes, run, write_recipe
from code_runs import BROKEN, DOUBLE, NEGATE, ROWS, TASK, FakePool, write_code_task, write_programs

from edgesearch.bench.events import EngineLoading, UnitDone
from edgesearch.bench.records import Outcome
from edgesearch.bench.store import Store
from edgesearch.errors import SandboxUnavailable
from edgesearch.sandbox.pool import TrialPool
from edgesearch.sandbox.trial import LIMITS

QUICK = partial(TrialPool, limits=dataclasses.replace(LIMITS, cpu_s=1.0))
PROGRAMS = {
    "right": "    return 2 * x\n",
    "the same, written otherwise": "    return 2*x  # twice\n",
    "right, in a chat": "Sure!\n```python\ndef double(x):\n    return x + x\n```\nThat is it.",
    "wrong": "    return x\n",
    "wrong for some": "    return 2 * x if x < 4 else 0\n",
    "loops": "    while True:\n        pass\n",
    "dies": "    import os\n    os._exit(0)\n",
    "raises": "    raise SystemExit(0)\n",
    "another name": "```python\ndef twice(x):\n    return 2 * x\n```",
    "NUL": "    return 2 * x\0\n",
    "half a surrogate pair": "    return 2 * x  # \ud800\n",
    "huge": "    return 2 * x\n" + "#" * 10_000_000,
    "nothing": "",
    "equal to everything": "    class E(int):\n        __eq__ = lambda *a: True\n    return E()\n",
}
RIGHT = {"right", "the same, written otherwise", "right, in a chat"}
ENGINE = '[[engines]]\nid = "past"\nkind = "samples"\nfile = "samples.jsonl"\n'


def recipe(folder: Path, n: int = len(PROGRAMS), more: str = ENGINE, engine: str = "past") -> Path:
    write_code_task(folder)
    grid = f'[[grid]]\nengines = "{engine}"\nstrategy = "sample"\nn = {n}\nbudget_s = 60.0\n'
    return write_recipe(folder, f"{more}\n{grid}", task=TASK.removeprefix("[task]\n"))


def by_id(store: Path) -> dict[str, Outcome]:
    return {each.sample_id: each for each in outcomes(store)}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    texts = list(PROGRAMS.values())
    negate = ["    return -x\n", *["    return x\n"] * (len(texts) - 1)]
    write_programs(folder, {DOUBLE: texts, NEGATE: negate, BROKEN: negate})
    _, summary = run(recipe(folder), folder / "run.sqlite", open_pool=QUICK)
    assert summary.num_left == 0
    return folder


def test_every_program_is_right_or_not_and_none_of_them_ends_the_run(ran: Path):
    found = dict(zip(PROGRAMS, by_id(ran / "run.sqlite")[DOUBLE].candidates, strict=True))
    assert {name for name, each in found.items() if each.is_right} == RIGHT
    unstated = {"NUL", "half a surrogate pair", "huge", "nothing"}
    assert unstated == {name for name, each in found.items() if each.answer is None} - {"another name"}
    assert found["right"].answer_class == found["the same, written otherwise"].answer_class


def test_what_cannot_be_read_of_the_recording_is_told_with_the_outcome(ran: Path):
    (warning,) = by_id(ran / "run.sqlite")[DOUBLE].warnings
    assert warning.startswith("2 of 14 completions cannot be used: it holds half a surrogate pair")


def test_tests_that_fail_at_import_are_an_error_of_their_problem_alone(ran: Path):
    found = by_id(ran / "run.sqlite")
    assert found[BROKEN].status == "error"
    assert "no_such_module" in found[BROKEN].error
    assert len(found[BROKEN].candidates) == len(PROGRAMS)
    assert found[NEGATE].status in ("correct", "wrong")
    assert sum(each.is_right for each in found[NEGATE].candidates) == 1


def test_a_resumed_run_runs_nothing_twice(ran: Path):
    before = by_id(ran / "run.sqlite")
    pool = FakePool()
    events, summary = run(recipe(ran), ran / "run.sqlite", open_pool=lambda: pool)
    assert (summary.num_run, summary.num_programs, pool.trials) == (0, 0, [])
    assert not any(isinstance(each, UnitDone) for each in events)
    assert by_id(ran / "run.sqlite") == before


def test_equal_programs_run_once_and_all_are_counted(tmp_path: Path):
    texts = ["    return 2 * x\n", "    return 2*x\n", "", "    return x\n"]
    write_programs(tmp_path, {DOUBLE: texts, NEGATE: texts, BROKEN: texts})
    pool = FakePool()
    _, summary = run(recipe(tmp_path, 4), tmp_path / "run.sqlite", open_pool=lambda: pool)
    assert (summary.num_candidates, summary.num_programs, summary.num_tried) == (
        12,
        9,
        2 + 2 + 1,
    )  # one tells of a fault
    assert pool.is_closed


def test_the_sandbox_is_a_fact_of_the_session(tmp_path: Path):
    write_programs(tmp_path, dict.fromkeys((DOUBLE, NEGATE, BROKEN), ("    return x\n",)))
    run(recipe(tmp_path, 1), tmp_path / "run.sqlite", open_pool=partial(FakePool, is_isolating=False))
    with Store.read(tmp_path / "run.sqlite") as store:
        assert store.sessions()[0].machine["sandbox"] == "fake"
    assert all("does not isolate them" in each.warnings[-1] for each in outcomes(tmp_path / "run.sqlite"))


def test_without_a_sandbox_nothing_is_loaded_and_there_is_no_store(tmp_path: Path):
    model = '[[engines]]\nid = "small"\nkind = "gguf"\nsolver = "nano"\nverifier = "none"\n'
    seen = []

    def none_here() -> FakePool:
        raise SandboxUnavailable("no sandbox works here; install bubblewrap")

    with pytest.raises(SandboxUnavailable, match="install bubblewrap"):
        seen += run(recipe(tmp_path, 2, model, "small"), tmp_path / "run.sqlite", open_pool=none_here)[0]
    assert not any(isinstance(each, EngineLoading) for each in seen)
    assert not (tmp_path / "run.sqlite").exists()


def test_a_task_of_answers_asks_for_no_sandbox(tmp_path: Path):
    def none_here() -> FakePool:
        raise AssertionError("no program is run")

    body = '[[engines]]\nid = "a"\nkind = "gguf"\nsolver = "nano"\n[[grid]]\nengines = "a"\nstrategy = "greedy"\n'
    path = write_recipe(tmp_path, body + "budget_s = 60.0\n", task='name = "arithmetic"\nlimit = 1')
    _, summary = run(path, tmp_path / "run.sqlite", open_pool=none_here)
    assert (summary.num_left, summary.num_programs) == (0, 0)


def test_a_record_that_lacks_a_field_is_an_error_of_its_problem_alone_and_needs_no_samples(tmp_path: Path):
    path = recipe(tmp_path, 2)
    write_code_task(tmp_path, [*ROWS[:2], {"task_id": "HumanEval/7", "prompt": "def f(x):\n"}])
    write_programs(tmp_path, {DOUBLE: ["RIGHT"] * 2, NEGATE: ["    return -x\n"] * 2})
    run(path, tmp_path / "run.sqlite", open_pool=FakePool)
    found = by_id(tmp_path / "run.sqlite")
    assert found["HumanEval/7"].status == "error"
    assert (found["HumanEval/7"].error or "").startswith("line 3 of task.jsonl: there is no field 'entry_point'")
    assert {found[DOUBLE].status, found[NEGATE].status} <= {"correct", "wrong", "unanswered"}
    _, again = run(path, tmp_path / "run.sqlite", open_pool=FakePool)
    assert (again.num_run, again.num_left) == (0, 0)
