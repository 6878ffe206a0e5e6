"""Problems as the command is given them: an argument, standard input, a file, or one JSON object a line.

All that comes in is checked here, before a model is loaded. Not covered: whether it fits a model's context.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from edgesearch.budget import Budget, parse_duration
from edgesearch.errors import UsageError
from edgesearch.types import Problem

from .terminal import note

MAX_PROBLEM_BYTES = 1_000_000
MAX_LINE_BYTES = 8 * MAX_PROBLEM_BYTES
"""Room for a problem whose every byte is escaped, and its id."""

_BINARY = re.compile("[\x00-\x08\x0e-\x1f\x7f]")


class Maker(Protocol):
    """Makes a problem of what was read."""

    def __call__(self, text: str, *, tests: str | None = None, function: str | None = None, id: str = "") -> Problem:
        """The problem.

        Args:
            text: the question.
            tests: source of the tests of a program.
            function: name of the function that is asked for.
            id: of the problem.

        Raises:
            UsageError: they do not go together.
        """
        ...


def read_problem(source: str | None) -> str:
    """The text of the problem that `PROBLEM`, `-` (standard input) or `@file` stands for.

    Raises:
        UsageError: there is none, it cannot be read, or it is not text.
    """
    if source is None:
        raise UsageError("no problem given; write it in quotes, or - to read standard input, or @FILE to read a file")
    if source == "-":
        return _decoded(_read_stdin(), "standard input")
    if source.startswith("@"):
        return _decoded(_read_file(source[1:]), f"file {source[1:]!r}")
    return _checked(_as_utf8(source), "the problem")


def read_text(path: str) -> str:
    """The text of a file.

    Raises:
        UsageError: it cannot be read, is too large, or is not text.
    """
    with _open(path) as file:
        return _decoded(file.read(MAX_PROBLEM_BYTES + 1), f"file {path!r}")


def opened(path: str | None) -> AbstractContextManager[BinaryIO | None]:
    """The bytes of a `--jsonl` file, `-` for standard input, None for none, as a context that closes what it opened.

    Raises:
        UsageError: it cannot be read.
    """
    if path is None:
        return nullcontext()
    return nullcontext(_stdin()) if path == "-" else _open(path)


def _as_utf8(argument: str) -> str:
    """An argument in UTF-8 that Python has read in the locale's ASCII, as text."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument


def _read_stdin() -> bytes:
    stream = _stdin()
    if stream.isatty():
        note("Type the problem, then end it with Ctrl-D (Ctrl-Z and Enter on Windows).")
    return stream.read(MAX_PROBLEM_BYTES + 1)


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise UsageError("standard input is closed; give a file instead")
    return sys.stdin.buffer


def _read_file(path: str) -> bytes:
    if not path:
        raise UsageError("@ needs a file name, as in @problem.txt; pipe in a problem that is just @ with -")
    with _open(path, "; a problem that starts with @ can come by standard input, with -") as file:
        return file.read(MAX_PROBLEM_BYTES + 1)


def _open(path: str, hint: str = "") -> BinaryIO:
    try:
        return open(path, "rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"cannot read file {path!r}: {reason}{hint}") from None


def _decoded(data: bytes, where: str) -> str:
    if len(data) > MAX_PROBLEM_BYTES:
        raise UsageError(_too_large(where))
    try:
        return _checked(data.decode("utf-8-sig"), where)
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not UTF-8 text (byte {error.start}); convert it to UTF-8 first") from None


def _checked(text: str, where: str) -> str:
    """The text itself; raises UsageError where it is not a problem in Unicode text."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_PROBLEM_BYTES:
        raise UsageError(_too_large(where))
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise UsageError(f"{where} is not UTF-8 text; convert it to UTF-8 first")
    if found := _BINARY.search(text):
        raise UsageError(f"{where} is not plain text: it holds the control character 0x{ord(found[0]):02x}")
    if not text.strip():
        raise UsageError(f"{where} is empty; write the question that is to be answered")
    return text


def _too_large(where: str) -> str:
    return f"{where} is larger than {MAX_PROBLEM_BYTES:,} bytes; shorten it to the question itself"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a `--jsonl` file."""

    number: int
    """Counted from 1."""
    id: str | int | None
    """As given; None where the line has none that can be read."""
    problem: Problem | None
    budget_s: float | None
    """Its own budget; None for that of the command."""
    error: UsageError | None = None
    """Why there is no problem."""


def read_lines(stream: BinaryIO, make: Maker) -> Iterator[Line]:
    """The lines of a `--jsonl` file as they arrive, bad ones with their error, blank ones passed over."""
    number = 0
    while data := stream.readline(MAX_LINE_BYTES):
        number += 1
        is_cut = len(data) == MAX_LINE_BYTES and not data.endswith(b"\n")
        if is_cut:
            _skip_line(stream)
            error = UsageError(f"line {number} is longer than {MAX_LINE_BYTES:,} bytes")
            yield Line(number, None, None, None, error)
        elif data.strip():
            yield _line(number, data, make)


def _skip_line(stream: BinaryIO) -> None:
    while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def _line(number: int, data: bytes, make: Maker) -> Line:
    where = f"line {number}"
    line_id: str | int | None = None
    try:
        fields = _fields(data, where)
        line_id = _id(fields, where)
        text = _text(fields, "problem", where)
        if text is None:
            raise UsageError(f'{where} has no text under "problem"')
        tests, function = _text(fields, "tests", where), _text(fields, "entry_point", where)
        problem = make(_checked(text, f"the problem of {where}"), tests=tests, function=function, id=str(line_id))
        return Line(number, line_id, problem, _budget_s(fields, where))
    except UsageError as error:
        return Line(number, line_id, None, None, error)


def _fields(data: bytes, where: str) -> dict[str, object]:
    try:
        fields = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not UTF-8 text") from None
    except (ValueError, RecursionError):
        raise UsageError(f'{where} is not JSON; write {{"id": "1", "problem": "..."}} on a line') from None
    if not isinstance(fields, dict):
        raise UsageError(f'{where} is not an object; write {{"id": "1", "problem": "..."}} on a line')
    return fields


def _text(fields: dict[str, object], name: str, where: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise UsageError(f'{where} has no text under "{name}"')


def _id(fields: dict[str, object], where: str) -> str | int:
    value = fields.get("id")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UsageError(f'{where} has no text or whole number under "id"')
    return value


def _budget_s(fields: dict[str, object], where: str) -> float | None:
    value = fields.get("budget")
    try:
        match value:
            case None:
                return None
            case str():
                return parse_duration(value)
            case bool():
                raise UsageError("budget must be a duration such as 10s, or seconds")
            case int() | float():
                return Budget(float(value)).seconds
            case _:
                raise UsageError("budget must be a duration such as 10s, or seconds")
    except (UsageError, OverflowError) as error:
        raise UsageError(f"{where}: {error}") from None
