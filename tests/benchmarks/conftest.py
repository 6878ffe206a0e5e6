"""The benchmarks are programs, not a package; their modules are imported from their folder."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a module of that name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module
