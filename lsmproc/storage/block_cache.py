"""The block cache: one byte budget for the decoded blocks of all tables of all stores of a process.

Each table reader has a list with one slot per block; a cached block hangs in its slot, so a hit is a list index and
takes no lock. The cache keeps the blocks in a ring and evicts with CLOCK (second chance, Corbató 1968): a block that
was hit since the hand last passed stays for another round. Only inserting and evicting take the lock.

A block is first kept as its raw bytes, which costs nothing to make. The second hit turns it into a dict, which
takes about twice the memory and answers in a quarter of the time; so the blocks that are hit pay for themselves,
and blocks that pass through once do not push others out.
"""

from __future__ import annotations

from collections import deque
from sys import getsizeof
from threading import RLock

from lsmproc.formats.block import decode_columns, record_count, sequence_planes

Slots = list["CachedBlock | None"]

# Python's own cost, in bytes: a CachedBlock with its place in the ring, and the headers of a key and a value.
_BLOCK_OVERHEAD = 184
_RECORD_OVERHEAD = 66

# One block may take at most this part of the budget; a larger one is not worth what it would push out.
_LARGEST_SHARE = 8


class CachedBlock:
    """One block in memory: as raw bytes or, once hit again, as a dict in key order."""

    __slots__ = ("cost", "hits", "index", "planes", "raw", "records", "seen", "slots")

    def __init__(self, raw: bytes) -> None:
        self.raw: bytes | None = raw
        self.records: dict[bytes, bytes | None] | None = None
        self.planes = b""  # the sequences column, beside records
        self.hits = 0  # counted without a lock: may miss a few
        self.seen = 0  # hits when the hand last passed
        self.slots: Slots | None = None
        self.index = 0
        self.cost = len(raw) + _BLOCK_OVERHEAD


class BlockCache:
    """Bounds the memory of cached blocks. Thread-safe."""

    def __init__(self, capacity_bytes: int) -> None:
        """A cache of up to ``capacity_bytes``; 0 caches nothing."""
        self.capacity_bytes = capacity_bytes
        self.used_bytes = 0
        self.misses = 0  # reads that had to fetch a block
        self._evicted_hits = 0
        self._lock = RLock()  # reentrant: a table that is collected as garbage drops its blocks anywhere
        self._ring: deque[CachedBlock] = deque()
        self._dropped = 0  # blocks in the ring whose table is closed

    @property
    def hits(self) -> int:
        """Reads that found their block, about."""
        with self._lock:
            return self._evicted_hits + sum(block.hits for block in self._ring)

    def insert(self, slots: Slots, index: int, raw: bytes) -> None:
        """Cache a block in its slot, if the budget allows and no other thread was faster."""
        block = CachedBlock(raw)
        with self._lock:
            self.misses += 1
            if block.cost > self.capacity_bytes // _LARGEST_SHARE or slots[index] is not None:
                return
            self._make_room(block.cost)
            block.slots = slots
            block.index = index
            self.used_bytes += block.cost
            self._ring.append(block)
            slots[index] = block

    def unfold(self, block: CachedBlock) -> dict[bytes, bytes | None]:
        """Turn a block's raw bytes into a dict. REQUIRES: the block has been checked (``check_layout``)."""
        raw = block.raw
        records = block.records
        if raw is None:
            assert records is not None
            return records
        records = dict(zip(*decode_columns(raw), strict=True))
        cost = getsizeof(records) + len(raw) + _RECORD_OVERHEAD * record_count(raw) + _BLOCK_OVERHEAD
        with self._lock:
            if block.records is not None:
                return block.records
            block.planes = sequence_planes(raw)
            block.records = records
            block.raw = None  # readers look at records first, and hold raw themselves if they came before
            if block.slots is not None:
                self.used_bytes += cost - block.cost
                block.cost = cost
                self._make_room(0)
        return records

    def drop(self, slots: Slots) -> None:
        """Forget all blocks of a table that closes."""
        with self._lock:
            for index, block in enumerate(slots):
                if block is not None:
                    slots[index] = None
                    self._release(block)
                    self._dropped += 1
            if self._dropped > len(self._ring) // 2:
                self._ring = deque(block for block in self._ring if block.slots is not None)
                self._dropped = 0

    def resize(self, capacity_bytes: int) -> None:
        """Change the budget; evicts at once what no longer fits."""
        with self._lock:
            self.capacity_bytes = capacity_bytes
            self._make_room(0)

    def _make_room(self, size: int) -> None:
        """Evict until ``size`` more bytes fit. REQUIRES: the lock."""
        ring = self._ring
        while ring and self.used_bytes + size > self.capacity_bytes:
            block = ring.popleft()
            if block.slots is None:
                self._dropped -= 1
            elif block.hits != block.seen:
                block.seen = block.hits
                ring.append(block)
            else:
                block.slots[block.index] = None
                self._release(block)

    def _release(self, block: CachedBlock) -> None:
        self.used_bytes -= block.cost
        self._evicted_hits += block.hits
        block.hits = 0
        block.slots = None
