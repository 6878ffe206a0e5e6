"""From names to a pipeline: finds and loads a solver, its verifier, their policy and this device's profile.

`load` runs the solver here, `load_endpoint` behind an OpenAI-compatible server; `solve` loads, solves one problem and
frees the models.

Not covered: solving (pipeline.py), where models are found (catalog.py), measuring a device (planner/calibrate.py).
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgesearch import catalog, search
from edgesearch.catalog import SolverSpec
from edgesearch.engines.base import Engine
from edgesearch.errors import UsageError
from edgesearch.pipeline import Pipeline
from edgesearch.planner import policy as policies
from edgesearch.planner import profile_cache
from edgesearch.search.options import Value
from edgesearch.types import Problem, Solution
from edgesearch.verifiers import checks, loading

if TYPE_CHECKING:
    from edgesearch.engines.openai_protocol import Mode

_STRATEGIES = ("greedy", "majority", "weighted", "rebase", "best_of_n", "codet")
"""That `auto` is made of."""
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
    policy: str | Path | None = None,
    sandbox: str = "auto",
) -> Pipeline:
    """Loads a solver and its verifier, and measures this device where it was not measured before.

    Args:
        solver: a name from `edgesearch info`, a path to a GGUF, or `hf:REPO[:QUANT|FILE]`.
        verifier: `auto` (the solver's own where one is known, else consensus), `none`, `consensus`, `certainty`, a name
            or a path, or what else `edgesearch.verifiers.loading` names.
        max_n: widest search to make room for; default 64 for small models, 16 for others.
        max_tokens: longest solution to make room for; default: the solver's own limit.
        num_threads: threads that decode; default: chosen from the machine.
        check: whether answers go through the exact check that the solver's manifest names, whichever the verifier; with
            the verifier `none` nothing is checked.
        policy: a file that `edgesearch tune` wrote for these models; default: the user's own, else the built-in one.
        sandbox: what verifiers that try programs (`tests`, `agreement`) use: `auto` for the strongest that works
            here, the name of one, or `none`, which also needs the environment variable EDGESEARCH_ALLOW_UNSANDBOXED=1.

    Raises:
        EdgesearchError: a model or policy cannot be found, is not usable, does not fit in memory, or they do not fit.
        SandboxUnavailable: programs are to be tried, and no sandbox works here.
    """
    start = time.monotonic()
    _find_sandbox(verifier, sandbox)
    spec = catalog.solver(solver)
    found = _find_policy(spec, verifier, Path(policy) if policy is not None else None)
    engine = load_engine(spec, max_n=max_n, max_tokens=max_tokens, num_threads=num_threads)
    return _assembled(spec, engine, verifier, check=check, start=start, found=found, sandbox=sandbox)


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
    sandbox: str = "auto",
) -> Pipeline:
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
        sandbox: as in `load`.

    Raises:
        EdgesearchError: a value that cannot be used, an endpoint that refuses, or models that do not fit.
        SandboxUnavailable: programs are to be tried, and no sandbox works here.
    """
    from edgesearch.engines.endpoint import connect
    from edgesearch.engines.http_client import HttpConfig
    from edgesearch.engines.openai_api import EndpointConfig, printable

    start = time.monotonic()
    if like is None and verifier != loading.AUTO and loading.reads_tokens(loading.parse(verifier)):
        raise UsageError(
            f"verifier {verifier} reads token ids: name a local GGUF of the same model (--like), or use consensus"
        )
    _find_sandbox(verifier, sandbox)
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
    return _assembled(spec, engine, verifier, check=check, start=start, sandbox=sandbox)


def verifier_for(problem: Problem, verifier: str = loading.AUTO) -> str:
    """The verifier that `auto` means for a problem, as `load` takes it.

    For one that asks for a program: its visible tests, or without any the agreement with tests that the solver writes.
    """
    if verifier != loading.AUTO or problem.code is None:
        return verifier
    return "tests" if problem.code.tests else "agreement"


def _find_sandbox(verifier: str, sandbox: str) -> None:
    """Looks for the sandbox before anything is loaded or drawn, if programs will be tried in it.

    Raises:
        SandboxUnavailable: it does not work here.
        UsageError: there is no such sandbox.
    """
    if loading.tries_programs(loading.parse(verifier)):
        from edgesearch.sandbox.probe import find_for_programs

        find_for_programs(sandbox)


def _find_policy(spec: SolverSpec, verifier: str, explicit: Path | None) -> policies.Found:
    """The policy of these models; their files are hashed only where there may be one."""
    own = policies.user_folder()
    if explicit is None and spec.policy is None and not (own.is_dir() and any(own.iterdir())):
        return policies.Found(None)
    weights, of_verifier = policies.models(spec, verifier)
    return policies.find(weights, of_verifier, explicit=explicit, builtin=spec.policy)


def _assembled(
    spec: SolverSpec,
    engine: Engine,
    verifier: str,
    *,
    check: bool,
    start: float,
    found: policies.Found | None = None,
    sandbox: str = "auto",
) -> Pipeline:
    """The pipeline over a loaded engine: loads its verifier and check, and closes the engine where that fails."""
    found = found or policies.Found(None)
    loaded: loading.Loaded | None = None
    try:
        loaded = loading.load(verifier, spec, engine, sandbox)
        file = profile_cache.verifier_file(verifier, spec) if loaded.verifier is not None else None
        measured = profile_cache.obtain(engine, loaded.verifier, solver_path=spec.path, verifier_path=file)
    except BaseException:
        engine.close()
        if loaded is not None and loaded.verifier is not None:
            loaded.verifier.close()
        raise
    exact = checks.check(spec.check) if check and spec.check and verifier != "none" else None
    _import_early(spec)
    return Pipeline(
        spec,
        engine,
        loaded.verifier,
        loaded.name,
        check=exact,
        profile=measured.profile,
        policy=found.policy,
        load_s=time.monotonic() - start,
        warnings=loaded.warnings + measured.warnings + found.warnings,
    )


def _import_early(spec: SolverSpec) -> None:
    """Imports what the first solve needs, so that its budget does not pay for it."""
    for name in _STRATEGIES:
        search.strategy(name)
    if spec.domain == "arithmetic":
        import edgesearch.tasks.arithmetic  # noqa: F401


def load_engine(
    spec: SolverSpec, *, max_n: int | None = None, max_tokens: int | None = None, num_threads: int | None = None
) -> Engine:
    """Loads a solver with as much room as `load` gives it; the options are the same."""
    from edgesearch.engines.llama_cpp import LlamaCppEngine

    max_tokens = max_tokens or spec.max_tokens
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


def solve(
    problem: str | Problem,
    *,
    budget_s: float = 10.0,
    solver: str = "nano",
    verifier: str = "auto",
    strategy: str = "auto",
    n: int | None = None,
    options: Mapping[str, Value] | None = None,
    confidence: float | None = 0.95,
    seed: int = 0,
    check: bool = True,
    sandbox: str = "auto",
) -> Solution:
    """Loads the models, solves one problem within the budget, and frees them.

    For several problems use `load` once and `Pipeline.solve` for each. Options as in `load` and `Pipeline.events`; the
    verifier `auto` is that of `verifier_for`.

    Raises:
        EdgesearchError: see `load` and `Pipeline.events`; never for running out of time.
    """
    problem = Problem(problem) if isinstance(problem, str) else problem
    with load(solver, verifier_for(problem, verifier), max_n=n, check=check, sandbox=sandbox) as pipeline:
        return pipeline.solve(
            problem, budget_s=budget_s, strategy=strategy, n=n, options=options, confidence=confidence, seed=seed
        )
