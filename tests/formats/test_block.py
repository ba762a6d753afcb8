"""Blocks: what is packed comes back, and no bytes whatever make decoding fail in another way than as corruption."""

from __future__ import annotations

import random
from array import array
from collections.abc import Mapping

import lz4.block
import msgpack
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmproc.errors import CorruptionError
from lsmproc.formats.block import (
    HEADER,
    MAX_RAW_BLOCK_BYTES,
    TRAILER,
    BlockEncoder,
    check_layout,
    decode_columns,
    decode_keys,
    decode_values,
    find_record,
    find_value,
    seal_block,
    sequence_planes,
    tags,
    tags_of,
    unseal_block,
    value_at,
)
from lsmproc.formats.byte_planes import decode_sequences, sequence_at
from lsmproc.formats.compression import Codec
from lsmproc.protocols import MISSING

GOLDEN_RAW = (
    "0200000007000000060000000300000000000000"  # header
    "1f3f"  # tags
    "92c40161c40162"  # keys
    "92c4027631c0"  # values
    "010005000600"  # bounds of the values
    "01020123000000000000000000000000"  # sequences
)

SEQUENCES = st.integers(min_value=0, max_value=(1 << 64) - 1)
VALUES = st.one_of(st.none(), st.binary(max_size=300))
RECORDS = st.dictionaries(st.binary(max_size=300), st.tuples(VALUES, SEQUENCES), min_size=1, max_size=60)
EQUAL_RECORDS = st.dictionaries(
    st.binary(min_size=4, max_size=4), st.tuples(st.binary(min_size=3, max_size=3), SEQUENCES), min_size=1, max_size=60
)


def encode(records: Mapping[bytes, tuple[bytes | None, int]]) -> bytes:
    """The raw block of these records."""
    keys = sorted(records)
    return BlockEncoder().encode(keys, [records[key][0] for key in keys], [records[key][1] for key in keys])


def tag_of(key: bytes) -> int:
    """The lowest byte of the key's hash."""
    return xxhash.xxh3_64_intdigest(key) & 255


def stored_with_checksum(payload: bytes, codec: int, raw_length: int, seed: int) -> bytes:
    """Bytes that pass for a sealed block."""
    checksum = xxhash.xxh3_64_intdigest(payload, seed ^ (codec << 56 | raw_length << 24))
    return payload + TRAILER.pack(codec, raw_length, checksum)


def test_a_block_has_the_bytes_it_always_had() -> None:
    """Golden bytes: two keys, a value and a tombstone, two sequence numbers in planes."""
    raw = BlockEncoder().encode([b"a", b"b"], [b"v1", None], [0x0101, 0x2302])
    assert bytes.fromhex(GOLDEN_RAW).hex() == raw.hex()


@given(st.one_of(RECORDS, EQUAL_RECORDS))
@settings(max_examples=150, deadline=None)
def test_every_record_comes_back_whole_and_alone(records: dict[bytes, tuple[bytes | None, int]]) -> None:
    """Columns, point reads and sequences give what was packed, whatever the lengths."""
    raw = encode(records)
    check_layout(raw)
    keys = sorted(records)
    assert (keys, [records[key][0] for key in keys]) == decode_columns(raw)
    assert keys == list(decode_keys(raw))
    hashes = array("Q", map(xxhash.xxh3_64_intdigest, keys))
    assert tags_of(hashes) == tags(raw) == bytes(map(tag_of, keys))
    assert raw == BlockEncoder().encode(*decode_columns(raw), [records[key][1] for key in keys], hashes)
    planes = sequence_planes(raw)
    assert [records[key][1] for key in keys] * 2 == decode_sequences([planes, planes])
    for index, key in enumerate(keys):
        assert index == find_record(raw, key, tag_of(key))
        assert records[key][0] == find_value(raw, key, tag_of(key))
        assert records[key] == (value_at(raw, index), sequence_at(planes, index))


def test_a_key_with_the_tag_of_another_is_missing() -> None:
    """Keys that only share their tag's byte, their beginning or their bytes across two items are not found."""
    shapes = [
        [b"%04d" % i for i in range(60)],
        [b"%d" % (1 << i) for i in range(60)],
        [b"\x00\xc4\x03a", b"bc\xc4\x04", b"\xc4\x03zz"],
    ]
    for keys in shapes:
        raw = encode({key: (b"v" * (index % 3), index) for index, key in enumerate(sorted(keys))})
        for absent in (b"", b"\xc4\x03", b"00", b"000", b"00000", b"9999", b"\x03a\xc4\x04"):
            if absent not in keys:
                assert {MISSING} == {find_value(raw, absent, tag) for tag in range(256)}
                assert {-1} == {find_record(raw, absent, tag) for tag in range(256)}


