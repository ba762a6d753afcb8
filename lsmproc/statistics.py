"""The figures of an open store: what ``db.stats()`` returns, what collects them, and how people read them.

Three parts: the frozen dataclasses of a :class:`Stats` tree, which are plain data (``to_json_dict`` is their stable
form for machines); :class:`Statistics`, which adds up what cannot be derived from the tree itself; and
:func:`format_stats`, which prints the level table that users of LevelDB and RocksDB know.

Counting is kept off the hot paths. Writes are not counted at all: a store has taken as many as its memtables and
flushes add up to. Reads are counted with plain ``+= 1`` on an attribute, without a lock, so two threads that count
at the same moment may count one: good enough for a ratio, and about 1 % of a read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from threading import Lock

from lsmproc.formats.version_edit import LEVEL_COUNT


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


@dataclass(frozen=True, slots=True)
class ReadStats:
    """Point reads and ranges. Approximate: see the module."""

    gets: int = 0
    scans: int = 0


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


@dataclass(frozen=True, slots=True)
class LimiterStats:
    """The rate limiter, which stores of one Env share."""

    bytes_per_second: int | None = None  # None: not limited
    granted_bytes: int = 0
    waited_seconds: float = 0.0


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

    @property
    def write_amplification(self) -> float:
        """Bytes written to tables for each byte flushed; 0 before the first flush."""
        flushed = self.levels[0].bytes_from_above if self.levels else 0
        return sum(level.bytes_written for level in self.levels) / flushed if flushed else 0.0

    def to_json_dict(self) -> dict[str, object]:
        """The tree as dicts, lists, strings and numbers, with the ratios that people ask for."""
        tree: dict[str, object] = _plain(asdict(self))
        tree["write_amplification"] = self.write_amplification
        tree["levels"] = [
            {**_plain(asdict(level)), "write_amplification": level.write_amplification} for level in self.levels
        ]
        tree["block_cache"] = {**asdict(self.block_cache), "hit_ratio": self.block_cache.hit_ratio}
        return tree


class Statistics:
    """Adds up the background work and the reads of one open store.

    The read counters are attributes, to be counted up in place. The ``record_`` methods are thread-safe; they are
    called once for each job.
    """

    __slots__ = (
        "_clock",
        "_failed_jobs",
        "_idle_bytes",
        "_idle_compactions",
        "_levels",
        "_lock",
        "_opened",
        "gets",
        "scans",
    )

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin at zero."""
        self.gets: int = 0
        self.scans: int = 0
        self._clock = clock
        self._opened = clock()
        self._lock = Lock()
        self._failed_jobs = 0
        self._idle_compactions = 0
        self._idle_bytes = 0
        self._levels = [_LevelWork() for _ in range(LEVEL_COUNT)]

    @property
    def uptime_seconds(self) -> float:
        """Seconds since the store was opened."""
        return self._clock() - self._opened

    @property
    def failed_jobs(self) -> int:
        """Attempts at jobs that failed."""
        return self._failed_jobs

    @property
    def idle_compactions(self) -> tuple[int, int]:
        """How many compactions were done in idle time, and the bytes that they wrote."""
        with self._lock:
            return self._idle_compactions, self._idle_bytes

    @property
    def reads(self) -> ReadStats:
        """The read counters as they stand."""
        return ReadStats(self.gets, self.scans)

    def record_flush(self, raw_bytes: int, written_bytes: int, seconds: float) -> None:
        """A memtable of ``raw_bytes`` became a table of ``written_bytes`` in level 0."""
        with self._lock:
            self._levels[0].add(raw_bytes, 0, written_bytes, seconds)

    def record_compaction(
        self, output_level: int, *, from_above: int, from_level: int, written: int, seconds: float
    ) -> None:
        """A merge read so many bytes from above its output level and from it, and wrote so many."""
        with self._lock:
            if output_level:
                self._levels[output_level].add(from_above, from_level, written, seconds)
            else:
                # A merge within level 0 brings nothing new into it: all that it reads was counted as it was flushed.
                self._levels[0].add(0, from_above + from_level, written, seconds)

    def record_move(self, output_level: int, size_bytes: int) -> None:
        """Tables of ``size_bytes`` were moved to ``output_level`` unread."""
        with self._lock:
            self._levels[output_level].bytes_moved += size_bytes

    def record_idle_compaction(self, written_bytes: int) -> None:
        """A merge or a move, recorded as such already, was done in idle time."""
        with self._lock:
            self._idle_compactions += 1
            self._idle_bytes += written_bytes

    def record_failure(self) -> None:
        """An attempt at a job failed."""
        with self._lock:
            self._failed_jobs += 1

    def levels(self, files: Sequence[int], sizes: Sequence[int], scores: Sequence[float]) -> tuple[LevelStats, ...]:
        """The level table, from the present counts of tables, bytes and scores by level."""
        with self._lock:
            return tuple(
                LevelStats(
                    number,
                    files[number],
                    sizes[number],
                    scores[number],
                    work.bytes_from_above,
                    work.bytes_from_level,
                    work.bytes_written,
                    work.bytes_moved,
                    work.seconds,
                    work.compactions,
                )
                for number, work in enumerate(self._levels)
            )


