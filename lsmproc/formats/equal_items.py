"""Columns of a block whose items are all equally long: bins at a fixed stride, cut out by one call.

Such a column is a msgpack array of bin8 or of bin16 items of the same size, lead and length included, so any run of its
items can be cut out by its place alone. The struct module does that with a format made once for each size and number of
items: half the time of a msgpack decoder for a whole column, and a fifth for a few records, because nothing has to be
sliced or parsed before.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache

# Sizes of an item: two bytes in front of a content of 0 to 255, three in front of one of 256 to 65,535. Keys are always
# short items: every point read compares one, and most are short.
SMALLEST_ITEM = 2
LARGEST_SHORT_ITEM = 257
SMALLEST_LONG_ITEM = 259
LARGEST_ITEM = 65538

# Formats for more items are not kept: they take 32 bytes an item.
MOST_ITEMS = 512

_BIN8_LEAD = b"\xc4"
_BIN16_LEAD = b"\xc5"


def item_head(content_bytes: int) -> bytes:
    """What msgpack has in front of a bin of so many bytes, 0 to 65,535."""
    if content_bytes <= LARGEST_SHORT_ITEM - 2:
        return _BIN8_LEAD + bytes((content_bytes,))
    return _BIN16_LEAD + content_bytes.to_bytes(2, "big")


def head_bytes(item_bytes: int) -> int:
    """How much of an item of that size is its head."""
    return 2 if item_bytes <= LARGEST_SHORT_ITEM else 3


@lru_cache(maxsize=256)
def items_cutter(item_bytes: int, count: int) -> Callable[[bytes, int], tuple[bytes, ...]]:
    """Cuts the contents of ``count`` items of ``item_bytes`` each out of a column, from an offset on.

    It raises struct.error where the column ends before. REQUIRES: sizes and counts within the limits above.
    """
    head = head_bytes(item_bytes)
    return struct.Struct(f"{head}x{item_bytes - head}s" * count).unpack_from


def are_equal_items(column: bytes, start: int, end: int, item_bytes: int, count: int) -> bool:
    """Whether ``column[start:end]`` is ``count`` bins of ``item_bytes`` each.

    A slice for each byte of the head proves it: at every step begins a bin whose length leads to the next step.
    """
    if (
        not (SMALLEST_ITEM <= item_bytes <= LARGEST_SHORT_ITEM or SMALLEST_LONG_ITEM <= item_bytes <= LARGEST_ITEM)
        or end - start != count * item_bytes
    ):
        return False
    head = item_head(item_bytes - head_bytes(item_bytes))
    return all(column[start + at : end : item_bytes] == head[at : at + 1] * count for at in range(len(head)))
