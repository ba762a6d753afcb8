"""Follower: a live, read-only handle on a store that another process owns; any number of processes may have one.

The idea is that of RocksDB's secondary instances, which tail the manifest and the log of a primary and catch up when
they are told to; and of LMDB, whose readers take no lock that a writer waits for and look for news at each read. Unlike
a reader of LMDB or SlateDB, a follower registers nowhere: it holds what it reads open instead, so a killed one leaves
nothing behind, and the owner never knows of it.

There is no thread. A follower looks for news when it is read from, so it costs nothing while it is not; the price is
that tables which the owner has replaced keep their disk space until the follower is used again, or closed.
"""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import cache
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar, overload

from lsmproc.config import LSMConfig
from lsmproc.errors import ClosedError, ConfigError, ForkedHandleError, NotAStoreError, ReadOnlyError
from lsmproc.follower.followed_store import FollowedStore
from lsmproc.follower.follower_stats import FollowerStats, Lag
from lsmproc.record_limits import checked_key
from lsmproc.snapshot import Pin, Snapshot, checked_snapshot, iterate, scan_range
from lsmproc.storage.block_cache import BlockCache
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.row_cache import RowBudget

if TYPE_CHECKING:
    from lsmproc.iterators.db_iterator import DBIterator
    from lsmproc.reading.read_view import Entry

Default = TypeVar("Default")
Refresh = Literal["interval", "read", "manual"]

_NEVER = float("inf")
_ALWAYS = -_NEVER


def open_follower(
    path: str | os.PathLike[str],
    /,
    *,
    refresh: Refresh = "interval",
    poll_interval: float = 0.2,
    block_cache_bytes: int | str = 64 << 20,
    row_cache_bytes: int | str = 8 << 20,
) -> Follower:
    """Follow the store in the directory ``path``, which another process (or this one) owns, or nobody at present.

    Args:
        path: the store's directory; it may be on a read-only mount. Nothing in it is written, locked or removed.
        refresh: when the follower looks for news. "interval": at the first read after ``poll_interval`` seconds;
            "read": before each read, for a few microseconds each, so that a read sees every write that had returned
            when it began; "manual": only when ``refresh()`` is called.
        poll_interval: seconds. With "read" it is how often space is given back.
        block_cache_bytes: memory for blocks of tables, as LSMConfig.block_cache_bytes.
        row_cache_bytes: memory for hot records, as LSMConfig.row_cache_bytes.

    Raises:
        NotAStoreError: there is no store; a follower makes none.
        CorruptionError: files are missing or damaged.
        StorageError: the operating system refused a file operation. Each table is held open: EMFILE asks for more.
        ConfigError: an argument that cannot work.
    """
    return Follower(
        path,
        refresh=refresh,
        poll_interval=poll_interval,
        block_cache_bytes=block_cache_bytes,
        row_cache_bytes=row_cache_bytes,
    )


