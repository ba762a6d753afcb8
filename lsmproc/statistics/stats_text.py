"""The figures of a store as text: the level table that users of LevelDB and RocksDB know, and what else there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsmproc.statistics.size_text import size_text
from lsmproc.statistics.stats_tree import LevelStats

if TYPE_CHECKING:
    from lsmproc.statistics.stats_tree import LatencyStats, Stats


def format_stats(stats: Stats) -> str:
    """The stats as text: the level table of LevelDB and RocksDB, then one line for each other part."""
    lines = [_TITLES, "-" * len(_TITLES)]
    lines += [_level_line(f"L{level.level}", level) for level in stats.levels if level.files or level.compactions]
    total = _sum_of(stats.levels)
    lines.append(_level_line("Sum", total, amplification=stats.write_amplification))
    lines += ["", *_other_lines(stats), "", *_operation_lines(stats.operations)]
    return "\n".join(lines) + "\n"


def _operation_lines(operations: dict[str, LatencyStats]) -> list[str]:
    """Latencies of what was called, in microseconds."""
    called = {name: figures for name, figures in operations.items() if figures.count}
    if not called:
        return []
    titles = "Operation       Count  Timed 1 in   Mean(us)    P50(us)    P99(us)  P99.9(us)    Max(us)"
    lines = [titles, "-" * len(titles)]
    for name, each in called.items():
        seconds = (each.mean_seconds, each.p50_seconds, each.p99_seconds, each.p999_seconds, each.max_seconds)
        lines.append(f"{name:10}{each.count:11}{each.sampled_every:12}" + "".join(f"{s * 1e6:11.1f}" for s in seconds))
    return lines


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
        f"{name:>5}{level.files:7}{size_text(level.bytes):>11}{level.score:7.2f}{read:10.1f}{above / _MEGABYTE:8.1f}"
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
    rate = "off" if limiter.bytes_per_second is None else f"{size_text(limiter.bytes_per_second)}/s"
    running = ", ".join(stats.running_jobs) or "none"
    reads, writes = stats.reads, stats.writes
    lines = [
        f"Uptime(sec): {stats.uptime_seconds:.1f}  sequence: {stats.sequence}",
        f"Memtable: {stats.memtable.entries} entries, {size_text(stats.memtable.bytes)}",
        f"Immutable memtables: {immutable.count}, {size_text(immutable.bytes)}",
        f"WAL: {stats.wal.segments} segments, {size_text(stats.wal.bytes)}, {stats.wal.syncs} syncs",
        f"Gets: {reads.gets}, scans: {reads.scans}",
        f"Puts: {writes.puts}, deletes: {writes.deletes}, batches: {writes.batches} of {writes.batch_records} records",
        (
            f"Amplification: write {stats.write_amplification:.1f}, read {stats.read_amplification}, "
            f"space {stats.space_amplification:.2f}"
        ),
        f"Block cache: {size_text(cache.bytes)} of {size_text(cache.limit_bytes)}, hit ratio {cache.hit_ratio:.1%}",
        (
            f"Row cache: {size_text(stats.row_cache.bytes)} of {size_text(stats.row_cache.limit_bytes)}, "
            f"hit ratio {reads.row_cache_hit_ratio:.1%}"
        ),
        f"Pending compaction: {size_text(stats.compaction_debt_bytes)}",
        f"Running jobs: {running}; failed attempts: {stats.failed_jobs}",
        f"Idle compactions: {stats.idle_compactions}, {size_text(stats.idle_compaction_bytes)} written",
        f"Writes: {stall.state} ({stall.reason}) for {stall.seconds_in_state:.1f} s",
        f"Stalled writes: {stall.waits} waited {stall.waited_seconds:.3f} s, {stall.timeouts} gave up",
        f"Rate limit: {rate}, {size_text(limiter.granted_bytes)} granted, {limiter.waited_seconds:.1f} s waited",
        f"Snapshots: {snapshots.count}, oldest {snapshots.oldest_age_seconds:.1f} s old",
        f"Pinned by snapshots: {size_text(snapshots.pinned_bytes)}",
    ]
    lines += _sampled_read_lines(stats)
    lines += [
        f"Stalls by {reason}: {times}, {stall.seconds.get(reason, 0.0):.3f} s"
        for reason, times in stall.stalls.items()
        if times
    ]
    lines += [
        f"{kind}: {sums.jobs}, {sums.records_written} records, {size_text(sums.bytes_written)} written "
        f"in {sums.seconds:.2f} s, {sums.cpu_seconds:.2f} s of CPU, peak memory {size_text(sums.peak_memory_bytes)}"
        for kind, sums in (("Flushes", stats.jobs.flushes), ("Compactions", stats.jobs.compactions))
        if sums.jobs
    ]
    lines += [
        f"Worker {worker.name}: {worker.state}{f' with {worker.job}' if worker.job else ''}"
        f", {worker.jobs_done} jobs done, {worker.restarts} restarts"
        for worker in stats.workers
    ]
    if stats.background_error is not None:
        lines.append(f"Background error: {stats.background_error}")
    return lines


def _sampled_read_lines(stats: Stats) -> list[str]:
    reads = stats.reads
    if not reads.samples:
        return []
    shares = ", ".join(f"{source} {count / reads.samples:.1%}" for source, count in reads.sources.items())
    lines = [f"Reads found in: {shares} ({reads.samples} samples, 1 in {reads.sampled_every})"]
    lines += [
        f"Filters of L{filters.level}: {filters.probes} probes, {filters.negatives} negative, "
        f"{filters.false_positives} false positive"
        for filters in reads.filters
    ]
    return lines
