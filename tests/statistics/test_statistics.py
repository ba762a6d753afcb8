"""The figures of a store: adding up, the JSON form, and the table for people."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from lsmproc.formats.messages import FlushDone, FlushRequest, JobCost, JobFailed, SegmentEnd, TableOptions
from lsmproc.statistics import (
    CacheStats,
    LevelStats,
    MemtableStats,
    SnapshotStats,
    StallStats,
    Statistics,
    Stats,
    WorkerStats,
    format_stats,
)
from lsmproc.statistics.collector import LAST_JOBS
from lsmproc.statistics.latency import Histogram

MEBIBYTE = 1 << 20


def _levels() -> tuple[LevelStats, ...]:
    """Two flushes, a merge into level 6, a move to level 5."""
    statistics = Statistics(clock=lambda: 0.0)
    statistics.record_flush(16 * MEBIBYTE, 10 * MEBIBYTE, 0.25)
    statistics.record_flush(16 * MEBIBYTE, 10 * MEBIBYTE, 0.25)
    statistics.record_compaction(
        6, from_above=20 * MEBIBYTE, from_level=100 * MEBIBYTE, written=110 * MEBIBYTE, seconds=2.0
    )
    statistics.record_move(5, 8 * MEBIBYTE)
    return statistics.levels([0, 0, 0, 0, 0, 1, 4], [0, 0, 0, 0, 0, 8 * MEBIBYTE, 110 * MEBIBYTE], [0.0] * 7)


STATS = Stats(
    path="/data/x",
    uptime_seconds=12.34,
    sequence=77,
    memtable=MemtableStats(1, 1000, 2 * MEBIBYTE),
    levels=_levels(),
    block_cache=CacheStats(75, 25, 3 * MEBIBYTE, 64 * MEBIBYTE),
    stall=StallStats("slowdown", "level 0 runs", 1.5, {"level 0 runs": 1}, {"level 0 runs": 1.5}, 3, 0.012, 0),
    workers=(WorkerStats("flush-0", "flush", 4242, "busy", "flush of 000012.wal", 1, 7),),
    snapshots=SnapshotStats(1, 70, 5.0, 4096),
)


def test_work_counts_for_the_level_it_fills() -> None:
    """Flushes for level 0, a merge for its output level, a move without reading or writing."""
    levels = _levels()
    assert (2, 32 * MEBIBYTE, 20 * MEBIBYTE, 0.5) == (
        levels[0].compactions,
        levels[0].bytes_from_above,
        levels[0].bytes_written,
        levels[0].seconds,
    )
    assert 5.5 == levels[6].write_amplification
    assert (0, 8 * MEBIBYTE) == (levels[5].compactions, levels[5].bytes_moved)


def test_a_merge_within_level_0_brings_nothing_new_into_it() -> None:
    """It adds to what was written for the same bytes: the amplification of level 0 rises."""
    statistics = Statistics(clock=lambda: 0.0)
    statistics.record_flush(100, 100, 1.0)
    statistics.record_compaction(0, from_above=0, from_level=100, written=100, seconds=1.0)
    level0 = statistics.levels([1] + [0] * 6, [100] + [0] * 6, [0.0] * 7)[0]
    assert (100, 100, 2.0) == (level0.bytes_from_above, level0.bytes_from_level, level0.write_amplification)


def test_write_amplification_of_the_store_is_all_written_for_all_flushed() -> None:
    """130 MiB of tables for 32 MiB of memtables; nothing before the first flush."""
    assert 130 / 32 == STATS.write_amplification
    assert 0 == Stats().write_amplification


def test_the_json_form_is_plain_data_and_stable() -> None:
    """It comes back from JSON as it was, with names that tools rely on."""
    tree = STATS.to_json_dict()
    assert tree == json.loads(json.dumps(tree))
    assert {
        "path",
        "uptime_seconds",
        "sequence",
        "memtable",
        "immutable_memtables",
        "wal",
        "levels",
        "compaction_debt_bytes",
        "running_jobs",
        "failed_jobs",
        "idle_compactions",
        "idle_compaction_bytes",
        "reads",
        "block_cache",
        "stall",
        "limiter",
        "workers",
        "snapshots",
        "background_error",
        "write_amplification",
        "read_amplification",
        "space_amplification",
        "taken_at",
        "pid",
        "writes",
        "operations",
        "row_cache",
        "jobs",
        "compactions_paused",
        "background_error_kind",
    } == set(tree)
    assert 0.75 == tree["block_cache"]["hit_ratio"]  # type: ignore[index]
    assert 5.5 == tree["levels"][6]["write_amplification"]  # type: ignore[index]


def test_the_level_table_shows_levels_in_use_and_their_sum() -> None:
    """Columns under their titles, as users of RocksDB know them."""
    lines = format_stats(STATS).splitlines()
    titles = lines[0].split()
    rows = {line.split()[0]: line for line in lines[2:6]}
    assert ["L0", "L5", "L6", "Sum"] == list(rows)
    assert all(len(row) == len(lines[0]) for row in rows.values())
    # A size is two words: 110.0 MiB.
    sixth = dict(zip(titles, rows["L6"].replace(" MiB", "MiB").split(), strict=True))
    assert {"Files": "4", "Size": "110.0MiB", "Read(MB)": "120.0", "Rn(MB)": "20.0", "Rnp1(MB)": "100.0"}.items() <= (
        sixth.items()
    )
    assert {"Write(MB)": "110.0", "W-Amp": "5.5", "Comp(cnt)": "1", "Wr(MB/s)": "55.0"}.items() <= sixth.items()
    total = dict(zip(titles, rows["Sum"].replace(" MiB", "MiB").split(), strict=True))
    assert ("118.0MiB", "130.0", "8.0", "4.1") == (
        total["Size"],
        total["Write(MB)"],
        total["Moved(MB)"],
        total["W-Amp"],
    )


def test_the_lines_below_the_table_tell_the_rest() -> None:
    """Memtables, cache, stalls, workers, and an error if there is one."""
    text = format_stats(replace(STATS, background_error="table 000013.sst is damaged"))
    for part in (
        "sequence: 77",
        "Memtable: 1000 entries, 2.0 MiB",
        "Block cache: 3.0 MiB of 64.0 MiB, hit ratio 75.0%",
        "Writes: slowdown (level 0 runs) for 1.5 s",
        "Rate limit: off",
        "Worker flush-0: busy with flush of 000012.wal, 7 jobs done, 1 restarts",
        "Background error: table 000013.sst is damaged",
    ):
        assert part in text


def test_an_empty_store_has_stats_too() -> None:
    """No division by nothing."""
    assert "Sum" in format_stats(Stats())


def test_the_collector_counts_failures_and_the_time() -> None:
    """By the clock it was given."""
    now = [5.0]
    statistics = Statistics(clock=lambda: now[0])
    statistics.record_failure()
    now[0] = 8.0
    assert 1 == statistics.failed_jobs
    assert 3.0 == statistics.uptime_seconds


def test_amplification_is_told_for_each_level_and_in_all() -> None:
    """A read may ask every table of level 0 and one of each level below; space is measured by the deepest level."""
    levels = (LevelStats(0, 3, 30), LevelStats(1), LevelStats(2, 5, 60), LevelStats(3, 9, 300))
    stats = Stats(levels=levels)
    assert (5, 1.3) == (stats.read_amplification, stats.space_amplification)
    plain: Any = stats.to_json_dict()["levels"]
    assert [3, 0, 1, 1] == [level["read_amplification"] for level in plain]
    assert [0.1, 0.0, 0.2, 1.0] == [level["space_amplification"] for level in plain]
    assert (0, 0.0) == (Stats().read_amplification, Stats().space_amplification)


REQUEST = FlushRequest(7, 1, "/d", b"", 1, (SegmentEnd(3, 1000, 0, 9),), TableOptions(), paced=False)
COST = JobCost(10, 9, 1000, 700, 0.5, 0.25, pid=4242, peak_memory_bytes=1 << 20)


def test_a_job_is_running_until_it_is_answered_and_counted_if_it_was_done() -> None:
    """With what the worker told of it; a failed one leaves no trace but that it does not run."""
    now = [5.0]
    statistics = Statistics(clock=lambda: now[0])
    statistics.job_begun(REQUEST)
    statistics.job_begun(replace(REQUEST, job=8))
    now[0] = 7.0
    assert [(7, "flush", 0, 1000, 2.0), (8, "flush", 0, 1000, 2.0)] == [
        (job.job, job.kind, job.level, job.input_bytes, job.seconds) for job in statistics.jobs.running
    ]
    statistics.job_answered(FlushDone(7, 2, (), COST))
    statistics.job_answered(JobFailed(8, 1, "StorageError", "no", "", retriable=True))
    jobs = statistics.jobs
    assert () == jobs.running
    assert [(7, 2, 9, 700, 0.5, 0.25, 4242, 1 << 20)] == [
        (
            each.job,
            each.attempt,
            each.records_written,
            each.bytes_written,
            each.seconds,
            each.cpu_seconds,
            each.pid,
            each.peak_memory_bytes,
        )
        for each in jobs.last
    ]
    assert (1, 10, 700, 350.0) == (
        jobs.flushes.jobs,
        jobs.flushes.records_read,
        jobs.flushes.bytes_written,
        jobs.flushes.recent_bytes_per_second,
    )
    assert 0 == jobs.compactions.jobs
    assert 0.5 == statistics.operations(Histogram())["flush"].max_seconds


def test_the_rate_of_jobs_forgets_what_is_longer_ago_than_a_minute() -> None:
    """And only the last jobs are kept one by one."""
    now = [0.0]
    statistics = Statistics(clock=lambda: now[0])
    for job in range(LAST_JOBS + 8):
        statistics.job_begun(replace(REQUEST, job=job))
        statistics.job_answered(FlushDone(job, 1, (), COST))
        now[0] += 30
    jobs = statistics.jobs
    assert (LAST_JOBS, LAST_JOBS + 7) == (len(jobs.last), jobs.last[-1].job)
    assert 2 * 700 / 60 == jobs.flushes.recent_bytes_per_second
    assert LAST_JOBS + 8 == jobs.flushes.jobs
