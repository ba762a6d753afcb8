"""The write-ahead log of a followed store, in memory: the live segments in their order, each with its memtable.

What is read of a segment is never read again. A segment is followed by the one whose header names its number, its end
and its last checksum, whoever wrote that: the same owner, which sealed the one before, or the next owner, which found
it as a dead one had left it. What a killed owner had handed to ``pwrite`` the system still has, so the next owner's log
goes on at the same byte where a reader stands, or behind it.

A last segment without records is tentative and checked again: its owner may begin it anew, and the next owner removes
it, even if there are promises in it.
"""

from __future__ import annotations

from contextlib import closing
from itertools import repeat
from typing import TYPE_CHECKING

from lsmproc.errors import DAMAGE_REMEDY, CorruptionError
from lsmproc.formats.file_names import FileKind, parse_file_name, wal_name
from lsmproc.formats.log_format import KIND_WAL
from lsmproc.memtable.dict_memtable import DictMemtable
from lsmproc.storage.log_tail import LogTail, open_begun

if TYPE_CHECKING:
    from lsmproc.formats.frame_decoding import DecodedFrames
    from lsmproc.protocols import MemtableEntry
    from lsmproc.reading.live_snapshots import LiveSnapshots
    from lsmproc.storage.followed_directory import FollowedDirectory
    from lsmproc.storage.version import Version


class FollowedSegment:
    """One segment of the log and the records that were read of it."""

    __slots__ = ("memtable", "number", "tail")

    def __init__(self, number: int, tail: LogTail) -> None:
        """Nothing is read yet."""
        self.number: int = number
        self.tail: LogTail = tail
        self.memtable: DictMemtable = DictMemtable()

    @property
    def empty(self) -> bool:
        """Whether no record was read of it."""
        return not self.memtable.entries

    @property
    def place(self) -> tuple[int, int, int]:
        """Where it was read to, as the header of a successor says it."""
        return self.number, self.tail.end, self.tail.checksum

    @property
    def predecessor(self) -> tuple[int, int, int]:
        """Where the one before ends, as the header says."""
        header = self.tail.header
        return header.predecessor, header.predecessor_end, header.predecessor_checksum


