"""A part of a store as a store of its own: the records whose keys begin with one prefix, under shorter keys.

Nothing is copied and nothing is open besides the store itself: a prefix is put in front of each key on the way in and
taken away on the way out. Snapshots are those of the whole store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, overload

from lsmproc.iterators.db_iterator import DBIterator, prefix_bounds
from lsmproc.record_limits import checked_key
from lsmproc.snapshot import checked_range
from lsmproc.write_batch import WriteBatch

if TYPE_CHECKING:
    from lsmproc.protocols import Columns
    from lsmproc.snapshot import Snapshot
    from lsmproc.store import LSMStore

Default = TypeVar("Default")


class PrefixedStore:
    """The records of a store below one prefix. As thread-safe as the store, and usable for as long as it is open."""

    def __init__(self, store: LSMStore, prefix: bytes) -> None:
        """Look at ``store`` through ``prefix``; made by ``prefixed_db()``. Raises TypeError, RecordTooLargeError."""
        self._store = store
        self._prefix = checked_key(prefix)

    @property
    def store(self) -> LSMStore:
        """The whole store."""
        return self._store

    @property
    def prefix(self) -> bytes:
        """What all keys here begin with in the whole store."""
        return self._prefix

    def put(
        self,
        key: bytes,
        value: bytes | bytearray | memoryview,
        *,
        sync: bool | None = None,
        timeout: float | None = None,
    ) -> None:
        """As LSMStore.put. Prefix and key together are a key of the store, and limited as one."""
        self._store.put(self._prefix + checked_key(key), value, sync=sync, timeout=timeout)

    def delete(self, key: bytes, *, sync: bool | None = None, timeout: float | None = None) -> None:
        """As LSMStore.delete."""
        self._store.delete(self._prefix + checked_key(key), sync=sync, timeout=timeout)

    @overload
    def get(self, key: bytes, default: None = None, *, snapshot: Snapshot | None = None) -> bytes | None: ...
    @overload
    def get(self, key: bytes, default: Default, *, snapshot: Snapshot | None = None) -> bytes | Default: ...
    def get(self, key: bytes, default: Any = None, *, snapshot: Snapshot | None = None) -> Any:
        """As LSMStore.get; a snapshot is one of the whole store."""
        return self._store.get(self._prefix + checked_key(key), default, snapshot=snapshot)

    def get_many(self, keys: Iterable[bytes], default: Any = None) -> list[Any]:
        """As LSMStore.get_many."""
        return self._store.get_many([self._prefix + checked_key(key) for key in keys], default)

    def write_batch(self, *, sync: bool | None = None, timeout: float | None = None) -> WriteBatch:
        """As LSMStore.write_batch, for keys below the prefix."""
        return WriteBatch(self._write, sync=sync, timeout=timeout)

    def _write(self, keys: list[bytes], values: list[bytes | None], sync: bool | None, timeout: float | None) -> None:
        batch = self._store.write_batch(sync=sync, timeout=timeout)
        for key, value in zip(keys, values, strict=True):
            if value is None:
                batch.delete(self._prefix + key)
            else:
                batch.put(self._prefix + key, value)
        batch.write()

    def range(
        self,
        start: bytes | None = None,
        stop: bytes | None = None,
        *,
        prefix: bytes | None = None,
        reverse: bool = False,
        fill_cache: bool = True,
        snapshot: Snapshot | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """As LSMStore.range."""
        return iter(
            self.iterator(
                start=start, stop=stop, prefix=prefix, reverse=reverse, fill_cache=fill_cache, snapshot=snapshot
            )
        )

    def iterator(
        self,
        *,
        start: bytes | None = None,
        stop: bytes | None = None,
        prefix: bytes | None = None,
        reverse: bool = False,
        include_start: bool = True,
        include_stop: bool = False,
        include_key: bool = True,
        include_value: bool = True,
        fill_cache: bool = True,
        snapshot: Snapshot | None = None,
    ) -> DBIterator:
        """As LSMStore.iterator: seeks and bounds are keys without the prefix."""
        first, end = checked_range(start, stop, prefix)
        seen = self._store.snapshot() if snapshot is None else snapshot
        return DBIterator(
            lambda start, stop, reverse: stripped_windows(seen, self._prefix, start, stop, reverse, fill_cache),
            first,
            end,
            include_start=include_start,
            include_stop=include_stop,
            reverse=reverse,
            include_key=include_key,
            include_value=include_value,
            on_close=seen.close if snapshot is None else None,
        )

    def prefixed_db(self, prefix: bytes) -> PrefixedStore:
        """The part below a further prefix."""
        return PrefixedStore(self._store, self._prefix + checked_key(prefix))

    def __getitem__(self, key: bytes) -> bytes:
        """The value of ``key``. Raises KeyError."""
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes | bytearray | memoryview) -> None:
        """As put."""
        self.put(key, value)

    def __delitem__(self, key: bytes) -> None:
        """Remove ``key``. Raises KeyError if it is not there (looking and removing are two steps)."""
        if self.get(key) is None:
            raise KeyError(key)
        self.delete(key)

    def __contains__(self, key: bytes) -> bool:
        """Whether ``key`` has a value."""
        return self.get(key) is not None

    def __iter__(self) -> Iterator[bytes]:
        """The keys, in order and without the prefix."""
        return iter(self.iterator(include_value=False))

    def __repr__(self) -> str:
        """Prefix and store."""
        return f"<PrefixedStore {self._prefix!r} of {self._store!r}>"


def stripped_windows(
    snapshot: Snapshot, prefix: bytes, start: bytes | None, stop: bytes | None, reverse: bool, fill_cache: bool
) -> Iterator[Columns]:
    """Windows of the keys below ``prefix``, which is taken away from the bounds as well as from the keys."""
    first = prefix + (start or b"")
    end = prefix_bounds(prefix)[1] if stop is None else prefix + stop
    length = len(prefix)
    for keys, values in snapshot.windows(first, end, reverse, fill_cache):
        yield ([key[length:] for key in keys] if length else keys), values
