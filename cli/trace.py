"""`edgesearch trace`: the search tree that `edgesearch solve --trace FILE` wrote, in the terminal, as a page, as JSON.

Not covered: recording (edgesearch.trace.recorder), layout (render_trace.py, edgesearch.trace.page).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesearch.types import SCHEMA_VERSION

from . import json_output, shared_options
from .terminal import note, one_line, warn

if TYPE_CHECKING:
    from edgesearch.trace.model import Trace
    from edgesearch.trace.tree import Span

_EXAMPLES = """\b
Examples:
  edgesearch solve --trace trace.json "How can you make 29 from 4, 6 and 5, using each number once?"
  edgesearch trace trace.json
  edgesearch trace trace.json --html trace.html
  edgesearch trace trace.json --json
"""


@click.command(epilog=_EXAMPLES, short_help="Show the search tree of a solve.")
@click.argument("file", metavar="FILE")
@shared_options.HTML
@click.option("--json", "is_json", is_flag=True, show_default="the tree", help="Print one JSON object: a summary.")
@click.option(
    "--depth",
    type=click.IntRange(min=1),
    default=12,
    show_default=True,
    metavar="STEPS",
    help="Steps to show along a path; the chosen path is shown whole.",
)
@click.option(
    "--width",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="BRANCHES",
    help="Branches to show at a fork, and waves: the chosen one, then the best.",
)
@click.option("--all", "is_whole", is_flag=True, show_default="fold large trees", help="Show every step.")
def trace(file: str, html: str | None, is_json: bool, depth: int, width: int, is_whole: bool) -> None:
    """Show how a solve came to its answer: its waves, and every step that was drawn, with its score.

    FILE is what `edgesearch solve --trace FILE` wrote. Steps that were drawn several times are shown once.
    """
    from edgesearch.trace import file as trace_file

    found = trace_file.read(Path(file))
    if html is not None:
        from edgesearch.trace import page

        page.write(found, Path(html), source=Path(file))
        note(one_line(f"Wrote {html}"), is_dim=True)
    if is_json:
        json_output.echo(summary(found))
        return
    from . import render_trace

    render_trace.show(found, render_trace.Folding(depth, width, is_whole))
    for warning in found.outcome.warnings:
        warn(warning)


def summary(trace: "Trace") -> dict[str, object]:
    """What `--json` prints: all but the tree, of which it counts what there is."""
    from edgesearch.trace import tree, words
    from edgesearch.trace.file import plain

    branches = tree.grow(trace)
    outcome = plain(trace.outcome)
    assert isinstance(outcome, dict)
    return {
        "schema_version": SCHEMA_VERSION,
        "problem": trace.problem,
        "id": trace.problem_id,
        **outcome,
        "stopped": words.stopped(trace),
        "budget_s": trace.budget_s,
        "load_s": trace.load_s,
        "models": plain(trace.models),
        "waves": [_wave(span) for span in tree.spans(trace)],
        "best": plain(trace.best),
        "chosen": [{"text": node.text, "score": node.score} for node in map(trace.nodes.__getitem__, trace.chosen)],
        "num_steps": len(trace.nodes),
        "num_different_steps": len(branches),
        "num_scored": sum(node.score is not None for node in trace.nodes),
        "num_not_pursued": sum(branch.fate == "dropped" for branch in branches),
        "num_finished": sum(branch.fate == "finished" for branch in branches),
        "num_cut_off": sum(branch.fate in ("length", "deadline") for branch in branches),
        "num_candidates": len(trace.ends),
        "num_prompts": trace.num_prompts,
        "num_left_out": trace.num_left_out,
        "depth": max((branch.depth for branch in branches), default=0),
    }


def _wave(span: "Span") -> dict[str, object]:
    from edgesearch.trace import words
    from edgesearch.trace.file import plain

    used = span.wave.used if span.wave is not None else None
    return {
        "name": words.wave_name(span.number),
        "number": span.number,
        "strategy": plain(used.strategy) if used is not None else None,
        "reason": used.reason if used is not None else None,
        "started_s": span.started_s,
        "ended_s": span.ended_s,
        "predicted_s": used.predicted_s if used is not None else None,
        "num_steps": span.num_nodes,
        "num_candidates": len(span.ends),
    }
