"""The `edgesearch` command group, and how every failure becomes one sentence and an exit code.

A traceback is printed only with EDGESEARCH_DEBUG=1. Nothing heavy (llama_cpp, onnxruntime, numpy, rich) is
imported here or at the top of a command's module, so that `--help` and `--version` are instant.
"""

import atexit
import gc
import os
import sys
import traceback
from contextlib import suppress
from itertools import takewhile
from typing import Any, NoReturn

import click

from edgesearch import __version__

from . import json_output
from .bench import bench
from .calibrate import calibrate
from .doctor import doctor
from .failures import explain
from .grade import grade
from .info import info
from .solve import solve
from .terminal import accept_any_text, color_choice, note, one_line
from .trace import trace
from .tune import tune
from .verifier import verifier

_EPILOG = """\b
Examples:
  edgesearch solve --budget 10s "How can you make 29 from 4, 6 and 5, using each number once?"
  edgesearch solve --model Llama-3.2-1B-Instruct-Q4_K_M.gguf --budget 1m @problem.txt
  edgesearch solve --json - < problem.txt
  edgesearch info

\b
Exit codes:
  0 answered       3 no answer in the budget   6 no sandbox           9 endpoint or credentials
  1 other error    4 model missing or offline  7 problem too long   130 interrupted (Ctrl-C)
  2 wrong usage    5 model file damaged        8 out of memory      143 terminated

Set EDGESEARCH_DEBUG=1 to see a traceback with an error, NO_COLOR=1 for no colours.
"""
_WANTS_JSON = "edgesearch.wants_json"


class EdgesearchGroup(click.Group):
    """Ends a failed command with a sentence on stderr, an object under `--json`, and an exit code."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command; notes whether its failures, too, are to be told as JSON."""
        ctx.meta[_WANTS_JSON] = "--json" in takewhile(lambda arg: arg != "--", args)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click exits quietly
        except click.ClickException as error:
            if _wants_json(ctx):
                json_output.echo(json_output.error_object(error.format_message(), error.exit_code))
            raise
        except KeyboardInterrupt:
            note("Interrupted.")
            ctx.exit(130)
        except Exception as error:  # the last resort: told, with its exit code
            _fail(ctx, error)


def _wants_json(ctx: click.Context) -> bool:
    return bool(ctx.meta.get(_WANTS_JSON))


def _fail(ctx: click.Context, error: Exception) -> NoReturn:
    if os.environ.get("EDGESEARCH_DEBUG"):
        traceback.print_exception(error)
    message, exit_code = explain(error)
    note(f"Error: {one_line(message)}", color="red")
    if _wants_json(ctx):
        with suppress(OSError):  # the failure may be that of stdout
            json_output.echo(json_output.error_object(message, exit_code))
    _abandon_full_stdout()
    ctx.exit(exit_code)


def _abandon_full_stdout() -> None:
    """Drops what waits in a stdout that cannot be written (a full disk), or Python complains again at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - lives as long as the process


@click.group(cls=EdgesearchGroup, epilog=_EPILOG, context_settings={"max_content_width": 110})
@click.version_option(__version__, prog_name="edgesearch", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Answer a problem within a number of seconds, on this machine.

    A small quantised model drafts many step-by-step solutions, a verifier scores every step, and a search
    decides where the next tokens go. When the seconds are over, the best answer so far is printed.
    """
    accept_any_text()
    ctx.color = color_choice(os.environ)


for _command in (solve, info, grade, bench, verifier, trace, tune, calibrate, doctor):
    main.add_command(_command)

atexit.register(gc.freeze)  # or Python searches all that was loaded for cycles as it ends, 0.1 s after the answer
