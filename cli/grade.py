"""`edgesearch grade`: whether two final answers are the same, by the rules that votes and benchmarks use."""

import click

from edgesearch.types import SCHEMA_VERSION

from . import json_output
from .terminal import say

_EXAMPLES = """\b
Examples:
  edgesearch grade 1/2 0.5
  edgesearch grade '\\frac{3}{4}' '$0.75$' --json
"""


# Unknown options are arguments here, so that a negative number is an answer.
@click.command(
    epilog=_EXAMPLES, short_help="Compare two final answers.", context_settings={"ignore_unknown_options": True}
)
@click.argument("target")
@click.argument("answer")
@click.option("--json", "is_json", is_flag=True, show_default="one word", help="Print one JSON object.")
@click.pass_context
def grade(ctx: click.Context, target: str, answer: str, is_json: bool) -> None:
    """Compare ANSWER with the reference answer TARGET.

    Prints "equal" and exits with 0, or prints "different" and exits with 1.
    """
    from edgesearch.answer import equivalent

    is_equal = equivalent(target, answer)
    if is_json:
        fields = {"schema_version": SCHEMA_VERSION, "equal": is_equal, "target": target, "answer": answer}
        json_output.echo(fields)
    else:
        say("equal" if is_equal else "different")
    ctx.exit(0 if is_equal else 1)
