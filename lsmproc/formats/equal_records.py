"""Encoding a block of records that are all equally long: the bytes of ``BlockEncoder.encode``, sooner.

Where lengths differ, msgpack packs a column item by item and is then asked whether the items came out equally long.
Here that is known, so a column is one ``join`` with the items' common head between them.
"""

from __future__ import annotations

from lsmproc.formats.block import HEADER
from lsmproc.formats.column_arrays import array_header
from lsmproc.formats.equal_items import LARGEST_ITEM, LARGEST_SHORT_ITEM, head_bytes, item_head

# What a block's header can tell the common size of.
LARGEST_KEY_BYTES = LARGEST_SHORT_ITEM - head_bytes(LARGEST_SHORT_ITEM)
LARGEST_VALUE_BYTES = LARGEST_ITEM - head_bytes(LARGEST_ITEM)


class EqualRecordsEncoder:
    """Makes raw blocks of so many records whose keys and whose values have the ``lengths``, within the limits above."""

    __slots__ = ("_before_keys", "_before_values", "_header", "_key_head", "_value_head")

    def __init__(self, count: int, lengths: tuple[int, int]) -> None:
        """REQUIRES: at least one record."""
        self._key_head, self._value_head = map(item_head, lengths)
        array_head = array_header(count)
        key_bytes, value_bytes = lengths[0] + len(self._key_head), lengths[1] + len(self._value_head)
        self._header = HEADER.pack(
            count,
            len(array_head) + count * key_bytes,
            len(array_head) + count * value_bytes,
            key_bytes,
            value_bytes,
        )
        self._before_keys = array_head + self._key_head
        self._before_values = array_head + self._value_head

    def encode(self, keys: list[bytes], values: list[bytes], tags: bytes, planes: bytes) -> bytes:
        """The raw block; ``tags`` and ``planes`` are the columns of tags and sequences. REQUIRES: keys ascending."""
        return b"".join(
            (
                self._header,
                tags,
                self._before_keys,
                self._key_head.join(keys),
                self._before_values,
                self._value_head.join(values),
                planes,
            )
        )
