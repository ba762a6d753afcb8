"""What parent and child say to each other, besides acknowledgements: msgpack maps behind their length, over pipes.

::

    message:          | length, 4 bytes | msgpack map |
    acknowledgement:  | thread, 4 bytes | operations done, 4 bytes |      (big-endian; on a pipe of its own)
"""

from __future__ import annotations

import os
import struct
import time
from typing import Any

import msgpack

from lsmproc.errors import CorruptionError

_LENGTH = struct.Struct(">I")
_ACK = struct.Struct(">II")
_READ_BYTES = 1 << 18
_MOST_BYTES = 1 << 28


def send(fd: int, message: dict[str, Any]) -> None:
    """Write a message; blocks while the pipe is full."""
    body: bytes = msgpack.packb(message)
    view = memoryview(_LENGTH.pack(len(body)) + body)
    while view:
        view = view[os.write(fd, view) :]


def acknowledge(fd: int, thread: int, done: int) -> None:
    """Say that ``done`` operations of a thread have returned. So short a message is never torn."""
    os.write(fd, _ACK.pack(thread, done))


class MessageStream:
    """Takes messages out of the bytes of a pipe."""

    def __init__(self) -> None:
        """Nothing read yet."""
        self._rest = b""

    def read(self, fd: int) -> list[dict[str, Any]] | None:
        """The messages completed by what the pipe holds now; None at its end. REQUIRES: readable, or it blocks."""
        data = os.read(fd, _READ_BYTES)
        if not data:
            return None
        self._rest += data
        messages = []
        while len(self._rest) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._rest)
            if size > _MOST_BYTES:
                raise CorruptionError(f"a message of the stress child claims {size} bytes")
            if len(self._rest) < _LENGTH.size + size:
                break
            messages.append(msgpack.unpackb(self._rest[_LENGTH.size : _LENGTH.size + size]))
            self._rest = self._rest[_LENGTH.size + size :]
        return messages


class AckStream:
    """Counts the acknowledgements of each thread."""

    def __init__(self, threads: int) -> None:
        """None received yet."""
        self.done: list[int] = [0] * threads
        self.order: list[tuple[int, int]] = []  # every acknowledgement: thread, operations done
        self.times: list[tuple[float, int]] = []  # monotonic seconds, acknowledgements received until then
        self._rest = b""

    def read(self, fd: int) -> bool:
        """Take what the pipe holds now; False at its end. REQUIRES: readable, or it blocks."""
        data = os.read(fd, _READ_BYTES)
        if not data:
            return False
        data = self._rest + data
        whole = len(data) // _ACK.size * _ACK.size
        self._rest = data[whole:]
        news = list(_ACK.iter_unpack(data[:whole]))
        self.order += news
        self.times.append((time.monotonic(), len(self.order)))
        # The last one of each thread counts; dict() keeps it without a loop.
        for thread, done in dict(news).items():
            self.done[thread] = done
        return True

    def received_before(self, moment: float) -> int:
        """How many acknowledgements had come by ``moment``, in monotonic seconds."""
        return max((count for when, count in self.times if when <= moment), default=0)

    def restart(self) -> None:
        """A new cycle: the threads count from zero."""
        self.done = [0] * len(self.done)
        self.order = []
        self.times = []
