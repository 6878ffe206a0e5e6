"""`edgesearch calibrate`: measure what work costs on this machine, keep it, and show how well it fits.

Not covered: measuring (edgesearch.planner.calibrate), what it means for a budget (doctor.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from edgesearch.budget import parse_duration
from edgesearch.errors import UsageError
from edgesearch.types import SCHEMA_VERSION

from . import json_output, render_profile, shared_options
from .terminal import note, one_line, say, warn

if TYPE_CHECKING:
    from edgesearch.catalog import SolverSpec
    from edgesearch.engines.base import Engine
    from edgesearch.planner.profile_cache import Obtained
    from edgesearch.verifiers.base import Verifier

_EXAMPLES = """\b
Examples:
  edgesearch calibrate
  edgesearch calibrate --model Llama-3.2-1B-Instruct-Q4_K_M.gguf --verifier none --limit 30s
  edgesearch calibrate --json

\b
The first solve with a model measures it by itself. This measures again: after an upgrade, on mains power, on a quiet
machine, or for longer.
"""


def _duration(ctx: click.Context, param: click.Parameter, value: str) -> float:
    from edgesearch.planner.calibrate import MAX_LIMIT_S

    try:
        seconds = parse_duration(value)
    except UsageError as error:
        raise click.BadParameter(f"{value[:40]!r} is not a time; write it as 500ms, 30s or 2m.", ctx, param) from error
    if seconds > MAX_LIMIT_S:
        raise click.BadParameter("more than an hour is never needed; try 30s.", ctx, param)
    return seconds


@click.command(epilog=_EXAMPLES, short_help="Measure this machine.")
@shared_options.MODEL
@shared_options.VERIFIER
@shared_options.THREADS
@click.option(
    "--limit",
    "limit_s",
    default="8s",
    show_default=True,
    callback=_duration,
    metavar="DURATION",
    help="How long it may take, about; more seconds, better figures.",
)
@click.option("--json", "is_json", is_flag=True, show_default="text", help="Print one JSON object.")
def calibrate(model: str, verifier: str, threads: int | None, limit_s: float, is_json: bool) -> None:
    """Measure what prompts, passes and verifying cost on this machine, and keep it for all later solves."""
    with loaded(model, verifier, threads) as models:
        obtained = models.obtain(limit_s=limit_s, is_fresh=True)
    for warning in (*models.warnings, *obtained.warnings):
        warn(warning)
    if is_json:
        json_output.echo(_object(models, obtained))
    else:
        say("\n".join(render_profile.profile_lines(models.solver.name, models.verifier_name, obtained)))


@dataclass(frozen=True, slots=True)
class Models:
    """A solver and a verifier, loaded as for a solve."""

    solver: "SolverSpec"
    engine: "Engine"
    verifier: "Verifier | None"
    verifier_name: str | None
    reference: str
    """What the verifier was asked for as."""
    warnings: tuple[str, ...]

    def obtain(self, *, limit_s: float | None = None, is_fresh: bool = False) -> "Obtained":
        """Their profile on this machine; tells on stderr what is measured."""
        from edgesearch.planner import profile_cache
        from edgesearch.planner.calibrate import DEFAULT_LIMIT_S

        return profile_cache.obtain(
            self.engine,
            self.verifier,
            solver_path=self.solver.path,
            verifier_path=profile_cache.verifier_file(self.reference, self.solver),
            limit_s=DEFAULT_LIMIT_S if limit_s is None else limit_s,
            is_fresh=is_fresh,
            on_progress=lambda what: note(f"Measuring {what} ...", is_dim=True),
        )


@contextmanager
def loaded(model: str, verifier: str, threads: int | None) -> Iterator[Models]:
    """Loads models for as long as they are needed."""
    from edgesearch import catalog
    from edgesearch.loading import load_engine
    from edgesearch.verifiers import loading

    spec = catalog.solver(model)
    engine = load_engine(spec, num_threads=threads)
    found = None
    try:
        found = loading.load(verifier, spec, engine)
        yield Models(spec, engine, found.verifier, found.name, verifier, (*found.warnings, *engine.warnings))
    finally:
        if found is not None and found.verifier is not None:
            found.verifier.close()
        engine.close()


def _object(models: Models, obtained: "Obtained") -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "models": {"solver": models.solver.name, "verifier": models.verifier_name},
        **render_profile.profile_object(obtained),
        "warnings": [one_line(warning) for warning in (*models.warnings, *obtained.warnings)],
    }
