"""A process that only forks: it has imported what programs usually need, so that a fresh one starts in milliseconds.

It reads nothing of what its children read, so that nothing of one is left in the memory of the next. It has one child
at a time.

    <- {"bounds": [...], "preload": ["numpy"]} with the child's files       forks
    <- {"kill": true}                                                       ends the child
    -> {"ended": status, "cpu_s": 0.012}                                    the child has ended, however it did

Not covered: what a child does (candidate.py, tester.py).
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from . import frames
from .confine import Bounds, Walls, confine, leave_only

USUAL = (
    "abc", "array", "ast", "bisect", "builtins", "cmath", "collections", "contextlib", "copy", "dataclasses",
    "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "inspect", "io", "itertools", "json",
    "math", "operator", "os", "random", "re", "statistics", "string", "struct", "sys", "textwrap", "time", "types",
    "typing", "unicodedata",
)  # fmt: skip
"""Modules that programs and tests import all the time."""
REQUEST_BYTES = 512
"""Of each request, padded with blanks: a stream joins messages."""
_MAX_FILES = 4
_SETUP_FAILED = 119
"""Exit status of a child that could not give up its rights."""

Work = Callable[[list[int]], None]
"""What a child does with its files; it may return or raise, the child ends either way."""


def run(control: socket.socket, work: Work, walls: Walls) -> NoReturn:
    """Serves until the other end of `control` is closed.

    Args:
        control: a stream socket to the broker.
        work: of every child.
        walls: around every child.
    """
    woken = _wake_for_children()
    gc.collect()
    gc.freeze()  # what is never looked at stays shared with the children
    child = 0
    while True:
        ready, _, _ = select.select([control.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
        if child and _ended(control, child):
            child = 0
        if control.fileno() not in ready:
            continue
        data, files, _, _ = socket.recv_fds(control, REQUEST_BYTES, _MAX_FILES)
        if len(data) < REQUEST_BYTES:  # the broker is gone
            os._exit(0)
        request = json.loads(data)
        if "kill" in request:
            if child:
                os.kill(child, signal.SIGKILL)
            continue
        for name in request["preload"]:
            _preload(name)
        child = _forked(control, files, work, Bounds(*request["bounds"]), walls)


def import_usual() -> None:
    """Imports what programs usually need; done once, before the zygotes are forked."""
    for name in USUAL:
        importlib.import_module(name)


def _preload(name: str) -> None:
    """Imports a module once for all children; one that is not there is the program's own trouble."""
    if name in sys.modules:
        return
    try:
        importlib.import_module(name)
    except ImportError:
        return
    if threading.active_count() == 1:
        gc.freeze()


def _wake_for_children() -> int:
    """A file that can be read once a child has ended."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


def _ended(control: socket.socket, child: int) -> bool:
    """Whether the child has ended; if so, tells how."""
    pid, status, usage = os.wait4(child, os.WNOHANG)
    if not pid:
        return False
    code = os.waitstatus_to_exitcode(status)
    frames.send(control.fileno(), {"ended": code, "cpu_s": usage.ru_utime + usage.ru_stime})
    return True


def _forked(control: socket.socket, files: list[int], work: Work, bounds: Bounds, walls: Walls) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        for fd in files:
            os.close(fd)
        return child
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.detach()
        leave_only(files)
        confine(parent, bounds, walls)
    except BaseException:
        os._exit(_SETUP_FAILED)
    try:
        work(files)
    finally:
        os._exit(0)  # nothing that a program left behind (exit handlers, buffers) is run
