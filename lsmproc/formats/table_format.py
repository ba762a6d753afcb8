"""The parts of a table file around its blocks: fence index, properties, footer.

A table in the block format::

    block 0 | block 1 | ... | index partition 0 | ... | filter | top index | properties | footer

A table in the plain format has one block, uncompressed, and no index and no filter::

    block 0 | properties | footer

All parts touch each other, and each but the footer is stored as a sealed block (see block.py), so every byte of
the file stands under a checksum that also binds it to its table and its place.

* An *index partition* describes up to ``PARTITION_BLOCKS`` adjacent blocks: a msgpack array ``[last keys, sizes]``, the
  sizes being the stored bytes of the blocks as u32s in one bin. Offsets are running sums of sizes.
* The *top index* is a msgpack array of arrays, one item each per partition: ``[last keys, bytes of the stored
  partition, count of blocks, bytes of all its blocks]``. Tables up to about 64 MiB have one partition, read when the
  table is opened; partitions of larger tables are read when first needed, and then stay too.
* The *filter* is what bloom_filter.py draws, stored uncompressed; an empty one means no filter.
* The *properties* are a msgpack array of the fields of :class:`Properties`, in their order, after a layout number.

The footer, little-endian::

    offset  bytes
    0       8     magic: which of the two formats
    8       4     format version
    12      4     zero
    16      8     unique id of the table
    24      8+8   offset and bytes of the filter
    40      8+8   offset and bytes of the top index
    56      8+8   offset and bytes of the properties
    72      8     xxh3-64 of the footer so far, seeded with the bytes of the whole file
"""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import astuple, dataclass, fields

import msgpack
import xxhash

from lsmproc.errors import CorruptionError
from lsmproc.formats.bounded_msgpack import FlatReader, shown

# Written to disk: do not change.
BLOCK_TABLE_MAGIC = b"\x89LSMBLK\n"
PLAIN_TABLE_MAGIC = b"\x89LSMPLN\n"
FORMAT_VERSION = 2
PROPERTIES_LAYOUT = 1

FOOTER = struct.Struct("<8sIIQQQQQQQQ")
assert FOOTER.size == 80
_FOOTER_CHECKSUM = struct.Struct("<Q")
_CHECKED_BYTES = FOOTER.size - _FOOTER_CHECKSUM.size

PARTITION_BLOCKS = 16384
_KEY_TYPES, _NUMBER_TYPES = frozenset({bytes}), frozenset({int})

# No section of a table other than a block may be larger; a filter of 16 bits a key reaches it at 500 million keys.
MAX_SECTION_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class BlockHandle:
    """Where a stored section stands in the file."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        """Offset of the first byte after it."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Footer:
    """The last bytes of a table: what it is and where its sections stand."""

    magic: bytes
    unique_id: int
    filter: BlockHandle
    index: BlockHandle
    properties: BlockHandle


@dataclass(frozen=True, slots=True)
class Properties:
    """What a table says of itself; the first eight fields are those of the manifest's FileMetadata."""

    smallest: bytes
    largest: bytes
    entries: int
    tombstones: int
    smallest_sequence: int
    largest_sequence: int
    raw_bytes: int
    unique_id: int
    block_count: int
    codec: int
    filter_bits_per_key: int


@dataclass(frozen=True, slots=True)
class TopIndex:
    """The upper level of the fence index, one item per partition in each list."""

    last_keys: list[bytes]
    partition_bytes: list[int]
    block_counts: list[int]
    data_bytes: list[int]


def encode_footer(footer: Footer, file_bytes: int) -> bytes:
    """The footer of a file that has ``file_bytes`` bytes with it."""
    handles = [n for handle in (footer.filter, footer.index, footer.properties) for n in (handle.offset, handle.size)]
    checked = FOOTER.pack(footer.magic, FORMAT_VERSION, 0, footer.unique_id, *handles, 0)[:_CHECKED_BYTES]
    return checked + _FOOTER_CHECKSUM.pack(xxhash.xxh3_64_intdigest(checked, file_bytes))


