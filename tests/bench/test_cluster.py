"""A run over a cluster is the run of one machine: nothing lost, nothing twice, and every failure told.

On a cluster in this process; test_ray_cluster.py does it on Ray.
"""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from bench_runs import QUICK, content, outcomes, plan_of, run, scripted, write_recipe, write_task
from fake_cluster import FakeCluster

from edgesearch.bench import cluster
from edgesearch.bench.cluster import ClusterCrew
from edgesearch.bench.events import CrewChanged, EngineLoading, Event, RunFinished, Summary, UnitDone, WorkerLost
from edgesearch.bench.lines import Message
from edgesearch.bench.places import Share
from edgesearch.bench.runner import Runner
from edgesearch.errors import EdgesearchError, IntegrityError, UsageError

MANY = [f"problem {number}" for number in range(12)]


def recipe(folder: Path, *problems: str, **parts: Any) -> Path:
    write_task(folder, problems)
    return write_recipe(folder, **parts)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


@pytest.fixture
def two() -> Iterator[FakeCluster]:
    made = FakeCluster("a", "b")
    yield made
    made.close()


def spread(path: Path, store: Path, fake: FakeCluster, share: Share | None = None, **options: Any) -> "Ran":
    """Runs a recipe over a cluster, with the scripted worker."""
    crew = ClusterCrew(fake, share or Share(), **{"command": scripted(path.parent), **options})
    return Ran(list(Runner(plan_of(path), store, crew=crew).events()))


