"""What the runner and its worker process say to each other: one JSON object a line, each reply with its request's id.

    {"id": 1, "load": {"engine": {"kind": "gguf", "solver": "nano", ...}, "max_n": 16, ...}}
    {"id": 1, "load_s": 0.8}
    {"id": 2, "solve": {"problem": "Ana has ...", "sample_id": "arith-mixed-0-000011", "budget_s": 2.0, ...}}
    {"id": 2, "solved": {"answer": "192", "candidates": [...], ...}}
    {"id": 3, "error": "the problem has 5,000 tokens ...", "kind": "ContextOverflow"}

JSON and never pickle: what a process with native code in it sends is data, and can do nothing here. The target is no
part of a request, so that no solver can see it.

Not covered: starting and ending the process (process.py), what it does (worker.py).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from edgesearch import answer, errors
from edgesearch.bench.recipe import Cell, EndpointEngine, GgufEngine
from edgesearch.bench.records import GradedCandidate
from edgesearch.errors import EdgesearchError
from edgesearch.types import Candidate, CodeSpec, Finish, ModelNames, Problem, Solution, StrategyUsed, Usage

Message = dict[str, Any]
WorkedEngine = GgufEngine | EndpointEngine
"""Engines that run in the worker process."""
_KINDS: Mapping[str, type[WorkedEngine]] = {made.kind: made for made in (GgufEngine, EndpointEngine)}


@dataclass(frozen=True, slots=True)
class Load:
    """A request to load an engine."""

    engine: WorkedEngine
    max_n: int
    """Widest search to make room for."""
    max_tokens: int | None = None
    """Longest solution to make room for; None for the solver's own limit."""
    sandbox: str = "auto"
    """What programs are tried in, as in `TrialPool`."""

    def as_json(self) -> Message:
        """For the line."""
        engine = {"kind": self.engine.kind, **dataclasses.asdict(self.engine)}
        return {"engine": engine, "max_n": self.max_n, "max_tokens": self.max_tokens, "sandbox": self.sandbox}

    @classmethod
    def from_json(cls, found: Message) -> Self:
        """From the line."""
        fields = dict(found["engine"])
        engine = _KINDS[fields.pop("kind")](**fields)
        return cls(engine, found["max_n"], found["max_tokens"], found["sandbox"])


def solve_request(cell: Cell, problem: Problem) -> Message:
    """A request to solve a problem as a cell says."""
    settings = {name: value for name, value in cell.settings.items() if name != "engine"}
    asked: Message = {"problem": problem.text, "sample_id": problem.id}
    if problem.code is not None:
        asked["code"] = dataclasses.asdict(problem.code)
    return {**asked, **settings}


def asked_of(request: Message) -> tuple[Problem, Message]:
    """The problem of a request to solve one, and the options.

    Raises:
        TypeError, ValueError, KeyError: it is not what `solve_request` makes.
    """
    options = dict(request)
    code = options.pop("code", None)
    spec = None if code is None else CodeSpec(tuple(code["functions"]), code["prefix"], tuple(code["tests"]))
    return Problem(options.pop("problem"), options.pop("sample_id"), spec), options


@dataclass(frozen=True, slots=True)
class Solved:
    """What solving one unit gave; not graded yet."""

    answer: str | None
    """None means unanswered."""
    chosen: int | None
    """Index of the chosen candidate; None where there is none."""
    confidence: float | None
    finish: Finish
    started_s: float
    """Unix time."""
    ended_s: float
    """Unix time."""
    wall_s: float
    """From the accepted problem to the chosen answer."""
    usage: Usage
    strategy: StrategyUsed
    models: ModelNames
    warnings: tuple[str, ...] = ()
    candidates: tuple[GradedCandidate, ...] = ()
    """All of them `is_right=False`, as nobody has graded them yet."""
    joules: float | None = None
    """What the whole machine spent meanwhile; None where that is not counted."""

    @classmethod
    def of(cls, solution: Solution, *, started_s: float, ended_s: float, joules: float | None = None) -> Self:
        """What is kept of a solution.

        Args:
            solution: as the pipeline returned it.
            started_s: Unix time at which the problem was given to it.
            ended_s: Unix time.
            joules: as the field.
        """
        return cls(
            answer=solution.answer,
            chosen=_chosen(solution),
            confidence=solution.confidence,
            finish=solution.finish,
            started_s=started_s,
            ended_s=ended_s,
            wall_s=solution.wall_s,
            usage=solution.usage,
            strategy=solution.strategy,
            models=solution.models,
            warnings=solution.warnings,
            candidates=tuple(ungraded(candidate, started_s) for candidate in solution.candidates),
            joules=joules,
        )

    def as_json(self) -> Message:
        """For the line."""
        fields = _shallow(self)
        for name in ("usage", "strategy", "models"):
            fields[name] = _shallow(fields[name])
        return {**fields, "candidates": [_shallow(candidate) for candidate in self.candidates]}

    @classmethod
    def from_json(cls, found: Message) -> Self:
        """From the line.

        Raises:
            TypeError, ValueError, KeyError: it is not what `as_json` makes.
        """
        fields = dict(found)
        for name, made in (("usage", Usage), ("strategy", StrategyUsed), ("models", ModelNames)):
            fields[name] = made(**fields[name])
        fields["warnings"] = tuple(fields["warnings"])
        fields["candidates"] = tuple(_candidate(candidate) for candidate in fields["candidates"])
        return cls(**fields)


def _shallow(made: Any) -> Message:
    """The fields of a dataclass as they are; `dataclasses.asdict` copies each value, ten times as long for 64 texts."""
    return {name: getattr(made, name) for name in made.__match_args__}  # `dataclasses.fields` makes its list anew


def ungraded(candidate: Candidate, started_s: float = 0.0) -> GradedCandidate:
    """What is kept of a candidate of a solve that was started at that Unix time, before it is graded."""
    answer_class = None if candidate.answer is None else answer.canonical(candidate.answer)
    ended_s = None if candidate.finished_s is None else started_s + candidate.finished_s
    return GradedCandidate.of(candidate, answer_class=answer_class, is_right=False, ended_s=ended_s)


def _candidate(found: Message) -> GradedCandidate:
    lists = {name: tuple(found[name]) for name in ("step_scores", "step_ends")}
    return GradedCandidate(**{**found, **lists})


def _chosen(solution: Solution) -> int | None:
    """Which candidate the pipeline chose; the first of those that are the same. To vote again would take time."""
    wanted = (solution.text, solution.answer, solution.scores)
    kept = ((each.beam.text, each.answer, each.beam.scores) for each in solution.candidates)
    return next((place for place, candidate in enumerate(kept) if candidate == wanted), None)


def failure(error: Exception) -> Message:
    """An error, for the line."""
    told = str(error) if isinstance(error, EdgesearchError) else f"{type(error).__name__}: {error}"
    ours = (base.__name__ for base in type(error).__mro__ if base.__module__ == errors.__name__)
    return {"error": told or type(error).__name__, "kind": next(ours, type(error).__name__)}


def raised(reply: Message) -> EdgesearchError:
    """The error that a reply tells, with its exit code; of the base class where it is none of ours."""
    made = getattr(errors, str(reply.get("kind")), EdgesearchError)
    is_ours = isinstance(made, type) and issubclass(made, EdgesearchError)
    return (made if is_ours else EdgesearchError)(str(reply["error"]))
