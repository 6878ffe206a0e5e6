"""A scripted engine whose passes cost what a law says, on a manual clock."""

from __future__ import annotations

from edgesearch.budget import ManualClock
from edgesearch.engines.scripted import ScriptedEngine


class TimedEngine(ScriptedEngine):
    """Implements `Engine` and `Timed`."""

    version = "made up 1.0"
    bytes_per_token = 1000

    def __init__(self, *, scale: float = 1.0, max_sequences: int = 16, max_context: int = 4096) -> None:
        """Makes one; `scale` multiplies all costs."""
        super().__init__(lambda beam, seed: "never asked", max_sequences=max_sequences, max_context=max_context)
        self.clock, self.scale = ManualClock(), scale
        self.timed: list[tuple[int, int]] = []
        """Width and context of each call of `time_pass`."""
        self.most_passes = 1000
        """That a call tells at most."""

    def pass_s(self, width: int, context_tokens: int) -> float:
        """The law of passes."""
        return self.scale * (0.010 + 0.002 * width + 1e-6 * width * context_tokens)

    def time_pass(self, width: int, context_tokens: int, num_passes: int) -> list[float]:
        self.timed.append((width, context_tokens))
        seconds = [self.pass_s(width, context_tokens)] * min(num_passes, self.most_passes)
        self.clock.advance(sum(seconds) + self.pass_s(width, context_tokens))
        return seconds

    def time_prefill(self, num_tokens: int) -> float:
        seconds = self.scale * (0.008 + 0.0005 * num_tokens)
        self.clock.advance(seconds)
        return seconds

    def time_fork(self) -> float:
        return 1e-5 * self.scale
