"""A run over a real Ray cluster of two nodes on this machine: killed where it hurts, it is the run of one machine.

What needs Ray is skipped where it is not installed (`pip install 'edgesearch[cluster]'`): it is large.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from bench_runs import content, outcomes, plan_of, run, scripted, write_recipe, write_task

from edgesearch.bench import ray_cluster as module
from edgesearch.bench.cluster import ClusterCrew
from edgesearch.bench.events import CrewChanged, RunFinished, Summary, UnitDone, WorkerLost
from edgesearch.bench.places import Share
from edgesearch.bench.ray_bridge import _words
from edgesearch.bench.ray_cluster import RayCluster
from edgesearch.bench.runner import Runner
from edgesearch.errors import EdgesearchError, EndpointError, UsageError

COMMAND = shutil.which("edgesearch", path=str(Path(sys.executable).parent)) or "edgesearch"
BUILT_IN = (
    '[[engines]]\nid = "small"\nkind = "gguf"\nsolver = "nano"\ncheck = false\n\n[[grid]]\nengines = "small"\n'
    'strategy = ["majority", "best_of_n", "beam"]\nn = [4, 8]\nbudget_s = 60.0'
)
"""The budget is far above what a search takes, so that its width does not depend on the machine."""
OURS = ("NodeWorker", "bench.worker", "ray_bridge")
"""In the commands of the processes that a run has."""


@pytest.fixture(scope="module")
def _ray() -> None:
    pytest.importorskip("ray")
    if sys.platform == "win32":
        pytest.skip("Ray has no clusters there, and signals are POSIX")


@pytest.fixture(scope="module")
def ray_cluster(_ray: None) -> Iterator[Any]:
    """A head that does no work, and two nodes with a CPU each."""
    from ray.cluster_utils import Cluster

    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        made.add_node(num_cpus=1)
        made.add_node(num_cpus=1)
        yield made
        made.shutdown()
    signal.signal(signal.SIGTERM, before)  # Ray keeps it


@pytest.fixture
def address(ray_cluster: Any) -> str:
    return str(ray_cluster.address)


@pytest.fixture
def connect(address: str) -> Iterator[Callable[[], RayCluster]]:
    """Makes connections, which leave nobody behind."""
    made: list[RayCluster] = []

    def connect() -> RayCluster:
        made.append(RayCluster(address))
        return made[-1]

    yield connect
    for cluster in made:
        cluster.close()
    wait_for_nobody(OURS)


@pytest.fixture
def connected(connect: Callable[[], RayCluster]) -> RayCluster:
    return connect()


def processes(*names: str) -> list[psutil.Process]:
    """Those below this one, Ray's included, whose command has one of the names."""
    found = []
    for each in psutil.Process().children(recursive=True):
        try:
            command = " ".join(each.cmdline())
        except psutil.Error:
            continue
        if any(name in command for name in names):
            found.append(each)
    return found


def wait_for_nobody(names: Sequence[str]) -> None:
    _, alive = psutil.wait_procs(processes(*names), timeout=30)
    assert not alive


def finished(events: list[Any]) -> Summary:
    assert isinstance(events[-1], RunFinished)
    return events[-1].summary


def scripted_recipe(folder: Path, *problems: str) -> Path:
    write_task(folder, problems)
    return write_recipe(folder)


# -- the same run ------------------------------------------------------------------------------------------------------


def test_a_run_whose_workers_and_actors_are_killed_is_as_one_of_a_single_machine(tmp_path: Path, connected: RayCluster):
    path, store, alone = write_recipe(tmp_path, BUILT_IN, task='name = "arithmetic"\nlimit = 12'), *stores(tmp_path)
    kills = {5: "edgesearch.bench.worker", 20: "ray::NodeWorker", 50: "edgesearch.bench.worker"}
    events, crew = [], ClusterCrew(connected, Share())
    for event in Runner(plan_of(path), store, crew=crew).events():
        events.append(event)
        if isinstance(event, UnitDone) and event.num_done in kills:
            processes(kills[event.num_done])[0].kill()
    summary = finished(events)
    assert (summary.num_run, summary.num_left, summary.counts["error"]) == (72, 0, 0)
    assert summary.num_lost_workers == sum(isinstance(event, WorkerLost) for event in events) >= 2
    ready = [event.num_ready for event in events if isinstance(event, CrewChanged)]
    assert any(after < before for before, after in pairwise(ready))
    assert max(Counter(outcome.key for outcome in outcomes(store)).values()) == 1
    run(path, alone)
    assert content(store) == content(alone)


