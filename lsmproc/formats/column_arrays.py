"""A column of a block as the msgpack array it is: its header, and decoding it within bounds."""

from __future__ import annotations

import msgpack

from lsmproc.errors import CorruptionError
from lsmproc.formats.bounded_msgpack import FlatReader, refuse_extension

# Columns up to this are decoded in one call: the most that a hostile one takes is then some 20 MiB.
_QUICK_BYTES = 256 << 10
_QUICK_ITEMS = 2048
_COLUMN_TYPES: frozenset[type] = frozenset({bytes, type(None)})


def array_header_bytes(count: int) -> int:
    """Bytes of msgpack's array header."""
    return 1 if count < 16 else 3 if count <= 0xFFFF else 5


def array_header(count: int) -> bytes:
    """The msgpack header of an array of so many items."""
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big") if count <= 0xFFFF else b"\xdd" + count.to_bytes(4, "big")


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
