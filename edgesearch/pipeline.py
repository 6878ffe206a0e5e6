"""From a problem and a number of seconds to a solution, in one straight line.

`Pipeline.events` accepts a problem, starts its clock, plans, runs the search and ends with a `Solution`.

Not covered: finding and loading the models (loading.py), several problems at once (shared.py).
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from edgesearch import coding, search
from edgesearch.budget import Budget, Clock, Deadline
from edgesearch.catalog import SolverSpec
from edgesearch.choice import Choice, choose
from edgesearch.driver import Driver
from edgesearch.engines.base import Engine
from edgesearch.errors import UsageError
from edgesearch.events import Event, Progress, Solved, Started
from edgesearch.jobs import Closing, Job, JobResult, JobView
from edgesearch.peak_memory import peak_bytes
from edgesearch.planner.auto import AutoPlanner, Wish
from edgesearch.planner.pace import PaceMeter
from edgesearch.planner.policy import Policy
from edgesearch.planner.predict import Outlook
from edgesearch.planner.profile import Profile
from edgesearch.planner.standing import Tally
from edgesearch.planner.width import Plan, plan
from edgesearch.prompt import make_prompt
from edgesearch.search.base import Strategy
from edgesearch.search.early_stop import EarlyStop
from edgesearch.search.options import Value, parse_options
from edgesearch.types import (
    AGGREGATORS,
    Aggregator,
    ModelNames,
    PlanUsed,
    Problem,
    Prompt,
    Solution,
    StrategyUsed,
    Usage,
)
from edgesearch.verifiers.base import Verifier, warnings_of
from edgesearch.verifiers.checks import Check

_PROGRESS_S = 0.1
_CLOSING = r"The answer is \boxed{"
_CLOSING_TOKENS = 24
"""That stating an answer takes at most, its beginning among them."""
_WRITTEN_TOKENS = 8
"""Of these: about those of the beginning, which one pass reads. Each of the answer's takes a pass of its own."""
_CLOSING_PESSIMISM = 1.3


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of one solve; see `Pipeline.events`."""

    budget_s: float = 10.0
    strategy: str = "auto"
    n: int | None = None
    m: int = 4
    aggregator: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    options: Mapping[str, Value] = field(default_factory=dict)
    early_stop: float | None = None
    confidence: float | None = 0.95
    seed: int = 0
    is_traced: bool = False

    def __post_init__(self) -> None:
        if self.m < 1:
            raise UsageError(f"m must be >= 1, not {self.m}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise UsageError(f"max-tokens must be >= 1, not {self.max_tokens}")
        if self.confidence is not None and not 0.5 < self.confidence <= 1:
            raise UsageError(f"confidence must be in (0.5, 1], not {self.confidence}; 1 never stops for it")


@dataclass(frozen=True, slots=True)
class _Planned:
    """How one solve begins, and who decides how it goes on."""

    plan: Plan
    options: Any
    planner: AutoPlanner | None
    """None where one search is all."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a problem has of an engine that others use at the same time."""

    max_n: int
    """Beams that it may begin with."""
    num_elsewhere: int
    """Beams of the others, which share its passes."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A problem that is planned: its job, and what its solution tells beside the job's result."""

    problem: Problem
    budget_s: float
    job: Job
    planned: _Planned
    warnings: tuple[str, ...]


