"""Columns of equally long items: cutting them out by place gives what a msgpack decoder gives."""

from __future__ import annotations

import struct

import msgpack
import pytest

from lsmproc.formats.equal_items import (
    LARGEST_ITEM,
    LARGEST_SHORT_ITEM,
    MOST_ITEMS,
    SMALLEST_ITEM,
    are_equal_items,
    head_bytes,
    items_cutter,
)


@pytest.mark.parametrize("length", [0, 1, 16, 255, 256, 1000, 65_535])
@pytest.mark.parametrize("count", [1, 15, 16, MOST_ITEMS])
def test_a_run_of_items_cut_out_by_its_place_is_what_was_packed(length: int, count: int) -> None:
    """The whole column, and a part of it from the middle."""
    items = [bytes([number % 256]) * length for number in range(count)]
    column = msgpack.packb(items)
    lead = 1 if count < 16 else 3
    size = (len(column) - lead) // count
    assert length == size - head_bytes(size)
    assert are_equal_items(column, lead, len(column), size, count)
    assert tuple(items) == items_cutter(size, count)(column, lead)
    first, end = count // 3, count // 3 + (count + 1) // 2
    assert tuple(items[first:end]) == items_cutter(size, end - first)(column, lead + first * size)


def test_a_column_that_ends_before_its_items_is_refused() -> None:
    """Nothing is made up."""
    column = msgpack.packb([b"a", b"b"])
    with pytest.raises(struct.error):
        items_cutter(3, 3)(column, 1)


def test_items_are_equal_only_if_each_one_is_a_bin_of_that_size() -> None:
    """One that is longer, of another type or missing is found; so are sizes that no such item has."""
    same = msgpack.packb([b"ab", b"cd", b"ef"])
    assert are_equal_items(same, 1, len(same), 4, 3)
    for other in ([b"ab", b"cde", b"f"], [b"ab", "cd", b"ef"], [b"ab", None, b"ef"], [b"ab", b"cd"]):
        column = msgpack.packb(other)
        assert not are_equal_items(column, 1, len(column), 4, 3)
    long = msgpack.packb([b"x" * 300, b"y" * 300])
    assert are_equal_items(long, 1, len(long), 303, 2)
    assert not are_equal_items(msgpack.packb([b"x" * 300, b"y" * 301]), 1, len(long), 303, 2)
    assert not are_equal_items(long[:2] + b"\x02" + long[3:], 1, len(long), 303, 2)
    for size in (SMALLEST_ITEM - 1, LARGEST_SHORT_ITEM + 1, LARGEST_ITEM + 1):
        assert not are_equal_items(bytes(4 * size), 0, 4 * size, size, 4)
