"""The benchmarks are programs, not a package; their modules are imported from their folder."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a module of that name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def run_quickly() -> Callable[..., tuple[dict[str, Any], str]]:
    """Runs a benchmark on a few problems; gives its last line of stdout, which is JSON, and its stderr."""

    def run(script: str, *options: str | Path) -> tuple[dict[str, Any], str]:
        command = [sys.executable, BENCHMARKS / script, "--quick", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]), done.stderr

    return run
