"""Encoding a block of records that are all equally long: the bytes of ``BlockEncoder.encode``, sooner.

Where lengths differ, msgpack packs a column item by item and is then asked whether the items came out equally long.
Here that is known, so a column is one ``join`` with the items' common head between them.
"""

from __future__ import annotations

from lsmproc.formats.block import HEADER, array_header
from lsmproc.formats.equal_items import BIN8_LEAD

# The largest item that one byte of length can tell of.
LARGEST_BYTES = 255
_HEADS = tuple(BIN8_LEAD + bytes((size,)) for size in range(LARGEST_BYTES + 1))


def encode_equal_records(
    keys: list[bytes], values: list[bytes], lengths: tuple[int, int], tags: bytes, planes: bytes
) -> bytes:
    """The raw block of these records, whose keys and whose values have the ``lengths``, up to LARGEST_BYTES.

    ``tags`` and ``planes`` are the columns of tags and sequences. REQUIRES: not empty, keys ascending.
    """
    key_head, value_head = _HEADS[lengths[0]], _HEADS[lengths[1]]
    count = len(keys)
    array_head = array_header(count)
    key_bytes, value_bytes = lengths[0] + len(key_head), lengths[1] + len(value_head)
    column_head = len(array_head)
    header = HEADER.pack(
        count, column_head + count * key_bytes, column_head + count * value_bytes, key_bytes, value_bytes
    )
    return b"".join(
        (
            header,
            tags,
            array_head,
            key_head,
            key_head.join(keys),
            array_head,
            value_head,
            value_head.join(values),
            planes,
        )
    )
