"""One sandboxed process that tries one program after another, as seen from outside.

It is started once and stays warm; what runs a program is forked afresh inside it for each trial (inside/). What it says
is believed only in form: statuses are known words, reasons are short lines, and nothing is read past a limit.

Not covered: several at once (pool.py), which sandbox (worker_tiers.py).
"""

import contextlib
import json
import math
import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from edgesearch.errors import SandboxUnavailable
from edgesearch.sandbox.base import Limits
from edgesearch.sandbox.trial import MAX_SOURCE_BYTES, MAX_TESTS_BYTES, Status, Tested, Trial
from edgesearch.sandbox.worker_tiers import PACKAGES, WorkerTier, environment

_MAX_REPLY_BYTES = 64 << 20
_START_S = 60.0
_SLACK_S = 30.0
"""More than the wall clock of a trial, for the worker to end what it runs and to tell."""
_CHUNK_BYTES = 1 << 16
_MAX_REASON = 300
_LENGTH = struct.Struct(">I")
_STATUSES: tuple[Status, ...] = get_args(Status)


class WorkerLost(Exception):
    """The worker ended in the middle of a trial."""


class Worker:
    """Used from one thread at a time."""

    def __init__(self, tier: WorkerTier) -> None:
        """Starts one and waits until it is ready.

        Raises:
            SandboxUnavailable: it does not start; holds what it said.
        """
        try:
            self._process = subprocess.Popen(  # noqa: S603 - no shell; all words are ours
                tier.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxUnavailable(f"the sandbox {tier.info.name} cannot be started: {error.strerror}") from error
        _offer_first(self._process.pid)
        try:
            if self._receive(time.monotonic() + _START_S) != {"ready": True}:
                raise WorkerLost
        except WorkerLost:
            said = self._last_words()
            self.close()
            raise SandboxUnavailable(f"the sandbox {tier.info.name} does not start: {said}") from None

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self._process.pid

    def run(
        self, trial: Trial, first: int, limits: Limits, until_s: float = math.inf
    ) -> tuple[list[Tested], float, bool]:
        """Tries a program on its tests from one on.

        Args:
            trial: the program and its tests.
            first: the first test to run.
            limits: of the program's process, and of the tests'.
            until_s: when to give up, by `time.monotonic`.

        Returns:
            Results of the tests that were run; the program's seconds of processor time; whether the last of these tests
            was not outlived by program or tests, so that those after it are still to be run.

        Raises:
            WorkerLost: the worker ended, or it was given up.
        """
        job = _job(trial, first, limits)
        until_s = min(until_s, time.monotonic() + limits.wall_s + _SLACK_S)
        self._send(job, until_s)
        reply = self._receive(until_s)
        try:
            tested = [_tested(*each) for each in reply["tested"]]
            if not 1 <= len(tested) <= len(trial.tests) - first:
                raise ValueError("tested")
            return tested, float(reply["cpu_s"]), reply["is_broken"] is True
        except (KeyError, TypeError, ValueError):
            raise WorkerLost from None

    def kill(self) -> None:
        """Ends it and all that it started; from any thread, as long as it was not closed."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all of it has ended (macOS says the latter)
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Ends it and frees what it held; safe to call twice."""
        if self._process.returncode is None:  # else its number may be another's by now
            self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what was not sent yet is of no use any more
                pipe.close()

    def _send(self, message: Mapping[str, Any], until_s: float) -> None:
        """Writes a message while it is read; a worker that stopped reading must not hold the caller."""
        assert self._process.stdin is not None
        data = json.dumps(message).encode("ascii")
        left = memoryview(_LENGTH.pack(len(data)) + data)
        fd = self._process.stdin.fileno()
        os.set_blocking(fd, False)
        while left:
            _await(fd, select.POLLOUT, until_s)
            try:
                left = left[os.write(fd, left[:_CHUNK_BYTES]) :]
            except BlockingIOError:
                continue
            except OSError:
                raise WorkerLost from None

    def _receive(self, until_s: float) -> Any:
        (size,) = _LENGTH.unpack(self._read(_LENGTH.size, until_s))
        if size > _MAX_REPLY_BYTES:
            raise WorkerLost
        try:
            return json.loads(self._read(size, until_s))
        except (ValueError, RecursionError):
            raise WorkerLost from None

    def _read(self, size: int, until_s: float) -> bytes:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        found = bytearray()
        while len(found) < size:
            _await(fd, select.POLLIN, until_s)
            piece = os.read(fd, min(_CHUNK_BYTES, size - len(found)))
            if not piece:
                raise WorkerLost
            found += piece
        return bytes(found)

    def _last_words(self) -> str:
        """What it wrote on stderr before it ended."""
        assert self._process.stderr is not None
        fd = self._process.stderr.fileno()
        try:
            _await(fd, select.POLLIN, time.monotonic() + 1.0)
        except WorkerLost:
            return "it says nothing"
        lines = os.read(fd, 4096).decode(errors="replace").strip().splitlines()
        return one_line(lines[-1]) if lines else "it says nothing"


def _offer_first(pid: int) -> None:
    """Where memory runs out, it ends before the process that holds the models."""
    with contextlib.suppress(OSError):  # not on Linux, or already gone
        Path(f"/proc/{pid}/oom_score_adj").write_text("900", encoding="ascii")


def _await(fd: int, what: int, until_s: float) -> None:
    """Waits until a file can be written or read; by poll, since a program with many open files may have one here.

    Raises:
        WorkerLost: it cannot by then.
    """
    ready = select.poll()
    ready.register(fd, what)
    if not ready.poll(max(0.0, until_s - time.monotonic()) * 1e3):
        raise WorkerLost


def one_line(text: str) -> str:
    """A text from inside, fit to be shown."""
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_REASON]).strip()


def _job(trial: Trial, first: int, limits: Limits) -> dict[str, Any]:
    texts = (trial.program, trial.setup, *trial.tests)
    return {
        "program": trial.program,
        "setup": trial.setup,
        "tests": trial.tests[first:],
        "functions": trial.functions,
        "ends_early": trial.ends_early,
        "bounds": [math.ceil(limits.cpu_s), limits.memory_bytes, limits.file_bytes, limits.num_files],
        "wall_s": limits.wall_s,
        "preload": [name for name in PACKAGES if any(name in text for text in texts)],
    }


def _tested(status: Any, reason: Any) -> Tested:
    if status not in _STATUSES:
        raise ValueError("status")
    return Tested(status, one_line(str(reason)))


def unfit(trial: Trial) -> Tested | None:
    """What is wrong with a trial that need not be run to be known; None where it can be."""
    if len(trial.program) > MAX_SOURCE_BYTES:
        return Tested("failed", f"the program is longer than {MAX_SOURCE_BYTES:,} characters")
    if not trial.tests:
        return Tested("error", "there are no tests")
    if _size([trial.setup, *trial.tests]) > MAX_TESTS_BYTES:
        return Tested("error", f"the tests are longer than {MAX_TESTS_BYTES:,} characters")
    return None


def _size(texts: Sequence[str]) -> int:
    return sum(map(len, texts))
