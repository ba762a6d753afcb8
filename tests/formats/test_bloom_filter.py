"""The bloom filter: its masks never change, it never forgets a key, and it is seldom wrong otherwise."""

from __future__ import annotations

from array import array

import pytest
import xxhash

from lsmproc.errors import CorruptionError
from lsmproc.formats.bloom_filter import BlockedBloomFilter, build_bloom_filter, filter_masks

# Computed once; a change of any mask makes every filter on disk useless.
GOLDEN_MASKS = "55420a55501c8f23"
GOLDEN_FILTER = "916f1609d5280304049cec0c822de806"


def hashes_of(count: int, name: bytes) -> list[int]:
    """Hashes of made-up keys."""
    return [xxhash.xxh3_64_intdigest(b"%s %d" % (name, i)) for i in range(count)]


def test_the_masks_are_those_on_disk() -> None:
    """Golden digest of the whole mask table; each mask has six bits."""
    packed = b"".join(mask.to_bytes(8, "little") for mask in filter_masks())
    assert GOLDEN_MASKS == xxhash.xxh3_64_hexdigest(packed)
    assert {6} == {mask.bit_count() for mask in filter_masks()}


def test_a_filter_has_the_bytes_it_always_had() -> None:
    """Golden bytes of a small filter."""
    assert GOLDEN_FILTER == build_bloom_filter(hashes_of(10, b"key"), 10, 12).hex()


@pytest.mark.parametrize("count", [1, 2047, 2048, 2049, 5000])
def test_a_filter_holds_what_its_drawing_says(count: int) -> None:
    """However many hashes are taken at once, each sets its mask in its word."""
    hashes = array("Q", hashes_of(count, b"key"))
    words = [0] * -(-count * 12 // 60)
    for key_hash in hashes:
        words[(key_hash >> 12 & 0x3FFFFFFF) % len(words)] |= filter_masks()[key_hash & 4095]
    expected = b"".join(word.to_bytes(8, "little") for word in words)
    assert expected == build_bloom_filter(hashes, count, 12)


@pytest.mark.parametrize(("bits", "most_false_percent"), [(8, 4.5), (12, 1.4), (16, 0.7)])
def test_false_positives_stay_rare(bits: int, most_false_percent: float) -> None:
    """The rate for keys that were never added is what the documentation says."""
    hashes = hashes_of(20_000, b"key")
    bloom = BlockedBloomFilter(build_bloom_filter(hashes, len(hashes), bits))
    assert all(map(bloom.may_contain, hashes))
    assert sum(map(bloom.may_contain, hashes_of(20_000, b"other"))) <= 200 * most_false_percent


@pytest.mark.parametrize("size", [0, 1, 7, 12])
def test_bytes_that_are_no_words_are_corruption(size: int) -> None:
    """A filter of a length that no builder makes is refused."""
    with pytest.raises(CorruptionError):
        BlockedBloomFilter(bytes(size))
