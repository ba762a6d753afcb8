"""plyvel's snapshot: a database as it was, whole or below a prefix."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lsmproc import errors
from lsmproc.compat.plyvel.errors import reraise
from lsmproc.compat.plyvel.iterators import Iterator, RawIterator

if TYPE_CHECKING:
    import lsmproc
    from lsmproc.compat.plyvel.database import DB


class Snapshot:
    """The database as it was when the snapshot was taken. Keeps its database alive."""

    def __init__(self, *, db: DB, prefix: bytes | None = None) -> None:
        """Take a snapshot of ``db``; made by ``snapshot()``."""
        self._db = db
        self._prefix = prefix
        # Iterators share it and outlive ``close``: the last of them to go releases it.
        self._snapshot: lsmproc.Snapshot | None = db.take_snapshot()

    def get(self, key: bytes, default: Any = None, *, verify_checksums: bool = False, fill_cache: bool = True) -> Any:
        """The value that ``key`` had, or ``default``."""
        del verify_checksums, fill_cache
        snapshot = self._opened()
        try:
            return snapshot.get(key if self._prefix is None else self._prefix + _checked(key), default)
        except errors.Error as error:
            reraise(error)

    def iterator(self, **options: Any) -> Iterator:
        """A cursor over a range; arguments are those of ``DB.iterator``."""
        return Iterator(self._db, self._opened(), self._prefix, **options)

    def raw_iterator(self, *, verify_checksums: bool = False, fill_cache: bool = True) -> RawIterator:
        """A raw iterator over the whole database, also if the snapshot is one below a prefix, as in plyvel."""
        del verify_checksums
        return RawIterator(self._db, self._opened(), fill_cache=fill_cache)

    def close(self) -> None:
        """Let go. Idempotent; iterators that are open go on."""
        self._snapshot = None

    release = close

    def __iter__(self) -> Iterator:
        """All records."""
        return self.iterator()

    def __enter__(self) -> Self:
        """The snapshot itself, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    __contains__ = None  # As in DB.

    def _opened(self) -> lsmproc.Snapshot:
        if self._snapshot is None or self._db.closed:
            raise RuntimeError("Database or snapshot is closed")
        return self._snapshot


def _checked(key: object) -> bytes:
    if not isinstance(key, bytes):
        raise TypeError(f"a key is bytes, not {type(key).__name__}")
    return key
