"""A plan finds out all that can go wrong before the first solve, and keys depend on content alone."""

import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from bench_runs import plan_of, write_recipe, write_task

from edgesearch.bench.recipe import Cell, SamplesEngine, unit_key
from edgesearch.bench.units import Group, ModelFile, Plan, Source, machine, versions
from edgesearch.errors import IntegrityError, ModelNotFound, UsageError
from edgesearch.tasks import base
from edgesearch.tasks.base import Sample, Task, make_sample
from edgesearch.types import CodeSpec, Problem

MODELS = Path(str(resources.files("edgesearch_models"))) / "nano"
ENGINES = """
[[engines]]
id = "small"
kind = "gguf"
solver = "nano"
verifier = "{verifier}"

[[engines]]
id = "large"
kind = "gguf"
solver = "{solver}"
verifier = "none"

[[grid]]
engines = ["small", "large"]
strategy = ["greedy", "majority"]
n = [4, 16]
budget_s = [1.0, 2.0]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_task(tmp_path, ["one", "two", "three"])
    return tmp_path


def plan(folder: Path, solver: str = "nano-medium", verifier: str = "none", limit: int | None = None) -> Plan:
    return plan_of(write_recipe(folder, ENGINES.format(solver=solver, verifier=verifier)), limit)


def keys(planned: Plan) -> set[str]:
    return {unit.key for group in planned.groups for unit in planned.units(group)}


def test_cells_of_one_engine_width_and_length_share_a_group(folder: Path):
    groups = [
        (group.source.engine.id, {cell.n for cell in group.cells}, len(group.cells)) for group in plan(folder).groups
    ]
    assert groups == [("small", {1}, 2), ("small", {4}, 2), ("small", {16}, 2), ("large", {1}, 2), ("large", {4}, 2),
                      ("large", {16}, 2)]  # fmt: skip


def test_an_engine_is_loaded_as_wide_as_its_cells_need(folder: Path):
    assert [group.load.max_n for group in plan(folder).groups] == [1, 4, 16, 1, 4, 16]


def test_every_sample_of_every_cell_is_one_unit_with_its_own_key(folder: Path):
    planned = plan(folder)
    assert len(keys(planned)) == planned.num_units == 12 * 3


def test_what_is_done_is_left_out(folder: Path):
    planned = plan(folder)
    first, *rest = planned.units(planned.groups[0])
    assert list(planned.units(planned.groups[0], {first.key})) == rest


def test_keys_do_not_depend_on_where_the_recipe_lies(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("other")
    write_task(other, ["one", "two", "three"])
    assert keys(plan(folder)) == keys(plan(other))


def test_another_model_changes_the_keys_of_its_own_units_only(folder: Path):
    medium, large = keys(plan(folder)), keys(plan(folder, solver="nano-large"))
    assert len(medium & large) == 6 * 3


def test_another_verifier_changes_the_keys(folder: Path):
    without, with_one = plan(folder), plan(folder, verifier="auto")
    assert len(keys(without) & keys(with_one)) == 6 * 3
    digests = with_one.run_info().model_digests
    assert {"small/solver", "small/verifier", "small/manifest", "small/settings", "large/solver"} <= set(digests)


def test_a_verifier_that_is_made_of_others_is_keyed_by_its_kind_and_their_files(folder: Path):
    certain, product = plan(folder, verifier="certainty"), plan(folder, verifier="product:nano-prm,certainty:entropy")
    digests = [each.run_info().model_digests["small/verifier"] for each in (certain, product)]
    own = plan(folder, verifier="nano-prm").run_info().model_digests["small/verifier"]
    assert digests == ["certainty mean", f"product {own} certainty entropy"]
    assert [len(each.sources["small"].files) for each in (certain, product)] == [1, 2]
    shared = plan(folder, verifier="product:auto,certainty:entropy")
    assert keys(shared) == keys(product)


def test_limit_takes_the_place_of_the_recipes_own(folder: Path):
    assert len(plan(folder, limit=2).task.samples) == 2


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"solver": "no-such"}, ModelNotFound, "no-such"),
        ({"solver": "gone.gguf"}, ModelNotFound, "gone.gguf"),
        ({"verifier": "no-such"}, ModelNotFound, "no-such"),
        ({"verifier": "nano-medium.gguf"}, ModelNotFound, "nano-medium.gguf"),
        ({"verifier": "product:certainty,no-such"}, ModelNotFound, "no-such"),
        ({"verifier": "certainty:luck"}, UsageError, "certainty has no kind 'luck'"),
    ],
)
def test_a_model_that_is_not_there_is_told_when_planning(
    folder: Path, changes: dict[str, str], error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        plan(folder, **changes)


def test_a_width_that_no_model_here_can_run_is_told_when_planning(folder: Path):
    path = write_recipe(folder, grid='engines = "small"\nstrategy = "majority"\nn = 300\nbudget_s = 1.0')
    with pytest.raises(UsageError, match=r"n=300.*at most n=250; use a smaller n"):
        plan_of(path)


def test_problems_that_share_an_engine_need_it_wide_enough_for_all_of_them(folder: Path):
    def shared(concurrent: int) -> Path:
        engine = f'[[engines]]\nid = "small"\nkind = "gguf"\nsolver = "nano"\nconcurrent = {concurrent}\n'
        return write_recipe(folder, f'{engine}\n[[grid]]\nengines = "small"\nstrategy = "beam"\nn = 30\nbudget_s = 1.0')

    (group,) = plan_of(shared(8)).groups
    assert (group.concurrent, group.load.max_n) == (8, 30)
    with pytest.raises(UsageError, match=r"at most n=250, and 9 problems share it \(concurrent\); use a smaller n"):
        plan_of(shared(9))


def test_a_grader_that_is_not_the_tasks_is_told_when_planning(folder: Path):
    task = 'name = "jsonl"\ndata = "problems.jsonl"\ngrader = "answer-1"'
    with pytest.raises(UsageError, match=r"'answer-1'.*'math-1'"):
        plan_of(write_recipe(folder, task=task))


def test_an_endpoint_has_no_files_and_its_settings_are_its_digest(folder: Path):
    body = '[[engines]]\nid = "far"\nkind = "endpoint"\nurl = "http://127.0.0.1:1/v1"\nmodel = "m"\n'
    grid = '[[grid]]\nengines = "far"\nstrategy = "greedy"\nbudget_s = 1.0'
    source = plan_of(write_recipe(folder, body + grid)).sources["far"]
    assert (set(source.digests), source.files) == ({"settings", "verifier"}, ())


def endpoint_digests(folder: Path, keys: str = "") -> dict[str, str]:
    body = '[[engines]]\nid = "far"\nkind = "endpoint"\nurl = "http://127.0.0.1:1/v1"\nmodel = "m"\n'
    grid = '[[grid]]\nengines = "far"\nstrategy = "greedy"\nbudget_s = 1.0'
    return dict(plan_of(write_recipe(folder, f"{body}{keys}\n\n{grid}")).sources["far"].digests)


def test_a_local_file_of_an_endpoints_model_is_part_of_its_digests_by_content(folder: Path):
    for name in ("one", "two"):
        shutil.copy(MODELS / "nano-q8_0.gguf", folder / f"{name}.gguf")
    one, two = (endpoint_digests(folder, f'like = "{name}.gguf"') for name in ("one", "two"))
    assert one == two
    assert {"like", "manifest"} <= set(one)
    assert endpoint_digests(folder, 'like = "nano-medium"')["like"] != one["like"]


def test_a_chat_template_is_part_of_the_digests_by_content(folder: Path):
    (folder / "mine.jinja").write_text("{{ messages[-1]['content'] }}")
    before = endpoint_digests(folder, 'template = "mine.jinja"')
    (folder / "mine.jinja").write_text("Q: {{ messages[-1]['content'] }}")
    assert endpoint_digests(folder, 'template = "mine.jinja"')["template"] != before["template"]
    with pytest.raises(ModelNotFound, match=r"gone\.jinja"):
        endpoint_digests(folder, 'template = "gone.jinja"')


def test_the_verifier_of_an_endpoint_is_that_of_the_model_it_is_like(folder: Path):
    found = endpoint_digests(folder, 'like = "nano"\nverifier = "auto"')
    assert found["verifier"] == endpoint_digests(folder, 'like = "nano"\nverifier = "nano-prm"')["verifier"]
    assert endpoint_digests(folder, 'like = "nano-large"\nverifier = "auto"')["verifier"] == "consensus"


def test_recorded_samples_are_never_loaded_in_a_worker(folder: Path):
    group = Group(Source(SamplesEngine("past", folder / "samples.jsonl"), {}), plan(folder).cells[:1])
    with pytest.raises(UsageError, match="nothing to load"):
        _ = group.load


def test_a_file_that_changes_under_the_run_is_refused_and_one_that_was_only_touched_is_not(tmp_path: Path):
    path = tmp_path / "model.gguf"
    shutil.copy(MODELS / "nano-q8_0.gguf", path)
    file = ModelFile.of(path)
    file.check()
    path.touch()
    file.check()
    path.write_bytes(b"GGUF")
    with pytest.raises(IntegrityError, match="changed while the run was under way"):
        file.check()
    path.unlink()
    with pytest.raises(ModelNotFound, match="cannot be read any more"):
        file.check()


def test_the_store_is_told_versions_and_machine():
    assert {"python", "edgesearch", "numpy"} <= set(versions())
    found: dict[str, Any] = machine()
    assert all(found[name] for name in ("platform", "processor", "cpus", "memory_bytes", "energy"))


def test_the_keys_of_tasks_without_programs_are_those_of_older_stores():
    asked = Sample(Problem("What is 1 + 1?", "p0"), "2", "What is 1 + 1?")
    task = Task("jsonl", 1, "test", "plain-1", "answer-1", base.Source("file:x", "sha256:0", "unknown"), (asked,))
    assert task.digest == "b3470f4b3b044cf7d66d413b6a68836cac2b916fad6efa47a53c9012f11ac1d0"
    cell = Cell("small", "beam", 16, 4, 10.0)
    key = unit_key(task.digest, {"solver": "aa"}, cell, asked.id, asked.problem.text)
    assert key == "ecaa60be28c550bf38a4b82a797fb099"


@pytest.mark.parametrize(
    "code",
    [CodeSpec(("g",), "import math\n", ("assert f(1)",)), CodeSpec(("f",), "", ("assert f(1)",)), CodeSpec(("f",))],
)
def test_the_keys_of_programs_depend_on_what_their_problem_says_of_them(code: CodeSpec):
    def keys_of(code: CodeSpec) -> str:
        asked = make_sample("p0", "Write f.", "assert f(1) == 2", code=code)
        source = base.Source("file:x", "sha256:0", "unknown")
        return Task("humaneval", 1, "test", "plain-1", "python-1", source, (asked,)).digest

    assert keys_of(code) != keys_of(CodeSpec(("f",), "import math\n", ("assert f(1)",)))
