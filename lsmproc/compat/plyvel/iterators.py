"""plyvel's two iterators: the cursor between records, and the raw one that stands on a record."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from lsmproc import errors
from lsmproc.compat.plyvel.errors import IteratorInvalidError, reraise
from lsmproc.iterators.db_iterator import DBIterator
from lsmproc.prefixed_store import stripped_windows
from lsmproc.snapshot import checked_range

if TYPE_CHECKING:
    import collections.abc

    import lsmproc
    from lsmproc.compat.plyvel.database import DB
    from lsmproc.iterators.db_iterator import MakeWindows
    from lsmproc.protocols import Columns

_CLOSED = "Database or iterator is closed"


class Iterator(DBIterator):
    """A cursor between the records of a range; ``next`` and ``prev`` step over the record ahead or behind.

    Keeps its database alive, and what it reads of it even after its snapshot was closed.
    """

    __slots__ = ("_db", "_stop")

    def __init__(
        self,
        db: DB,
        snapshot: lsmproc.Snapshot,
        db_prefix: bytes | None,
        *,
        reverse: bool = False,
        start: bytes | None = None,
        stop: bytes | None = None,
        include_start: bool = True,
        include_stop: bool = False,
        prefix: bytes | None = None,
        include_key: bool = True,
        include_value: bool = True,
        verify_checksums: bool = False,  # noqa: ARG002 - they always are
        fill_cache: bool = True,
    ) -> None:
        """Stand before the first record of the range, or behind the last one if ``reverse``."""
        if prefix is not None:
            include_start, include_stop = True, False
        first, end = checked_range(start, stop, prefix)
        super().__init__(
            windows_of(snapshot, db_prefix, bool(fill_cache)),
            first,
            end,
            include_start=bool(include_start),
            include_stop=bool(include_stop),
            reverse=bool(reverse),
            include_key=bool(include_key),
            include_value=bool(include_value),
        )
        self._db = db
        self._stop = end
        db.register(self)

    def __iter__(self) -> Self:
        """The iterator itself."""
        return self

    def seek(self, target: bytes) -> None:
        """Stand just below ``target``; outside the range, at the nearer of ``start`` and ``stop``."""
        if self._stop is not None and isinstance(target, bytes) and target > self._stop:
            target = self._stop  # With include_stop the record there is still ahead.
        super().seek(target)

    def close(self) -> None:
        """Stop; every use from now on raises RuntimeError. Idempotent."""
        super().close()
        self._make_windows = _closed_windows  # Lets go of the state of the database.

    def __enter__(self) -> Self:
        """The iterator itself, to be closed at the end of the block."""
        return self


class RawIterator:
    """Stands on one record, or on none: then it is not valid, and asking for the record raises.

    Begins on none. Stepping off either end leads to none, and only seeking leads back.
    """

    def __init__(self, db: DB, snapshot: lsmproc.Snapshot, *, fill_cache: bool = True) -> None:
        """Stand on no record."""
        self._db = db
        self._cursor = DBIterator(windows_of(snapshot, None, bool(fill_cache)))
        self._record: tuple[bytes, bytes] | None = None
        self._passed = True  # whether the cursor is behind the record, or else before it
        db.register(self)

    def valid(self) -> bool:
        """Whether it stands on a record."""
        self._check_open()
        return self._record is not None

    def seek_to_first(self) -> None:
        """Stand on the first record, or on none if there is none."""
        self._check_open()
        self._cursor.seek_to_start()
        self._step_up()

    def seek_to_last(self) -> None:
        """Stand on the last record, or on none if there is none."""
        self._check_open()
        self._cursor.seek_to_stop()
        self._step_down()

    def seek(self, target: bytes) -> None:
        """Stand on the first record whose key is not less than ``target``, or on none."""
        self._check_open()
        self._cursor.seek(target)
        self._step_up()

    def next(self) -> None:
        """Go to the record above. Raises IteratorInvalidError if it stands on none."""
        self._check_valid()
        if not self._passed:
            next(self._cursor)
        self._step_up()

    def prev(self) -> None:
        """Go to the record below. Raises IteratorInvalidError if it stands on none."""
        self._check_valid()
        if self._passed:
            self._cursor.prev()
        self._step_down()

    def key(self) -> bytes:
        """The record's key. Raises IteratorInvalidError."""
        return self._check_valid()[0]

    def value(self) -> bytes:
        """The record's value. Raises IteratorInvalidError."""
        return self._check_valid()[1]

    def item(self) -> tuple[bytes, bytes]:
        """Key and value. Raises IteratorInvalidError."""
        return self._check_valid()

    def close(self) -> None:
        """Stop; every use from now on raises RuntimeError. Idempotent."""
        self._cursor.close()
        self._cursor = DBIterator(_closed_windows)  # Lets go of the state of the database.
        self._cursor.close()
        self._record = None

    def __enter__(self) -> Self:
        """The iterator itself, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _step_up(self) -> None:
        self._record = next(self._cursor, None)
        self._passed = True

    def _step_down(self) -> None:
        try:
            self._record = self._cursor.prev()
        except StopIteration:
            self._record = None
        self._passed = False

    def _check_open(self) -> None:
        if self._cursor.closed:
            raise RuntimeError(_CLOSED)

    def _check_valid(self) -> tuple[bytes, bytes]:
        self._check_open()
        if self._record is None:
            raise IteratorInvalidError("the iterator stands on no record: seek first, and ask valid()")
        return self._record


def windows_of(snapshot: lsmproc.Snapshot, db_prefix: bytes | None, fill_cache: bool) -> MakeWindows:
    """What a cursor reads: the records of a snapshot, below a prefix if there is one, with plyvel's errors."""
    prefix = db_prefix or b""

    def windows(start: bytes | None, stop: bytes | None, reverse: bool) -> collections.abc.Iterator[Columns]:
        try:
            yield from stripped_windows(snapshot, prefix, start, stop, reverse, fill_cache)
        except errors.Error as error:
            reraise(error)

    return windows


def _closed_windows(*_bounds: object) -> collections.abc.Iterator[Columns]:
    raise RuntimeError(_CLOSED)
