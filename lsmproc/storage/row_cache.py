"""The row cache: values of hot keys as the tables of one store give them, so that a hit asks no filter and no block.

What makes it right is where it hangs. For one key, the newest record in the tables changes in one event only: a flush
adds a table. A compaction moves records, but what a reader finds stays the same. So every view of the store holds the
RowCache of its tables' content: views share it until a flush, and the view after a flush begins with an empty one.
A put, a delete or a batch is in a memtable, where a reader looks first. A reader that fills a cache has read the tables
of a view that it belongs to, so whatever the threads do, no cache ever holds a value that its views do not show.

A hit writes nothing down, so nobody knows which rows are in use. When the budget is used up, rows drawn at random make
room: what is in use comes back soon, and what is used most is there most of the time. Simulated, LRU hits as many of
keys that are read evenly, and two or three in a hundred more of zipfian ones; but each hit would have to write.
"""

from __future__ import annotations

import weakref
from random import random
from threading import RLock

# Python's own cost of a row, in bytes: the headers of key and value, and the place in the dict at its average load.
_ROW_OVERHEAD = 66 + 96

# Once the budget was used up, one row in so many is admitted: hot keys come back soon, others seldom get in.
ADMITTED = 8

# One row may take at most this part of the budget.
_LARGEST_SHARE = 64

# Made free at once, beyond what is asked for: it pays for counting what the caches hold, and no get waits for long.
_SPARE_BYTES = 64 << 10


class RowBudget:
    """One byte budget for the row caches of all stores of a process. Thread-safe."""

    def __init__(self, capacity_bytes: int) -> None:
        """Room for ``capacity_bytes``; 0 caches nothing."""
        self.capacity_bytes: int = capacity_bytes
        self.full: bool = False
        self.offers: int = 0  # while full; changed without a lock, as none is missed
        self.left: int = capacity_bytes  # at least: what went with caches that are gone is counted when it is needed
        self.lock: RLock = RLock()  # of the budget and of what changes its caches
        self._caches: weakref.WeakSet[RowCache] = weakref.WeakSet()

    @property
    def used_bytes(self) -> int:
        """How much of the budget is taken."""
        with self.lock:
            return sum(cache.bytes for cache in self._caches)

    def make_cache(self) -> RowCache:
        """An empty cache under this budget."""
        cache = RowCache(self)
        with self.lock:
            self._caches.add(cache)
        return cache

    def resize(self, capacity_bytes: int) -> None:
        """Change the budget; rows that are too many go at once."""
        with self.lock:
            self.capacity_bytes = capacity_bytes
            self.make_room(0)

    def make_room(self, size: int) -> None:
        """Drop rows until ``size`` bytes are left. REQUIRES: the lock is held; not more than the largest row."""
        caches = list(self._caches)
        self.left = self.capacity_bytes - sum(cache.bytes for cache in caches)
        self.full = self.left < size
        if self.full:
            excess = size + min(_SPARE_BYTES, self.capacity_bytes // _LARGEST_SHARE) - self.left
            used = self.capacity_bytes - self.left
            self.left += sum(cache.drop(-(-excess * cache.bytes // used)) for cache in caches)


class RowCache:
    """Rows of one state of the tables of one store. Thread-safe; readers look into ``rows`` without a lock."""

    __slots__ = ("__weakref__", "_budget", "_keys", "bytes", "rows")

    def __init__(self, budget: RowBudget) -> None:
        """Hold no rows yet; made by RowBudget.make_cache."""
        self._budget = budget
        self._keys: list[bytes] = []  # of all rows, in no order, to draw from
        self.rows: dict[bytes, bytes] = {}
        self.bytes: int = 0

    def offer(self, key: bytes, value: bytes) -> None:
        """Keep what a read has found in the tables, if there is room for it."""
        budget = self._budget
        if budget.full:
            budget.offers += 1
            if budget.offers % ADMITTED:
                return
        size = _size_of(key, value)
        with budget.lock:
            if size > budget.capacity_bytes // _LARGEST_SHARE or key in self.rows:
                return
            if size > budget.left:
                budget.make_room(size)
            budget.left -= size
            self.bytes += size
            self._keys.append(key)
            self.rows[key] = value

    def drop(self, wanted: int) -> int:
        """Let go of rows drawn at random, of ``wanted`` bytes or all; returns the bytes. REQUIRES: budget's lock."""
        keys, before = self._keys, self.bytes
        while before - self.bytes < wanted and keys:
            place = int(random() * len(keys))  # noqa: S311
            key, keys[place] = keys[place], keys[-1]
            keys.pop()
            self.bytes -= _size_of(key, self.rows.pop(key, b""))
        if not keys:
            self.rows, self.bytes = {}, 0  # Also of what an interrupt between two statements may have left uncounted.
        return before - self.bytes

    def after_flush(self) -> RowCache:
        """The cache of the views after a flush."""
        return self._budget.make_cache()


def _size_of(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + _ROW_OVERHEAD