def decode_footer(data: bytes, file_bytes: int) -> Footer:
    """The inverse of :func:`encode_footer`; raises CorruptionError unless all of it fits the file."""
    if len(data) != FOOTER.size:
        raise CorruptionError("the file is too short for a table")
    magic, version, zero, unique_id, *handles, checksum = FOOTER.unpack(data)
    if magic not in (BLOCK_TABLE_MAGIC, PLAIN_TABLE_MAGIC):
        raise CorruptionError("the file does not end with a table's footer")
    if checksum != xxhash.xxh3_64_intdigest(data[:_CHECKED_BYTES], file_bytes):
        raise CorruptionError("the footer does not match its checksum")
    if version != FORMAT_VERSION or zero:
        raise CorruptionError(f"table format {version} is unknown; this release reads format {FORMAT_VERSION}")
    sections = [BlockHandle(*handles[i : i + 2]) for i in (0, 2, 4)]
    place = sections[0].offset
    for section in sections:
        if section.offset != place or section.size > MAX_SECTION_BYTES:
            raise CorruptionError("the sections of a table do not touch each other")
        place = section.end
    if place + FOOTER.size != file_bytes:
        raise CorruptionError("the sections of a table do not fill the file")
    return Footer(magic, unique_id, *sections)


def encode_properties(properties: Properties) -> bytes:
    """The raw section of the properties."""
    packed: bytes = msgpack.packb([PROPERTIES_LAYOUT, *astuple(properties)])
    return packed


def decode_properties(raw: bytes) -> Properties:
    """The inverse of :func:`encode_properties`."""
    reader = FlatReader(raw)
    layout, *values = reader.items(min(reader.array_header(), 1 + len(_PROPERTY_TYPES)), _PROPERTY_ITEMS) or [None]
    reader.end()
    if layout != PROPERTIES_LAYOUT or len(values) != len(_PROPERTY_TYPES):
        raise CorruptionError(f"properties layout {shown(layout)} is unknown; this release reads {PROPERTIES_LAYOUT}")
    for value, expected in zip(values, _PROPERTY_TYPES, strict=True):
        if type(value) is not expected:
            raise CorruptionError(f"the properties hold {shown(value)} where {expected.__name__} belongs")
    return Properties(*values)


_PROPERTY_TYPES = tuple(bytes if field.type == "bytes" else int for field in fields(Properties))
_PROPERTY_ITEMS = frozenset(_PROPERTY_TYPES)


def encode_partition(last_keys: list[bytes], sizes: list[int]) -> bytes:
    """The raw section of one index partition."""
    packed: bytes = msgpack.packb([last_keys, _little_endian(array("I", sizes)).tobytes()])
    return packed


def decode_partition(raw: bytes) -> tuple[list[bytes], list[int]]:
    """The last keys and stored sizes of the blocks of a partition."""
    reader = FlatReader(raw)
    if reader.array_header() != 2:
        raise CorruptionError("an index partition has the wrong shape")
    count = reader.array_header()
    if not 0 < count <= PARTITION_BLOCKS:
        raise CorruptionError(f"an index partition of {count} blocks is not possible")
    keys = reader.items(count, _KEY_TYPES)
    packed = reader.items(1, _KEY_TYPES)[0]
    reader.end()
    if len(packed) != 4 * count:
        raise CorruptionError("an index partition has the wrong shape")
    return keys, _little_endian(array("I", packed)).tolist()


def encode_top_index(top: TopIndex) -> bytes:
    """The raw section of the upper level of the index."""
    packed: bytes = msgpack.packb(list(astuple(top)))
    return packed


def decode_top_index(raw: bytes) -> TopIndex:
    """The inverse of :func:`encode_top_index`."""
    reader = FlatReader(raw)
    if reader.array_header() != 4:
        raise CorruptionError("the index has the wrong shape")
    columns = [reader.items(reader.array_header(), types) for types in (_KEY_TYPES, *[_NUMBER_TYPES] * 3)]
    reader.end()
    if len({len(column) for column in columns}) != 1 or not columns[0]:
        raise CorruptionError("the index has the wrong shape")
    if any(n <= 0 for column in columns[1:] for n in column):
        raise CorruptionError("the index has the wrong shape")
    return TopIndex(*columns)


def _little_endian(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
