"""A pipeline that runs no model: it solves a problem as the problem's text says. Also a program, for subprocess tests.

`python fake_pipeline.py solve "wait" ...` is the real command on this pipeline.

The texts: `wait` searches until it is cancelled or 20 s are over; `stuck` does not even end then; `unanswered` and
`long` find nothing; `overflow`, `crash` and `memory` raise; anything else is answered with 42.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import sys
import threading
import time
from collections.abc import Callable, Iterator

from edgesearch.errors import ContextOverflow
from edgesearch.events import Event, Progress, Solved, Started
from edgesearch.types import (
    Beam,
    Candidate,
    Finish,
    ModelNames,
    Problem,
    Prompt,
    Solution,
    Step,
    StrategyUsed,
    Usage,
)

WARNING = "this is a fake"


def command() -> object:
    """The click command that the console script runs."""
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="edgesearch")
    return entry.load()


def beam(*texts: str, finish: Finish = "stop") -> Beam:
    """A judged beam of those steps."""
    steps = tuple(Step(text, (1, 2), -1.0, finish) for text in texts)
    return Beam(Prompt("?"), steps, tuple(0.5 + 0.25 * place for place in range(len(steps))))


def progress(*beams: Beam, best: Candidate | None = None, seconds_left: float = 5.0) -> Progress:
    """A look at a search with those beams."""
    return Progress(seconds_left, tuple((each, 0.5) for each in beams), best, 1, 100, 200.0)


def solution(answer: str | None = "42", **changes: object) -> Solution:
    """A solution in two steps."""
    chosen = beam("6 times 7 is 42.\n\n", "The answer is \\boxed{42}.")
    plain = Solution(
        answer=answer,
        text=chosen.text,
        finish="stop",
        confidence=0.75,
        budget_s=10.0,
        wall_s=1.5,
        load_s=0.5,
        strategy=StrategyUsed("beam", 16, 4, "last"),
        models=ModelNames("fake", "fake-prm"),
        usage=Usage(prompt_tokens=7, decoded_tokens=20, peak_bytes=1_000_000),
        warnings=(WARNING,),
        candidates=(Candidate(chosen, answer, 0.75),),
        steps=tuple(step.text for step in chosen.steps),
        scores=chosen.scores,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


class FakePipeline:
    """Stands in for `edgesearch.pipeline.Pipeline`."""

    load_s = 0.5
    models = ModelNames("fake", "fake-prm")

    def __init__(self) -> None:
        self.calls: list[dict[str, object]] = []
        self.problems: list[Problem] = []
        self.is_closed = False
        self.during: Callable[[], None] | None = None
        """Called in the middle of each search."""
        self.result = solution()
        self._cancelled = threading.Event()

    def __enter__(self) -> FakePipeline:
        return self

    def __exit__(self, *error: object) -> None:
        self.is_closed = True

    def cancel(self) -> None:
        self._cancelled.set()

    def events(self, problem: Problem, **options: object) -> Iterator[Event]:
        self.problems.append(problem)
        self.calls.append(options)
        self._cancelled.clear()
        budget_s = options["budget_s"]
        assert isinstance(budget_s, float)
        strategy = StrategyUsed("beam", 16, 4, "last")
        yield Started(problem.text, budget_s, 0.5, self.models, strategy, "it is the widest that fits", (WARNING,))
        result = dataclasses.replace(self._result(problem.text), budget_s=budget_s)
        yield progress(beam("6 times 7", finish="step"), best=(*result.candidates, None)[0])
        if self.during is not None:
            self.during()
        yield Solved(result)

    def _result(self, text: str) -> Solution:
        match text.strip():
            case "wait":
                self._cancelled.wait(20)
                return dataclasses.replace(self.result, finish="deadline")
            case "stuck":
                self._cancelled.wait(20)
                time.sleep(20)
            case "overflow":
                raise ContextOverflow("the problem has 5,000 tokens, the model's context 4,096; use a longer context")
            case "crash":
                raise RuntimeError("something broke")
            case "memory":
                raise MemoryError
            case "unanswered":
                return solution(None, finish="deadline", candidates=(), steps=(), scores=(), text="", confidence=None)
            case "long":
                return solution(None, finish="length")
        return self.result


class Loader:
    """Stands in for `edgesearch.loading.load`."""

    def __init__(self) -> None:
        self.pipeline = FakePipeline()
        self.calls: list[tuple[str, str, int | None, int | None]] = []
        self.checks: list[bool] = []
        """Whether each load was to check answers."""
        self.policies: list[str | None] = []
        """The policy file that each load was given."""
        self.sandboxes: list[str] = []
        """What each load was to run programs in."""
        self.error: BaseException | None = None

    def __call__(
        self,
        solver: str,
        verifier: str,
        *,
        max_n: int | None = None,
        max_tokens: int | None = None,
        num_threads: int | None = None,
        check: bool = True,
        policy: str | None = None,
        sandbox: str = "auto",
    ) -> FakePipeline:
        self.calls.append((solver, verifier, max_n, num_threads))
        self.checks.append(check)
        self.policies.append(policy)
        self.sandboxes.append(sandbox)
        if self.error is not None:
            raise self.error
        return self.pipeline


if __name__ == "__main__":
    main = command()
    main(sys.argv[1:], prog_name="edgesearch", obj={"load": Loader()})  # type: ignore[operator]
