"""The figures of a store as plain data: the frozen dataclasses of a ``Stats`` tree.

``to_json_dict`` is their stable form for machines, and what another process is shown of a running store: fields are
added, never renamed. Durations are seconds, sizes bytes, ratios plain numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LevelStats:
    """One level: what it holds now, and what was done to fill it since the store was opened.

    The work of a compaction counts for its output level, that of a flush for level 0.
    """

    level: int
    files: int = 0
    bytes: int = 0
    score: float = 0.0  # the level wants work from 1.0 on
    bytes_from_above: int = 0  # read from upper levels, or the raw bytes of flushed memtables
    bytes_from_level: int = 0  # read from this level because the merge overlapped it
    bytes_written: int = 0
    bytes_moved: int = 0  # tables taken over unread
    seconds: float = 0.0  # of workers
    compactions: int = 0  # flushes for level 0

    @property
    def write_amplification(self) -> float:
        """Bytes written for each byte that came from above; 0 before the first."""
        return self.bytes_written / self.bytes_from_above if self.bytes_from_above else 0.0

    @property
    def read_amplification(self) -> int:
        """Sorted runs that a point read may have to ask here: every table of level 0, one in a deeper level."""
        return self.files if self.level == 0 else min(self.files, 1)


@dataclass(frozen=True, slots=True)
class MemtableStats:
    """The memtable, or all immutable memtables together."""

    count: int = 0
    entries: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class WalStats:
    """The write-ahead log."""

    segments: int = 0
    bytes: int = 0
    syncs: int = 0
    written_bytes: int = 0  # since the store was opened, and what was replayed then


@dataclass(frozen=True, slots=True)
class LatencyStats:
    """How long one operation takes. Where ``sampled_every`` is n, one call in n was timed, and the figures are its."""

    count: int = 0  # calls; an estimate, samples * sampled_every, for the steps of ranges
    samples: int = 0  # calls that were timed
    sampled_every: int = 1
    mean_seconds: float = 0.0
    p50_seconds: float = 0.0
    p99_seconds: float = 0.0
    p999_seconds: float = 0.0
    max_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FilterStats:
    """What the filters of one level did for the sampled reads."""

    level: int
    probes: int = 0  # tables whose filter was asked
    negatives: int = 0  # answers "not here": the table was not read
    false_positives: int = 0  # answers "maybe" of tables that did not hold the key

    @property
    def false_positive_ratio(self) -> float:
        """Of the keys that were not there, those that the filter let pass; 0 before the first."""
        absent = self.negatives + self.false_positives
        return self.false_positives / absent if absent else 0.0


@dataclass(frozen=True, slots=True)
class ReadStats:
    """Point reads and ranges, and where the reads found their keys, as far as they were sampled."""

    gets: int = 0
    scans: int = 0
    samples: int = 0  # reads whose way was followed: one in ``sampled_every``
    sampled_every: int = 1
    # Of the samples: "memtable", "immutable memtables", "row cache", "level 0" to "level 6", "none"
    sources: dict[str, int] = field(default_factory=dict)
    filters: tuple[FilterStats, ...] = ()

    @property
    def memtable_hit_ratio(self) -> float:
        """Sampled reads that a memtable answered, of all sampled; 0 before the first."""
        hits = self.sources.get("memtable", 0) + self.sources.get("immutable memtables", 0)
        return hits / self.samples if self.samples else 0.0

    @property
    def row_cache_hit_ratio(self) -> float:
        """Sampled reads that the row cache answered, of those that no memtable did; 0 before the first."""
        hits = self.sources.get("row cache", 0)
        memtables = self.sources.get("memtable", 0) + self.sources.get("immutable memtables", 0)
        return hits / (self.samples - memtables) if self.samples > memtables else 0.0


@dataclass(frozen=True, slots=True)
class WriteStats:
    """Calls that write, and the records of the batches among them."""

    puts: int = 0
    deletes: int = 0
    batches: int = 0
    batch_records: int = 0


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The block cache, which stores of one Env share."""

    hits: int = 0
    misses: int = 0
    bytes: int = 0
    limit_bytes: int = 0

    @property
    def hit_ratio(self) -> float:
        """Hits of all lookups, 0 before the first."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else 0.0


@dataclass(frozen=True, slots=True)
class RowCacheStats:
    """The row cache, which stores of one Env share. Its hits are among ``ReadStats.sources``."""

    bytes: int = 0
    limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StallCondition:
    """One backlog that can stall writes, against the triggers that are in force."""

    reason: str  # "immutable memtables", "level 0 runs" or "compaction debt"
    value: int
    slowdown_at: int
    stop_at: int


@dataclass(frozen=True, slots=True)
class StallStats:
    """Write stalls: the state now, and sums since the store was opened."""

    state: str = "normal"
    reason: str = "none"
    seconds_in_state: float = 0.0
    stalls: dict[str, int] = field(default_factory=dict)  # by reason
    seconds: dict[str, float] = field(default_factory=dict)  # by reason
    waits: int = 0
    waited_seconds: float = 0.0
    timeouts: int = 0
    conditions: tuple[StallCondition, ...] = ()
    delayed_write_bytes_per_second: int = 0  # speed of all writers together while they are slowed down, else 0
    # Why "flushes" or "compactions" keep failing, if they do: (name of the error, its text)
    trouble: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LimiterPriorityStats:
    """What one priority asked of the rate limiter and got."""

    requested_bytes: int = 0
    granted_bytes: int = 0
    waited_seconds: float = 0.0  # of finished requests
    waiting_requests: int = 0


@dataclass(frozen=True, slots=True)
class LimiterStats:
    """The rate limiter, which stores of one Env share."""

    bytes_per_second: int | None = None  # None: not limited
    granted_bytes: int = 0
    waited_seconds: float = 0.0
    priorities: dict[str, LimiterPriorityStats] = field(default_factory=dict)  # "flush", "level0", "deeper"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job that a worker has answered."""

    job: int
    kind: str  # "flush" or "compaction"
    level: int  # of the output
    attempt: int
    finished_at: float  # seconds since 1970
    records_read: int
    records_written: int
    bytes_read: int
    bytes_written: int
    seconds: float
    cpu_seconds: float
    pid: int  # of the worker
    peak_memory_bytes: int  # most that the worker's process ever had in memory; 0 if that is the owner, or not known


