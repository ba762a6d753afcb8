"""The block cache: inside its budget, fair to blocks that are hit, and empty of tables that are closed."""

from __future__ import annotations

from lsmproc.formats.block import BlockEncoder
from lsmproc.storage.block_cache import ADMITTED, BlockCache, Slots

RAW = BlockEncoder().encode([b"%02d" % i for i in range(20)], [b"v" * 40] * 20, list(range(20)))
COST = 136 + len(RAW)


def held(slots: Slots) -> list[int]:
    """The indexes of the cached blocks."""
    return [index for index, raw in enumerate(slots.blocks) if raw is not None]


def test_the_budget_holds() -> None:
    """However many blocks come, the bytes stay within the capacity, and evicted slots are empty."""
    cache = BlockCache(10 * COST)
    slots = Slots(100)
    for i in range(100):
        cache.missed(slots, i, RAW)
        assert cache.used_bytes <= 10 * COST
    assert 10 == len(held(slots))
    assert 100 == cache.misses


def test_once_full_one_miss_in_a_few_gets_in() -> None:
    """Blocks that pass through once push few others out; a block that is missed again and again gets in."""
    cache = BlockCache(10 * COST)
    slots = Slots(200)
    for i in range(10):
        cache.missed(slots, i, RAW)
    assert list(range(10)) == held(slots)
    for i in range(10, 10 + ADMITTED):
        cache.missed(slots, i, RAW)
    assert 1 == sum(index >= 10 for index in held(slots))
    for _ in range(ADMITTED):
        cache.missed(slots, 199, RAW)
    assert 199 in held(slots)


def test_a_block_that_was_hit_outlives_those_that_were_not() -> None:
    """Second chance: a hit since the hand last passed keeps the block for another round."""
    cache = BlockCache(10 * COST)
    slots = Slots(1000)
    for i in range(1000):
        cache.missed(slots, i, RAW)
        assert slots.blocks[0] is not None
        slots.hit[0] = 1
    assert 0 == held(slots)[0] < held(slots)[1]


def test_a_closed_tables_blocks_are_dropped() -> None:
    """Their bytes are free at once, and the ring forgets them."""
    cache = BlockCache(100 * COST)
    kept = Slots(5)
    closed = Slots(50)
    for i in range(50):
        cache.missed(closed, i, RAW)
        cache.missed(kept, i % 5, RAW)
    cache.drop(closed)
    assert 5 * COST == cache.used_bytes
    assert [] == held(closed)
    assert 5 == len(cache._ring)
    cache.resize(2 * COST)
    assert 2 == len(held(kept))
    cache.resize(0)
    assert 0 == cache.used_bytes


def test_a_block_too_large_for_its_share_is_not_cached() -> None:
    """One huge block does not push all others out; a capacity of zero caches nothing."""
    for capacity in (0, 2 * COST):
        cache = BlockCache(capacity)
        slots = Slots(1)
        for _ in range(2 * ADMITTED):
            cache.missed(slots, 0, RAW)
        assert [] == held(slots)
