"""Where sampled point reads found their keys, and what the filters on their way said."""

from __future__ import annotations

from lsmproc.formats.version_edit import LEVEL_COUNT
from lsmproc.statistics.stats_tree import FilterStats, ReadStats

MEMTABLE = "memtable"
IMMUTABLE_MEMTABLES = "immutable memtables"
ROW_CACHE = "row cache"
NOWHERE = "none"


class ReadSamples:
    """Counts the steps of the reads that are followed. Without a lock: one of two at the same moment may be lost."""

    __slots__ = ("_false_positives", "_negatives", "_probes", "_sources")

    def __init__(self) -> None:
        """No read yet."""
        self._sources = dict.fromkeys((MEMTABLE, IMMUTABLE_MEMTABLES, ROW_CACHE), 0)
        self._sources |= {f"level {level}": 0 for level in range(LEVEL_COUNT)} | {NOWHERE: 0}
        self._probes = [0] * LEVEL_COUNT
        self._negatives = [0] * LEVEL_COUNT
        self._false_positives = [0] * LEVEL_COUNT

    def found_in(self, source: str) -> None:
        """A read ended at ``source``."""
        self._sources[source] += 1

    def found_in_level(self, level: int) -> None:
        """A read ended in a table of ``level``."""
        self._sources[f"level {level}"] += 1

    def filtered(self, level: int) -> None:
        """A filter of ``level`` kept a table from being read."""
        self._probes[level] += 1
        self._negatives[level] += 1

    def passed(self, level: int, *, held: bool) -> None:
        """A filter of ``level`` let a read pass to a table, which ``held`` the key or not."""
        self._probes[level] += 1
        self._false_positives[level] += not held

    def stats(self, gets: int, scans: int, every: int) -> ReadStats:
        """The figures so far, with the counts of all reads."""
        return ReadStats(
            gets,
            scans,
            sum(self._sources.values()),
            every,
            {source: count for source, count in self._sources.items() if count},
            tuple(
                FilterStats(level, probes, self._negatives[level], self._false_positives[level])
                for level, probes in enumerate(self._probes)
                if probes
            ),
        )
