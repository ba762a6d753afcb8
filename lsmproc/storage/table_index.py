"""The index of one table in memory: which block holds a key, where the block stands, and the slot that it is cached in.

The upper level is resident from the table's first use on; each partition below it is loaded when a key in it is asked
for, and stays. What is here holds no file and does no reading: :mod:`lsmproc.storage.table_reader` fills it. Neither
changes once it is there, but for the slots, which belong to the block cache; so readers use them without a lock.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from lsmproc.storage.block_cache import Slots

if TYPE_CHECKING:
    from lsmproc.formats.table_format import TopIndex


class TableIndex:
    """The resident upper level: where each partition stands and which blocks it covers."""

    __slots__ = ("firsts", "last_keys", "loaded", "offsets", "starts")

    def __init__(self, top: TopIndex) -> None:
        """Describe the partitions of ``top``; none of them is loaded yet."""
        self.last_keys: list[bytes] = top.last_keys
        self.firsts: list[int] = list(
            accumulate(top.block_counts, initial=0)
        )  # index of the first block; the last is the count
        self.starts: list[int] = list(accumulate(top.data_bytes, initial=0))  # offset of the first block
        self.offsets: list[int] = list(
            accumulate(top.partition_bytes, initial=self.starts[-1])
        )  # of the partition itself
        self.loaded: list[IndexPartition | None] = [None] * len(top.last_keys)


class IndexPartition:
    """One loaded partition: fences, places and cache slots of adjacent blocks."""

    __slots__ = ("last_keys", "offsets", "slots")

    def __init__(self, last_keys: list[bytes], offsets: list[int]) -> None:
        """Take the last key of each block, and the blocks' offsets with the end of the last one."""
        self.last_keys: list[bytes] = last_keys
        self.offsets: list[int] = offsets
        self.slots: Slots = Slots(len(last_keys))


NO_PARTITION = IndexPartition([], [0])
