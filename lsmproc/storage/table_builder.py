"""Writes a table in the block format (see formats/table_format.py).

Records are collected until whole blocks can be cut; cutting decides once per block, from running sums of the
records' sizes. Finished parts go to the file in pieces of a quarter of a mebibyte, and each asks for its grant
first, so a rate limiter or a stop is felt between pieces. A finished table is read back before it is reported.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate

from lsmproc.errors import CorruptionError
from lsmproc.formats.block import BlockEncoder, seal_block, tags_of
from lsmproc.formats.bloom_filter import build_bloom_filter
from lsmproc.formats.byte_planes import little_endian, planes_between
from lsmproc.formats.compression import codec_named
from lsmproc.formats.equal_records import LARGEST_KEY_BYTES, LARGEST_VALUE_BYTES, EqualRecordsEncoder
from lsmproc.formats.key_hashes import hashes_of
from lsmproc.formats.messages import TableOptions
from lsmproc.formats.table_format import (
    BLOCK_TABLE_MAGIC,
    PARTITION_BLOCKS,
    BlockHandle,
    Footer,
    Properties,
    TopIndex,
    encode_footer,
    encode_partition,
    encode_properties,
    encode_top_index,
)
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.storage.file_system import FileSystem
from lsmproc.storage.open_file import OpenFiles
from lsmproc.storage.table_output import TableOutput, TableTotals
from lsmproc.storage.table_reader import BlockTableReader


class BlockTableBuilder:
    """See TableBuilder. One thread only."""

    def __init__(
        self, fs: FileSystem, name: str, options: TableOptions, *, unique_id: int, grant: Callable[[int], None]
    ) -> None:
        """Create the file ``name``, which must not exist; ``grant(bytes)`` is called before each write."""
        self._codec = codec_named(options.compression)
        self._block_bytes = options.block_bytes
        self._filter_bits = options.filter_bits_per_key if options.filter_kind == "bloom" else 0
        self._fs = fs
        self._name = name
        self._unique_id = unique_id
        self._encoder = BlockEncoder()
        self._totals = TableTotals()
        self._hashes = array("Q")  # of all keys, for the filter
        self._last_keys: list[bytes] = []
        self._block_sizes: list[int] = []
        self._keys: list[bytes] = []  # not in a block yet
        self._values: list[bytes | None] = []
        self._sequences = array("Q")
        self._new_hashes = array("Q")  # of the keys that are not in a block yet
        self._sizes: list[int] = []  # bytes of each of these records
        self._lengths: tuple[int, int] | None = None  # of their keys and values, if it is known that all have the same
        self._output = TableOutput(fs, name, grant)

    @property
    def size(self) -> int:
        """See TableBuilder.size."""
        return self._output.size

    def add(self, keys: list[bytes], values: list[bytes | None], sequences: list[int]) -> None:
        """See TableBuilder.add."""
        sizes, new_lengths = self._totals.add(keys, values, sequences)
        lengths, waiting = new_lengths, len(self._keys)
        self._new_hashes += hashes_of(keys)
        self._sequences.fromlist(sequences)
        if self._keys:
            keys = self._keys + keys
            values = self._values + values
            sizes = self._sizes + sizes
            lengths = lengths if lengths == self._lengths else None
        if lengths is not None and lengths[0] <= LARGEST_KEY_BYTES and lengths[1] <= LARGEST_VALUE_BYTES:
            taken = self._cut_equal_blocks(keys, values, lengths)  # type: ignore[arg-type]
        else:
            taken = self._cut_blocks(keys, values, sizes)
        self._lengths = new_lengths if taken >= waiting else lengths
        self._keys = keys[taken:]
        self._values = values[taken:]
        self._sequences = self._sequences[taken:]
        self._take_hashes(taken)
        self._sizes = sizes[taken:]

    def finish(self) -> FileMetadata:
        """See TableBuilder.finish."""
        if self._keys:
            self._write_block(self._keys, self._values, self._sequences, self._new_hashes)
            self._take_hashes(len(self._keys))
        totals = self._totals
        top = self._write_partitions()
        filter_handle = BlockHandle(self._output.size, 0)
        if self._filter_bits:
            filter_handle = self._write_section(
                build_bloom_filter(self._hashes, len(self._hashes), self._filter_bits), compressed=False
            )
        index_handle = self._write_section(encode_top_index(top))
        properties = Properties(
            *totals.fields(), self._unique_id, len(self._block_sizes), self._codec.value, self._filter_bits
        )
        properties_handle = self._write_section(encode_properties(properties))
        footer = Footer(BLOCK_TABLE_MAGIC, self._unique_id, filter_handle, index_handle, properties_handle)
        self._output.finish(lambda size: encode_footer(footer, size))
        metadata = totals.metadata(self._output, self._unique_id)
        self._read_back(metadata)
        return metadata

    def abandon(self) -> None:
        """See TableBuilder.abandon."""
        self._output.abandon()

    def _cut_blocks(self, keys: list[bytes], values: list[bytes | None], sizes: list[int]) -> int:
        """Write all full blocks; returns how many records they took."""
        ends = list(accumulate(sizes))
        start = 0
        before = 0
        while (last := bisect_left(ends, before + self._block_bytes, start)) < len(ends):
            stop = last + 1
            self._write_block(
                keys[start:stop], values[start:stop], self._sequences[start:stop], self._new_hashes[start:stop]
            )
            start = stop
            before = ends[last]
        return start

    def _cut_equal_blocks(self, keys: list[bytes], values: list[bytes], lengths: tuple[int, int]) -> int:
        """As ``_cut_blocks``, for records that all have the same ``lengths``, which says where blocks end."""
        count = -(-self._block_bytes // max(1, sum(lengths)))
        encode = EqualRecordsEncoder(count, lengths).encode
        tags, numbers = tags_of(self._new_hashes), little_endian(self._sequences)
        stop = 0
        for stop in range(count, len(keys) + 1, count):
            start = stop - count
            planes = planes_between(numbers, start, stop)
            self._append_block(encode(keys[start:stop], values[start:stop], tags[start:stop], planes), keys[stop - 1])
        return stop

    def _take_hashes(self, count: int) -> None:
        """Keep the first of the new hashes for the filter: their keys are in blocks now."""
        if self._filter_bits:
            self._hashes.extend(self._new_hashes[:count])
        del self._new_hashes[:count]

    def _write_block(
        self, keys: list[bytes], values: list[bytes | None], sequences: array[int], hashes: array[int]
    ) -> None:
        self._append_block(self._encoder.encode(keys, values, sequences, hashes), keys[-1])

    def _append_block(self, raw: bytes, last_key: bytes) -> None:
        stored = seal_block(raw, self._codec, self._unique_id ^ self._output.size)
        self._last_keys.append(last_key)
        self._block_sizes.append(len(stored))
        self._output.append(stored)

    def _write_partitions(self) -> TopIndex:
        """Write the lower level of the index; returns the upper one."""
        top = TopIndex([], [], [], [])
        for first in range(0, len(self._block_sizes), PARTITION_BLOCKS):
            last_keys = self._last_keys[first : first + PARTITION_BLOCKS]
            sizes = self._block_sizes[first : first + PARTITION_BLOCKS]
            handle = self._write_section(encode_partition(last_keys, sizes))
            top.last_keys.append(last_keys[-1])
            top.partition_bytes.append(handle.size)
            top.block_counts.append(len(sizes))
            top.data_bytes.append(sum(sizes))
        return top

    def _write_section(self, raw: bytes, *, compressed: bool = True) -> BlockHandle:
        codec = self._codec if compressed else codec_named("none")
        stored = seal_block(raw, codec, self._unique_id ^ self._output.size)
        handle = BlockHandle(self._output.size, len(stored))
        self._output.append(stored)
        return handle

    def _read_back(self, metadata: FileMetadata) -> None:
        """Open the finished table as a reader would, which checks footer, properties, index and filter."""
        reader = BlockTableReader(self._fs, metadata, self._name, cache=None, open_files=OpenFiles(1))
        try:
            if reader.block_count != len(self._block_sizes):
                raise CorruptionError("a new table does not read back as written", file=self._name)
        finally:
            reader.close()
