"""How large a solver is: from its manifest, or from what its name says; else only how it compares, from its FLOPs.

    nano                            155,000 parameters    its manifest
    Llama-3.1-70B-Instruct          70,000,000,000        nominal: what the name says
    Qwen3-30B-A3B                    3,000,000,000        nominal, of the experts that are active at a time

A store tells no counts of parameters. Nominal ones are within some per cent, and are said to be nominal.

Not covered: what is in a file of weights, the sizes of verifiers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from edgesearch import catalog
from edgesearch.bench.report.settings import Setting

_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([BbMm])(?![A-Za-z0-9])")
_ACTIVE = re.compile(r"(?<![A-Za-z0-9])A(\d+(?:\.\d+)?)([BbMm])(?![A-Za-z0-9])")
_UNITS = {"b": 1e9, "m": 1e6}


@dataclass(frozen=True, slots=True)
class Size:
    """How large a solver is."""

    num_params: int | None
    """None where nothing tells."""
    is_nominal: bool
    """Whether the number is only what the name says."""
    rank: float | None
    """The larger the larger: parameters, or FLOPs a token over two; None where neither is known."""


def size(name: str, settings: Sequence[Setting] = ()) -> Size:
    """The size of a solver.

    Args:
        name: as outcomes have it.
        settings: that ran it.
    """
    built_in = _built_in().get(name)
    if built_in is not None:
        return Size(built_in, False, built_in)
    nominal = nominal_params(name)
    return Size(nominal, nominal is not None, nominal or _per_token(settings))


def nominal_params(name: str) -> int | None:
    """The number of parameters that a name holds; None where it holds none, or several experts of a size (8x7B)."""
    match = _ACTIVE.search(name) or _SIZE.search(name)
    return None if match is None else round(float(match[1]) * _UNITS[match[2].lower()])


@lru_cache(maxsize=1)
def _built_in() -> dict[str, int]:
    return {model.name: model.params for model in catalog.known() if model.role == "solver"}


def _per_token(settings: Sequence[Setting]) -> float | None:
    """FLOPs of the solver for each token it read or drew, over two."""
    flops = sum(float(setting.rows["solver_flops"].sum()) for setting in settings)
    tokens = sum(float((each.rows["prefilled_tokens"] + each.rows["decoded_tokens"]).sum()) for each in settings)
    return flops / tokens / 2 if flops > 0 and tokens > 0 else None


def sizes(settings: Sequence[Setting]) -> dict[tuple[int, str], Size]:
    """The size of the solver of each engine, by its run and id."""
    engines: dict[tuple[int, str], list[Setting]] = {}
    for setting in settings:
        engines.setdefault(setting.engine, []).append(setting)
    return {engine: size(group[0].models.solver, group) for engine, group in engines.items()}


def is_larger(one: Size, other: Size) -> bool:
    """Whether one solver is known to be larger than another."""
    return one.rank is not None and other.rank is not None and one.rank > other.rank
