"""The block cache: inside its budget, fair to blocks that are hit, and empty of tables that are closed."""

from __future__ import annotations

from lsmproc.formats.block import BlockEncoder
from lsmproc.storage.block_cache import BlockCache, Slots

RAW = BlockEncoder().encode([b"%02d" % i for i in range(20)], [b"v" * 40] * 20, list(range(20)))
COST = 184 + len(RAW)


def test_the_budget_holds() -> None:
    """However many blocks come, the bytes stay within the capacity, and evicted slots are empty."""
    cache = BlockCache(10 * COST)
    slots: Slots = [None] * 100
    for i in range(100):
        cache.insert(slots, i, RAW)
        assert cache.used_bytes <= 10 * COST
    assert 10 == sum(block is not None for block in slots)
    assert 100 == cache.misses


def test_a_block_that_was_hit_outlives_those_that_were_not() -> None:
    """Second chance: a hit since the hand last passed keeps the block for another round."""
    cache = BlockCache(10 * COST)
    slots: Slots = [None] * 100
    for i in range(100):
        cache.insert(slots, i, RAW)
        first = slots[0]
        assert first is not None
        first.hits += 1
    assert 100 == cache.hits


def test_unfolding_is_charged() -> None:
    """The dict form costs more than the raw bytes, and its cost pushes others out."""
    cache = BlockCache(10 * COST)
    slots: Slots = [None] * 10
    for i in range(10):
        cache.insert(slots, i, RAW)
    block = slots[9]
    assert block is not None
    before = block.cost
    records = cache.unfold(block)
    assert [b"%02d" % i for i in range(20)] == list(records)
    assert records is cache.unfold(block)
    assert block.raw is None
    assert block.cost > 2 * before
    assert cache.used_bytes <= 10 * COST
    assert sum(held.cost for held in slots if held is not None) == cache.used_bytes


def test_a_closed_tables_blocks_are_dropped() -> None:
    """Their bytes are free at once, and the ring forgets them."""
    cache = BlockCache(100 * COST)
    kept: Slots = [None] * 5
    closed: Slots = [None] * 50
    for i in range(50):
        cache.insert(closed, i, RAW)
        cache.insert(kept, i % 5, RAW)
    cache.drop(closed)
    assert 5 * COST == cache.used_bytes
    assert [None] * 50 == closed
    assert len(cache._ring) < 55
    cache.resize(2 * COST)
    assert 2 == sum(block is not None for block in kept)
    cache.resize(0)
    assert 0 == cache.used_bytes


def test_a_block_too_large_for_its_share_is_not_cached() -> None:
    """One huge block does not push all others out; a capacity of zero caches nothing."""
    for capacity in (0, 2 * COST):
        cache = BlockCache(capacity)
        slots: Slots = [None]
        cache.insert(slots, 0, RAW)
        assert slots[0] is None
