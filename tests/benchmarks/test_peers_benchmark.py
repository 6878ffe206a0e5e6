"""The comparison with its_hub: what is run, what is made of it, and the verifier that both sides share.

its_hub and llama-server are not needed here; what needs them is run by benchmarks/peers/compare.py itself, which also
checks the prompts.
"""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import edgesearch
from edgesearch.tasks.arithmetic import held_out

Import = Callable[[str], ModuleType]


@pytest.fixture
def plan(benchmark_module: Import) -> ModuleType:
    return benchmark_module("peers.plan")


@pytest.fixture
def figures(benchmark_module: Import) -> ModuleType:
    return benchmark_module("peers.figures")


@pytest.fixture
def compare(benchmark_module: Import) -> ModuleType:
    return benchmark_module("peers.compare")


def row(plan: ModuleType, **changes: Any) -> Any:
    return replace(plan.Row("1", 0.01, 100, 30, 90), **changes)


# -- what is run -------------------------------------------------------------------------------------------------------


def test_each_cell_of_its_hub_is_followed_by_its_counterpart_and_by_its_own_seconds(plan: ModuleType) -> None:
    blocks = plan.blocks((1, 16), (16,))
    cells = [cell for block in blocks for cell in (block.peer, *block.ours)]
    names = [cell.name for cell in cells]
    assert len(names) == len(set(names))
    assert len(blocks) == 1 + 2 * 4
    for block in blocks:
        strategy = plan.COUNTERPARTS[block.peer.strategy]
        assert plan.Cell(plan.OURS, strategy, block.peer.n).name in names
        budgets = [(cell.strategy, cell.is_checked) for cell in block.ours if cell.of == block.peer.name]
        assert budgets == [("budget", False), ("budget", True)]
    assert [cell.n for cell in cells if cell.system == plan.OURS_HTTP] == [16, 16, 16]


class Recorder:
    """Both systems: notes what it is asked for."""

    def __init__(self, row: Any) -> None:
        self.row = row
        self.calls: list[tuple[str, str, float]] = []

    def solve(self, cell: Any, sample: Any, seed: int, budget_s: float = 0.0) -> Any:
        del seed
        self.calls.append((sample.id, cell.name, budget_s))
        return self.row


def test_a_budget_is_what_its_hub_has_just_taken_and_done_problems_are_not_solved_again(
    plan: ModuleType, compare: ModuleType, tmp_path: Path
) -> None:
    samples = held_out(3, 2)
    blocks = plan.blocks((4,), ())
    system = Recorder(row(plan, seconds=0.25))
    checkpoint = compare.Checkpoint(tmp_path / "run.partial.jsonl", "key")
    compare.solve_all(samples, blocks, checkpoint, system, system)
    for block in blocks:
        place = system.calls.index((samples[0].id, block.peer.name, 0.0))
        followers = system.calls[place + 1 : place + 1 + len(block.ours)]
        assert followers == [(samples[0].id, cell.name, 0.25 if cell.of else 0.0) for cell in block.ours]
    again = Recorder(row(plan))
    compare.solve_all(samples, blocks, compare.Checkpoint(tmp_path / "run.partial.jsonl", "key"), again, again)
    assert again.calls == []


