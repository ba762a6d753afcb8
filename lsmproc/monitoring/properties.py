"""The properties of a store by the names that RocksDB and LevelDB give them: ``db.get_property(name)``.

One table: a name and how its value follows from the stats and the live tables. Numbers come as their decimal digits,
as there. Where a figure is an estimate or not quite the same thing, the table says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from lsmproc.statistics import format_stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lsmproc.maintenance.maintenance_results import LiveFile
    from lsmproc.statistics import LevelStats, Stats

Name = TypeVar("Name", bytes, str)

_MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """What properties are taken from."""

    stats: Stats
    files: Sequence[LiveFile]


def property_of(name: Name, look: Callable[[], StoreFigures]) -> Name | None:
    """The value of a property, bytes for a name in bytes; None if there is no such property. Raises TypeError.

    ``look`` gets the figures, and is called for a known name only.
    """
    if not isinstance(name, (bytes, str)):
        raise TypeError(f"the name of a property is bytes or str, not {type(name).__name__}")
    value = _value(name if isinstance(name, str) else name.decode("ascii", "replace"), look)
    if value is None or isinstance(name, str):
        return value
    return value.encode()


def property_names() -> tuple[str, ...]:
    """All names; ``<N>`` stands for the number of a level."""
    return (*_PROPERTIES, *(f"{prefix}<N>" for prefix in _OF_A_LEVEL))


def _value(name: str, look: Callable[[], StoreFigures]) -> str | None:
    if name in _PROPERTIES:
        return str(_PROPERTIES[name](look()))
    prefix = name.rstrip("0123456789")
    digits = name[len(prefix) :]
    # LevelDB and RocksDB read a decimal number here, zeros in front and all.
    level = digits.lstrip("0") or digits[-1:]
    if prefix not in _OF_A_LEVEL or len(level) != 1:
        return None
    levels = look().stats.levels
    return str(_OF_A_LEVEL[prefix](levels[int(level)])) if int(level) < len(levels) else None


def _estimated_keys(figures: StoreFigures) -> int:
    """Records, less two for each tombstone: itself and what it deletes. Overwritten ones count twice until merged."""
    memtables = figures.stats.memtable.entries + figures.stats.immutable_memtables.entries
    return max(0, memtables + sum(file.entries - 2 * file.tombstones for file in figures.files))


def _memtable_bytes(figures: StoreFigures) -> int:
    """By what their records take in the log."""
    return figures.stats.memtable.bytes + figures.stats.immutable_memtables.bytes


def _compaction_pending(figures: StoreFigures) -> int:
    return int(any(level.score >= 1.0 for level in figures.stats.levels))


def _deepest_level_bytes(figures: StoreFigures) -> int:
    """What is left once all that is stored twice is merged away, about."""
    return next((level.bytes for level in reversed(figures.stats.levels) if level.bytes), 0)


def _running(kind: str) -> Callable[[StoreFigures], int]:
    return lambda figures: sum(job.kind == kind for job in figures.stats.jobs.running)


def _oldest_snapshot_time(figures: StoreFigures) -> int:
    """Seconds since 1970, 0 without a snapshot."""
    return (figures.stats.snapshots.oldest_sequence or 0) // 1_000_000_000


def _level_stats(figures: StoreFigures) -> str:
    rows = [f"{level.level:>5} {level.files:>8} {level.bytes / _MEGABYTE:>8.0f}" for level in figures.stats.levels]
    return "\n".join(["Level Files Size(MB)", "--------------------", *rows, ""])


def _leveldb_stats(figures: StoreFigures) -> str:
    rows = [
        f"{level.level:3} {level.files:8} {level.bytes / _MEGABYTE:8.0f} {level.seconds:9.0f}"
        f" {_read_bytes(level) / _MEGABYTE:8.0f} {level.bytes_written / _MEGABYTE:9.0f}"
        for level in figures.stats.levels
        if level.files or level.compactions
    ]
    titles = "Level  Files Size(MB) Time(sec) Read(MB) Write(MB)"
    return "\n".join([f"{'Compactions':>42}", titles, "-" * len(titles), *rows, ""])


def _read_bytes(level: LevelStats) -> int:
    # A flush reads the log, not a table.
    return (level.bytes_from_above if level.level else 0) + level.bytes_from_level


def _tables(figures: StoreFigures) -> str:
    lines = []
    for level in range(len(figures.stats.levels)):
        lines.append(f"--- level {level} ---")
        lines += [
            f" {file.number}:{file.size}[{_quoted(file.smallest)} .. {_quoted(file.largest)}]"
            for file in figures.files
            if file.level == level
        ]
    return "\n".join([*lines, ""])


def _quoted(key: bytes) -> str:
    return "'" + "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in key) + "'"


_PROPERTIES: dict[str, Callable[[StoreFigures], object]] = {
    "rocksdb.stats": lambda figures: format_stats(figures.stats),
    "rocksdb.levelstats": _level_stats,
    "rocksdb.sstables": _tables,
    "rocksdb.num-immutable-mem-table": lambda figures: figures.stats.immutable_memtables.count,
    "rocksdb.mem-table-flush-pending": lambda figures: int(figures.stats.immutable_memtables.count > 0),
    "rocksdb.num-running-flushes": _running("flush"),
    "rocksdb.num-running-compactions": _running("compaction"),
    "rocksdb.compaction-pending": _compaction_pending,
    "rocksdb.estimate-pending-compaction-bytes": lambda figures: figures.stats.compaction_debt_bytes,
    # Attempts that failed; they are tried again, and the store goes on unless background_error is set.
    "rocksdb.background-errors": lambda figures: figures.stats.failed_jobs,
    "rocksdb.cur-size-active-mem-table": lambda figures: figures.stats.memtable.bytes,
    "rocksdb.cur-size-all-mem-tables": _memtable_bytes,
    "rocksdb.size-all-mem-tables": _memtable_bytes,
    "rocksdb.num-entries-active-mem-table": lambda figures: figures.stats.memtable.entries,
    "rocksdb.num-entries-imm-mem-tables": lambda figures: figures.stats.immutable_memtables.entries,
    "rocksdb.estimate-num-keys": _estimated_keys,
    "rocksdb.num-snapshots": lambda figures: figures.stats.snapshots.count,
    "rocksdb.oldest-snapshot-time": _oldest_snapshot_time,
    "rocksdb.oldest-snapshot-sequence": lambda figures: figures.stats.snapshots.oldest_sequence or 0,
    "rocksdb.total-sst-files-size": lambda figures: (
        sum(level.bytes for level in figures.stats.levels) + figures.stats.snapshots.pinned_bytes
    ),
    "rocksdb.live-sst-files-size": lambda figures: sum(level.bytes for level in figures.stats.levels),
    "rocksdb.estimate-live-data-size": _deepest_level_bytes,
    "rocksdb.actual-delayed-write-rate": lambda figures: figures.stats.stall.delayed_write_bytes_per_second,
    "rocksdb.is-write-stopped": lambda figures: int(figures.stats.stall.state == "stop"),
    "rocksdb.block-cache-capacity": lambda figures: figures.stats.block_cache.limit_bytes,
    "rocksdb.block-cache-usage": lambda figures: figures.stats.block_cache.bytes,
    "leveldb.stats": _leveldb_stats,
    "leveldb.sstables": _tables,
    "leveldb.approximate-memory-usage": lambda figures: _memtable_bytes(figures) + figures.stats.block_cache.bytes,
}
_OF_A_LEVEL: dict[str, Callable[[LevelStats], object]] = {
    "rocksdb.num-files-at-level": lambda level: level.files,
    "leveldb.num-files-at-level": lambda level: level.files,
}
