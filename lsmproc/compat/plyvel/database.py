"""plyvel's DB over an LSMStore."""

from __future__ import annotations

import threading
import weakref
from types import TracebackType
from typing import Any, Self

from lsmproc import errors
from lsmproc.compat.plyvel.errors import reraise, reraise_opening
from lsmproc.compat.plyvel.iterators import Iterator, RawIterator
from lsmproc.compat.plyvel.options import file_system_name, native_options
from lsmproc.compat.plyvel.prefixed_database import PrefixedDB
from lsmproc.compat.plyvel.snapshot import Snapshot
from lsmproc.compat.plyvel.values import as_value
from lsmproc.compat.plyvel.write_batch import WriteBatch
from lsmproc.open_store import open_store
from lsmproc.snapshot import Snapshot as NativeSnapshot
from lsmproc.store import LSMStore
from lsmproc.write_batch import WriteBatch as NativeBatch

_CLOSED = "Database is closed"


class DB:
    """A database in a directory. Closed when nothing refers to it any more; iterators, snapshots and batches do.

    Thread-safe, but for iterators and batches: these belong to one thread at a time.
    """

    def __init__(
        self,
        name: str | bytes,
        *,
        create_if_missing: bool = False,
        error_if_exists: bool = False,
        **options: Any,
    ) -> None:
        """Open the database in the directory ``name``.

        The options are ``paranoid_checks``, ``write_buffer_size``, ``max_open_files``, ``lru_cache_size``,
        ``block_size``, ``block_restart_interval``, ``max_file_size``, ``compression``, ``bloom_filter_bits``,
        ``comparator`` and ``comparator_name``; the module's docstring says what becomes of them.
        """
        self._name = name
        path = file_system_name(name)
        native = native_options(**options)
        try:
            self._store = open_store(
                path, create_if_missing=bool(create_if_missing), error_if_exists=bool(error_if_exists), **native
            )
        except errors.Error as error:
            reraise_opening(error, path)
        self._iterators: weakref.WeakSet[Iterator | RawIterator] = weakref.WeakSet()
        self._registering = threading.Lock()
        self._closed = False
        self._finalizer = weakref.finalize(self, _close_dropped, self._store)

    @property
    def name(self) -> str | bytes:
        """The name that the database was opened with."""
        return self._name

    @property
    def closed(self) -> bool:
        """Whether the database was closed."""
        return self._closed

    def get(
        self,
        key: bytes,
        default: Any = None,
        *,
        verify_checksums: bool = False,  # noqa: ARG002 - they always are
        fill_cache: bool = True,  # noqa: ARG002 - a single record's block is kept or not by its use
    ) -> Any:
        """The value of ``key``, or ``default``."""
        try:
            return self._store.get(key, default)
        except errors.Error as error:
            reraise(error)

    def put(self, key: bytes, value: Any, *, sync: bool = False) -> None:
        """Set ``key`` to ``value``, which is anything with the buffer protocol."""
        if type(value) is not bytes:
            value = as_value(value)
        try:
            self._store.put(key, value, sync=bool(sync))
        except errors.Error as error:
            reraise(error)

    def delete(self, key: bytes, *, sync: bool = False) -> None:
        """Remove ``key``, whether it is there or not."""
        try:
            self._store.delete(key, sync=bool(sync))
        except errors.Error as error:
            reraise(error)

    def write_batch(self, *, transaction: bool = False, sync: bool = False) -> WriteBatch:
        """A batch, written at the end of its block; if that raises, only unless it is a ``transaction``."""
        return WriteBatch(self, None, transaction, sync)

    def iterator(self, **options: Any) -> Iterator:
        """A cursor over a range of an implicit snapshot.

        Options: ``reverse``, ``start``, ``stop``, ``include_start`` (True), ``include_stop`` (False), ``prefix``,
        ``include_key`` (True), ``include_value`` (True), ``verify_checksums``, ``fill_cache``.
        """
        return Iterator(self, self.take_snapshot(), None, **options)

    def raw_iterator(self, *, verify_checksums: bool = False, fill_cache: bool = True) -> RawIterator:
        """An iterator that stands on records, over an implicit snapshot."""
        del verify_checksums
        return RawIterator(self, self.take_snapshot(), fill_cache=fill_cache)

    def snapshot(self) -> Snapshot:
        """The database as it is now."""
        return Snapshot(db=self)

    def prefixed_db(self, prefix: bytes) -> PrefixedDB:
        """The part of the database below a prefix."""
        return PrefixedDB(db=self, prefix=prefix)

    def get_property(self, name: bytes) -> bytes | None:
        """One of LevelDB's properties as text of its form, or None for a name that is none of them."""
        if not isinstance(name, bytes):
            raise TypeError(f"a property's name is bytes, not {type(name).__name__}")
        self.check_open()
        return self._store.get_property(name) if name.startswith(b"leveldb.") else None

    def compact_range(self, *, start: bytes | None = None, stop: bytes | None = None) -> None:
        """Merge the records of a range into the deepest level, and drop what is deleted there."""
        try:
            self._store.compact_range(start, stop)
        except errors.Error as error:
            reraise(error)

    def approximate_size(self, start: bytes, stop: bytes) -> int:
        """About how many bytes [start, stop) takes in tables."""
        return self.approximate_sizes((start, stop))[0]

    def approximate_sizes(self, *ranges: tuple[bytes, bytes]) -> list[int]:
        """About how many bytes each (start, stop) takes in tables."""
        self.check_open()
        sizes = []
        for start, stop in ranges:
            if not isinstance(start, bytes) or not isinstance(stop, bytes):
                raise TypeError("start and stop of a range are bytes")
            try:
                sizes.append(self._store.approximate_size(start, stop))
            except errors.Error as error:
                reraise(error)
        return sizes

    def close(self) -> None:
        """Close the database and its iterators; every use from now on raises RuntimeError. Idempotent."""
        self._closed = True
        self._finalizer.detach()
        with self._registering:
            iterators = list(self._iterators)
        for iterator in iterators:
            iterator.close()
        try:
            self._store.close()
        except errors.Error as error:
            reraise(error)

    def check_open(self) -> None:
        """Raise RuntimeError if the database is closed."""
        if self._closed:
            raise RuntimeError(_CLOSED)

    def take_snapshot(self) -> NativeSnapshot:
        """The state that iterators and snapshots of this module read."""
        try:
            return self._store.snapshot()
        except errors.Error as error:
            reraise(error)

    def native_batch(self, *, sync: bool) -> NativeBatch:
        """An empty batch of lsmproc's own."""
        self.check_open()
        return self._store.write_batch(sync=sync)

    def register(self, iterator: Iterator | RawIterator) -> None:
        """Close this iterator too when the database is closed."""
        with self._registering:
            self._iterators.add(iterator)

    def __iter__(self) -> Iterator:
        """All records."""
        return self.iterator()

    # Asking `key in db` would compare pairs with a key, record by record, and find nothing.
    __contains__ = None

    def __enter__(self) -> Self:
        """The database itself, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Name and state."""
        return f"<plyvel.DB with name {self._name!r}{' (closed)' if self._closed else ''} at {id(self):#x}>"


def _close_dropped(store: LSMStore) -> None:
    """Close the store of a database that nothing refers to any more, or that is open when the program ends."""
    if threading.current_thread().name.startswith("lsmproc"):
        # Collected on a thread that closing would wait for.
        threading.Thread(target=store.close, daemon=True).start()
    else:
        store.close()
