"""What the tests of strategies share: a search that is answered by hand, and one run over scripted models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgesearch import search
from edgesearch.budget import Budget, ManualClock
from edgesearch.choice import choose
from edgesearch.driver import Driver
from edgesearch.engines.scripted import ScriptedEngine, Writer
from edgesearch.jobs import Job, JobResult
from edgesearch.search.base import Expand, Judge, Request, Search, SearchConfig
from edgesearch.types import Aggregator, Beam, Candidate, Finish, Prompt, Sampling, Step
from edgesearch.verifiers.scripted import Judgement, ScriptedVerifier

ROOT = Beam(Prompt("2 + 2?"))


def grow(
    beams: Sequence[Beam],
    finishes: Sequence[Finish] | None = None,
    *,
    num_steps: int = 1,
    texts: Sequence[str] | None = None,
) -> list[Beam]:
    """Each beam with that many steps more, the last of which ends as said; no two have the same tokens."""
    finishes = finishes or ["step"] * len(beams)
    texts = texts or [f"step {index}\n\n" for index in range(len(beams))]
    grown = []
    for index, (beam, finish, text) in enumerate(zip(beams, finishes, texts, strict=True)):
        before = [Step("on\n\n", (1000,), -1.0, "step") for _ in range(num_steps - 1)]
        grown.append(beam.grown((*before, Step(text, (index,), -1.0, finish))))
    return grown


def judge(beams: Sequence[Beam], scores: Sequence[float]) -> list[Beam]:
    """Each beam with that score for its last step, and 0.5 for those before it that had none."""
    return [
        beam if beam.is_judged else beam.judged((0.5,) * (len(beam.steps) - len(beam.scores) - 1) + (score,))
        for beam, score in zip(beams, scores, strict=True)
    ]


class Played:
    """A search and the one who answers its requests. What ends the search raises StopIteration."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.request: Request = next(search)

    def expand(self, finishes: Sequence[Finish] | None = None, texts: Sequence[str] | None = None) -> list[Beam]:
        """Answers an Expand; the beams that it gave."""
        assert isinstance(self.request, Expand)
        assert not self.request.is_to_end
        grown = grow(self.request.beams, finishes, num_steps=self.request.num_steps, texts=texts)
        self.request = self.search.send(grown)
        return grown

    def judge(self, scores: Sequence[float]) -> list[Beam]:
        """Answers a Judge; the beams that it gave."""
        assert isinstance(self.request, Judge)
        judged = judge(self.request.beams, scores)
        self.request = self.search.send(judged)
        return judged

    def turn(self, scores: Sequence[float], finishes: Sequence[Finish] | None = None) -> list[Beam]:
        """Grows and judges the frontier; the judged beams."""
        grown = self.expand(finishes)
        assert isinstance(self.request, Judge)
        assert list(self.request.beams) == grown
        return self.judge(scores)

    @property
    def frontier(self) -> list[Beam]:
        """The beams that are to grow."""
        assert isinstance(self.request, Expand)
        return list(self.request.beams)

    @property
    def num_steps(self) -> int:
        """By how many steps."""
        assert isinstance(self.request, Expand)
        return self.request.num_steps


class Scripted:
    """One strategy run by the driver over scripted models on a manual clock."""

    def __init__(
        self,
        write: Writer,
        name: str,
        *,
        n: int = 4,
        m: int = 2,
        options: Any = None,
        score: Judgement = lambda beam, index: 0.5,
        aggregator: Aggregator = "last",
        budget_s: float = 1000.0,
        pass_s: float = 0.01,
        token_s: float = 0.0,
        max_tokens: int = 1000,
        seed: int = 0,
    ) -> None:
        clock = ManualClock()
        self.engine = ScriptedEngine(write, clock=clock, pass_s=pass_s)
        self.verifier = ScriptedVerifier(score, clock=clock, token_s=token_s)
        self.strategy = search.strategy(name)
        job = Job(
            prompt=Prompt("how many apples are there"),
            strategy=self.strategy,
            config=SearchConfig(n=n, m=m, aggregator=aggregator, seed=seed),
            sampling=Sampling(),
            deadline=Budget(budget_s).start(clock),
            max_tokens=max_tokens,
            options=options,
            seed=seed,
        )
        self.result = self._run(Driver(self.engine, self.verifier), job)
        self.wall_s = clock.now_s

    @staticmethod
    def _run(driver: Driver, job: Job) -> JobResult:
        driver.submit(job)
        for _ in range(10_000):
            for _, result in driver.turn():
                return result
        raise AssertionError("the search never came to an end")

    @property
    def texts(self) -> list[str]:
        """Of all candidates."""
        return [candidate.beam.text for candidate in self.result.candidates]

    @property
    def chosen(self) -> Candidate | None:
        """The solution that the strategy answers with."""
        return choose(self.result.candidates, self.strategy.selection).candidate
