"""A version: the set of live tables and where each stands. Immutable; an edit makes a new one.

::

    levels[0]      runs of one table each, newest first (by largest sequence); key ranges may overlap
    levels[1..6]   one run each: tables ascending by key, ranges disjoint

Newer data always stands above older data: for one key, a record in levels[n] is newer than any in levels[n + 1].
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from lsmproc.errors import CorruptionError
from lsmproc.formats.version_edit import LEVEL_COUNT, FileMetadata, VersionEdit

Level = tuple[FileMetadata, ...]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Version:
    """The live tables by level, and the counters that the manifest keeps with them."""

    levels: tuple[Level, ...] = ((),) * LEVEL_COUNT
    log_number: int = 0
    next_file_number: int = 1
    last_sequence: int = 0
    epoch: int = 0
    segments: tuple[tuple[int, int], ...] = ()  # (number, synced end) of the log segments that must be there

    def apply(self, edit: VersionEdit) -> Version:
        """The version after ``edit``. Raises CorruptionError if the edit does not fit this version."""
        levels = [{file.number: file for file in level} for level in self.levels]
        for level, number in edit.removed:
            if levels[level].pop(number, None) is None:
                raise CorruptionError(f"an edit removes table {number} from level {level}, where it is not")
        live = {number for level in levels for number in level}
        for level, file in edit.added:
            if file.number in live:
                raise CorruptionError(f"an edit adds table {file.number}, which is live already")
            live.add(file.number)
            levels[level][file.number] = file
        log_number = _grown("log number", self.log_number, edit.log_number)
        segments = self.segments if edit.segments is None else edit.segments
        changed = {level for level, _ in edit.added} | {level for level, _ in edit.removed}
        return Version(
            tuple(_ordered(n, files) if n in changed else self.levels[n] for n, files in enumerate(levels)),
            log_number,
            _grown("next file number", self.next_file_number, edit.next_file_number),
            _grown("last sequence", self.last_sequence, edit.last_sequence),
            _grown("epoch", self.epoch, edit.epoch),
            tuple((number, end) for number, end in segments if number >= log_number),
        )

    def snapshot_edit(self) -> VersionEdit:
        """The edit that leads from an empty version to this one."""
        return VersionEdit(
            added=tuple((n, file) for n, level in enumerate(self.levels) for file in level),
            log_number=self.log_number,
            next_file_number=self.next_file_number,
            last_sequence=self.last_sequence,
            epoch=self.epoch,
            segments=self.segments,
        )

    def level_bytes(self, level: int) -> int:
        """Bytes of all tables of a level."""
        return sum(file.size for file in self.levels[level])

    def files(self) -> tuple[tuple[int, FileMetadata], ...]:
        """All live tables as (level, file), upper levels first."""
        return tuple((n, file) for n, level in enumerate(self.levels) for file in level)


def overlapping(level: Level, smallest: bytes, largest: bytes) -> Level:
    """The tables of a sorted run (levels 1 and deeper) that overlap [smallest, largest], both ends included."""
    first = bisect_left(level, smallest, key=_largest)
    last = first
    while last < len(level) and level[last].smallest <= largest:
        last += 1
    return level[first:last]


def key_range(files: Iterable[FileMetadata]) -> tuple[bytes, bytes]:
    """The smallest and the largest key of some tables. REQUIRES: at least one table."""
    tables = tuple(files)
    return min(file.smallest for file in tables), max(file.largest for file in tables)


def _largest(file: FileMetadata) -> bytes:
    return file.largest


def _ordered(number: int, files: dict[int, FileMetadata]) -> Level:
    if number == 0:
        return tuple(sorted(files.values(), key=lambda file: (file.largest_sequence, file.number), reverse=True))
    level = tuple(sorted(files.values(), key=lambda file: file.smallest))
    for left, right in pairwise(level):
        if left.largest >= right.smallest:
            raise CorruptionError(f"tables {left.number} and {right.number} of level {number} overlap")
    return level


def _grown(name: str, old: int, new: int | None) -> int:
    if new is None:
        return old
    if new < old:
        raise CorruptionError(f"an edit sets the {name} back from {old} to {new}")
    return new
