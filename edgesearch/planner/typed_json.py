"""JSON of files that the planner keeps, read as the dataclasses that it was written from.

Such a file is untrusted: every key, type, length and number is checked, and what does not fit is named by its place.

Not covered: ranges (the dataclasses check their own), where files lie (profile_cache.py, policy.py).
"""

import dataclasses
import functools
import json
import math
import types
import typing
from typing import Any

_MAX_ITEMS, _MAX_CHARS = 2000, 200
_TYPE_NAMES = {int: "a whole number", float: "a number", str: "a text"}


def loads(text: str, kind: type[Any], schema_version: int) -> Any:
    """The value of a dataclass in a text.

    Raises:
        ValueError: it is none, or of another version; says where.
    """
    try:
        content = json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    version = content.pop("schema_version", None)
    if version != schema_version or isinstance(version, bool):
        raise ValueError(f"schema_version must be {schema_version}, not {str(version)[:40]!r}")
    return _decoded(kind, content, kind.__name__.lower())


def dumps(value: Any, schema_version: int) -> str:
    """The text of a dataclass; `loads` reads it."""
    return _laid_out({"schema_version": schema_version, **dataclasses.asdict(value)})


def _laid_out(content: Any, indent: str = "") -> str:
    """JSON for people: what fits a line is on one."""
    text = json.dumps(content, allow_nan=False)
    if len(indent) + len(text) <= 300 or not isinstance(content, dict | list | tuple):
        return text
    deeper = indent + "  "
    if isinstance(content, dict):
        items = [f"{json.dumps(key)}: {_laid_out(value, deeper)}" for key, value in content.items()]
        return "{\n" + ",\n".join(deeper + item for item in items) + f"\n{indent}}}"
    return "[\n" + ",\n".join(deeper + _laid_out(item, deeper) for item in content) + f"\n{indent}]"


def _decoded(kind: Any, value: Any, where: str) -> Any:
    """A value of that type: a dataclass, tuple, text, number or None.

    Raises:
        ValueError: it is of another type, or out of its range.
    """
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (inner,) = (each for each in typing.get_args(kind) if each is not types.NoneType)
        return None if value is None else _decoded(inner, value, where)
    if typing.get_origin(kind) is tuple:
        return _decoded_tuple(typing.get_args(kind), value, where)
    if dataclasses.is_dataclass(kind):
        return _decoded_fields(kind, value, where)
    return _decoded_scalar(kind, value, where)


def _decoded_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) > _MAX_ITEMS:
        raise ValueError(f"{where} must be a list of at most {_MAX_ITEMS}")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{where} must be a list of {len(kinds)}, not of {len(value)}")
    return tuple(_decoded(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True)))


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decoded_fields(kind: Any, value: Any, where: str) -> Any:
    wanted = _hints(kind)
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object")
    for key in sorted(wanted.keys() ^ value.keys()):
        raise ValueError(f"{where}: the key {key[:40]!r} is {'missing' if key in wanted else 'unknown'}")
    fields = {key: _decoded(wanted[key], value[key], f"{where}.{key}") for key in wanted}
    try:
        return kind(**fields)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _decoded_scalar(kind: Any, value: Any, where: str) -> Any:
    allowed = (int, float) if kind is float else (kind,)
    if type(value) not in allowed:
        raise ValueError(f"{where} must be {_TYPE_NAMES[kind]}, not {str(value)[:40]!r}")
    if kind is str and (len(value) > _MAX_CHARS or not value.isprintable()):
        raise ValueError(f"{where} must be one line of at most {_MAX_CHARS} characters")
    if kind is not float:
        return value
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(f"{where} is too large") from error
    if not math.isfinite(number):
        raise ValueError(f"{where} must be finite")
    return number


def _no_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number of JSON")
