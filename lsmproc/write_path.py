"""How a write becomes part of the store, in order:

1. the caller has checked the types and sizes of the whole call;
2. a sequence number is reserved: u64, strictly increasing, ``max(previous + 1, wall clock in ns)``;
3. the log takes one frame, in one ``pwrite``;
4. if asked, the log is synced, one ``fdatasync`` for every writer that waits at that moment;
5. the memtable takes the records;
6. the sequence number is published: snapshots taken from here on see the write.

A write that raises before step 3 is done left nothing. An exception that lands between 3 and 6 (KeyboardInterrupt
and MemoryError may come at any instruction) completes the step in hand, so log and memtable stay equal.

Most writes run steps 2 to 6 under one lock, the mutex, alone. While a writer syncs, or writes are stalled, the
others queue as in LevelDB: the first in the queue leads, commits everything queued behind it in one group, and
hands the lead on. The mutex is never held over a sync, so readers that need it for an instant (a snapshot is
taken, a new version installed) never wait for the disk.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import count, repeat
from typing import TYPE_CHECKING

from lsmproc.errors import BackgroundError, ClosedError, Error, StorageError
from lsmproc.formats.log_format import HEADER_SIZE, KIND_WAL, LogHeader, batch_body, delete_body, put_body
from lsmproc.read_view import ClosedView, ImmutableMemtable, ReadView

if TYPE_CHECKING:
    from lsmproc.formats.messages import SegmentEnd
    from lsmproc.protocols import Memtable, MemtableEntry, Wal
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.version import Version
    from lsmproc.storage.version_set import FileNumbers
    from lsmproc.storage.wal_recovery import ReplayedSegment
    from lsmproc.write_controller import WriteController

# A group ends with the commit that brings it over this, as in RocksDB (max_write_batch_group_size_bytes).
_GROUP_MAX_BYTES = 1 << 20


class WritePath:
    """The log and the memtable of one store, and the current view. Thread-safe.

    Attributes:
        view: the current state to read from; swapped whole.
        last_sequence: sequence number of the newest published write.
        mutex: held to commit, to swap the view and to take a snapshot; never during a sync.
    """

    def __init__(
        self,
        fs: FileSystem,
        *,
        store_uuid: bytes,
        view: ReadView,
        last_sequence: int,
        replayed: tuple[ReplayedSegment, ...],
        wal: Wal | None,
        numbers: FileNumbers,
        new_wal: Callable[[FileSystem, int, int], Wal],
        new_memtable: Callable[[], Memtable],
        memtable_max_bytes: int,
        controller: WriteController,
        on_rotate: Callable[[], None],
    ) -> None:
        """Begin ``wal`` behind the ``replayed`` segments, whose records the view's memtable holds already.

        Without a ``wal`` the store is read-only: :meth:`fail` must be called before any write can come.
        """
        self.view = view
        self.last_sequence = last_sequence
        self.mutex = threading.Lock()
        self._fs = fs
        self._store_uuid = store_uuid
        self._numbers = numbers
        self._new_wal = new_wal
        self._new_memtable = new_memtable
        self._memtable_max_bytes = memtable_max_bytes
        self._controller = controller
        self._on_rotate = on_rotate
        self._clear = True  # False sends every write through the queue: stalled, led by another, or not usable.
        self._failure: Error | None = None
        self._queue: deque[_Commit] = deque()
        self._led = False
        self._snapshots: dict[int, int] = {}  # token to sequence
        self._newest_snapshot = 0  # 0 without a live snapshot: overwritten entries need not be kept
        self._released: deque[int] = deque()  # tokens given back and not yet taken out of _snapshots
        self._tokens = count(1)
        self._sync_lock = threading.Lock()
        self.syncs = 0  # how often the log was synced
        self._unsynced: list[Wal | ReplayedSegment] = list(replayed)  # finished segments, oldest first
        self._segments = [segment.end for segment in replayed]  # under the memtable, without the one being written
        self._spare: Wal | None = None
        self._name_unsynced = True  # the current segment's name may not survive power loss yet
        self._entries = view.entries
        self._wal: Wal = wal  # type: ignore[assignment] - never used while there is none
        if wal is not None:
            self._begin(wal, replayed[-1].end if replayed else None)
        # What was replayed counts: a memtable that is full already is sealed by the first write.
        self._rotate_at = memtable_max_bytes - sum(segment.end for segment in self._segments)

    # Writing

    def put(self, key: bytes, value: bytes) -> None:
        """Commit one record without a sync of its own. REQUIRES: checked arguments."""
        rotated = False
        with self.mutex:
            clear = self._clear
            if clear:
                sequence = self._fs.now_ns()
                if sequence <= self.last_sequence:
                    sequence = self.last_sequence + 1
                entry: MemtableEntry = (sequence, value)
                if self._newest_snapshot:
                    entry = self._linked(key, entry)
                try:
                    end = self._wal.append(put_body(sequence, key, value), sequence)
                    self._entries[key] = entry
                    self.last_sequence = sequence
                except BaseException:
                    if self._wal.last_sequence == sequence:
                        self._entries[key] = entry
                        self.last_sequence = sequence
                    raise
                if end >= self._rotate_at:
                    rotated = self._rotate()
        if not clear:
            self._commit_in_turn(_Commit([key], [value], sync=False))
        elif rotated:
            self._on_rotate()

    def commit(
        self, keys: list[bytes], values: list[bytes | None], *, sync: bool, timeout: float | None = None
    ) -> None:
        """Commit records as one, under one sequence number; None is a tombstone. REQUIRES: checked arguments.

        ``timeout``: seconds to wait while writes are stalled, None for as long as it takes.
        Raises WriteStallTimeout (nothing was written), DurabilityError, NoSpaceError, StorageError, ClosedError.
        """
        if not keys:
            return
        commit = _Commit(keys, values, sync=sync)
        if not sync:
            rotated = False
            with self.mutex:
                if self._clear:
                    self._append(commit)
                    rotated = self._publish([commit])
                    commit.done = True
            if rotated:
                self._on_rotate()
        if not commit.done:
            self._commit_in_turn(commit, timeout)
        if commit.error is not None:
            raise commit.error

    def _commit_in_turn(self, commit: _Commit, timeout: float | None = None) -> None:
        """Wait out a stall, then take a place in the queue."""
        if self._controller.engaged:
            deadline = None if timeout is None else time.monotonic() + timeout
            self._controller.wait(commit.size, deadline=deadline, refuse=timeout == 0)
        self._queue_up(commit)
        if commit.error is not None:
            raise commit.error

    def _queue_up(self, commit: _Commit) -> None:
        """Queue, and lead a group or be led; the commit is done afterwards, one way or the other."""
        with self.mutex:
            self._check_usable()
            self._queue.append(commit)
            leads = not self._led
            self._led = True
            self._clear = False
        if not leads:
            try:
                commit.turn.acquire()
            except BaseException:
                self._leave_queue(commit)
                raise
        if not commit.done:
            self._lead()

    def _lead(self) -> None:
        """Commit what is queued, in order, and hand the lead on."""
        group: list[_Commit] = []
        rotated = False
        try:
            with self.mutex:
                size = 0
                while self._queue and size < _GROUP_MAX_BYTES:
                    group.append(self._queue.popleft())
                    size += group[-1].size
                for commit in group:
                    self._append(commit)
                wal = self._wal
            durable_end = self._sync_group(wal, group)
            with self.mutex:
                rotated = self._publish(group, durable_end)
        finally:
            with self.mutex:
                heir = self._queue[0] if self._queue else None
                self._led = heir is not None
                self._settle_clear()
            for commit in group:
                commit.done = True
                commit.turn.release()
            if heir is not None:
                heir.turn.release()
        if rotated:
            self._on_rotate()

    def _append(self, commit: _Commit) -> None:
        """Steps 2 and 3 for one commit. An error is the commit's own: the log is as before. REQUIRES: mutex."""
        if not commit.keys:
            return
        # Commits of one group are published together, so the log's own last number counts, not the published one.
        sequence = max(self._fs.now_ns(), self._wal.last_sequence + 1, self.last_sequence + 1)
        if len(commit.keys) > 1:
            body = batch_body(sequence, commit.keys, commit.values)
        elif (value := commit.values[0]) is None:
            body = delete_body(sequence, commit.keys[0])
        else:
            body = put_body(sequence, commit.keys[0], value)
        try:
            self._wal.append(body, sequence)
            commit.sequence = sequence
        except BaseException as error:
            if self._wal.last_sequence == sequence:
                commit.sequence = sequence
            if not isinstance(error, StorageError):
                raise
            commit.error = error

    def _sync_group(self, wal: Wal, group: list[_Commit]) -> int:
        """Step 4: sync the log if anybody in the group asked for it; a failure is final for the store."""
        if not any(commit.sync and commit.sequence for commit in group):
            return 0
        try:
            return self._sync_log(wal)
        except StorageError as error:
            self.fail(error)
            for commit in group:
                commit.error = error
            return 0

    def _publish(self, group: list[_Commit], durable_end: int = 0) -> bool:
        """Steps 5 and 6 for commits in the log; True if the memtable was rotated. REQUIRES: mutex."""
        for commit in group:
            if commit.error is not None or not commit.sequence:
                continue
            if self._newest_snapshot:
                for key, value in zip(commit.keys, commit.values, strict=True):
                    self._entries[key] = self._linked(key, (commit.sequence, value))
            else:
                self._entries.update(zip(commit.keys, zip(repeat(commit.sequence), commit.values)))  # noqa: B905
            self.last_sequence = commit.sequence
        if durable_end:
            self._wal.promise(durable_end)
        wanted = any(not commit.keys for commit in group) and bool(self._entries)
        return self._rotate() if wanted or self._wal.end >= self._rotate_at else False

    def _linked(self, key: bytes, entry: MemtableEntry) -> MemtableEntry:
        """``entry`` with a link to the one it replaces, if a live snapshot may still see that. REQUIRES: mutex."""
        if self._released:
            self._forget_released()
        older = self._entries.get(key)
        while older is not None and older[0] > self._newest_snapshot:
            older = older[2] if len(older) > 2 else None  # noqa: PLR2004 - an entry with a link has three fields
        # A batch may name a key twice: the later one replaces the earlier at the same sequence.
        return entry if older is None or older[0] == entry[0] else (*entry, older)

    def _leave_queue(self, commit: _Commit) -> None:
        """An exception hit a writer while it waited: it must not be counted on to lead."""
        with self.mutex:
            if commit.done or commit not in self._queue:
                return  # A leader has it: its outcome is unknown to the caller, but whole.
            was_heir = self._queue[0] is commit and commit.turn.acquire(blocking=False)
            self._queue.remove(commit)
            heir = self._queue[0] if was_heir and self._queue else None
            if was_heir and heir is None:
                self._led = False
                self._settle_clear()
        if heir is not None:
            heir.turn.release()

    # Rotation

    def rotate(self) -> None:
        """Seal the memtable now, if it holds anything: an empty commit, so that it keeps its place among the others."""
        commit = _Commit([], [], sync=False)
        self._queue_up(commit)
        if commit.error is not None:
            raise commit.error

    def prepare_spare(self) -> None:
        """Make and allocate the next segment's file, off the write path. Harmless at any time."""
        if self._spare is None and self._failure is None:
            spare = self._new_wal(self._fs, self._numbers.take(), self._memtable_max_bytes)
            self._fs.sync_directory()
            with self.mutex:
                # Segments are replayed in the order of their numbers: a spare that was overtaken is of no use.
                wanted = self._spare is None and self._failure is None and spare.number > self._wal.number
                if wanted:
                    self._spare = spare
            if not wanted:
                self._discard(spare)

    def _rotate(self) -> bool:
        """Seal the segment and the memtable and start new ones. False if there is no room for a new segment:
        the old one goes on, past its allocated size. REQUIRES: mutex."""
        spare = self._spare
        if spare is None:
            try:
                spare = self._new_wal(self._fs, self._numbers.take(), 0)
            except StorageError:
                self._rotate_at = self._wal.end + (self._memtable_max_bytes >> 4)
                return False
            self._name_unsynced = True
        self._spare = None
        try:
            sealed = self._wal.seal()
            self._begin(spare, sealed)
        except StorageError as error:
            # What was committed is safe, but nothing can follow it in a sealed segment.
            self._failure = error
            self._settle_clear()
            return False
        self._unsynced.append(self._wal)
        self._wal = spare
        immutable = ImmutableMemtable(self.view.memtable, (*self._segments, sealed))
        self._segments = []
        self._rotate_at = self._memtable_max_bytes
        self.view = self.view.with_rotated(self._new_memtable(), immutable)
        self._entries = self.view.entries
        return True

    def _begin(self, wal: Wal, predecessor: SegmentEnd | None) -> None:
        header = LogHeader(
            KIND_WAL,
            self._store_uuid,
            wal.number,
            secrets.randbits(32),
            *((predecessor.number, predecessor.end, predecessor.checksum) if predecessor else (0, 0, 0)),
        )
        wal.begin(header, self.last_sequence)

    # Syncing

    def sync(self) -> None:
        """Make every write published before the call durable. Raises DurabilityError, which is final."""
        with self.mutex:
            self._check_usable()
            wal = self._wal
        try:
            durable_end = self._sync_log(wal)
        except StorageError as error:
            self.fail(error)
            raise
        with self.mutex:
            if wal is self._wal and not self._led:
                wal.promise(durable_end)

    def _sync_log(self, wal: Wal) -> int:
        """Sync every finished segment, oldest first, then ``wal``: a durable commit implies all before it."""
        with self._sync_lock:
            while self._unsynced and self._unsynced[0] is not wal:
                self._unsynced[0].sync()
                self._unsynced.pop(0).close()
            durable_end = wal.sync()
            self.syncs += 1
            if self._name_unsynced:
                # No commit is durable in a file whose name is not.
                self._name_unsynced = False
                self._fs.sync_directory()
            return durable_end

    def forget_segments(self, segments: tuple[SegmentEnd, ...]) -> None:
        """Close the descriptors of segments whose records are durable in a table."""
        numbers = {segment.number for segment in segments}
        with self._sync_lock:
            for wal in [wal for wal in self._unsynced if wal.number in numbers]:
                self._unsynced.remove(wal)
                wal.close()

    # The view

    def install(self, version: Version, flushed: ImmutableMemtable | None = None) -> None:
        """Make ``version`` the one that reads see, and drop the memtable whose table it contains."""
        with self.mutex:
            if self._failure is None or not isinstance(self._failure, ClosedError):
                self.view = self.view.with_version(version, flushed)

    def take_snapshot(self) -> tuple[ReadView, int, int]:
        """The current view, its sequence number, and the token to give back to :meth:`release_snapshot`.

        What view and sequence show together is kept until then.
        """
        with self.mutex:
            self._forget_released()
            token, sequence = next(self._tokens), self.last_sequence
            self._snapshots[token] = sequence
            self._newest_snapshot = max(sequence, 1)
            return self.view, sequence, token

    def release_snapshot(self, token: int) -> None:
        """Stop keeping what a snapshot shows. Takes no lock: the garbage collector may call it at any instruction."""
        self._released.append(token)

    def _forget_released(self) -> None:
        """REQUIRES: mutex."""
        while self._released:
            self._snapshots.pop(self._released.popleft(), None)
        self._newest_snapshot = max(self._snapshots.values(), default=0)

    @property
    def snapshots(self) -> tuple[int, ...]:
        """Sequence numbers of the live snapshots and iterators, oldest first."""
        with self.mutex:
            self._forget_released()
            return tuple(sorted(self._snapshots.values()))

    @property
    def log_bytes(self) -> int:
        """Bytes of the log segments under the memtable."""
        return self._wal.end + sum(segment.end for segment in self._segments)

    def oldest_segment(self, besides: ImmutableMemtable) -> int:
        """Number of the oldest segment that is needed once the memtable ``besides`` is in a table."""
        with self.mutex:
            waiting = [each for each in self.view.immutables if each is not besides]
            if waiting:
                return waiting[-1].segments[0].number
            return self._segments[0].number if self._segments else self._wal.number

    # Trouble and the end

    def stall_changed(self) -> None:
        """Look again whether writes may pass freely."""
        with self.mutex:
            self._settle_clear()

    def fail(self, failure: Error) -> None:
        """Refuse all writes from now on with ``failure``; the first one given stays. Reads go on."""
        with self.mutex:
            self._failure = failure = self._failure or failure
            self._settle_clear()
        self._controller.abort(lambda: _again(failure))

    @property
    def usable(self) -> bool:
        """Whether the log takes writes: the store is open, writable and has not failed."""
        return self._failure is None

    @property
    def dirty(self) -> bool:
        """Whether anything in the log is not known to be durable."""
        wal = self._wal
        return bool(self._unsynced) or wal.end > max(wal.durable_end, HEADER_SIZE)

    def forget(self, make_error: Callable[[], Error]) -> None:
        """In a forked child: the log and all locks belong to the parent; raise at every use."""
        self._failure = make_error()
        self._clear = False
        self.mutex = threading.Lock()  # a thread of the parent may have held the old ones
        self._sync_lock = threading.Lock()
        self._released = deque()
        self.view = ClosedView(make_error)  # type: ignore[assignment]

    def close(self) -> None:
        """Refuse all writes and close the log; what was not synced stays in it. Idempotent."""
        with self.mutex:
            if isinstance(self._failure, ClosedError):
                return
            self._failure = closed = ClosedError("the store is closed; open it again with lsmproc.open()")
            self._settle_clear()
            self.view = ClosedView(lambda: _again(closed))  # type: ignore[assignment]
            spare, self._spare = self._spare, None
        self._controller.abort(lambda: _again(closed))
        if spare is not None:
            self._discard(spare)
        with self._sync_lock:
            for wal in self._unsynced:
                wal.close()
            self._unsynced.clear()
            if self._wal is not None:
                self._wal.trim()
                self._wal.close()

    def _settle_clear(self) -> None:
        self._clear = self._failure is None and not self._led and not self._controller.engaged

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise _again(self._failure)

    def _discard(self, wal: Wal) -> None:
        wal.close()
        self._fs.unlink(wal.name)


class _Commit:
    """One writer's records on their way through the queue."""

    __slots__ = ("done", "error", "keys", "sequence", "size", "sync", "turn", "values")

    def __init__(self, keys: list[bytes], values: list[bytes | None], *, sync: bool) -> None:
        self.keys = keys
        self.values = values
        self.sync = sync
        self.size = sum(map(len, keys)) + sum(map(len, filter(None, values)))
        self.sequence = 0  # once it is in the log
        self.done = False
        self.error: Error | None = None
        self.turn = threading.Lock()  # held until the commit is done, or its writer is to lead
        self.turn.acquire()


def _again(failure: Error) -> Error:
    """A fresh copy of an error that many writers will raise, each with its own traceback."""
    if isinstance(failure, (StorageError,)):
        return type(failure)(failure.errno, failure.strerror, failure.filename)
    if isinstance(failure, BackgroundError):
        return type(failure)(str(failure), job=failure.job, remote_traceback=failure.remote_traceback)
    return type(failure)(*failure.args)
