"""Reads a table in the block format (see formats/table_format.py).

The first use opens the file and loads footer, properties, filter and index; they stay resident. ``get`` is the
hottest path of all reads, so it is one flat function over one immutable tuple: filter probe, fence search, cached
block. Everything rarer is in methods below it.

Readers take no lock: ``_state`` is swapped as a whole, block slots are filled by the cache under its own lock, and the
open file is a reference (see open_file.py). Only loading is guarded, so that a table is loaded once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING

from lsmproc.errors import CorruptionError
from lsmproc.formats.block import (
    STORED_OVERHEAD,
    check_layout,
    decode_columns,
    decode_sequences,
    find_record,
    find_value,
    sequence_at,
    sequence_planes,
    unseal_block,
    value_at,
)
from lsmproc.formats.bloom_filter import BlockedBloomFilter, NoFilter
from lsmproc.formats.table_format import (
    BLOCK_TABLE_MAGIC,
    MAX_SECTION_BYTES,
    TopIndex,
    decode_partition,
    decode_top_index,
)
from lsmproc.protocols import MISSING, Columns, Missing
from lsmproc.storage.table_input import TableInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lsmproc.formats.version_edit import FileMetadata
    from lsmproc.storage.block_cache import BlockCache, CachedBlock, Slots
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.open_file import OpenFiles

# A cached block that is hit this often becomes a dict: one that is only passed through never pays for it.
_UNFOLD_HITS = 2

# Blocks that verify reads at a time.
_VERIFY_BLOCKS = 64


class _Partition:
    """One loaded index partition: fences, places and cache slots of adjacent blocks."""

    __slots__ = ("last_keys", "offsets", "slots")

    def __init__(self, last_keys: list[bytes], offsets: list[int]) -> None:
        self.last_keys = last_keys
        self.offsets = offsets  # of the blocks, then the end of the last one
        self.slots: Slots = [None] * len(last_keys)


class _Directory:
    """The resident upper index: where each partition stands and which blocks it covers."""

    __slots__ = ("firsts", "last_keys", "loaded", "offsets", "starts")

    def __init__(self, top: TopIndex) -> None:
        self.last_keys = top.last_keys
        self.firsts = list(accumulate(top.block_counts, initial=0))  # index of the first block; the last is the count
        self.starts = list(accumulate(top.data_bytes, initial=0))  # offset of the first block
        self.offsets = list(accumulate(top.partition_bytes, initial=self.starts[-1]))  # of the partition itself
        self.loaded: list[_Partition | None] = [None] * len(top.last_keys)


class BlockTableReader:
    """See TableReader."""

    def __init__(
        self, fs: FileSystem, metadata: FileMetadata, name: str, *, cache: BlockCache | None, open_files: OpenFiles
    ) -> None:
        """Read the table ``name``, which the manifest describes as ``metadata``. Opens nothing yet."""
        self.metadata = metadata
        self._input = TableInput(fs, metadata, name, open_files)
        self._cache = cache
        self._loading = Lock()
        self._directory: _Directory | None = None  # None until loaded
        self._only: _Partition | None = None  # the partition of a table that has one
        # What get needs: filter words, their count, filter masks, last key and cache slot of each block. Before the
        # table is loaded, and always in a table of several partitions, there are no fences and no slots, and
        # get takes the general path.
        maybe = NoFilter()
        self._state: tuple[Sequence[int], int, tuple[int, ...], list[bytes], Slots] = (
            maybe.words,
            maybe.word_count,
            maybe.masks,
            [],
            [],
        )

    def get(self, key: bytes, key_hash: int, /) -> bytes | Missing | None:
        """See TableReader.get."""
        words, word_count, masks, last_keys, slots = self._state
        mask = masks[key_hash & 4095]
        if words[(key_hash >> 12) % word_count] & mask != mask:
            return MISSING
        index = bisect_left(last_keys, key)
        try:
            block = slots[index]
        except IndexError:
            return self._get_beyond(key, key_hash)
        if block is None:
            return find_value(self._fetch(self._only, index), key)  # type: ignore[arg-type]
        block.hits += 1
        records = block.records
        if records is None:
            return self._get_folded(block, key)
        return records.get(key, MISSING)

    def lookup(self, key: bytes, key_hash: int, /) -> tuple[int, bytes | None] | Missing:
        """See TableReader.lookup."""
        words, word_count, masks, _, _ = self._state
        mask = masks[key_hash & 4095]
        if words[(key_hash >> 12) % word_count] & mask != mask:
            return MISSING
        directory = self._directory or self._load()
        number = bisect_left(directory.last_keys, key)
        if number == len(directory.last_keys):
            return MISSING
        partition = directory.loaded[number] or self._load_partition(directory, number)
        index = bisect_left(partition.last_keys, key)
        block = partition.slots[index]
        raw = self._fetch(partition, index) if block is None else block.raw
        if raw is None:
            return _lookup_unfolded(block, key)  # type: ignore[arg-type]
        place = find_record(raw, key)
        return MISSING if place < 0 else (sequence_at(sequence_planes(raw), place), value_at(raw, place))

    @property
    def block_count(self) -> int:
        """See TableReader.block_count."""
        return (self._directory or self._load()).firsts[-1]

    def find_block(self, key: bytes) -> int:
        """See TableReader.find_block."""
        directory = self._directory or self._load()
        number = bisect_left(directory.last_keys, key)
        if number == len(directory.last_keys):
            return directory.firsts[-1]
        partition = directory.loaded[number] or self._load_partition(directory, number)
        return directory.firsts[number] + bisect_left(partition.last_keys, key)

    def columns(self, first: int, count: int, *, fill_cache: bool = True) -> Columns:
        """See TableReader.columns."""
        keys: list[bytes] = []
        values: list[bytes | None] = []
        for partition, start, stop in self._spans(first, count):
            index = start
            while index < stop:
                block = partition.slots[index]
                if block is not None:
                    block.hits += 1
                    block_keys, block_values = _cached_columns(block)
                    keys += block_keys
                    values += block_values
                    index += 1
                    continue
                end = index + 1
                while end < stop and partition.slots[end] is None:
                    end += 1
                for raw in self._raw_blocks(partition, index, end):
                    block_keys, block_values = self._decode(raw, partition.offsets[index])
                    keys += block_keys
                    values += block_values
                    if fill_cache and self._cache is not None:
                        self._cache.insert(partition.slots, index, raw)
                    index += 1
        return keys, values

    def columns_with_sequences(self, first: int, count: int) -> tuple[list[bytes], list[bytes | None], list[int]]:
        """See TableReader.columns_with_sequences."""
        keys: list[bytes] = []
        values: list[bytes | None] = []
        planes: list[bytes] = []
        for partition, start, stop in self._spans(first, count):
            for index, raw in enumerate(self._raw_blocks(partition, start, stop), start):
                block_keys, block_values = self._decode(raw, partition.offsets[index])
                keys += block_keys
                values += block_values
                planes.append(sequence_planes(raw))
        return keys, values, decode_sequences(planes)

    def verify(self) -> None:
        """See TableReader.verify."""
        self._input.verify(self._all_columns())

    def close(self) -> None:
        """See TableReader.close."""
        self._input.close()
        if self._cache is not None and self._directory is not None:
            for partition in self._directory.loaded:
                if partition is not None:
                    self._cache.drop(partition.slots)

    def _get_beyond(self, key: bytes, key_hash: int) -> bytes | Missing | None:
        """Get from a table that is not loaded or has several partitions, or of a key after the last one."""
        directory = self._directory
        if directory is None:
            self._load()
            return self.get(key, key_hash)
        number = bisect_left(directory.last_keys, key)
        if number == len(directory.last_keys):
            return MISSING
        partition = directory.loaded[number] or self._load_partition(directory, number)
        index = bisect_left(partition.last_keys, key)
        block = partition.slots[index]
        if block is None:
            return find_value(self._fetch(partition, index), key)
        block.hits += 1
        records = block.records
        return self._get_folded(block, key) if records is None else records.get(key, MISSING)

    def _get_folded(self, block: CachedBlock, key: bytes) -> bytes | Missing | None:
        """Get from a cached block that is still raw, or has just been unfolded by another thread."""
        raw = block.raw
        if raw is not None and block.hits < _UNFOLD_HITS:
            return find_value(raw, key)
        return self._cache.unfold(block).get(key, MISSING)  # type: ignore[union-attr]

    def _fetch(self, partition: _Partition, index: int) -> bytes:
        """Read one raw block and cache it."""
        offsets = partition.offsets
        offset = offsets[index]
        raw = self._input.section(offset, offsets[index + 1] - offset)
        try:
            check_layout(raw)
        except CorruptionError as error:
            raise self._input.damage(error, offset) from error
        if self._cache is not None:
            self._cache.insert(partition.slots, index, raw)
        return raw

    def _raw_blocks(self, partition: _Partition, start: int, stop: int) -> Iterator[bytes]:
        """The raw blocks ``[start, stop)`` of a partition, with one read."""
        offsets = partition.offsets
        base = offsets[start]
        data = self._input.read(base, offsets[stop] - base)
        unique_id = self.metadata.unique_id
        largest = self._input.largest_block
        offset = base
        try:
            for end in offsets[start + 1 : stop + 1]:
                yield unseal_block(data[offset - base : end - base], unique_id ^ offset, largest)
                offset = end
        except CorruptionError as error:
            raise error if error.file else self._input.damage(error, offset) from error

    def _decode(self, raw: bytes, offset: int) -> Columns:
        try:
            check_layout(raw)
            return decode_columns(raw)
        except CorruptionError as error:
            raise self._input.damage(error, offset) from error

    def _spans(self, first: int, count: int) -> Iterator[tuple[_Partition, int, int]]:
        """The blocks ``[first, first + count)`` as ranges within partitions."""
        directory = self._directory or self._load()
        stop = min(first + count, directory.firsts[-1])
        number = bisect_right(directory.firsts, first) - 1
        while first < stop:
            base = directory.firsts[number]
            partition = directory.loaded[number] or self._load_partition(directory, number)
            end = min(stop, directory.firsts[number + 1])
            yield partition, first - base, end - base
            first = end
            number += 1

    def _all_columns(self) -> Iterator[tuple[list[bytes], list[bytes | None], list[int]]]:
        """Everything, for verify, which also compares it with the fences and the filter."""
        for first in range(0, self.block_count, _VERIFY_BLOCKS):
            for partition, start, stop in self._spans(first, _VERIFY_BLOCKS):
                for index, raw in enumerate(self._raw_blocks(partition, start, stop), start):
                    keys, values = self._decode(raw, partition.offsets[index])
                    if keys[-1] != partition.last_keys[index]:
                        raise self._input.damage("a block does not end with its fence", partition.offsets[index])
                    yield keys, values, decode_sequences([sequence_planes(raw)])

    def _load(self) -> _Directory:
        """Load footer, properties, index and filter, once."""
        with self._loading:
            if self._directory is not None:
                return self._directory
            footer, properties = self._input.load_footer(BLOCK_TABLE_MAGIC)
            handle = footer.index
            try:
                top = decode_top_index(self._input.section(handle.offset, handle.size, MAX_SECTION_BYTES))
            except CorruptionError as error:
                raise error if error.file else self._input.damage(error, handle.offset) from error
            directory = _Directory(top)
            if directory.offsets[-1] != footer.filter.offset or directory.firsts[-1] != properties.block_count:
                raise self._input.damage("the index does not cover the table", handle.offset)
            maybe: BlockedBloomFilter | NoFilter = NoFilter()
            if footer.filter.size:
                handle = footer.filter
                try:
                    maybe = BlockedBloomFilter(self._input.section(handle.offset, handle.size, MAX_SECTION_BYTES))
                except CorruptionError as error:
                    raise error if error.file else self._input.damage(error, handle.offset) from error
            last_keys: list[bytes] = []
            slots: Slots = []
            if len(top.last_keys) == 1:
                self._only = self._load_partition(directory, 0)
                last_keys = self._only.last_keys
                slots = self._only.slots
            self._state = (maybe.words, maybe.word_count, maybe.masks, last_keys, slots)
            self._directory = directory
            return directory

    def _load_partition(self, directory: _Directory, number: int) -> _Partition:
        """Read one index partition; if two threads do at once, the first one's stays."""
        offset = directory.offsets[number]
        raw = self._input.section(offset, directory.offsets[number + 1] - offset, MAX_SECTION_BYTES)
        try:
            last_keys, sizes = decode_partition(raw)
        except CorruptionError as error:
            raise self._input.damage(error, offset) from error
        offsets = list(accumulate(sizes, initial=directory.starts[number]))
        blocks = directory.firsts[number + 1] - directory.firsts[number]
        fits = len(sizes) == blocks and offsets[-1] == directory.starts[number + 1]
        fits = fits and max(sizes) <= self._input.largest_block + STORED_OVERHEAD
        if not fits or last_keys[-1] != directory.last_keys[number]:
            raise self._input.damage("an index partition does not fit the index", offset)
        partition = _Partition(last_keys, offsets)
        # One list operation, so that a second thread cannot replace slots that already hold cached blocks.
        loaded = directory.loaded
        if loaded[number] is None:
            loaded[number] = partition
        return loaded[number] or partition


def _cached_columns(block: CachedBlock) -> Columns:
    """Keys and values of a cached block in either form."""
    raw = block.raw
    if raw is not None:
        return decode_columns(raw)
    records = block.records
    assert records is not None
    return list(records), list(records.values())


def _lookup_unfolded(block: CachedBlock, key: bytes) -> tuple[int, bytes | None] | Missing:
    """Sequence and value from a block in its dict form."""
    records = block.records
    assert records is not None
    value = records.get(key, MISSING)
    if isinstance(value, Missing):
        return MISSING
    return sequence_at(block.planes, list(records).index(key)), value
