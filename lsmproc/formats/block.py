"""One block of a table: a few kilobytes of records as columns, compressed and checksummed as one piece.

Raw content, all numbers little-endian::

    offset  bytes
    0       4        count: records in the block, at least 1
    4       4        K: bytes of the keys column
    8       4        V: bytes of the values column
    12      4        bytes of each item of the keys column if all are equal and at most 257, else 0
    16      4        bytes of each item of the values column if all are equal and at most 65,538, else 0
    20      count    tags column: the lowest byte of each key's hash, xxh3-64(key)
    ..      K        keys column: msgpack array of bin, ascending
    ..      V        values column: msgpack array of bin, nil for a tombstone
    ..               only if the number at 12 is 0: count + 1 bounds of the keys' items, from the start of the keys
                     column; u16, or u32 if K > 65535
    ..               only if the number at 16 is 0: the same for the values' items
    ..      8*count  sequences column: u64s in byte planes: all lowest bytes, then all second bytes, ...

The columns are each decoded by one call. A point read decodes none of them: it looks its key's tag up (one memchr,
where a search for the key itself takes five times as long), compares the key that stands at that index, and cuts out
the value. Planes put the equal upper bytes of the sequences next to each other, where compression takes them for
nothing.

Stored form, as it stands in the file::

    payload | codec u8 | raw length u32 | checksum u64

The checksum is xxh3-64 of the payload. Its seed is the table's unique id XOR the block's offset in the file XOR codec
and raw length (at bits 56 and 24), so a block that stands at the wrong place or comes from another table does not
check.

Whatever reads a block relies on its checksum: what checks is what an encoder has made. ``check_layout`` proves the
rest, for whoever wants to know (a table is verified with it).
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate, repeat
from operator import add, is_, sub
from typing import Any

import lz4.block
import msgpack
import xxhash

from lsmproc.errors import CorruptionError
from lsmproc.formats.byte_planes import planes_of
from lsmproc.formats.column_arrays import array_header, array_header_bytes, decode_array
from lsmproc.formats.compression import Codec, compress, decompress
from lsmproc.formats.equal_items import (
    LARGEST_ITEM,
    LARGEST_SHORT_ITEM,
    MOST_ITEMS,
    are_equal_items,
    head_bytes,
    items_cutter,
)
from lsmproc.protocols import MISSING, Missing

HEADER = struct.Struct("<IIIII")
assert HEADER.size == 20
TRAILER = struct.Struct("<BIQ")
assert TRAILER.size == 13
STORED_OVERHEAD = TRAILER.size

# What reading a raw block raises that checks, and that no encoder has made.
MALFORMED = (CorruptionError, IndexError, ValueError, struct.error)

# A block is closed at the first record that fills it, so it holds less than block_bytes plus one record of at most
# 64 MiB + 64 KiB. Anything above is refused before memory is spent on it.
MAX_RAW_BLOCK_BYTES = 128 << 20

_WIDE = 65535

_NARROW_BOUNDS = struct.Struct("<HH")
_WIDE_BOUNDS = struct.Struct("<II")
_HASH = xxhash.xxh3_64_intdigest

# msgpack's lead bytes of the only items a column may hold.
_NIL = 0xC0
_BIN8 = 0xC4
_BIN16 = 0xC5
_BIN32 = 0xC6
_HEADER_OF_LEAD = {_NIL: 1, _BIN8: 2, _BIN16: 3, _BIN32: 5}
# Bytes before the content of a bin item, by the bit length of its size.
_BIN_HEADER = (2,) * 9 + (3,) * 8 + (5,) * 16

_read_header = HEADER.unpack_from
_read_trailer = TRAILER.unpack_from
_decompress_lz4 = lz4.block.decompress
_LZ4 = Codec.LZ4.value


class BlockEncoder:
    """Makes raw blocks; one per builder, because the packer inside is reused and not thread-safe."""

    def __init__(self) -> None:
        self._pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack

    def encode(
        self,
        keys: list[bytes],
        values: list[bytes | None],
        sequences: Sequence[int],
        hashes: array[int] | None = None,
    ) -> bytes:
        """The raw block of these records. REQUIRES: not empty, equally long, keys ascending.

        ``hashes`` are the xxh3-64 hashes of the keys, for a caller that has them anyway.
        """
        packed_keys = self._pack(keys)
        packed_values = self._pack(values)
        count = len(keys)
        key_bytes = _common_bytes(packed_keys, count, LARGEST_SHORT_ITEM)
        value_bytes = _common_bytes(packed_values, count, LARGEST_ITEM)
        return b"".join(
            (
                HEADER.pack(count, len(packed_keys), len(packed_values), key_bytes, value_bytes),
                tags_of(hashes or array("Q", map(_HASH, keys))),
                packed_keys,
                packed_values,
                b"" if key_bytes else _bounds(keys, len(packed_keys)),
                b"" if value_bytes else _bounds(values, len(packed_values)),
                planes_of(sequences),
            )
        )


def tags_of(hashes: array[int]) -> bytes:
    """The tags column of keys with these hashes."""
    data = hashes.tobytes()
    return data[0::8] if sys.byteorder == "little" else data[7::8]


def seal_block(raw: bytes, codec: Codec, seed: int) -> bytes:
    """The stored form of a raw block, or of any other section of a table."""
    number, payload = compress(raw, codec)
    return payload + TRAILER.pack(number, len(raw), checksum_of(payload, number, len(raw), seed))


def checksum_of(payload: bytes | memoryview, codec: int, raw_length: int, seed: int) -> int:
    """The checksum of a stored block."""
    return _HASH(payload, seed ^ (codec << 56 | raw_length << 24))


def unseal_block(stored: bytes, seed: int, largest: int = MAX_RAW_BLOCK_BYTES) -> bytes:
    """The inverse of :func:`seal_block`; raises CorruptionError when it does not check or is above ``largest``."""
    if len(stored) < 13:
        raise CorruptionError(f"{len(stored)} bytes are too short for a block")
    codec, raw_length, checksum = _read_trailer(stored, len(stored) - 13)
    payload = stored[:-13]
    if _HASH(payload, seed ^ (codec << 56 | raw_length << 24)) != checksum:
        raise CorruptionError("a block does not match its checksum")
    if raw_length > largest:
        raise CorruptionError(f"a block states {raw_length} raw bytes; at most {largest} are possible")
    if codec != _LZ4:
        return decompress(payload, codec, raw_length)
    # What decompress does, without its frame: most blocks are lz4, and every read of one comes here.
    try:
        raw: bytes = _decompress_lz4(payload, raw_length)
    except (lz4.block.LZ4BlockError, ValueError, OverflowError) as error:
        raise CorruptionError(f"lz4 data cannot be decompressed: {error}") from error
    if len(raw) != raw_length:
        raise CorruptionError(f"a block decompresses to {len(raw)} bytes instead of {raw_length}")
    return raw


def check_layout(raw: bytes) -> None:
    """Check that the columns fill the raw block exactly.

    What is left unchecked are msgpack's items where they differ in length, the tags, and the order of the keys.
    """
    if len(raw) < HEADER.size:
        raise CorruptionError("a block is shorter than its header")
    count, keys_bytes, values_bytes, key_bytes, value_bytes = HEADER.unpack_from(raw)
    bounds_bytes = 0 if key_bytes else (count + 1) * (4 if keys_bytes > _WIDE else 2)
    bounds_bytes += 0 if value_bytes else (count + 1) * (4 if values_bytes > _WIDE else 2)
    if count == 0 or len(raw) != HEADER.size + 9 * count + keys_bytes + values_bytes + bounds_bytes:
        raise CorruptionError("the columns of a block do not fill it")
    column = HEADER.size + count
    middle = column + keys_bytes
    lead = array_header_bytes(count)
    if key_bytes > LARGEST_SHORT_ITEM or (
        key_bytes and not are_equal_items(raw, column + lead, middle, key_bytes, count)
    ):
        raise CorruptionError("the keys of a block are not as long as it says")
    if value_bytes and not are_equal_items(raw, middle + lead, middle + values_bytes, value_bytes, count):
        raise CorruptionError("the values of a block are not as long as it says")


def record_count(raw: bytes) -> int:
    """How many records a raw block holds."""
    count: int = _read_header(raw)[0]
    return count


def decode_keys(raw: bytes) -> Sequence[bytes]:
    """The keys column."""
    count, keys_bytes, _, key_bytes, _ = _read_header(raw)
    if key_bytes and count <= MOST_ITEMS:
        return items_cutter(key_bytes, count)(raw, 20 + count + (1 if count < 16 else 3))
    return _decode_keys(raw[20 + count : 20 + count + keys_bytes], count, key_bytes)


def decode_columns(raw: bytes) -> tuple[list[bytes], list[bytes | None]]:
    """The keys and values columns."""
    count, keys_bytes, values_bytes, key_bytes, value_bytes = _read_header(raw)
    column = 20 + count
    middle = column + keys_bytes
    lead = 1 if count < 16 else 3
    few = count <= MOST_ITEMS
    keys = (
        list(items_cutter(key_bytes, count)(raw, column + lead))
        if key_bytes and few
        else _decode_keys(raw[column:middle], count, key_bytes)
    )
    values: list[Any] = (
        list(items_cutter(value_bytes, count)(raw, middle + lead))
        if value_bytes and few
        else decode_array(raw[middle : middle + values_bytes], count)
    )
    if len(values) != count or not (value_bytes or set(map(type, values)) <= {bytes, type(None)}):
        raise CorruptionError("the values column of a block is damaged")
    return keys, values


def decode_values(raw: bytes, start: int, stop: int) -> Sequence[bytes | None]:
    """The values of the records ``[start, stop)``, which are not none."""
    count, keys_bytes, values_bytes, key_bytes, value_bytes = _read_header(raw)
    column = 20 + count + keys_bytes
    if value_bytes:
        first = column + (1 if count < 16 else 3 if count <= _WIDE else 5) + start * value_bytes
        if stop - start <= MOST_ITEMS:
            try:
                return items_cutter(value_bytes, stop - start)(raw, first)
            except struct.error as error:
                raise CorruptionError("the values column of a block is damaged") from error
        end = first + (stop - start) * value_bytes
    else:
        bounds = column + values_bytes + (0 if key_bytes else (count + 1) * (4 if keys_bytes > _WIDE else 2))
        first, _ = _item(raw, column, values_bytes, bounds, start)
        _, end = _item(raw, column, values_bytes, bounds, stop - 1)
    values = decode_array(array_header(stop - start) + raw[first:end])
    if len(values) != stop - start or not (value_bytes or set(map(type, values)) <= {bytes, type(None)}):
        raise CorruptionError("the values column of a block is damaged")
    return values  # type: ignore[return-value]


def _decode_keys(column: bytes, count: int, key_bytes: int) -> list[bytes]:
    keys = decode_array(column, count)
    if len(keys) != count or not (key_bytes or set(map(type, keys)) <= {bytes}):
        raise CorruptionError("the keys column of a block is damaged")
    return keys  # type: ignore[return-value]


def sequence_planes(raw: bytes) -> bytes:
    """The bytes of the sequences column, as they are; for :func:`decode_sequences`."""
    return raw[-8 * record_count(raw) :]


def tags(raw: bytes) -> bytes:
    """The tags column."""
    return raw[20 : 20 + record_count(raw)]


def find_value(raw: bytes, key: bytes, tag: int) -> bytes | Missing | None:
    """The value of ``key``, None for a tombstone, MISSING if the block does not hold it.

    ``tag`` is the lowest byte of the key's hash. One flat function, because every point read ends in it.
    """
    count, keys_bytes, _, key_bytes, value_bytes = _read_header(raw)
    index = raw.find(tag, 20, 20 + count) - 20
    if index < 0:
        return MISSING
    if not key_bytes:
        index = find_record(raw, key, tag)
        return MISSING if index < 0 else value_at(raw, index)
    # Where the first key's content is: behind the tags, the array's header and the key's own.
    first = count + (23 if count < 16 else 25 if count <= _WIDE else 27)
    while raw[first + index * key_bytes : first + (index + 1) * key_bytes - 2] != key:
        index = raw.find(tag, index + 21, 20 + count) - 20
        if index < 0:
            return MISSING
    if not value_bytes:
        return value_at(raw, index)
    first += keys_bytes + index * value_bytes
    if value_bytes > LARGEST_SHORT_ITEM:  # A long item's head has one byte more.
        return raw[first + 1 : first + value_bytes - 2]
    return raw[first : first + value_bytes - 2]


def find_record(raw: bytes, key: bytes, tag: int) -> int:
    """Index of the record with this key, or -1."""
    count = record_count(raw)
    place = raw.find(tag, 20, 20 + count)
    while place >= 0:
        if key_at(raw, place - 20) == key:
            return place - 20
        place = raw.find(tag, place + 1, 20 + count)
    return -1


def key_at(raw: bytes, index: int) -> bytes:
    """The key of the record ``index``."""
    count, keys_bytes, values_bytes, key_bytes, _ = _read_header(raw)
    column = 20 + count
    if key_bytes:
        start = column + array_header_bytes(count) + index * key_bytes
        return raw[start + 2 : start + key_bytes]
    start, end = _item(raw, column, keys_bytes, column + keys_bytes + values_bytes, index)
    return raw[start + _HEADER_OF_LEAD[raw[start]] : end]


def value_at(raw: bytes, index: int) -> bytes | None:
    """The value of the record ``index``, None for a tombstone."""
    count, keys_bytes, values_bytes, key_bytes, value_bytes = _read_header(raw)
    column = 20 + count + keys_bytes
    if value_bytes:
        start = column + array_header_bytes(count) + index * value_bytes
        return raw[start + head_bytes(value_bytes) : start + value_bytes]
    bounds = column + values_bytes + (0 if key_bytes else (count + 1) * (4 if keys_bytes > _WIDE else 2))
    start, end = _item(raw, column, values_bytes, bounds, index)
    lead = raw[start]
    return None if lead == _NIL else raw[start + _HEADER_OF_LEAD[lead] : end]


def _item(raw: bytes, column: int, column_bytes: int, bounds: int, index: int) -> tuple[int, int]:
    """Where the item ``index`` of a column begins and ends, by its bounds."""
    try:
        if column_bytes > _WIDE:
            start, end = _WIDE_BOUNDS.unpack_from(raw, bounds + 4 * index)
        else:
            start, end = _NARROW_BOUNDS.unpack_from(raw, bounds + 2 * index)
    except struct.error as error:
        raise CorruptionError("the bounds of a block lie outside of it") from error
    if not 0 < start < end <= column_bytes or raw[column + start] not in _HEADER_OF_LEAD:
        raise CorruptionError("an item of a block does not stand where its bounds say")
    return column + start, column + end


def _common_bytes(packed: bytes, count: int, largest: int) -> int:
    """Bytes of each item of a packed column if they are equally long bins of at most ``largest`` bytes, else 0."""
    lead = array_header_bytes(count)
    size = (len(packed) - lead) // count
    return size if size <= largest and are_equal_items(packed, lead, len(packed), size, count) else 0


def _bounds(values: Sequence[bytes | None], packed_bytes: int) -> bytes:
    """The bounds of packed keys or values: running sums of their items' sizes."""
    lead = array_header_bytes(len(values))
    if None in values:
        # A tombstone counts as an empty value here, whose item is one byte longer than nil.
        lengths = list(map(len, map({None: b""}.get, values, values)))  # type: ignore[arg-type]
        sizes = map(
            sub,
            map(add, lengths, map(_BIN_HEADER.__getitem__, map(int.bit_length, lengths))),
            map(is_, values, repeat(None)),
        )
    else:
        lengths = list(map(len, values))  # type: ignore[arg-type]
        sizes = map(add, lengths, map(_BIN_HEADER.__getitem__, map(int.bit_length, lengths)))
    bounds = array("I" if packed_bytes > _WIDE else "H", accumulate(sizes, initial=lead))
    if sys.byteorder == "big":
        bounds.byteswap()
    return bounds.tobytes()
