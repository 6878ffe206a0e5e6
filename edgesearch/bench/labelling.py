"""Step labels by rollouts: what a process reward model is trained on where no program can judge a step.

The solver draws some solutions of each problem. From the end of each of their steps it then draws rollouts to the end,
and the step's value is the share of them that reach a right answer; a solution's last step is judged by its own answer.
A step's label is 1 where its value is above 0 ("hard"), and its value is the "soft" label.

    {"schema_version": 1, "key": "9f...", "settings": "4c...", "task_id": "arith-mixed-0-000003", "sample": 0,
     "num_samples": 8, "problem": "...", "target": "29", "steps": ["4*6=24\\n\\n", "24+5=29\\n\\n", "The answer ..."],
     "values": [0.75, 1.0, 1.0], "labels": [1, 1, 1], "answer": "29", "is_right": true, "finish": "stop", "seed": 0,
     "model": "nano", "rollouts": 8, "usage": {"decoded_tokens": 4211, ...}}

`problem` is what was asked and `steps` joined is the solution as written. `usage` is what the whole problem cost, the
same on each of its lines. A solution that was cut off by its length has no answer and is not right.

What the values get wrong: a right step that the solver cannot finish has a low one, and a wrong one from which a right
answer is hit all the same has a high one. Both grow as the solver gets smaller.

Cost: with solutions of s steps, each of the K solutions once, and R rollouts from each of at most K (s - 1) prefixes.
Prefixes that read alike share their rollouts, and the prompt and the prefixes are never read twice: they stay in the
engine's KV cache while they are rolled out. Problems are labelled one after the other, from an empty cache, so that a
problem's labels depend on nothing but itself and the settings: a run that is resumed makes the same file.

Not covered: labels by program (edgesearch/tasks/arithmetic), training (models/recipes), engines over HTTP.

Source: Wang et al., "Math-Shepherd", arXiv 2312.08935 (section 3.3: hard and soft estimation).
"""

import dataclasses
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesearch import answer, catalog
from edgesearch.bench import label_file, outcomes, units
from edgesearch.bench.label_file import LabelFile
from edgesearch.bench.recipe import GgufEngine
from edgesearch.budget import MAX_BUDGET_S, Budget, Clock, Deadline
from edgesearch.catalog import SolverSpec
from edgesearch.driver import Driver
from edgesearch.engines.base import Engine
from edgesearch.engines.sampling import mix_seed
from edgesearch.errors import ContextOverflow, EdgesearchError, UsageError
from edgesearch.jobs import Job, JobResult
from edgesearch.prompt import make_prompt
from edgesearch.search.base import Expand, NoOptions, Search, SearchConfig, Strategy
from edgesearch.search.select import alive
from edgesearch.tasks import grading
from edgesearch.tasks.base import Sample, Task
from edgesearch.types import SCHEMA_VERSION, Beam, Usage

