"""solve(): from a problem and a number of seconds to a solution, in one straight line.

`load` finds and loads the models once; `Pipeline.events` accepts a problem, starts its clock, plans, runs the search
and ends with a `Solution`; `solve` does both for one problem.
"""

import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from edgesearch import catalog, search
from edgesearch.budget import Budget, Clock, Deadline
from edgesearch.catalog import SolverSpec
from edgesearch.choice import choose
from edgesearch.driver import Driver, Job, JobResult, JobView
from edgesearch.engines.base import Engine
from edgesearch.errors import UsageError
from edgesearch.events import Event, Progress, Solved, Started
from edgesearch.planner.width import Plan, Speeds, plan
from edgesearch.prompt import make_prompt
from edgesearch.search.base import Strategy
from edgesearch.search.early_stop import EarlyStop
from edgesearch.search.options import Value, described, parse_options
from edgesearch.types import AGGREGATORS, Aggregator, Candidate, ModelNames, Problem, Prompt, Solution, StrategyUsed
from edgesearch.verifiers import checks, loading
from edgesearch.verifiers.base import Verifier, warnings_of
from edgesearch.verifiers.checks import Check

if TYPE_CHECKING:
    from edgesearch.engines.openai_protocol import Mode

_PROGRESS_S = 0.1
_SMALL_MODEL_BYTES = 64 << 20
_MAX_N = {True: 64, False: 16}
"""Widest search by default, for models smaller than that and for others."""


def load(
    solver: str = "nano",
    verifier: str = "auto",
    *,
    max_n: int | None = None,
    max_tokens: int | None = None,
    num_threads: int | None = None,
    check: bool = True,
) -> "Pipeline":
    """Loads a solver and its verifier.

    Args:
        solver: a name from `edgesearch info`, a path to a GGUF, or `hf:REPO[:QUANT|FILE]`.
        verifier: `auto` (the solver's own where one is known, else consensus), `none`, `consensus`, `certainty`, a name
            or a path, or what else `edgesearch.verifiers.loading` names.
        max_n: widest search to make room for; default 64 for small models, 16 for others.
        max_tokens: longest solution to make room for; default: the solver's own limit.
        num_threads: threads that decode; default: chosen from the machine.
        check: whether answers go through the exact check that the solver's manifest names, whichever the verifier; with
            the verifier `none` nothing is checked.

    Raises:
        EdgesearchError: a model cannot be found, is not usable, does not fit in memory, or the two do not fit.
    """
    start = time.monotonic()
    spec = catalog.solver(solver)
    engine = _load_engine(spec, max_n, max_tokens or spec.max_tokens, num_threads)
    return _assembled(spec, engine, verifier, check=check, start=start)


def load_endpoint(
    url: str,
    model: str,
    *,
    like: str | None = None,
    verifier: str = "none",
    mode: "Mode" = "completions",
    template: str | None = None,
    api_key_env: str | None = None,
    concurrency: int = 8,
    max_n: int | None = None,
    choices_per_request: int = 1,
    num_params: int | None = None,
    timeout_s: float = 120.0,
    check: bool = True,
) -> "Pipeline":
    """Connects to a solver behind an OpenAI-compatible endpoint and loads its verifier here.

    Args:
        url: the API's root, such as `http://localhost:8000/v1`.
        model: the name that the server knows the solver by.
        like: a local solver (as in `load`) that is the same model: its prompt, limits, chat template, vocabulary and
            check apply. Without one: general settings, and no verifier that reads token ids.
        verifier: as in `load`; `auto` is that of `like`. One that reads token ids needs `like`.
        mode: `completions`, or `chat` for strategies that sample whole solutions.
        template: a name in `engines.endpoint.TEMPLATES` or the path of a Jinja file; default: `like`'s, else plain.
        api_key_env: the environment variable that holds the key; default: no key is sent.
        concurrency: requests under way together.
        max_n: widest search; default 16.
        choices_per_request: drafts of one beam that share a request; above 1 a draft is not fixed by its seed alone.
        num_params: of the model, for counting FLOPs; default: what `like` or the server says, else none are counted.
        timeout_s: of one request; a deadline may end it sooner.
        check: as in `load`; the check is that of `like`.

    Raises:
        EdgesearchError: a value that cannot be used, an endpoint that refuses, or models that do not fit.
    """
    from edgesearch.engines.endpoint import connect
    from edgesearch.engines.http_client import HttpConfig
    from edgesearch.engines.openai_api import EndpointConfig, printable

    start = time.monotonic()
    if like is None and verifier != loading.AUTO and loading.reads_tokens(loading.parse(verifier)):
        raise UsageError(
            f"verifier {verifier} reads token ids: name a local GGUF of the same model (--like), or use consensus"
        )
    spec = catalog.solver(like) if like is not None else SolverSpec(printable(model), Path())
    width = _MAX_N[False] if max_n is None else max_n
    config = EndpointConfig(mode, concurrency, width, choices_per_request, num_params=num_params or 0)
    engine = connect(
        url,
        model,
        config=config,
        http=HttpConfig(timeout_s=timeout_s),
        template=template,
        api_key_env=api_key_env,
        vocabulary=spec.path if like is not None else None,
    )
    return _assembled(spec, engine, verifier, check=check, start=start)


