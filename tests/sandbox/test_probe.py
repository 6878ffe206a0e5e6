"""Which tier is chosen: by what a program could do in it, whatever is installed."""

from __future__ import annotations

import dataclasses
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesearch.errors import SandboxUnavailable
from edgesearch.sandbox import probe, tiers
from edgesearch.sandbox.base import SandboxInfo
from edgesearch.sandbox.tiers import TIERS, Tier


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    probe.flaw.cache_clear()
    yield
    probe.flaw.cache_clear()


def use(monkeypatch: pytest.MonkeyPatch, *chosen: Tier) -> None:
    monkeypatch.setattr(probe, "TIERS", {tier.info.name: tier for tier in chosen})


def test_the_strongest_that_works_is_chosen() -> None:
    working = [name for name in TIERS if probe.flaw(name) is None]
    assert working, "not even limits work on this machine"
    assert probe.find().info.name == working[0]


def test_each_tier_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    command = TIERS["limits"].command
    use(monkeypatch, dataclasses.replace(TIERS["limits"], command=lambda *given: runs.append(1) or command(*given)))
    assert probe.find() is probe.find()
    assert runs == [1]


def test_a_tier_that_claims_to_isolate_and_does_not_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    liar = dataclasses.replace(TIERS["limits"], info=SandboxInfo("liar", is_isolating=True, caution=""))
    use(monkeypatch, liar, TIERS["limits"])
    assert probe.flaw("liar") == "a program in it can write and connect and signal"
    assert probe.find().info.name == "limits"


@pytest.mark.skipif(sys.platform != "linux", reason="bwrap is tried on Linux only")
def test_a_bwrap_that_is_installed_but_fails_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where the kernel or a container forbids namespaces."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: Creating new namespace failed: Operation not permitted' >&2\nexit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert "Creating new namespace failed" in (probe.flaw("bubblewrap") or "")
    assert probe.find().info.name != "bubblewrap"


def test_a_kernel_without_landlock_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers.kernel, "landlock_version", lambda: 2)
    assert probe.flaw("landlock") == "not on this machine"


def test_where_isolation_is_a_must_and_there_is_none_the_error_says_why_and_what_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, dataclasses.replace(TIERS["bubblewrap"], is_possible=lambda: False), TIERS["limits"])
    assert probe.find().info.name == "limits"
    with pytest.raises(SandboxUnavailable, match=r"bubblewrap: not on this machine.*apt install bubblewrap") as caught:
        probe.find(must_isolate=True)
    assert caught.value.exit_code == 6


def test_where_nothing_works_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    use(monkeypatch, *(dataclasses.replace(tier, is_possible=lambda: False) for tier in TIERS.values()))
    with pytest.raises(SandboxUnavailable, match=r"limits: not on this machine.*WSL2"):
        probe.find()
