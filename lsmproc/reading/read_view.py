"""One consistent state of the store to read from: the memtable, the immutable memtables and a version's tables.

A view is immutable and swapped whole, so a read takes no lock: it picks up the current view and goes through its
sources, newest first. Whoever holds a view holds everything it needs: memtables by reference, tables because a
version that is held keeps its files on disk.

What makes the first hit right: for one key, a newer source never holds an older record than a source below it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, NoReturn

import xxhash

from lsmproc.formats.bloom_filter import PLACE_MASK, filter_masks
from lsmproc.formats.messages import SegmentEnd
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.iterators.merge_windows import merge_windows, merge_windows_reverse
from lsmproc.iterators.short_ranges import MemtableParts, PartOf, level_part, merged_part, merged_part_reverse
from lsmproc.iterators.sources import level_windows, memtable_windows, table_windows
from lsmproc.memtable.memtable_entry import entry_at
from lsmproc.protocols import MISSING, Columns, Memtable, MemtableEntry, Missing, Part, TableReader
from lsmproc.statistics.read_samples import IMMUTABLE_MEMTABLES, MEMTABLE, NOWHERE, ROW_CACHE, ReadSamples
from lsmproc.storage.row_cache import RowCache
from lsmproc.storage.version import Version

_hash_of = xxhash.xxh3_64_intdigest
_MASKS = filter_masks()

NEWEST = (1 << 64) - 1


class Entry(NamedTuple):
    """What ``get_with_meta`` tells of a key."""

    value: bytes
    sequence: int  # order of the write; also its time in nanoseconds since 1970, unless the clock was set back
    source: str  # "memtable", "immutable memtable" or "table"
    level: int | None  # of the table
    file_number: int | None  # of the table
    probes: int  # tables asked before the answer was known


@dataclass(frozen=True, slots=True, eq=False)
class ImmutableMemtable:
    """A memtable that takes no more writes, and the finished log segments with the same records, oldest first."""

    memtable: Memtable
    segments: tuple[SegmentEnd, ...]


class ReadView:
    """An immutable state of the store. The attributes are for the hot path and for building the next view."""

    __slots__ = (
        "_level0",
        "_levels",
        "_memtables",
        "_open_reader",
        "_runs",
        "entries",
        "immutables",
        "memtable",
        "older_entries",
        "row_cache",
        "version",
    )

    def __init__(
        self,
        memtable: Memtable,
        immutables: tuple[ImmutableMemtable, ...],  # newest first
        version: Version,
        open_reader: Callable[[FileMetadata], TableReader],
        row_cache: RowCache,
    ) -> None:
        """Bind the sources. Tables that are new get their readers, which looks at their files' size and magic.

        Raises CorruptionError, StorageError.
        """
        self.memtable: Memtable = memtable
        self.entries: MutableMapping[bytes, MemtableEntry] = memtable.entries
        self.immutables: tuple[ImmutableMemtable, ...] = immutables
        self._memtables = (memtable, *(immutable.memtable for immutable in immutables))
        self.older_entries: tuple[MutableMapping[bytes, MemtableEntry], ...] = tuple(
            immutable.memtable.entries for immutable in immutables
        )
        self.version: Version = version
        self._open_reader = open_reader
        self.row_cache: RowCache = row_cache  # of this version's records: see row_cache.py
        self._level0 = tuple(map(open_reader, version.levels[0]))
        # Of each deeper level that holds anything: the last keys of its tables, their readers, and their first keys.
        self._levels = tuple(
            ([file.largest for file in level], tuple(map(open_reader, level)), [file.smallest for file in level])
            for level in version.levels[1:]
            if level
        )
        # For short ranges, of each sorted run: its first key, its last key, and what gives a part of it.
        self._runs: tuple[tuple[bytes, bytes, PartOf], ...] = (
            *((reader.metadata.smallest, reader.metadata.largest, reader.part) for reader in self._level0),
            *((level[2][0], level[0][-1], partial(level_part, level)) for level in self._levels),
        )

    def with_version(self, version: Version, flushed: ImmutableMemtable | None) -> ReadView:
        """The view after an edit; ``flushed`` is the memtable whose table the edit added."""
        immutables = tuple(immutable for immutable in self.immutables if immutable is not flushed)
        row_cache = self.row_cache if flushed is None else self.row_cache.after_flush()
        return ReadView(self.memtable, immutables, version, self._open_reader, row_cache)

    def with_rotated(self, memtable: Memtable, immutable: ImmutableMemtable) -> ReadView:
        """The view after a rotation: ``immutable`` holds what was the memtable."""
        immutables = (immutable, *self.immutables)
        return ReadView(memtable, immutables, self.version, self._open_reader, self.row_cache)

    def get(self, key: bytes) -> bytes | None:
        """The newest value of ``key``, or None if there is none."""
        entry = self.entries.get(key)
        if entry is not None:
            return entry[1]  # type: ignore[no-any-return]
        for entries in self.older_entries:
            entry = entries.get(key)
            if entry is not None:
                return entry[1]  # type: ignore[no-any-return]
        return self.get_from_tables(key)

    def peek(self, key: bytes) -> bytes | Missing | None:
        """As get where memory knows the answer, and MISSING where a table would have to be asked. Never waits."""
        for entries in (self.entries, *self.older_entries):
            entry = entries.get(key)
            if entry is not None:
                return entry[1]  # type: ignore[no-any-return]
        if not self._level0 and not self._levels:
            return None
        return self.row_cache.rows.get(key, MISSING)

    def get_from_tables(self, key: bytes) -> bytes | None:
        """As get, for a key that no memtable holds."""
        row = self.row_cache.rows.get(key)
        if row is not None:
            return row
        key_hash = _hash_of(key)
        place = key_hash >> 12 & PLACE_MASK
        mask = _MASKS[key_hash & 4095]
        for reader in self._level0:
            words, word_count = reader.filter
            if words[place % word_count] & mask == mask:
                value = reader.find(key, key_hash)
                if value is not MISSING:
                    break
        else:
            for largest_keys, readers, _ in self._levels:
                try:
                    reader = readers[bisect_left(largest_keys, key)]
                except IndexError:  # The key is after the level's last one.
                    continue
                words, word_count = reader.filter
                if words[place % word_count] & mask == mask:
                    value = reader.find(key, key_hash)
                    if value is not MISSING:
                        break
            else:
                return None
        if value is not None:
            self.row_cache.offer(key, value)  # type: ignore[arg-type]
        return value  # type: ignore[return-value]

    def followed_get(self, key: bytes, samples: ReadSamples) -> bytes | None:
        """As get, and tell ``samples`` where the key was found and what the filters said. Much slower."""
        for depth, entries in enumerate((self.entries, *self.older_entries)):
            entry = entries.get(key)
            if entry is not None:
                samples.found_in(IMMUTABLE_MEMTABLES if depth else MEMTABLE)
                return entry[1]  # type: ignore[no-any-return]
        row = self.row_cache.rows.get(key)
        if row is not None:
            samples.found_in(ROW_CACHE)
            return row
        key_hash = _hash_of(key)
        deeper = (level for level, files in enumerate(self.version.levels) if level and files)
        tables = [(level, readers, bisect_left(keys, key)) for level, (keys, readers, _) in zip(deeper, self._levels)]  # noqa: B905
        ways = [(0, reader) for reader in self._level0]
        ways += [(level, readers[index]) for level, readers, index in tables if index < len(readers)]
        for level, reader in ways:
            words, word_count = reader.filter
            mask = _MASKS[key_hash & 4095]
            if words[(key_hash >> 12 & PLACE_MASK) % word_count] & mask != mask:
                samples.filtered(level)
                continue
            value = reader.find(key, key_hash)
            samples.passed(level, held=value is not MISSING)
            if not isinstance(value, Missing):
                samples.found_in_level(level)
                if value is not None:
                    self.row_cache.offer(key, value)
                return value
        samples.found_in(NOWHERE)
        return None

    def get_at(self, key: bytes, sequence: int) -> bytes | None:
        """The value of ``key`` as a reader at ``sequence`` sees it. REQUIRES: the view was taken at it."""
        entry = self.entries.get(key)
        if entry is not None and entry[0] <= sequence:
            return entry[1]  # type: ignore[no-any-return]
        for entries in (self.entries, *self.older_entries):
            entry = entries.get(key)
            if entry is not None and (seen := entry_at(entry, sequence)) is not None:
                return seen[1]  # type: ignore[no-any-return]
        return self.get_from_tables(key)

    def lookup(self, key: bytes, sequence: int = NEWEST) -> Entry | None:
        """The record of ``key`` with where it was found; None if there is none or it is deleted."""
        for depth, entries in enumerate((self.entries, *self.older_entries)):
            entry = entries.get(key)
            if entry is not None and (seen := entry_at(entry, sequence)) is not None:
                source = "immutable memtable" if depth else "memtable"
                return None if seen[1] is None else Entry(seen[1], seen[0], source, None, None, 0)
        key_hash = _hash_of(key)
        for probes, reader in enumerate((*self._level0, *self._readers_at(key)), 1):
            found = reader.lookup(key, key_hash)
            if not isinstance(found, Missing):
                if found[1] is None:
                    return None
                number = reader.metadata.number
                return Entry(found[1], found[0], "table", self._level_of(number), number, probes)
        return None

    def part(
        self, start: bytes | None, stop: bytes | None, sequence: int, count: int, *, reverse: bool, fill_cache: bool
    ) -> tuple[list[bytes], list[bytes | None], bytes | None, list[PartOf], list[Part]]:
        """About the first ``count`` records of [start, stop), or in reverse the last, as a reader at ``sequence`` sees
        them, ascending, tombstones (None) included; the start, or in reverse the stop, at which to go on, or None; and
        the sources and their parts, for following_windows.
        """
        parts: list[Part] = []
        asked: list[PartOf] = []
        for memtable in self._memtables:
            if memtable.entries:
                part_of: PartOf = MemtableParts(memtable, sequence, count)
                parts.append(part_of(start, stop, reverse, fill_cache))  # type: ignore[arg-type]
                asked.append(part_of)
        for smallest, largest, part_of in self._runs:
            if (start is None or largest >= start) and (stop is None or smallest < stop):
                part = part_of(start, stop, reverse, fill_cache)
                if part is not None:
                    parts.append(part)
                    asked.append(part_of)
        if reverse:
            return (*merged_part_reverse(parts, count), asked, parts)
        merged = merged_part(parts, count, lambda index, bound: asked[index](bound, stop, False, fill_cache))
        return (*merged, asked, parts)

    def windows(
        self, start: bytes | None, stop: bytes | None, sequence: int, *, reverse: bool, fill_cache: bool = True
    ) -> Iterator[Columns]:
        """Merged windows of [start, stop) as a reader at ``sequence`` sees them, tombstones (None) included."""
        sources: list[Iterator[Columns]] = [
            memtable_windows(memtable, start, stop, sequence, reverse)
            for memtable in self._memtables
            if memtable.entries
        ]
        sources += [
            table_windows(self._open_reader(file), start, stop, reverse, fill_cache=fill_cache)
            for file in self.version.levels[0]
            if (start is None or file.largest >= start) and (stop is None or file.smallest < stop)
        ]
        sources += [
            level_windows(level, self._open_reader, start, stop, reverse, fill_cache=fill_cache)
            for level in self.version.levels[1:]
            if level
        ]
        return merge_windows_reverse(sources) if reverse else merge_windows(sources)  # type: ignore[return-value]

    def _readers_at(self, key: bytes) -> Iterator[TableReader]:
        """Of each level below level 0, the one table that may hold ``key``."""
        for largest_keys, readers, _ in self._levels:
            index = bisect_left(largest_keys, key)
            if index < len(largest_keys):
                yield readers[index]

    def _level_of(self, number: int) -> int:
        return next(level for level, file in self.version.files() if file.number == number)


class ClosedView:
    """Stands in place of the view of a store that is closed: whatever is asked of it raises the given error."""

    __slots__ = ("_make_error",)

    immutables: tuple[ImmutableMemtable, ...] = ()

    def __init__(self, make_error: Callable[[], Exception]) -> None:
        """Raise ``make_error()`` at each use."""
        self._make_error = make_error

    def __getattr__(self, name: str) -> NoReturn:
        """There is nothing to read any more."""
        raise self._make_error()
