"""A strategy's own settings, from text or values to its dataclass.

    edgesearch solve --strategy beam --option granularity=2

Types come from the dataclass's fields (bool, int, float, str), ranges from its `__post_init__`. An unknown name is an
error that lists the known ones.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from edgesearch.errors import UsageError
from edgesearch.search.base import Strategy

Value = bool | int | float | str
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def parse_options(strategy: Strategy, given: Mapping[str, Value]) -> Any:
    """An instance of the strategy's options.

    Args:
        strategy: whose.
        given: name to value; text is read as the field's type.

    Raises:
        UsageError: a name that it does not have, a value of another type, or one out of its range.
    """
    known = {field.name: field.type for field in dataclasses.fields(strategy.options)}
    values: dict[str, Value] = {}
    for name, value in given.items():
        if name not in known:
            listed = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(f"strategy {strategy.name} has no option {name!r}; {listed}")
        values[name] = _read(strategy.name, name, str(getattr(known[name], "__name__", known[name])), value)
    try:
        return strategy.options(**values)
    except ValueError as error:
        raise UsageError(f"strategy {strategy.name}: {error}") from error


def described(options: Any) -> dict[str, Value]:
    """An options instance as a plain mapping."""
    return dataclasses.asdict(options)


def _read(strategy: str, name: str, kind: str, value: Value) -> Value:
    found = _converted(kind, value)
    if found is None:
        raise UsageError(f"option {name} of strategy {strategy} must be {_KINDS[kind]}, not {value!r}")
    return found


_KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}


def _converted(kind: str, value: Value) -> Value | None:
    """The value as that type; None where it is of another."""
    if kind == "str":
        return value if isinstance(value, str) else None
    if kind == "bool":
        return value if isinstance(value, bool) else _WORDS.get(str(value).lower())
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number) or (kind == "int" and not number.is_integer()):
        return None
    return int(number) if kind == "int" else number
