"""How long a verifier takes: seconds per solution token, so that a driver can tell what fits.

The first figure is of a sample that is read or run at load, or a guess; real calls replace it, the newer the more.

Not covered: seconds by the width of a batch, which the planner fits for each device (planner/calibrate.py).
"""

from collections.abc import Callable, Iterable

from edgesearch.budget import Clock
from edgesearch.types import Beam

PACE_WEIGHT = 0.3
"""Weight of the newest call in the moving average of a verifier that runs programs or asks a judge."""
TYPICAL_TOKENS = 100
"""Of a solution, for the pace before the first is judged."""
_LEAST_S = 1e-6
_WEIGHTS_PACE_WEIGHT = 0.1  # calls of weights differ less from one another
_QUICK_S = 0.5  # a sample that takes longer is not read twice


class Pace:
    """A moving average, of a verifier that runs programs or asks a judge."""

    def __init__(self, sample_s: float) -> None:
        """Begins with the seconds that a typical solution took, or should take."""
        self.seconds_per_token = max(sample_s, _LEAST_S) / TYPICAL_TOKENS
        self._is_measured = False

    def measure(self, seconds: float, beams: Iterable[Beam]) -> None:
        """Takes in a call that judged these beams, given as they were before."""
        counts = [beam.num_unjudged_tokens for beam in beams]
        pace = max(seconds, _LEAST_S) / (sum(counts) or TYPICAL_TOKENS * len(counts))
        weight = PACE_WEIGHT if self._is_measured else 1.0  # a sample says less than any real solution
        self.seconds_per_token += weight * (pace - self.seconds_per_token)
        self._is_measured = True


class WeightsPace:
    """The same of a verifier that runs weights."""

    def __init__(self, read: Callable[[], object], num_tokens: int, clock: Clock) -> None:
        """Begins with a typical batch, of so many solution tokens: `read` reads it, twice if that is quick."""
        self.seconds_per_token = float("inf")
        for _ in range(2):
            started = clock()
            read()
            seconds = clock() - started
            self.seconds_per_token = min(self.seconds_per_token, seconds / num_tokens)
            if seconds > _QUICK_S:
                break

    def measure(self, seconds: float, num_tokens: int) -> None:
        """Takes in a call that read so many of the solver's tokens, which is what a search plans by."""
        if num_tokens:
            pace = min(seconds / num_tokens, 2 * self.seconds_per_token)  # one stall must not rule all later plans
            self.seconds_per_token += _WEIGHTS_PACE_WEIGHT * (pace - self.seconds_per_token)