@dataclass(frozen=True, slots=True)
class JobSums:
    """All jobs of one kind since the store was opened."""

    jobs: int = 0
    records_read: int = 0
    records_written: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0  # the highest of all
    recent_bytes_per_second: float = 0.0  # written, over the last minute or the time since the store was opened


@dataclass(frozen=True, slots=True)
class RunningJob:
    """One job that a worker has and has not answered."""

    job: int
    kind: str
    level: int  # of the output
    input_bytes: int
    seconds: float  # since it was handed over, the wait for a free worker included


@dataclass(frozen=True, slots=True)
class JobStats:
    """Jobs under way, the last ones that were done, oldest first, and the sums of all."""

    running: tuple[RunningJob, ...] = ()
    last: tuple[JobRecord, ...] = ()
    flushes: JobSums = JobSums()
    compactions: JobSums = JobSums()


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """One background worker."""

    name: str
    kind: str  # "flush" or "compaction"
    pid: int | None
    state: str  # "idle", "busy", "starting" or "dead"
    job: str = ""
    restarts: int = 0
    jobs_done: int = 0
    job_bytes_written: int = 0  # by the running job, as of about a second ago
    job_bytes: int = 0  # it reads; what it writes is mostly less
    job_seconds: float = 0.0  # since it was handed over


