"""The row cache: values of hot keys as the tables of one store give them, so that a hit asks no filter and no block.

What makes it right is where it hangs. For one key, the newest record in the tables changes in one event only: a flush
adds a table. A compaction moves records, but what a reader finds stays the same. So every view of the store holds the
RowCache of its tables' content: views share it until a flush, and the view after a flush begins with an empty one.
A put, a delete or a batch is in a memtable, where a reader looks first. A reader that fills a cache has read the tables
of a view that it belongs to, so whatever the threads do, no cache ever holds a value that its views do not show.
"""

from __future__ import annotations

import weakref
from threading import RLock

# Python's own cost of a row, in bytes: the headers of key and value, and the place in the dict at its average load.
_ROW_OVERHEAD = 66 + 96

# Once a cache had to start over, one row in so many is admitted: hot keys come back soon, others seldom get in.
ADMITTED = 8

# One row may take at most this part of the budget.
_LARGEST_SHARE = 64


class RowBudget:
    """One byte budget for the row caches of all stores of a process. Thread-safe."""

    def __init__(self, capacity_bytes: int) -> None:
        """Room for ``capacity_bytes``; 0 caches nothing."""
        self.capacity_bytes: int = capacity_bytes
        self._left = capacity_bytes  # changed without a lock: what threads lose of it is made good at the next start
        self.offers: int = 0  # since all had to start over; the same
        self.started_over: bool = False
        self._caches: weakref.WeakSet[RowCache] = weakref.WeakSet()
        self._lock = RLock()

    @property
    def used_bytes(self) -> int:
        """How much of the budget is taken, about: rows that a flush made useless count until all start over."""
        return max(0, self.capacity_bytes - self._left)

    def make_cache(self) -> RowCache:
        """An empty cache under this budget."""
        cache = RowCache(self)
        with self._lock:
            self._caches.add(cache)
        return cache

    def take(self, size: int) -> bool:
        """Take the room of a row of ``size`` bytes of key and value; False if it is too large."""
        cost = size + _ROW_OVERHEAD
        if cost > self.capacity_bytes // _LARGEST_SHARE:
            return False
        self._left -= cost
        if self._left < 0:
            self._start_over()
            self._left -= cost
        return True

    def resize(self, capacity_bytes: int) -> None:
        """Change the budget; all caches start over if they may hold less now."""
        with self._lock:
            grown, self.capacity_bytes = capacity_bytes - self.capacity_bytes, capacity_bytes
            self._left += grown
            if grown < 0:
                self._start_over()

    def _start_over(self) -> None:
        """Empty all caches: the rows in use come back, one offer in a few, and nobody has to keep order among them."""
        with self._lock:
            for cache in self._caches:
                cache.rows = {}
            self._left = self.capacity_bytes
            self.started_over = True


class RowCache:
    """Rows of one state of the tables of one store. Thread-safe; readers look into ``rows`` without a lock."""

    __slots__ = ("__weakref__", "_budget", "rows")

    def __init__(self, budget: RowBudget) -> None:
        """Hold no rows yet; made by RowBudget.make_cache."""
        self._budget = budget
        self.rows: dict[bytes, bytes] = {}

    def offer(self, key: bytes, value: bytes) -> None:
        """Keep what a read has found in the tables, if there is room for it."""
        budget = self._budget
        if budget.started_over:
            budget.offers += 1
            if budget.offers % ADMITTED:
                return
        if budget.take(len(key) + len(value)):
            self.rows[key] = value

    def after_flush(self) -> RowCache:
        """The cache of the views after a flush."""
        return self._budget.make_cache()
