"""The row cache: inside its budget, and no state of the tables sees the rows of another."""

from __future__ import annotations

from lsmproc.storage.row_cache import ADMITTED, RowBudget

ROW = 162 + 6 + 100


def key(number: int) -> bytes:
    """Six bytes."""
    return b"%06d" % number


def test_rows_stay_until_the_budget_is_used_up() -> None:
    """All that fit are kept; the next one starts over, and then one offer in a few gets in."""
    budget = RowBudget(100 * ROW)
    cache = budget.make_cache()
    for number in range(100):
        cache.offer(key(number), b"v" * 100)
    assert [key(number) for number in range(100)] == list(cache.rows)
    cache.offer(key(100), b"v" * 100)
    assert [key(100)] == list(cache.rows)
    for number in range(101, 101 + 10 * ADMITTED):
        cache.offer(key(number), b"v" * 100)
    assert 11 == len(cache.rows)


def test_all_caches_share_one_budget() -> None:
    """Whoever uses up the room, all of them start over, and a cache that is gone is no burden."""
    budget = RowBudget(100 * ROW)
    caches = [budget.make_cache() for _ in range(4)]
    for number in range(100):
        caches[number % 4].offer(key(number), b"v" * 100)
    del caches[3]
    assert [25, 25, 25] == [len(cache.rows) for cache in caches]
    caches[0].offer(key(100), b"v" * 100)
    assert [1, 0, 0] == [len(cache.rows) for cache in caches]


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