def stores(folder: Path) -> tuple[Path, Path]:
    return folder / "run.sqlite", folder / "alone.sqlite"


def test_a_node_that_is_killed_loses_nothing(tmp_path: Path, ray_cluster: Any, connected: RayCluster):
    path, (store, _) = scripted_recipe(tmp_path, *map(str, range(30))), stores(tmp_path)
    third = ray_cluster.add_node(num_cpus=1)
    crew = ClusterCrew(connected, Share(), command=scripted(tmp_path, "slow"))
    ready = []
    for event in Runner(plan_of(path), store, crew=crew).events():
        if isinstance(event, CrewChanged):
            ready.append(event.num_ready)
        if isinstance(event, CrewChanged) and event.num_ready == 3:
            ray_cluster.remove_node(third, allow_graceful=False)
    assert Counter(outcome.status for outcome in outcomes(store)) == {"correct": 30}
    assert max(ready) == 3


# -- ending it ---------------------------------------------------------------------------------------------------------


def test_ctrl_c_leaves_nobody_and_the_same_command_goes_on(tmp_path: Path, address: str):
    path = write_recipe(tmp_path, BUILT_IN, task='name = "arithmetic"\nlimit = 16')
    command = [COMMAND, "bench", "run", str(path), "--out", str(tmp_path / "run.sqlite"), "--ray", address, "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": hear_interrupts}
    with subprocess.Popen(command, text=True, **pipes) as process:
        while "of 96 units" not in (line := process.stderr.readline()):
            assert process.poll() is None, line
        os.kill(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    found = json.loads(stdout)  # Ray wrote nothing between
    assert found["is_interrupted"]
    assert 0 < found["num_run"] < 96
    assert "Traceback" not in stderr
    wait_for_nobody(OURS)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    told = json.loads(done.stdout)
    assert (told["is_complete"], told["num_resumed"]) == (True, found["num_run"])
    assert told["worker_s"] > 0


def hear_interrupts() -> None:
    """A background job ignores SIGINT, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_lost_connection_ends_the_run_and_nobody_is_left(tmp_path: Path, connected: RayCluster):
    path, (store, _) = scripted_recipe(tmp_path, "one", "two", "wait"), stores(tmp_path)
    crew = ClusterCrew(connected, Share(), command=scripted(tmp_path))
    events = Runner(plan_of(path), store, crew=crew).events()
    while not isinstance(next(events), UnitDone):
        pass
    processes("ray_bridge")[0].kill()
    with pytest.raises(EndpointError, match=r"the connection to Ray was lost .*run the same command"):
        list(events)
    wait_for_nobody(["NodeWorker", str(tmp_path)])


# -- clusters that will not do -----------------------------------------------------------------------------------------


def test_a_cluster_with_too_little_is_refused_with_what_it_has(connected: RayCluster):
    with pytest.raises(UsageError, match=r"no node of the cluster has room .* 4 CPUs; there are: .*\(1 CPUs, 0 GPUs\)"):
        ClusterCrew(connected, Share(cpus=4))


def test_a_cluster_that_others_hold_ends_the_run_after_a_while(tmp_path: Path, connect: Callable[[], RayCluster]):
    path = scripted_recipe(tmp_path, "wait", "wait")
    holder = ClusterCrew(connect(), Share(), command=scripted(tmp_path))
    holding = Runner(plan_of(path), tmp_path / "other.sqlite", crew=holder).events()
    while not (isinstance(event := next(holding), CrewChanged) and event.num_ready == 2):
        pass
    crew = ClusterCrew(connect(), Share(), command=scripted(tmp_path), place_s=0.5)
    with pytest.raises(EdgesearchError, match=r"has had no worker .*other programs may hold them"):
        list(Runner(plan_of(path), tmp_path / "run.sqlite", crew=crew).events())
    holding.close()  # type: ignore[attr-defined]


def test_a_node_with_another_version_is_refused_by_name(
    tmp_path: Path, ray_cluster: Any, connected: RayCluster, monkeypatch: pytest.MonkeyPatch
):
    told = tmp_path / "there" / "edgesearch-9.9.9.dist-info" / "METADATA"
    told.parent.mkdir(parents=True)
    told.write_text("Metadata-Version: 2.1\nName: edgesearch\nVersion: 9.9.9\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "there"))
    odd = ray_cluster.add_node(num_cpus=2)
    path, (store, _) = scripted_recipe(tmp_path, "one", "two", "three"), stores(tmp_path)
    crew = ClusterCrew(connected, Share(cpus=2), command=scripted(tmp_path))
    with pytest.raises(EdgesearchError, match=r"has edgesearch 9\.9\.9, and this machine"):
        list(Runner(plan_of(path), store, crew=crew).events())
    ray_cluster.remove_node(odd)


def test_a_node_without_edgesearch_is_told_with_the_pip_command(
    tmp_path: Path, ray_cluster: Any, connected: RayCluster, monkeypatch: pytest.MonkeyPatch
):
    broken = tmp_path / "there" / "edgesearch" / "__init__.py"
    broken.parent.mkdir(parents=True)
    broken.write_text('raise ModuleNotFoundError("No module named edgesearch")', encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "there"))
    odd = ray_cluster.add_node(num_cpus=2)
    path, (store, _) = scripted_recipe(tmp_path, "one"), stores(tmp_path)
    crew = ClusterCrew(connected, Share(cpus=2), command=scripted(tmp_path))
    with pytest.raises(EdgesearchError, match=r"cannot run a worker .*No module named edgesearch.*pip install"):
        list(Runner(plan_of(path), store, crew=crew).events())
    ray_cluster.remove_node(odd)


@pytest.mark.usefixtures("_ray")
@pytest.mark.parametrize("is_open", [True, False])
def test_an_address_where_no_cluster_answers_is_an_error_after_a_while(is_open: bool):
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        if not is_open:
            server.close()
        with pytest.raises(EndpointError, match="no Ray cluster answers at") as raised:
            RayCluster(f"127.0.0.1:{port}", connect_s=2.0)
    assert raised.value.exit_code == 9
    wait_for_nobody(["ray_bridge"])


# -- without Ray -------------------------------------------------------------------------------------------------------


def test_without_ray_the_pip_command_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'edgesearch\[cluster\]'"):
        RayCluster("10.0.0.1:6379")


def test_an_address_of_a_client_is_refused():
    with pytest.raises(UsageError, match="give HOST:PORT of ray start --head, or auto"):
        RayCluster("ray://10.0.0.1:10001")


def test_a_bridge_that_hangs_is_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(module.ray_bridge, "COMMAND", [sys.executable, "-c", "import time; time.sleep(600)"])
    with pytest.raises(EndpointError, match=r"no Ray cluster answers at 10\.0\.0\.1:6379 .*ray status") as raised:
        RayCluster("10.0.0.1:6379", connect_s=0.5)
    assert raised.value.exit_code == 9


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("The actor died unexpectedly.\n\tclass_name: A\nThe actor is dead because ...", "The actor died unexpectedly"),
        ("\x1b[36mray::A.bug()\x1b[39m (pid=1)\n  File ...\nValueError: oh", "ValueError: oh"),
        ("", "RuntimeError"),
    ],
)
def test_of_what_ray_says_the_error_is_told_or_the_first_line(told: str, words: str):
    assert _words(RuntimeError(told)) == words
