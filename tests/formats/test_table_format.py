"""Footer, properties and index: golden bytes, and nothing malformed is taken for them."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from lsmproc.errors import CorruptionError
from lsmproc.formats.table_format import (
    BLOCK_TABLE_MAGIC,
    FOOTER,
    BlockHandle,
    Footer,
    Properties,
    TopIndex,
    decode_footer,
    decode_partition,
    decode_properties,
    decode_top_index,
    encode_footer,
    encode_partition,
    encode_properties,
    encode_top_index,
)

FILE_BYTES = 1000 + FOOTER.size
FOOTER_VALUE = Footer(BLOCK_TABLE_MAGIC, 0xABCD, BlockHandle(700, 100), BlockHandle(800, 150), BlockHandle(950, 50))
PROPERTIES = Properties(b"a", b"z", 10, 1, 5, 99, 1234, 0xABCD, 3, 1, 12)
TOP = TopIndex([b"m", b"z"], [100, 120], [2, 3], [400, 500])
GOLDEN_FOOTER = (
    "894c534d424c4b0a0200000000000000cdab000000000000bc020000000000006400000000000000"
    "20030000000000009600000000000000b6030000000000003200000000000000e23e8b5e0fe606da"
)
GOLDEN_PROPERTIES = "9c01c40161c4017a0a010563cd04d2cdabcd03010c"


def test_a_footer_has_the_bytes_it_always_had() -> None:
    """Golden bytes."""
    assert GOLDEN_FOOTER == encode_footer(FOOTER_VALUE, FILE_BYTES).hex()
    assert FOOTER_VALUE == decode_footer(bytes.fromhex(GOLDEN_FOOTER), FILE_BYTES)


def test_properties_have_the_bytes_they_always_had() -> None:
    """Golden bytes."""
    assert GOLDEN_PROPERTIES == encode_properties(PROPERTIES).hex()
    assert PROPERTIES == decode_properties(bytes.fromhex(GOLDEN_PROPERTIES))


def test_every_flipped_byte_of_a_footer_is_found() -> None:
    """Magic, version, places and checksum are all covered."""
    good = encode_footer(FOOTER_VALUE, FILE_BYTES)
    for place in range(len(good)):
        damaged = bytearray(good)
        damaged[place] ^= 0x10
        with pytest.raises(CorruptionError):
            decode_footer(bytes(damaged), FILE_BYTES)


def test_a_footer_of_a_longer_or_shorter_file_is_refused() -> None:
    """A truncated file that happens to end with a footer is not the table it was."""
    good = encode_footer(FOOTER_VALUE, FILE_BYTES)
    for size in (FILE_BYTES - 1, FILE_BYTES + 1, FOOTER.size):
        with pytest.raises(CorruptionError):
            decode_footer(good, size)
    with pytest.raises(CorruptionError):
        decode_footer(good[1:], FILE_BYTES)


def test_index_parts_come_back() -> None:
    """Partitions and the top index undo themselves."""
    assert ([b"c", b"f"], [300, 70_000]) == decode_partition(encode_partition([b"c", b"f"], [300, 70_000]))
    assert TOP == decode_top_index(encode_top_index(TOP))


@pytest.mark.parametrize("decode", [decode_partition, decode_top_index, decode_properties])
def test_malformed_sections_are_corruption_and_nothing_else(decode: Callable[[bytes], object]) -> None:
    """Random and mutated bytes decode or raise CorruptionError."""
    rng = random.Random(3)
    seeds = [encode_partition([b"c", b"f"], [300, 7]), encode_top_index(TOP), encode_properties(PROPERTIES)]
    for _ in range(4000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            decode(bytes(data[: rng.randrange(1, len(data) + 1)]))
        except CorruptionError:
            continue