@dataclass(slots=True)
class _LevelWork:
    """Sums for one level."""

    bytes_from_above: int = 0
    bytes_from_level: int = 0
    bytes_written: int = 0
    bytes_moved: int = 0
    seconds: float = 0.0
    compactions: int = 0

    def add(self, from_above: int, from_level: int, written: int, seconds: float) -> None:
        self.bytes_from_above += from_above
        self.bytes_from_level += from_level
        self.bytes_written += written
        self.seconds += seconds
        self.compactions += 1


def format_stats(stats: Stats) -> str:
    """The stats as text: the level table of LevelDB and RocksDB, then one line for each other part."""
    lines = [_TITLES, "-" * len(_TITLES)]
    lines += [_level_line(f"L{level.level}", level) for level in stats.levels if level.files or level.compactions]
    total = _sum_of(stats.levels)
    lines.append(_level_line("Sum", total, amplification=stats.write_amplification))
    lines += ["", *_other_lines(stats)]
    return "\n".join(lines) + "\n"


_TITLES = (
    "Level  Files       Size  Score  Read(MB)  Rn(MB) Rnp1(MB)  Write(MB) Moved(MB)  W-Amp  Rd(MB/s)  Wr(MB/s)"
    "  Comp(sec)  Comp(cnt)  Avg(sec)"
)
_MEGABYTE = 1 << 20


def _level_line(name: str, level: LevelStats, amplification: float | None = None) -> str:
    # A flush reads the log, not a table, so what it brings to level 0 is no reading of the tree.
    above = 0 if name == "L0" else level.bytes_from_above
    read = (above + level.bytes_from_level) / _MEGABYTE
    written = level.bytes_written / _MEGABYTE
    seconds = max(level.seconds, 1e-9)
    amplification = level.write_amplification if amplification is None else amplification
    return (
        f"{name:>5}{level.files:7}{_size(level.bytes):>11}{level.score:7.2f}{read:10.1f}{above / _MEGABYTE:8.1f}"
        f"{level.bytes_from_level / _MEGABYTE:9.1f}{written:11.1f}{level.bytes_moved / _MEGABYTE:10.1f}"
        f"{amplification:7.1f}{read / seconds:10.1f}{written / seconds:10.1f}{level.seconds:11.2f}"
        f"{level.compactions:11}{level.seconds / max(level.compactions, 1):10.3f}"
    )


def _sum_of(levels: Sequence[LevelStats]) -> LevelStats:
    return LevelStats(
        level=-1,
        files=sum(level.files for level in levels),
        bytes=sum(level.bytes for level in levels),
        bytes_from_above=sum(level.bytes_from_above for level in levels[1:]),
        bytes_from_level=sum(level.bytes_from_level for level in levels),
        bytes_written=sum(level.bytes_written for level in levels),
        bytes_moved=sum(level.bytes_moved for level in levels),
        seconds=sum(level.seconds for level in levels),
        compactions=sum(level.compactions for level in levels),
    )


def _other_lines(stats: Stats) -> list[str]:
    cache, stall, limiter, snapshots = stats.block_cache, stats.stall, stats.limiter, stats.snapshots
    immutable = stats.immutable_memtables
    rate = "off" if limiter.bytes_per_second is None else f"{_size(limiter.bytes_per_second)}/s"
    running = ", ".join(stats.running_jobs) or "none"
    reads = stats.reads
    lines = [
        f"Uptime(sec): {stats.uptime_seconds:.1f}  sequence: {stats.sequence}",
        f"Memtable: {stats.memtable.entries} entries, {_size(stats.memtable.bytes)}",
        f"Immutable memtables: {immutable.count}, {_size(immutable.bytes)}",
        f"WAL: {stats.wal.segments} segments, {_size(stats.wal.bytes)}, {stats.wal.syncs} syncs",
        f"Gets: {reads.gets}, scans: {reads.scans}",
        f"Block cache: {_size(cache.bytes)} of {_size(cache.limit_bytes)}, hit ratio {cache.hit_ratio:.1%}",
        f"Pending compaction: {_size(stats.compaction_debt_bytes)}",
        f"Running jobs: {running}; failed attempts: {stats.failed_jobs}",
        f"Idle compactions: {stats.idle_compactions}, {_size(stats.idle_compaction_bytes)} written",
        f"Writes: {stall.state} ({stall.reason}) for {stall.seconds_in_state:.1f} s",
        f"Stalled writes: {stall.waits} waited {stall.waited_seconds:.3f} s, {stall.timeouts} gave up",
        f"Rate limit: {rate}, {_size(limiter.granted_bytes)} granted, {limiter.waited_seconds:.1f} s waited",
        f"Snapshots: {snapshots.count}, oldest {snapshots.oldest_age_seconds:.1f} s old",
        f"Pinned by snapshots: {_size(snapshots.pinned_bytes)}",
    ]
    lines += [
        f"Worker {worker.name}: {worker.state}{f' with {worker.job}' if worker.job else ''}"
        f", {worker.jobs_done} jobs done, {worker.restarts} restarts"
        for worker in stats.workers
    ]
    if stats.background_error is not None:
        lines.append(f"Background error: {stats.background_error}")
    return lines


def _size(count: float) -> str:
    """Bytes for people: 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _plain(value: dict[str, object]) -> dict[str, object]:
    """Tuples as lists, as they come back from JSON."""
    return {key: list(item) if isinstance(item, tuple) else item for key, item in value.items()}
