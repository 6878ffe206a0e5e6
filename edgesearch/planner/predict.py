"""How long a search should last on this device: passes of the engine, each at its width and context, and verifying.

A search draws until its longest solution ends, and its beams leave the batch one by one; a solution of a batch is taken
to be at most 1.6 times as long as the mean. Drafts that run beside it (those of other waves, the safety lane) make each
pass wider. What was measured of a strategy on a tuning split (policy.py) says better how many passes it takes.

Not covered: how fast the device is (profile.py), what to run (width.py, auto.py).
"""

from dataclasses import dataclass
from typing import Any

from edgesearch.planner.policy import Row
from edgesearch.planner.profile import Profile
from edgesearch.search.base import SearchConfig, Strategy

SLOWEST = 1.6
"""How much longer than the mean the longest of the beams is; every search waits for it."""
_TOKENS_PER_CALL = 1024
"""Solution tokens that one call of the verifier judges at most."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a solve before it begins."""

    profile: Profile
    prompt_tokens: int
    mean_solution_tokens: float
    mean_step_tokens: float
    max_tokens: int
    """Of a solution."""
    slowdown: float = 1.0
    """How much slower than its profile the device is now; > 0."""

    is_prompt_read: bool = False
    """Whether the prompt need not be read any more."""
    num_elsewhere: int = 0
    """Drafts of other problems in the same passes."""

    def __post_init__(self) -> None:
        if not self.slowdown > 0:
            raise ValueError(f"slowdown must be above 0, not {self.slowdown}")

    def pass_s(self, width: float) -> float:
        """Seconds of a pass with that many drafts in the middle of a solution, beside those of other problems."""
        context = self.prompt_tokens + min(self.max_tokens, self.mean_solution_tokens) / 2
        return self.profile.pass_s(width + self.num_elsewhere, context) * self.slowdown

    @property
    def prefill_s(self) -> float:
        """Seconds until the prompt is read."""
        if self.is_prompt_read:
            return 0.0
        return self.profile.prefill_s(self.prompt_tokens) * self.slowdown


def predict_s(strategy: Strategy, config: SearchConfig, options: Any, outlook: Outlook, *, beside: int = 0) -> float:
    """Seconds that a search lasts, its prompt included.

    Args:
        strategy: what runs.
        config: at which width.
        options: the strategy's own settings.
        outlook: what is known.
        beside: drafts of other searches in the same passes.
    """
    mean = min(outlook.max_tokens, outlook.mean_solution_tokens)
    longest = min(outlook.max_tokens, mean * (SLOWEST if config.n > 1 else 1.0))
    rounds = strategy.rounds(config, options)
    drawing = rounds * longest * outlook.pass_s(config.n * mean / longest + beside)
    return outlook.prefill_s + drawing + _verify_s(strategy, rounds * config.n * mean, rounds * longest, outlook)


def _verify_s(strategy: Strategy, num_tokens: float, num_passes: float, outlook: Outlook) -> float:
    if not strategy.needs_scores:
        return 0.0
    per_call = outlook.mean_step_tokens if strategy.is_stepwise else _TOKENS_PER_CALL
    calls = max(1.0, (num_passes if strategy.is_stepwise else num_tokens) / per_call)
    prompt_tokens = 0 if outlook.is_prompt_read else outlook.prompt_tokens
    return outlook.profile.verify_s(calls, num_tokens + prompt_tokens) * outlook.slowdown


def predict_row_s(row: Row, outlook: Outlook) -> float:
    """Seconds that a measured setting takes on this device, its prompt included."""
    passes = max(1.0, row.decode_passes)
    drawing = passes * outlook.pass_s(row.decoded_tokens / passes)
    verifying = 0.0
    if row.verified_tokens:
        prompt_tokens = 0 if outlook.is_prompt_read else outlook.prompt_tokens
        verifying = outlook.profile.verify_s(row.verifier_calls, row.verified_tokens + prompt_tokens)
    return outlook.prefill_s + drawing + verifying * outlook.slowdown
