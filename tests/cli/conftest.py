"""The command as users reach it: through its console-script entry point, on a pipeline that runs no model."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from fake_pipeline import Loader, command
from interruptible import hear_interrupts

FAKE_PROGRAM = Path(__file__).with_name("fake_pipeline.py")
COLOR_VARIABLES = ("NO_COLOR", "FORCE_COLOR", "EDGESEARCH_DEBUG")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in COLOR_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def main() -> click.Command:
    """The command."""
    found = command()
    assert isinstance(found, click.Command)
    return found


@pytest.fixture
def loader() -> Loader:
    """What loads the fake pipeline."""
    return Loader()


@pytest.fixture
def run(main: click.Command, loader: Loader) -> Callable[..., Result]:
    """Runs the command in this process."""

    def run(*args: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, list(args), input=stdin, obj={"load": loader})

    return run


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts the command on the fake pipeline as a process."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*args: str, **changes: object) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [sys.executable, str(FAKE_PROGRAM), *args],
            **{**pipes, "preexec_fn": hear_interrupts if os.name == "posix" else None, **changes},  # type: ignore[call-overload]
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def part(main: click.Command) -> Callable[[str], Any]:
    """A module of the command's package, which code does not import by name."""
    package = type(main).__module__.rpartition(".")[0]
    return lambda name: importlib.import_module(f"{package}.{name}")
