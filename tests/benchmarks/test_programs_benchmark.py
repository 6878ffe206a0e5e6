"""The benchmarks of programs and of sandboxes run on a few made-up problems and count what they should."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgesearch.errors import SandboxUnavailable
from edgesearch.sandbox import probe

ADD = 'def add(a, b):\n    """Adds."""\n'
TWICE = 'def twice(text):\n    """Says it twice."""\n'
PROBLEMS = [
    ("Made/0", ADD, "add", "    return a + b\n", "assert candidate(1, 2) == 3\n    assert candidate(0, -1) == -1"),
    ("Made/1", TWICE, "twice", "    return 2 * text\n", "assert candidate('ab') == 'abab'"),
]
SAMPLES = {
    ADD: ["    return a + b\n", "    return a - b\n", "    return b + a\n", "    return a  +  b  # again\n"],
    TWICE: ["    return text\n", "    return text + text\n", "    while True: pass\n", "    return text\n"],
}
TESTS = {
    ADD: ["add(1, 1) == 2\nassert add(2, 0) == 2", " add(5, 5) == 10", "add(1, 1) == 3", "nothing"],
    TWICE: ["twice('x') == 'xx'", "twice('') == ''", "twice('x') == 'xx'", "twice('x') == 'x'"],
}


@pytest.fixture(autouse=True)
def _needs_a_sandbox() -> None:
    try:
        probe.find_for_programs()
    except SandboxUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The benchmark's five files, of two problems."""
    rows = [
        {
            "task_id": key,
            "prompt": prompt,
            "entry_point": name,
            "canonical_solution": body,
            "test": f"def check(candidate):\n    {test}\n",
        }
        for key, prompt, name, body, test in PROBLEMS
    ]
    shown = [{**row, "prompt": row["prompt"].replace('."""', '.\n    >>> add(1, 2)\n    3\n    """')} for row in rows]
    asked = [
        {"prompt": f"{prompt}    pass\n\n# check the correctness of it\nassert ", "samples": TESTS[prompt]}
        for prompt in TESTS
    ]
    content = {
        "--prompts": rows,
        "--humaneval": shown,
        "--mbpp": [_as_mbpp(number, row) for number, row in enumerate(rows, 2)],
        "--samples": [{"prompt": prompt, "samples": samples} for prompt, samples in SAMPLES.items()],
        "--tests": asked,
    }
    for name, found in content.items():
        (tmp_path / f"{name[2:]}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return {name: tmp_path / f"{name[2:]}.jsonl" for name in content}


def _as_mbpp(number: int, row: dict[str, str]) -> dict[str, str]:
    """MBPP's tests call the function by its own name."""
    asserts = row["test"].replace("assert candidate(", f"assert {row['entry_point']}(")
    return {**row, "task_id": f"MbppEval/{number}", "test": asserts}


def test_recorded_samples_are_graded_thrice_alike_and_chosen_from(
    run_quickly: Callable[..., tuple[dict[str, Any], str]], files: dict[str, Path], tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    options = [*(part for pair in files.items() for part in pair), "--work", tmp_path / "work", "--plot", pictures]
    figures = run_quickly("programs.py", *options)[0]["figures"]
    assert [each["num_passed"] for each in figures["references"].values()] == [2, 2]
    found = figures["samples"]
    assert (found["num_samples"], found["num_different"]) == (8, 6)  # "a  +  b" is "a + b", and one text came twice
    assert found["pass_at_k"] == {"1": pytest.approx((3 / 4 + 1 / 4) / 2)}
    assert found["num_verdicts_that_differ"] == {"second": 0, "busy": 0}
    assert found["num_run"] == {"first": 8, "second": 8, "busy": 6}
    assert found["reasons"]["processor time"] == 1
    assert figures["choosing"]["accuracy"]["random"] == {"1": pytest.approx(0.5)}
    assert sorted(path.name for path in pictures.iterdir()) == ["programs-choosing.svg", "programs-coverage.svg"]
    assert run_quickly("programs.py", *options)[0]["figures"] == figures  # from what was kept


def test_choosing_takes_what_the_tests_say_and_shares_ties(benchmark_module: Callable[[str], ModuleType]) -> None:
    module = benchmark_module("programs_choosing")
    right = [True, False, True, False] * 25
    visible = [1.0 if good or number == 1 else 0.0 for number, good in enumerate(right)]
    passed = [[good, not good] for good in right]
    rows = module._problem(right, visible, passed, [[0], [0], [1]] * 30)
    assert [rows["100"]["random"], rows["1"]["any"]] == pytest.approx([0.5, 0.5])
    assert rows["100"]["visible"] == pytest.approx(50 / 51)
    assert rows["100"]["agreement"] == rows["100"]["visible_then_agreement"] == 1.0
    assert rows["1"]["visible"] == pytest.approx(0.5, abs=0.12)  # one program leaves nothing to choose


def test_every_sandbox_that_works_here_is_timed(run_quickly: Callable[..., tuple[dict[str, Any], str]]) -> None:
    figures = run_quickly("sandbox.py")[0]["figures"]
    assert figures["tiers"]
    for name, times in figures["tiers"].items():
        assert probe.flaw_for_programs(name) is None
        assert 0 < times["warm_ms"]["p50"] <= times["warm_ms"]["most"]
        assert times["cold_ms"]["p50"] > 0