@dataclass(frozen=True, slots=True)
class SnapshotStats:
    """Open snapshots and iterators, and what they keep from being deleted."""

    count: int = 0
    oldest_sequence: int | None = None
    oldest_age_seconds: float = 0.0
    pinned_bytes: int = 0  # of tables that only they still need


@dataclass(frozen=True, slots=True)
class Stats:
    """Everything ``db.stats()`` tells, taken at one moment."""

    path: str = ""
    uptime_seconds: float = 0.0
    sequence: int = 0
    memtable: MemtableStats = MemtableStats()
    immutable_memtables: MemtableStats = MemtableStats()
    wal: WalStats = WalStats()
    levels: tuple[LevelStats, ...] = ()
    compaction_debt_bytes: int = 0
    running_jobs: tuple[str, ...] = ()
    failed_jobs: int = 0
    idle_compactions: int = 0  # begun while nothing asked for them: see idle_compaction_after_ms
    idle_compaction_bytes: int = 0  # written by them; the figures of the levels include them
    reads: ReadStats = ReadStats()
    block_cache: CacheStats = CacheStats()
    stall: StallStats = StallStats()
    limiter: LimiterStats = LimiterStats()
    workers: tuple[WorkerStats, ...] = ()
    snapshots: SnapshotStats = SnapshotStats()
    background_error: str | None = None
    taken_at: float = 0.0  # seconds since 1970
    pid: int = 0  # of the owner
    writes: WriteStats = WriteStats()
    operations: dict[str, LatencyStats] = field(default_factory=dict)  # by name: "put", "get", "flush", ...
    row_cache: RowCacheStats = RowCacheStats()
    jobs: JobStats = JobStats()
    compactions_paused: bool = False  # by pause_background(), or in a block of background_paused()
    background_error_kind: str | None = None  # name of the exception

    @property
    def write_amplification(self) -> float:
        """Bytes written to tables for each byte flushed; 0 before the first flush."""
        flushed = self.levels[0].bytes_from_above if self.levels else 0
        return sum(level.bytes_written for level in self.levels) / flushed if flushed else 0.0

    @property
    def read_amplification(self) -> int:
        """Sorted runs on disk that a point read may have to ask: Pebble's measure, filters and caches left aside."""
        return sum(level.read_amplification for level in self.levels)

    @property
    def space_amplification(self) -> float:
        """Bytes of all tables for each byte of the deepest level: an upper bound of what is stored twice.

        The measure of RocksDB's universal compaction; 0 for a store without tables.
        """
        deepest = self._deepest_bytes
        return sum(level.bytes for level in self.levels) / deepest if deepest else 0.0

    def to_json_dict(self) -> dict[str, object]:
        """The tree as dicts, lists, strings and numbers, with the ratios that people ask for."""
        tree: dict[str, Any] = _plain(self)
        deepest = self._deepest_bytes
        for plain, level in zip(tree["levels"], self.levels, strict=True):
            plain["write_amplification"] = level.write_amplification
            plain["read_amplification"] = level.read_amplification
            plain["space_amplification"] = level.bytes / deepest if deepest else 0.0
        for plain, filters in zip(tree["reads"]["filters"], self.reads.filters, strict=True):
            plain["false_positive_ratio"] = filters.false_positive_ratio
        tree["reads"]["memtable_hit_ratio"] = self.reads.memtable_hit_ratio
        tree["row_cache"]["hit_ratio"] = self.reads.row_cache_hit_ratio
        tree["block_cache"]["hit_ratio"] = self.block_cache.hit_ratio
        tree["write_amplification"] = self.write_amplification
        tree["read_amplification"] = self.read_amplification
        tree["space_amplification"] = self.space_amplification
        return tree

    @property
    def _deepest_bytes(self) -> int:
        return next((level.bytes for level in reversed(self.levels) if level.bytes), 0)


def _plain(value: Any) -> Any:
    """Dataclasses as dicts and tuples as lists, as they come back from JSON. ``asdict`` would copy every leaf."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value
