"""The figures of an open store: what ``db.stats()`` returns, what collects them, and how people read them.

:mod:`stats_tree` holds the frozen dataclasses of a :class:`Stats` tree, plain data; :mod:`collector` adds up what
cannot be derived from the state of the store; :mod:`latency` times one call in many; :mod:`stats_text` prints.
"""

from __future__ import annotations

from lsmproc.statistics.collector import Statistics
from lsmproc.statistics.stats_text import format_stats
from lsmproc.statistics.stats_tree import (
    CacheStats,
    FilterStats,
    JobRecord,
    JobStats,
    JobSums,
    LatencyStats,
    LevelStats,
    LimiterPriorityStats,
    LimiterStats,
    MemtableStats,
    ReadStats,
    RowCacheStats,
    SnapshotStats,
    StallCondition,
    StallStats,
    Stats,
    WalStats,
    WorkerStats,
    WriteStats,
)

__all__ = [
    "CacheStats",
    "FilterStats",
    "JobRecord",
    "JobStats",
    "JobSums",
    "LatencyStats",
    "LevelStats",
    "LimiterPriorityStats",
    "LimiterStats",
    "MemtableStats",
    "ReadStats",
    "RowCacheStats",
    "SnapshotStats",
    "StallCondition",
    "StallStats",
    "Statistics",
    "Stats",
    "WalStats",
    "WorkerStats",
    "WriteStats",
    "format_stats",
]
