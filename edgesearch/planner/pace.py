"""How much slower than its profile a device is at the moment: other programs, heat, a battery.

Each pass of the engine is compared with what the profile says of its width. One pass counts little, and none counts for
more than twice or less than half of what was believed before it: a pass that also read a prompt, or in which the
machine was suspended, says nothing of the others.
"""

from edgesearch.planner.profile import Profile

_GRAIN = 32
"""Tokens to which contexts are rounded, so that what is expected need not be worked out anew for each problem."""
_WEIGHT = 0.05
_MOST = 2.0
_RANGE = (0.05, 50.0)


class PaceMeter:
    """Implements `driver.Meter`; one for all solves of a pipeline."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._by_context: dict[float, dict[int, float]] = {}
        self._expected: dict[int, float] = {}
        """Seconds of a pass by its width, at `context_tokens`."""
        self.slowdown = 1.0
        """Seconds that passes take over what the profile says of them."""
        self.context_tokens = 0.0
        """That drafts hold in the middle of a solution, rounded; set when a solve begins."""

    def start(self, context_tokens: float) -> None:
        """Says how long the contexts of the next solve are."""
        self.context_tokens = _GRAIN * round(context_tokens / _GRAIN)
        self._expected = self._by_context.setdefault(self.context_tokens, {})

    def observe(self, num_sequences: int, seconds: float) -> None:
        """Books one pass."""
        expected = self._expected.get(num_sequences)
        if expected is None:
            expected = max(1e-9, self._profile.pass_s(num_sequences, self.context_tokens))
            self._expected[num_sequences] = expected
        ratio = min(max(seconds / expected, self.slowdown / _MOST), self.slowdown * _MOST)
        self.slowdown = min(max(self.slowdown + _WEIGHT * (ratio - self.slowdown), _RANGE[0]), _RANGE[1])
