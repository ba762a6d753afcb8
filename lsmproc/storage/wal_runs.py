"""A finished log segment as sorted runs: what a flush merges into a table.

The records of a segment lie in memory in the order in which they were written. Taking them in key order, one by one,
waits for memory at every record and at every column of it. So pieces small enough for the processor's cache are sorted
first, each with its columns, and the flush merges these runs window by window, as a compaction does.
"""

from __future__ import annotations

from itertools import repeat
from operator import itemgetter

from lsmproc.formats.frame_decoding import DecodedFrames
from lsmproc.formats.messages import SegmentEnd
from lsmproc.storage.file_system import FileSystem
from lsmproc.storage.wal_reader import read_segment

Run = tuple[list[bytes], list["bytes | None"], list[int]]  # keys, ascending, their values and sequences

# At least: the records of that many bytes of log take two to three times as much, which a cache still holds.
_RUN_BYTES = 1 << 20
# Of one segment: a merge of more takes longer than sorting longer pieces.
_MOST_RUNS = 32


def read_runs(fs: FileSystem, segment: SegmentEnd, store_uuid: bytes) -> list[Run]:
    """The newest records of a finished segment, in runs; the oldest run first, and each key once in a run.

    Raises CorruptionError unless the segment is exactly what ``segment`` says.
    """
    columns = _Columns(max(_RUN_BYTES, segment.end // _MOST_RUNS))
    read_segment(fs, segment, store_uuid, columns.take)
    return columns.finished()


class _Columns:
    """Collects decoded frames and sorts them, a piece at a time."""

    def __init__(self, run_bytes: int) -> None:
        self._run_bytes = run_bytes
        self._bytes = 0
        self._keys: list[bytes] = []
        self._values: list[bytes | None] = []
        self._sequences: list[int] = []
        self._runs: list[Run] = []

    def take(self, frames: DecodedFrames) -> None:
        if frames.plain:
            self._keys += frames.keys  # type: ignore[arg-type]
            self._values += frames.values  # type: ignore[arg-type]
            self._sequences += frames.sequences
        else:
            for key, value, sequence in zip(frames.keys, frames.values, frames.sequences, strict=True):
                if type(key) is tuple:  # a batch
                    self._keys += key
                    self._values += value  # type: ignore[arg-type]
                    self._sequences += repeat(sequence, len(key))
                elif key is not None:  # Promises and the seal have none.
                    self._keys.append(key)  # type: ignore[arg-type]
                    self._values.append(value)  # type: ignore[arg-type]
                    self._sequences.append(sequence)
        self._bytes += frames.size
        if self._bytes >= self._run_bytes:
            self._sort()

    def finished(self) -> list[Run]:
        self._sort()
        return self._runs

    def _sort(self) -> None:
        if self._keys:
            self._runs.append(sorted_run(self._keys, self._values, self._sequences))
        self._keys, self._values, self._sequences, self._bytes = [], [], [], 0


def sorted_run(keys: list[bytes], values: list[bytes | None], sequences: list[int]) -> Run:
    """The run of these records, which are not none; of equal keys the last record."""
    places = dict(zip(keys, range(len(keys)), strict=True))
    order = sorted(places)
    if len(order) == 1:
        place = places[order[0]]
        return order, [values[place]], [sequences[place]]
    pick = itemgetter(*itemgetter(*order)(places))
    return order, list(pick(values)), list(pick(sequences))
