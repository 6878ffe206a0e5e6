"""TOML files that people write, checked strictly: what is wrong is told with its file, table, entry and key.

    table = parse(read_text(path, "recipe"), path, "recipe")
    place = Place(path, "engines", 2)
    check_keys(place, entry, {"id": str, "threads": int}, required=("id",))

    UsageError: story.toml: [[engines]] entry 2: unknown key 'thraeds'; did you mean 'threads'? Known: id, threads

Not covered: what the values mean (recipe.py, published.py).
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from edgesearch.errors import UsageError

TYPE_NAMES: Mapping[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file; begins every message."""

    path: Path
    table: str = ""
    number: int | None = None
    """Of the entry of an array of tables, from 1."""
    outer: "Place | None" = None
    """The entry that this one is in; None at the top of the file."""

    def __str__(self) -> str:
        start = str(self.outer or self.path)
        if not self.table:
            return start
        if self.number is None:
            return f"{start}: [{self.table}]"
        return f"{start}: [[{self.table}]] entry {self.number}"

    def error(self, problem: str) -> UsageError:
        """An error that names this place."""
        return UsageError(f"{self}: {problem}")

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Turns a value that is out of range into an error that names this place."""
        try:
            yield
        except ValueError as error:
            raise self.error(str(error)) from error


def read_text(path: Path, what: str) -> str:
    """The text of a file, without a byte order mark and with plain line ends.

    Args:
        path: of the file.
        what: it is, for messages.

    Raises:
        UsageError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise UsageError(f"{what} {path} cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} {path} is not UTF-8 (byte {error.start + 1}); save it as UTF-8") from None


def parse(text: str, path: Path, what: str) -> dict[str, Any]:
    """The table that a text holds.

    Args:
        text: TOML.
        path: where it is from, for messages.
        what: it is, for messages.

    Raises:
        UsageError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not every bad number is a TOMLDecodeError
        raise UsageError(f"{what} {path} is not TOML: {error}") from None


def entries(table: Mapping[str, Any], name: str, place: Place) -> Iterator[tuple[dict[str, Any], Place]]:
    """The entries of an array of tables, each with its place.

    Raises:
        UsageError: it is no array of tables, or an empty one.
    """
    found = table[name]
    if not found or not all(isinstance(entry, dict) for entry in found):
        raise place.error(f"{name} must be one or more tables; write [[{name}]] above each")
    for number, entry in enumerate(found, 1):
        yield entry, Place(place.path, name, number, place)


def check_keys(
    place: Place,
    table: Mapping[str, Any],
    types: Mapping[str, type],
    *,
    required: Sequence[str],
    title: str = "",
) -> None:
    """Whether a table has all the required keys, no unknown ones, and values of the right types.

    Args:
        place: of the table.
        table: to check.
        types: of its values, by key; a whole number is a number, too.
        required: keys that must be there.
        title: of the table, for messages; default: its name in the file.

    Raises:
        UsageError: it has not.
    """
    check_known(place, table, list(types), title or place.table)
    for key in required:
        if key not in table:
            raise place.error(f"the key {key!r} is missing")
    for key, value in table.items():
        if not is_a(value, types[key]):
            raise place.error(f"{key} must be {TYPE_NAMES[types[key]]}, not {shown(value)}")


def check_known(place: Place, table: Mapping[str, Any], known: Sequence[str], title: str) -> None:
    """Whether a table has no other keys than the known ones.

    Raises:
        UsageError: it has; names the closest and lists the known ones.
    """
    for key in table:
        if key not in known:
            raise place.error(f"{unknown('key', key, known)} (keys of a {title})")


def is_a(value: object, wanted: type) -> bool:
    """Whether a value has a type of TOML; true is no number."""
    return type(value) is wanted or (wanted is float and type(value) is int)


def as_float(key: str, number: Any) -> float:
    """A number as a float; -0.0 is 0.0.

    Raises:
        ValueError: floats do not go that far.
    """
    try:
        return float(number) + 0.0
    except OverflowError:
        raise ValueError(f"{key} is too large a number") from None


def unknown(what: str, name: str, known: Sequence[str]) -> str:
    """A sentence about a name that is not among the known ones."""
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"unknown {what} {shown(name)}{hint} Known: {', '.join(known)}"


def require(field: str, is_valid: object, value: object, allowed: str) -> None:
    """Nothing where it is valid.

    Raises:
        ValueError: it is not; names the field, the value and what is allowed.
    """
    if not is_valid:
        raise ValueError(f"{field} must be {allowed}, not {shown(value)}")


def require_known(field: str, name: str, known: Sequence[str]) -> None:
    """Nothing where the name is known.

    Raises:
        ValueError: it is not; lists the known ones.
    """
    if name not in known:
        raise ValueError(unknown(field, name, known))


def shown(value: object) -> str:
    """For messages: short, and never fails."""
    try:
        return repr(value)[:80]
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"
