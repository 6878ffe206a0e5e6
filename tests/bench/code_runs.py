"""What the tests of runs whose answers are programs share: a small task, recorded programs, and a pool that fakes."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from edgesearch.sandbox.base import SandboxInfo
from edgesearch.sandbox.trial import Tested, Trial, TrialResult

DOUBLE, NEGATE, BROKEN = "HumanEval/0", "HumanEval/1", "HumanEval/2"
TASK = '[task]\nname = "humaneval"\ndata = "task.jsonl"\n'


def task_row(task_id: str, name: str, shown: str, test: str) -> dict[str, str]:
    """A row as HumanEval's data have it."""
    prompt = f'def {name}(x):\n    """{shown}"""\n'
    return {"task_id": task_id, "prompt": prompt, "entry_point": name, "canonical_solution": "", "test": test}


ROWS = (
    task_row(
        DOUBLE,
        "double",
        "Twice x.\n\n    >>> double(2)\n    4\n    ",
        "def check(candidate):\n    for x in range(5):\n        assert candidate(x) == 2 * x\n",
    ),
    task_row(NEGATE, "negate", "Minus x.", "def check(candidate):\n    assert candidate(3) == -3\n"),
    task_row(BROKEN, "broken", "Any.", "import no_such_module\ndef check(candidate):\n    assert candidate(3) == -3\n"),
)


def write_code_task(folder: Path, rows: Sequence[Mapping[str, str]] = ROWS) -> Path:
    """The task's data: one problem with a visible test, one without, and one whose hidden tests are at fault."""
    path = folder / "task.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_programs(folder: Path, programs: Mapping[str, Sequence[str]]) -> Path:
    """Recorded samples."""
    path = folder / "samples.jsonl"
    rows = (
        {"task_id": task_id, "sample_idx": number, "completion": text}
        for task_id, texts in programs.items()
        for number, text in enumerate(texts)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


class FakePool:
    """Runs nothing: passes a program that holds RIGHT, and finds tests at fault that hold `no_such_module`."""

    def __init__(self, *, is_isolating: bool = True) -> None:
        self.info = SandboxInfo("fake", is_isolating, "it only reads them")
        self.trials: list[Trial] = []
        self.is_closed = False

    def run_all(self, trials: Iterable[Trial], *, until_s: float = float("inf")) -> Iterator[TrialResult]:
        del until_s
        for trial in trials:
            self.trials.append(trial)
            is_faulty = any("no_such_module" in test for test in trial.tests)
            status, reason = ("error", "no such module") if is_faulty else ("failed", "wrong")
            tested = Tested("passed") if "RIGHT" in trial.program and not is_faulty else Tested(status, reason)
            yield TrialResult((tested,) * len(trial.tests), len(trial.tests))

    def close(self) -> None:
        self.is_closed = True
