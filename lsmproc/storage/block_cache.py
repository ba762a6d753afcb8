"""The block cache: one byte budget for the raw blocks of all tables of all stores of a process.

Each table reader has :class:`Slots`, one slot per block; a cached block hangs in its slot, so a hit is a list index and
takes no lock. The cache keeps the slots that are full in a ring and evicts with CLOCK (second chance, Corbató 1968): a
block that was hit since the hand last passed stays for another round. Only inserting and evicting take the lock.

Once the budget is used up, one missed block in ``ADMITTED`` gets in. A block that is read again and again is admitted
soon all the same, while blocks that pass through once neither push others out nor pay for a place: with random reads
of ten times the budget, placing each block cost more than the few hits saved.
"""

from __future__ import annotations

from collections import deque
from threading import RLock

ADMITTED = 8

# Python's own cost, in bytes: the header of a block's bytes, the pair in the ring with its number, and its place there.
_BLOCK_OVERHEAD = 136

# One block may take at most this part of the budget; a larger one is not worth what it would push out.
_LARGEST_SHARE = 8


class Slots:
    """The places of adjacent blocks. Readers look at ``blocks`` and set ``hit`` without a lock."""

    __slots__ = ("blocks", "hit")

    def __init__(self, count: int) -> None:
        self.blocks: list[bytes | None] = [None] * count
        self.hit: bytearray = bytearray(count)  # 1 since the block was hit, until the hand passes


class BlockCache:
    """Bounds the memory of cached blocks. Thread-safe."""

    def __init__(self, capacity_bytes: int) -> None:
        """A cache of up to ``capacity_bytes``; 0 caches nothing."""
        self.capacity_bytes: int = capacity_bytes
        self.used_bytes: int = 0
        self.hits: int = 0  # reads that found their block; counted without a lock: may miss a few
        self.misses: int = 0  # reads that had to fetch a block; the same
        self.full: bool = (
            capacity_bytes == 0
        )  # whether the next block of the size of the last one would push others out
        self._lock = RLock()  # reentrant: a table that is collected as garbage drops its blocks anywhere
        self._ring: deque[tuple[Slots, int]] = deque()  # a pair whose slot is empty is passed over

    def missed(self, slots: Slots, index: int, raw: bytes) -> None:
        """Count a block that a read had to fetch, and cache it if it is admitted."""
        self.misses += 1
        if not self.full or self.misses % ADMITTED == 0:
            self.insert(slots, index, raw)

    def insert(self, slots: Slots, index: int, raw: bytes) -> None:
        """Cache a block, if the budget allows and no other thread was faster."""
        cost = len(raw) + _BLOCK_OVERHEAD
        if cost > self.capacity_bytes // _LARGEST_SHARE:
            return
        with self._lock:
            if slots.blocks[index] is not None:
                return
            self._make_room(cost)
            self.full = self.used_bytes + 2 * cost > self.capacity_bytes
            self.used_bytes += cost
            self._ring.append((slots, index))
            slots.blocks[index] = raw

    def drop(self, slots: Slots) -> None:
        """Forget all blocks of a table that closes."""
        with self._lock:
            for index, raw in enumerate(slots.blocks):
                if raw is not None:
                    self._empty(slots, index, raw)
            self.full = self.capacity_bytes == 0
            self._ring = deque([pair for pair in self._ring if pair[0] is not slots])

    def resize(self, capacity_bytes: int) -> None:
        """Change the budget; evicts at once what no longer fits."""
        with self._lock:
            self.capacity_bytes = capacity_bytes
            self.full = capacity_bytes == 0
            self._make_room(0)

    def _make_room(self, size: int) -> None:
        """Evict until ``size`` more bytes fit. REQUIRES: the lock."""
        ring = self._ring
        while ring and self.used_bytes + size > self.capacity_bytes:
            slots, index = pair = ring.popleft()
            raw = slots.blocks[index]
            if raw is None:
                continue
            if slots.hit[index]:
                slots.hit[index] = 0
                ring.append(pair)
            else:
                self._empty(slots, index, raw)

    def _empty(self, slots: Slots, index: int, raw: bytes) -> None:
        slots.blocks[index] = None
        self.used_bytes -= len(raw) + _BLOCK_OVERHEAD