class FollowedLog:
    """The segments that no table holds yet. Used under the follower's lock.

    Attributes:
        segments: oldest first; another tuple whenever one comes or goes.
        pending: whether there is something to read that could not be found yet.
        entering: whether a memtable may hold a part of what comes next, after an interrupt.
    """

    def __init__(self, directory: FollowedDirectory, store_uuid: bytes, snapshots: LiveSnapshots) -> None:
        """Read nothing yet; ``snapshots`` says what the memtables must keep of the past."""
        self.segments: tuple[FollowedSegment, ...] = ()
        self.pending: bool = True
        self.entering: bool = False
        self._directory = directory
        self._store_uuid = store_uuid
        self._snapshots = snapshots

    def has_more(self) -> bool:
        """Whether anything was written since ``catch_up``, by the owner that wrote last: one or two system calls."""
        if self.pending:
            return True
        last = self.segments[-1]
        # A segment without records may still be begun anew, and the one before it go on.
        return last.tail.has_more() or (last.empty and len(self.segments) > 1 and self.segments[-2].tail.has_more())

    def catch_up(self, version: Version, *, thorough: bool) -> None:
        """Read all that the owner has written to the segments that ``version`` needs, and drop the others.

        ``thorough``: look for damage that looks like the end of the log, too.

        Raises FileNotFoundError if a segment is gone that ``version`` needs: then there is a newer version, or else
        the store is damaged. Raises CorruptionError, StorageError.
        """
        self.pending = True
        self._drop_unneeded(version)
        while True:
            if self.segments:
                last = self.segments[-1]
                if last.empty and self._outdated(last):
                    self._replace(self.segments[:-1])
                    continue
                self._read(last, version, thorough=thorough)
                listed = version.segments[-1][0] if version.segments else 0
                if not last.tail.sealed and listed <= last.number:
                    self.pending = False
                    return
                following = self._successor(last, version)
            else:
                following = self._first(version)
            if following is None:
                return
            self._replace((*self.segments, following))

    @property
    def last_sequence(self) -> int:
        """Sequence number of the newest write that was read of these segments, 0 if there is none."""
        return max((segment.tail.last_sequence for segment in self.segments), default=0)

    def is_in_place(self, version: Version) -> bool:
        """Whether the segments that were read are still there. To be asked when CURRENT has changed.

        Raises FileNotFoundError as ``catch_up``, StorageError.
        """
        needed = (segment for segment in self.segments if segment.number >= version.log_number and not segment.empty)
        return all(segment.tail.is_in_place() for segment in needed)

    def newest_sequence(self) -> int:
        """Sequence number of the newest write in the log, read or not; nothing is entered anywhere."""
        newest, after = self.last_sequence, 0
        if self.segments:
            after = self.segments[-1].number
            newest = _newest(self.segments[-1].tail, newest)
        for number in self._numbers_on_disk(after):
            try:
                tail = self._open(number)
            except FileNotFoundError:
                continue
            if tail is not None:
                with closing(tail):
                    newest = _newest(tail, newest)
        return newest

    def close(self) -> None:
        """Give all descriptors back. Idempotent."""
        self._replace(())

    def _drop_unneeded(self, version: Version) -> None:
        """Leave out the segments whose records are in tables; all, if the first one needed is not among them."""
        needed = tuple(segment for segment in self.segments if segment.number >= version.log_number)
        if needed and needed[0].tail.header.predecessor >= version.log_number:
            needed = ()  # The owner has taken a flush back: older segments are needed again.
        if len(needed) != len(self.segments):
            self._replace(needed)

    def _replace(self, segments: tuple[FollowedSegment, ...]) -> None:
        replaced, self.segments = self.segments, segments
        for segment in replaced:
            if segment not in segments:
                segment.tail.close()

    def _outdated(self, segment: FollowedSegment) -> bool:
        """Whether the last segment, which has no records, is no more what it was: removed, begun anew, or too early."""
        if wal_name(segment.number) not in self._directory.list_directory() or not segment.tail.same_header():
            return True
        if len(self.segments) == 1:
            return False
        before = self.segments[-2]
        self._enter(before)
        return before.place != segment.predecessor

    def _first(self, version: Version) -> FollowedSegment | None:
        """The oldest segment that is needed; None if its owner has not begun it yet."""
        number = version.log_number
        tail = self._open(number)
        if tail is None:
            return None
        if tail.header.predecessor >= number:
            tail.close()
            text = f"the log segment {tail.header.predecessor} is missing; {DAMAGE_REMEDY}"
            raise CorruptionError(text, file=tail.name)
        return FollowedSegment(number, tail)

    def _successor(self, last: FollowedSegment, version: Version) -> FollowedSegment | None:
        """The segment that follows ``last``; None if it is not there yet."""
        numbers = self._numbers_on_disk(last.number)
        synced_ends = dict(version.segments)
        for number in sorted({*numbers, *(listed for listed in synced_ends if listed > last.number)}):
            try:
                tail = self._open(number)
            except FileNotFoundError:
                if number in synced_ends:
                    raise
                continue
            if tail is None:
                continue
            segment = FollowedSegment(number, tail)
            if segment.predecessor == last.place:
                return segment
            tail.close()
            if synced_ends.get(number) and segment.predecessor[0] == last.number and segment.predecessor != last.place:
                self._refuse_other_past(last, segment)
        return None

    def _refuse_other_past(self, last: FollowedSegment, segment: FollowedSegment) -> None:
        """Raise unless ``last`` goes on: ``segment`` was synced, and so was all before it."""
        self._enter(last)
        if segment.predecessor != last.place:
            text = f"segment {segment.number} was synced, but the one before it does not end where it says"
            raise CorruptionError(f"{text}; {DAMAGE_REMEDY}", file=last.tail.name, offset=last.tail.end)

    def _read(self, segment: FollowedSegment, version: Version, *, thorough: bool) -> None:
        """Enter what is new in a segment. Raises CorruptionError if it ends before bytes that were synced."""
        self._enter(segment)
        if not self._sound(segment, version, thorough=thorough):
            self._enter(segment)  # The owner may have been faster than the look at its promises.
            if not self._sound(segment, version, thorough=thorough):
                raise segment.tail.damage()

    def _sound(self, segment: FollowedSegment, version: Version, *, thorough: bool) -> bool:
        tail = segment.tail
        synced_end = dict(version.segments).get(segment.number, 0)
        return tail.end >= synced_end and (not (tail.torn or thorough) or tail.judge())

    def _enter(self, segment: FollowedSegment) -> None:
        """Enter what is new in a segment; interrupted anywhere, the next call goes on."""
        for frames in segment.tail.new_frames():
            self.entering = True
            enter_frames(segment.memtable.entries, frames, self._snapshots)
            self.entering = False

    def _open(self, number: int) -> LogTail | None:
        return open_begun(self._directory, wal_name(number), KIND_WAL, self._store_uuid)

    def _numbers_on_disk(self, after: int) -> list[int]:
        parsed = map(parse_file_name, self._directory.list_directory())
        return [each[1] for each in parsed if each and each[0] is FileKind.WAL and each[1] > after]


def _newest(tail: LogTail, newest: int) -> int:
    for frames in tail.ahead():
        newest = max(newest, frames.sequences[-1])
    return newest


def enter_frames(entries: dict[bytes, MemtableEntry], frames: DecodedFrames, snapshots: LiveSnapshots) -> None:
    """Enter decoded frames into a memtable that others read, keeping what live snapshots see. Twice does no harm."""
    sequences, keys, values = frames.sequences, frames.keys, frames.values
    if not snapshots.newest:
        start = 0
        for i in [i for i, key in enumerate(keys) if type(key) is not bytes]:
            entries.update(zip(keys[start:i], zip(sequences[start:i], values[start:i])))  # type: ignore[arg-type]  # noqa: B905
            if type(keys[i]) is tuple:
                entries.update(zip(keys[i], zip(repeat(sequences[i]), values[i])))  # type: ignore[arg-type]  # noqa: B905
            start = i + 1
        entries.update(zip(keys[start:], zip(sequences[start:], values[start:])))  # type: ignore[arg-type]  # noqa: B905
        return
    for sequence, key, value in zip(sequences, keys, values, strict=True):
        if key is None:
            continue  # A promise or a seal.
        columns = (key, value) if type(key) is tuple else ((key,), (value,))
        for each, written in zip(*columns, strict=True):
            entries[each] = snapshots.linked((sequence, written), entries.get(each))
