"""The parts of one open store: made from a configuration, put together, and taken apart in the right order."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
import weakref
from contextlib import ExitStack, suppress
from functools import cache
from typing import TYPE_CHECKING

from lsmproc.config import LSMConfig, OptionChange
from lsmproc.config.option_changes import written_settings
from lsmproc.env import Env
from lsmproc.errors import ClosedError, Error, ForkedHandleError, ReadOnlyError
from lsmproc.events.store_watch import StoreWatch
from lsmproc.maintenance.maintenance import Maintenance
from lsmproc.maintenance.tree import Tree
from lsmproc.memtable.dict_memtable import DictMemtable
from lsmproc.memtable.memtable_budget import Memtables
from lsmproc.memtable.sorted_dict_memtable import SortedDictMemtable
from lsmproc.opening.configured_parts import controller_options, make_picker, table_options
from lsmproc.opening.option_history import compare_options
from lsmproc.opening.recovery import OpenedDirectory, open_directory
from lsmproc.pacing.auto_rate import Load
from lsmproc.reading.read_view import ReadView
from lsmproc.snapshot import Pin
from lsmproc.statistics import Statistics
from lsmproc.storage.mapped_wal import MappedWal
from lsmproc.storage.table_cache import TableCache
from lsmproc.storage.wal_writer import PwriteWal
from lsmproc.timeouts import checked_timeout
from lsmproc.writing.log_segments import LogSegments
from lsmproc.writing.write_controller import WriteController
from lsmproc.writing.write_path import WritePath

if TYPE_CHECKING:
    from collections.abc import Callable

    from lsmproc.protocols import CompactionPicker, Wal
    from lsmproc.statistics import Stats
    from lsmproc.storage.directory_lock import DirectoryLock
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.version_set import VersionSet
    from lsmproc.storage.wal_recovery import ReplayedSegment

_log = logging.getLogger("lsmproc")

_NO_RETENTION = (1 << 64) - 1
_TICK_SECONDS = 0.25
_MANY_SEGMENTS = 8
CLOSE_SECONDS = 5.0  # for busy workers to leave, unless the caller says otherwise
_INLINE_WAIT_SECONDS = 0.05

WALS: dict[str, type[PwriteWal | MappedWal]] = {"pwrite": PwriteWal, "mapped": MappedWal}
MEMTABLES: dict[str, type[DictMemtable | SortedDictMemtable]] = {
    "dict": DictMemtable,
    "sorted_dict": SortedDictMemtable,
}


class StoreParts:
    """Everything behind one LSMStore. Holds no reference to it, so that a forgotten store can be collected."""

    def __init__(
        self,
        config: LSMConfig,
        env: Env | None,
        lock_wait_seconds: float,
        collect: Callable[[StoreParts], Stats],
    ) -> None:
        """Open the directory and assemble; see recovery.open_directory for what it raises.

        ``collect`` gives the statistics of these parts, for the page STATUS.
        """
        self._collect = lambda: collect(self).to_json_dict()
        self.config: LSMConfig = config
        self.owns_env: bool = env is None
        if env is not None:
            env.check(config)
        self.env: Env = env if env is not None else Env.of(config)
        self.statistics: Statistics = Statistics()
        began = self._synced_at = time.monotonic()
        inline = self.env.kind == "inline"
        self.watch: StoreWatch = StoreWatch(config, ticks=not inline)
        self.controller: WriteController = WriteController(
            controller_options(config), wait_on=self._wait_inline if inline else threading.Condition.wait
        )
        self.picker: CompactionPicker = make_picker(config)
        self.closed: bool = False  # nothing is left to be given back
        self._ready = False  # while the store is being opened, nothing is handed to the background
        # Held by what changes the store as a whole: closing it, and other settings. Reentrant for signal handlers.
        self.whole_lock: threading.RLock = threading.RLock()
        self._memtables = Memtables(self._active_bytes, self._memtable_bytes, self._rotate_for_others)
        opened = open_directory(config, self.env.open_file_system, WALS[config.wal], lock_wait_seconds)
        self.fs: FileSystem = opened.fs
        self.lock: DirectoryLock = opened.lock
        # Bytes of each segment that was replayed.
        self.replayed_log: tuple[int, ...] = tuple(segment.end.end for segment in opened.replayed.segments)
        self.option_changes: tuple[OptionChange, ...] = ()  # against the opening before
        self.version_set: VersionSet = opened.version_set
        self.tables: TableCache = TableCache(opened.fs, self.env.block_cache, self.env.open_files, self.watch.damaged)
        self.log: LogSegments | None = None
        try:
            if opened.wal is not None:
                self.log = self._make_log(opened, opened.wal)
            self.write_path: WritePath = self._make_write_path(opened)
            self.tree: Tree = self._make_tree()
            self.maintenance: Maintenance = self._make_maintenance(opened)
            self._begin_service(opened)
        except BaseException:
            if self.log is None and opened.wal is not None:
                opened.wal.close()
                opened.replayed.close()
            self._give_back()
            raise
        self.statistics.open.record(int((time.monotonic() - began) * 1e9))
        _open_stores().add(self)

    def _make_log(self, opened: OpenedDirectory, wal: Wal) -> LogSegments:
        return LogSegments(
            opened.fs,
            opened.store_uuid,
            wal,
            opened.replayed.segments,
            last_sequence=opened.last_sequence,
            numbers=opened.version_set.numbers,
            new_wal=WALS[self.config.wal],
            segment_bytes=self.config.memtable_max_bytes,
        )

    def _make_write_path(self, opened: OpenedDirectory) -> WritePath:
        memtable = MEMTABLES[self.config.memtable](opened.replayed.records)
        return WritePath(
            self.log,
            ReadView(memtable, (), opened.version_set.current, self.tables.reader, self.env.row_budget.make_cache()),
            opened.last_sequence,
            self.controller,
            now_ns=opened.fs.now_ns,
            new_memtable=MEMTABLES[self.config.memtable],
            memtable_max_bytes=self.config.memtable_max_bytes,
            on_rotate=self._memtable_rotated,
        )

    def _make_tree(self) -> Tree:
        tables, log, write_path = self.tables, self.log, self.write_path
        return Tree(
            self.fs, self.version_set, tables, log, write_path, self.picker, self.controller, self.watch.publish
        )

    def _make_maintenance(self, opened: OpenedDirectory) -> Maintenance:
        idle_ms = self.config.idle_compaction_after_ms
        return Maintenance(
            self.fs,
            self.tree,
            self.write_path,
            self.picker,
            self.env.background,
            self.statistics,
            store_uuid=opened.store_uuid,
            epoch=opened.version_set.current.epoch,
            options_for=lambda level, bottommost: table_options(self.config, level, bottommost),
            droppable_below=self._droppable_below,
            flush_workers=lambda: self.env.flush_workers,
            compaction_workers=lambda: self.env.compaction_workers,
            prepare_spare=self.log.prepare_spare if self.log is not None and self.env.kind != "inline" else None,
            idle_after_seconds=None if idle_ms is None else idle_ms / 1000,
            publish=self.watch.publish,
        )

    def _begin_service(self, opened: OpenedDirectory) -> None:
        """From here on writes and background work go on, or are refused for good."""
        self.watch.begin(
            self.fs, self.config, self._collect, self._pulse, opened.last_sequence, opened.version_set.current
        )
        if self.config.read_only:
            refusal = ReadOnlyError("the store was opened with read_only=True; open it without to write")
            self.write_path.fail(refusal)
            self.maintenance.refuse(refusal)
            self.option_changes = compare_options(self.fs, self.written_settings(), record=False)
            return
        self.option_changes = compare_options(self.fs, self.written_settings(), record=True)
        self.tree.update_backlog()
        if self._has_many_small_segments(opened.replayed.segments):
            self._flush_leftovers()
        self._ready = True
        self.env.memtable_budget.join(self._memtables)
        self.env.background.watch(self.watch.publish)
        if self.env.kind != "inline":
            self._start_ticking()

    def reconfigure(self, config: LSMConfig) -> None:
        """Go on with ``config``, which differs in settings that can change while the store is open."""
        before, self.config = self.config, config
        self.write_path.memtable_max_bytes = config.memtable_max_bytes
        if self.log is not None:
            self.log.segment_bytes = config.memtable_max_bytes
        self.controller.set_options(controller_options(config))
        self.picker = make_picker(config)
        self.maintenance.set_picker(self.picker)
        if self._ready and self.env.kind != "inline" and config.wal_sync_interval_ms != before.wal_sync_interval_ms:
            self.env.ticker.remove(self._tick)
            self._start_ticking()

    def _start_ticking(self) -> None:
        self.env.ticker.add(self._tick, min(_TICK_SECONDS, self.config.wal_sync_interval_ms / 1000))

    def written_settings(self) -> dict[str, str]:
        """The settings in force, those of the Env included, as a file has them."""
        return written_settings(self.env.settings_of(self.config))

    def pin(self) -> Pin:
        """Pin the present state for a reader; ends with the store at the latest."""
        return Pin(self.write_path)

    def close(self, timeout: float) -> None:
        """Stop everything, within about ``timeout`` seconds if workers are busy. Idempotent.

        Nothing is flushed: the log holds every write. An unfinished job is abandoned and done again another time.
        """
        with self.whole_lock:
            if self.closed:
                return
            _open_stores().discard(self)
            try:
                self.watch.closing()
                self.maintenance.close()
                self.env.background.unwatch(self.watch.publish)
                self.env.ticker.remove(self._tick)
                self.env.memtable_budget.leave(self._memtables)
                self.env.pacer.forget(self)
                if self.owns_env:
                    self.env.close(timeout)
                if not self.config.read_only and self.config.wal_sync != "none" and self.write_path.usable:
                    self.write_path.sync()
            except Exception:
                self._end(timeout)
                raise
            # Not after an interrupt: then another close does all of it, as each step may be done again.
            self._end(timeout)

    def _end(self, timeout: float) -> None:
        """Give everything back once nothing uses it any more."""
        if not self.maintenance.wait_quiet(timeout):
            self.watch.close()
            self.closed = True
            raise TimeoutError(
                f"{self.fs.path}: background work is still changing the store after {timeout} s; "
                "its lock is kept until this process ends"
            )
        self._give_back()
        self.closed = True

    def _give_back(self) -> None:
        """Close every part that there is, whatever the others raise; the lock last but one."""
        with ExitStack() as stack:
            stack.callback(self.fs.shut)
            stack.callback(self.lock.close)
            stack.callback(self.watch.close)
            stack.callback(self.version_set.close)
            stack.callback(self.tables.close, _closed_error)
            if self.log is not None:
                stack.callback(self.log.close)
            if hasattr(self, "write_path"):
                stack.callback(self.write_path.close)

    def forget(self) -> None:
        """In a forked child: give back the lock's descriptor and raise at every use. Touches nothing on disk."""
        self.closed = True
        self.whole_lock = threading.RLock()  # A thread of the parent may have held the old one.
        pid = os.getppid()

        def make_error() -> ForkedHandleError:
            return ForkedHandleError(
                f"this store was opened by process {pid}, which forked this one; a store has one owner: open it "
                "after the fork, for example in gunicorn's post_fork or Celery's worker_process_init"
            )

        self.write_path.forked(make_error)
        self.maintenance.forked(make_error())
        self.watch.forked()
        self.tables.forked(make_error)
        if self.log is not None:
            self.log.forked()
        self.lock.forget()

    def _memtable_rotated(self) -> None:
        if self._ready:
            self.maintenance.memtable_rotated()
        if self.env.kind == "inline":
            # There is no ticker to do it. A failure is the store's; the write that led here has been committed.
            with suppress(Error):
                self._sync_if_due()
            self.watch.write_log()

    def _flush_leftovers(self) -> None:
        """Put what was replayed into one table, so that the log does not grow by a segment at each opening."""
        try:
            self.write_path.rotate()
            self.maintenance.flush_here()
        except Error as error:
            _log.warning("the replayed log could not be flushed at open, it will be tried again: %s", error)

    def _wait_inline(self, condition: threading.Condition, seconds: float) -> None:
        """Wait for the backlog to shrink where no other thread shrinks it: try what failed again in between."""
        self.maintenance.wake()
        condition.wait(min(seconds, _INLINE_WAIT_SECONDS))

    def _has_many_small_segments(self, replayed: tuple[ReplayedSegment, ...]) -> bool:
        """Whether the log is made of leftovers: each opening that writes a little and closes leaves a segment."""
        few_bytes = sum(segment.end.end for segment in replayed) < self.config.memtable_max_bytes // 4
        return len(replayed) > _MANY_SEGMENTS and few_bytes

    def _active_bytes(self) -> int:
        return self.log.bytes if self.log is not None else 0

    def _memtable_bytes(self) -> int:
        waiting = sum(end.end for immutable in self.write_path.view.immutables for end in immutable.segments)
        return self._active_bytes() + waiting

    def _rotate_for_others(self) -> None:
        if self.write_path.view.entries:
            self.write_path.rotate()

    def _tick(self) -> None:
        if self.log is not None:
            ingested = self.log.rotated_bytes + self.log.current.end
            self.env.pacer.observe(self, Load(ingested, self.tree.debt_bytes, self.controller.stall.excess))
        try:
            self._sync_if_due()
            self.maintenance.tick()
            self.maintenance.tick_idle()
        finally:
            self.watch.tick(self.controller.failure)

    def _pulse(self) -> object:
        """Something that differs from before whenever the store has done anything, or is doing it."""
        running = self.statistics.uptime_seconds if self.maintenance.running else 0.0
        return (self.write_path.last_sequence, self.statistics.reads, self.env.rate_limiter.bytes_per_second, running)

    def _sync_if_due(self) -> None:
        now = time.monotonic()
        if self.config.wal_sync == "interval" and now - self._synced_at >= self.config.wal_sync_interval_ms / 1000:
            self._synced_at = now
            if self.log is not None and self.log.dirty and self.write_path.usable:
                self.write_path.sync()

    def _droppable_below(self) -> int:
        """Tombstones of a lower sequence number are old enough to go: sequence numbers are wall clock times."""
        seconds = self.config.tombstone_retention_seconds
        return max(0, self.fs.now_ns() - seconds * 1_000_000_000) if seconds else _NO_RETENTION


