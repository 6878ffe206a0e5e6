"""A node solves what it is ordered to, and refuses an engine that is not the one that was planned with."""

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from bench_runs import plan_of, scripted, write_recipe, write_task

from edgesearch.bench import node
from edgesearch.bench.messages import raised
from edgesearch.bench.node import NodeWorker, Settings, own_cpus
from edgesearch.bench.station import Attempt, Order
from edgesearch.errors import EdgesearchError, EndpointError, IntegrityError, ModelNotFound

MODELS = Path(str(resources.files("edgesearch_models"))) / "nano"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[NodeWorker]:
    made = NodeWorker(dataclasses.asdict(Settings(0, 1, 1, tuple(scripted(tmp_path)))))
    yield made
    made._station.close()


def order_of(folder: Path, problem: str = "one", **parts: Any) -> Order:
    write_task(folder, [problem])
    plan = plan_of(write_recipe(folder, **parts))
    (group,) = plan.groups
    return Order.of(group, next(plan.units(group)))


def ask(worker: NodeWorker, order: Order) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(worker.work(json.dumps(order.as_json())))
    return found


def error_of(worker: NodeWorker, order: Order) -> EdgesearchError:
    return raised(dict(ask(worker, order)))


def test_an_order_is_carried_out(tmp_path: Path, worker: NodeWorker):
    attempt = Attempt.from_json(ask(worker, order_of(tmp_path))["attempt"])
    assert attempt.solved is not None
    assert attempt.solved.answer == "4"


def test_what_ends_the_run_keeps_its_class(tmp_path: Path, worker: NodeWorker):
    assert isinstance(error_of(worker, order_of(tmp_path, "away")), EndpointError)


@pytest.mark.parametrize("role", ["solver", "manifest", "verifier", "settings"])
def test_an_engine_that_is_another_here_is_refused_with_its_node_and_role(
    tmp_path: Path, worker: NodeWorker, role: str
):
    order = order_of(tmp_path)
    error = error_of(worker, dataclasses.replace(order, digests={**order.digests, role: "0" * 64}))
    assert isinstance(error, IntegrityError)
    assert f"the {role} of engine 'small' is not what the run was planned with" in str(error)
    assert str(error).startswith("on ")


def test_a_model_file_must_be_here_and_the_same(tmp_path: Path, worker: NodeWorker):
    model = tmp_path / "model.gguf"
    shutil.copy(MODELS / "nano-q8_0.gguf", model)
    grid = 'engines = "small"\nstrategy = "majority"\nn = [2, 4]\nbudget_s = 1.0'
    body = f'[[engines]]\nid = "small"\nkind = "gguf"\nsolver = "model.gguf"\nverifier = "none"\n[[grid]]\n{grid}'
    write_task(tmp_path, ["one"])
    plan = plan_of(write_recipe(tmp_path, body))
    first, second = (Order.of(group, next(plan.units(group))) for group in plan.groups)
    assert "attempt" in ask(worker, first)
    shutil.copy(MODELS / "nano-medium-q8_0.gguf", model)
    assert isinstance(error_of(worker, second), IntegrityError)
    model.unlink()
    assert isinstance(error_of(worker, second), ModelNotFound)


def test_a_path_from_the_recipes_folder_is_found_wherever_a_worker_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copy(MODELS / "nano-q8_0.gguf", tmp_path / "model.gguf")
    write_task(tmp_path, ["one"])
    body = '[[engines]]\nid = "small"\nkind = "gguf"\nsolver = "model.gguf"\nverifier = "none"\n'
    grid = '[[grid]]\nengines = "small"\nstrategy = "majority"\nn = 4\nbudget_s = 1.0'
    write_recipe(tmp_path, body + grid)
    monkeypatch.chdir(tmp_path)
    (group,) = plan_of(Path("recipe.toml")).groups
    assert group.load.as_json()["engine"]["solver"] == str(tmp_path / "model.gguf")


def test_a_node_tells_its_code_its_machine_and_the_versions_that_results_depend_on(worker: NodeWorker):
    told = json.loads(worker.describe())
    assert told["code"] == node.code()
    assert told["versions"] == node.versions()
    assert {"edgesearch", "llama-cpp-python", "numpy", "onnxruntime"} == set(told["versions"])
    assert told["machine"]["cpus"]


# -- pinning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "usable", "own"),
    [
        (Settings(0, 2, 4), [0, 1, 2, 3], [0, 1]),
        (Settings(1, 2, 4), [4, 5, 6, 7], [6, 7]),
        (Settings(1, 1, 3), [0, 1, 2], [1]),
        (Settings(0, 4, 4), [0, 1, 2, 3], []),  # all of them
        (Settings(0, 1, 2), [0, 1, 2, 3], []),  # Ray counts others than it may use
    ],
)
def test_workers_that_share_a_node_have_cpus_of_their_own(settings: Settings, usable: list[int], own: list[int]):
    assert list(own_cpus(settings, usable)) == own
