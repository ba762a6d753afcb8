"""Whether a store has nothing to do: since when it takes no writes, and what its reads have paid for meanwhile.

A read that passes one run more spends some work on it, and merging that run away costs work once. The figures below
put both in bytes to be rewritten. LevelDB counts one seek of a disk for 40 KB of compaction; here the runs are in
memory as filters and fence indexes, so a get pays for little and a range, which has to merge, for more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsmproc.statistics import ReadStats
    from lsmproc.storage.version import Version

# A merge rewrites 100 bytes in about 1 us; a run more costs a get 0.2-0.3 us and the beginning of a range 10-20 us.
_BYTES_PER_GET = 32
_BYTES_PER_SCAN = 2048


class IdleWatch:
    """Looks at a store from time to time. Not thread-safe, but for ``paid_bytes``."""

    def __init__(self, after_seconds: float | None, reads: Callable[[], ReadStats], clock: Callable[[], float]) -> None:
        """Call a store idle after so many seconds without a write; never if that is None."""
        self._after_seconds = after_seconds
        self._reads = reads
        self._clock = clock
        self._level0: object = None
        self._reads_before = 0  # in bytes, when level 0 last changed
        self._quiet_since = clock()
        self.sequence: int = -1  # of the newest write

    def is_idle(self, sequence: int, version: Version, *, busy: bool) -> bool:
        """Whether the store is idle now, with its newest write at ``sequence`` and nothing in the background."""
        if self._after_seconds is None:
            return False
        if version.levels[0] is not self._level0:
            self._level0 = version.levels[0]
            self._reads_before = self._read_bytes()
        now = self._clock()
        if sequence != self.sequence:
            self.sequence = sequence
            self._quiet_since = now
        return not busy and now - self._quiet_since >= self._after_seconds and bool(version.levels[0])

    @property
    def paid_bytes(self) -> int:
        """How much rewriting the reads have paid for since level 0 last changed."""
        return self._read_bytes() - self._reads_before

    def _read_bytes(self) -> int:
        reads = self._reads()
        return reads.gets * _BYTES_PER_GET + reads.scans * _BYTES_PER_SCAN
