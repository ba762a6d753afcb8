"""Sources for the window merge: memtables, tables and sorted runs of tables, cut to a key range.

A source is an iterator of windows; a window is a pair of parallel, non-empty lists (keys, values), keys ascending,
None for a tombstone. Forward, successive windows ascend; in reverse they descend, each window itself still ascending.
Every range is [start, stop), None for an open end. Windows may be lists of the block
cache: they are never to be changed.

Windows grow as a source is read: the first is small, so that a short range costs little; each next one is twice
as large up to a limit, so that a long scan pays the fixed price of a window for many records.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator, Sequence

from lsmproc.formats.version_edit import FileMetadata
from lsmproc.protocols import Columns, Memtable, TableReader

# Measured over 300,000 keys in random memory: 8 is faster for one record (13 us, 16: 18 us) but not for ten (29, 18) or
# a hundred (88, 80); 32 is slower for all three (25, 26, 125).
FIRST_WINDOW_RECORDS = 16
LARGEST_WINDOW_RECORDS = 512

# More than 16 blocks at once made long scans no faster that could be told from noise. A range that gets that far is a
# long scan, which would only wash out of the cache what point reads need, so it fills the cache no more.
FIRST_READ_AHEAD_BLOCKS = 1
LARGEST_READ_AHEAD_BLOCKS = 16


def memtable_windows(
    memtable: Memtable, start: bytes | None, stop: bytes | None, sequence: int, reverse: bool
) -> Iterator[Columns]:
    """The records of a memtable that a reader at ``sequence`` sees."""
    limit = FIRST_WINDOW_RECORDS
    while True:
        keys, values, bound = memtable.window(start, stop, sequence, limit, reverse=reverse)
        if keys:
            yield keys, values
        if bound is None:
            return
        if reverse:
            stop = bound
        else:
            start = bound
        limit = min(2 * limit, LARGEST_WINDOW_RECORDS)


def table_windows(
    reader: TableReader,
    start: bytes | None,
    stop: bytes | None,
    reverse: bool,
    *,
    fill_cache: bool = True,
    read_ahead: int = FIRST_READ_AHEAD_BLOCKS,
) -> Generator[Columns, None, int]:
    """The records of one table, reading ``read_ahead`` blocks first; returns the read-ahead it had grown to.

    ``fill_cache`` says whether blocks may enter the block cache; those of a long scan do not in any case.
    Raises what the reader raises: CorruptionError, StorageError.
    """
    first = 0 if start is None else reader.find_block(start)
    end = reader.block_count if stop is None else min(reader.find_block(stop) + 1, reader.block_count)
    low, high = first, end  # blocks still to read
    while low < high:
        count = min(read_ahead, high - low)
        index = high - count if reverse else low
        fill = fill_cache and read_ahead < LARGEST_READ_AHEAD_BLOCKS
        keys, values = reader.columns(index, count, fill_cache=fill)
        # Only the outermost blocks can hold records outside the range.
        left = bisect_left(keys, start) if index == first and start is not None else 0
        right = bisect_left(keys, stop) if index + count == end and stop is not None else len(keys)
        if left < right:
            yield (keys, values) if right - left == len(keys) else (keys[left:right], values[left:right])
        if reverse:
            high = index
        else:
            low = index + count
        read_ahead = min(2 * read_ahead, LARGEST_READ_AHEAD_BLOCKS)
    return read_ahead


def level_windows(
    tables: Sequence[FileMetadata],
    open_reader: Callable[[FileMetadata], TableReader],
    start: bytes | None,
    stop: bytes | None,
    reverse: bool,
    *,
    fill_cache: bool = True,
) -> Iterator[Columns]:
    """The records of one sorted run (``tables`` ascending and disjoint), each table opened when its turn comes."""
    first = 0 if start is None else bisect_left(tables, start, key=_largest)
    end = len(tables) if stop is None else bisect_left(tables, stop, key=_smallest)
    read_ahead = FIRST_READ_AHEAD_BLOCKS
    for index in range(end - 1, first - 1, -1) if reverse else range(first, end):
        reader = open_reader(tables[index])
        read_ahead = yield from table_windows(
            reader, start, stop, reverse, fill_cache=fill_cache, read_ahead=read_ahead
        )


def _largest(file: FileMetadata) -> bytes:
    return file.largest


def _smallest(file: FileMetadata) -> bytes:
    return file.smallest
