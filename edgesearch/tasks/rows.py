"""Records of a data file: JSONL, a JSON array, or Parquet, by its suffix. Nothing in them is trusted.

    Row("gsm8k.jsonl", number=12, index=11, fields={"question": ..., "answer": ...})

A data file may hold anything: sizes are bounded, nothing is evaluated, and an error names the line. JSONL and JSON may
be gzipped (.gz); their size counts unpacked.

Not covered: data in several files.
"""

from __future__ import annotations

import gzip
import importlib
import io
import itertools
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgesearch.errors import EdgesearchError, UsageError

MAX_LINE_BYTES = 10_000_000
MAX_FILE_BYTES = 1 << 30
MAX_ARRAY_BYTES = 64 << 20
"""Of a JSON array, which is read in one piece."""
MAX_SAMPLES = 1_000_000
_LOOK_BYTES = 512
_Bytes = io.BufferedReader | gzip.GzipFile
MAX_NAMED = 8
"""Names that an error message lists before it stops."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a data file. Nothing in it is trusted."""

    file: str
    """The file's name, for messages."""
    number: int
    """Of its line, of its row in Parquet, or of its record in a JSON array; from 1."""
    index: int
    """How many records come before it; blank lines do not count."""
    fields: Mapping[str, object] = field(hash=False)
    unit: str = "line"
    """What `number` counts."""

    @property
    def where(self) -> str:
        """For messages: `line 12 of test.jsonl`."""
        return f"{self.unit} {self.number} of {self.file}"

    def has(self, *names: str) -> bool:
        """Whether it has one of these fields, and not as null."""
        return any(self.fields.get(name) is not None for name in names)

    def text(self, *names: str, default: str | None = None) -> str:
        """The text of the first of these fields that is there.

        Args:
            names: of the fields.
            default: where none is there; None if one must be.

        Raises:
            UsageError: none is there, or it is not text.
        """
        if default is not None and not self.has(*names):
            return default
        name, value = self._first(names)
        if not isinstance(value, str):
            raise UsageError(f"{name!r} must be text, not {_kind(value)}")
        return value

    def texts(self, name: str, *, default: Sequence[str] | None = None) -> list[str]:
        """The texts that a field lists.

        Args:
            name: of the field.
            default: where it is not there; None if it must be.

        Raises:
            UsageError: it is not there, or no list of texts.
        """
        if default is not None and not self.has(name):
            return list(default)
        _, value = self._first([name])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise UsageError(f"{name!r} must be a list of texts, not {_kind(value)}")
        return list(value)

    def spelled(self, *names: str) -> str:
        """As `text`, and a number is spelled out: 27.0 is `27`.

        Raises:
            UsageError: none is there, or it is neither text nor a finite number.
        """
        name, value = self._first(names)
        if isinstance(value, str):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UsageError(f"{name!r} must be text or a number, not {_kind(value)}")
        return _spelled(value)

    def _first(self, names: Sequence[str]) -> tuple[str, object]:
        for name in names:
            if self.fields.get(name) is not None:
                return name, self.fields[name]
        there = listed(list(self.fields)) or "none"
        raise UsageError(f"there is no field {' or '.join(map(repr, names))}; the fields are {there}")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null", str: "text"}
    return names.get(type(value), f"{value!r:.40}")


def _spelled(value: float) -> str:
    exact = 2**53  # a larger float need not be the number that was written
    return str(int(value)) if isinstance(value, int) or (value == int(value) and abs(value) < exact) else repr(value)


def read_rows(path: Path) -> Iterator[Row]:
    """The records of a JSONL file, or by its suffix of a JSON array (.json) or a Parquet file.

    JSONL is UTF-8 with one object a line; a byte order mark, blank lines and Windows line ends are fine. A .json file
    that does not begin with [ is read as JSONL.

    Raises:
        UsageError: the file cannot be read, is too large, or a line is not UTF-8 or not an object; names the line.
        EdgesearchError: Parquet without the extra that reads it; holds the pip command.
    """
    check_file(path)
    for row in _parquet_rows(path) if path.suffix == ".parquet" else _json_rows(path):
        if row.index >= MAX_SAMPLES:
            raise UsageError(f"{path.name} has more than {MAX_SAMPLES:,} samples; split it into several files")
        yield row


