"""Reads a table in the block format (see formats/table_format.py).

The first use opens the file and loads footer, properties, filter and index; they stay resident. ``find`` is the
hottest path of all reads, so it is flat: fence search, cached block or one pread, value. The filter is probed by the
caller, who asks many tables for one key. Everything rarer is in methods below.

Readers take no lock: ``_state`` and ``filter`` are swapped as a whole, block slots are filled by the cache under its
own lock, and the open file is a reference (see open_file.py). Only loading is guarded, so that a table is loaded once.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING

import xxhash

from lsmproc.errors import CorruptionError
from lsmproc.formats.block import (
    MALFORMED,
    STORED_OVERHEAD,
    check_layout,
    decode_columns,
    decode_keys,
    find_record,
    find_value,
    sequence_planes,
    tags,
    tags_of,
    unseal_block,
    value_at,
)
from lsmproc.formats.bloom_filter import PLACE_MASK, BlockedBloomFilter, NoFilter, filter_masks
from lsmproc.formats.byte_planes import decode_sequences, sequence_at
from lsmproc.formats.table_format import (
    BLOCK_TABLE_MAGIC,
    MAX_SECTION_BYTES,
    decode_partition,
    decode_top_index,
)
from lsmproc.protocols import MISSING, Columns, Missing, Part
from lsmproc.storage.block_cache import ADMITTED, BlockCache
from lsmproc.storage.table_index import NO_PARTITION, IndexPartition, TableIndex
from lsmproc.storage.table_input import TableInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lsmproc.formats.version_edit import FileMetadata
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.open_file import OpenFiles
    from lsmproc.storage.table_input import OnDamage

# Blocks that verify reads at a time.
_VERIFY_BLOCKS = 64


FILTER_MASKS = filter_masks()


class BlockTableReader:
    """See TableReader."""

    def __init__(
        self,
        fs: FileSystem,
        metadata: FileMetadata,
        name: str,
        *,
        cache: BlockCache | None,
        open_files: OpenFiles,
        on_damage: OnDamage | None = None,
    ) -> None:
        """Read the table ``name``, which the manifest describes as ``metadata``. Opens nothing yet."""
        self.metadata = metadata
        self._input = TableInput(fs, metadata, name, open_files, on_damage)
        # Without a budget nothing stays in it, but it counts.
        self._cache = BlockCache(0) if cache is None else cache
        self._loading = Lock()
        self._directory: TableIndex | None = None  # None until loaded
        # What find needs. Before the table is loaded, and always in a table of several partitions, there are no fences,
        # and find takes the general path.
        self._state = (NO_PARTITION.last_keys, NO_PARTITION.slots.blocks, NO_PARTITION)
        maybe = NoFilter()
        self.filter: tuple[Sequence[int], int] = (maybe.words, maybe.word_count)

    def get(self, key: bytes, key_hash: int, /) -> bytes | Missing | None:
        """See TableReader.get."""
        words, word_count = self.filter
        mask = FILTER_MASKS[key_hash & 4095]
        if words[(key_hash >> 12 & PLACE_MASK) % word_count] & mask != mask:
            return MISSING
        return self.find(key, key_hash)

    def find(self, key: bytes, key_hash: int, /) -> bytes | Missing | None:
        """See TableReader.find."""
        last_keys, blocks, partition = self._state
        index = bisect_left(last_keys, key)
        try:
            raw = blocks[index]
        except IndexError:
            return self._find_beyond(key, key_hash)
        if raw is None:
            raw = self._fetch(partition, index)
        else:
            partition.slots.hit[index] = 1
            self._cache.hits += 1
        try:
            return find_value(raw, key, key_hash & 255)
        except MALFORMED as error:
            raise self._input.damage(error, partition.offsets[index]) from error

    def lookup(self, key: bytes, key_hash: int, /) -> tuple[int, bytes | None] | Missing:
        """See TableReader.lookup."""
        words, word_count = self.filter
        mask = FILTER_MASKS[key_hash & 4095]
        if words[(key_hash >> 12 & PLACE_MASK) % word_count] & mask != mask:
            return MISSING
        found = self._partition_of(key)
        if found is None:
            return MISSING
        raw = self._block(*found)
        try:
            place = find_record(raw, key, key_hash & 255)
            return MISSING if place < 0 else (sequence_at(sequence_planes(raw), place), value_at(raw, place))
        except MALFORMED as error:
            raise self._input.damage(error, found[0].offsets[found[1]]) from error

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

    def part(self, start: bytes | None, stop: bytes | None, reverse: bool, fill_cache: bool) -> Part | None:
        """See TableReader.part."""
        if reverse:
            return self._part_reverse(start, stop, fill_cache=fill_cache)
        last_keys, blocks, partition = self._state
        index = 0 if start is None else bisect_left(last_keys, start)
        if index >= len(last_keys):
            found = self._partition_of(b"" if start is None else start)
            if found is None:
                return None
            partition, index = found
            blocks = partition.slots.blocks
        raw = blocks[index]
        if raw is None:
            raw = self._fetch(partition, index, fill_cache=fill_cache)
        else:
            partition.slots.hit[index] = 1
            self._cache.hits += 1
        keys = self._keys(raw, partition, index)
        low = 0 if start is None else bisect_left(keys, start)
        last_key = keys[-1]
        if stop is not None and last_key >= stop:
            high = bisect_left(keys, stop)
            return (keys, low, high, None, raw) if low < high else None
        # The bound is no key: the next block's first one is not known.
        return keys, low, len(keys), None if last_key == self.metadata.largest else last_key + b"\0", raw

    def _part_reverse(self, start: bytes | None, stop: bytes | None, *, fill_cache: bool) -> Part | None:
        index = self.block_count - 1 if stop is None else min(self.find_block(stop), self.block_count - 1)
        while True:
            partition, place, _ = next(self._spans(index, 1))
            raw = self._block(partition, place, fill_cache=fill_cache)
            keys = self._keys(raw, partition, place)
            high = len(keys) if stop is None else bisect_left(keys, stop)
            if high or not index:
                break
            index -= 1  # The block that may hold the stop begins with it.
        low = 0 if start is None else bisect_left(keys, start)
        return (keys, low, high, keys[0] if index and low == 0 else None, raw) if low < high else None

    def columns(self, first: int, count: int, *, fill_cache: bool = True) -> Columns:
        """See TableReader.columns."""
        keys: list[bytes] = []
        values: list[bytes | None] = []
        for partition, start, stop in self._spans(first, count):
            blocks = partition.slots.blocks
            index = start
            while index < stop:
                raw = blocks[index]
                if raw is not None:
                    partition.slots.hit[index] = 1
                    self._cache.hits += 1
                    raws = [raw]
                else:
                    end = index + 1
                    while end < stop and blocks[end] is None:
                        end += 1
                    raws = list(self._raw_blocks(partition, index, end))
                    if fill_cache:
                        for place, raw in enumerate(raws, index):
                            self._cache.missed(partition.slots, place, raw)
                for raw in raws:
                    block_keys, block_values = self._decode(raw, partition.offsets[index])
                    keys += block_keys
                    values += block_values
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
        if self._directory is not None:
            for partition in self._directory.loaded:
                if partition is not None:
                    self._cache.drop(partition.slots)

    def _find_beyond(self, key: bytes, key_hash: int) -> bytes | Missing | None:
        """Find in a table that is not loaded or has several partitions, or a key after the last one."""
        if self._directory is None:
            self._load()
            return self.get(key, key_hash)
        found = self._partition_of(key)
        if found is None:
            return MISSING
        raw = self._block(*found)
        try:
            return find_value(raw, key, key_hash & 255)
        except MALFORMED as error:
            raise self._input.damage(error, found[0].offsets[found[1]]) from error

    def _partition_of(self, key: bytes) -> tuple[IndexPartition, int] | None:
        """The partition, and the index in it, of the only block that can hold ``key``; None if there is none."""
        directory = self._directory or self._load()
        number = bisect_left(directory.last_keys, key)
        if number == len(directory.last_keys):
            return None
        partition = directory.loaded[number] or self._load_partition(directory, number)
        return partition, bisect_left(partition.last_keys, key)

    def _block(self, partition: IndexPartition, index: int, *, fill_cache: bool = True) -> bytes:
        """One raw block, from the cache if it is there."""
        raw = partition.slots.blocks[index]
        if raw is None:
            return self._fetch(partition, index, fill_cache=fill_cache)
        partition.slots.hit[index] = 1
        self._cache.hits += 1
        return raw

    def _fetch(self, partition: IndexPartition, index: int, *, fill_cache: bool = True) -> bytes:
        """Read one raw block and offer it to the cache."""
        offsets = partition.offsets
        offset = offsets[index]
        source = self._input
        raw = source.block(offset, offsets[index + 1] - offset, source.largest_block)
        cache = self._cache
        cache.misses += 1
        # As BlockCache.missed, without its frame where it would do nothing.
        if fill_cache and (not cache.full or cache.misses % ADMITTED == 0):
            cache.insert(partition.slots, index, raw)
        return raw

    def _raw_blocks(self, partition: IndexPartition, start: int, stop: int) -> Iterator[bytes]:
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

    def _keys(self, raw: bytes, partition: IndexPartition, index: int) -> Sequence[bytes]:
        """The keys of a raw block, which are not none."""
        try:
            keys = decode_keys(raw)
            if keys:
                return keys
            raise CorruptionError("a block is empty")
        except MALFORMED as error:
            raise self._input.damage(error, partition.offsets[index]) from error

    def _decode(self, raw: bytes, offset: int) -> Columns:
        try:
            return decode_columns(raw)
        except MALFORMED as error:
            raise self._input.damage(error, offset) from error

    def _spans(self, first: int, count: int) -> Iterator[tuple[IndexPartition, int, int]]:
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
                    keys, values = self._checked(raw, partition.offsets[index])
                    if keys[-1] != partition.last_keys[index]:
                        raise self._input.damage("a block does not end with its fence", partition.offsets[index])
                    yield keys, values, decode_sequences([sequence_planes(raw)])

    def _checked(self, raw: bytes, offset: int) -> Columns:
        """Keys and values of a block after every check there is."""
        try:
            check_layout(raw)
        except CorruptionError as error:
            raise self._input.damage(error, offset) from error
        keys, values = self._decode(raw, offset)
        if tags(raw) != tags_of(array("Q", map(xxhash.xxh3_64_intdigest, keys))):
            raise self._input.damage("the tags of a block are not those of its keys", offset)
        return keys, values

    def _load(self) -> TableIndex:
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
            directory = TableIndex(top)
            if directory.offsets[-1] != footer.filter.offset or directory.firsts[-1] != properties.block_count:
                raise self._input.damage("the index does not cover the table", handle.offset)
            maybe: BlockedBloomFilter | NoFilter = NoFilter()
            if footer.filter.size:
                handle = footer.filter
                try:
                    maybe = BlockedBloomFilter(self._input.section(handle.offset, handle.size, MAX_SECTION_BYTES))
                except CorruptionError as error:
                    raise error if error.file else self._input.damage(error, handle.offset) from error
            if len(top.last_keys) == 1:
                only = self._load_partition(directory, 0)
                self._state = (only.last_keys, only.slots.blocks, only)
            self.filter = (maybe.words, maybe.word_count)
            self._directory = directory
            return directory

    def _load_partition(self, directory: TableIndex, number: int) -> IndexPartition:
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
        partition = IndexPartition(last_keys, offsets)
        # One list operation, so that a second thread cannot replace slots that already hold cached blocks.
        loaded = directory.loaded
        if loaded[number] is None:
            loaded[number] = partition
        return loaded[number] or partition
