"""`edgesearch doctor`: what a solve would reckon with on this machine, what budgets mean here, and what slows it down.

It measures a model that was not measured yet, as its first solve would. Not covered: what is installed (info.py).
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesearch.types import SCHEMA_VERSION

from . import json_output, shared_options
from .calibrate import Models, loaded
from .render_profile import duration, profile_object
from .terminal import one_line, say, warn

if TYPE_CHECKING:
    from edgesearch.planner.predict import Outlook
    from edgesearch.planner.profile_cache import Obtained

_EXAMPLES = """\b
Examples:
  edgesearch doctor
  edgesearch doctor --model Llama-3.2-1B-Instruct-Q4_K_M.gguf --verifier none
  edgesearch doctor --json
"""
_WIDTHS = (1, 4, 16)
_BUDGETS_S = (1.0, 10.0, 30.0)
_TYPICAL_PROBLEM = "A shop sells pens at 3 for 2. How much are 12 pens, 5 books at 4 each and a bag at 17?"
_ROUGH = 0.2
"""A fit that is further off than that is worth measuring again."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was looked at."""

    name: str
    is_ok: bool
    """Whether nothing need be done about it."""
    text: str
    """One sentence, or a few."""


@click.command(epilog=_EXAMPLES, short_help="Say what budgets mean on this machine.")
@shared_options.MODEL
@shared_options.VERIFIER
@click.option("--json", "is_json", is_flag=True, show_default="text", help="Print one JSON object.")
def doctor(model: str, verifier: str, is_json: bool) -> None:
    """Show what the planner expects of this machine, and check what could be better."""
    with loaded(model, verifier, None) as models:
        obtained = models.obtain()
        outlook = _outlook(models, obtained)
        checks = list(_checks(models, obtained))
    for warning in (*models.warnings, *obtained.warnings):
        warn(warning)
    fields = _object(models, obtained, outlook, checks)
    if is_json:
        json_output.echo(fields)
    else:
        say("\n".join(_lines(models, obtained, outlook, checks)))


# -- what is expected ------------------------------------------------------------------------------------------------


def _outlook(models: Models, obtained: "Obtained") -> "Outlook":
    """What is known of a typical problem of this solver."""
    from edgesearch.planner.predict import Outlook
    from edgesearch.prompt import make_prompt
    from edgesearch.types import Problem

    spec = models.solver
    prompt = make_prompt(Problem(_TYPICAL_PROBLEM), system=spec.system_prompt, step_delimiter=spec.step_delimiter)
    num_tokens = len(models.engine.open(prompt))
    models.engine.release([prompt.id])
    return Outlook(obtained.profile, num_tokens, spec.mean_solution_tokens, spec.mean_step_tokens, spec.max_tokens)


def _least_s(outlook: "Outlook") -> float:
    from edgesearch import search
    from edgesearch.planner.width import least_s

    return least_s(search.strategy("greedy"), outlook)


def _widest(models: Models, outlook: "Outlook", budget_s: float) -> int:
    """Whole solutions that can be drawn together and scored within a budget; 0 where not even one can."""
    from edgesearch import search
    from edgesearch.planner.width import plan

    if _least_s(outlook) > budget_s:
        return 0
    strategy = search.strategy("majority" if models.verifier is None else "weighted")
    most = models.engine.info.max_sequences
    greedy = search.strategy("greedy")
    return plan(strategy, greedy, outlook, budget_s=budget_s, n=most, m=1, aggregator="last").config.n


def _speeds(outlook: "Outlook") -> list[dict[str, float]]:
    passes = [(width, outlook.pass_s(width)) for width in _WIDTHS]
    return [{"width": width, "passes_per_s": 1 / each_s, "tokens_per_s": width / each_s} for width, each_s in passes]


def _sequence_bytes(models: Models, outlook: "Outlook") -> int | None:
    """Memory that a solution of the usual length takes beside its prompt."""
    size = outlook.profile.bytes_per_token
    return None if size is None else round(size * models.solver.mean_solution_tokens)


def _verified_tokens_per_s(outlook: "Outlook") -> float | None:
    each_s = outlook.profile.verify_token_s
    return 1 / each_s if each_s else None


def _object(models: Models, obtained: "Obtained", outlook: "Outlook", checks: list[Check]) -> Mapping[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "models": {"solver": models.solver.name, "verifier": models.verifier_name},
        **profile_object(obtained),
        "speeds": _speeds(outlook),
        "verified_tokens_per_s": _verified_tokens_per_s(outlook),
        "sequence_bytes": _sequence_bytes(models, outlook),
        "least_budget_s": _least_s(outlook),
        "budgets": [{"budget_s": budget_s, "n": _widest(models, outlook, budget_s)} for budget_s in _BUDGETS_S],
        "checks": [asdict(check) for check in checks],
        "warnings": [one_line(warning) for warning in (*models.warnings, *obtained.warnings)],
    }


