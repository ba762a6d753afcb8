"""The plain table: all records in one uncompressed block, held as one dict once loaded.

The second implementation of the table protocols: simple, and fast for small tables, which is what it is for. A
builder holds all records until it finishes, and a reader holds them for as long as it lives.
"""

from __future__ import annotations

from bisect import bisect_left
from threading import Lock
from typing import TYPE_CHECKING

from lsmproc.errors import CorruptionError
from lsmproc.formats.block import BlockEncoder, check_layout, decode_columns, seal_block, sequence_planes
from lsmproc.formats.bloom_filter import NoFilter
from lsmproc.formats.byte_planes import decode_sequences
from lsmproc.formats.compression import Codec
from lsmproc.formats.table_format import (
    MAX_SECTION_BYTES,
    PLAIN_TABLE_MAGIC,
    BlockHandle,
    Footer,
    Properties,
    encode_footer,
    encode_properties,
)
from lsmproc.protocols import MISSING, Columns, Missing, Part
from lsmproc.storage.open_file import OpenFiles
from lsmproc.storage.table_input import TableInput
from lsmproc.storage.table_output import TableOutput, TableTotals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lsmproc.formats.messages import TableOptions
    from lsmproc.formats.version_edit import FileMetadata
    from lsmproc.storage.block_cache import BlockCache
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.table_input import OnDamage

_PART_RECORDS = 64


class PlainTableBuilder:
    """See TableBuilder. One thread only."""

    def __init__(
        self,
        fs: FileSystem,
        name: str,
        options: TableOptions,  # noqa: ARG002 (a plain table has no choices; same signature as every builder)
        *,
        unique_id: int,
        grant: Callable[[int], None],
    ) -> None:
        """Create the file ``name``, which must not exist; ``grant(bytes)`` is called before each write."""
        self._fs = fs
        self._name = name
        self._unique_id = unique_id
        self._totals = TableTotals()
        self._keys: list[bytes] = []
        self._values: list[bytes | None] = []
        self._sequences: list[int] = []
        self._output = TableOutput(fs, name, grant)

    @property
    def size(self) -> int:
        """See TableBuilder.size."""
        return self._totals.raw_bytes

    def add(self, keys: list[bytes], values: list[bytes | None], sequences: list[int]) -> None:
        """See TableBuilder.add."""
        self._totals.add(keys, values, sequences)
        self._keys += keys
        self._values += values
        self._sequences += sequences

    def finish(self) -> FileMetadata:
        """See TableBuilder.finish."""
        totals = self._totals
        fields = totals.fields()
        raw = BlockEncoder().encode(self._keys, self._values, self._sequences)
        self._output.append(seal_block(raw, Codec.NONE, self._unique_id))
        empty = BlockHandle(self._output.size, 0)
        properties = encode_properties(Properties(*fields, self._unique_id, 1, Codec.NONE.value, 0))
        stored = seal_block(properties, Codec.NONE, self._unique_id ^ self._output.size)
        handle = BlockHandle(self._output.size, len(stored))
        self._output.append(stored)
        footer = Footer(PLAIN_TABLE_MAGIC, self._unique_id, empty, empty, handle)
        self._output.finish(lambda size: encode_footer(footer, size))
        metadata = totals.metadata(self._output, self._unique_id)
        self._read_back(metadata)
        return metadata

    def abandon(self) -> None:
        """See TableBuilder.abandon."""
        self._output.abandon()

    def _read_back(self, metadata: FileMetadata) -> None:
        """Load the finished table as a reader would."""
        reader = PlainTableReader(self._fs, metadata, self._name, cache=None, open_files=OpenFiles(1))
        try:
            if len(reader.columns(0, 1)[0]) != metadata.entries:
                raise CorruptionError("a new table does not read back as written", file=self._name)
        finally:
            reader.close()


