"""The row cache: inside its budget, and no state of the tables sees the rows of another."""

from __future__ import annotations

import gc

from lsmproc.storage.row_cache import ADMITTED, RowBudget, RowCache

ROW = 162 + 6 + 100


def key(number: int) -> bytes:
    """Six bytes."""
    return b"%06d" % number


def offer(cache: RowCache, first: int, end: int) -> None:
    """Offer the rows of these numbers, of 100 bytes each."""
    for number in range(first, end):
        cache.offer(key(number), b"v" * 100)


def test_rows_stay_until_the_budget_is_used_up() -> None:
    """All that fit are kept; then one offer in a few gets in, and rows drawn at random go."""
    budget = RowBudget(100 * ROW)
    cache = budget.make_cache()
    offer(cache, 0, 100)
    assert [key(number) for number in range(100)] == list(cache.rows)
    offer(cache, 100, 100 + 10 * ADMITTED)
    assert 95 <= len(cache.rows) <= 100
    first = [number for number in range(100) if key(number) in cache.rows]
    assert 80 <= len(first) < 100
    assert first[0] < 20
    assert first[-1] >= 80
    assert len(cache.rows) * ROW == budget.used_bytes


def test_most_hits_of_a_set_a_little_larger_than_the_budget_are_kept() -> None:
    """Read in turns, which is the worst order for a cache that drops what was used longest ago."""
    cache = RowBudget(100 * ROW).make_cache()
    hits = 0
    for turn in range(60):
        for number in range(150):
            if key(number) in cache.rows:
                hits += turn >= 10
            else:
                offer(cache, number, number + 1)
    assert hits > 0.55 * 50 * 150


def test_all_caches_share_one_budget() -> None:
    """Whoever uses up the room, all of them give, each by its part."""
    budget = RowBudget(1000 * ROW)
    caches = [budget.make_cache() for _ in range(3)]
    offer(caches[0], 0, 900)
    offer(caches[1], 0, 100)
    offer(caches[2], 0, 400 * ADMITTED)
    assert budget.used_bytes <= 1000 * ROW
    assert 960 <= sum(len(cache.rows) for cache in caches)
    assert len(caches[0].rows) < 800
    assert len(caches[1].rows) < 100
    assert len(caches[2].rows) > 200


def test_a_cache_that_is_gone_gives_its_room_back() -> None:
    """The rows of another that come into its place are admitted one and all."""
    budget = RowBudget(100 * ROW)
    caches = [budget.make_cache(), budget.make_cache()]
    offer(caches[0], 0, 50)
    offer(caches[1], 0, 50)
    del caches[1]
    gc.collect()
    offer(caches[0], 50, 100)
    assert 100 == len(caches[0].rows)
    assert 100 * ROW == budget.used_bytes


def test_a_smaller_budget_is_kept_at_once() -> None:
    """And a larger one is filled."""
    budget = RowBudget(1000 * ROW)
    cache = budget.make_cache()
    offer(cache, 0, 1000)
    budget.resize(100 * ROW)
    assert 95 * ROW <= budget.used_bytes <= 100 * ROW
    budget.resize(0)
    assert {} == cache.rows
    budget.resize(200 * ROW)
    offer(cache, 0, 100)
    assert 100 == len(cache.rows)


def test_a_flush_begins_with_no_rows_and_the_views_before_it_keep_theirs() -> None:
    """The two caches have nothing in common but the budget."""
    cache = RowBudget(100 * ROW).make_cache()
    cache.offer(b"k", b"old")
    after = cache.after_flush()
    assert {} == after.rows
    after.offer(b"k", b"new")
    assert (b"old", b"new") == (cache.rows[b"k"], after.rows[b"k"])


def test_a_row_too_large_for_its_share_is_not_kept() -> None:
    """One huge value does not push all others out; a budget of zero keeps nothing."""
    for capacity in (0, 10 * ROW):
        cache = RowBudget(capacity).make_cache()
        cache.offer(b"k", b"v" * ROW)
        assert {} == cache.rows
