"""The state that a follower shows: a view of tables and memtables that moves forward, step by step.

One step, under a lock, in this order:

1. the manifest is read on. What it says was durable before the files that it needs no more were removed;
2. the tables that it names are held open, and the log is read on, see ``followed_log.py``. If a file is gone, the owner
   has recorded a newer version before it removed it: back to 1. If there is none, the file is missing: damage;
3. a new view takes the place of the old one, as a whole: flushed memtables leave it when their table comes;
4. tables that no view needs any more are closed.

Every state so shown is one that the owner had between two writes, and the log is never read backwards, so a later
state holds all of an earlier one. A log that ends before what was shown already (the disk lost it, or somebody put an
older copy in its place) raises, and the follower stays where it is.
"""

from __future__ import annotations

import errno
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lsmproc.errors import DAMAGE_REMEDY, ClosedError, CorruptionError, Error, StorageError
from lsmproc.follower.followed_log import FollowedLog
from lsmproc.formats.file_names import parse_file_name, table_name
from lsmproc.memtable.dict_memtable import DictMemtable
from lsmproc.reading.live_snapshots import LiveSnapshots
from lsmproc.reading.read_view import ClosedView, ImmutableMemtable, ReadView
from lsmproc.storage.followed_directory import FollowedDirectory
from lsmproc.storage.manifest_tail import ManifestTail
from lsmproc.storage.open_file import OpenFiles
from lsmproc.storage.table_cache import TableCache
from lsmproc.storage.version import Version

if TYPE_CHECKING:
    from lsmproc.storage.block_cache import BlockCache
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.row_cache import RowBudget

_ATTEMPTS = 200  # at a store that changes while it is being read
_THOROUGH_SECONDS = 1.0
_UNBOUNDED = 1 << 62  # What is held open anyway needs no bound of its own.


