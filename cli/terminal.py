"""What people read: results on stdout, notes on stderr, both safe to show whatever a model wrote.

Model text is untrusted: control characters and bidirectional overrides could repaint a terminal or hide what
is said.
Not covered: the moving view of a search (render.py) and JSON (json_output.py).
"""

import io
import os
import re
import sys
from collections.abc import Mapping

import click

_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text without control characters (newline and tab stay), bidi overrides and lone surrogates."""
    return _HARMFUL.sub("", text)


def one_line(text: str) -> str:
    """The visible text with every run of white space as one space."""
    return visible(" ".join(text.split()))


def say(text: str, *, is_bold: bool = False) -> None:
    """Prints a result on stdout."""
    click.echo(click.style(text, bold=True) if is_bold else text)


def note(text: str, *, color: str | None = None, is_dim: bool = False) -> None:
    """Prints a line about the run on stderr; a reader that went away never costs the result."""
    styled = click.style(text, fg=color, dim=is_dim or None) if color or is_dim else text
    try:
        click.echo(styled, err=True)
    except BrokenPipeError:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - lives as long as the process


def warn(text: str) -> None:
    """Prints a warning on stderr."""
    note(f"Warning: {one_line(text)}", color="yellow")


def accept_any_text() -> None:
    """Lets stdout print any text in any encoding: what it cannot spell comes out as a backslash escape."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def color_choice(environ: Mapping[str, str]) -> bool | None:
    """Whether to colour: not with NO_COLOR, yes with FORCE_COLOR, not with TERM=dumb, else None: on a terminal."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return False if environ.get("TERM") == "dumb" else None


def can_repaint(environ: Mapping[str, str]) -> bool:
    """Whether stderr is a terminal that can be repainted."""
    return sys.stderr is not None and sys.stderr.isatty() and environ.get("TERM") not in ("dumb", "unknown")
