"""Columns of a block whose items are all equally long: bins at a fixed stride, cut out by one call.

Such a column is a msgpack array of bin8 items of the same size, lead and length byte included, so any run of its items
can be cut out by its place alone. The struct module does that with a format made once for each size and number of
items: half the time of a msgpack decoder for a whole column, and a fifth for a few records, because nothing has to be
sliced or parsed before.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache

# Sizes of an item: two bytes in front of a content of 0 to 255.
SMALLEST_ITEM = 2
LARGEST_ITEM = 257

# Formats for more items are not kept: they take 32 bytes an item.
MOST_ITEMS = 512

BIN8_LEAD = b"\xc4"
_BYTES = tuple(bytes((number,)) for number in range(256))


@lru_cache(maxsize=256)
def items_cutter(item_bytes: int, count: int) -> Callable[[bytes, int], tuple[bytes, ...]]:
    """Cuts the contents of ``count`` items of ``item_bytes`` each out of a column, from an offset on.

    It raises struct.error where the column ends before. REQUIRES: sizes and counts within the limits above.
    """
    return struct.Struct(f"2x{item_bytes - SMALLEST_ITEM}s" * count).unpack_from


def are_equal_items(column: bytes, start: int, end: int, item_bytes: int, count: int) -> bool:
    """Whether ``column[start:end]`` is ``count`` bins of ``item_bytes`` each.

    Two slices prove it: at every step begins a bin8 whose length leads to the next step.
    """
    return (
        SMALLEST_ITEM <= item_bytes <= LARGEST_ITEM
        and end - start == count * item_bytes
        and column[start:end:item_bytes] == BIN8_LEAD * count
        and column[start + 1 : end : item_bytes] == _BYTES[item_bytes - SMALLEST_ITEM] * count
    )
