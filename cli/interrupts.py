"""Ctrl-C and SIGTERM: the first ends the search with the best answer so far, the second ends the process.

Python runs signal handlers between two of its own instructions, so a process deep in native code (a slow
prefill) would answer late or never. A watcher thread reads the signals from a wake-up socket instead and acts
at once. A signal that was ignored when the command began (nohup, a background job) stays ignored.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType, TracebackType
from typing import Self

from .terminal import note

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A context in which signals end a search, then the process."""

    def __init__(self) -> None:
        self.exit_code: int | None = None
        """128 + the signal's number once one has come."""
        self._num_watched = 0
        self._cancel: Callable[[], None] | None = None
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._undo.close()

    @contextmanager
    def cancelling(self, cancel: Callable[[], None]) -> Iterator[None]:
        """Within it the first signal calls `cancel`, from another thread; outside it ends the command."""
        self._cancel = cancel
        try:
            yield
        finally:
            self._cancel = None

    def _listen(self) -> None:
        reader, writer = socket.socketpair()
        watcher = threading.Thread(target=self._watch, args=(reader,), name="interrupts", daemon=True)
        writer.setblocking(False)  # what set_wakeup_fd asks for
        self._undo.callback(reader.close)
        self._undo.callback(watcher.join)
        self._undo.callback(writer.close)  # ends the watcher
        self._undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False))
        for signum in _SIGNALS:
            before = signal.getsignal(signum)
            if before is not signal.SIG_IGN:
                signal.signal(signum, self._on_signal)
                self._undo.callback(signal.signal, signum, before or signal.SIG_DFL)
        watcher.start()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self.exit_code = 128 + signum
        if self._cancel is None:
            note("Interrupted.")
            raise SystemExit(128 + signum)

    def _watch(self, reader: socket.socket) -> None:
        while data := reader.recv(1):
            if data[0] in _SIGNALS:
                self._received(data[0])

    def _received(self, signum: int) -> None:
        self.exit_code = 128 + signum
        self._num_watched += 1
        if self._num_watched > 1:
            _leave(self.exit_code)
        cancel = self._cancel
        if cancel is not None:
            cancel()


def _leave(exit_code: int) -> None:
    """Ends the process now, with the cursor that a live view may have hidden."""
    if sys.stderr is not None and sys.stderr.isatty():
        os.write(2, b"\x1b[?25h\n")
    os._exit(exit_code)
