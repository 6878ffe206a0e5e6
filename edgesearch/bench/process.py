"""A worker process as its supervisor sees it: ask, and get a reply or hear how it was lost.

Several messages may wait for their replies, which come in whatever order.

Why a process: native code that decodes can crash or hang, and only another process survives that. A worker is lost
when it ends, by whatever signal or code, or when it does not reply in time, and is killed then. Whatever it writes
that is no reply (banners, progress bars) is passed over; the last line it wrote to stderr is told with its end.

The worker watches its stdin and ends itself when that is closed, so it never outlives its supervisor (lines.py).

Not covered: what is asked (messages.py), what is done about a lost worker (station.py).
"""

import json
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from edgesearch.bench.messages import Message
from edgesearch.errors import EdgesearchError

_MAX_LINE_BYTES = 1 << 30
_MAX_WORDS = 300
_JOIN_S = 5.0


class WorkerGone(EdgesearchError):
    """The worker ended, or was killed because it did not reply in time; says how."""


class Worker:
    """A process that replies to each line with a line. Threads talk to it, so that no pipe can block the caller."""

    def __init__(self, command: Sequence[str]) -> None:
        """Starts it.

        Args:
            command: the program and its arguments.

        Raises:
            EdgesearchError: it cannot be started.
        """
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, or what a program named
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise EdgesearchError(f"the worker process cannot be started ({error.strerror}): {command[0]}") from error
        self._num_asked = 0
        self._last_words: deque[bytes] = deque(maxlen=1)
        self._requests: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._awaited: set[int] = set()
        """Numbers of messages that have no reply yet."""
        self._listener = _started(self._listen, "worker-listen")
        self._threads = [_started(self._talk, "worker-talk"), _started(self._hear, "worker-hear"), self._listener]

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, message: Message, timeout_s: float) -> Message:
        """The reply to a message, where no other one waits for its own.

        Raises:
            WorkerGone: the process ended, or did not reply in time and was killed.
        """
        self.send(message)
        return self.receive(timeout_s)

    def send(self, message: Message) -> int:
        """Sends a message; returns the `id` that its reply will have."""
        self._num_asked += 1
        self._awaited.add(self._num_asked)
        self._requests.put({"id": self._num_asked, **message})
        return self._num_asked

    def receive(self, timeout_s: float) -> Message:
        """The next reply to any of the messages that were sent.

        Raises:
            WorkerGone: as `ask`.
        """
        try:
            reply = self._replies.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            self.kill()
            raise WorkerGone(f"it gave no reply within {timeout_s:.3g} s and was killed") from None
        if reply is None:
            self._replies.put(None)  # for whoever asks next
            raise WorkerGone(self._ending())
        return reply

    def kill(self) -> None:
        """Ends the process, if it has not ended; safe to call twice, and from another thread."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process and frees what belongs to it. It holds nothing that is worth waiting for."""
        self.kill()
        self._process.wait()
        self._requests.put(None)
        for thread in self._threads:
            thread.join(timeout=_JOIN_S)  # a grandchild may hold a pipe open

    def _ending(self) -> str:
        """How the process ended, and the last line it wrote."""
        try:
            code = self._process.wait(timeout=_JOIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it closed its stdout and was killed"
        self._listener.join(timeout=_JOIN_S)
        words = b"".join(self._last_words).decode("utf-8", "replace").strip()[:_MAX_WORDS]
        return f"it ended with {describe(code)}" + (f"; its last line: {words}" if words else "")

    # -- threads -----------------------------------------------------------------------------------------------------

    def _talk(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            while (message := self._requests.get()) is not None:
                stdin.write(json.dumps(message, allow_nan=False).encode() + b"\n")
                stdin.flush()
        except OSError:
            self._replies.put(None)  # a broken pipe: it has ended
        with suppress(OSError):  # closing flushes, and nobody reads any more
            stdin.close()

    def _hear(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        with stdout, suppress(OSError):
            while line := stdout.readline(_MAX_LINE_BYTES):
                found = _object(line)
                number = found.get("id")
                if isinstance(number, int) and number in self._awaited:
                    self._awaited.discard(number)
                    self._replies.put(found)
        self._replies.put(None)

    def _listen(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        with stderr:
            while line := stderr.readline(_MAX_LINE_BYTES):
                if line.strip():
                    self._last_words.append(line)


def describe(code: int) -> str:
    """The exit code of a process in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _started(run: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=run, daemon=True, name=name)
    thread.start()
    return thread


def _object(line: bytes) -> dict[str, Any]:
    """The JSON object on a line; empty for anything else."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
