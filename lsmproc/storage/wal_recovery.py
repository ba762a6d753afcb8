"""Replaying the live log segments at open, in order, up to the first hole.

Each segment's header names its predecessor and where that ends, so the segments form one chain. What counts:

* a segment whose predecessor does not end where the header says follows a hole: records between were lost with the
  power before they were synced. Nothing after a hole is replayed, so what survives is always a prefix of what was
  acknowledged, and the files after the hole are removed before a new segment is begun;
* but a sync of a segment implies that all earlier ones are synced. A hole below any promise is therefore no crash
  but damage, and raises CorruptionError instead of losing what was promised;
* a segment without a header was allocated ahead and never used; like those behind a hole, it is to be removed before
  a new segment is begun, and so are the newest segments if they hold no records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lsmproc.errors import DAMAGE_REMEDY, CorruptionError, DurabilityError
from lsmproc.formats.file_names import wal_name
from lsmproc.formats.log_format import KIND_WAL
from lsmproc.formats.messages import SegmentEnd
from lsmproc.storage.file_system import FileSystem
from lsmproc.storage.wal_reader import Records, RecoveredLog, apply_frames, is_blank, read_log


class ReplayedSegment:
    """A segment of an earlier owner whose records are in the memtable again."""

    def __init__(self, fs: FileSystem, end: SegmentEnd, fd: int | None = None) -> None:
        """Describe the segment that ends at ``end``, and own ``fd``; None if its frames are durable as promised."""
        self.number = end.number
        self.end = end
        self._fs = fs
        self._fd = fd

    def sync(self) -> int:
        """Sync what was written again before the replay, see ``wal_rewriting``; returns the end."""
        if self._fd is not None:
            try:
                self._fs.fdatasync(self._fd)
            except OSError as error:
                name = wal_name(self.number)
                raise DurabilityError(error.errno, "the replayed log could not be synced", name) from error
        return self.end.end

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._fs.close(fd)


@dataclass(frozen=True, slots=True)
class ReplayedLog:
    """What the live segments held."""

    records: Records  # newest record of each key
    segments: tuple[ReplayedSegment, ...]  # oldest first
    last_sequence: int
    unusable: tuple[str, ...]  # names of blank segments and of those behind a hole: to be removed
    empty: tuple[str, ...]  # names of the newest segments that hold no records: to be removed as well

    def close(self) -> None:
        """Close the segments, when nobody is to sync them. Idempotent."""
        for segment in self.segments:
            segment.close()


def replay_log(
    fs: FileSystem,
    numbers: Iterable[int],
    log_number: int,
    store_uuid: bytes,
    descriptors: Mapping[int, int] = MappingProxyType({}),
) -> ReplayedLog:
    """Replay the segments ``numbers``, of which those from ``log_number`` on are live.

    ``descriptors``: of the segments that ``wal_rewriting`` wrote again; those of the returned segments are theirs.
    Raises CorruptionError when a segment is missing, foreign, or damaged below a promise.
    """
    records: Records = {}
    segments: list[ReplayedSegment] = []
    unusable: list[str] = []
    empty: list[str] = []  # the newest segments as far as they hold no records
    last_sequence = 0
    before: RecoveredLog | None = None
    live = sorted(number for number in numbers if number >= log_number)
    if log_number and log_number not in live:
        raise CorruptionError(
            f"the log segment is missing, and with it acknowledged writes; {DAMAGE_REMEDY}",
            file=wal_name(log_number),
        )
    for position, number in enumerate(live):
        name = wal_name(number)
        if is_blank(fs, name):
            unusable.append(name)
            continue
        staged: Records = {}
        log = read_log(fs, name, KIND_WAL, store_uuid, lambda frames, into=staged: apply_frames(into, frames))  # type: ignore[misc]
        if log.header.number != number:
            raise CorruptionError(f"the file says that it is segment {log.header.number}", file=name, offset=32)
        if not _follows(log, before, log_number):
            _refuse_broken_promise(fs, live[position:], store_uuid, log.header.predecessor, before)
            unusable += map(wal_name, live[position:])
            break
        if records:
            records.update(staged)
        else:
            records = staged  # Most logs are one segment: half a million records need no copy.
        end = SegmentEnd(number, log.end, log.checksum, log.last_sequence)
        segments.append(ReplayedSegment(fs, end, descriptors.get(number)))
        empty = [] if staged else [*empty, name]
        last_sequence = max(last_sequence, log.last_sequence)
        before = log
    # Each opening begins a segment: without this, a store that is opened often and written seldom would collect them.
    kept = tuple(segments[: len(segments) - len(empty)])
    return ReplayedLog(records, kept, last_sequence, tuple(unusable), tuple(empty))


def _follows(log: RecoveredLog, before: RecoveredLog | None, log_number: int) -> bool:
    """Whether ``log`` begins exactly where the segment before it ends."""
    header = log.header
    if before is None:
        return header.predecessor < log_number  # flushed already, or there never was one
    predecessor = (before.header.number, before.end, before.checksum)
    return (header.predecessor, header.predecessor_end, header.predecessor_checksum) == predecessor


def _refuse_broken_promise(
    fs: FileSystem, numbers: list[int], store_uuid: bytes, predecessor: int, before: RecoveredLog | None
) -> None:
    """Raise if any of the segments behind a hole was ever synced; ``before`` is the last one in front of it."""
    for number in numbers:
        name = wal_name(number)
        if not is_blank(fs, name) and read_log(fs, name, KIND_WAL, store_uuid, _ignore).promised_end:
            raise CorruptionError(
                f"segment {number} was synced, but records before it are missing from segment {predecessor}; "
                f"{DAMAGE_REMEDY}",
                file=wal_name(predecessor),
                offset=before.end if before is not None and before.header.number == predecessor else None,
            )


def _ignore(frames: object) -> None:
    """Only the promises are of interest."""
