"""How long a verifier takes that runs programs or asks a judge: seconds per solution token, so that a driver can tell
what fits.

The first figure is of a sample that is run at load, or a guess; real calls replace it, the newer the more.

Not covered: verifiers that run weights, whose calls are even enough to be timed at load (planner/calibrate.py).
"""

from collections.abc import Iterable

from edgesearch.types import Beam

PACE_WEIGHT = 0.3
"""Weight of the newest call in the moving average."""
TYPICAL_TOKENS = 100
"""Of a solution, for the pace before the first is judged."""
_LEAST_S = 1e-6


class Pace:
    """A moving average."""

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