def _assembled(spec: SolverSpec, engine: Engine, verifier: str, *, check: bool, start: float) -> "Pipeline":
    """The pipeline over a loaded engine: loads its verifier and check, and closes the engine where that fails."""
    try:
        loaded = loading.load(verifier, spec, engine)
    except BaseException:
        engine.close()
        raise
    exact = checks.check(spec.check) if check and spec.check and verifier != "none" else None
    load_s = time.monotonic() - start
    return Pipeline(spec, engine, loaded.verifier, loaded.name, check=exact, load_s=load_s, warnings=loaded.warnings)


def _load_engine(spec: SolverSpec, max_n: int | None, max_tokens: int, num_threads: int | None) -> Engine:
    from edgesearch.engines.llama_cpp import LlamaCppEngine

    is_small = spec.path.exists() and spec.path.stat().st_size < _SMALL_MODEL_BYTES
    if max_n is None:
        max_n = _MAX_N[is_small]
    return LlamaCppEngine(
        spec.path,
        name=spec.name,
        max_sequences=max_n,
        # A small model's cache costs next to nothing: all its solutions may be as long as they like.
        max_tokens=max_tokens if is_small else min(max_tokens, round(1.5 * spec.mean_solution_tokens)),
        longest=max_tokens,
        num_threads=num_threads,
    )


