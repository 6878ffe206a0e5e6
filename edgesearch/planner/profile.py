"""Profile: what the work of a search costs on this device, as a small fitted model.

    seconds of a pass  = base(sequences) + slope(sequences) * context tokens
    seconds of a prompt = base + tokens * seconds per token
    seconds of judging = calls * seconds per call + tokens * seconds per token

`base` and `slope` are piecewise linear through the widths that were measured, and neither falls with the width. The
slope is fitted by width, since it does not grow in proportion: in one cache, each draft of a pass also has to step over
the cells of all others.

A profile lives in a file that is untrusted: whatever it says is checked when it is read.

Not covered: measuring (calibrate.py), files (profile_cache.py), what a search consists of (the planner).
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from edgesearch.engines.base import Pace
from edgesearch.planner import typed_json

SCHEMA_VERSION = 1
ROUGH_RESIDUAL = 0.25
"""Assumed where no point was kept from the fit to check it on."""
_LEAST_S = 1e-7
_MOST_S = 86400.0
_MAX_KNOTS = 64
_MAX_POINTS = 512

Knots = tuple[tuple[int, float], ...]
"""(sequences, value) in ascending order of sequences; the values do not fall."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a profile was measured of. With another identity nothing of it holds."""

    solver: str
    """Fingerprint of the solver's file (`profile_cache.fingerprint`)."""
    verifier: str
    """The same of the verifier's, after its name; empty where none was measured."""
    device: str
    num_threads: int
    version: str
    """Of what decodes."""

    def __post_init__(self) -> None:
        _require("num_threads", 1 <= self.num_threads <= 65536, self.num_threads, "in [1, 65536]")


@dataclass(frozen=True, slots=True)
class Point:
    """A pass as it was measured."""

    width: int
    """Drafts in it."""
    context_tokens: int
    """Of each."""
    seconds: float
    """Median of a few."""
    is_fitted: bool
    """Whether the model was fitted to it; the others tell how good the fit is."""

    def __post_init__(self) -> None:
        _require("width", 1 <= self.width <= 4096, self.width, "in [1, 4096]")
        _require("context_tokens", 0 <= self.context_tokens <= 1 << 24, self.context_tokens, "in [0, 2^24]")
        _require("seconds", 0 < self.seconds <= _MOST_S, self.seconds, f"in (0, {_MOST_S:g}]")


@dataclass(frozen=True, slots=True)
class Profile:
    """Costs on this device, in seconds."""

    decode_s: Knots
    """Of a pass with drafts that have no context; at least one knot, above 0."""
    context_s: Knots
    """What a pass takes longer per token of context that each draft has; empty: nothing."""
    prefill_base_s: float
    prefill_token_s: float
    verify_call_s: float
    """0 without a verifier."""
    verify_token_s: float
    fork_s: float
    """Of one fork of a sequence."""
    bytes_per_token: int | None
    """Of the KV cache, a token; None where the engine does not tell."""
    max_sequences: int
    """Drafts that the engine had room for when it was measured."""
    residual: float
    """Median relative error of passes that were not fitted; `ROUGH_RESIDUAL` where there are none."""
    measured_s: float
    """How long measuring took; 0 for a rough profile."""
    created: str
    """The date, as YYYY-MM-DD; empty for a rough profile."""
    identity: Identity | None
    """None where it belongs to one loaded engine alone."""
    points: tuple[Point, ...] = ()
    """What the passes' part was made from; empty for a rough profile."""

    def __post_init__(self) -> None:
        _require("decode_s", self.decode_s and _are_knots(self.decode_s, _LEAST_S), self.decode_s, _KNOTS)
        _require("context_s", _are_knots(self.context_s, 0.0), self.context_s, _KNOTS)
        for name in _SECONDS:
            _require(name, 0 <= getattr(self, name) <= _MOST_S, getattr(self, name), f"in [0, {_MOST_S:g}]")
        size = self.bytes_per_token
        _require("bytes_per_token", size is None or 0 <= size <= 1 << 40, size, "None or in [0, 2^40]")
        _require("max_sequences", 1 <= self.max_sequences <= 4096, self.max_sequences, "in [1, 4096]")
        _require("residual", 0 <= self.residual <= 1e6, self.residual, ">= 0")
        _require("points", len(self.points) <= _MAX_POINTS, len(self.points), f"at most {_MAX_POINTS}")

    @classmethod
    def of_pace(cls, pace: Pace, verify_s_per_token: float) -> Self:
        """A rough profile, for an engine that cannot be measured pass by pass.

        Args:
            pace: the engine's own.
            verify_s_per_token: the verifier's own; 0 without one.
        """
        decode_s = risen(pace.decode_s, _LEAST_S)
        return cls(
            decode_s=decode_s,
            context_s=(),
            prefill_base_s=0.0,
            prefill_token_s=1.0 / max(pace.prefill_tokens_per_s, 1e-3),
            verify_call_s=0.0,
            verify_token_s=verify_s_per_token,
            fork_s=0.0,
            bytes_per_token=None,
            max_sequences=decode_s[-1][0],
            residual=ROUGH_RESIDUAL,
            measured_s=0.0,
            created="",
            identity=None,
        )

    def pass_s(self, num_sequences: float, context_tokens: float) -> float:
        """Seconds of one decode pass, drawing included.

        Args:
            num_sequences: drafts in it; beyond the widest that was measured the line goes on.
            context_tokens: that each of them has, prompt and solution.
        """
        return value_at(self.decode_s, num_sequences) + value_at(self.context_s, num_sequences) * max(
            0.0, context_tokens
        )

    def prefill_s(self, num_tokens: float) -> float:
        """Seconds to read a prompt of that many tokens and to draw the first one after it."""
        return self.prefill_base_s + self.prefill_token_s * num_tokens

    def verify_s(self, num_calls: float, num_tokens: float) -> float:
        """Seconds of judging that many solution tokens in that many calls; 0 without a verifier."""
        return self.verify_call_s * num_calls + self.verify_token_s * num_tokens

    def error(self, point: Point) -> float:
        """By how much the prediction of a pass is off, as a share of what was measured; below 0: predicted too low."""
        return self.pass_s(point.width, point.context_tokens) / point.seconds - 1.0

    def dumps(self) -> str:
        """The file's text; `loads` reads it."""
        return typed_json.dumps(self, SCHEMA_VERSION)


