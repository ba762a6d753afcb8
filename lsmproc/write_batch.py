"""Writes that become part of the store together, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, Self

from lsmproc.errors import RecordTooLargeError
from lsmproc.record_limits import (
    MAX_BATCH_BYTES,
    MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
    checked_key,
    checked_value,
)
from lsmproc.timeouts import checked_timeout

# (keys, values, sync, timeout): None among the values is a deletion.
Write = Callable[[list[bytes], list["bytes | None"], "bool | None", "float | None"], None]


class WriteBatch:
    """Collects puts and deletes; :meth:`write` commits them under one sequence number.

    As a context manager it writes at the end of the block, and discards everything if the block raises::

        with db.write_batch() as batch:
            batch.put(b"from", b"90")
            batch.put(b"to", b"110")

    The same key may be written more than once: the last one counts. One thread at a time.
    """

    __slots__ = ("_bytes", "_keys", "_sync", "_timeout", "_values", "_write")

    def __init__(self, write: Write, *, sync: bool | None = None, timeout: float | None = None) -> None:
        """An empty batch that will be handed to ``write``. Raises TypeError, ValueError for a bad timeout."""
        self._write = write
        self._sync = sync
        self._timeout = None if timeout is None else checked_timeout(timeout)
        self._keys: list[bytes] = []
        self._values: list[bytes | None] = []
        self._bytes = 0

    def put(self, key: bytes, value: bytes | bytearray | memoryview) -> None:
        """Set ``key`` to ``value``. Raises TypeError, RecordTooLargeError; the batch is then as before."""
        # The one call per record of a batch: checked and added here, without a call of its own.
        if type(key) is not bytes or len(key) > MAX_KEY_BYTES:
            key = checked_key(key)
        if type(value) is not bytes or len(value) > MAX_VALUE_BYTES:
            value = checked_value(value)
        size = self._bytes + len(key) + len(value)
        if size > MAX_BATCH_BYTES:
            raise _too_large(size)
        self._keys.append(key)
        self._values.append(value)
        self._bytes = size

    def delete(self, key: bytes) -> None:
        """Remove ``key``, whether it is there or not. Raises TypeError, RecordTooLargeError."""
        key = checked_key(key)
        size = self._bytes + len(key)
        if size > MAX_BATCH_BYTES:
            raise _too_large(size)
        self._keys.append(key)
        self._values.append(None)
        self._bytes = size

    def append(self, other: WriteBatch) -> None:
        """Add everything that ``other`` has collected, in its order; that one stays as it is.

        Raises TypeError, RecordTooLargeError; the batch is then as before.
        """
        if not isinstance(other, WriteBatch):
            raise TypeError(f"only a WriteBatch can be appended, not {type(other).__name__}")
        size = self._bytes + other._bytes
        if size > MAX_BATCH_BYTES:
            raise _too_large(size)
        self._keys += other._keys
        self._values += other._values
        self._bytes = size

    def clear(self) -> None:
        """Forget everything collected so far."""
        self._keys, self._values, self._bytes = [], [], 0

    def write(self) -> None:
        """Commit what was collected, then begin anew. If this raises, the batch still holds everything."""
        self._write(self._keys, self._values, self._sync, self._timeout)
        self.clear()

    def __len__(self) -> int:
        """How many writes were collected."""
        return len(self._keys)

    def __setitem__(self, key: bytes, value: bytes | bytearray | memoryview) -> None:
        """As put."""
        self.put(key, value)

    def __delitem__(self, key: bytes) -> None:
        """As delete."""
        self.delete(key)

    def __enter__(self) -> Self:
        """The batch itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write, or discard if the block raised."""
        if kind is None:
            self.write()
        else:
            self.clear()

    def __reduce__(self) -> NoReturn:
        """A batch belongs to one open store."""
        raise TypeError("a WriteBatch cannot be pickled or copied; make another one with write_batch()")


def _too_large(size: int) -> RecordTooLargeError:
    return RecordTooLargeError(f"a batch of {size} bytes is above the limit of {MAX_BATCH_BYTES}; write it first")