class Pipeline:
    """Loaded models, ready to solve one problem after another."""

    def __init__(
        self,
        spec: SolverSpec,
        engine: Engine,
        verifier: Verifier | None,
        verifier_name: str | None,
        *,
        check: Check | None = None,
        load_s: float = 0.0,
        warnings: tuple[str, ...] = (),
        clock: Clock = time.monotonic,
    ) -> None:
        self._spec = spec
        self._engine = engine
        self._verifier = verifier
        self._check = check
        self._warnings = warnings
        self._clock = clock
        self._deadline: Deadline | None = None
        self._is_closed = False
        self.load_s = load_s
        """Seconds that loading and measuring took."""
        device = verifier.info.device if verifier is not None else None
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
        seed: int = 0,
    ) -> Iterator[Event]:
        """Solves a problem within a budget and tells how it goes; the last event is `Solved`.

        Args:
            problem: the question.
            budget_s: wall-clock seconds from now to the answer, in (0, 86400].
            strategy: a name from `edgesearch.search.names()`, or `auto`.
            n: most beams; fewer are used where time is short.
            m: children per kept beam.
            aggregator: last, min, prod or mean; default: what the verifier was trained for.
            max_tokens: tokens per solution at most; default: the solver's own limit.
            temperature: of sampling; default: the solver's own.
            options: the strategy's own settings, by name.
            early_stop: of strategies that vote: ends them once no sample that is still being drawn can change the vote
                (1), or once it is this sure that the leader is ahead for good, in (0.5, 1]; None never does.
            seed: fixes every draw.

        Raises:
            UsageError: an option out of its range.
            ContextOverflow: the problem does not fit.
        """
        if self._is_closed:
            raise UsageError("this pipeline is closed; load another with edgesearch.load")
        deadline = self._deadline = Budget(budget_s).start(self._clock)
        if isinstance(problem, str):
            problem = Problem(problem)
        prompt = make_prompt(problem, system=self._spec.system_prompt, step_delimiter=self._spec.step_delimiter)
        wanted, warnings = self._choose_strategy(strategy)
        own = parse_options(wanted, options or {})
        planned = self._plan(wanted, own, prompt, deadline, n=n, m=m, aggregator=aggregator, max_tokens=max_tokens)
        if planned.strategy.name != wanted.name:
            own = planned.strategy.options()
        if planned.strategy.name != wanted.name or (n is not None and planned.config.n < n and wanted.name != "greedy"):
            warnings += (f"{planned.strategy.name} with n={planned.config.n} ran instead: {planned.reason}",)
        warnings += self._warnings + self._domain_warnings(problem)
        job = self._job(prompt, planned, own, deadline, max_tokens, temperature, early_stop, seed, problem.id)
        return self._run(problem, budget_s, job, planned.reason, warnings)

    def _run(
        self, problem: Problem, budget_s: float, job: Job, reason: str, warnings: tuple[str, ...]
    ) -> Iterator[Event]:
        """Runs a job; however it ends, the models hold nothing of it afterwards."""
        config = job.config
        used = StrategyUsed(job.strategy.name, config.n, config.m, config.aggregator, described(job.options))
        driver = Driver(self._engine, self._verifier, self._check)
        try:
            number = driver.submit(job)
            shown = (*warnings, *self._engine.warnings)
            yield Started(problem.text, budget_s, self.load_s, self.models, used, reason, shown)
            shown_s = 0.0
            while True:
                for _, result in driver.turn():
                    yield Solved(self._solution(problem, result, budget_s, used, warnings))
                    return
                if job.deadline.elapsed() - shown_s >= _PROGRESS_S:
                    shown_s = job.deadline.elapsed()
                    yield _progress(driver.view(number), job.strategy, job.deadline)
        finally:
            driver.close()

    # -- the parts -------------------------------------------------------------------------------------------------

    def _choose_strategy(self, name: str) -> tuple[Strategy, tuple[str, ...]]:
        """The strategy of that name, or what stands in for it, and what to warn of."""
        if name == "auto":
            return search.strategy(self._best_strategy()), ()
        wanted = search.strategy(name)
        if wanted.needs_scores and self._verifier is None and self.models.verifier == "consensus":
            warning = f"{name} needs a verifier that scores; majority vote (consensus) is used instead"
            return search.strategy("majority"), (warning,)
        if wanted.needs_scores and self._verifier is None:
            raise UsageError(f"strategy {name} needs a verifier; use --verifier, or --strategy majority")
        return wanted, ()

    def _verifier_warnings(self) -> tuple[str, ...]:
        return warnings_of(self._verifier) if self._verifier is not None else ()

    def _best_strategy(self) -> str:
        """What suits the verifier."""
        if self.models.verifier is None:
            return "greedy"
        if self._verifier is None or self.models.verifier == "consensus":
            return "majority"
        return "weighted" if self._verifier.info.is_outcome else "beam"

    def _domain_warnings(self, problem: Problem) -> tuple[str, ...]:
        if self._spec.domain != "arithmetic":
            return ()
        from edgesearch.tasks.arithmetic import out_of_domain

        reasons = out_of_domain(problem.text)
        if not reasons:
            return ()
        return (
            f"{self._spec.name} was only trained on generated arithmetic problems, and this text is not one "
            f"({'; '.join(reasons[:3])}): do not trust the answer; use --model with a real 1B-3B model",
        )

    def _plan(
        self,
        strategy: Strategy,
        options: Any,
        prompt: Prompt,
        deadline: Deadline,
        *,
        n: int | None,
        m: int,
        aggregator: str | None,
        max_tokens: int | None,
    ) -> Plan:
        most = self._engine.info.max_sequences
        if n is not None and not 1 <= n <= most:
            raise UsageError(f"n must be in [1, {most}] as this model is loaded, not {n}")
        if m < 1:
            raise UsageError(f"m must be >= 1, not {m}")
        if max_tokens is not None and max_tokens < 1:
            raise UsageError(f"max-tokens must be >= 1, not {max_tokens}")
        speeds = Speeds(
            self._engine.pace,
            self._verifier.seconds_per_token if self._verifier is not None else 0.0,
            prompt_tokens=_estimated_tokens(prompt.user) + _estimated_tokens(prompt.system),
            mean_solution_tokens=self._spec.mean_solution_tokens,
            max_tokens=max_tokens or self._spec.max_tokens,
        )
        return plan(
            strategy,
            search.strategy("greedy"),
            speeds,
            budget_s=deadline.remaining(),
            n=n or most,
            m=m,
            aggregator=self._aggregator(aggregator),
            options=options,
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
        self,
        prompt: Prompt,
        planned: Plan,
        options: Any,
        deadline: Deadline,
        max_tokens: int | None,
        temperature: float | None,
        early_stop: float | None,
        seed: int,
        problem_id: str,
    ) -> Job:
        sampling = self._spec.sampling
        if temperature is not None:
            try:
                sampling = dataclasses.replace(sampling, temperature=temperature)
            except ValueError as error:
                raise UsageError(str(error)) from error
        return Job(
            prompt=prompt,
            strategy=planned.strategy,
            config=dataclasses.replace(planned.config, seed=seed),
            options=options,
            early_stop=_early_stop(early_stop),
            sampling=sampling,
            deadline=deadline,
            max_tokens=max_tokens or self._spec.max_tokens,
            seed=seed,
            has_safety_lane=planned.has_safety_lane,
            id=problem_id,
        )

    def _solution(
        self,
        problem: Problem,
        result: JobResult,
        budget_s: float,
        used: StrategyUsed,
        warnings: tuple[str, ...],
    ) -> Solution:
        warnings += result.warnings
        choice = choose(result.candidates, result.job.strategy.selection)
        if choice.is_unscored:
            warnings += ("there was no time to score a solution; the answer is the majority's",)
        chosen = choice.candidate
        proof = chosen.beam.proof if chosen is not None else None
        if proof is False:
            warnings += (
                "the answer is wrong: it fails this problem's exact check, and so does every other that was found",
            )
        beam = chosen.beam if chosen is not None else None
        return Solution(
            answer=chosen.answer if chosen is not None else None,
            text=beam.text if beam is not None else "",
            finish="deadline" if result.is_cut or beam is None else beam.finish,
            confidence=choice.confidence,
            budget_s=budget_s,
            wall_s=result.job.deadline.elapsed(),
            load_s=self.load_s,
            strategy=used,
            models=self.models,
            usage=dataclasses.replace(result.usage, peak_bytes=peak_bytes()),
            warnings=tuple(dict.fromkeys((*warnings, *self._engine.warnings, *self._verifier_warnings()))),
            candidates=result.candidates,
            steps=tuple(step.text for step in beam.steps) if beam is not None else (),
            scores=beam.scores if beam is not None else (),
            id=problem.id,
            proof=proof,
            early_stop=result.early_stop,
        )


