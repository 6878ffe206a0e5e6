"""A pool that runs trials in this process: for tests of what verifiers make of results, with programs written here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from edgesearch.sandbox.base import SandboxInfo
from edgesearch.sandbox.trial import Tested, Trial, TrialResult


class FakePool:
    """A program whose text holds `STOPS AT n` is stopped at the n-th test of every trial, from 0."""

    def __init__(self, *, is_isolating: bool = True, stopped_s: float = 0.0) -> None:
        """Makes one; `stopped_s` is the processor time of a trial in which the program is stopped."""
        self.info = SandboxInfo("fake", is_isolating=is_isolating, caution="it can do anything")
        self.trials: list[Trial] = []
        self.is_closed = False
        self._stopped_s = stopped_s

    def run_all(self, trials: Iterable[Trial], *, until_s: float = math.inf) -> Iterator[TrialResult]:
        for trial in trials:
            self.trials.append(trial)
            result = _run(trial)
            is_stopped = len(result.tested) < result.num_tests
            yield replace(result, cpu_s=self._stopped_s) if is_stopped else result

    def close(self) -> None:
        self.is_closed = True

    def num_tried(self, program: str) -> int:
        """Trials of a program."""
        return sum(trial.program == program for trial in self.trials)


def _run(trial: Trial) -> TrialResult:
    _, mark, number = trial.program.partition("STOPS AT ")
    end = int(number.split()[0]) if mark else len(trial.tests)
    program: dict[str, Any] = {}
    try:
        exec(trial.program, program)
    except Exception as error:
        return TrialResult((Tested("failed", repr(error)),), len(trial.tests))
    num_calls = 0

    def call(name: str, *arguments: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        return program[name](*arguments)

    names: dict[str, Any] = {}
    exec(trial.setup, names)
    names |= {name: lambda *arguments, name=name: call(name, *arguments) for name in trial.functions}
    tested = []
    for test in trial.tests[: end + 1]:
        before = num_calls
        try:
            exec(test, names)
            tested.append(Tested("passed" if num_calls > before else "error", "it calls nothing"))
        except Exception as error:
            tested.append(Tested("failed" if num_calls > before else "error", repr(error)))
    if end < len(trial.tests):
        tested[-1] = Tested("failed", "stopped")
    return TrialResult(tuple(tested), len(trial.tests))