class Ran:
    """A run that came to its end."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        assert isinstance(events[-1], RunFinished)
        self.summary: Summary = events[-1].summary

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def statuses(store: Path) -> dict[str, str]:
    return {outcome.sample_id: outcome.status for outcome in outcomes(store)}


def test_a_cluster_without_room_is_refused_with_what_it_has(two: FakeCluster):
    with pytest.raises(UsageError, match=r"at least 1 CPU and 2 GPUs; there are: 10\.0\.0\.0 \(1 CPUs, 0 GPUs\), "):
        ClusterCrew(two, Share(gpus=2))


# -- an ordinary run ---------------------------------------------------------------------------------------------------


def test_the_units_of_a_group_are_spread_and_the_content_is_that_of_one_machine(
    tmp_path: Path, store: Path, two: FakeCluster
):
    path = recipe(tmp_path, *MANY)
    ran = spread(path, store, two)
    assert Counter(actor for actor, _ in two.orders).keys() == {0, 1}
    assert len(two.orders) == 12
    assert (ran.summary.num_run, ran.summary.counts["correct"], ran.summary.num_lost_workers) == (12, 12, 0)
    assert [(each.num_ready, each.num_places) for each in ran.of(CrewChanged)] == [(1, 2), (2, 2)]
    run(path, tmp_path / "alone.sqlite", command=scripted(tmp_path))
    assert content(store) == content(tmp_path / "alone.sqlite")


def test_no_order_holds_a_target(tmp_path: Path, store: Path, two: FakeCluster):
    spread(recipe(tmp_path, "one"), store, two)
    ((_, line),) = two.orders
    assert set(json.loads(line)) == {"load", "digests", "solve", "budget_s"}
    assert "target" not in line


def test_an_engine_is_announced_once_and_each_worker_keeps_its_own(tmp_path: Path, store: Path, two: FakeCluster):
    grid = 'engines = "small"\nstrategy = "majority"\nn = [2, 4]\nbudget_s = 1.0'
    ran = spread(recipe(tmp_path, *MANY, grid=grid), store, two)
    assert sorted(event.n for event in ran.of(EngineLoading)) == [2, 4]
    loads = [outcome for outcome in outcomes(store) if outcome.load_s]
    assert 2 <= len(loads) <= 4  # two engines for two workers, however they shared them


def test_no_more_workers_are_started_than_there_are_units(tmp_path: Path, store: Path, two: FakeCluster):
    ran = spread(recipe(tmp_path, "one"), store, two)
    assert [(each.num_ready, each.num_places) for each in ran.of(CrewChanged)] == [(1, 2)]


def test_a_run_that_is_done_starts_nobody(tmp_path: Path, store: Path, two: FakeCluster):
    path = recipe(tmp_path, "one")
    run(path, store, command=scripted(tmp_path))
    ran = spread(path, store, two)
    assert (ran.of(CrewChanged), ran.summary.num_resumed, ran.summary.harness_share) == ([], 1, None)


def test_the_harness_share_is_of_the_time_that_workers_were_there(tmp_path: Path, store: Path, two: FakeCluster):
    summary = spread(recipe(tmp_path, *MANY), store, two).summary
    assert summary.worker_s is not None
    assert summary.worker_s > 0
    assert summary.harness_share is not None
    assert 0 <= summary.harness_share <= 1


def test_time_left_is_divided_among_the_workers(tmp_path: Path, store: Path, two: FakeCluster):
    ran = spread(recipe(tmp_path, *MANY), store, two)
    last = ran.of(UnitDone)[-1]
    assert (last.num_done, last.time_left_s) == (12, 0.0)


def test_the_store_tells_what_the_cluster_was(tmp_path: Path, store: Path, two: FakeCluster):
    from edgesearch.bench.store import Store

    spread(recipe(tmp_path, "one"), store, two)
    with Store.read(store) as opened:
        (session,) = opened.sessions()
    assert session.machine["cluster"] == "10.0.0.0 (1 CPUs, 0 GPUs), 10.0.0.1 (1 CPUs, 0 GPUs)"
    assert session.machine["processor"]


def test_a_run_begun_here_goes_on_over_a_cluster_and_back(tmp_path: Path, store: Path, two: FakeCluster):
    path = recipe(tmp_path, *MANY)
    events = Runner(plan_of(path), store, crew=ClusterCrew(two, Share(), command=scripted(tmp_path))).events()
    while not isinstance(next(events), UnitDone):
        pass
    events.close()  # type: ignore[attr-defined]
    assert two.actors == {}
    _, summary = run(path, store, command=scripted(tmp_path))
    assert summary.num_resumed + summary.num_run == 12
    assert summary.num_resumed >= 1
    assert Counter(statuses(store).values()) == {"correct": 12}


def test_different_processors_are_warned_of(tmp_path: Path, store: Path, two: FakeCluster):
    two.instead = lambda actor, line: None if line else {"line": _described(f"kind {actor}")}
    assert spread(recipe(tmp_path, *MANY), store, two).summary.warnings == (
        "the nodes have different processors, so seconds depend on the node: kind 0, 1 CPUs; kind 1, 1 CPUs",
    )


def _described(processor: str) -> str:
    machine = {"processor": processor, "cpus": "1"}
    known = {"host": "h", "code": cluster.node.code(), "versions": cluster.node.versions()}
    return json.dumps({**known, "machine": machine})


# -- workers, actors and nodes that are lost ---------------------------------------------------------------------------


def test_an_actor_that_is_lost_gives_its_unit_back_and_is_replaced(tmp_path: Path, store: Path, two: FakeCluster):
    lost = iter([{"lost": "the actor died"}])
    two.instead = lambda actor, line: next(lost, None) if "problem 7" in line else None
    ran = spread(recipe(tmp_path, *MANY), store, two)
    assert Counter(statuses(store).values()) == {"correct": 12}
    (told,) = ran.of(WorkerLost)
    assert (told.sample_id, told.is_given_up) == ("p7", False)
    assert "the Ray actor on 10.0.0." in told.reason
    assert ran.summary.num_lost_workers == 1


def test_a_worker_process_that_crashes_costs_no_actor(tmp_path: Path, store: Path, two: FakeCluster):
    ran = spread(recipe(tmp_path, *MANY, "crash once"), store, two)
    assert Counter(statuses(store).values()) == {"correct": 13}
    assert ran.summary.num_lost_workers == 1
    assert len(ran.of(CrewChanged)) == 2


def test_a_unit_that_loses_two_workers_is_a_recorded_error(tmp_path: Path, store: Path, two: FakeCluster):
    ran = spread(recipe(tmp_path, "one", "exit", "two"), store, two)
    assert statuses(store) == {"p0": "correct", "p1": "error", "p2": "correct"}
    assert outcomes(store)[1].error.count("exit code 3") == 2
    assert [each.is_given_up for each in ran.of(WorkerLost)] == [False, True]


def test_an_engine_that_takes_its_actors_with_it_ends_the_run(tmp_path: Path, store: Path, two: FakeCluster):
    two.instead = lambda actor, line: {"lost": "out of memory"} if line else None
    with pytest.raises(EdgesearchError, match=r"'small' was lost while it loaded: the Ray actor on .* out of memory"):
        spread(recipe(tmp_path, "one"), store, two)
    assert outcomes(store) == []


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crew that looks for nodes all the time."""
    monkeypatch.setattr(cluster, "_SCAN_S", 0.0)


@pytest.mark.usefixtures("looking")
def test_a_node_that_leaves_is_done_without_and_one_that_joins_is_used(tmp_path: Path, store: Path, two: FakeCluster):
    joining = two.living.pop()
    crew = ClusterCrew(two, Share(), command=scripted(tmp_path))
    for event in Runner(plan_of(recipe(tmp_path, *MANY)), store, crew=crew).events():
        if isinstance(event, UnitDone) and event.num_done == 3:
            two.living = [joining]
            two.instead = lambda actor, line: {"lost": "its node died"} if two.places[actor].node.id == "a" else None
    assert Counter(statuses(store).values()) == {"correct": 12}
    assert [two.places[actor].node.id for actor, _ in two.orders[-5:]] == ["b"] * 5


@pytest.mark.usefixtures("looking")
def test_a_cluster_that_loses_all_its_nodes_ends_the_run_with_what_it_has(
    tmp_path: Path, store: Path, two: FakeCluster
):
    def leave(actor: int, line: str) -> Message | None:
        if "problem 5" not in line:
            return None
        two.living = []
        return {"lost": "its node died"}

    two.living.pop()
    two.instead = leave
    message = r"has had no worker with at least 1 CPU for \d+ s .* its nodes are: none"
    with pytest.raises(EdgesearchError, match=message):
        spread(recipe(tmp_path, *MANY), store, two, place_s=0.1)
    assert statuses(store) == {f"p{number}": "correct" for number in range(5)}


