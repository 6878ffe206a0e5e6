"""A small run of the built-in models, measured once for all tests that draw it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_runs import run, write_recipe

from edgesearch.bench.report.measure import measure
from edgesearch.bench.report.model import Report
from edgesearch.bench.store import Store

_ENGINES = """
[[engines]]
id = "small"
kind = "gguf"
solver = "nano"
check = false

[[engines]]
id = "large"
kind = "gguf"
solver = "nano-large"
verifier = "none"
check = false

[[grid]]
engines = "small"
strategy = ["best_of_n", "beam"]
n = [1, 4]
budget_s = 60.0

[[grid]]
engines = "large"
strategy = "greedy"
budget_s = 60.0
"""


@pytest.fixture(scope="session")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Report, Store]]:
    """Its report, and its store open for reading."""
    folder: Path = tmp_path_factory.mktemp("real")
    run(write_recipe(folder, _ENGINES, task='name = "arithmetic"\nlimit = 10'), folder / "run.sqlite")
    with Store.read(folder / "run.sqlite") as store:
        yield measure([store]), store
