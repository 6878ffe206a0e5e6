"""The JSON file of a trace: one object, one node a line.

    {"schema_version": 1, "kind": "edgesearch trace",
    "problem": "Ana has 3 apples ...",
    ...
    "nodes": [
    {"id": 0, "parent": null, "prompt": 0, "wave": 0, "text": "3 + 4 = 7\\n\\n", "score": 0.97, ...},
    ...

The fields are those of `model.Trace`, with their units. A file that is read may come from anybody: its size, types,
ranges and numbers are checked before anything else looks at it, and nothing in it is ever run.

Not covered: what a trace holds (model.py).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn

from edgesearch.bench.files import replaced
from edgesearch.errors import UsageError
from edgesearch.trace.decode import decode
from edgesearch.trace.model import Node, Trace
from edgesearch.types import SCHEMA_VERSION

KIND = "edgesearch trace"
MAX_BYTES = 256_000_000
"""No larger file is read; a trace with all its limits reached is smaller."""

_UNSAFE = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What could repaint a terminal that shows the file, and halves of characters."""
_ADVICE = "write one with: edgesearch solve --trace FILE PROBLEM"


def check_place(path: Path) -> None:
    """Whether a trace can be written there, so that no search is done in vain.

    Raises:
        UsageError: it is a folder or no file, or its folder is not there.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the path of a file, such as {path / 'trace.json'}")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no ordinary file; a trace takes the place of the file there, so give another")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} is not there; make it first: mkdir -p {path.parent}")


def write(trace: Trace, path: Path) -> None:
    """Writes the trace; a file that was there is replaced once the new one is whole.

    Raises:
        UsageError: see `check_place`.
        EdgesearchError: the file cannot be written.
    """
    check_place(path)
    with replaced(path) as file:
        for line in _lines(trace):
            file.write(_UNSAFE.sub(_escaped, line).encode())


def _escaped(found: re.Match[str]) -> str:
    """As JSON escapes it; half a character, which JSON cannot hold, as the sign for that."""
    return "\ufffd" if "\ud800" <= found[0] <= "\udfff" else f"\\u{ord(found[0]):04x}"


def _lines(trace: Trace) -> Iterator[str]:
    yield f'{{"schema_version": {SCHEMA_VERSION}, "kind": {_dumped(KIND)}'
    for field in fields(Trace):
        if field.name != "nodes":
            yield f",\n{_dumped(field.name)}: {_dumped(plain(getattr(trace, field.name)))}"
    yield ',\n"nodes": ['
    for number, node in enumerate(trace.nodes):
        yield ("," if number else "") + "\n" + _dumped({"id": number, **_plain_node(node)})
    yield "\n]}\n"


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def plain(value: object) -> object:
    """Dataclasses, tuples and mappings as what JSON knows."""
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def _plain_node(node: Node) -> dict[str, object]:
    """Like `plain`; a trace may have very many."""
    return {each.name: getattr(node, each.name) for each in fields(Node)}


def read(path: Path) -> Trace:
    """The trace in a file.

    Raises:
        UsageError: there is no such file, it is too large, or it is no trace, in whole or in part; says where.
    """
    content = _content(path)
    try:
        found = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no trace: it is not JSON, or only a part of it ({error}); {_ADVICE}") from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise UsageError(f"{path} is JSON but no trace; {_ADVICE}")
    if found.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(
            f"{path} has the schema version {found.get('schema_version')!r:.40}, and this edgesearch reads "
            f"{SCHEMA_VERSION}; use the version that wrote it"
        )
    try:
        _check_ids(found)
        trace: Trace = decode(Trace, found, "")
    except ValueError as error:
        raise UsageError(f"{path} is a damaged trace: {error}; {_ADVICE}") from error
    return trace


def _content(path: Path) -> str:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is no ordinary file" if path.exists() else "is not there"
        raise UsageError(f"{path} {what}; give the file of a trace, or {_ADVICE}")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); give a file that can") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path} is larger than {MAX_BYTES / 1e6:g} MB, which no trace is; {_ADVICE}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no trace: it is not UTF-8 text; {_ADVICE}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _check_ids(found: Mapping[str, Any]) -> None:
    """Whether nodes stand where their ids say, as far as they have some."""
    nodes = found.get("nodes")
    for number, node in enumerate(nodes if isinstance(nodes, list) else []):
        if isinstance(node, dict) and node.get("id", number) != number:
            raise ValueError(f"nodes[{number}].id must be {number}, its place, not {node['id']!r:.40}")
