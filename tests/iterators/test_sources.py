"""Sources: the right records of a range, read in the right portions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from lsmproc.formats.version_edit import FileMetadata
from lsmproc.iterators.sources import (
    LARGEST_READ_AHEAD_BLOCKS,
    LARGEST_WINDOW_RECORDS,
    level_windows,
    memtable_windows,
    table_windows,
)
from lsmproc.memtable.dict_memtable import DictMemtable
from tests.iterators.record_table import RecordTable, metadata

DIRECTIONS = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def numbered(numbers: range) -> dict[bytes, bytes | None]:
    """Records with keys in the order of their numbers; every seventh is a tombstone."""
    return {b"%05d" % number: None if number % 7 == 0 else b"v%d" % number for number in numbers}


def windows_of(
    table: RecordTable, start: bytes | None, stop: bytes | None, *, reverse: bool, **options: Any
) -> Iterator[Any]:
    """The source under test."""
    reader: Any = table
    return table_windows(reader, start, stop, reverse, **options)


def records_of(windows: list[Any], *, reverse: bool) -> list[tuple[bytes, bytes | None]]:
    """All records, ascending, after checking that windows are full pairs in the right order."""
    for keys, values in windows:
        assert keys
        assert len(keys) == len(values)
    for left, right in pairwise(windows):
        assert right[0][-1] < left[0][0] if reverse else left[0][-1] < right[0][0]
    ordered = reversed(windows) if reverse else windows
    return [record for keys, values in ordered for record in zip(keys, values, strict=True)]


def test_a_table_source_is_cut_to_its_range() -> None:
    """Every pair of bounds, on keys and between them, both ways."""
    records = numbered(range(0, 40, 2))
    bounds = [None, b"", *[b"%05d" % number for number in range(42)], b"z"]
    for start in bounds:
        for stop in bounds:
            expected = [
                r for r in sorted(records.items()) if (start is None or r[0] >= start) and (stop is None or r[0] < stop)
            ]
            for reverse in (False, True):
                windows = list(windows_of(RecordTable(records, 3), start, stop, reverse=reverse))
                assert expected == records_of(windows, reverse=reverse)


@DIRECTIONS
def test_read_ahead_starts_with_one_block_and_doubles_to_its_limit(reverse: bool) -> None:
    """A short range costs one block, a long one few reads, and no block is read twice."""
    table = RecordTable(numbered(range(300)), 3)
    list(windows_of(table, None, None, reverse=reverse))
    assert [1, 2, 4, 8, LARGEST_READ_AHEAD_BLOCKS] == [count for _, count in table.reads[:5]]
    blocks = sorted(block for first, count in table.reads for block in range(first, first + count))
    assert list(range(100)) == blocks


def test_a_long_scan_fills_the_cache_with_its_first_blocks_only() -> None:
    """What point reads need is not washed out by a scan; a range that asks not to fill it never does."""
    table = RecordTable(numbered(range(300)), 3)
    list(windows_of(table, None, None, reverse=False))
    assert [(True, 15), (False, 85)] == [
        (fill, sum(count for (_, count), filled in zip(table.reads, table.fills, strict=True) if filled is fill))
        for fill in (True, False)
    ]


@DIRECTIONS
def test_no_block_beyond_the_range_is_read(reverse: bool) -> None:
    """Read-ahead ends where the range does."""
    table = RecordTable(numbered(range(300)), 3)
    list(windows_of(table, b"00030", b"00040", reverse=reverse))
    assert {10, 11, 12, 13} == {block for first, count in table.reads for block in range(first, first + count)}


def test_a_source_that_is_left_early_has_read_one_block() -> None:
    """Windows are read when they are asked for."""
    table = RecordTable(numbered(range(300)), 3)
    windows = windows_of(table, b"00100", None, reverse=False, fill_cache=False)
    assert [] == table.reads
    next(windows)
    assert [(33, 1)] == table.reads
    assert [False] == table.fills


@DIRECTIONS
def test_the_tables_of_a_level_are_opened_when_their_turn_comes(reverse: bool) -> None:
    """Tables outside the range are never opened, the others one after the other."""
    parts = [numbered(range(first, first + 10)) for first in range(0, 60, 10)]
    tables = {min(part): RecordTable(part, 2) for part in parts}
    opened: list[bytes] = []

    def open_reader(file: FileMetadata) -> Any:
        opened.append(file.smallest)
        return tables[file.smallest]

    files = [metadata(min(part), max(part)) for part in parts]
    windows = level_windows(files, open_reader, b"00015", b"00040", reverse)
    assert [] == opened
    first = next(windows)
    assert 1 == len(opened)
    assert numbered(range(15, 40)) == dict(records_of([first, *windows], reverse=reverse))
    turn = [b"00010", b"00020", b"00030"]
    assert (turn[::-1] if reverse else turn) == opened


@DIRECTIONS
def test_read_ahead_goes_on_growing_from_table_to_table(reverse: bool) -> None:
    """A long scan over small tables does not start with one block in each."""
    parts = [numbered(range(first, first + 10)) for first in range(0, 60, 10)]
    tables = {min(part): RecordTable(part, 1) for part in parts}
    files = [metadata(min(part), max(part)) for part in parts]
    list(level_windows(files, lambda file: tables[file.smallest], None, None, reverse))  # type: ignore[arg-type,return-value]
    last = tables[min(parts[0 if reverse else -1])]
    assert [10] == [count for _, count in last.reads]


@DIRECTIONS
def test_memtable_windows_cover_the_range_and_grow(reverse: bool) -> None:
    """Nothing is lost between windows, and their size is bounded."""
    records = numbered(range(3000))
    memtable = DictMemtable()
    for key, value in Random(1).sample(sorted(records.items()), len(records)):
        memtable.entries[key] = (1, value)
    windows = list(memtable_windows(memtable, b"00010", b"02990", 1, reverse))
    assert numbered(range(10, 2990)) == dict(records_of(windows, reverse=reverse))
    sizes = [len(keys) for keys, _ in windows]
    assert [16, 32, 64, 128, 256, 512] == sizes[:6]
    assert LARGEST_WINDOW_RECORDS == max(sizes)
