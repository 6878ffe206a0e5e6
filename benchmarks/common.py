"""What every benchmark does: progress on stderr, and one JSON line with figures, machine, commit and date at its end.

With `--record` the same object is written to `benchmarks/results/NAME.json`, so that a claimed figure comes with where
and on what it was measured.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
RESULTS = Path(__file__).parent / "results"
_SHOWN_EVERY_S = 5.0
_PACKAGES = ("edgesearch", "llama-cpp-python", "numpy", "onnxruntime", "onnxruntime-gpu")
_SETTINGS = ("GOMP_SPINCOUNT", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "OMP_PLACES")


def add_record_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--record`."""
    parser.add_argument("--record", action="store_true", help="keep the result in benchmarks/results/")


class Report:
    """Made when a benchmark begins, closed with its figures."""

    def __init__(self, name: str) -> None:
        """Notes when it began and how busy the machine was then."""
        self._name = name
        self._date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._machine = machine()

    def close(self, figures: Mapping[str, Any], *, is_recorded: bool = False) -> None:
        """Prints the closing JSON line; writes it to a file as well when it is to be recorded."""
        settings = {name: os.environ[name] for name in _SETTINGS if name in os.environ}  # some are set on the way
        result = {
            "schema_version": SCHEMA_VERSION,
            "benchmark": self._name,
            "date": self._date,
            "commit": commit(),
            "machine": self._machine | {"environment": settings},
            "figures": figures,
        }
        if is_recorded:
            RESULTS.mkdir(exist_ok=True)
            text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
            (RESULTS / f"{self._name}.json").write_text(text, encoding="utf-8")
        print(json.dumps(result, ensure_ascii=False), flush=True)


def machine() -> dict[str, Any]:
    """The hardware and the versions that a speed depends on; nothing that names the machine."""
    import psutil

    return {
        "cpu": _cpu_name(),
        "physical_cores": psutil.cpu_count(logical=False),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": _versions(),
        "load_average_at_start": round(psutil.getloadavg()[0], 2),
    }


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def commit() -> dict[str, Any] | None:
    """The commit the code is at and whether files differ from it; None outside a git checkout."""
    head, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return None if head is None else {"id": head, "is_modified": bool(changes)}


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


class Progress:
    """Lines on stderr, every few seconds: the share that is done and about how long the rest takes."""

    def __init__(self, name: str, total: float) -> None:
        self._name = name
        self._total = total
        self._done = 0.0
        self._start = self._shown = time.monotonic()

    def add(self, amount: float) -> None:
        """So much of the total is done, in whatever unit that has."""
        self._done += amount
        now = time.monotonic()
        if now - self._shown < _SHOWN_EVERY_S and self._done < self._total:
            return
        self._shown = now
        left_s = (now - self._start) * max(0.0, self._total / self._done - 1) if self._done else 0.0
        log(f"{self._name}: {min(1.0, self._done / self._total):4.0%}, about {minutes(left_s)} left")


def minutes(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def log(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


def draw_result(
    name: str, draw: Callable[[dict[str, Any], Path], Iterable[Path]], arguments: Sequence[str] | None
) -> int:
    """A program that draws the pictures of a recorded result of NAME.py; returns its exit code."""
    parser = argparse.ArgumentParser(description=f"Draw the pictures of a result of {name}.py.")
    parser.add_argument("result", type=Path, help=f"such as benchmarks/results/{name}.json")
    parser.add_argument("directory", type=Path)
    args = parser.parse_args(arguments)
    try:
        for path in draw(json.loads(args.result.read_text(encoding="utf-8"))["figures"], args.directory):
            print(path)
    except (OSError, ValueError, RuntimeError) as error:
        log(f"error: {error}")
        return 1
    return 0