def _lines(models: Models, obtained: "Obtained", outlook: "Outlook", checks: list[Check]) -> Iterator[str]:
    yield one_line(f"{models.solver.name} with {models.verifier_name or 'no verifier'}")
    yield f"  {_origin(obtained)}"
    yield "speeds, in the middle of a usual solution"
    for speed in _speeds(outlook):
        passes = f"{_count(speed['passes_per_s'])} passes/s, {_count(speed['tokens_per_s'])} tokens/s"
        yield f"  {speed['width']:>3} draft{'s' if speed['width'] > 1 else ' '}      {passes}"
    verified = _verified_tokens_per_s(outlook)
    yield f"  verifier        {'free' if verified is None else f'{_count(verified)} tokens/s'}"
    size = _sequence_bytes(models, outlook)
    yield f"  memory          {'not told' if size is None else f'{size / 1e6:.3g} MB'} a draft"
    yield "budgets"
    yield f"  one greedy solution takes about {duration(_least_s(outlook))}: less is no sensible budget"
    for budget_s in _BUDGETS_S:
        yield f"  {budget_s:>4g} s: {_solutions(_widest(models, outlook, budget_s), models)}"
    yield "checks"
    yield from (f"  {'ok  ' if check.is_ok else 'look'} {check.name}: {one_line(check.text)}" for check in checks)


def _origin(obtained: "Obtained") -> str:
    profile = obtained.profile
    when = f"measured on {one_line(profile.created)}" if obtained.is_cached else "measured now"
    where = f"kept in {one_line(str(obtained.path))}" if obtained.path is not None else "not kept"
    return f"{when} in {duration(profile.measured_s)}, within {profile.residual:.0%} (median); {where}"


def _solutions(num: int, models: Models) -> str:
    if num < 1:
        return "too short for one solution"
    most = " or more" if num == models.engine.info.max_sequences else ""
    return "one greedy solution" if num == 1 else f"{num} solutions at once{most}"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


# -- what could be better --------------------------------------------------------------------------------------------


def _checks(models: Models, obtained: "Obtained") -> Iterator[Check]:
    yield _weights()
    yield _threads(models)
    yield _load()
    yield _fit(obtained)
    yield _onnxruntime()
    yield _sandbox()
    yield _programs()
    yield from _files()


def _weights() -> Check:
    from edgesearch.engines.probe import extra_buffers_work

    if extra_buffers_work():
        return Check("repacked weights", True, "on")
    text = (
        "off: they crash, or could not be tried, with this build of llama.cpp on this CPU; another build may be faster"
    )
    return Check("repacked weights", False, text)


def _threads(models: Models) -> Check:
    from edgesearch.engines import threads

    used, cores = models.engine.info.num_threads, threads.usable_cores()
    if used > cores:
        return Check("threads", False, f"{used} on {cores} cores: they wait for each other")
    why = "; a model this small is faster on one" if used == 1 < cores else ""
    return Check("threads", True, f"{used} of {cores} cores{why}")


def _load() -> Check:
    busy, cpus = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
    text = f"{busy:.1f} programs ran at once in the last minute, on {cpus} CPUs"
    if busy > 0.75 * cpus:
        return Check("load", False, f"{text}: solves are slower now, and so is what is measured now")
    return Check("load", True, text)


def _fit(obtained: "Obtained") -> Check:
    residual = obtained.profile.residual
    if residual > _ROUGH:
        again = "measure again on a quiet machine: edgesearch calibrate --limit 30s"
        return Check("profile", False, f"its predictions are off by {residual:.0%} (median); {again}")
    return Check("profile", True, f"its predictions are off by {residual:.0%} (median)")


def _onnxruntime() -> Check:
    try:
        import onnxruntime
    except ImportError as error:
        return Check("ONNX Runtime", False, f"cannot be imported ({error}): reinstall edgesearch")
    return Check("ONNX Runtime", True, ", ".join(onnxruntime.get_available_providers()))


def _sandbox() -> Check:
    from edgesearch.errors import SandboxUnavailable
    from edgesearch.sandbox import probe

    try:
        tier = probe.find().info
    except SandboxUnavailable as error:
        return Check("sandbox", False, str(error))
    if tier.is_isolating:
        return Check("sandbox", True, f"{tier.name}; a program in it is isolated, but {tier.caution}")
    return Check("sandbox", False, f"{tier.name}, for programs that verify: {tier.caution}; {probe.FIX}")


def _programs() -> Check:
    from edgesearch.errors import SandboxUnavailable
    from edgesearch.sandbox import probe

    try:
        tier = probe.find_for_programs().info
    except SandboxUnavailable as error:
        return Check("programs of models", False, str(error))
    return Check("programs of models", True, f"run in {tier.name}, isolated; {tier.caution}")


def _files() -> Iterator[Check]:
    from edgesearch.planner import policy, profile_cache

    yield _folder("profiles", profile_cache.default_folder(), profile_cache.read)
    yield _folder("policies", policy.user_folder(), policy.load)


def _folder(name: str, folder: Path, read: Callable[[Path], object]) -> Check:
    """Whether all files there can be used."""
    from edgesearch.errors import EdgesearchError

    good, bad = 0, sorted(path.name for path in folder.glob("*.bad"))
    for path in sorted(folder.glob("*.json")):
        try:
            read(path)
            good += 1
        except (OSError, ValueError, EdgesearchError):
            bad.append(path.name)
    files = f"{good} file{'s' * (good != 1)} in {folder}"
    if bad:
        return Check(name, False, f"{files}, and damaged ones that can be deleted: {', '.join(bad[:5])}")
    return Check(name, True, files)
