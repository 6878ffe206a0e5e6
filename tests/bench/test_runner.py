"""A run survives its workers and its own end: nothing is lost, nothing is done twice, and every failure is told."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import psutil
import pytest
from bench_runs import QUICK, content, outcomes, run, runner, scripted, write_recipe, write_task

from edgesearch.bench import process
from edgesearch.bench.events import EngineLoading, RunFinished, RunStarted, UnitDone, WorkerLost
from edgesearch.bench.station import Patience
from edgesearch.bench.store import Store
from edgesearch.errors import ContextOverflow, EdgesearchError, EndpointError, IntegrityError, UsageError

MODELS = Path(str(resources.files("edgesearch_models"))) / "nano"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
BUILT_IN = 'name = "arithmetic"\nlimit = 24'
GRID = 'engines = "small"\nstrategy = ["majority", "best_of_n", "beam"]\nn = 4\nbudget_s = 60.0'
BUILT_IN_ENGINE = '[[engines]]\nid = "small"\nkind = "gguf"\nsolver = "nano"\ncheck = false\n'
NUM_KILLS = 10


def recipe(folder: Path, *problems: str, **parts: Any) -> Path:
    write_task(folder, problems)
    return write_recipe(folder, **parts)


def built_in(folder: Path) -> Path:
    return write_recipe(folder, f"{BUILT_IN_ENGINE}\n[[grid]]\n{GRID}", task=BUILT_IN)


def statuses(store: Path) -> dict[str, str]:
    return {outcome.sample_id: outcome.status for outcome in outcomes(store)}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


# -- an ordinary run ---------------------------------------------------------------------------------------------------


def test_events_tell_the_start_every_unit_and_the_end(tmp_path: Path, store: Path):
    events, summary = run(recipe(tmp_path, "one", "two", "three"), store, command=scripted(tmp_path))
    assert [type(event) for event in events] == [RunStarted, EngineLoading, UnitDone, UnitDone, UnitDone, RunFinished]
    units = [event for event in events if isinstance(event, UnitDone)]
    assert [(each.sample_id, each.status, each.num_done) for each in units] == [
        ("p0", "correct", 1), ("p1", "correct", 2), ("p2", "correct", 3),
    ]  # fmt: skip
    assert units[-1].cell.counts == {"correct": 3, "wrong": 0, "unanswered": 0, "error": 0}
    assert units[-1].time_left_s == units[-1].cell_left_s == 0.0
    assert (units[0].time_left_s or 0) > 0
    assert (summary.num_run, summary.num_resumed, summary.num_left, summary.is_cancelled) == (3, 0, 0, False)
    assert (summary.solve_s, summary.load_s) == (1.5, 2**-10)


def test_loading_is_told_with_the_first_unit_after_it(tmp_path: Path, store: Path):
    run(recipe(tmp_path, "one", "two"), store, command=scripted(tmp_path))
    assert [outcome.load_s for outcome in outcomes(store)] == [2**-10, 0.0]


def test_the_store_holds_what_was_asked_and_how(tmp_path: Path, store: Path):
    path = recipe(tmp_path, "one")
    run(path, store, command=scripted(tmp_path))
    with Store.read(store) as opened:
        assert opened.run.recipe == path.read_text(encoding="utf-8")
        assert [(sample.question, sample.target) for sample in opened.samples()] == [("one", "4")]
        assert set(opened.run.model_digests) == {"small/manifest", "small/settings", "small/solver", "small/verifier"}


def test_a_run_that_is_done_does_nothing_and_starts_no_worker(tmp_path: Path, store: Path):
    path = recipe(tmp_path, "one", "two")
    run(path, store, command=scripted(tmp_path))
    events, summary = run(path, store, command=["no-such-program"])
    assert [type(event) for event in events] == [RunStarted, RunFinished]
    assert (summary.num_run, summary.num_resumed, summary.harness_share) == (0, 2, None)


def test_one_worker_serves_a_group_and_the_next_group_gets_another(tmp_path: Path, store: Path):
    grid = 'engines = "small"\nstrategy = ["greedy", "majority"]\nn = [1, 4]\nbudget_s = 1.0'
    events, _ = run(recipe(tmp_path, "one", "two", grid=grid), store, command=scripted(tmp_path))
    loads = [(event.n, event.num_units) for event in events if isinstance(event, EngineLoading)]
    assert loads == [(1, 4), (4, 2)]


def test_time_left_counts_cells_without_a_pace_as_the_mean_of_the_others(tmp_path: Path, store: Path):
    grid = 'engines = "small"\nstrategy = "majority"\nn = [2, 4]\nbudget_s = 1.0'
    ticks = iter(range(1000))
    options = {"command": scripted(tmp_path), "clock": lambda: float(next(ticks))}  # a second between two looks
    events, _ = run(recipe(tmp_path, "one", "two", grid=grid), store, **options)
    units = [event for event in events if isinstance(event, UnitDone)]
    first = 1 - 2**-10  # the scripted worker's loading is not part of the pace
    expected = [(first, 3 * first), (0.0, 1 + first), (first, first), (0.0, 0.0)]
    assert [(each.cell_left_s, each.time_left_s) for each in units] == expected


# -- workers that fail -------------------------------------------------------------------------------------------------


@POSIX
def test_a_crash_in_native_code_is_a_recorded_error_and_a_restart(tmp_path: Path, store: Path):
    events, summary = run(recipe(tmp_path, "one", "crash", "two"), store, command=scripted(tmp_path))
    assert statuses(store) == {"p0": "correct", "p1": "error", "p2": "correct"}
    lost = [event for event in events if isinstance(event, WorkerLost)]
    assert [(each.sample_id, each.is_given_up) for each in lost] == [("p1", False), ("p1", True)]
    error = outcomes(store)[1].error
    assert error.count("signal SIGABRT; its last line: about to crash") == 2
    assert (summary.num_lost_workers, summary.num_run, summary.counts["error"]) == (2, 3, 1)


@POSIX
@pytest.mark.parametrize("problem", ["crash once", "kill once"])
def test_a_unit_whose_worker_is_lost_once_is_tried_again(tmp_path: Path, store: Path, problem: str):
    _, summary = run(recipe(tmp_path, problem, "two"), store, command=scripted(tmp_path))
    assert statuses(store) == {"p0": "correct", "p1": "correct"}
    assert summary.num_lost_workers == 1


def test_an_exit_is_told_with_its_code(tmp_path: Path, store: Path):
    run(recipe(tmp_path, "exit"), store, command=scripted(tmp_path))
    assert "it ended with exit code 3" in outcomes(store)[0].error


def test_out_of_memory_costs_the_worker_and_is_named(tmp_path: Path, store: Path):
    _, summary = run(recipe(tmp_path, "memory", "two"), store, command=scripted(tmp_path))
    assert statuses(store) == {"p0": "error", "p1": "correct"}
    assert "MemoryError" in outcomes(store)[0].error
    assert summary.num_lost_workers == 2


def test_a_worker_that_hangs_beyond_budget_and_grace_is_killed(tmp_path: Path, store: Path):
    grid = 'engines = "small"\nstrategy = "majority"\nn = 4\nbudget_s = 0.5'
    run(recipe(tmp_path, "hang", "two", grid=grid), store, command=scripted(tmp_path), patience=QUICK)
    assert statuses(store) == {"p0": "error", "p1": "correct"}
    assert outcomes(store)[0].error.count("no reply within 2.5 s and was killed") == 2


def test_a_slow_start_is_no_hang(tmp_path: Path, store: Path):
    patience = Patience(load_s=600.0, grace_s=2.0)
    _, summary = run(recipe(tmp_path, "one"), store, command=scripted(tmp_path, "slow"), patience=patience)
    assert (summary.counts["correct"], summary.num_lost_workers) == (1, 0)


def test_garbage_on_stdout_changes_nothing(tmp_path: Path, store: Path):
    _, summary = run(recipe(tmp_path, "noise", "two"), store, command=scripted(tmp_path))
    assert (summary.counts["correct"], summary.num_lost_workers) == (2, 0)


@pytest.mark.parametrize(("problem", "error"), [("long", "the problem has 5,000 tokens"), ("bug", "RuntimeError")])
def test_an_error_of_one_unit_is_recorded_and_costs_no_worker(tmp_path: Path, store: Path, problem: str, error: str):
    _, summary = run(recipe(tmp_path, problem, "two"), store, command=scripted(tmp_path))
    assert statuses(store) == {"p0": "error", "p1": "correct"}
    assert error in outcomes(store)[0].error
    assert summary.num_lost_workers == 0


def test_a_reply_that_makes_no_sense_costs_the_worker(tmp_path: Path, store: Path):
    code = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    print(json.dumps({'id': json.loads(line)['id'], 'load_s': 0, 'solved': {'answer': 4}}), flush=True)\n"
    )
    _, summary = run(recipe(tmp_path, "one"), store, command=[sys.executable, "-c", code])
    assert "it replied nonsense" in outcomes(store)[0].error
    assert summary.num_lost_workers == 2


def test_errors_are_kept_unless_they_are_to_be_run_again(tmp_path: Path, store: Path):
    path, command = recipe(tmp_path, "one", "bug once", "bug"), scripted(tmp_path)
    _, first = run(path, store, command=command)
    assert (first.counts["correct"], first.counts["error"]) == (1, 2)
    _, second = run(path, store, command=command)
    assert second.num_run == 0
    _, third = run(path, store, command=command, retries_errors=True)
    assert (third.num_resumed, third.num_run, third.num_left) == (1, 2, 0)
    assert statuses(store) == {"p0": "correct", "p1": "correct", "p2": "error"}


def test_errors_that_are_to_be_run_again_are_left_to_do_when_the_run_ends_first(tmp_path: Path, store: Path):
    path = recipe(tmp_path, "one", "bug once")
    run(path, store, command=scripted(tmp_path))
    with pytest.raises(ContextOverflow):
        run(path, store, command=scripted(tmp_path, "refuse"), retries_errors=True)
    assert statuses(store) == {"p0": "correct"}
    assert run(path, store, command=scripted(tmp_path))[1].num_run == 1


# -- engines that cannot be loaded -------------------------------------------------------------------------------------


def test_an_engine_that_cannot_be_loaded_ends_the_run_with_its_error(tmp_path: Path, store: Path):
    with pytest.raises(ContextOverflow, match="the verifier does not fit"):
        run(recipe(tmp_path, "one"), store, command=scripted(tmp_path, "refuse"))
    assert outcomes(store) == []


def test_an_endpoint_that_fails_ends_the_run_and_its_units_can_be_gone_on_with(tmp_path: Path, store: Path):
    with pytest.raises(EndpointError, match="does not answer"):
        run(recipe(tmp_path, "one", "away"), store, command=scripted(tmp_path))
    assert statuses(store) == {"p0": "correct"}


@POSIX
def test_a_crash_while_loading_is_told_and_tried_once_more(tmp_path: Path, store: Path):
    events, summary = run(recipe(tmp_path, "one"), store, command=scripted(tmp_path, "crash", "once"))
    assert [type(event) for event in events] == [RunStarted, EngineLoading, WorkerLost, UnitDone, RunFinished]
    assert (summary.counts["correct"], summary.num_lost_workers) == (1, 1)


@POSIX
def test_a_crash_while_loading_ends_the_run_with_its_signal(tmp_path: Path, store: Path):
    with pytest.raises(EdgesearchError, match="'small' was lost while it loaded: it ended with signal SIGABRT"):
        run(recipe(tmp_path, "one"), store, command=scripted(tmp_path, "crash"))


def test_loading_for_ever_ends_the_run(tmp_path: Path, store: Path):
    patience = Patience(load_s=0.3, grace_s=60.0)
    with pytest.raises(EdgesearchError, match=r"lost while it loaded: it gave no reply within 0\.3 s"):
        run(recipe(tmp_path, "one"), store, command=scripted(tmp_path, "hang"), patience=patience)


@pytest.mark.parametrize("name", ["load_s", "grace_s"])
def test_patience_must_be_positive(name: str):
    with pytest.raises(ValueError, match=f"{name} must be > 0"):
        Patience(**{name: 0.0})


# -- a run that ends early ---------------------------------------------------------------------------------------------


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def test_cancelling_keeps_what_is_done_and_leaves_no_worker(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
):
    pids: list[int] = []
    monkeypatch.setattr(process.Worker, "close", _noting(process.Worker.close, pids))
    session = runner(recipe(tmp_path, "one", "wait", "two"), store, command=scripted(tmp_path))
    canceller = threading.Thread(target=lambda: (wait_for(tmp_path / "waiting"), session.cancel()))
    canceller.start()
    *_, last = session.events()
    canceller.join()
    assert isinstance(last, RunFinished)
    assert (last.summary.is_cancelled, last.summary.num_run, last.summary.num_left) == (True, 1, 2)
    assert statuses(store) == {"p0": "correct"}
    assert pids
    assert not any(map(psutil.pid_exists, pids))


def _noting(close: Any, pids: list[int]) -> Any:
    def noted(worker: process.Worker) -> None:
        pids.append(worker.pid)
        close(worker)

    return noted


def test_cancelling_before_the_start_runs_nothing(tmp_path: Path, store: Path):
    session = runner(recipe(tmp_path, "one"), store, command=scripted(tmp_path))
    session.cancel()
    *_, last = session.events()
    assert isinstance(last, RunFinished)
    assert (last.summary.is_cancelled, last.summary.num_run) == (True, 0)


def test_events_that_are_not_taken_to_the_end_still_free_worker_and_store(tmp_path: Path, store: Path):
    path = recipe(tmp_path, "one", "two")
    events = runner(path, store, command=scripted(tmp_path)).events()
    while not isinstance(next(events), UnitDone):
        pass
    events.close()  # type: ignore[attr-defined]
    assert statuses(store) == {"p0": "correct"}
    _, summary = run(path, store, command=scripted(tmp_path))
    assert (summary.num_resumed, summary.num_run) == (1, 1)


# -- the same run, and another -----------------------------------------------------------------------------------------


def test_a_changed_model_file_is_refused_with_exit_code_5(tmp_path: Path, store: Path):
    shutil.copy(MODELS / "nano-q8_0.gguf", tmp_path / "model.gguf")
    body = '[[engines]]\nid = "small"\nkind = "gguf"\nsolver = "model.gguf"\n'
    grid = '[[grid]]\nengines = "small"\nstrategy = "majority"\nn = 4\nbudget_s = 1.0'
    path = recipe(tmp_path, "one", body=body + grid)
    run(path, store, command=scripted(tmp_path))
    shutil.copy(MODELS / "nano-medium-q8_0.gguf", tmp_path / "model.gguf")
    with pytest.raises(IntegrityError, match="the model small/solver was") as raised:
        run(path, store, command=scripted(tmp_path))
    assert raised.value.exit_code == 5
    shutil.copy(MODELS / "nano-q8_0.gguf", tmp_path / "model.gguf")
    assert run(path, store)[1].num_resumed == 1


def test_a_changed_task_is_refused_with_exit_code_5(tmp_path: Path, store: Path):
    path = recipe(tmp_path, "one")
    run(path, store, command=scripted(tmp_path))
    write_task(tmp_path, ["another"])
    with pytest.raises(IntegrityError, match="the task was") as raised:
        run(path, store, command=scripted(tmp_path))
    assert raised.value.exit_code == 5
    assert statuses(store) == {"p0": "correct"}


def test_a_changed_recipe_is_refused(tmp_path: Path, store: Path):
    run(recipe(tmp_path, "one"), store, command=scripted(tmp_path))
    grid = 'engines = "small"\nstrategy = "majority"\nn = 8\nbudget_s = 1.0'
    with pytest.raises(UsageError, match=r"grid\[0\]\.n in the recipe was 4, and is 8"):
        run(recipe(tmp_path, "one", grid=grid), store, command=scripted(tmp_path))


def test_two_runs_do_not_share_a_store(tmp_path: Path, store: Path):
    path = recipe(tmp_path, "one", "two")
    events = runner(path, store, command=scripted(tmp_path)).events()
    next(events)
    with pytest.raises(EdgesearchError, match="in use"):
        run(path, store, command=scripted(tmp_path))
    assert isinstance([*events][-1], RunFinished)


# -- real models -------------------------------------------------------------------------------------------------------


def test_the_built_in_models_solve_and_every_candidate_is_kept(tmp_path: Path, store: Path):
    grid = 'engines = "small"\nstrategy = ["greedy", "best_of_n", "beam"]\nn = [4]\nbudget_s = 60.0'
    body = f"{BUILT_IN_ENGINE}\n[[grid]]\n{grid}"
    _, summary = run(write_recipe(tmp_path, body, task='name = "arithmetic"\nlimit = 4'), store)
    assert (summary.num_run, summary.counts["error"], summary.num_lost_workers) == (12, 0, 0)
    assert summary.counts["correct"] > 0
    for outcome in outcomes(store):
        assert outcome.candidates
        assert outcome.models is not None
        assert (outcome.models.solver, outcome.models.verifier, outcome.models.check) == ("nano", "nano-prm", None)
        for kept in outcome.candidates:
            assert kept.num_tokens
            assert outcome.started_s <= (kept.ended_s or 0) <= outcome.ended_s
            assert (kept.score is None) == (outcome.strategy is not None and outcome.strategy.name == "greedy")
            assert kept.step_ends[-1] == len(kept.text)
    assert summary.harness_share is not None
    assert 0 <= summary.harness_share <= 1


SHARED_ENGINE = 'id = "small"\nkind = "gguf"\nsolver = "nano"\ncheck = false\nconcurrent = 4'
SHARED = f'[[engines]]\n{SHARED_ENGINE}\n\n[[grid]]\nengines = "small"\nstrategy = "best_of_n"\nn = 4\nbudget_s = 60.0'


def test_problems_that_share_an_engine_are_solved_as_alone(tmp_path: Path, store: Path):
    task, alone = 'name = "arithmetic"\nlimit = 8', tmp_path / "alone.sqlite"
    run(write_recipe(tmp_path, SHARED, task=task), store)
    run(write_recipe(tmp_path, SHARED.replace("\nconcurrent = 4", ""), task=task), alone)
    pairs = list(
        zip(*(sorted(outcomes(each), key=lambda each: each.sample_id) for each in (alone, store)), strict=True)
    )
    assert len(pairs) == 8
    assert all(len(other.candidates) == 4 for _, other in pairs)
    assert all(other.usage.prefilled_tokens == one.usage.prefilled_tokens for one, other in pairs)
    assert all(any("problems shared the engine" in each for each in other.warnings) for _, other in pairs)
    assert not {one.key for one, _ in pairs} & {other.key for _, other in pairs}
    # A wider batch may round differently, so a draw that was close can fall the other way.
    same = [
        one.answer == other.answer and one.usage.decoded_tokens == other.usage.decoded_tokens for one, other in pairs
    ]
    assert sum(same) >= 6


def test_one_of_several_that_share_an_engine_is_recorded_as_what_crashes_it(tmp_path: Path, store: Path):
    grid = 'engines = "small"\nstrategy = "majority"\nn = 4\nbudget_s = 1.0'
    path = recipe(tmp_path, "one", "crash", "two", "three", body=f"[[engines]]\n{SHARED_ENGINE}\n\n[[grid]]\n{grid}")
    run(path, store, command=scripted(tmp_path))
    assert statuses(store) == {"p0": "correct", "p1": "error", "p2": "correct", "p3": "correct"}


def test_a_cancelled_run_loses_only_what_is_under_way_and_goes_on_with_it(tmp_path: Path, store: Path):
    grid = 'engines = "small"\nstrategy = "majority"\nn = 4\nbudget_s = 1.0'
    body = f"[[engines]]\n{SHARED_ENGINE}\n\n[[grid]]\n{grid}"
    session = runner(recipe(tmp_path, "one", "two", "wait", "three", body=body), store, command=scripted(tmp_path))
    for event in session.events():
        if isinstance(event, UnitDone) and event.num_done == 2:
            session.cancel()
    assert statuses(store) == {"p0": "correct", "p1": "correct"}
    quick = [word.replace("time.sleep(600)", "pass") for word in scripted(tmp_path)]
    _, summary = run(write_recipe(tmp_path, body), store, command=quick)
    assert (summary.num_resumed, summary.num_run, summary.counts["correct"]) == (2, 2, 4)


def start(recipe: Path, store: Path) -> "subprocess.Popen[str]":
    program = Path(__file__).with_name("bench_runs.py")
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, str(program), str(recipe), str(store)], **pipes)


def kill_at(process: "subprocess.Popen[str]", num_lines: int, wait_s: float) -> None:
    """Kills a run when it has told so many events and a little later; its worker must end by itself."""
    assert process.stdout is not None
    for _ in range(num_lines):
        process.stdout.readline()
    with pytest.raises(subprocess.TimeoutExpired):  # it is still under way
        process.wait(timeout=wait_s)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


def kept(store: Path) -> set[str]:
    """The keys that a store holds, however early its run was killed."""
    try:
        return {outcome.key for outcome in outcomes(store)}
    except UsageError:  # there is no file, or no table in it yet
        return set()


@POSIX
def test_a_run_killed_at_random_points_and_resumed_is_as_one_that_was_not(tmp_path: Path, store: Path):
    path, whole = built_in(tmp_path), tmp_path / "whole.sqlite"
    run(path, whole)
    points = random.Random(4)
    for _ in range(NUM_KILLS):
        before = kept(store)
        # A few of the 72 units a session: the first events are the start and the load.
        kill_at(start(path, store), points.randrange(5), points.uniform(0.0, 0.03))
        assert kept(store) >= before
    _, summary = run(path, store)
    assert summary.num_run + summary.num_resumed == summary.num_units == 72
    assert summary.num_run < 72
    assert max(Counter(outcome.key for outcome in outcomes(store)).values()) == 1
    assert content(store) == content(whole)