def test_a_checkpoint_forgets_a_torn_line_and_lines_of_other_code(
    plan: ModuleType, compare: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "run.partial.jsonl"
    compare.Checkpoint(path, "old").add(7, {"a": row(plan)})
    checkpoint = compare.Checkpoint(path, "key")
    checkpoint.add(0, {"a": row(plan, mark="-")})
    checkpoint.add(1, {"a": row(plan)})
    path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    left = compare.Checkpoint(path, "key")
    assert left.done == {0: {"a": row(plan, mark="-")}}
    left.add(1, {"a": row(plan)})
    assert sorted(compare.Checkpoint(path, "key").done) == [0, 1]


# -- what is made of it ------------------------------------------------------------------------------------------------


@pytest.fixture
def found(plan: ModuleType, figures: ModuleType) -> dict[str, Any]:
    """its_hub right on 30 of 40 problems; edgesearch on the same ones and 4 more, three times as fast."""
    blocks = plan.blocks((4,), ())
    rows = {}
    for cell in (cell for block in blocks for cell in (block.peer, *block.ours)):
        is_ours = cell.system == plan.OURS
        rows[cell.name] = [
            row(
                plan,
                mark="1" if i < 30 + 4 * is_ours else "0",
                seconds=(0.01 if is_ours else 0.03) * (1 + i % 2),
                prefilled_tokens=30 if is_ours else 120,
                budget_s=0.02 if cell.of else 0.0,
            )
            for i in range(40)
        ]
    return figures.make(blocks, rows, 0)


def test_a_comparison_holds_the_paired_difference_and_the_ratio_of_seconds(found: dict[str, Any]) -> None:
    best = next(each for each in found["comparisons"] if each["peer"] == "its_hub best_of_n n=4")
    same = best["same"]
    assert same["name"] == "edgesearch best_of_n n=4 - its_hub best_of_n n=4"
    assert same["difference"] == pytest.approx(0.1)
    assert (same["gains"], same["losses"]) == (4, 0)
    assert same["times_faster"] == pytest.approx(3)
    assert same["times_faster_interval95"] == pytest.approx([3, 3])
    assert same["prefilled_tokens_ratio"] == 4
    assert best["equal_accuracy"] == {"name": "edgesearch best_of_n n=4", "accuracy": 0.85, "times_faster": 3.0}


def test_a_target_is_missed_only_where_the_whole_interval_is_on_the_wrong_side(
    found: dict[str, Any], figures: ModuleType
) -> None:
    assert all(target["is_reached"] for target in found["targets"])
    worse = json.loads(json.dumps(found["comparisons"]))
    worse[0]["budget"] |= {"difference": -0.1, "interval95": [-0.2, 0.01]}
    worse[1]["budget"] |= {"difference": -0.1, "interval95": [-0.2, -0.01]}
    worse[2]["same"] |= {"times_faster": 2.1, "times_faster_interval95": [1.9, 2.3]}
    worse[3]["budget"] |= {"times_faster": 2.1, "times_faster_interval95": [1.9, 2.3]}
    missed = [target["name"] for target in figures.targets(worse) if not target["is_reached"]]
    behind, slow, slow_by_budget = (worse[index]["peer"] for index in (1, 2, 3))
    assert missed == [
        f"in the seconds of {behind}: ahead, or equal within the interval",
        f"in the seconds of {behind}: as accurate in half of them",
        f"against {slow}, edgesearch best_of_n n=4: as accurate in half the seconds",
        f"in the seconds of {slow_by_budget}: as accurate in half of them",
    ]


def test_cells_say_how_late_an_answer_in_a_budget_was(found: dict[str, Any]) -> None:
    cells = {cell["name"]: cell for cell in found["cells"]}
    assert cells["edgesearch in the seconds of its_hub beam n=4"]["late_ms_p99"] == pytest.approx(0)
    assert cells["edgesearch beam n=4"]["late_ms_p99"] is None


def test_a_row_is_printed_for_each_cell(found: dict[str, Any], figures: ModuleType) -> None:
    lines = figures.table(found)
    assert len(lines) == 2 + len(found["cells"]) + len(found["targets"])
    assert all(not math.isnan(cell["seconds"]["mean"]) for cell in found["cells"])


def test_the_picture_is_written(found: dict[str, Any], benchmark_module: Import, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = benchmark_module("peers.chart").draw(found | {"problems": 40, "split": "mixed"}, tmp_path)
    assert path.read_text(encoding="utf-8").lstrip().startswith("<?xml")


# -- the shared verifier -----------------------------------------------------------------------------------------------


def test_a_text_is_scored_as_the_beam_that_it_was_in_edgesearch(benchmark_module: Import) -> None:
    prm = benchmark_module("peers.text_prm").TextPrm()
    with edgesearch.load("nano", "auto", max_n=8, check=False) as pipeline:
        for sample in held_out(11, 3):
            solution = pipeline.solve(sample.problem, strategy="best_of_n", n=8, budget_s=60)
            beams = [each.beam for each in solution.candidates if each.beam.finish == "stop"]
            assert prm.score(sample.problem, [beam.text for beam in beams], is_stepwise=False) == pytest.approx(
                [beam.scores[-1] for beam in beams], abs=1e-4
            )
            for beam in beams[:2]:
                begun = ["".join(step.text for step in beam.steps[:i]).strip() for i in range(1, len(beam.steps))]
                found = [score for text in begun for score in prm.score(sample.problem, [text], is_stepwise=True)]
                assert found == pytest.approx(list(beam.scores[:-1]), abs=1e-4)
    prm.close()


def test_a_step_is_read_once_and_a_blank_one_not_at_all(benchmark_module: Import) -> None:
    prm = benchmark_module("peers.text_prm").TextPrm()
    problem = held_out(11, 1)[0].problem
    first = prm.score(problem, ["1+2=3", "1+2=3", "2+2=4"], is_stepwise=True)
    assert first[0] == first[1] != first[2]
    read = prm.verified_tokens
    assert prm.score(problem, ["1+2=3\n\n", "1+2=3\n\n\n\n"], is_stepwise=True) == pytest.approx([first[0]] * 2)
    assert prm.verified_tokens == read
    prm.score(problem, ["1+2=3\n\nThe answer is \\boxed{3}"], is_stepwise=True)
    assert prm.verified_tokens == read + len(prm._vocabulary.tokenize("The answer is \\boxed{3}")) + 1
    read = prm.verified_tokens
    prm.forget()
    assert prm.score(problem, ["1+2=3"], is_stepwise=True) == pytest.approx(first[:1])
    assert prm.verified_tokens > read
    prm.close()


# -- what can go wrong -------------------------------------------------------------------------------------------------


def test_a_server_that_does_not_start_is_a_clear_error(benchmark_module: Import, tmp_path: Path) -> None:
    server = benchmark_module("peers.server")
    script = tmp_path / "llama-server"
    script.write_text("#!/bin/sh\necho no such model\nexit 3\n", encoding="utf-8")
    script.chmod(0o755)
    with pytest.raises(RuntimeError, match="code 3") as caught:
        server.Server(server.ServerConfig(script, tmp_path / "model.gguf", 1, 512, 1))
    assert "no such model" in str(caught.value)


def test_an_environment_without_its_hub_is_a_clear_error(benchmark_module: Import) -> None:
    systems = benchmark_module("peers.systems")
    python = Path(shutil.which("true") or "/bin/true")
    with pytest.raises(RuntimeError, match=r"requirements\.txt"):
        systems.ItsHub(python, None, max_tokens=16, max_steps=4, temperature=1.0)


def test_a_runner_that_ends_is_a_clear_error(benchmark_module: Import, plan: ModuleType, tmp_path: Path) -> None:
    systems = benchmark_module("peers.systems")
    python = tmp_path / "python"  # has its_hub, as it says, but cannot run it
    python.write_text('#!/bin/sh\nif [ "$1" = -c ]; then echo 1.2.0; fi\n', encoding="utf-8")
    python.chmod(0o755)
    server = SimpleNamespace(url="http://127.0.0.1:9", forget=lambda: None, counters=lambda: (0, 0))
    with systems.ItsHub(python, server, max_tokens=16, max_steps=4, temperature=1.0) as hub:
        assert hub.version == "1.2.0"
        with pytest.raises(RuntimeError, match="has ended"):
            hub.solve(plan.Cell(plan.PEER, "beam", 4), held_out(1, 1)[0], seed=0)