@pytest.mark.usefixtures("looking")
def test_a_place_where_no_worker_comes_up_is_given_up_with_its_reason(tmp_path: Path, store: Path, two: FakeCluster):
    two.instead = lambda actor, line: {"lost": "no such file"}
    with pytest.raises(EdgesearchError, match=r"the last one failed: the Ray actor on .* was lost: no such file"):
        spread(recipe(tmp_path, *MANY), store, two)
    assert len(two.places) == 4  # two for each place


def test_a_node_that_does_not_answer_is_given_up(
    tmp_path: Path, store: Path, two: FakeCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster, "REACH_S", 0.0)
    monkeypatch.setattr(two, "wait", _deaf(two.wait))
    ticks = iter(range(0, 10**9, 300))  # minutes between two looks
    options: dict[str, Any] = {"patience": QUICK, "place_s": 1e9, "clock": lambda: float(next(ticks))}
    with pytest.raises(EdgesearchError, match="its node gave no reply in time and was given up"):
        spread(recipe(tmp_path, "one"), store, two, **options)


def _deaf(wait: Any) -> Any:
    def deaf(wait_s: float) -> list[Message]:
        return [reply for reply in wait(wait_s) if "versions" in reply.get("line", "")]

    return deaf


# -- nodes that are not the same ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"versions": {}}, r"node 10\.0\.0\.. \(.*\) has edgesearch none, and this machine 0\."),
        ({"code": "abc"}, "with other code than this machine"),
    ],
)
def test_a_node_with_another_edgesearch_ends_the_run(
    tmp_path: Path, store: Path, two: FakeCluster, told: Message, message: str
):
    two.told = told
    with pytest.raises(EdgesearchError, match=message):
        spread(recipe(tmp_path, "one"), store, two)
    assert two.actors == {}


def test_a_node_that_cannot_run_a_worker_ends_the_run(tmp_path: Path, store: Path, two: FakeCluster):
    two.instead = lambda actor, line: {"failed": "ModuleNotFoundError: No module named 'edgesearch'"}
    with pytest.raises(EdgesearchError, match=r"cannot run a worker .*No module named 'edgesearch'.*pip install"):
        spread(recipe(tmp_path, "one"), store, two)


def test_a_node_with_another_model_ends_the_run_with_exit_code_5(tmp_path: Path, store: Path, two: FakeCluster):
    two.instead = lambda actor, line: (
        {"line": json.dumps({"error": "on h: no", "kind": "IntegrityError"})} if line else None
    )
    with pytest.raises(IntegrityError, match="on h: no") as raised:
        spread(recipe(tmp_path, "one"), store, two)
    assert raised.value.exit_code == 5


def test_joules_of_a_machine_that_several_workers_share_are_not_told(tmp_path: Path, store: Path):
    fake = FakeCluster("a", num_cpus=64)
    crew = ClusterCrew(fake, Share(cpus=32))
    member = cluster._Member(0, crew._places[0], 0.0)
    assert crew._is_shared(member)
    fake.close()


# -- cancelling --------------------------------------------------------------------------------------------------------


def test_cancelling_keeps_what_is_done_and_leaves_no_worker(tmp_path: Path, store: Path, two: FakeCluster):
    crew = ClusterCrew(two, Share(), command=scripted(tmp_path))
    session = Runner(plan_of(recipe(tmp_path, "one", "wait", "two")), store, crew=crew)
    is_done = threading.Event()

    def cancel() -> None:
        is_done.wait()
        while not (tmp_path / "waiting").exists():
            time.sleep(0.01)
        session.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    for last in session.events():
        if isinstance(last, UnitDone):
            is_done.set()
    canceller.join()
    assert isinstance(last, RunFinished)
    assert last.summary.is_cancelled
    assert statuses(store) in ({"p0": "correct"}, {"p0": "correct", "p2": "correct"})
    assert two.actors == {}
    _wait_for_no_workers(os.getpid(), tmp_path)


def _wait_for_no_workers(pid: int, folder: Path) -> None:
    """Worker processes of that test end soon after their actors."""
    mine = [each for each in psutil.Process(pid).children(recursive=True) if str(folder) in _command(each)]
    _, alive = psutil.wait_procs(mine, timeout=30)
    assert not alive


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_problems_that_are_to_share_an_engine_are_refused(tmp_path: Path, store: Path, two: FakeCluster):
    body = """[[engines]]
id = "small"
kind = "gguf"
solver = "nano"
concurrent = 2

[[grid]]
engines = "small"
strategy = "greedy"
budget_s = 1.0"""
    session = Runner(plan_of(recipe(tmp_path, "one", body=body)), store, crew=ClusterCrew(two, Share()))
    with pytest.raises(UsageError, match="one problem at a time; leave concurrent out"):
        list(session.events())
