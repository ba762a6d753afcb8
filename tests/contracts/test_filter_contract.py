"""What every filter promises: never a false no."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmproc.formats.bloom_filter import PLACE_MASK, BlockedBloomFilter, NoFilter, build_bloom_filter
from lsmproc.protocols import Filter

HASHES = st.lists(st.integers(min_value=0, max_value=(1 << 64) - 1), min_size=1, max_size=200)


def bloom(hashes: list[int]) -> Filter:
    """A bloom filter that went through its bytes."""
    return BlockedBloomFilter(build_bloom_filter(hashes, len(hashes), 12))


def none(_hashes: list[int]) -> Filter:
    """No filter."""
    return NoFilter()


@pytest.mark.parametrize("make_filter", [bloom, none])
@given(hashes=HASHES)
@settings(max_examples=50, deadline=None)
def test_what_was_added_may_be_contained(make_filter: Callable[[list[int]], Filter], hashes: list[int]) -> None:
    """Whatever the hashes, extreme ones included."""
    made = make_filter(hashes)
    assert all(map(made.may_contain, hashes))


@pytest.mark.parametrize("make_filter", [bloom, none])
def test_readers_may_inline_the_probe(make_filter: Callable[[list[int]], Filter]) -> None:
    """The fields that the table reader probes directly answer as the method does."""
    hashes = [xxhash.xxh3_64_intdigest(b"%d" % i) for i in range(500)]
    made = make_filter(hashes[:250])
    assert isinstance(made, (BlockedBloomFilter, NoFilter))
    for key_hash in hashes:
        mask = made.masks[key_hash & 4095]
        assert made.may_contain(key_hash) == (
            made.words[(key_hash >> 12 & PLACE_MASK) % made.word_count] & mask == mask
        )
