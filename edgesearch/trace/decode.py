"""From what JSON holds to frozen dataclasses, by their own type hints, believing nothing.

A value has to be of the type that the field names: no number is read from text, no truth value from a number. A field
that is not there takes its default; one that is not known is passed over, as later versions may add some. Ranges are
checked by the dataclasses themselves, and their objections are told with the place.

Not covered: reading files (file.py); hints other than those that the data of a trace have.
"""

import functools
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

Read = Callable[[object, str], Any]
"""From a value and its place, for messages, to what it stands for."""

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}
_MOST_INT = 2**63


def decode(kind: Hashable, value: object, where: str) -> Any:
    """The value as an instance of that dataclass.

    Args:
        kind: the dataclass.
        value: from `json.loads`.
        where: what the value is called in messages; empty for the whole of a file.

    Raises:
        ValueError: it is not one; says where and why.
    """
    return _reader(kind)(value, where)


@functools.cache
def _reader(hint: Any) -> Read:
    """What reads values of a type hint."""
    origin = get_origin(hint)
    if hint in _WORDS:
        return functools.partial(_plain, hint)
    if origin is Literal:
        return functools.partial(_literal, get_args(hint))
    if origin in (Union, UnionType):
        return functools.partial(_union, tuple(map(_reader, get_args(hint))))
    if origin is tuple:
        return functools.partial(_tuple, _reader(get_args(hint)[0]))
    if origin is Mapping:
        return functools.partial(_mapping, _reader(get_args(hint)[1]))
    assert isinstance(hint, type), hint
    assert is_dataclass(hint), hint
    hints = get_type_hints(hint)
    return functools.partial(_object, hint, [(each, _reader(hints[each.name])) for each in fields(hint)])


def _plain(kind: type, value: object, where: str) -> object:
    if kind is float and type(value) is int and abs(value) < _MOST_INT:
        return float(value)
    is_sound = type(value) is kind
    if isinstance(value, float):
        is_sound = is_sound and math.isfinite(value)
    elif isinstance(value, int):
        is_sound = is_sound and abs(value) < _MOST_INT
    if not is_sound:
        raise ValueError(f"{where} must be {_WORDS[kind]}, not {_short(value)}")
    return value


def _literal(allowed: tuple[object, ...], value: object, where: str) -> object:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{where} must be one of {', '.join(map(str, allowed))}, not {_short(value)}")
    return value


def _union(readers: tuple[Read, ...], value: object, where: str) -> object:
    """The first that the value is; the objection told is that of the first."""
    objection: ValueError | None = None
    for read in readers:
        try:
            return read(value, where)
        except ValueError as error:
            objection = objection or error
    assert objection is not None
    raise objection


def _tuple(read: Read, value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list, not {_short(value)}")
    return tuple(read(each, f"{where}[{place}]") for place, each in enumerate(value))


def _mapping(read: Read, value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object, not {_short(value)}")
    return {key: read(each, f"{where}.{_short(key)}") for key, each in value.items()}


def _object(kind: type[Any], readers: list[tuple[Field[Any], Read]], value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise ValueError(f"{where or 'the file'} must be an object, not {_short(value)}")
    found: dict[str, object] = {}
    for field, read in readers:
        place = f"{where}.{field.name}" if where else field.name
        if field.name in value:
            found[field.name] = read(value[field.name], place)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{place} is missing")
    try:
        return kind(**found)
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from error


def _short(value: object) -> str:
    """The value for a message, whatever its size."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return repr(value) if len(str(value)) <= 60 else f"{str(value)[:60]!r}..."
