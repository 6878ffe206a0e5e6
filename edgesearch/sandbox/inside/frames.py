"""Messages over a pipe or a stream socket: four bytes of length, then so many bytes of JSON.

Every reader names the most that it takes, so that nobody can be made to hold more.

Not covered: what the messages say.
"""

import json
import math
import os
import select
import struct
import time
from typing import Any

_HEADER = struct.Struct(">I")
_CHUNK_BYTES = 1 << 20


class FrameError(Exception):
    """The other side ended, or what it sent is no message."""


class TooLate(FrameError):
    """The message did not come in time."""


def send(fd: int, message: object) -> None:
    """Writes a message.

    Raises:
        OSError: the other side is gone.
    """
    send_bytes(fd, json.dumps(message).encode("ascii"))


def send_bytes(fd: int, data: bytes) -> None:
    """Writes a message that is JSON already.

    Raises:
        OSError: the other side is gone.
    """
    left = memoryview(_HEADER.pack(len(data)) + data)
    while left:
        left = left[os.write(fd, left) :]


def receive(fd: int, max_bytes: int, *, until_s: float = math.inf) -> Any:
    """Reads a message.

    Args:
        fd: what to read.
        max_bytes: of the message.
        until_s: when to give up, by `time.monotonic`.

    Raises:
        TooLate: it is not all there by then.
        FrameError: the other side ended, or sent more than that, or no JSON.
    """
    (size,) = _HEADER.unpack(_read(fd, _HEADER.size, until_s))
    if size > max_bytes:
        raise FrameError("too large")
    data = _read(fd, size, until_s)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FrameError("no message") from error


def _read(fd: int, size: int, until_s: float) -> bytes:
    pieces = bytearray()
    while len(pieces) < size:
        if until_s < math.inf and not select.select([fd], [], [], max(0.0, until_s - time.monotonic()))[0]:
            raise TooLate("too late")
        try:
            piece = os.read(fd, min(_CHUNK_BYTES, size - len(pieces)))
        except OSError as error:
            raise FrameError("ended") from error
        if not piece:
            raise FrameError("ended")
        pieces += piece
    return bytes(pieces)