def test_long_keys_have_wide_bounds() -> None:
    """A keys column above 65535 bytes is found through u32 bounds."""
    keys = [b"a" * 300, b"b" * 65_000, b"c", b"d" * 256]
    raw = BlockEncoder().encode(keys, [b"1", None, b"", b"22"], [1, 2, 3, 4])
    check_layout(raw)
    assert [b"1", None, b"", b"22"] == [find_value(raw, key, tag_of(key)) for key in keys]


def test_large_values_have_wide_bounds() -> None:
    """A values column above 65535 bytes is found through u32 bounds, up to bin32 items."""
    values = [b"x" * 70_000, None, b"", b"y" * 300]
    raw = BlockEncoder().encode([b"a", b"b", b"c", b"d"], values, [1, 2, 3, 4])
    check_layout(raw)
    assert values == [find_value(raw, key, tag_of(key)) for key in (b"a", b"b", b"c", b"d")]


@pytest.mark.parametrize("length", [255, 256, 257, 1000, 65_535, 65_536])
@pytest.mark.parametrize("count", [1, 4, 16])
def test_long_values_of_one_length_come_back_whole_and_alone(length: int, count: int) -> None:
    """Around both lengths at which msgpack's head of an item grows."""
    keys = [b"%04d" % number for number in range(count)]
    values: list[bytes | None] = [bytes([number]) * length for number in range(count)]
    raw = BlockEncoder().encode(keys, values, range(count))
    check_layout(raw)
    assert (keys, values) == decode_columns(raw)
    assert values == [find_value(raw, key, tag_of(key)) for key in keys]
    assert values == [value_at(raw, index) for index in range(count)]
    assert values[count // 2 :] == list(decode_values(raw, count // 2, count))


@pytest.mark.parametrize("codec", list(Codec))
def test_sealing_is_undone_only_with_the_same_seed(codec: Codec) -> None:
    """A block that stands at another place or in another table does not check."""
    raw = encode({b"%08d" % i: (b"value" * 9, i) for i in range(50)})
    stored = seal_block(raw, codec, 1234)
    assert raw == unseal_block(stored, 1234)
    with pytest.raises(CorruptionError):
        unseal_block(stored, 1235)


def test_every_flipped_bit_of_a_stored_block_is_found() -> None:
    """No single damaged byte passes."""
    stored = seal_block(encode({b"%04d" % i: (b"v" * i, i) for i in range(40)}), Codec.LZ4, 7)
    for place in range(len(stored)):
        for flip in (0xFF, 1 << place % 8):
            damaged = bytearray(stored)
            damaged[place] ^= flip
            with pytest.raises(CorruptionError):
                unseal_block(bytes(damaged), 7)


def test_a_bomb_is_refused_before_it_explodes() -> None:
    """A stated length above the cap, or another than the data's, never becomes memory."""
    payload = lz4.block.compress(bytes(1 << 20), store_size=False)
    for stated in (MAX_RAW_BLOCK_BYTES + 1, (1 << 32) - 1, 5, 1 << 19, (1 << 20) + 1):
        stored = stored_with_checksum(payload, Codec.LZ4, stated, 7)
        with pytest.raises(CorruptionError):
            unseal_block(stored, 7)
    with pytest.raises(CorruptionError):
        unseal_block(stored_with_checksum(payload, 99, 100, 7), 7)


def test_hostile_columns_are_corruption_and_nothing_else() -> None:
    """Valid msgpack of the wrong kind, deep nesting, extensions and garbage raise CorruptionError."""
    hostile = [
        msgpack.packb(["text", "more"]),
        msgpack.packb([1, 2]),
        msgpack.packb({b"a": 1, b"b": 2}),
        msgpack.packb([msgpack.ExtType(5, b"x"), b"b"]),
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
        b"\x92\xc4\x05a",
        b"\x92\xc4\x01a\xc4\x01b\x00",
        b"\xc1\xc1",
        b"",
    ]
    good = msgpack.packb([b"a", b"b"])
    for keys, values in [(bad, good) for bad in hostile] + [(good, bad) for bad in hostile]:
        raw = HEADER.pack(2, len(keys), len(values), 0, 0) + bytes(2) + keys + values + bytes(12) + bytes(16)
        check_layout(raw)
        with pytest.raises(CorruptionError):
            decode_columns(raw)


def test_mutated_blocks_raise_corruption_or_decode() -> None:
    """Past the checksum, random damage still ends in CorruptionError or in lists of the right length."""
    rng = random.Random(5)
    for records in ({b"%04d" % i: (b"v" * i, i) for i in range(30)}, {b"%04d" % i: (b"v", i) for i in range(30)}):
        raw = encode(records)
        for _ in range(3000):
            damaged = bytearray(raw)
            for _ in range(rng.randrange(1, 4)):
                damaged[rng.randrange(len(raw))] = rng.randrange(256)
            try:
                block = bytes(damaged)
                check_layout(block)
                find_value(block, b"0007", tag_of(b"0007"))
                keys, values = decode_columns(block)
            except CorruptionError:
                continue
            assert len(keys) == len(values)
            assert {bytes} == set(map(type, keys))
