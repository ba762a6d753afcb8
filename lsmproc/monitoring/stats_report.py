"""Gathers the figures of an open store's parts into one Stats tree."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from lsmproc.statistics import (
    CacheStats,
    LimiterPriorityStats,
    LimiterStats,
    MemtableStats,
    RowCacheStats,
    SnapshotStats,
    StallCondition,
    StallStats,
    Stats,
    WalStats,
    WorkerStats,
)
from lsmproc.statistics.latency import Histogram

if TYPE_CHECKING:
    from lsmproc.opening.store_parts import StoreParts


def collect_stats(parts: StoreParts) -> Stats:
    """The figures at this moment; parts are read one after the other, so sums may differ by what happens meanwhile."""
    write_path, cache, version = parts.write_path, parts.env.block_cache, parts.tree.version
    view, log = write_path.view, parts.log
    log_bytes = _log_under_memtable(parts)
    immutables = MemtableStats(
        len(view.immutables),
        sum(len(each.memtable.entries) for each in view.immutables),
        sum(segment.end for each in view.immutables for segment in each.segments),
    )
    error = parts.maintenance.error
    idle_compactions, idle_bytes = parts.statistics.idle_compactions
    return Stats(
        path=parts.fs.path,
        uptime_seconds=parts.statistics.uptime_seconds,
        sequence=write_path.last_sequence,
        memtable=MemtableStats(1, len(view.entries), log_bytes),
        immutable_memtables=immutables,
        wal=_wal(parts, immutables.bytes),
        levels=parts.statistics.levels(
            [len(level) for level in version.levels],
            [version.level_bytes(level) for level in range(len(version.levels))],
            parts.picker.scores(version),
        ),
        compaction_debt_bytes=parts.tree.debt_bytes,
        running_jobs=parts.maintenance.running,
        failed_jobs=parts.statistics.failed_jobs,
        idle_compactions=idle_compactions,
        idle_compaction_bytes=idle_bytes,
        reads=parts.statistics.reads,
        block_cache=CacheStats(cache.hits, cache.misses, cache.used_bytes, cache.capacity_bytes),
        stall=_stall(parts),
        limiter=_limiter(parts),
        workers=_workers(parts),
        snapshots=_snapshots(parts),
        background_error=None if error is None else str(error),
        taken_at=time.time(),
        pid=os.getpid(),
        writes=parts.statistics.writes,
        operations=parts.statistics.operations(log.sync_times if log is not None else Histogram()),
        row_cache=RowCacheStats(parts.env.row_budget.used_bytes, parts.env.row_budget.capacity_bytes),
        jobs=parts.statistics.jobs,
        compactions_paused=parts.maintenance.paused,
        background_error_kind=None if error is None else type(error).__name__,
    )


def _log_under_memtable(parts: StoreParts) -> int:
    """Bytes; of a store that is only read, what was replayed is all there is."""
    return parts.log.bytes if parts.log is not None else sum(parts.replayed_log)


def _wal(parts: StoreParts, immutable_bytes: int) -> WalStats:
    log, live = parts.log, _log_under_memtable(parts) + immutable_bytes
    if log is None:
        return WalStats(len(parts.replayed_log), live)
    segments = 1 + sum(len(each.segments) for each in parts.write_path.view.immutables)
    written = sum(parts.replayed_log) + log.rotated_bytes + log.current.end
    return WalStats(segments, live, log.syncs, written)


def _workers(parts: StoreParts) -> tuple[WorkerStats, ...]:
    return tuple(
        WorkerStats(
            report.name,
            report.kind,
            report.pid,
            report.state.value,
            report.job,
            report.restarts,
            report.jobs_done,
            report.job_bytes_written,
            report.job_bytes,
            report.job_seconds,
        )
        for report in parts.env.background.worker_reports()
    )


def _stall(parts: StoreParts) -> StallStats:
    report = parts.controller.report()
    return StallStats(
        report.stall.state.value,
        report.stall.reason.value,
        report.seconds_in_state,
        {reason.value: count for reason, count in report.stalls.items()},
        {reason.value: seconds for reason, seconds in report.seconds.items()},
        report.waits,
        report.waited_seconds,
        report.timeouts,
        tuple(StallCondition(reason.value, *figures) for reason, figures in report.triggers.items()),
        report.delayed_write_bytes_per_second,
        {kind: (type(error).__name__, str(error)) for kind, error in report.trouble.items()},
    )


def _limiter(parts: StoreParts) -> LimiterStats:
    limiter = parts.env.rate_limiter
    by_priority = limiter.report()
    reports = by_priority.values()
    return LimiterStats(
        limiter.bytes_per_second,
        sum(report.granted_bytes for report in reports),
        sum(report.waited_seconds for report in reports),
        {
            priority.name.lower(): LimiterPriorityStats(
                report.requested_bytes, report.granted_bytes, report.waited_seconds, report.waiting_requests
            )
            for priority, report in by_priority.items()
        },
    )


def _snapshots(parts: StoreParts) -> SnapshotStats:
    sequences = parts.write_path.snapshots
    pinned = parts.tree.pinned_bytes
    if not sequences:
        return SnapshotStats(pinned_bytes=pinned)
    age = max(0.0, (time.time_ns() - sequences[0]) / 1e9) if sequences[0] else 0.0
    return SnapshotStats(len(sequences), sequences[0] or None, age, pinned)