def solve(
    problem: str | Problem,
    *,
    budget_s: float = 10.0,
    solver: str = "nano",
    verifier: str = "auto",
    strategy: str = "auto",
    n: int | None = None,
    options: Mapping[str, Value] | None = None,
    seed: int = 0,
    check: bool = True,
) -> Solution:
    """Loads the models, solves one problem within the budget, and frees them.

    For several problems use `load` once and `Pipeline.solve` for each. Options as in `load` and `Pipeline.events`.

    Raises:
        EdgesearchError: see `load` and `Pipeline.events`; never for running out of time.
    """
    with load(solver, verifier, max_n=n, check=check) as pipeline:
        return pipeline.solve(problem, budget_s=budget_s, strategy=strategy, n=n, options=options, seed=seed)


def peak_bytes() -> int | None:
    """Peak resident memory of this process; None where the system does not tell."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    if (high_water := _high_water_bytes()) is not None:
        return high_water
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _high_water_bytes() -> int | None:
    """As Linux counts it since this program began; `ru_maxrss` also holds what its parent had when it was started."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if found is None else int(found) * 1024


def _estimated_tokens(text: str) -> int:
    """About as many as a tokeniser will give, for planning before anything is tokenised."""
    return max(len(text) // 3, len(text.encode()) // 4)


def _early_stop(confidence: float | None) -> EarlyStop | None:
    if confidence is None:
        return None
    try:
        return EarlyStop(None if confidence == 1 else confidence)
    except ValueError as error:
        raise UsageError(f"early-stop: {error}") from error


def _progress(view: JobView, strategy: Strategy, deadline: Deadline) -> Progress:
    best: Candidate | None = choose(view.candidates, strategy.selection).candidate
    elapsed = max(deadline.elapsed(), 1e-6)
    return Progress(
        seconds_left=max(0.0, deadline.remaining()),
        beams=view.beams,
        best=best if best is not None and best.answer is not None else None,
        num_candidates=len(view.candidates),
        decoded_tokens=view.decoded_tokens,
        tokens_per_s=view.decoded_tokens / elapsed,
    )
