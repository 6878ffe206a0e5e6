"""Threads are the physical cores that this process may use, and one for a model that fits a cache."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgesearch.engines import threads


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Describes a machine: physical cores, CPUs allowed, and its system."""

    def describe(physical: int | None, allowed: int, system: str = "Linux") -> None:
        monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: physical)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(allowed)), raising=False)
        monkeypatch.setattr(platform, "system", lambda: system)

    return describe


@pytest.mark.parametrize(
    ("physical", "allowed", "expected"), [(8, 16, 8), (8, 2, 2), (1, 1, 1), (None, 4, 1), (0, 4, 1), (4, 1, 1)]
)
def test_a_large_model_gets_the_physical_cores_that_are_allowed(
    machine: Any, physical: int | None, allowed: int, expected: int
) -> None:
    machine(physical, allowed)
    assert threads.for_model(1 << 30) == expected


def test_a_model_that_fits_a_cache_gets_one_thread_on_any_machine(machine: Any) -> None:
    machine(64, 128)
    assert threads.for_model(285_984) == 1


def test_where_the_system_knows_no_affinity_all_its_cpus_are_allowed(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(8, 1)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert threads.usable_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads.usable_cores() == 1


def test_on_apple_silicon_only_performance_cores_count(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(10, 10, "Darwin")
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_options: subprocess.CompletedProcess(command, 0, stdout="4\n")
    )
    assert threads.usable_cores() == 4


@pytest.mark.parametrize(
    "failure",
    [
        FileNotFoundError("sysctl"),
        subprocess.CalledProcessError(1, "sysctl"),
        subprocess.TimeoutExpired("sysctl", 2),
        None,
    ],
)
def test_a_mac_that_does_not_tell_its_performance_cores_uses_all(
    machine: Any, monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    def run(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        if failure is not None:
            raise failure
        return subprocess.CompletedProcess(command, 0, stdout="none\n")

    machine(10, 10, "Darwin")
    monkeypatch.setattr(subprocess, "run", run)
    assert threads.usable_cores() == 10


def test_this_machine_has_at_least_one_core() -> None:
    assert threads.usable_cores() >= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000\n", None), ("200000 100000\n", 2), ("150000 100000\n", 1), ("50000 100000\n", 1), ("", None)],
)
def test_a_container_s_quota_limits_the_threads(tmp_path: Path, text: str, expected: int | None) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert threads._container_quota(file) == expected


def test_where_there_is_no_control_group_there_is_no_quota(tmp_path: Path) -> None:
    assert threads._container_quota(tmp_path / "missing") is None
