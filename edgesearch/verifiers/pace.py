"""How long a verifier takes that runs programs: seconds per solution token, so that a driver can tell what fits.

The first figure is of a sample that is run at load; real calls replace it, the newer the more.

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
        """Begins with the seconds that a typical solution took."""
        self.seconds_per_token = max(sample_s, _LEAST_S) / TYPICAL_TOKENS
        self._is_measured = False

    def measure(self, seconds: float, beams: Iterable[Beam]) -> None:
        """Takes in a call that judged these beams, given as they were before."""
        counts = list(map(new_tokens, beams))
        pace = max(seconds, _LEAST_S) / (sum(counts) or TYPICAL_TOKENS * len(counts))
        weight = PACE_WEIGHT if self._is_measured else 1.0  # a sample says less than any real solution
        self.seconds_per_token += weight * (pace - self.seconds_per_token)
        self._is_measured = True


def new_tokens(beam: Beam) -> int:
    """Tokens of a beam's steps that have no score yet."""
    return sum(len(step.token_ids) for step in beam.steps[len(beam.scores) :])
