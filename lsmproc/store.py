"""LSMStore: the public face of the engine. What each method promises stands here; how it is kept, in the parts."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, overload

from lsmproc.checkpoint import CheckpointInfo, make_checkpoint
from lsmproc.config import LSMConfig, OptionChange
from lsmproc.errors import ClosedError
from lsmproc.formats.version_edit import LEVEL_COUNT
from lsmproc.maintenance.compaction_schedule import ManualCompaction
from lsmproc.maintenance.maintenance_results import CompactionResult, FlushResult, LiveFile
from lsmproc.monitoring.properties import StoreFigures, property_of
from lsmproc.monitoring.stall_explanation import StallExplanation, explain
from lsmproc.monitoring.stats_report import collect_stats
from lsmproc.opening.live_options import change_options
from lsmproc.opening.store_parts import CLOSE_SECONDS, StoreParts, check_arguments, close_forgotten
from lsmproc.protocols import MISSING
from lsmproc.reading.range_sizes import approximate_size
from lsmproc.record_limits import (
    MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
    checked_bound,
    checked_key,
    checked_value,
)
from lsmproc.snapshot import Pin, Snapshot, TimedPin, checked_snapshot, iterate, scan_range
from lsmproc.timeouts import checked_timeout
from lsmproc.write_batch import WriteBatch

if TYPE_CHECKING:
    from lsmproc.env import Env
    from lsmproc.events.event import Event
    from lsmproc.events.subscription import Subscription
    from lsmproc.iterators.db_iterator import DBIterator
    from lsmproc.mapping import StoreMapping
    from lsmproc.prefixed_store import PrefixedStore
    from lsmproc.reading.read_view import Entry
    from lsmproc.statistics import Stats

Default = TypeVar("Default")


class LSMStore:
    """An ordered key-value store in a directory. Keys and values are bytes; missing keys are None or KeyError.

    Thread-safe: any number of threads may read and write at once, and reads take no lock. A write is visible to
    every thread when its call returns, and survives the death of the process from then on. One process owns a
    store; close it, or use it as a context manager.
    """

    def __init__(self, config: LSMConfig, *, env: Env | None = None, lock_wait_seconds: float = 0.0) -> None:
        """Open the store in ``config.data_dir``, or make it.

        Args:
            config: the settings.
            env: the worker pool, limiter and cache to share with other stores; None makes a private one.
            lock_wait_seconds: how long to wait for another owner to close the store.

        Raises:
            NotAStoreError: the directory holds no store (or holds one, with ``error_if_exists``).
            LockedError: another owner has it open.
            CorruptionError: files are missing or damaged; nothing was changed.
            StorageError: the operating system refused a file operation.
            TypeError, ValueError: an argument that cannot be meant; nothing was made.
        """
        check_arguments(config, env, lock_wait_seconds)
        self._parts = parts = StoreParts(config, env, lock_wait_seconds, collect_stats)
        self._write_path = parts.write_path
        self._statistics = statistics = parts.statistics
        # See latency.py: most calls take a ticket, one in many is timed.
        self._puts, self._deletes, self._gets = statistics.put, statistics.delete, statistics.get
        self._put_tickets, self._get_tickets = self._puts.tickets, self._gets.tickets
        self._syncs = config.wal_sync == "every_write"
        self._path = os.path.abspath(os.fspath(config.data_dir))
        self._finalizer = weakref.finalize(self, close_forgotten, parts, self._path)

    # Single records

    def put(
        self,
        key: bytes,
        value: bytes | bytearray | memoryview,
        *,
        sync: bool | None = None,
        timeout: float | None = None,
    ) -> None:
        """Set ``key`` to ``value``.

        Args:
            key: up to 131,071 bytes.
            value: up to 64 MiB; buffers are copied.
            sync: True to return only when the write survives power loss; None for the store's ``wal_sync``.
            timeout: seconds to wait while writes are stalled, 0 to refuse; None waits as long as it takes.

        Raises:
            WriteStallTimeout: the timeout has passed; nothing was written.
            TypeError, ValueError, RecordTooLargeError: bad arguments; nothing was written.
            NoSpaceError, StorageError: the log could not take the write; nothing was written.
            DurabilityError: a sync failed; the store must be opened again before it takes writes.
            BackgroundError: flushes or compactions have failed for good.
        """
        for _ in self._put_tickets:
            if type(key) is not bytes or len(key) > MAX_KEY_BYTES:
                key = checked_key(key)
            if type(value) is not bytes or len(value) > MAX_VALUE_BYTES:
                value = checked_value(value)
            if sync or timeout is not None or (sync is None and self._syncs):
                self._write([key], [value], sync, timeout)
            else:
                self._write_path.put(key, value)
            return
        self._put_tickets = self._puts.renew()
        self._puts.timed(self.put, key, value, sync=sync, timeout=timeout)

    def delete(self, key: bytes, *, sync: bool | None = None, timeout: float | None = None) -> None:
        """Remove ``key``; no error if it is not there. Arguments and errors are those of ``put``."""
        for _ in self._deletes.tickets:
            if sync or timeout is not None or (sync is None and self._syncs):
                self._write([checked_key(key)], [None], sync, timeout)
            else:
                self._write_path.put(checked_key(key), None)
            return
        self._deletes.timed(self.delete, key, sync=sync, timeout=timeout)

    @overload
    def get(self, key: bytes, default: None = None, *, snapshot: Snapshot | None = None) -> bytes | None: ...
    @overload
    def get(self, key: bytes, default: Default, *, snapshot: Snapshot | None = None) -> bytes | Default: ...
    def get(self, key: bytes, default: Any = None, *, snapshot: Snapshot | None = None) -> Any:
        """The value of ``key``, or ``default``. Raises TypeError, CorruptionError, StorageError, ClosedError.

        Two gets may see the store before and after a batch; a snapshot or ``get_many`` reads one state.
        """
        for _ in self._get_tickets:
            if snapshot is not None:
                return checked_snapshot(snapshot, self._write_path).get(key, default)
            if type(key) is not bytes:
                key = checked_key(key)
            view = self._write_path.view
            entry = view.entries.get(key)
            if entry is not None:
                value = entry[1]
            elif view.older_entries:
                value = view.get(key)
            else:
                value = view.get_from_tables(key)
            return default if value is None else value
        self._get_tickets = self._gets.renew()
        if snapshot is not None:
            return self._gets.timed(self.get, key, default, snapshot=snapshot)
        value = self._gets.timed(self._followed_get, key)
        return default if value is None else value

    def peek(self, key: bytes, default: Default) -> bytes | Default | None:
        """As ``get`` if memory knows the answer, also that there is no value (None); ``default`` if a file would.

        For event loops: takes no lock, reads no file and waits for nothing.
        """
        value = self._write_path.view.peek(checked_key(key))
        if value is MISSING:
            return default
        self._statistics.peeks += 1
        return value  # type: ignore[return-value]

    def _followed_get(self, key: bytes) -> bytes | None:
        """A get whose way through the sources is counted."""
        next(self._gets.tickets, None)
        return self._write_path.view.followed_get(checked_key(key), self._statistics.read_samples)

    def get_with_meta(self, key: bytes, *, snapshot: Snapshot | None = None) -> Entry | None:
        """The record of ``key`` with its sequence number and where it was found, or None."""
        if snapshot is not None:
            return checked_snapshot(snapshot, self._write_path).get_with_meta(key)
        return self._write_path.view.lookup(checked_key(key))

    def get_many(self, keys: Iterable[bytes], default: Any = None) -> list[Any]:
        """The values of ``keys`` in their order, ``default`` for those that are missing; all from one state."""
        for _ in self._statistics.get_many.tickets:
            with closing(self._parts.pin()) as pin:
                get, sequence = pin.view.get_at, pin.sequence
                values = [get(key if type(key) is bytes else checked_key(key), sequence) for key in keys]
            self._statistics.get_many_keys += len(values)
            return [default if value is None else value for value in values] if None in values else values
        return self._statistics.get_many.timed(self.get_many, keys, default)

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
        """The records of [start, stop), or of ``prefix``, in key order: lazily, from one implicit snapshot.

        The fastest way to read many records. ``reverse`` keeps the meaning of start and stop.
        """
        if snapshot is not None:
            return checked_snapshot(snapshot, self._write_path).range(
                start, stop, prefix=prefix, reverse=reverse, fill_cache=fill_cache
            )
        return scan_range(self._new_pin(), start, stop, prefix, reverse=reverse, fill_cache=fill_cache)

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
        own = self._write_path
        pin = self._new_pin() if snapshot is None else checked_snapshot(snapshot, own).pin_of(own)
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

    def _new_pin(self) -> Pin:
        """The present state for a range; of one range in many the windows are timed."""
        for _ in self._statistics.range.tickets:
            return Pin(self._write_path)
        self._statistics.range.renew()
        next(self._statistics.range.tickets, None)
        return TimedPin(self._write_path, self._statistics.seek, self._statistics.next_window)

    def snapshot(self) -> Snapshot:
        """The store as it is now, for as long as the snapshot is open."""
        return Snapshot(self._parts.pin())

    # Batches

    def write_batch(self, *, sync: bool | None = None, timeout: float | None = None) -> WriteBatch:
        """A batch of writes that are committed together, or discarded if its ``with`` block raises; see ``put``."""
        return WriteBatch(self._write_batch, sync=sync, timeout=timeout)

    def _write(self, keys: list[bytes], values: list[bytes | None], sync: bool | None, timeout: float | None) -> None:
        if timeout is not None:
            timeout = checked_timeout(timeout)
        self._write_path.commit(keys, values, sync=self._syncs if sync is None else sync, timeout=timeout)

    def _write_batch(
        self, keys: list[bytes], values: list[bytes | None], sync: bool | None, timeout: float | None
    ) -> None:
        for _ in self._statistics.batch.tickets:
            self._write(keys, values, sync, timeout)
            self._statistics.batch_records += len(keys)
            return
        self._statistics.batch.timed(self._write_batch, keys, values, sync, timeout)

    # As a dict

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

    def as_mapping(
        self,
        *,
        encode: Callable[[Any], bytes] | None = None,
        decode: Callable[[bytes], Any] | None = None,
        encode_value: Callable[[Any], bytes] | None = None,
        decode_value: Callable[[bytes], Any] | None = None,
    ) -> StoreMapping[Any, Any]:
        """The store as a MutableMapping with an exact ``len``; see StoreMapping for what the functions do."""
        from lsmproc.mapping import StoreMapping  # noqa: PLC0415 - most programs never need it

        return StoreMapping(self, encode=encode, decode=decode, encode_value=encode_value, decode_value=decode_value)

    def prefixed_db(self, prefix: bytes) -> PrefixedStore:
        """The records whose keys begin with ``prefix``, as a store of their own with shorter keys."""
        from lsmproc.prefixed_store import PrefixedStore  # noqa: PLC0415 - most programs never need it

        return PrefixedStore(self, prefix)

    # Maintenance

    def flush_memtable(self, *, wait: bool = True, timeout: float | None = None) -> FlushResult | None:
        """Write the memtable to level 0 now; None if it was empty.

        Raises TimeoutError after ``timeout`` seconds (the flush goes on), NoSpaceError, BackgroundError, ReadOnlyError.
        """
        if timeout is not None:
            timeout = checked_timeout(timeout)
        view = self._write_path.view
        if self.config.read_only:
            self._write_path.rotate()  # Raises what every write raises.
        if not view.entries and not view.immutables:
            return None
        before = {file.number for file in self._parts.tree.version.levels[0]}
        self._write_path.rotate()
        if wait:
            self._parts.maintenance.flush_all(timeout)
        level0 = self._parts.tree.version.levels[0]
        return FlushResult(tuple(LiveFile.of(0, file) for file in level0 if file.number not in before))

    def compact_level(
        self,
        level: int,
        start: bytes | None = None,
        stop: bytes | None = None,
        *,
        wait: bool = True,
        timeout: float | None = None,
    ) -> CompactionResult:
        """Merge a level, or its tables of [start, stop), into the one below; the last level is rewritten.

        Raises TypeError, ValueError for no such level, TimeoutError (the merge goes on), BackgroundError, StorageError.
        """
        if type(level) is not int:
            raise TypeError(f"a level is a number from 0 to {LEVEL_COUNT - 1}, not {type(level).__name__}")
        if not 0 <= level < LEVEL_COUNT:
            raise ValueError(f"there is no level {level!r}; levels are 0 to {LEVEL_COUNT - 1}")
        if timeout is not None:
            timeout = checked_timeout(timeout)
        manual = ManualCompaction(level, checked_bound(start, "start"), checked_bound(stop, "stop"))
        self._parts.maintenance.compact(manual)
        if wait:
            if not manual.done.wait(timeout):
                raise TimeoutError(f"level {level} is not compacted yet after {timeout} s")
            if manual.error is not None:
                raise manual.error
        return CompactionResult(level, manual.compactions)

    def compact_range(
        self, start: bytes | None = None, stop: bytes | None = None, *, timeout: float | None = None
    ) -> tuple[CompactionResult, ...]:
        """Flush, then merge [start, stop) level by level into the deepest one that holds anything.

        ``timeout`` counts for each step. Raises what ``flush_memtable`` and ``compact_level`` raise.
        """
        start, stop = checked_bound(start, "start"), checked_bound(stop, "stop")
        self.flush_memtable(timeout=timeout)
        results = []
        for level in range(LEVEL_COUNT):
            here, *below = self._parts.tree.version.levels[level:]
            # The deepest level is only worth rewriting for the tombstones in it.
            if any(below) or level == 0 or any(file.tombstones for file in here):
                results.append(self.compact_level(level, start, stop, timeout=timeout))
            if not any(below):
                break
        return tuple(results)

    def wait_idle(self, timeout: float | None = None) -> None:
        """Wait until no flush and no compaction runs or is wanted. Raises TimeoutError, BackgroundError."""
        self._parts.maintenance.wait_idle(None if timeout is None else checked_timeout(timeout))

    def pause_background(self) -> None:
        """Start no compactions but those asked for until ``resume_background``; see ``background_paused``. Counted."""
        self._parts.maintenance.pause(paused=True)

    def resume_background(self) -> None:
        """Undo one ``pause_background``. Raises RuntimeError if nothing is paused."""
        self._parts.maintenance.pause(paused=False)

    def set_options(self, **changes: Any) -> tuple[OptionChange, ...]:
        """Change settings now, without opening the store again: all of them, or none.

        A change counts from the next memtable, table or compaction on; a rate within a tenth of a second.
        ``LSMConfig.explain`` says which settings can change.

        Returns:
            what is different from before; a setting that had this value already is not.

        Raises:
            ConfigError: every problem at once: unknown, not possible, or fixed, and then what to do instead.
            ClosedError: the store is closed.
        """
        with self._parts.whole_lock:
            changed = change_options(self._parts, changes)
            self._syncs = self.config.wal_sync == "every_write"
        return changed

    @contextmanager
    def background_paused(self) -> Iterator[None]:
        """Start no compactions in this block but those asked for; what runs is finished, and flushes go on.

        Blocks may be nested. A store whose level 0 reaches its stop trigger meanwhile takes no writes. A block may
        close the store.
        """
        self._parts.maintenance.pause(paused=True)
        try:
            yield
        finally:
            with suppress(ClosedError):  # Nothing is left to go on then.
                self._parts.maintenance.pause(paused=False)

    def sync(self) -> None:
        """Make every write so far survive power loss. Raises DurabilityError, which is final."""
        self._write_path.sync()

    def checkpoint(self, path: str | os.PathLike[str], *, timeout: float | None = None) -> CheckpointInfo:
        """Make a copy of the store, as it is now, in the new or empty directory ``path``: a store of its own.

        Flushes, then links the tables: that takes a moment and hardly any space, while reads and writes go on.

        Raises NotAStoreError for a directory that is in use or inside of the store, ReadOnlyError, StorageError, and
        what ``flush_memtable`` raises.
        """
        self.flush_memtable(timeout=timeout)
        return make_checkpoint(self._parts, path)

    # Looking inside

    def approximate_size(self, start: bytes | None = None, stop: bytes | None = None) -> int:
        """About how many bytes the tables use for [start, stop), to a block; what is not flushed yet counts nothing.

        Looks at indexes only. Raises TypeError, CorruptionError, StorageError, ClosedError.
        """
        start, stop = checked_bound(start, "start"), checked_bound(stop, "stop")
        with closing(self._parts.pin()) as pin:
            return approximate_size(pin.view.version, self._parts.tables.reader, start, stop)

    def stats(self) -> Stats:
        """Figures of everything that goes on; ``format_stats`` prints them."""
        return collect_stats(self._parts)

    def explain_stall(self) -> StallExplanation:
        """Why writes wait, or that they do not: the backlog, since when, what relieves it, what to change.

        ``str()`` of the answer is for people. Cheap enough to ask in every error handler: it costs one ``stats()``.
        """
        return explain(self.stats().to_json_dict())

    @overload
    def get_property(self, name: str) -> str | None: ...
    @overload
    def get_property(self, name: bytes) -> bytes | None: ...
    def get_property(self, name: Any) -> Any:
        """A figure by the name that RocksDB or LevelDB gives it, as ``rocksdb.estimate-num-keys``; None if unknown.

        Text, or bytes if the name is bytes; ``lsmproc.monitoring.properties.property_names()`` lists the names. Raises
        TypeError.
        """
        return property_of(name, lambda: StoreFigures(self.stats(), self.live_files()))

    def live_files(self) -> list[LiveFile]:
        """The tables of the store, upper levels first."""
        return [LiveFile.of(level, file) for level, file in self._write_path.view.version.files()]

    def subscribe(self, callback: Callable[[Event], object]) -> Subscription:
        """Call ``callback`` with every event from now on: flushes, compactions, stalls, workers, errors, tables.

        The kinds of events are the classes of ``lsmproc.events.event``. They come in order, on one thread of this
        store, never while a write waits for them. A callback that raises is logged and goes on with the next event; one
        that is too slow loses events and is told how many (EventsDropped). The subscription is a context manager and
        ends with the store. The events also stand in the file LOG: see ``LSMConfig.event_log``.

        Raises TypeError, ClosedError.
        """
        return self._parts.watch.subscribe(callback)

    @property
    def env(self) -> Env:
        """The worker pool, limiter and cache that this store uses."""
        return self._parts.env

    @property
    def path(self) -> str:
        """The store's directory."""
        return self._path

    @property
    def config(self) -> LSMConfig:
        """The settings that the store was opened with."""
        return self._parts.config

    @property
    def option_changes(self) -> tuple[OptionChange, ...]:
        """How the settings that the store was opened with differ from those of the opening before."""
        return self._parts.option_changes

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return self._parts.closed

    # The end

    def close(self, *, flush: bool = False, timeout: float = CLOSE_SECONDS) -> None:
        """Close the store. Idempotent; whatever still uses it raises ClosedError.

        Args:
            flush: write the memtable to a table first. Not needed for safety: the log holds every write, and the
                next open replays it.
            timeout: seconds to wait for the flush, and for busy workers to leave before they are killed.
        """
        timeout = checked_timeout(timeout)
        try:
            if flush and not self.closed and not self.config.read_only:
                self.flush_memtable(timeout=timeout)
        finally:
            self._finalizer.detach()
            self._parts.close(timeout)  # What an interrupt leaves open is closed by another close.

    def __enter__(self) -> Self:
        """The store itself, to be closed at the end of the block. Raises ClosedError."""
        if self.closed:
            raise ClosedError("the store is closed; open it again with lsmproc.open()")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Path and state, without touching the disk."""
        if self.closed:
            return f"<LSMStore {self._path!r} closed>"
        counts = "".join(f" L{n}={len(level)}" for n, level in enumerate(self._parts.tree.version.levels) if level)
        log_bytes = self._parts.log.bytes if self._parts.log is not None else 0
        return f"<LSMStore {self._path!r} open seq={self._write_path.last_sequence} log={log_bytes}{counts}>"

    def __reduce__(self) -> NoReturn:
        """A store belongs to one process."""
        raise TypeError(
            "an LSMStore cannot be pickled or copied; close it and open it in the process that needs it, with "
            f"lsmproc.open({self._path!r}); or only read there, with lsmproc.open_follower(...)"
        )