_KNOTS = f"at most {_MAX_KNOTS} pairs with ascending widths and values that do not fall"
_SECONDS = (
    "prefill_base_s",
    "prefill_token_s",
    "verify_call_s",
    "verify_token_s",
    "fork_s",
    "measured_s",
)


def loads(text: str) -> Profile:
    """The profile in a file's text.

    Raises:
        ValueError: it is none, or of another version; says where.
    """
    profile: Profile = typed_json.loads(text, Profile, SCHEMA_VERSION)
    return profile


def fit(points: Sequence[Point]) -> tuple[Knots, Knots]:
    """`decode_s` and `context_s` of a profile, from the points that are to be fitted; of one or more.

    By width a line through its contexts, by least squares; then widths are pooled where noise made them fall.
    """
    by_width: dict[int, list[Point]] = {}
    for point in points:
        if point.is_fitted:
            by_width.setdefault(point.width, []).append(point)
    slopes = [(width, line(_pairs(group))[1]) for width, group in by_width.items() if _num_contexts(group) > 1]
    context_s = risen(slopes, 0.0)
    bases = [
        (width, statistics.fmean(point.seconds - value_at(context_s, width) * point.context_tokens for point in group))
        for width, group in by_width.items()
    ]
    return risen(bases, _LEAST_S), context_s


def line(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Base and slope of the line through (x, y) with the least squares, neither of them below 0."""
    xs, ys = zip(*pairs, strict=True)
    mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
    spread = math.fsum((x - mean_x) ** 2 for x in xs)
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in pairs) / spread if spread else 0.0
    if mean_y < slope * mean_x:  # the base would be below 0: through the origin instead
        return 0.0, math.fsum(x * y for x, y in pairs) / math.fsum(x * x for x in xs)
    return (mean_y - slope * mean_x, slope) if slope > 0 else (mean_y, 0.0)


def risen(values: Sequence[tuple[int, float]], least: float) -> Knots:
    """Knots by width, values that fall pooled into their mean (isotonic regression), each at least `least`."""
    pools: list[tuple[list[int], float]] = []
    for width, value in sorted(values):
        widths, mean = [width], max(least, value)
        while pools and pools[-1][1] > mean:
            before, other = pools.pop()
            mean = (len(before) * other + len(widths) * mean) / (len(before) + len(widths))
            widths = before + widths
        pools.append((widths, mean))
    return tuple((width, mean) for widths, mean in pools for width in widths)


def _pairs(points: Sequence[Point]) -> list[tuple[float, float]]:
    return [(point.context_tokens, point.seconds) for point in points]


def _num_contexts(points: Sequence[Point]) -> int:
    return len({point.context_tokens for point in points})


def value_at(knots: Knots, width: float) -> float:
    """The value at a width: that of the first knot before it, linear between knots and after the last two."""
    if not knots:
        return 0.0
    if len(knots) == 1 or width <= knots[0][0]:
        return knots[0][1]
    after = 1
    while after < len(knots) - 1 and width > knots[after][0]:
        after += 1
    (low, low_value), (high, high_value) = knots[after - 1], knots[after]
    return low_value + (high_value - low_value) * (width - low) / (high - low)


def _each(knots: Knots, change: Callable[[float], float]) -> Knots:
    return tuple((width, change(value)) for width, value in knots)


def _are_knots(knots: Knots, least: float) -> bool:
    widths, values = [width for width, _ in knots], [value for _, value in knots]
    is_in_range = all(1 <= width <= 4096 for width in widths) and all(least <= value <= _MOST_S for value in values)
    is_ascending = all(low < high for low, high in pairwise(widths)) and values == sorted(values)
    return len(knots) <= _MAX_KNOTS and is_in_range and is_ascending


def _require(field: str, is_valid: object, value: object, allowed: str) -> None:
    if not is_valid:
        raise ValueError(f"{field} must be {allowed}, not {str(value)[:80]}")
