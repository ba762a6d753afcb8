"""How a write becomes part of the store, step by step.

1. the caller has checked the types and sizes of the whole call;
2. a sequence number is reserved: u64, strictly increasing, ``max(previous + 1, wall clock in ns)``;
3. the log takes one frame, in one ``pwrite``;
4. if asked, the log is synced, one ``fdatasync`` for every writer that waits at that moment;
5. the memtable takes the records;
6. the sequence number is published: snapshots taken from here on see the write.

A write that raises before step 3 is done left nothing. An exception between 3 and 6 (KeyboardInterrupt and MemoryError
may come at any instruction) completes the steps up to 6: the caller sees the exception, and the store the write. Where
that is not possible, for want of memory or while one segment follows another, it becomes the store's failure, and the
next open finds everything in order.

Most writes run steps 2 to 6 under one lock, the mutex, alone. While a writer syncs, or writes are stalled, the others
queue as in LevelDB: the first leads, commits everything queued behind it in one group, and hands the lead on. A leader
that an exception takes away hands on what it has not finished: what is in the log already is published, and waits
for its sync only. The mutex is never held over a sync: no reader waits for the disk.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lsmproc.errors import ClosedError, Error, StorageError, copy_of
from lsmproc.formats.log_format import delete_body, put_body
from lsmproc.memtable.obsolete_entries import FREED_PER_PUT, free_entries
from lsmproc.reading.live_snapshots import LiveSnapshots
from lsmproc.reading.read_view import ClosedView, ImmutableMemtable, ReadView
from lsmproc.writing.commit import Commit, Company, take_group

if TYPE_CHECKING:
    from lsmproc.protocols import Memtable, Wal
    from lsmproc.storage.version import Version
    from lsmproc.writing.log_segments import LogSegments
    from lsmproc.writing.write_controller import WriteController

_INCOMPLETE = "the log and the memtable could not be made equal after an interrupt; open the store again"
_MOST_MEMTABLES = 4  # bytes of a segment, in full memtables, at which writes that cannot rotate it are refused
_TURN_SECONDS = 1.0  # how long a writer waits before it looks whether its leader has left without a word


class WritePath:
    """The log and the memtable of one store, and the current view. Thread-safe.

    Attributes:
        view: the current state to read from; swapped whole.
        last_sequence: sequence number of the newest published write.
        obsolete: entries of flushed memtables that nobody reads any more: each write frees a few. Add at any time.
    """

    def __init__(
        self,
        log: LogSegments | None,
        view: ReadView,
        last_sequence: int,
        controller: WriteController,
        *,
        now_ns: Callable[[], int],
        new_memtable: Callable[[], Memtable],
        memtable_max_bytes: int,
        on_rotate: Callable[[], None],
    ) -> None:
        """Write to ``log``. Without one the store is read-only: ``fail`` must be called before any write can come."""
        self.view: ReadView = view
        self.last_sequence: int = last_sequence
        self.obsolete: deque[dict[Any, Any]] = deque()
        self._mutex = threading.Lock()
        self._now_ns = now_ns
        self._new_memtable = new_memtable
        self.memtable_max_bytes = memtable_max_bytes
        self._controller = controller
        self._on_rotate = on_rotate
        self._clear = True  # False sends every write through the queue: stalled, led by another, or not usable.
        self._failure: Error | None = None
        self._overfull: Error | None = None  # why there is no rotation, if the segment is far past its size
        self._incomplete = StorageError(errno.EINTR, _INCOMPLETE)  # When it is needed there may be no memory.
        self._queue: deque[Commit] = deque()
        self._company = Company()
        self._group: list[Commit] = []  # what the leader has taken out of the queue and not finished
        self._leader: Commit | None = None
        self._snapshots = LiveSnapshots()
        self._entries = view.entries
        if log is not None:
            self._log = log
            self._wal: Wal = log.current
            # What was replayed counts: a memtable that is full already is sealed by the first write.
            self._rotate_at = memtable_max_bytes - sum(segment.end for segment in log.finished)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Commit one record without a sync of its own; see ``commit``, which this is a short way through."""
        rotated = False
        with self._mutex:
            clear = self._clear
            if clear:
                if self.obsolete:
                    free_entries(self.obsolete, FREED_PER_PUT)
                sequence = self._now_ns()
                if sequence <= self.last_sequence:
                    sequence = self.last_sequence + 1
                entry: tuple[object, ...] = (sequence, value)
                if self._snapshots.newest:
                    entry = self._snapshots.linked(entry, self._entries.get(key))
                try:
                    body = delete_body(sequence, key) if value is None else put_body(sequence, key, value)
                    end = self._wal.append(body, sequence)
                    self._entries[key] = entry
                    self.last_sequence = sequence
                except BaseException:
                    # Nothing else gets in if this does not come to its end.
                    self._failure, self._clear = self._incomplete, False
                    if self._wal.last_sequence == sequence:
                        self._entries[key] = entry
                        self.last_sequence = sequence
                    if not self._wal.doubtful:
                        self._failure = None
                    self._settle_clear()
                    raise
                if end >= self._rotate_at:
                    rotated = self._rotate()
        if not clear:
            self.commit([key], [value], sync=False)
        elif rotated:
            self._on_rotate()

    def commit(
        self, keys: list[bytes], values: list[bytes | None], *, sync: bool, timeout: float | None = None
    ) -> None:
        """Commit records as one, under one sequence number; None is a tombstone. REQUIRES: checked arguments.

        ``timeout``: seconds to wait while writes are stalled, None for as long as it takes, 0 to refuse.
        Raises what ``LSMStore.put`` raises, and WriteStallTimeout: nothing was written then.
        """
        if not keys:
            return
        commit = Commit(keys, values, sync=sync)
        if not sync:
            rotated = False
            with self._mutex:
                if self._clear:
                    commit.abandoned = True  # Whoever finds this in the lead finds it interrupted.
                    self._leader, self._group, self._clear = commit, [commit], False
                    try:
                        self._append(commit)
                        rotated = self._publish(self._group)
                        self._group, self._leader = [], None
                        self._settle_clear()
                    except BaseException:
                        self._hand_on(commit)
                        raise
                    commit.done = True
            if rotated:
                self._on_rotate()
        if not commit.done:
            if self._controller.engaged:
                deadline = None if timeout is None else time.monotonic() + timeout
                self._controller.wait(commit.size, deadline=deadline, refuse=timeout == 0)
            self._take_turn(commit)
        commit.raise_error()

    def rotate(self) -> None:
        """Seal the memtable now, if it holds anything: an empty commit in the queue. Raises what ``commit`` raises."""
        self._take_turn(commit := Commit([], [], sync=False))
        commit.raise_error()

    def _take_turn(self, commit: Commit) -> None:
        """Queue, and lead a group or be led; the commit is done afterwards, one way or the other."""
        try:
            with self._mutex:
                self._relieve()
                self._check_usable()
                self._queue.append(commit)
                self._leader = self._leader or commit
                leads = self._leader is commit
                self._clear = False
            while not leads and not commit.turn.acquire(timeout=_TURN_SECONDS):
                with self._mutex:
                    self._relieve()
            rotated = not commit.done and self._lead(commit)
        except BaseException:
            commit.abandoned = True
            with self._mutex:
                self._hand_on(commit)
            raise
        if rotated:
            self._on_rotate()

    def _lead(self, leader: Commit) -> bool:
        """Commit what is queued, in order, and hand the lead on; True if the memtable was rotated."""
        if leader.sync:
            self._company.gather(self._queue)
        with self._mutex:
            take_group(self._queue, self._group)
            relieved = self._overfull is not None and self._rotate()
            for commit in self._group:
                self._append(commit)
            wal = self._wal
        durable_end = self._sync_group(wal)
        with self._mutex:
            try:
                rotated = self._publish(self._group, durable_end)
                self._company.finish(self._group, self._queue)
            finally:
                # Before the mutex is free: a snapshot of half a commit would miss what it replaced.
                self._hand_on(leader)
        return rotated or relieved

    def _hand_on(self, commit: Commit) -> None:
        """Let go of the place in the queue and, if ``commit`` leads, of the group and the lead. REQUIRES: mutex.

        Any part of it may be done already: an interrupted leader runs it again from the start.
        """
        if self._leader is commit:
            self._insert(self._group)
            for each in reversed(self._group):
                if each.done:
                    each.wake()
                elif not each.abandoned and each not in self._queue:
                    self._queue.appendleft(each)
            self._group = []
        if commit in self._queue:
            self._queue.remove(commit)
        if self._leader is commit:
            self._leader = self._queue[0] if self._queue else None
        if self._leader is not None and not self._group:
            self._leader.wake()
        self._settle_clear()

    def _relieve(self) -> None:
        """Hand on for leaders that have left and could not, for want of memory. REQUIRES: mutex."""
        while self._leader is not None and self._leader.abandoned:
            self._hand_on(self._leader)

    def _append(self, commit: Commit) -> None:
        """Steps 2 and 3 for one commit. An error is the commit's own: the log is as before. REQUIRES: mutex."""
        # A failure came while this commit waited: after a failed sync nothing may be taken for durable any more.
        if (failure := self._failure or (self._overfull if commit.keys and not commit.sequence else None)) is not None:
            commit.error = commit.error or copy_of(failure)
        if not commit.keys or commit.sequence or commit.error is not None:
            return
        free_entries(self.obsolete, len(commit.keys))
        # Commits of one group are published together, so the log's own last number counts, not the published one.
        sequence = max(self._now_ns(), self._wal.last_sequence + 1, self.last_sequence + 1)
        try:
            commit.append(self._wal, sequence)
        finally:
            if self._wal.doubtful and not commit.sequence:
                self._failure = self._failure or self._incomplete

    def _sync_group(self, wal: Wal) -> int:
        """Step 4: sync the log if anybody in the group asked for it; a failure is final for the store."""
        if any(commit.sync and commit.sequence and commit.error is None for commit in self._group):
            try:
                return self._log.sync(wal)
            except StorageError as error:
                self.fail(error)
                for commit in self._group:
                    commit.error = copy_of(error)
        return 0

    def _publish(self, group: list[Commit], durable_end: int = 0) -> bool:
        """Steps 5 and 6 for commits in the log; True if the memtable was rotated. REQUIRES: mutex."""
        self._insert(group)
        asking = [commit for commit in group if not commit.keys and self._entries]
        if self._failure is not None:
            for commit in asking:
                commit.error = commit.error or copy_of(self._failure)
            return False
        with suppress(StorageError):  # It is a hint for recovery: with no room for it, nothing is lost.
            self._wal.promise(durable_end)
        return self._rotate(asking) if asking or self._wal.end >= self._rotate_at else False

    def _insert(self, group: list[Commit]) -> None:
        """Steps 5 and 6 for those commits of ``group`` that are in the log and not published. REQUIRES: mutex."""
        for commit in group:
            if commit.error is None and commit.sequence and not commit.published:
                commit.insert(self._entries, self._snapshots)
                self.last_sequence = commit.sequence
                commit.published = True

    def _rotate(self, asking: Sequence[Commit] = ()) -> bool:
        """Begin new ones, or return False if there is no room: only those ``asking`` are told. REQUIRES: mutex."""
        try:
            ends = self._log.rotate(self.last_sequence)
            view = self.view.with_rotated(self._new_memtable(), ImmutableMemtable(self.view.memtable, ends))
            self._rotate_at, self._overfull = self.memtable_max_bytes, None
            self.view = view
            self._entries = view.entries
            self._log.finished = []
            self._wal = self._log.current  # Last: until then the sealed one tells that this was interrupted.
        except BaseException as error:
            if self._wal.sealed:
                # What was committed is safe, but nothing can follow it.
                self._failure, self._clear = self._failure or self._incomplete, False
            self._rotate_at = self._wal.end + (self.memtable_max_bytes >> 4)
            if not isinstance(error, StorageError):
                raise
            if self._wal.end > _MOST_MEMTABLES * self.memtable_max_bytes:
                self._overfull, self._clear = copy_of(error), False
            for commit in asking:
                commit.error = copy_of(error)
            return False
        return True

    def sync(self) -> None:
        """Make every write published before the call durable. Raises DurabilityError, StorageError: both final."""
        with self._mutex:
            self._check_usable()
            wal = self._wal
        try:
            durable_end = self._log.sync(wal)
        except StorageError as error:
            self.fail(error)
            raise
        with self._mutex:
            if wal is self._wal and self._failure is None:
                with suppress(StorageError):  # As in _publish.
                    wal.promise(durable_end)

    def install(self, version: Version, flushed: ImmutableMemtable | None = None) -> None:
        """Make ``version`` the one that reads see, and drop the memtable whose table it contains."""
        with self._mutex:
            if isinstance(self.view, ReadView):
                self.view = self.view.with_version(version, flushed)

    def live_segments(self, besides: ImmutableMemtable) -> tuple[tuple[int, int], ...]:
        """(number, synced end) of the segments that are needed once the memtable ``besides`` is in a table."""
        with self._mutex:
            ends = [end for each in self.view.immutables if each is not besides for end in each.segments]
            # After an interrupted rotation the segments of ``besides`` may count as those of the memtable as well.
            return self._log.live_segments(ends, besides.segments)

    def take_snapshot(self, token: object) -> tuple[ReadView, int]:
        """The current view and its sequence number, kept until ``token`` is released. Raises ClosedError."""
        with self._mutex:
            if not isinstance(self.view, ReadView):
                self._check_usable()
            self._relieve()
            return self.view, self._snapshots.take(self.last_sequence, token)

    def release_snapshot(self, token: object) -> None:
        """See LiveSnapshots.release."""
        self._snapshots.release(token)

    def take_obsolete(self) -> deque[dict[Any, Any]]:
        """Take away what is left of ``obsolete``: no writer holds any of it afterwards."""
        with self._mutex:
            taken, self.obsolete = self.obsolete, deque()
        return taken

    @property
    def snapshots(self) -> tuple[int, ...]:
        """Sequence numbers of the live snapshots and iterators, oldest first."""
        with self._mutex:
            return self._snapshots.sequences()

    @property
    def usable(self) -> bool:
        """Whether writes are taken: the store is open, writable and has not failed."""
        return self._failure is None

    def stall_changed(self) -> None:
        """Look again whether writes may pass freely."""
        with self._mutex:
            self._settle_clear()

    def fail(self, failure: Error) -> None:
        """Refuse all writes from now on with ``failure``; the first one given stays. Reads go on."""
        self._failure, self._clear = self._failure or failure, False  # At once, should the rest be interrupted.
        with self._mutex:
            self._failure = failure = self._failure or failure
            self._settle_clear()
        self._controller.abort(lambda: copy_of(failure))

    def close(self) -> None:
        """Refuse reads and writes from now on; those under way end. Idempotent."""
        closed = ClosedError("the store is closed; open it again with lsmproc.open()")
        with self._mutex:
            self._failure, self._clear, self.obsolete = closed, False, deque()
            self.view = ClosedView(lambda: copy_of(closed))  # type: ignore[assignment]
        self._controller.abort(lambda: copy_of(closed))

    def forked(self, make_error: Callable[[], Error]) -> None:
        """In a forked child: raise at every use. Locks may be held by threads of the parent, so they are replaced."""
        self._failure, self._clear = make_error(), False
        self._mutex = threading.Lock()
        self.view = ClosedView(make_error)  # type: ignore[assignment]

    def _settle_clear(self) -> None:
        self._clear = not (self._failure or self._overfull or self._leader or self._controller.engaged)

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise copy_of(self._failure)