MAX_SAMPLES = 250
"""As many drafts as the in-process engine has room for."""
_WIDTHS = {True: 64, False: 16}
"""Drafts under way together, for models smaller than that and for others."""
_SMALL_MODEL_BYTES = 64 << 20
_TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """How labels are made."""

    num_samples: int = 8
    """K: solutions of each problem; in [1, 250]."""
    num_rollouts: int = 8
    """R: rollouts from each step; in [1, 4096]."""
    seed: int = 0
    """Of every draw."""
    max_tokens: int | None = None
    """Longest solution, rollouts included; None for the solver's own limit."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_samples <= MAX_SAMPLES:
            raise ValueError(f"num_samples must be in [1, {MAX_SAMPLES}], not {self.num_samples}")
        if not 1 <= self.num_rollouts <= 4096:
            raise ValueError(f"num_rollouts must be in [1, 4096], not {self.num_rollouts}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens must be >= 1, not {self.max_tokens}")


@dataclass(frozen=True, slots=True)
class LabelTotals:
    """What a session has labelled."""

    num_solutions: int = 0
    num_right: int = 0
    """Solutions with a right answer."""
    num_steps: int = 0
    num_right_steps: int = 0
    """Steps with the label 1."""
    decoded_tokens: int = 0

    def plus(self, lines: Sequence[Mapping[str, Any]]) -> "LabelTotals":
        """With the lines of one more problem."""
        return LabelTotals(
            self.num_solutions + len(lines),
            self.num_right + sum(line["is_right"] for line in lines),
            self.num_steps + sum(len(line["steps"]) for line in lines),
            self.num_right_steps + sum(sum(line["labels"]) for line in lines),
            self.decoded_tokens + (lines[0]["usage"]["decoded_tokens"] if lines else 0),
        )


@dataclass(frozen=True, slots=True)
class LabelProgress:
    """How far a run is; told about once a second, and after each problem."""

    sample_id: str
    """The problem under way, or just done."""
    num_done: int
    """Problems that are in the file, those of earlier sessions included."""
    num_problems: int
    totals: LabelTotals
    time_left_s: float | None
    """At the pace of this session; None before its first problem is done."""


@dataclass(frozen=True, slots=True)
class ProblemSkipped:
    """A problem that cannot be labelled."""

    sample_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class LabellingFinished:
    """A session as it stands at its end; the last event."""

    path: Path
    num_problems: int
    num_resumed: int
    """Problems that were labelled before."""
    num_labelled: int
    """Problems that were labelled now."""
    num_skipped: int
    totals: LabelTotals
    """Of what was labelled now."""
    wall_s: float
    is_cancelled: bool
    warnings: tuple[str, ...] = ()

    @property
    def num_left(self) -> int:
        """Problems that are still to be labelled."""
        return self.num_problems - self.num_resumed - self.num_labelled - self.num_skipped


LabelEvent = LabelProgress | ProblemSkipped | LabellingFinished


class Labeller:
    """One session of labelling a task. Its events are to be taken once."""

    def __init__(
        self,
        task: Task,
        model: str,
        path: str | Path,
        settings: LabelSettings | None = None,
        *,
        n: int | None = None,
        num_threads: int | None = None,
        load: Callable[[SolverSpec], Engine] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Finds the model and the grader; loads nothing yet.

        Args:
            task: the problems, their targets and their grader.
            model: a name from `edgesearch info`, a path to a GGUF, or `hf:REPO[:QUANT|FILE]`.
            path: of the file, new or of the same settings.
            settings: how labels are made.
            n: drafts under way together; default: 64 for small models and 16 for others, or as many as samples.
            num_threads: that decode; default: chosen from the machine.
            load: makes the engine; default: the in-process one.
            clock: for progress.

        Raises:
            UsageError: n is below the number of samples.
            EdgesearchError: the model cannot be found or is damaged.
        """
        self._settings = settings or LabelSettings()
        self._task, self._path, self._clock = task, Path(path), clock
        self._spec = catalog.solver(model)
        self._num_threads = num_threads
        self._load = load or self._load_in_process
        source = units.resolve(GgufEngine("labels", model, "none", check=False))
        self._n = max(_width(self._spec), self._settings.num_samples) if n is None else n
        if self._n < self._settings.num_samples:
            raise UsageError(f"n must be at least the number of samples, {self._settings.num_samples}, not {self._n}")
        self._digest = _settings_digest(source.digests, task.grader, self._settings)
        self._deadline: Deadline | None = None
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ends the run now; the problem under way is not written. Safe from another thread and a signal handler."""
        self._cancelled.set()
        if self._deadline is not None:
            self._deadline.cancel()

    def events(self) -> Iterator[LabelEvent]:
        """Labels what is not in the file yet and tells how it goes; the last event is `LabellingFinished`.

        Raises:
            UsageError: the file is another's, or of other settings.
            EdgesearchError: the file cannot be written, the engine cannot be loaded, or an extra is missing.
        """
        with ExitStack() as undo:
            file = undo.enter_context(label_file.opened(self._path, self._digest))
            is_right = undo.enter_context(_Comparison(self._task.grader))
            todo = [sample for sample in self._task.samples if self._key(sample) not in file.done]
            session = _Session(len(self._task.samples), len(todo), self._clock)
            if todo and not self._cancelled.is_set():
                engine = self._load(self._spec)
                undo.callback(engine.close)
                for sample in todo:
                    yield from self._label(sample, engine, is_right, file, session)
                    if self._cancelled.is_set():
                        break
                session.warnings = engine.warnings
            yield session.finished(self._path, is_cancelled=self._cancelled.is_set())

    def _load_in_process(self, spec: SolverSpec) -> Engine:
        from edgesearch.engines.llama_cpp import LlamaCppEngine

        longest = self._settings.max_tokens or spec.max_tokens
        return LlamaCppEngine(
            spec.path,
            name=spec.name,
            max_sequences=self._n,
            max_tokens=min(longest, round(1.5 * spec.mean_solution_tokens)),
            longest=longest,
            num_threads=self._num_threads,
        )

    def _label(
        self, sample: Sample, engine: Engine, is_right: "_Comparison", file: LabelFile, session: "_Session"
    ) -> Iterator[LabelEvent]:
        """Labels one problem and writes its lines."""
        tree = _Tree(self._settings.num_rollouts)
        driver = Driver(engine, None)
        try:
            try:
                number = driver.submit(self._job(sample, tree))
            except ContextOverflow as error:
                yield session.skipped(sample, str(error))
                return
            while not (ended := driver.turn()):
                if session.is_due():
                    yield session.progress(sample, driver.view(number).decoded_tokens)
        finally:
            driver.close()
        result = ended[0][1]
        if result.is_cut and self._cancelled.is_set():
            return
        if result.is_cut:
            raise EdgesearchError(f"problem {sample.id} took a day; lower --samples, --rollouts or --max-tokens")
        lines = self._lines(sample, tree, result, is_right)
        file.append(lines)
        yield session.labelled(sample, lines)

    def _job(self, sample: Sample, tree: "_Tree") -> Job:
        spec, settings = self._spec, self._settings
        deadline = self._deadline = Budget(MAX_BUDGET_S).start(self._clock)
        if self._cancelled.is_set():  # it may have come before there was a deadline to end
            deadline.cancel()
        return Job(
            prompt=make_prompt(sample.problem, system=spec.system_prompt, step_delimiter=spec.step_delimiter),
            strategy=Strategy("label", tree.grow, "majority", False, True, "solutions, and rollouts of each step"),
            config=SearchConfig(n=settings.num_samples, m=1),
            sampling=spec.sampling,
            deadline=deadline,
            max_tokens=settings.max_tokens or spec.max_tokens,
            seed=mix_seed(settings.seed, int(hashlib.sha256(sample.id.encode()).hexdigest()[:16], 16)),
            id=sample.id,
        )

    def _key(self, sample: Sample) -> str:
        """A problem and all that its labels depend on."""
        return _digest([self._digest, sample.id, sample.problem.text, sample.question, sample.target])

    def _lines(self, sample: Sample, tree: "_Tree", result: JobResult, is_right: "_Comparison") -> list[dict[str, Any]]:
        """A line for each solution."""
        head = {"schema_version": SCHEMA_VERSION, "key": self._key(sample), "settings": self._digest}
        known = {stated: is_right(sample, stated) for stated in tree.answers()}
        lines: list[dict[str, Any]] = []
        for index, solution in enumerate(tree.solutions):
            values = tree.values(solution, known)
            stated = tree.answer_of(solution)
            lines.append(
                head
                | {"task_id": sample.id, "sample": index, "num_samples": len(tree.solutions)}
                | {"problem": sample.problem.text, "target": sample.target}
                | {"steps": [step.text for step in solution.steps], "values": values}
                | {"labels": [int(value > 0) for value in values], "answer": stated, "is_right": known[stated]}
                | {"finish": solution.finish, "seed": self._settings.seed, "model": self._spec.name}
                | {"rollouts": self._settings.num_rollouts, "usage": _usage(result.usage)}
            )
        return lines


class _Tree:
    """The solutions of one problem and the rollouts of their prefixes, as they are drawn."""

    def __init__(self, num_rollouts: int) -> None:
        self._num_rollouts = num_rollouts
        self.solutions: list[Beam] = []
        """In the order of their lengths in steps; those that end together in the order of their drafts."""
        self._reached: dict[str, list[str | None]] = {}
        """By the text of a prefix: what its rollouts answer."""

    def grow(self, root: Beam, config: SearchConfig, options: NoOptions) -> Search:
        """Draws all solutions step by step, and rollouts of each step while its prefix is held."""
        del options
        beams = [root] * config.n
        while beams:
            beams = yield Expand(beams)
            self.solutions += [beam for beam in beams if not beam.is_alive]
            beams = alive(beams)
            prefixes = list({beam.text: beam for beam in beams}.values())
            starts = [prefix for prefix in prefixes for _ in range(self._num_rollouts)]
            ends = yield Expand(starts, is_to_end=True, keep=beams, is_rollout=True)
            for index, prefix in enumerate(prefixes):
                drawn = ends[index * self._num_rollouts : (index + 1) * self._num_rollouts]
                self._reached[prefix.text] = [self.answer_of(end) for end in drawn]

    def answers(self) -> set[str | None]:
        """All that solutions and rollouts answer."""
        given = {stated for reached in self._reached.values() for stated in reached}
        return given | {self.answer_of(solution) for solution in self.solutions}

    def answer_of(self, beam: Beam) -> str | None:
        """What it states; one that was cut off states nothing."""
        return answer.stated(beam.prompt, beam.text) if beam.finish == "stop" else None

    def values(self, solution: Beam, known: Mapping[str | None, bool]) -> list[float]:
        """For each step the share of its rollouts that are right; for the last, whether the solution is."""
        values: list[float] = []
        text = ""
        for step in solution.steps[:-1]:
            text += step.text
            reached = self._reached[text]
            values.append(sum(known[stated] for stated in reached) / len(reached))
        return [*values, float(known[self.answer_of(solution)])]


class _Comparison:
    """Whether an answer is right, by the task's grader; what it cannot decide is not. A context manager."""

    def __init__(self, name: str) -> None:
        self._undo = ExitStack()
        self._grader = None if name == outcomes.ARITHMETIC else self._undo.enter_context(grading.grader(name))

    def __enter__(self) -> "_Comparison":
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def __call__(self, sample: Sample, stated: str | None) -> bool:
        if stated is None:
            return False
        if self._grader is None:
            return outcomes.arithmetic_1(sample, stated)
        return self._grader.compare(sample.target, stated).is_equal


