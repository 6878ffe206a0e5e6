"""A child process from its start to its end: fed, read and timed by one thread, and killed with all it started.

Nothing it does can block or outgrow the caller: pipes are read as they fill and no further than the limit, and an
end, a limit or a pipe that a grandchild holds open are all noticed within a hundredth of a second.

Not covered: what the process may do (launcher.py and the tiers); Windows.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO

from edgesearch.errors import SandboxUnavailable
from edgesearch.sandbox.base import Completed, Limits

_CHUNK_BYTES = 65_536
_LOOK_S = 0.005
"""How often to look whether it has ended, where no pipe tells."""


def supervise(
    argv: Sequence[str], *, stdin: bytes, limits: Limits, directory: str, environment: Mapping[str, str]
) -> Completed:
    """Runs a program in a session of its own and kills what is left of that session's first group at its end.

    Raises:
        SandboxUnavailable: it cannot be started.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell; what may be run is the caller's decision
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=directory,
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxUnavailable(f"{argv[0]} cannot be started: {error.strerror}") from error
    with process, _Pipes(process, stdin, limits.output_bytes) as pipes:
        cpu_s = None
        try:
            cpu_s = _wait(process, pipes, started + limits.wall_s)
        finally:
            _kill_group(process.pid)  # its number cannot be another's so soon
            if process.returncode is None:
                _reap(process)
        pipes.drain()
    wall_s = time.monotonic() - started
    code = _with_signal(process.returncode)
    is_timed_out = not pipes.is_over and (cpu_s is None or _was_cut(code, wall_s, limits))
    is_stopped = is_timed_out or pipes.is_over
    return Completed(None if is_stopped else code, *pipes.written(), cpu_s, wall_s, is_timed_out, pipes.is_over)


def _wait(process: "subprocess.Popen[bytes]", pipes: "_Pipes", until_s: float) -> float | None:
    """Serves the pipes until the process ends; its processor time. None once time is up or too much is written."""
    while (left_s := until_s - time.monotonic()) > 0 and not pipes.is_over:
        pipes.serve(min(_LOOK_S, left_s))
        if (cpu_s := _reap(process, os.WNOHANG)) is not None:
            return cpu_s
    return None


def _reap(process: "subprocess.Popen[bytes]", flags: int = 0) -> float | None:
    """Seconds of processor time of a process that has ended; None where it has not and is not waited for."""
    pid, status, usage = os.wait4(process.pid, flags)
    if not pid:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all of it has ended (macOS says the latter)
        os.killpg(pid, signal.SIGKILL)


def _with_signal(code: int) -> int:
    """Minus the signal also where a program in between told it as 128 + signal, as shells and bubblewrap do."""
    return 128 - code if code - 128 in set(signal.Signals) else code


def _was_cut(code: int, wall_s: float, limits: Limits) -> bool:
    """Whether the limit of processor time ended it: by its signal, or a second later by one that cannot be ignored."""
    return code == -signal.SIGXCPU or (code == -signal.SIGKILL and wall_s >= limits.cpu_s)


class _Pipes:
    """Both ends of the talk with a process, none of which can block."""

    def __init__(self, process: "subprocess.Popen[bytes]", stdin: bytes, max_bytes: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._unsent = memoryview(stdin)
        self._max_bytes = max_bytes
        self._stdin: IO[bytes] = process.stdin
        self._outputs: dict[IO[bytes], bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
        self._selector = selectors.DefaultSelector()
        self.is_over = False
        """Whether more was written than is allowed."""
        for pipe in (self._stdin, *self._outputs):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_WRITE if pipe is self._stdin else selectors.EVENT_READ)

    def __enter__(self) -> "_Pipes":
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def serve(self, timeout_s: float) -> None:
        """Moves what can be moved now, waiting at most so long for it."""
        for key, _ in self._selector.select(timeout_s):
            pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
            if pipe is self._stdin:
                self._send()
            else:
                self._receive(pipe)

    def drain(self) -> None:
        """Takes what an ended process left in its pipes, whoever else may hold them open."""
        for pipe in self._outputs:
            while not pipe.closed and not self.is_over and self._receive(pipe):
                pass

    def written(self) -> tuple[bytes, bytes]:
        """To stdout and to stderr."""
        stdout, stderr = self._outputs.values()
        return bytes(stdout), bytes(stderr)

    def _send(self) -> None:
        try:
            sent = os.write(self._stdin.fileno(), self._unsent[:_CHUNK_BYTES])
        except BlockingIOError:
            return
        except BrokenPipeError:  # it does not read on
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._end(self._stdin)

    def _receive(self, pipe: IO[bytes]) -> bool:
        """Reads a piece; whether there may be more."""
        try:
            piece = os.read(pipe.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not piece:
            self._end(pipe)
            return False
        room = self._max_bytes - len(self._outputs[pipe])
        self._outputs[pipe] += piece[:room]
        self.is_over |= len(piece) > room
        return True

    def _end(self, pipe: IO[bytes]) -> None:
        self._selector.unregister(pipe)
        pipe.close()