def _closed_error() -> ClosedError:
    return ClosedError("the store is closed; open it again with lsmproc.open()")


@cache
def _open_stores() -> weakref.WeakSet[StoreParts]:
    """All open stores of this process; made with the first, together with the hook that a fork calls."""
    stores: weakref.WeakSet[StoreParts] = weakref.WeakSet()

    def forget_all() -> None:
        for parts in list(stores):
            parts.forget()
        stores.clear()

    os.register_at_fork(after_in_child=forget_all)
    return stores


def check_arguments(config: object, env: object, lock_wait_seconds: object) -> None:
    """Raise TypeError or ValueError before anything is made on disk."""
    if not isinstance(config, LSMConfig):
        raise TypeError(f"config is an LSMConfig, not {type(config).__name__}; make one with LSMConfig(data_dir=...)")
    if env is not None and not isinstance(env, Env):
        raise TypeError(f"env is an lsmproc.Env or None, not {type(env).__name__}")
    checked_timeout(lock_wait_seconds, "lock_wait_seconds")


def close_forgotten(parts: StoreParts, path: str) -> None:
    """Close a store that was dropped, or that is still open when the program ends."""
    if parts.closed:
        return
    try:
        warnings.warn(f"<LSMStore {path!r}> was not closed", ResourceWarning, stacklevel=2)
    finally:
        if threading.current_thread().name.startswith("lsmproc"):
            # Collected on a thread that closing would wait for.
            threading.Thread(target=parts.close, args=(CLOSE_SECONDS,), daemon=True).start()
        else:
            parts.close(CLOSE_SECONDS)
