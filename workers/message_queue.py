"""A queue of messages from one process to another that no killed process can break.

A queue is one pipe with one writer and one reader. It has no lock that a dead process could keep and no feeder thread,
and neither end ever blocks in a system call: a stopped process at the other end, even one stopped in the middle of a
message, delays nobody. (``multiprocessing.Connection`` would wait for the rest of that message.) What the pipe does
not take yet waits in the writer.

::

    u32 length | body of that many bytes     one message; little endian; the body is lsmproc.formats.messages'

The end of the pipe between two messages means that the other side closed the queue; within a message, that it died.
Both raise QueueEndedError. Bytes that are no message raise CorruptionError.
"""

from __future__ import annotations

import os
import struct

from lsmproc.errors import CorruptionError
from lsmproc.formats.messages import MAX_MESSAGE_BYTES, Message, decode_message, encode_message
from lsmproc.workers.fork_guard import fork_guard

_LENGTH = struct.Struct("<I")
assert _LENGTH.size == 4
_READ_BYTES = 1 << 16  # what a pipe holds


class QueueEndedError(Exception):
    """The other side of the queue has closed it or died."""


class MessageReader:
    """The reading end of a queue. Owns its descriptor; not thread-safe."""

    def __init__(self, fd: int) -> None:
        """Read from the pipe ``fd`` from now on."""
        os.set_blocking(fd, False)
        self.fd = fd
        self._bytes = bytearray()
        self._ended = False

    def receive(self) -> list[Message]:
        """The messages that have arrived, perhaps none. Raises QueueEndedError when there will be no more."""
        self._read()
        messages = []
        start = 0
        while (stop := self._message_end(start)) is not None:
            messages.append(decode_message(bytes(self._bytes[start + _LENGTH.size : stop])))
            start = stop
        del self._bytes[:start]
        if self._ended and not messages:
            raise QueueEndedError("within a message" if self._bytes else "between two messages")
        return messages

    def close(self) -> None:
        """Give the descriptor back. REQUIRES: not closed yet."""
        fork_guard().close(self.fd)

    def _read(self) -> None:
        """Take what is in the pipe, at most about one message of the largest size at a time."""
        while not self._ended and len(self._bytes) < _LENGTH.size + MAX_MESSAGE_BYTES:
            try:
                taken = os.read(self.fd, _READ_BYTES)
            except BlockingIOError:
                return
            self._bytes += taken
            self._ended = not taken

    def _message_end(self, start: int) -> int | None:
        """Where the message at ``start`` ends, or None if it is not complete."""
        if len(self._bytes) < start + _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._bytes, start)
        if length > MAX_MESSAGE_BYTES:
            raise CorruptionError(f"a message of {length} bytes is above the limit of {MAX_MESSAGE_BYTES}")
        stop: int = start + _LENGTH.size + length
        return stop if stop <= len(self._bytes) else None


class MessageWriter:
    """The writing end of a queue. Owns its descriptor; not thread-safe."""

    def __init__(self, fd: int) -> None:
        """Write to the pipe ``fd`` from now on."""
        os.set_blocking(fd, False)
        self.fd = fd
        self._rest = bytearray()

    @property
    def pending(self) -> bool:
        """Whether bytes wait for the pipe to take them: call ``flush`` when it is writable."""
        return bool(self._rest)

    def put(self, message: Message) -> None:
        """Queue a message and write what the pipe takes. Raises QueueEndedError, or ValueError if it is too large."""
        body = encode_message(message)
        self._rest += _LENGTH.pack(len(body)) + body
        self.flush()

    def flush(self) -> None:
        """Write what the pipe takes of the bytes that wait. Raises QueueEndedError if nobody can read them."""
        try:
            while self._rest:
                del self._rest[: os.write(self.fd, self._rest)]
        except BlockingIOError:
            return
        except BrokenPipeError as error:
            raise QueueEndedError("nobody reads") from error

    def close(self) -> None:
        """Give the descriptor back; what still waits is dropped. REQUIRES: not closed yet."""
        fork_guard().close(self.fd)
