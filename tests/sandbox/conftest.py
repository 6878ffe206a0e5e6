"""Every tier that works on this machine."""

from __future__ import annotations

import pytest

from edgesearch.sandbox import probe
from edgesearch.sandbox.tiers import TIERS, Tier


def working(name: str) -> Tier:
    if (reason := probe.flaw(name)) is not None:
        pytest.skip(f"{name}: {reason}")
    return TIERS[name]


@pytest.fixture(params=list(TIERS))
def tier(request: pytest.FixtureRequest) -> Tier:
    return working(request.param)


@pytest.fixture(params=[name for name, tier in TIERS.items() if tier.info.is_isolating])
def isolating(request: pytest.FixtureRequest) -> Tier:
    return working(request.param)
