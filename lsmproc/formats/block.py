"""One block of a table: a few kilobytes of records as columns, compressed and checksummed as one piece.

Raw content, all numbers little-endian::

    offset  bytes
    0       4        count: records in the block, at least 1
    4       4        K: bytes of the keys column
    8       4        V: bytes of the values column
    12      4        bytes of each item of the keys column if all are equal and at most 257, else 0
    16      4        bytes of each item of the values column if all are equal and at most 257, else 0
    20      K        keys column: msgpack array of bin, ascending
    ..      V        values column: msgpack array of bin, nil for a tombstone
    ..               only if the number at 16 is 0: count + 1 bounds of the values' items, from the start of the
                     values column; u16, or u32 if V > 65535
    ..      8*count  sequences column: u64s in byte planes: all lowest bytes, then all second bytes, ...

The columns are each decoded by one call, and a point read touches no value but its own: where all keys are equally
long it even finds the key with one search over the packed column. Planes put the equal upper bytes of the
sequences next to each other, where compression takes them for nothing.

Stored form, as it stands in the file::

    payload | codec u8 | raw length u32 | checksum u64

The checksum is xxh3-64 over all that stands before it, seeded with the table's unique id XOR the block's offset in the
file, so a block that stands at the wrong place or comes from another table does not check.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, repeat
from operator import add, is_, sub

import msgpack
import xxhash

from lsmproc.errors import CorruptionError
from lsmproc.formats.bounded_msgpack import FlatReader, refuse_extension
from lsmproc.formats.compression import Codec, compress, decompress
from lsmproc.protocols import MISSING, Missing

HEADER = struct.Struct("<IIIII")
assert HEADER.size == 20
TRAILER = struct.Struct("<BI")
assert TRAILER.size == 5
CHECKSUM = struct.Struct("<Q")
assert CHECKSUM.size == 8

STORED_OVERHEAD = TRAILER.size + CHECKSUM.size

# A block is closed at the first record that fills it, so it holds less than block_bytes plus one record of at most
# 64 MiB + 64 KiB. Anything above is refused before memory is spent on it.
MAX_RAW_BLOCK_BYTES = 128 << 20

_WIDE = 65535

# Columns up to this are decoded in one call: the most that a hostile one takes is then some 20 MiB.
_QUICK_BYTES = 256 << 10
_QUICK_ITEMS = 2048
_COLUMN_TYPES: frozenset[type] = frozenset({bytes, type(None)})
_NARROW_BOUNDS = struct.Struct("<HH")
_WIDE_BOUNDS = struct.Struct("<II")
_HASH = xxhash.xxh3_64_intdigest

# msgpack's lead bytes of the only items a column may hold.
_NIL = 0xC0
_BIN8 = 0xC4
_BIN16 = 0xC5
_BIN32 = 0xC6
# Bytes before the content of a bin item, by the bit length of its size.
_BIN_HEADER = (2,) * 9 + (3,) * 8 + (5,) * 16
_BIN8_LEAD = bytes((_BIN8,))
_SMALLEST_ITEM = 2
_LARGEST_ITEM = 257
_BYTES = tuple(bytes((number,)) for number in range(256))
_LEAD8 = tuple(bytes((_BIN8, length)) for length in range(256))


class BlockEncoder:
    """Makes raw blocks; one per builder, because the packer inside is reused and not thread-safe."""

    def __init__(self) -> None:
        self._pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack

    def encode(self, keys: list[bytes], values: list[bytes | None], sequences: Sequence[int]) -> bytes:
        """The raw block of these records. REQUIRES: not empty, equally long, keys ascending."""
        packed_keys = self._pack(keys)
        packed_values = self._pack(values)
        count = len(keys)
        key_bytes = _common_bytes(packed_keys, count)
        value_bytes = _common_bytes(packed_values, count)
        bounds = b"" if value_bytes else _bounds(values, len(packed_values))
        header = HEADER.pack(count, len(packed_keys), len(packed_values), key_bytes, value_bytes)
        return b"".join((header, packed_keys, packed_values, bounds, _planes(sequences)))


def seal_block(raw: bytes, codec: Codec, seed: int) -> bytes:
    """The stored form of a raw block, or of any other section of a table."""
    number, payload = compress(raw, codec)
    body = payload + TRAILER.pack(number, len(raw))
    return body + CHECKSUM.pack(_HASH(body, seed))


def unseal_block(stored: bytes, seed: int, largest: int = MAX_RAW_BLOCK_BYTES) -> bytes:
    """The inverse of :func:`seal_block`; raises CorruptionError when it does not check or is above ``largest``."""
    if len(stored) < STORED_OVERHEAD:
        raise CorruptionError(f"{len(stored)} bytes are too short for a block")
    if CHECKSUM.unpack_from(stored, len(stored) - 8)[0] != _HASH(stored[:-8], seed):
        raise CorruptionError("a block does not match its checksum")
    codec, raw_length = TRAILER.unpack_from(stored, len(stored) - STORED_OVERHEAD)
    if raw_length > largest:
        raise CorruptionError(f"a block states {raw_length} raw bytes; at most {largest} are possible")
    return decompress(stored[:-STORED_OVERHEAD], codec, raw_length)


def check_layout(raw: bytes) -> None:
    """Check that the columns fill the raw block exactly; all functions below rely on it.

    What is left unchecked are msgpack's items where they differ in length, and the order of the keys.
    """
    if len(raw) < HEADER.size:
        raise CorruptionError("a block is shorter than its header")
    count, keys_bytes, values_bytes, key_bytes, value_bytes = HEADER.unpack_from(raw)
    bounds_bytes = 0 if value_bytes else (count + 1) * (4 if values_bytes > _WIDE else 2)
    if count == 0 or len(raw) != HEADER.size + keys_bytes + values_bytes + bounds_bytes + 8 * count:
        raise CorruptionError("the columns of a block do not fill it")
    middle = HEADER.size + keys_bytes
    if key_bytes and not _are_equal_items(raw, HEADER.size, middle, key_bytes, count):
        raise CorruptionError("the keys of a block are not as long as it says")
    if value_bytes and not _are_equal_items(raw, middle, middle + values_bytes, value_bytes, count):
        raise CorruptionError("the values of a block are not as long as it says")


def record_count(raw: bytes) -> int:
    """How many records a raw block holds."""
    count: int = HEADER.unpack_from(raw)[0]
    return count


def decode_keys(raw: bytes) -> list[bytes]:
    """The keys column."""
    count, keys_bytes, _, key_bytes, _ = HEADER.unpack_from(raw)
    keys = decode_array(raw[20 : 20 + keys_bytes], count)
    if len(keys) != count or not (key_bytes or set(map(type, keys)) <= {bytes}):
        raise CorruptionError("the keys column of a block is damaged")
    return keys  # type: ignore[return-value]


def decode_columns(raw: bytes) -> tuple[list[bytes], list[bytes | None]]:
    """The keys and values columns."""
    count, keys_bytes, values_bytes, key_bytes, value_bytes = HEADER.unpack_from(raw)
    middle = 20 + keys_bytes
    keys = decode_array(raw[20:middle], count)
    values = decode_array(raw[middle : middle + values_bytes], count)
    if len(keys) != count or not (key_bytes or set(map(type, keys)) <= {bytes}):
        raise CorruptionError("the keys column of a block is damaged")
    if len(values) != count or not (value_bytes or set(map(type, values)) <= {bytes, type(None)}):
        raise CorruptionError("the values column of a block is damaged")
    return keys, values  # type: ignore[return-value]


def sequence_planes(raw: bytes) -> bytes:
    """The bytes of the sequences column, as they are; for :func:`decode_sequences`."""
    return raw[-8 * record_count(raw) :]


def decode_sequences(blocks: Sequence[bytes]) -> list[int]:
    """The sequence numbers of successive blocks, given as their planes: several at once cost half as much."""
    parts = [(planes, len(planes) // 8) for planes in blocks]
    numbers = bytearray(8 * sum([count for _, count in parts]))
    for plane in range(8):
        numbers[plane::8] = b"".join([planes[plane * count : (plane + 1) * count] for planes, count in parts])
    column = array("Q", bytes(numbers))
    if sys.byteorder == "big":
        column.byteswap()
    return column.tolist()


def find_value(raw: bytes, key: bytes) -> bytes | Missing | None:
    """The value of ``key``, None for a tombstone, MISSING if the block does not hold it."""
    index = find_record(raw, key)
    return MISSING if index < 0 else value_at(raw, index)


def find_record(raw: bytes, key: bytes) -> int:
    """Index of the record with this key, or -1."""
    count, keys_bytes, _, key_bytes, _ = HEADER.unpack_from(raw)
    if key_bytes == 0:
        keys = decode_keys(raw)
        index = bisect_left(keys, key)
        return index if index < count and keys[index] == key else -1
    if len(key) + 2 != key_bytes:
        return -1
    item = _LEAD8[len(key)] + key
    first = 20 + _array_header_bytes(count)
    end = 20 + keys_bytes
    place = raw.find(item, first, end)
    while place >= 0 and (place - first) % key_bytes:  # a match across two keys is none
        place = raw.find(item, place + 1, end)
    return (place - first) // key_bytes if place >= 0 else -1


def value_at(raw: bytes, index: int) -> bytes | None:
    """The value of the record ``index``, None for a tombstone."""
    count, keys_bytes, values_bytes, _, value_bytes = HEADER.unpack_from(raw)
    column = 20 + keys_bytes
    if value_bytes:
        start = column + _array_header_bytes(count) + index * value_bytes
        end = start + value_bytes
    elif values_bytes > _WIDE:
        start, end = _WIDE_BOUNDS.unpack_from(raw, column + values_bytes + 4 * index)
        start += column
        end += column
    else:
        start, end = _NARROW_BOUNDS.unpack_from(raw, column + values_bytes + 2 * index)
        start += column
        end += column
    if not column < start < end <= column + values_bytes:
        raise CorruptionError("a value's bounds lie outside of its block")
    lead = raw[start]
    if lead == _BIN8:
        return raw[start + 2 : end]
    if lead == _NIL:
        return None
    if lead == _BIN16:
        return raw[start + 3 : end]
    if lead == _BIN32:
        return raw[start + 5 : end]
    raise CorruptionError(f"a value begins with the byte {lead}")


def sequence_at(planes: bytes, index: int) -> int:
    """The sequence number of the record ``index``, from the block's planes."""
    return int.from_bytes(planes[index :: len(planes) // 8], "little")


def decode_array(data: bytes, most: int = _QUICK_ITEMS) -> list[object]:
    """A msgpack array of at most ``most`` items with nothing after it; raises CorruptionError on anything else."""
    if len(data) > _QUICK_BYTES or most > _QUICK_ITEMS:
        return _decode_long_array(data)
    try:
        items = msgpack.unpackb(data, ext_hook=refuse_extension, max_array_len=most, max_map_len=0)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        # Not the error's own text: it may hold all that was decoded.
        raise CorruptionError(f"a column cannot be decoded: {type(error).__name__}") from error
    if type(items) is not list:
        raise CorruptionError("a column is no array")
    return items


def _decode_long_array(data: bytes) -> list[object]:
    """As decode_array, a little slower for each item: here arrays within the array would take too much memory."""
    reader = FlatReader(data)
    items = reader.items(reader.array_header(), _COLUMN_TYPES)
    reader.end()
    return items


def _common_bytes(packed: bytes, count: int) -> int:
    """Bytes of each item of a packed column if they are equally long bins of at most 257 bytes, else 0."""
    size = (len(packed) - _array_header_bytes(count)) // count
    return size if _are_equal_items(packed, 0, len(packed), size, count) else 0


def _are_equal_items(data: bytes, start: int, end: int, size: int, count: int) -> bool:
    """Whether the column ``data[start:end]`` is an array of bins that all take ``size`` bytes, at most 257.

    Two slices prove it: at every step begins a bin8 whose length leads to the next step.
    """
    first = start + _array_header_bytes(count)
    return (
        _SMALLEST_ITEM <= size <= _LARGEST_ITEM
        and end - first == count * size
        and data[first:end:size] == _BIN8_LEAD * count
        and data[first + 1 : end : size] == _BYTES[size - 2] * count
    )


def _bounds(values: list[bytes | None], packed_bytes: int) -> bytes:
    """The bounds of the packed values: running sums of their items' sizes."""
    lead = _array_header_bytes(len(values))
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


def _planes(sequences: Sequence[int]) -> bytes:
    numbers = array("Q", sequences)
    if sys.byteorder == "big":
        numbers.byteswap()
    data = numbers.tobytes()
    return b"".join((data[0::8], data[1::8], data[2::8], data[3::8], data[4::8], data[5::8], data[6::8], data[7::8]))


def _array_header_bytes(count: int) -> int:
    """Bytes of msgpack's array header."""
    return 1 if count < 16 else 3 if count <= _WIDE else 5
