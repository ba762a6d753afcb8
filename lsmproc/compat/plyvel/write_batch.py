"""plyvel's write batch: it keeps what it has written, and writes when its block raises unless it is a transaction."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lsmproc import errors
from lsmproc.compat.plyvel.errors import reraise
from lsmproc.compat.plyvel.values import as_value

if TYPE_CHECKING:
    from lsmproc.compat.plyvel.database import DB

_HEADER_BYTES = 12  # of a batch in LevelDB: sequence number and count


class WriteBatch:
    """Collects puts and deletes, for the whole database or below a prefix. One thread at a time."""

    def __init__(self, db: DB, prefix: bytes | None, transaction: bool | None, sync: bool | None) -> None:
        """Begin with nothing; made by ``write_batch()``."""
        self._db = db
        self._prefix = prefix or b""
        self._transaction = bool(transaction)
        self._sync = bool(sync)
        self._batch = db.native_batch(sync=False)
        self._size = _HEADER_BYTES

    def put(self, key: bytes, value: Any) -> None:
        """Set ``key`` to ``value``, which is anything with the buffer protocol."""
        self._db.check_open()
        if type(value) is not bytes:
            value = as_value(value)
        try:
            key = self._prefix + key
            self._batch.put(key, value)
        except errors.Error as error:
            reraise(error)
        self._size += 1 + _length_bytes(len(key)) + len(key) + _length_bytes(len(value)) + len(value)

    def delete(self, key: bytes) -> None:
        """Remove ``key``."""
        self._db.check_open()
        try:
            key = self._prefix + key
            self._batch.delete(key)
        except errors.Error as error:
            reraise(error)
        self._size += 1 + _length_bytes(len(key)) + len(key)

    def clear(self) -> None:
        """Forget everything."""
        self._db.check_open()
        self._batch.clear()
        self._size = _HEADER_BYTES

    def write(self) -> None:
        """Commit what was collected. The batch keeps it: another write does the same again."""
        self._db.check_open()
        try:
            batch = self._db.native_batch(sync=self._sync)
            batch.append(self._batch)
            batch.write()
        except errors.Error as error:
            reraise(error)

    def append(self, source: WriteBatch) -> None:
        """Add what another batch has collected."""
        self._db.check_open()
        if not isinstance(source, WriteBatch):
            raise TypeError(f"only a WriteBatch can be appended, not {type(source).__name__}")
        try:
            self._batch.append(source._batch)
        except errors.Error as error:
            reraise(error)
        self._size += source._size - _HEADER_BYTES

    def approximate_size(self) -> int:
        """How many bytes the batch would have in LevelDB's log."""
        self._db.check_open()
        return self._size

    def __enter__(self) -> Self:
        """The batch itself, to be written at the end of the block."""
        self._db.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write and clear; only clear, if this is a transaction whose block raised."""
        self._db.check_open()
        if kind is None or not self._transaction:
            self.write()
        self.clear()


def _length_bytes(length: int) -> int:
    """Bytes of ``length`` as LevelDB writes it, seven bits in each."""
    return max(1, (length.bit_length() + 6) // 7)