class FollowedStore:
    """What another process writes, as far as it was read. Thread-safe.

    Attributes:
        view: the state to read from; swapped whole.
        last_sequence: of the newest write that the view shows.
        refreshes: how often the view has changed.
    """

    def __init__(
        self,
        fs: FileSystem,
        block_cache: BlockCache,
        row_budget: RowBudget,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the store in ``fs`` to its present end; ``fs`` is shut with this object, or if this raises.

        Raises NotAStoreError, CorruptionError, StorageError.
        """
        self._lock = threading.Lock()
        self._clock = clock
        self._snapshots = LiveSnapshots()
        self._held: weakref.WeakSet[Version] = weakref.WeakSet()  # whose tables are held open
        self._holds_more = False  # tables that the present version does not name
        self._thorough_at = 0.0
        self._openings = 0  # of manifests, whose log was looked at
        self._settled = False  # whether the view shows all that the last look has found
        self._ended: Callable[[], Error] | None = None
        self._blank = DictMemtable()
        self.last_sequence: int = 0
        self.refreshes: int = 0
        with ExitStack() as undo:
            undo.callback(fs.shut)
            self._directory = FollowedDirectory(fs)
            undo.callback(self._directory.shut)
            self._tables = TableCache(self._directory, block_cache, OpenFiles(_UNBOUNDED))
            undo.callback(self._tables.close, closed_error)
            self._manifest = ManifestTail(self._directory)
            undo.callback(self._manifest.close)
            self._log = FollowedLog(self._directory, self._manifest.store_uuid, self._snapshots)
            undo.callback(self._log.close)
            self.view: ReadView = ReadView(self._blank, (), Version(), self._tables.reader, row_budget.make_cache())
            self.refresh(thorough=True)
            undo.pop_all()

    def refresh(self, *, thorough: bool, wait: bool = True) -> None:
        """Show all that the owner has written before this call.

        ``thorough``: look for what costs no write but space, too: tables that were replaced. Without, a look that
        finds nothing is two system calls. Unless ``wait``, return at once if another thread is at it.

        Raises NotAStoreError if the store is gone, CorruptionError, StorageError, ClosedError; the view stays then.
        """
        if not wait and self._lock.locked():
            return
        with self._lock:  # Not acquired by hand: an interrupt between that and a try would keep it for good.
            self._check_open()
            if thorough or not self._settled or not self._manifest.is_live or self._log.has_more():
                self._step(thorough=thorough)

    def newest_sequence(self) -> int:
        """Sequence number of the newest write that its owner has logged, shown or not. Raises as ``refresh``."""
        with self._lock:
            self._check_open()
            self._settled = False  # What is read of the manifest here is not shown.
            version = self._manifest.read()
            if self._manifest.openings != self._openings and self._is_older(version):
                raise self._lost()
            return max(version.last_sequence, self._log.newest_sequence(), self.last_sequence)

    def take_snapshot(self, token: object) -> tuple[ReadView, int]:
        """The view and its sequence number, kept until ``token`` is released. Raises ClosedError."""
        with self._lock:
            self._check_open()
            if self._log.entering:
                self._step(thorough=False)  # Only whole writes can be kept.
            return self.view, self._snapshots.take(self.last_sequence, token)

    def release_snapshot(self, token: object) -> None:
        """See LiveSnapshots.release."""
        self._snapshots.release(token)

    @property
    def snapshots(self) -> tuple[int, ...]:
        """Sequence numbers of the live snapshots and iterators, oldest first."""
        with self._lock:
            return self._snapshots.sequences()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._ended is not None

    @property
    def held_tables(self) -> int:
        """How many tables are held open, for this view and for older ones that somebody reads."""
        return len(self._directory.held)

    @property
    def segments(self) -> int:
        """How many log segments the view shows."""
        return len(self._log.segments)

    def close(self) -> None:
        """Give everything back; whatever still reads raises ClosedError. Idempotent."""
        with self._lock:
            self._end(closed_error)

    def forked(self, make_error: Callable[[], Error]) -> None:
        """In a forked child: raise at every use, and give back the child's descriptors."""
        self._lock = threading.Lock()  # A thread of the parent may have held the old one.
        self._directory.forked()
        self._tables.forked(make_error)
        self._end(make_error)

    def _end(self, make_error: Callable[[], Error]) -> None:
        if self._ended is not None:
            return
        self._ended = make_error
        self.view = ClosedView(make_error)  # type: ignore[assignment]
        with ExitStack() as stack:
            stack.callback(self._directory.shut)
            stack.callback(self._tables.close, make_error)
            stack.callback(self._manifest.close)
            stack.callback(self._log.close)

    def _check_open(self) -> None:
        if self._ended is not None:
            raise self._ended()

    def _step(self, *, thorough: bool) -> None:
        """Steps 1 to 4. What is entered before an exception counts: those who read without the lock see it."""
        shown = self._log.segments[-1].tail if self._log.segments else None
        try:
            self._step_on(thorough=thorough)
        except BaseException:
            if shown is not None and not self._log.entering:
                self.last_sequence = max(self.last_sequence, shown.last_sequence)
            raise

    def _step_on(self, *, thorough: bool) -> None:
        search = thorough and self._clock() >= self._thorough_at
        self._settled = False
        tried: Version | None = None
        missing: CorruptionError | None = None
        for _ in range(_ATTEMPTS):
            version = self._manifest.read()
            if missing is not None and version is tried:
                raise missing
            tried = version
            try:
                if version not in self._held:
                    self._directory.hold(table_name(file.number) for _, file in version.files())
                    self._held.add(version)
                if self._manifest.openings != self._openings:
                    if self._is_older(version):
                        raise self._lost()
                    self._openings = self._manifest.openings
                self._log.catch_up(version, thorough=search)
            except FileNotFoundError as error:
                missing = CorruptionError(f"the file is missing; {DAMAGE_REMEDY}", file=str(error.filename))
                continue
            self._settled = self._show(version) and not self._log.pending
            if search:
                self._thorough_at = self._clock() + _THOROUGH_SECONDS
            return
        raise StorageError(errno.EAGAIN, "the store changes faster than it can be followed", self._directory.path)

    def _show(self, version: Version) -> bool:
        """Steps 3 and 4; False if there is not enough of the log yet to show no less than before."""
        newest = max(version.last_sequence, self._log.last_sequence)
        if newest < self.last_sequence:
            if self._log.pending:
                return False
            raise self._lost()
        memtables = [segment.memtable for segment in self._log.segments] or [self._blank]
        below = tuple(memtable for memtable in reversed(memtables[:-1]) if memtable.entries)
        changed = version is not self.view.version
        if changed or (memtables[-1], *below) != self._shown_memtables():
            immutables = tuple(ImmutableMemtable(memtable, ()) for memtable in below)
            rows = (
                self.view.row_cache if _same_records(version, self.view.version) else self.view.row_cache.after_flush()
            )
            self.view = ReadView(memtables[-1], immutables, version, self._tables.reader, rows)
        if newest > self.last_sequence:
            self.last_sequence = newest
            self.refreshes += 1
        if changed or self._holds_more:
            self._let_go(version)
        return True

    def _is_older(self, version: Version) -> bool:
        """Whether the files are of an earlier time than what is shown. Raises FileNotFoundError, StorageError."""
        return version.epoch < self.view.version.epoch or not self._log.is_in_place(version)

    def _lost(self) -> CorruptionError:
        return CorruptionError(
            f"the store no longer holds what this follower has shown, up to write {self.last_sequence}: the disk lost "
            "it, or older files were put in place; open another follower to see what there is",
            file=self._directory.path,
        )

    def _shown_memtables(self) -> tuple[object, ...]:
        return (self.view.memtable, *(immutable.memtable for immutable in self.view.immutables))

    def _let_go(self, version: Version) -> None:
        """Close the tables that nobody can read any more: no view that is still in use names them."""
        present = {table_name(file.number) for _, file in version.files()}
        named = {table_name(file.number) for each in list(self._held) for _, file in each.files()}
        unnamed = self._directory.held - named - present
        for number in [parsed[1] for parsed in map(parse_file_name, unnamed) if parsed]:
            self._tables.drop(number)
        self._directory.release(unnamed)
        self._holds_more = not self._directory.held <= present


def closed_error() -> ClosedError:
    """What a closed follower raises."""
    return ClosedError("the follower is closed; open another one with lsmproc.open_follower()")


def _same_records(version: Version, before: Version) -> bool:
    """Whether the tables hold the same newest records as before: compactions only move them."""
    return (version.last_sequence, version.log_number, version.epoch) == (
        before.last_sequence,
        before.log_number,
        before.epoch,
    )
