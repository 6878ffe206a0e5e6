"""What an engine costs in dollars: by the hour of a machine, or by the million tokens of an endpoint.

    h100-80gb-lambda           an entry of prices.toml
    4xh100-80gb-lambda         four of them
    0.50/hour                  what your own machine costs you
    0.10+0.40/Mtok             input + output tokens; 0.40/Mtok for both alike

prices.toml holds list prices, each with the provider's page and the day on which it was read.

An hourly price pays for the seconds of a solve, as if the machine did nothing else: a server that is shared by many
costs less a problem. A price of tokens pays for prompt tokens that were read and tokens that were drawn; prompt tokens
that the server took from its cache are free here, though some providers bill them at a lower price.

Not covered: loading, idle hours, discounts, tax, the power that a machine of your own draws.
"""

import datetime
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

from numpy.typing import NDArray

from edgesearch.errors import IntegrityError, UsageError

SCHEMA_VERSION = 1
Unit = Literal["hour", "million tokens"]

_NAME = re.compile(r"(?:(\d{1,5})x)?([a-z][a-z0-9.-]*)")
_HOURLY = re.compile(r"(\d+(?:\.\d+)?)/hour")
_TOKENS = re.compile(r"(\d+(?:\.\d+)?)(?:\+(\d+(?:\.\d+)?))?/Mtok")
_KEYS: Mapping[str, dict[str, type]] = {
    "hour": {"dollars": float},
    "million tokens": {"input_dollars": float, "output_dollars": float},
}
_COMMON_KEYS = {"name": str, "unit": str, "what": str, "url": str, "read_in": str, "date": datetime.date}


@dataclass(frozen=True, slots=True)
class Price:
    """What is paid for an engine."""

    name: str
    """Of the entry; `your own` for one that was given as a number."""
    unit: Unit
    dollars: float = 0.0
    """An hour of one machine."""
    input_dollars: float = 0.0
    """A million prompt tokens."""
    output_dollars: float = 0.0
    """A million tokens drawn."""
    num_machines: int = 1
    what: str = ""
    url: str = ""
    """The provider's page."""
    date: str = ""
    """On which the page was read; ISO."""

    def __post_init__(self) -> None:
        for field in ("dollars", "input_dollars", "output_dollars"):
            value = getattr(self, field)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{field} is {value}; it must be finite and >= 0")
        if self.num_machines < 1:
            raise ValueError(f"num_machines is {self.num_machines}; it must be >= 1")

    @property
    def words(self) -> str:
        """Amount, unit, source and date, for people."""
        if self.unit == "hour":
            machines = f"{self.num_machines} x " if self.num_machines > 1 else ""
            amount = f"{machines}${self.dollars:g} an hour"
        else:
            amount = f"${self.input_dollars:g} a million input tokens, ${self.output_dollars:g} a million output tokens"
        source = f"{self.what}, {self.url}, read {self.date}" if self.url else "as given"
        return f"{amount} ({source})"

    def of(self, wall_s: NDArray[Any], input_tokens: NDArray[Any], output_tokens: NDArray[Any]) -> NDArray[Any]:
        """Dollars of each solve.

        Args:
            wall_s: (n,) seconds.
            input_tokens: (n,) prompt tokens that were read.
            output_tokens: (n,) tokens drawn.

        Returns:
            (n,) dollars.
        """
        if self.unit == "hour":
            return wall_s * (self.dollars * self.num_machines / 3600)
        return (input_tokens * self.input_dollars + output_tokens * self.output_dollars) / 1e6


def parse(text: str) -> Price:
    """The price that a text means; the forms are above.

    Raises:
        UsageError: it means none; says what would.
    """
    if match := _HOURLY.fullmatch(text):
        return Price("your own", "hour", dollars=float(match[1]))
    if match := _TOKENS.fullmatch(text):
        return Price(
            "your own", "million tokens", input_dollars=float(match[1]), output_dollars=float(match[2] or match[1])
        )
    match = _NAME.fullmatch(text)
    if match is None:
        raise UsageError(
            f"the price {text!r:.60} is none; write a name of the table, such as h100-80gb-lambda or "
            "4xh100-80gb-lambda, or a number, such as 0.50/hour or 0.10+0.40/Mtok"
        )
    found = _named(match[2])
    if match[1] is None:
        return found
    if found.unit != "hour" or int(match[1]) < 1:
        raise UsageError(f"{text!r}: only a price by the hour takes a number of machines, 1 or more")
    return replace(found, num_machines=int(match[1]))


def parse_assignment(text: str) -> tuple[str, Price]:
    """`ENGINE=PRICE` as the engine's id and its price.

    Raises:
        UsageError: it has another form, or means no price.
    """
    engine, sign, price = text.partition("=")
    if not sign or not engine.strip() or not price.strip():
        raise UsageError(f"{text!r:.60} is no price; write ENGINE=NAME or ENGINE=0.50/hour")
    return engine.strip(), parse(price.strip())


def _named(name: str) -> Price:
    known = table()
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise UsageError(f"no price is named {name!r:.60}{hint} Known: {', '.join(known)}; or write 0.50/hour")
    return known[name]


@lru_cache(maxsize=1)
def table() -> Mapping[str, Price]:
    """The prices of prices.toml, by name.

    Raises:
        IntegrityError: the file is damaged.
    """
    try:
        return read(resources.files("edgesearch.bench").joinpath("prices.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"the table of prices cannot be used ({error}); reinstall edgesearch") from error


def read(text: str) -> dict[str, Price]:
    """The prices that a TOML text holds, by name.

    Raises:
        ValueError: it is not TOML, or says something unknown or out of range.
    """
    content = tomllib.loads(text)
    if content.get("schema_version") != SCHEMA_VERSION or set(content) != {"schema_version", "price"}:
        raise ValueError(f"it must hold schema_version = {SCHEMA_VERSION} and [[price]] tables")
    found = [_price(entry) for entry in content["price"]]
    names = [price.name for price in found]
    if len(set(names)) < len(names):
        raise ValueError("two prices have one name")
    return dict(zip(names, found, strict=True))


def _price(entry: dict[str, Any]) -> Price:
    unit = str(entry.get("unit"))
    if unit not in _KEYS:
        raise ValueError(f"unit is {unit!r}; it must be one of {', '.join(_KEYS)}")
    types = _COMMON_KEYS | _KEYS[unit]
    for key in types.keys() ^ entry.keys():
        raise ValueError(f"price {entry.get('name')!r}: the key {key!r} is {'missing' if key in types else 'unknown'}")
    for key, wanted in types.items():
        if not isinstance(entry[key], wanted):
            raise ValueError(f"price {entry['name']!r}: {key} must be a {wanted.__name__}, not {entry[key]!r}")
    values = {key: value for key, value in entry.items() if key not in ("date", "read_in")}
    return Price(**values, date=entry["date"].isoformat())