class Pipeline:
    """Loaded models, ready to solve one problem after another; several at once with `shared.SharedPipeline`."""

    def __init__(
        self,
        spec: SolverSpec,
        engine: Engine,
        verifier: Verifier | None,
        verifier_name: str | None,
        *,
        check: Check | None = None,
        profile: Profile | None = None,
        policy: Policy | None = None,
        load_s: float = 0.0,
        warnings: tuple[str, ...] = (),
        clock: Clock = time.monotonic,
    ) -> None:
        self._spec = spec
        self._engine = engine
        self._verifier = verifier
        self._check = check
        if profile is None:
            profile = Profile.of_pace(engine.pace, verifier.seconds_per_token if verifier is not None else 0.0)
        self.profile = profile
        """What work costs on this device."""
        self.policy = policy
        """What was measured of these models; None where nothing is known."""
        self._meter = PaceMeter(profile)
        self._warnings = warnings
        self._deadline: Deadline | None = None
        self._is_closed = False
        self.is_shared = False
        """Whether several problems share it at the moment, so that it solves none beside them."""
        self.clock = clock
        """What its budgets are measured by."""
        self.load_s = load_s
        """Seconds that loading and measuring took."""
        device = verifier.info.place if verifier is not None else None
        check_name = spec.check if check is not None else None
        self.models = ModelNames(engine.info.name, verifier_name, engine.info.device, device, check_name)
        """The loaded models and where they run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the models; safe to call twice."""
        self._is_closed = True
        self._engine.close()
        if self._verifier is not None:
            self._verifier.close()

    def cancel(self) -> None:
        """Ends the solve under way now; it still ends with the best so far. Safe from a signal handler."""
        if self._deadline is not None:
            self._deadline.cancel()

    def solve(
        self,
        problem: str | Problem,
        *,
        budget_s: float = 10.0,
        strategy: str = "auto",
        n: int | None = None,
        m: int = 4,
        aggregator: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        options: Mapping[str, Value] | None = None,
        early_stop: float | None = None,
        confidence: float | None = 0.95,
        seed: int = 0,
    ) -> Solution:
        """Like `events`, without them."""
        events = self.events(
            problem,
            budget_s=budget_s,
            strategy=strategy,
            n=n,
            m=m,
            aggregator=aggregator,
            max_tokens=max_tokens,
            temperature=temperature,
            options=options,
            early_stop=early_stop,
            confidence=confidence,
            seed=seed,
        )
        return next(event.solution for event in events if isinstance(event, Solved))

    def events(
        self,
        problem: str | Problem,
        *,
        budget_s: float = 10.0,
        strategy: str = "auto",
        n: int | None = None,
        m: int = 4,
        aggregator: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        options: Mapping[str, Value] | None = None,
        early_stop: float | None = None,
        confidence: float | None = 0.95,
        seed: int = 0,
        is_traced: bool = False,
    ) -> Iterator[Event]:
        """Solves a problem within a budget and tells how it goes; the last event is `Solved`.

        Args:
            problem: the question.
            budget_s: wall-clock seconds from now to the answer, in (0, 86400].
            strategy: a name from `edgesearch.search.names()`, or `auto`: searches that follow each other until the
                budget is spent or enough is known.
            n: most beams; fewer are used where time is short.
            m: children per kept beam.
            aggregator: last, min, prod or mean; default: what the verifier was trained for.
            max_tokens: tokens per solution at most; default: the solver's own limit.
            temperature: of sampling; default: the solver's own.
            options: the strategy's own settings, by name.
            early_stop: of strategies that vote: ends them once no sample that is still being drawn can change the vote
                (1), or once it is this sure that the leader is ahead for good, in (0.5, 1]; None never does.
            confidence: of `auto`: ends it once the answer is right with this calibrated probability, in (0.5, 1]; 1 and
                None never do, nor do models whose confidence was never calibrated (`edgesearch tune`).
            seed: fixes every draw.
            is_traced: whether every step and score comes as an event.

        Raises:
            UsageError: an option out of its range.
            ContextOverflow: the problem does not fit.
        """
        if self.is_shared:
            raise UsageError("several problems share this pipeline; submit this one there, or close the sharing first")
        self.check_open()
        deadline = self._deadline = Budget(budget_s).start(self.clock)
        asked = Asked(
            budget_s,
            strategy,
            n,
            m,
            aggregator,
            max_tokens,
            temperature,
            options or {},
            early_stop,
            confidence,
            seed,
            is_traced,
        )
        return self._run(self.prepare(Problem(problem) if isinstance(problem, str) else problem, asked, deadline))

    def check_open(self) -> None:
        """Whether it can still be used.

        Raises:
            UsageError: it is closed.
        """
        if self._is_closed:
            raise UsageError("this pipeline is closed; load another with edgesearch.load")

    def prepare(self, problem: Problem, asked: Asked, deadline: Deadline, share: Share | None = None) -> Prepared:
        """Plans a problem that was accepted. Its prompt is open in the engine then, for a driver to go on with.

        Args:
            problem: the question.
            asked: how it is to be solved.
            deadline: of its budget.
            share: what it has of the engine; None for all of it.

        Raises:
            UsageError: an option out of its range.
            ContextOverflow: the problem does not fit.
        """
        system = coding.system_prompt(self._spec, problem)
        prompt = make_prompt(problem, system=system, step_delimiter=self._spec.step_delimiter)
        share = share or Share(self._engine.info.max_sequences, 0)
        try:
            planned, warnings = self._plan(asked, prompt, deadline, share)
            warnings += self._warnings + self._domain_warnings(problem)
            job = self._job(asked, prompt, planned, deadline, problem.id, share)
        except BaseException:
            self._engine.release([prompt.id])
            raise
        return Prepared(problem, asked.budget_s, job, planned, warnings)

    def driver(self) -> Driver:
        """A new driver over the models; one at a time."""
        return Driver(self._engine, self._verifier, self._check, meter=self._meter, clock=self.clock)

    def _run(self, prepared: Prepared) -> Iterator[Event]:
        """Runs a job; however it ends, the models hold nothing of it afterwards."""
        driver, job = self.driver(), prepared.job
        try:
            number = driver.submit(job)
            shown = (*prepared.warnings, *self._engine.warnings)
            used, reason = job.first.used, prepared.planned.plan.reason
            models = self._models_of(prepared.problem)
            yield Started(prepared.problem.text, prepared.budget_s, self.load_s, models, used, reason, shown)
            shown_s = 0.0
            while True:
                ended = driver.turn()
                for _, result in ended:
                    yield from result.events
                    yield Solved(self.solution(prepared, result))
                    return
                if job.is_traced:
                    yield from driver.events(number)
                if job.deadline.elapsed() - shown_s >= _PROGRESS_S:
                    shown_s = job.deadline.elapsed()
                    yield progress(driver.view(number), job.deadline)
        finally:
            driver.close()

    # -- planning --------------------------------------------------------------------------------------------------

    def _plan(self, asked: Asked, prompt: Prompt, deadline: Deadline, share: Share) -> tuple[_Planned, tuple[str, ...]]:
        """How it begins, and what to warn of."""
        scorer = coding.scorer(self._verifier, prompt)
        wanted, warnings = self._choose_strategy(asked.strategy, prompt, scorer)
        options = parse_options(wanted, asked.options)
        most = self._engine.info.max_sequences
        if asked.n is not None and not 1 <= asked.n <= most:
            raise UsageError(f"n must be in [1, {most}] as this model is loaded, not {asked.n}")
        num_tokens = len(self._engine.open(prompt)) or _estimated_tokens(prompt)
        outlook = self._outlook(asked, num_tokens, share.num_elsewhere)
        self._meter.start(outlook.prompt_tokens + outlook.mean_solution_tokens / 2)
        aggregator = self._aggregator(asked.aggregator)
        is_tested = coding.is_tested(self._verifier, prompt, wanted)
        is_open = prompt.code is None or is_tested  # else nothing tells when to stop, and one search is all
        if asked.strategy == "auto" and wanted.name != "greedy" and is_open:
            confidence = None if asked.confidence == 1 else asked.confidence
            wish = Wish(wanted, aggregator, asked.n or most, asked.m, confidence, is_tested)
            planner = AutoPlanner(wish, outlook, self._policy_of(prompt), self._meter)
            first = planner.begin(deadline.remaining(), share.max_n)
            return _Planned(first, first.strategy.options(), planner), warnings
        planned = plan(
            wanted,
            search.strategy("greedy"),
            outlook,
            budget_s=deadline.remaining(),
            n=asked.n or most,
            m=asked.m,
            aggregator=aggregator,
            options=options,
            room=share.max_n,
        )
        is_other = planned.strategy.name != wanted.name
        if is_other or (asked.n is not None and planned.config.n < asked.n and wanted.name != "greedy"):
            is_shared = not is_other and planned.config.n == share.max_n
            reason = "other problems share the engine" if is_shared else planned.reason
            warnings += (f"{planned.strategy.name} with n={planned.config.n} ran instead: {reason}",)
        return _Planned(planned, planned.strategy.options() if is_other else options, None), warnings

    def _choose_strategy(self, name: str, prompt: Prompt, scorer: Verifier | None) -> tuple[Strategy, tuple[str, ...]]:
        """The strategy of that name, or what stands in for it, and what to warn of."""
        if name == "auto" and prompt.code is not None:
            return self._choose_for_code(scorer)
        if name == "auto":
            return search.strategy(self._best_strategy()), ()
        wanted = search.strategy(name)
        if wanted.needs_scores and scorer is None and self._verifier is not None:
            return search.strategy("greedy"), (coding.NO_TESTS,)  # one such problem of a task is no reason to fail
        if wanted.needs_scores and self._verifier is None and self.models.verifier == "consensus":
            warning = f"{name} needs a verifier that scores; majority vote (consensus) is used instead"
            return search.strategy("majority"), (warning,)
        if wanted.needs_scores and self._verifier is None:
            raise UsageError(f"strategy {name} needs a verifier; use --verifier, or --strategy majority")
        return wanted, ()

    def _choose_for_code(self, scorer: Verifier | None) -> tuple[Strategy, tuple[str, ...]]:
        """What suits a problem that asks for a program, and what to warn of; without scores many are of no use."""
        if scorer is None:
            return search.strategy("greedy"), (coding.NO_TESTS,) if self._verifier is not None else ()
        return search.strategy("codet" if scorer.info.reads_tests else "best_of_n"), ()

    def _models_of(self, problem: Problem) -> ModelNames:
        """Those that answer it; the exact check is of final answers only."""
        return self.models if problem.code is None else dataclasses.replace(self.models, check=None)

    def _policy_of(self, prompt: Prompt) -> Policy | None:
        """What was measured of the models on such problems."""
        return self.policy if prompt.code is None else None

    def _best_strategy(self) -> str:
        """What suits the verifier: the answers of all waves are put to a vote, so each wave is one whose own do."""
        if self.models.verifier is None:
            return "greedy"
        if self._verifier is None or self.models.verifier == "consensus":
            return "majority"
        return "weighted" if self._verifier.info.is_outcome else "rebase"

    def _outlook(self, asked: Asked, prompt_tokens: int, num_elsewhere: int) -> Outlook:
        return Outlook(
            self.profile,
            prompt_tokens=prompt_tokens,
            mean_solution_tokens=self._spec.mean_solution_tokens,
            mean_step_tokens=self._spec.mean_step_tokens,
            max_tokens=asked.max_tokens or self._spec.max_tokens,
            slowdown=self._meter.slowdown,
            num_elsewhere=num_elsewhere,
        )

    def _aggregator(self, name: str | None) -> Aggregator:
        if name is None:
            name = self._verifier.info.aggregator if self._verifier is not None else "last"
        if name not in AGGREGATORS:
            raise UsageError(f"aggregator must be one of {', '.join(AGGREGATORS)}, not {name!r}")
        if self._verifier is not None and self._verifier.info.is_outcome and name != "last":
            raise UsageError(f"{self._verifier.info.name} scores whole solutions only: leave the aggregator at last")
        return name

    def _job(
        self, asked: Asked, prompt: Prompt, planned: _Planned, deadline: Deadline, problem_id: str, share: Share
    ) -> Job:
        sampling = self._spec.sampling
        if asked.temperature is not None:
            try:
                sampling = dataclasses.replace(sampling, temperature=asked.temperature)
            except ValueError as error:
                raise UsageError(str(error)) from error
        return Job(
            prompt=prompt,
            strategy=planned.plan.strategy,
            config=dataclasses.replace(planned.plan.config, seed=asked.seed),
            options=planned.options,
            early_stop=_early_stop(asked.early_stop),
            sampling=sampling,
            deadline=deadline,
            max_tokens=asked.max_tokens or self._spec.max_tokens,
            seed=asked.seed,
            has_safety_lane=planned.plan.has_safety_lane,
            id=problem_id,
            reason=planned.plan.reason,
            predicted_s=planned.plan.predicted_s,
            planner=planned.planner,
            closing=self._closing(prompt, planned.plan.config.n + share.num_elsewhere),
            is_traced=asked.is_traced,
            is_tested=coding.is_tested(self._verifier, prompt, planned.plan.strategy),
        )

    def _closing(self, prompt: Prompt, width: int) -> Closing | None:
        """What makes unfinished solutions answer, and how long before the deadline that has to begin."""
        if prompt.code is not None:
            return None
        num_passes = _CLOSING_TOKENS - _WRITTEN_TOKENS
        passes_s = num_passes * self.profile.pass_s(width, self._spec.mean_solution_tokens)
        seconds = (self.profile.prefill_s(_WRITTEN_TOKENS * width) + passes_s) * self._meter.slowdown
        return Closing(prompt.step_delimiter + _CLOSING, _CLOSING_TOKENS, _CLOSING_PESSIMISM * seconds)

    def _domain_warnings(self, problem: Problem) -> tuple[str, ...]:
        if self._spec.domain != "arithmetic":
            return ()
        if problem.code is not None:
            return (
                f"{self._spec.name} was only trained on generated arithmetic problems and cannot write programs: do "
                "not trust the answer; use --model with a real model that writes code",
            )
        from edgesearch.tasks.arithmetic import out_of_domain

        reasons = out_of_domain(problem.text)
        if not reasons:
            return ()
        return (
            f"{self._spec.name} was only trained on generated arithmetic problems, and this text is not one "
            f"({'; '.join(reasons[:3])}): do not trust the answer; use --model with a real 1B-3B model",
        )

    # -- the end ---------------------------------------------------------------------------------------------------

    def _verifier_warnings(self) -> tuple[str, ...]:
        return warnings_of(self._verifier) if self._verifier is not None else ()

    def solution(self, prepared: Prepared, result: JobResult) -> Solution:
        """What is told of a job that has ended."""
        warnings = prepared.warnings + result.warnings
        choice = choose(result.candidates, result.job.selection)
        code, chosen = result.job.prompt.code, choice.candidate
        if result.job.is_tested and chosen is not None and chosen.answer is not None and chosen.score is None:
            warnings += (coding.NOT_TRIED,)
        elif choice.is_unscored and code is None:
            warnings += ("there was no time to score a solution; the answer is the majority's",)
        proof = chosen.beam.proof if chosen is not None else None
        if proof is False:
            warnings += (
                "the answer is wrong: it fails this problem's exact check, and so does every other that was found",
            )
        beam = chosen.beam if chosen is not None else None
        calibrated = self._calibrated(result, choice)
        used = self._plan_used(result, prepared.planned)
        return Solution(
            answer=chosen.answer if chosen is not None else None,
            text=beam.text if beam is not None else "",
            finish="deadline" if result.is_cut or beam is None else beam.finish,
            confidence=choice.confidence if calibrated is None else calibrated,
            budget_s=prepared.budget_s,
            wall_s=result.job.deadline.elapsed(),
            load_s=self.load_s,
            strategy=max((wave.strategy for wave in used.waves), key=lambda strategy: strategy.n),
            models=self._models_of(prepared.problem),
            usage=dataclasses.replace(result.usage, peak_bytes=peak_bytes()),
            warnings=tuple(dict.fromkeys((*warnings, *self._engine.warnings, *self._verifier_warnings()))),
            candidates=result.candidates,
            steps=tuple(step.text for step in beam.steps) if beam is not None else (),
            scores=beam.scores if beam is not None else (),
            id=prepared.problem.id,
            proof=proof,
            early_stop=result.early_stop,
            is_calibrated=calibrated is not None,
            agreement=choice.share,
            plan=used,
            tests=coding.visible_tests(self._verifier, result, chosen),
        )

    def unanswered(self, problem: Problem, asked: Asked, deadline: Deadline, warning: str) -> Solution:
        """Of a problem whose budget ended before anything was drawn for it."""
        return Solution(
            answer=None,
            text="",
            finish="deadline",
            confidence=None,
            budget_s=asked.budget_s,
            wall_s=deadline.elapsed(),
            load_s=self.load_s,
            strategy=StrategyUsed(asked.strategy, 0, 1, asked.aggregator or "last"),
            models=self._models_of(problem),
            usage=Usage(peak_bytes=peak_bytes()),
            warnings=(warning, *self._warnings),
            id=problem.id,
        )

    def _calibrated(self, result: JobResult, choice: Choice) -> float | None:
        """The probability that the choice is right; None where none was ever fitted to such votes."""
        chosen, policy = choice.candidate, self._policy_of(result.job.prompt)
        if policy is None or policy.calibration is None or result.job.selection != "weighted":
            return None
        if chosen is None or chosen.answer is None or chosen.beam.proof is not None:
            return None
        standing = result.standing
        if standing is None or not standing.num_candidates:
            tally = Tally()
            for candidate in result.candidates:
                tally.add(candidate)
            standing = tally.standing()
        if standing.mean_score is None:
            return None
        return policy.calibration.probability(standing)

    def _plan_used(self, result: JobResult, planned: _Planned) -> PlanUsed:
        planner, policy = planned.planner, self._policy_of(result.job.prompt)
        return PlanUsed(
            waves=(result.job.first.begun(0.0), *result.waves),
            least_s=planned.plan.least_s,
            difficulty=planner.difficulty if planner is not None else None,
            policy=policy.name if planner is not None and policy is not None else None,
        )


def _estimated_tokens(prompt: Prompt) -> int:
    """About as many as a tokeniser will give, for engines that do not tell before they draft."""
    return sum(max(len(text) // 3, len(text.encode()) // 4) for text in (prompt.user, prompt.system))


def _early_stop(confidence: float | None) -> EarlyStop | None:
    if confidence is None:
        return None
    try:
        return EarlyStop(None if confidence == 1 else confidence)
    except ValueError as error:
        raise UsageError(f"early-stop: {error}") from error


def progress(view: JobView, deadline: Deadline) -> Progress:
    """How a solve stands."""
    elapsed = max(deadline.elapsed(), 1e-6)
    return Progress(
        seconds_left=max(0.0, deadline.remaining()),
        beams=view.beams,
        best=view.best if view.best is not None and view.best.answer is not None else None,
        num_candidates=view.num_candidates,
        decoded_tokens=view.decoded_tokens,
        tokens_per_s=view.decoded_tokens / elapsed,
    )
