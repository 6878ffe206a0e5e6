"""The inside of a process that is asked and replies by lines of JSON: what `process.Worker` talks to.

Replies have the real stdout to themselves: whatever native code prints goes to stderr. A thread watches stdin and ends
the process at once when it is closed, also in the middle of native code, so that a supervisor that was killed leaves
no process behind.

Not covered: what is asked and replied (messages.py), the outside (process.py).
"""

import json
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import IO, Any, NoReturn

Message = dict[str, Any]
Send = Callable[[Message], None]


def answer(serve: Callable[[Iterator[Message], Send], int]) -> NoReturn:
    """Runs `serve` until it returns an exit code or stdin ends, then ends the process.

    Args:
        serve: takes the requests, which never end, and what sends a reply; returns the exit code.
    """
    exit_code = 1
    try:
        replies = _own_stdout()
        requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=_watch, args=(sys.stdin.buffer, requests), daemon=True, name="requests").start()
        exit_code = serve(_parsed(requests), lambda reply: _send(replies, reply))
    except BaseException:  # its last line is what the supervisor tells
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(exit_code)  # an ordinary end would wait for the thread that holds stdin


def _own_stdout() -> IO[bytes]:
    """The real stdout, for replies alone; whatever else writes to stdout now writes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides when to end
    sys.stdout.flush()
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    logging.disable(logging.CRITICAL)
    return replies


def _watch(stdin: IO[bytes], requests: "queue.SimpleQueue[bytes]") -> None:
    for line in stdin:
        requests.put(line)
    os._exit(0)  # the supervisor is gone, or wants no more: nobody waits for what is under way


def _parsed(requests: "queue.SimpleQueue[bytes]") -> Iterator[Message]:
    while True:
        yield json.loads(requests.get())


def _send(replies: IO[bytes], message: Message) -> None:
    replies.write(json.dumps(message, allow_nan=False).encode() + b"\n")
    replies.flush()
