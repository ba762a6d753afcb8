"""What a compaction reads: its input runs as windows of columns, merged, without the tombstones nobody needs.

The merging itself is :func:`lsmproc.iterators.merge_windows.merge_windows`; here its sources are made from tables,
and what comes out is thinned.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import compress, repeat
from operator import ge, is_not, or_
from typing import TYPE_CHECKING

from lsmproc.errors import CorruptionError
from lsmproc.iterators.merge_windows import STEP_RECORDS, merge_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lsmproc.formats.version_edit import FileMetadata
    from lsmproc.protocols import TableReader

Window = tuple[list[bytes], list["bytes | None"], list[int]]

# A run is read in pieces of several steps of the merge: each end of a piece costs a step, which is then a small one.
_READ_RECORDS = 4 * STEP_RECORDS
# And of about this size at most, however few records that is; less where outputs are small, which end between pieces.
_READ_BYTES = 256 << 10
_LEAST_READ_BYTES = 32 << 10
_PIECES_PER_OUTPUT = 8
# A stop is felt at least once per this many bytes read.
_TICK_BYTES = 4 << 20


class MergeInput:
    """Reads the runs of a compaction within ``[start, stop)`` and counts what it reads."""

    def __init__(
        self,
        open_reader: Callable[[FileMetadata], TableReader],
        start: bytes | None,
        stop: bytes | None,
        grant: Callable[[int], None],
        max_file_bytes: int = _PIECES_PER_OUTPUT * _READ_BYTES,
    ) -> None:
        """``open_reader`` opens a table; the reader is closed when its last record in range is read.

        ``max_file_bytes``: where an output should end, as nearly as pieces of what is read allow.
        """
        self.records_read: int = 0
        self.bytes_read: int = 0
        self._open_reader = open_reader
        self._start = start
        self._stop = stop
        self._grant = grant
        self._next_tick = _TICK_BYTES
        self._piece_bytes = min(_READ_BYTES, max(_LEAST_READ_BYTES, max_file_bytes // _PIECES_PER_OUTPUT))

    def merged(self, runs: Sequence[Sequence[FileMetadata]]) -> Iterator[Window]:
        """All records of the runs (newest run first), ascending, the newest one of each key."""
        merged: Iterator[Window] = merge_windows([self._run_windows(run) for run in runs])  # type: ignore[assignment]
        return merged

    def _run_windows(self, run: Sequence[FileMetadata]) -> Iterator[Window]:
        for file in run:
            if (self._start is None or file.largest >= self._start) and (
                self._stop is None or file.smallest < self._stop
            ):
                reader = self._open_reader(file)
                try:
                    yield from self._table_windows(reader)
                finally:
                    reader.close()

    def _table_windows(self, reader: TableReader) -> Iterator[Window]:
        """The records of one table in range. Raises CorruptionError if a table read as a whole has others."""
        file = reader.metadata
        blocks = reader.block_count
        first = 0 if self._start is None else reader.find_block(self._start)
        end = blocks if self._stop is None else min(blocks, reader.find_block(self._stop) + 1)
        step = max(1, min(_READ_RECORDS * blocks // file.entries, self._piece_bytes * blocks // file.size))
        block_bytes = file.size // blocks
        found = 0
        for index in range(first, end, step):
            count = min(step, end - index)
            window = reader.columns_with_sequences(index, count)
            found += len(window[0])
            self._count_bytes(count * block_bytes)
            window = self._trimmed(window)
            if window[0]:
                self.records_read += len(window[0])
                yield window
        if first == 0 and end == blocks and found != file.entries:
            raise CorruptionError(f"table {file.number} holds {found} records; the manifest says {file.entries}")

    def _trimmed(self, window: Window) -> Window:
        """The part of a window within the range."""
        keys, values, sequences = window
        start = 0 if self._start is None or keys[0] >= self._start else bisect_left(keys, self._start)
        stop = len(keys) if self._stop is None or keys[-1] < self._stop else bisect_left(keys, self._stop)
        if start == 0 and stop == len(keys):
            return window
        return keys[start:stop], values[start:stop], sequences[start:stop]

    def _count_bytes(self, size: int) -> None:
        self.bytes_read += size
        if self.bytes_read >= self._next_tick:
            self._next_tick = self.bytes_read + _TICK_BYTES
            self._grant(0)


class TombstoneRule:
    """Which tombstones a compaction may drop: old ones that nothing deeper in the tree lies below.

    Decided per window; only where a window lies partly over deeper tables, per tombstone.
    """

    def __init__(self, deeper: Sequence[tuple[bytes, bytes]], droppable_below: int) -> None:
        """``deeper``: smallest and largest key of each deeper table, in any order, overlapping as they like."""
        self._droppable_below = droppable_below
        self._smallest: list[bytes] = []
        self._largest: list[bytes] = []
        for smallest, largest in sorted(deeper):
            if self._largest and smallest <= self._largest[-1]:
                self._largest[-1] = max(self._largest[-1], largest)
            else:
                self._smallest.append(smallest)
                self._largest.append(largest)

    def thinned(self, window: Window) -> Window:
        """The window without the tombstones that may be dropped; itself when there are none. May be empty."""
        keys, values, sequences = window
        if None not in values:
            return window
        over = bisect_left(self._largest, keys[0])
        partly = over < len(self._largest) and self._smallest[over] <= keys[-1]
        if partly and self._smallest[over] <= keys[0] and self._largest[over] >= keys[-1]:
            return window
        kept = map(
            or_,
            map(is_not, values, repeat(None)),
            map(ge, sequences, repeat(self._droppable_below)),
        )
        if partly:
            kept = map(or_, kept, map(self._covered, keys))
        selectors = list(kept)
        if all(selectors):
            return window
        return (
            list(compress(keys, selectors)),
            list(compress(values, selectors)),
            list(compress(sequences, selectors)),
        )

    def _covered(self, key: bytes) -> bool:
        over = bisect_left(self._largest, key)
        return over < len(self._largest) and self._smallest[over] <= key