class PlainTableReader:
    """See TableReader."""

    def __init__(
        self,
        fs: FileSystem,
        metadata: FileMetadata,
        name: str,
        *,
        cache: BlockCache | None,  # noqa: ARG002 (everything is resident; same signature as every reader)
        open_files: OpenFiles,
        on_damage: OnDamage | None = None,
    ) -> None:
        """Read the table ``name``, which the manifest describes as ``metadata``. Opens nothing yet."""
        self.metadata = metadata
        self._input = TableInput(fs, metadata, name, open_files, on_damage)
        self._loading = Lock()
        self._records: dict[bytes, bytes | None] | None = None
        self._sequences: list[int] = []
        self._keys: list[bytes] | None = None  # made at the first range
        maybe = NoFilter()  # a dict says no as fast as a filter
        self.filter: tuple[Sequence[int], int] = (maybe.words, maybe.word_count)
        self._positions: dict[bytes, int] | None = None  # made at the first lookup

    def get(self, key: bytes, key_hash: int, /) -> bytes | Missing | None:
        """See TableReader.get."""
        return self.find(key, key_hash)

    def find(self, key: bytes, _key_hash: int, /) -> bytes | Missing | None:
        """See TableReader.find."""
        records = self._records
        if records is None:
            records = self._load()
        return records.get(key, MISSING)

    def lookup(self, key: bytes, key_hash: int, /) -> tuple[int, bytes | None] | Missing:
        """See TableReader.lookup."""
        value = self.get(key, key_hash)
        if isinstance(value, Missing):
            return MISSING
        positions = self._positions
        if positions is None:
            records = self._load()
            positions = self._positions = dict(zip(records, range(len(records)), strict=True))
        return self._sequences[positions[key]], value

    @property
    def block_count(self) -> int:
        """See TableReader.block_count."""
        self._load()
        return 1

    def find_block(self, key: bytes) -> int:
        """See TableReader.find_block."""
        self._load()
        return 0 if key <= self.metadata.largest else 1

    def part(
        self,
        start: bytes | None,
        stop: bytes | None,
        reverse: bool,
        fill_cache: bool,  # noqa: ARG002 (all is resident)
    ) -> Part | None:
        """See TableReader.part."""
        records = self._load()
        if self._keys is None:
            self._keys = list(records)
        keys = self._keys
        low = 0 if start is None else bisect_left(keys, start)
        high = len(keys) if stop is None else bisect_left(keys, stop)
        first, end = (max(low, high - _PART_RECORDS), high) if reverse else (low, min(low + _PART_RECORDS, high))
        if first >= end:
            return None
        bound = (keys[first] if first > low else None) if reverse else (keys[end] if end < high else None)
        found = keys[first:end]
        return found, 0, len(found), bound, list(map(records.__getitem__, found))

    def columns(self, first: int, count: int, *, fill_cache: bool = True) -> Columns:  # noqa: ARG002 (all is resident)
        """See TableReader.columns."""
        if first != 0 or count < 1:
            return [], []
        records = self._load()
        return list(records), list(records.values())

    def columns_with_sequences(self, first: int, count: int) -> tuple[list[bytes], list[bytes | None], list[int]]:
        """See TableReader.columns_with_sequences."""
        keys, values = self.columns(first, count)
        return keys, values, list(self._sequences) if keys else []

    def verify(self) -> None:
        """See TableReader.verify."""
        self._load()
        self._input.verify([self._read_all()])

    def close(self) -> None:
        """See TableReader.close."""
        self._input.close()

    def _load(self) -> dict[bytes, bytes | None]:
        """Read the whole table, once."""
        records = self._records
        if records is not None:
            return records
        with self._loading:
            if self._records is None:
                keys, values, self._sequences = self._read_all()
                self._records = dict(zip(keys, values, strict=True))
            return self._records

    def _read_all(self) -> tuple[list[bytes], list[bytes | None], list[int]]:
        footer, _ = self._input.load_footer(PLAIN_TABLE_MAGIC)
        raw = self._input.section(0, footer.filter.offset, MAX_SECTION_BYTES)
        try:
            check_layout(raw)
            keys, values = decode_columns(raw)
        except CorruptionError as error:
            raise self._input.damage(error, 0) from error
        if len(keys) != self.metadata.entries:
            raise self._input.damage(f"the table holds {len(keys)} records instead of {self.metadata.entries}", 0)
        return keys, values, decode_sequences([sequence_planes(raw)])
