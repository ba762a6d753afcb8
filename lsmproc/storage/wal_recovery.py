"""Replaying the live log segments at open, in order, up to the first hole.

Each segment's header names its predecessor and where that ends, so the segments form one chain. What counts:

* a segment whose predecessor does not end where the header says follows a hole: records between were lost with the
  power before they were synced. Nothing after a hole is replayed, so what survives is always a prefix of what was
  acknowledged, and the files after the hole are removed before a new segment is begun;
* but a sync of a segment implies that all earlier ones are synced. A hole below any promise is therefore no crash
  but damage, and raises CorruptionError instead of losing what was promised;
* nothing in the log says where the newest segments of it ended. The manifest does, as far as it was known when the
  manifest was last written: a segment that it lists and that is missing or ends too early is damage as well;
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

    def __init__(self, fs: FileSystem, end: SegmentEnd, fd: int | None = None, synced_end: int = 0) -> None:
        """Describe the segment that ends at ``end``, and own ``fd``; None if its frames are durable as promised.

        ``synced_end``: how many of its bytes are known to survive power loss without another sync.
        """
        self.number: int = end.number
        self.end = end
        self.synced_end = synced_end
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
    *,
    listed: Iterable[tuple[int, int]] = (),
) -> ReplayedLog:
    """Replay the segments ``numbers``, of which those from ``log_number`` on are live.

    ``descriptors``: of the segments that ``wal_rewriting`` wrote again; those of the returned segments are theirs.
    ``listed``: (number, synced end) of segments that the manifest knows, see ``formats/version_edit.py``.
    Raises CorruptionError when a segment is missing, foreign, or damaged below a promise.
    """
    records: Records = {}
    segments: list[ReplayedSegment] = []
    unusable: list[str] = []
    empty: list[str] = []  # the newest segments as far as they hold no records
    last_sequence = 0
    before: RecoveredLog | None = None
    live = sorted(number for number in numbers if number >= log_number)
    synced_ends = {number: end for number, end in listed if number >= log_number}
    _refuse_missing({log_number, *synced_ends} - {0, *live})
    for position, number in enumerate(live):
        name, synced_end = wal_name(number), synced_ends.get(number, 0)
        if is_blank(fs, name):
            _refuse_early_end(name, 0, synced_end)
            unusable.append(name)
            continue
        staged: Records = {}
        log = read_log(fs, name, KIND_WAL, store_uuid, lambda frames, into=staged: apply_frames(into, frames))  # type: ignore[misc]
        if log.header.number != number:
            raise CorruptionError(f"the file says that it is segment {log.header.number}", file=name, offset=32)
        if not _follows(log, before, log_number):
            _refuse_broken_promise(fs, live[position:], store_uuid, log.header.predecessor, before, synced_ends)
            unusable += map(wal_name, live[position:])
            break
        _refuse_early_end(name, log.end, synced_end)
        if records:
            records.update(staged)
        else:
            records = staged  # Most logs are one segment: half a million records need no copy.
        end = SegmentEnd(number, log.end, log.checksum, log.last_sequence)
        segments.append(ReplayedSegment(fs, end, descriptors.get(number), max(log.promised_end, synced_end)))
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


def _refuse_missing(numbers: set[int]) -> None:
    """Raise if there are any: these segments must be there and are not."""
    if numbers:
        text = f"the log segment is missing, and with it acknowledged writes; {DAMAGE_REMEDY}"
        raise CorruptionError(text, file=wal_name(min(numbers)))


def _refuse_early_end(name: str, end: int, synced_end: int) -> None:
    """Raise if a segment ends before bytes that the manifest says were synced."""
    if end < synced_end:
        raise CorruptionError(
            f"the log was synced up to byte {synced_end}, but its frames are valid only up to here; {DAMAGE_REMEDY}",
            file=name,
            offset=end,
        )


def _refuse_broken_promise(
    fs: FileSystem,
    numbers: list[int],
    store_uuid: bytes,
    predecessor: int,
    before: RecoveredLog | None,
    synced_ends: Mapping[int, int],
) -> None:
    """Raise if any of the segments behind a hole was ever synced; ``before`` is the last one in front of it."""
    for number in numbers:
        name = wal_name(number)
        synced = synced_ends.get(number) or (
            not is_blank(fs, name) and read_log(fs, name, KIND_WAL, store_uuid, _ignore).promised_end
        )
        if synced:
            raise CorruptionError(
                f"segment {number} was synced, but records before it are missing from segment {predecessor}; "
                f"{DAMAGE_REMEDY}",
                file=wal_name(predecessor),
                offset=before.end if before is not None and before.header.number == predecessor else None,
            )


def _ignore(frames: object) -> None:
    """Only the promises are of interest."""