class _Session:
    """Counts up as problems are done."""

    def __init__(self, num_problems: int, num_todo: int, clock: Clock) -> None:
        self._num_problems, self._num_resumed, self._clock = num_problems, num_problems - num_todo, clock
        self._num_labelled = self._num_skipped = 0
        self._totals = LabelTotals()
        self._started = clock()
        self._begun: float | None = None
        """When the first problem began: loading is not part of the pace."""
        self._told = self._started
        self.warnings: tuple[str, ...] = ()

    def is_due(self) -> bool:
        """Whether it is time to tell how it goes."""
        if self._begun is None:
            self._begun = self._clock()
        return self._clock() - self._told >= _TICK_S

    def progress(self, sample: Sample, more_tokens: int = 0) -> LabelProgress:
        """How far it is, with the tokens of the problem under way."""
        self._told = self._clock()
        totals = dataclasses.replace(self._totals, decoded_tokens=self._totals.decoded_tokens + more_tokens)
        num_done = self._num_resumed + self._num_labelled
        return LabelProgress(sample.id, num_done, self._num_problems, totals, self._time_left_s())

    def labelled(self, sample: Sample, lines: Sequence[Mapping[str, Any]]) -> LabelProgress:
        """Counts a problem."""
        self._num_labelled += 1
        self._totals = self._totals.plus(lines)
        return self.progress(sample)

    def skipped(self, sample: Sample, reason: str) -> ProblemSkipped:
        """Counts a problem that cannot be labelled."""
        self._num_skipped += 1
        return ProblemSkipped(sample.id, reason)

    def finished(self, path: Path, *, is_cancelled: bool) -> LabellingFinished:
        """The last event."""
        return LabellingFinished(
            path=path,
            num_problems=self._num_problems,
            num_resumed=self._num_resumed,
            num_labelled=self._num_labelled,
            num_skipped=self._num_skipped,
            totals=self._totals,
            wall_s=self._clock() - self._started,
            is_cancelled=is_cancelled,
            warnings=self.warnings,
        )

    def _time_left_s(self) -> float | None:
        if not self._num_labelled or self._begun is None:
            return None
        pace_s = (self._clock() - self._begun) / self._num_labelled
        return pace_s * (self._num_problems - self._num_resumed - self._num_labelled - self._num_skipped)


def _width(spec: SolverSpec) -> int:
    return _WIDTHS[spec.path.stat().st_size < _SMALL_MODEL_BYTES]


def _settings_digest(model: Mapping[str, str], grader: str, settings: LabelSettings) -> str:
    return _digest([SCHEMA_VERSION, dict(model), grader, dataclasses.asdict(settings)])


def _digest(content: object) -> str:
    """32 hexadecimal digits."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:32]


def _usage(usage: Usage) -> dict[str, float]:
    """What does not depend on the machine."""
    names = ("prompt_tokens", "prefilled_tokens", "reused_tokens", "decoded_tokens", "solver_flops")
    return {name: getattr(usage, name) for name in names}