class Follower:
    """A store that another process writes, to be read here. Made by ``lsmproc.open_follower``; see there.

    What it shows is always a state that the owner had between two writes, and never goes back, whatever becomes of the
    owner: a write that was shown stays shown when the owner is killed and another one takes its place. It may show a
    write a moment before the writer's call returns. Power loss ends the followers of a machine with everything else;
    those that are opened afterwards show what the owner recovered.

    Thread-safe: any number of threads may read. Reads raise what ``refresh`` raises when it is their turn to look.
    Close it, or use it as a context manager. A forked child has to open its own.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        refresh: Refresh = "interval",
        poll_interval: float = 0.2,
        block_cache_bytes: int | str = 64 << 20,
        row_cache_bytes: int | str = 8 << 20,
    ) -> None:
        """See ``open_follower``."""
        options: dict[str, Any] = {"block_cache_bytes": block_cache_bytes, "row_cache_bytes": row_cache_bytes}
        settings = LSMConfig.from_options(path, **options)
        _check_timing(refresh, poll_interval)
        self._path = os.path.abspath(settings.data_dir)
        if not os.path.isdir(self._path):
            raise NotAStoreError(f"there is no store at {self._path}; a follower needs one that an owner made")
        self._store = store = FollowedStore(
            PosixFileSystem(self._path), BlockCache(settings.block_cache_bytes), RowBudget(settings.row_cache_bytes)
        )
        self._mode = refresh
        self._interval = poll_interval
        self._thorough_due = monotonic() + poll_interval
        # When a read has to look for news: what every read asks, and nothing else.
        self._due = {"interval": self._thorough_due, "read": _ALWAYS, "manual": _NEVER}[refresh]
        _open_stores().add(store)
        self._finalizer = weakref.finalize(self, _close_forgotten, store, self._path)

    # Keeping up

    def refresh(self) -> int:
        """Show every write that had returned when this was called; returns the sequence number of the newest one.

        What has not changed is not read again: the cost is that of the new bytes. Raises NotAStoreError if the store
        was removed, CorruptionError for damage or for writes that were shown and are lost, StorageError; the follower
        then goes on showing what it shows.
        """
        self._store.refresh(thorough=True)
        self._thorough_due = monotonic() + self._interval
        if self._mode == "interval":
            self._due = self._thorough_due
        return self._store.last_sequence

    def lag(self) -> Lag:
        """How far this follower is behind its owner, without refreshing it. Reads the log that is new.

        Raises as ``refresh``: a store that no longer holds what is shown is neither ahead nor behind.
        """
        newest = self._store.newest_sequence()
        shown = min(self._store.last_sequence, newest)
        return Lag(shown, newest, (newest - shown) / 1e9)  # Sequence numbers are times in nanoseconds.

    def _look(self) -> None:
        """Look for news: it is due."""
        now = monotonic()
        thorough = now >= self._thorough_due
        if self._mode == "read":
            self._store.refresh(thorough=thorough)
        else:
            self._store.refresh(thorough=True, wait=False)
            self._due = now + self._interval
        if thorough:
            self._thorough_due = now + self._interval

    # Single records

    @overload
    def get(self, key: bytes, default: None = None, *, snapshot: Snapshot | None = None) -> bytes | None: ...
    @overload
    def get(self, key: bytes, default: Default, *, snapshot: Snapshot | None = None) -> bytes | Default: ...
    def get(self, key: bytes, default: Any = None, *, snapshot: Snapshot | None = None) -> Any:
        """The value of ``key``, or ``default``. Raises TypeError, ClosedError, and what ``refresh`` raises."""
        if snapshot is not None:
            return checked_snapshot(snapshot, self._store).get(key, default)
        if monotonic() >= self._due:
            self._look()
        value = self._store.view.get(key if type(key) is bytes else checked_key(key))
        return default if value is None else value

    def get_with_meta(self, key: bytes, *, snapshot: Snapshot | None = None) -> Entry | None:
        """The record of ``key`` with its sequence number and where it was found, or None."""
        if snapshot is not None:
            return checked_snapshot(snapshot, self._store).get_with_meta(key)
        if monotonic() >= self._due:
            self._look()
        return self._store.view.lookup(checked_key(key))

    def get_many(self, keys: Iterable[bytes], default: Any = None) -> list[Any]:
        """The values of ``keys`` in their order, ``default`` for those that are missing; all from one state."""
        with closing(self._pin()) as pin:
            get, sequence = pin.view.get_at, pin.sequence
            values = [get(key if type(key) is bytes else checked_key(key), sequence) for key in keys]
        return [default if value is None else value for value in values] if None in values else values

    # Ranges

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
        """The records of [start, stop), or of ``prefix``, in key order: lazily, from one implicit snapshot."""
        if snapshot is not None:
            return checked_snapshot(snapshot, self._store).range(
                start, stop, prefix=prefix, reverse=reverse, fill_cache=fill_cache
            )
        return scan_range(self._pin(), start, stop, prefix, reverse=reverse, fill_cache=fill_cache)

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
        """A cursor that moves both ways and seeks, over one implicit snapshot; see DBIterator."""
        own = self._store
        pin = self._pin() if snapshot is None else checked_snapshot(snapshot, own).pin_of(own)
        return iterate(
            pin,
            start,
            stop,
            prefix,
            reverse=reverse,
            include_start=include_start,
            include_stop=include_stop,
            include_key=include_key,
            include_value=include_value,
            fill_cache=fill_cache,
            on_close=pin.close if snapshot is None else None,
        )

    def snapshot(self) -> Snapshot:
        """The store as this follower shows it now, for as long as the snapshot is open; it holds its tables open."""
        return Snapshot(self._pin())

    def _pin(self) -> Pin:
        if monotonic() >= self._due:
            self._look()
        return Pin(self._store)

    # As a dict

    def __getitem__(self, key: bytes) -> bytes:
        """The value of ``key``. Raises KeyError."""
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: bytes) -> bool:
        """Whether ``key`` has a value."""
        return self.get(key) is not None

    def __iter__(self) -> Iterator[bytes]:
        """The keys, in order."""
        return self.keys()

    def keys(self, start: bytes | None = None, stop: bytes | None = None, **options: Any) -> Iterator[bytes]:
        """The keys of a range, in order; options are those of ``iterator``."""
        return iter(self.iterator(start=start, stop=stop, include_value=False, **options))

    def values(self, start: bytes | None = None, stop: bytes | None = None, **options: Any) -> Iterator[bytes]:
        """The values of a range, in the order of their keys; options are those of ``iterator``."""
        return iter(self.iterator(start=start, stop=stop, include_key=False, **options))

    def items(
        self, start: bytes | None = None, stop: bytes | None = None, **options: Any
    ) -> Iterator[tuple[bytes, bytes]]:
        """The records of a range, in order; options are those of ``iterator``."""
        return iter(self.iterator(start=start, stop=stop, **options))

    # What a follower does not do

    def _refuse(self, *_arguments: object, **_options: object) -> NoReturn:
        """Raise ReadOnlyError: a follower only reads."""
        raise ReadOnlyError(f"a follower only reads; write through the process that owns {self._path!r}")

    put: Callable[..., NoReturn] = _refuse
    delete: Callable[..., NoReturn] = _refuse
    write_batch: Callable[..., NoReturn] = _refuse
    __setitem__: Callable[..., NoReturn] = _refuse
    __delitem__: Callable[..., NoReturn] = _refuse

    # Looking inside

    def stats(self) -> FollowerStats:
        """Figures of what is shown and held; without reading anything."""
        store, view = self._store, self._store.view
        memtables = (view.memtable, *(immutable.memtable for immutable in view.immutables))
        files = [file for _, file in view.version.files()]
        return FollowerStats(
            sequence=store.last_sequence,
            epoch=view.version.epoch,
            log_segments=store.segments,
            memtable_entries=sum(len(memtable.entries) for memtable in memtables),
            tables=len(files),
            table_bytes=sum(file.size for file in files),
            held_tables=store.held_tables,
            snapshots=len(store.snapshots),
            refreshes=store.refreshes,
        )

    @property
    def path(self) -> str:
        """The store's directory."""
        return self._path

    @property
    def closed(self) -> bool:
        """Whether the follower was closed."""
        return self._store.closed

    # The end

    def close(self) -> None:
        """Give every descriptor back. Idempotent; whatever still uses the follower raises ClosedError."""
        self._finalizer.detach()
        _open_stores().discard(self._store)
        self._store.close()

    def __enter__(self) -> Self:
        """The follower itself, to be closed at the end of the block. Raises ClosedError."""
        if self.closed:
            raise ClosedError("the follower is closed; open another one with lsmproc.open_follower()")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Path and state, without touching the disk."""
        state = "closed" if self.closed else f"at seq={self._store.last_sequence}"
        return f"<Follower {self._path!r} {state}>"

    def __reduce__(self) -> NoReturn:
        """A follower belongs to one process."""
        raise TypeError(
            "a Follower cannot be pickled or copied; open one in the process that needs it: "
            f"lsmproc.open_follower({self._path!r})"
        )


def _check_timing(refresh: object, poll_interval: object) -> None:
    problems = []
    if refresh not in {"interval", "read", "manual"}:
        problems.append(f"refresh = {refresh!r}: choose 'interval', 'read' or 'manual'")
    if isinstance(poll_interval, bool) or not isinstance(poll_interval, (int, float)):
        raise TypeError(f"poll_interval is a number of seconds, not {type(poll_interval).__name__}")
    if not 0 <= poll_interval < _NEVER:
        problems.append(f"poll_interval = {poll_interval!r}: give seconds, 0 or more; refresh='manual' never looks")
    if problems:
        raise ConfigError(problems)


@cache
def _open_stores() -> weakref.WeakSet[FollowedStore]:
    """What the followers of this process read; made with the first, together with the hook that a fork calls."""
    stores: weakref.WeakSet[FollowedStore] = weakref.WeakSet()

    def forget_all() -> None:
        pid = os.getppid()

        def make_error() -> ForkedHandleError:
            return ForkedHandleError(
                f"this follower was opened by process {pid}, which forked this one; open one after the fork, for "
                "example in gunicorn's post_fork or Celery's worker_process_init"
            )

        for store in list(stores):
            store.forked(make_error)
        stores.clear()

    os.register_at_fork(after_in_child=forget_all)
    return stores


def _close_forgotten(store: FollowedStore, path: str) -> None:
    """Close a follower that was dropped, or that is still open when the program ends."""
    if store.closed:
        return
    try:
        warnings.warn(f"<Follower {path!r}> was not closed", ResourceWarning, stacklevel=2)
    finally:
        store.close()
