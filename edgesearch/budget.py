"""Budget: the seconds a person grants. Deadline: the moment they end.

The clock is injected (any function that returns seconds and never goes back), so that tests of time take none.
A budget starts when the problem is accepted; loading a model is not part of it and is reported on its own.
"""

import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgesearch.errors import UsageError

Clock = Callable[[], float]


class ManualClock:
    """A clock that only moves when told to; for tests of budgets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.now_s += seconds


_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(ms|s|m|h)?\s*", re.ASCII)
_SECONDS_PER_UNIT = {"ms": 1e-3, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}
MAX_BUDGET_S = 24 * 3600.0


def parse_duration(text: str) -> float:
    """Seconds of `500ms`, `10s`, `10`, `2m` or `1h`.

    Raises:
        UsageError: not of that form, or not in (0 s, 24 h].
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(f"budget {text[:40]!r} is not a duration; write it as 500ms, 10s or 2m")
    return Budget(float(match[1]) * _SECONDS_PER_UNIT[match[2]]).seconds


@dataclass(frozen=True, slots=True)
class Budget:
    """What is granted."""

    seconds: float
    """Wall-clock seconds from the accepted problem to the answer, in (0, 86400]."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.seconds) or not 0 < self.seconds <= MAX_BUDGET_S:
            raise UsageError(f"budget must be more than 0 s and at most 24 h, not {self.seconds:g} s; try --budget 10s")

    def start(self, clock: Clock = time.monotonic) -> "Deadline":
        """The deadline of a budget that starts now."""
        now = clock()
        return Deadline(started=now, at=now + self.seconds, clock=clock)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a budget ends; passed down as a value. `cancel` ends it at once (Ctrl-C)."""

    started: float
    at: float
    clock: Clock = time.monotonic
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def remaining(self) -> float:
        """Seconds left; negative once it is over."""
        return -math.inf if self._cancelled.is_set() else self.at - self.clock()

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining() <= 0

    @property
    def cancelled(self) -> bool:
        """Whether it was ended from outside rather than by the clock."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End it now; safe to call from a signal handler or another thread."""
        self._cancelled.set()

    def earlier(self, seconds: float) -> "Deadline":
        """The same deadline with `seconds` kept back for what must follow it."""
        return Deadline(self.started, self.at - seconds, self.clock, self._cancelled)
