"""Messages over a pipe or a stream socket: four bytes of length, then so many bytes of JSON.

Every reader names the most that it takes, so that nobody can be made to hold more.

Not covered: what the messages say.
"""

import json
import os
import struct
from typing import Any

_HEADER = struct.Struct(">I")
_CHUNK_BYTES = 1 << 20


class FrameError(Exception):
    """The other side ended, or what it sent is no message."""


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


def receive(fd: int, max_bytes: int) -> Any:
    """Reads a message.

    Raises:
        FrameError: the other side ended, or sent more than that, or no JSON.
    """
    data = receive_bytes(fd, max_bytes)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FrameError("no message") from error


def receive_bytes(fd: int, max_bytes: int) -> bytes:
    """Reads a message as it is.

    Raises:
        FrameError: the other side ended, or sent more than that.
    """
    (size,) = _HEADER.unpack(_read(fd, _HEADER.size))
    if size > max_bytes:
        raise FrameError("too large")
    return _read(fd, size)


def _read(fd: int, size: int) -> bytes:
    pieces = bytearray()
    while len(pieces) < size:
        try:
            piece = os.read(fd, min(_CHUNK_BYTES, size - len(pieces)))
        except OSError as error:
            raise FrameError("ended") from error
        if not piece:
            raise FrameError("ended")
        pieces += piece
    return bytes(pieces)
