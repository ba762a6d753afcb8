"""A table of records in memory, and a small tree of sources that overlap, for the iterators' tests."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from random import Random
from typing import Any

from lsmproc.formats.version_edit import FileMetadata
from lsmproc.iterators.merge_windows import merge_windows, merge_windows_reverse
from lsmproc.iterators.sources import level_windows, memtable_windows, table_windows
from lsmproc.memtable.dict_memtable import DictMemtable
from lsmproc.memtable.sorted_dict_memtable import SortedDictMemtable
from lsmproc.protocols import Columns, Memtable

Records = dict[bytes, bytes | None]


class RecordTable:
    """The part of a TableReader that iterators use; remembers which blocks were asked for."""

    def __init__(self, records: Records, block_records: int) -> None:
        ordered = sorted(records.items())
        self.blocks = [ordered[first : first + block_records] for first in range(0, len(ordered), block_records)]
        self.block_count = len(self.blocks)
        self.reads: list[tuple[int, int]] = []
        self.fills: list[bool] = []
        self.metadata = metadata(ordered[0][0], ordered[-1][0])

    def find_block(self, key: bytes) -> int:
        """See TableReader."""
        return bisect_left([block[-1][0] for block in self.blocks], key)

    def columns(self, first: int, count: int, *, fill_cache: bool = True) -> Columns:
        """See TableReader."""
        assert count > 0
        assert 0 <= first <= first + count <= self.block_count
        self.reads.append((first, count))
        self.fills.append(fill_cache)
        records = [record for block in self.blocks[first : first + count] for record in block]
        return [key for key, _ in records], [value for _, value in records]


def metadata(smallest: bytes, largest: bytes) -> FileMetadata:
    """A description of a table of which only the key range counts."""
    return FileMetadata(1, 1, 0, 0, smallest, largest, 1, 0, 1, 1, 1)


class RandomTree:
    """Memtable, two level-0 tables and a sorted run, overlapping at random, and a model of what a reader sees."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        count = self.draw.choice([3, 40, 250])
        self.keys = [b"%03d" % number for number in range(count)]
        self.model: Records = {}
        run = self._random_records(1.0)
        self.level0 = [self._random_table(self._random_records(0.5)) for _ in range(2)]
        cut = self.draw.randrange(len(run))
        parts = [dict(sorted(run.items())[:cut]), dict(sorted(run.items())[cut:])]
        self.level = [self._random_table(part) for part in parts if part]
        kinds: list[type[Any]] = [DictMemtable, SortedDictMemtable]
        self.memtable: Memtable = self.draw.choice(kinds)()
        self.sequence = 0
        self.model = run
        for table in self.level0:
            self.model.update(record for block in table.blocks for record in block)
        self._fill_memtable()
        self.live = {key: value for key, value in sorted(self.model.items()) if value is not None}

    def make_windows(self, start: bytes | None, stop: bytes | None, reverse: bool) -> Iterator[Any]:
        """What a store gives to its iterators."""
        sources: list[Any] = [memtable_windows(self.memtable, start, stop, self.sequence, reverse)]
        sources += [table_windows(table, start, stop, reverse) for table in reversed(self.level0)]  # type: ignore[arg-type]
        files = [table.metadata for table in self.level]
        by_smallest: dict[bytes, Any] = {table.metadata.smallest: table for table in self.level}
        sources.append(level_windows(files, lambda file: by_smallest[file.smallest], start, stop, reverse))
        return (merge_windows_reverse if reverse else merge_windows)(sources)

    def _random_records(self, share: float) -> Records:
        keys = self.draw.sample(self.keys, self.draw.randint(1, max(1, int(share * len(self.keys)))))
        return {key: self._random_value() for key in keys}

    def _random_value(self) -> bytes | None:
        return self.draw.choice([None, b"", b"%d" % self.draw.randrange(1000), b"%d" % self.draw.randrange(1000)])

    def _random_table(self, records: Records) -> RecordTable:
        return RecordTable(records, self.draw.choice([1, 3, 8]))

    def _fill_memtable(self) -> None:
        """Writes up to the reader's sequence, then more that it must not see."""
        entries = self.memtable.entries
        for key, value in self._random_records(0.4).items():
            self.sequence += 1
            entries[key] = (self.sequence, value)
            self.model[key] = value
        for key, value in self._random_records(0.4).items():
            older = entries.get(key)
            entries[key] = (self.sequence + 1, value) if older is None else (self.sequence + 1, value, older)


class ModelCursor:
    """What DBIterator does, over a list: a cursor between the records of a range."""

    def __init__(self, records: list[tuple[bytes, bytes]], *, reverse: bool) -> None:
        self.records = records
        self.reverse = reverse
        self.below = len(records) if reverse else 0  # how many records lie below the cursor

    def step(self, *, ahead: bool) -> tuple[bytes, bytes] | None:
        """next() or prev(); None for StopIteration."""
        if ahead is not self.reverse:
            if self.below == len(self.records):
                return None
            self.below += 1
            return self.records[self.below - 1]
        if self.below == 0:
            return None
        self.below -= 1
        return self.records[self.below]

    def seek(self, target: bytes) -> None:
        """See DBIterator.seek."""
        self.below = bisect_left(self.records, (target,))