def check_file(path: Path) -> None:
    """Refuses what is no file, or too large.

    Raises:
        UsageError: says which.
    """
    if not path.is_file():
        raise UsageError(f"{path} is not a file; check the path given with --data")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UsageError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes; split it into several files")


def _json_rows(path: Path) -> Iterator[Row]:
    try:
        with _opened(path) as file:
            yield from _array_rows(file, path) if _is_array(file, path) else _line_rows(file, path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UsageError(f"{path} is not a gzip file that can be read ({error}); download it again") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check the path given with --data") from error


def _opened(path: Path) -> _Bytes:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _is_array(file: _Bytes, path: Path) -> bool:
    start = file.peek(_LOOK_BYTES)[:_LOOK_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()
    return ".json" in path.suffixes and start.startswith(b"[")


def _line_rows(file: _Bytes, path: Path) -> Iterator[Row]:
    index, num_bytes = 0, 0
    for number in itertools.count(1):
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        num_bytes += len(line)
        if num_bytes > MAX_FILE_BYTES:
            raise UsageError(f"{path} holds more than {MAX_FILE_BYTES:,} bytes; split it into several files")
        where = f"line {number} of {path.name}"
        text = _decoded(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, where)
        if text.strip():
            yield Row(path.name, number, index, _object(text, where))
            index += 1


def _array_rows(file: _Bytes, path: Path) -> Iterator[Row]:
    content = file.read(MAX_ARRAY_BYTES + 1)
    if len(content) > MAX_ARRAY_BYTES:
        raise UsageError(f"{path} is larger than {MAX_ARRAY_BYTES:,} bytes; give it as JSONL, one object a line")
    try:
        values = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path.name} is not JSON in UTF-8 ({error}); download it again, or give JSONL") from None
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise UsageError(f"record {index + 1} of {path.name} is {_kind(value)}, not an object")
        yield Row(path.name, index + 1, index, value, "record")


def _decoded(line: bytes, where: str) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise UsageError(f"{where} is longer than {MAX_LINE_BYTES:,} bytes; is this JSONL, one object a line?")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8") from None


def _object(text: str, where: str) -> dict[str, object]:
    try:
        value = json.loads(text.rstrip(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise UsageError(f"{where} is not JSON ({reason}); write one object a line") from None
    if not isinstance(value, dict):
        raise UsageError(f"{where} is {_kind(value)}, not an object; write one {{...}} a line")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _parquet_rows(path: Path) -> Iterator[Row]:
    parquet = parquet_reader(path.name)
    try:
        file = parquet.ParquetFile(path)
        about = file.metadata
        size_bytes = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
        is_too_large = about.num_rows > MAX_SAMPLES or size_bytes > MAX_FILE_BYTES
        records: list[dict[str, object]] = [] if is_too_large else file.read().to_pylist()
    except (ValueError, OSError, NotImplementedError, TypeError, KeyError) as error:  # what Arrow's errors derive from
        raise UsageError(f"{path} is not a Parquet file that can be read ({error})") from error
    if is_too_large:
        raise UsageError(
            f"{path} holds more than {MAX_SAMPLES:,} rows or {MAX_FILE_BYTES:,} bytes; give a smaller file"
        )
    for index, record in enumerate(records):
        yield Row(path.name, index + 1, index, record, "row")


def parquet_reader(name: str) -> Any:
    """The module that reads Parquet.

    Raises:
        EdgesearchError: it is not installed; holds the pip command.
    """
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise EdgesearchError(
            f"{name} is a Parquet file, and pyarrow reads those: pip install 'edgesearch[bench]' (or pip install "
            "pyarrow); or give the data as JSONL with --data FILE"
        ) from error


def listed(names: Sequence[str]) -> str:
    """The first few names, quoted, for a message."""
    shown = ", ".join(repr(name[:40]) for name in names[:MAX_NAMED])
    return shown + (", ..." if len(names) > MAX_NAMED else "")
