"""The log segments of one store as it runs: the one being written, a spare, and finished ones not yet in a table.

A rotation takes the spare, which was made and allocated off the write path, or makes a new file when there is none
(writes then came faster than spares). Finished segments stay open until they are synced or their records are
durable in a table: a sync always covers every segment before, so that a durable commit implies all commits before it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from lsmproc.errors import DurabilityError, StorageError, copy_of
from lsmproc.formats.log_format import HEADER_SIZE, KIND_WAL, LogHeader
from lsmproc.statistics.latency import Histogram

if TYPE_CHECKING:
    from lsmproc.formats.messages import SegmentEnd
    from lsmproc.protocols import Wal
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.version_set import FileNumbers
    from lsmproc.storage.wal_recovery import ReplayedSegment

# A segment made in a hurry has room for its header: with that in place, a full disk cannot end a rotation half-way.
_HURRIED_SEGMENT_BYTES = 4096

NewWal = Callable[["FileSystem", int, int], "Wal"]


class LogSegments:
    """Makes, syncs and closes segments. ``sync`` and ``prepare_spare`` may run beside everything else.

    Attributes:
        current: the segment being written.
        finished: ends of the segments under the memtable that are not written any more, oldest first.
        syncs: how often the log was synced.
        segment_bytes: room that spares are made with; may be changed at any time.
        rotated_bytes: bytes of all segments that were sealed since the opening.
        sync_times: how long that took.
    """

    def __init__(
        self,
        fs: FileSystem,
        store_uuid: bytes,
        current: Wal,
        replayed: Iterable[ReplayedSegment],
        *,
        last_sequence: int,
        numbers: FileNumbers,
        new_wal: NewWal,
        segment_bytes: int,
    ) -> None:
        """Begin ``current``, whose file is there already, behind the ``replayed`` segments."""
        self.current: Wal = current
        self.syncs: int = 0
        self.segment_bytes: int = segment_bytes
        self.rotated_bytes: int = 0
        self.sync_times: Histogram = Histogram()
        self._fs = fs
        self._store_uuid = store_uuid
        self._numbers = numbers
        self._new_wal = new_wal
        self._unsynced: list[Wal | ReplayedSegment] = list(replayed)  # finished, oldest first
        self.finished: list[SegmentEnd] = [segment.end for segment in replayed]
        self._spare: Wal | None = None
        self._newest_number = current.number  # of the current segment, or of the one that a rotation goes to
        self._closed = False
        self._trusted = True  # whether the kernel has written what it was told to
        self._failure: StorageError | None = (
            None  # of a sync; the kernel tells of it once, and says yes to the next one
        )
        self._name_unsynced = True  # the current segment's name may not survive power loss yet
        self._sync_lock = threading.Lock()  # held over syncs, and to close what might be being synced
        self._spare_lock = threading.Lock()  # held for an instant
        self._begin(current, self.finished[-1] if self.finished else None, last_sequence)

    @property
    def bytes(self) -> int:
        """Bytes of the segments under the memtable."""
        return self.current.end + sum(segment.end for segment in self.finished)

    def live_segments(
        self, waiting: Iterable[SegmentEnd], besides: Iterable[SegmentEnd]
    ) -> tuple[tuple[int, int], ...]:
        """(number, synced end) of those that are ``waiting`` for a flush and those under the memtable, oldest first.

        But for those that are one of ``besides``. REQUIRES: nobody rotates.
        """
        # A sync beside this may take segments out of the list, but only once it has synced them.
        unsynced = {wal.number: wal.synced_end for wal in tuple(self._unsynced)}
        ends = {end.number: end.end for end in (*waiting, *self.finished) if end not in besides}
        finished = [(number, unsynced.get(number, end)) for number, end in sorted(ends.items())]
        return (*finished, (self.current.number, self.current.synced_end))

    @property
    def dirty(self) -> bool:
        """Whether anything in the log is not known to be durable."""
        return bool(self._unsynced) or self.current.end > max(self.current.durable_end, HEADER_SIZE)

    def rotate(self, last_sequence: int) -> tuple[SegmentEnd, ...]:
        """Seal the current segment and begin the next; returns the ends of all that are under the memtable.

        They stay there until the caller has sealed the memtable as well and empties ``finished``.

        The header that follows the seal is written before it, so that all that can fail comes first: until the seal
        is there, that header follows nothing, and a replay leaves its segment out.

        REQUIRES: nobody appends. Raises StorageError, if there is no room: then nothing has changed. Only an
        interrupt can leave ``current`` sealed; the log cannot go on then before it is opened again.
        """
        with self._spare_lock:
            spare, self._spare = self._spare, None
            number = self._newest_number = self._numbers.take() if spare is None else spare.number
        try:
            if spare is None:
                spare = self._new_wal(self._fs, number, _HURRIED_SEGMENT_BYTES)
                # Only now, or a sync beside this would clear it before there is a name; and before it is current.
                self._name_unsynced = True
            sealed = self.current.seal_end()
            self._begin(spare, sealed, last_sequence)
            ends = (*self.finished, sealed)
            finished = [*ends]
            self.current.seal()
            self._unsynced.append(self.current)
            self.finished = finished
            self.rotated_bytes += sealed.end
            self.current = spare
        except BaseException:
            if self.current.sealed and spare is not None:
                spare.close()  # What is in it must stay: it is the header that follows the seal.
            elif spare is not None:
                self._keep(spare)
            raise
        return ends

    def prepare_spare(self) -> None:
        """Make and allocate the next segment's file, off the write path. Harmless at any time. Raises StorageError."""
        if self._spare is not None or self._closed:
            return
        spare = self._new_wal(self._fs, self._numbers.take(), self.segment_bytes)
        try:
            self._fs.sync_directory()
        except BaseException:
            self._discard(spare)
            raise
        with self._spare_lock:
            # Segments are replayed in the order of their numbers: a spare that was overtaken is of no use.
            wanted = self._spare is None and not self._closed and spare.number > self._newest_number
            if wanted:
                self._spare = spare
        if not wanted:
            self._discard(spare)

    def sync(self, wal: Wal) -> int:
        """Sync every finished segment, oldest first, then ``wal``; returns the end of ``wal`` that this covers.

        Returns 0 if ``wal`` was synced and closed, or flushed, since the caller looked. Raises DurabilityError,
        which is final: every later sync raises it too.
        """
        with self._sync_lock:
            if self._failure is not None:
                raise copy_of(self._failure)
            if wal is not self.current and wal not in self._unsynced:
                return 0
            began = time.perf_counter_ns()
            try:
                self._trusted = False
                while self._unsynced and self._unsynced[0] is not wal:
                    self._unsynced[0].sync()
                    self._unsynced.pop(0).close()
                durable_end = wal.sync()
                if self._name_unsynced:
                    self._sync_name(wal)
            except StorageError as error:
                self._failure = error
                raise
            self.syncs += 1
            self.sync_times.record(time.perf_counter_ns() - began)
            self._trusted = True
            return durable_end

    def forget(self, ends: Iterable[SegmentEnd]) -> None:
        """Close the segments that end so: their records are durable in a table."""
        numbers = {end.number for end in ends}
        with self._sync_lock:
            for wal in [wal for wal in self._unsynced if wal.number in numbers]:
                self._unsynced.remove(wal)
                wal.close()

    def close(self) -> None:
        """Close everything; what was not synced stays in the log. Idempotent."""
        with self._spare_lock:
            self._closed = True  # From here on nobody makes a spare.
        if self._spare is not None:
            self._discard(self._spare)
            self._spare = None
        with self._sync_lock:
            for wal in self._unsynced:
                wal.close()
            self._unsynced.clear()
            # It only gives space back; and what a failed sync left in memory must stay for the next owner as it is.
            with suppress(StorageError):
                if self._trusted:
                    self.current.trim()
            self.current.close()

    def forked(self) -> None:
        """In a forked child: nothing of this is the child's, but its locks may be held by threads that are gone."""
        self._closed = True
        self._sync_lock = threading.Lock()
        self._spare_lock = threading.Lock()

    def _sync_name(self, wal: Wal) -> None:
        """No commit is durable in a file whose name is not.

        A rotation may note another name meanwhile: so the note is cleared before the sync, which covers every name that
        was there when it was cleared.
        """
        try:
            self._name_unsynced = False
            self._fs.sync_directory()
        except BaseException as error:
            self._name_unsynced = True
            if not isinstance(error, StorageError):
                raise
            text = f"the name of a log segment could not be synced: {error.strerror}"
            raise DurabilityError(error.errno, text, wal.name) from error

    def _keep(self, spare: Wal) -> None:
        """Have the next rotation try again with the segment of one that failed, whatever is in its header."""
        with self._spare_lock:
            if spare is not self.current:
                self._spare = spare
                self._name_unsynced = True  # The rotation may not have come as far as to note it.

    def _begin(self, wal: Wal, predecessor: SegmentEnd | None, last_sequence: int) -> None:
        header = LogHeader(KIND_WAL, self._store_uuid, wal.number, secrets.randbits(32))
        if predecessor is not None:
            header = replace(
                header,
                predecessor=predecessor.number,
                predecessor_end=predecessor.end,
                predecessor_checksum=predecessor.checksum,
            )
        wal.begin(header, last_sequence)

    def _discard(self, wal: Wal) -> None:
        wal.close()
        with suppress(StorageError, FileNotFoundError):  # A segment without a header is removed by the next open.
            self._fs.unlink(wal.name)
