"""One byte budget for the memtables of all stores of an Env: the largest is flushed first when they grow over it.

A service with a hundred partitions would otherwise need a hundred times ``memtable_max_bytes`` before the first store
flushes. The rule is that of RocksDB's WriteBufferManager; writes are not stopped by it, and it is looked at from
time to time, so what is written between two looks may lie above the budget.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsmproc.errors import Error

if TYPE_CHECKING:
    from lsmproc.pacing.ticker import Ticker

_LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Memtables:
    """Those of one store, in bytes of its log.

    Attributes:
        active_bytes: of the one that is written to.
        all_bytes: with those that wait for their flush.
        rotate: seal the one that is written to and have it flushed.
    """

    active_bytes: Callable[[], int]
    all_bytes: Callable[[], int]
    rotate: Callable[[], None]


class MemtableBudget:
    """Keeps the memtables of its members together below ``limit_bytes``; None for no limit. Thread-safe."""

    def __init__(self, limit_bytes: int | None, ticker: Ticker) -> None:
        """Without members, nothing is looked at."""
        self.limit_bytes = limit_bytes
        self._ticker = ticker
        self._members: tuple[Memtables, ...] = ()
        # Reentrant: a store that is collected as garbage leaves wherever the collector runs.
        self._lock = threading.RLock()

    @property
    def bytes(self) -> int:
        """What all memtables hold now."""
        return sum(member.all_bytes() for member in self._members)

    def join(self, member: Memtables) -> None:
        """Count a store that has been opened."""
        if self.limit_bytes is None:
            return
        with self._lock:
            if not self._members:
                self._ticker.add(self.enforce, _LOOK_SECONDS)
            self._members = (*self._members, member)

    def leave(self, member: Memtables) -> None:
        """Count it no more; harmless if it never joined. REQUIRES: its ``rotate`` may still be called for a moment."""
        with self._lock:
            before = self._members
            self._members = tuple(each for each in before if each is not member)
            last = bool(before) and not self._members
        if last:
            self._ticker.remove(self.enforce)

    def enforce(self) -> None:
        """Rotate the largest memtables until half of the budget is not yet on its way to disk, or none is left.

        Half, because a flush takes a while, and what it will free should not make the others flush small memtables.
        """
        if self.limit_bytes is None or self.bytes <= self.limit_bytes:
            return
        largest_first = sorted(self._members, key=lambda member: member.active_bytes(), reverse=True)
        active = sum(member.active_bytes() for member in largest_first)
        for member in largest_first:
            if active <= self.limit_bytes // 2:
                return
            active -= member.active_bytes()
            _rotate(member)


def _rotate(member: Memtables) -> None:
    """A store that cannot be written to has told its writers; the others are to be flushed all the same."""
    try:
        member.rotate()
    except Error:
        return
