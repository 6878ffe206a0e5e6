"""Runs Python programs in a tier."""

from __future__ import annotations

import sys

from edgesearch.sandbox.base import Completed, Limits
from edgesearch.sandbox.tiers import Tier

QUICK = Limits(wall_s=10.0, cpu_s=5.0)


def run_in(tier: Tier, code: str, *arguments: str, stdin: bytes = b"", limits: Limits = QUICK) -> Completed:
    return tier.run([sys.executable, "-I", "-S", "-c", code, *arguments], stdin=stdin, limits=limits)
