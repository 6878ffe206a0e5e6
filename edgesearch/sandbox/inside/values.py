"""Plain values as JSON and back, without ever calling what the other side wrote.

None, bool, str, whole and real numbers and lists are as JSON has them; whatever JSON lacks is an object of one key:

    {"t": [1, 2]}  tuple    {"s": [...]}  set    {"z": [...]}  frozenset    {"d": [[key, value], ...]}  dict
    {"b": "6869"}  bytes    {"a": "6869"} bytearray    {"c": [re, im]}  complex    {"i": "-ff"}  a whole number, in hex
    {"r": [0, 9, 2]}  range    {"q": [...]}  deque    {"f": [1, 3]}  Fraction    {"m": "1.50"}  Decimal    {"e": 0}  ...
    {"n": [...]}  what an iterator or a view of a dict still had    {"o": ["re.Match", true]}  any other object

An instance of a subclass becomes a value of its base, by the base's own methods, so that nothing a program overrides
reaches a test. An object that is none of these arrives as an `Opaque`: equal to nothing but itself, as true or false as
the program said.

Not covered: values that hold themselves, or that are nested deeper than `MAX_DEPTH`; classes of a program's own.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

MAX_DEPTH = 200
MAX_ITEMS = 5_000_000
"""Of all containers of a value together; of an iterator, so many are drawn."""
_SMALL = 1 << 62
"""Whole numbers below are plain JSON."""
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_END = object()


class Unspeakable(Exception):
    """A value that cannot be sent."""


class NoValue(Unspeakable):
    """An object that is no plain value, where only those may be sent."""


class Opaque:
    """An object that stayed with the program."""

    def __init__(self, kind: str, is_true: bool) -> None:
        """Tells what is known of it."""
        self._kind, self._is_true = kind, is_true

    def __bool__(self) -> bool:
        return self._is_true

    def __repr__(self) -> str:
        return f"<a {self._kind} of the program>"


# ---------------------------------------------------------------------------------------------------------- writing


def encode(value: object, *, has_objects: bool = True) -> bytes:
    """A value as JSON.

    Args:
        value: what is sent.
        has_objects: whether other objects in it go as what the other side sees as an `Opaque`.

    Raises:
        NoValue: there are others in it, and they may not be sent.
        Unspeakable: it cannot be sent; says why.
    """
    try:
        return json.dumps(_Writer(has_objects=has_objects).plain(value, 0)).encode("ascii")
    except RecursionError:
        raise Unspeakable("it is nested too deeply") from None


class _Writer:
    """Turns one value into what JSON has."""

    def __init__(self, *, has_objects: bool) -> None:
        self._has_objects = has_objects
        self._num_items = 0

    def plain(self, value: Any, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        kind = type(value)
        if kind is str:
            return value
        if kind is int:
            return value if -_SMALL < value < _SMALL else {"i": hex(value).replace("0x", "")}
        if kind is float:
            return value
        if depth > MAX_DEPTH:
            raise Unspeakable("it is nested too deeply")
        if kind is list:
            return self._all(value, depth)
        return self._by_base(value, depth)

    def _all(self, values: Iterable[Any], depth: int) -> list[Any]:
        found = [self.plain(value, depth + 1) for value in islice(iter(values), MAX_ITEMS - self._num_items + 1)]
        self._num_items += len(found)
        if self._num_items > MAX_ITEMS:
            raise Unspeakable(f"it holds more than {MAX_ITEMS:,} values")
        return found

    def _by_base(self, value: Any, depth: int) -> Any:
        for base, write in _WRITERS.items():
            if issubclass(type(value), base):
                return write(self, value, depth)
        if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "shape", None) == ():
            return self.plain(value.item(), depth + 1)
        if issubclass(type(value), (Iterator, *_VIEWS)):
            return {"n": self._all(value, depth)}
        if not self._has_objects:
            raise (Unspeakable if isinstance(value, Opaque) else NoValue)(f"a {type(value).__name__} is no plain value")
        return {"o": [f"{type(value).__module__}.{type(value).__qualname__}"[:100], bool(value)]}

    def _dict(self, value: dict[Any, Any], depth: int) -> Any:
        pairs = [[self.plain(key, depth + 1), self.plain(each, depth + 1)] for key, each in dict.items(value)]
        self._num_items += 2 * len(pairs)
        if self._num_items > MAX_ITEMS:
            raise Unspeakable(f"it holds more than {MAX_ITEMS:,} values")
        return {"d": pairs}

    def _number(self, value: int, depth: int) -> Any:
        return self.plain(int.__index__(value), depth)


_Write = Callable[[_Writer, Any, int], Any]


def _sequence(tag: str, base: Any) -> _Write:
    def write(writer: _Writer, value: Any, depth: int) -> Any:
        items = writer._all(base.__iter__(value), depth)
        return {tag: items} if tag else items

    return write


_WRITERS: Mapping[type, _Write] = {
    int: _Writer._number,
    float: lambda _, value, depth: float.__float__(value),
    str: lambda _, value, depth: str.__str__(value),
    list: _sequence("", list),
    tuple: _sequence("t", tuple),
    dict: _Writer._dict,
    set: _sequence("s", set),
    frozenset: _sequence("z", frozenset),
    bytes: lambda _, value, depth: {"b": bytes.hex(value)},
    bytearray: lambda _, value, depth: {"a": bytearray.hex(value)},
    complex: lambda _, value, depth: {"c": [complex.real.__get__(value), complex.imag.__get__(value)]},
    range: lambda _, value, depth: {"r": [value.start, value.stop, value.step]},
    deque: _sequence("q", deque),
    Fraction: lambda writer, value, depth: {
        "f": [writer.plain(value.numerator, depth), writer.plain(value.denominator, depth)]
    },
    Decimal: lambda _, value, depth: {"m": Decimal.__str__(value)},
    type(...): lambda _, value, depth: {"e": 0},
}
"""By base, the first that fits; a subclass is written by what its base says it is."""


# ---------------------------------------------------------------------------------------------------------- reading


def decode(spelled: Any) -> Any:
    """The value that parsed JSON spells.

    Raises:
        ValueError: it is not what `encode` writes.
    """
    try:
        return _value(spelled)
    except ValueError:
        raise
    except (TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"no value: {type(error).__name__}") from error


def _value(spelled: Any) -> Any:
    if isinstance(spelled, list):
        return [_value(each) for each in spelled]
    if not isinstance(spelled, dict):
        return spelled
    ((tag, content),) = spelled.items()
    return _READERS[tag](content)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "i": lambda digits: int(digits, 16),
    "t": lambda items: tuple(map(_value, items)),
    "d": lambda pairs: {_value(key): _value(value) for key, value in pairs},
    "s": lambda items: set(map(_value, items)),
    "z": lambda items: frozenset(map(_value, items)),
    "b": bytes.fromhex,
    "a": bytearray.fromhex,
    "c": lambda parts: complex(*map(float, parts)),
    "r": lambda numbers: range(*map(int, numbers)),
    "q": lambda items: deque(map(_value, items)),
    "f": lambda parts: Fraction(*map(_value, parts)),
    "m": lambda text: Decimal(str(text)),
    "e": lambda _: ...,
    "n": lambda items: iter([_value(item) for item in items]),
    "o": lambda told: Opaque(str(told[0]), told[1] is True),
}
