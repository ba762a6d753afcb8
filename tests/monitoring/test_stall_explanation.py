"""What is told of a stall: from plain figures, so each case is a few numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lsmproc.monitoring.stall_explanation import explain, explain_closed
from lsmproc.statistics import (
    JobStats,
    JobSums,
    LevelStats,
    LimiterPriorityStats,
    LimiterStats,
    StallCondition,
    StallStats,
    Stats,
    WalStats,
    WorkerStats,
)
from lsmproc.statistics.stats_tree import RunningJob

MEBIBYTE = 1 << 20


def _stats(
    *, state: str = "normal", reason: str = "none", memtables: int = 0, runs: int = 0, debt: int = 0, **more: object
) -> Stats:
    conditions = (
        StallCondition("immutable memtables", memtables, 3, 4),
        StallCondition("level 0 runs", runs, 20, 36),
        StallCondition("compaction debt", debt, 100 * MEBIBYTE, 300 * MEBIBYTE),
    )
    stall = StallStats(state, reason, 12.5, conditions=conditions)
    return replace(Stats(path="/data/x", taken_at=1000.0, uptime_seconds=100.0, stall=stall), **more)  # type: ignore[arg-type]


def _workers(kind: str, state: str, job: str = "") -> tuple[WorkerStats, ...]:
    return (WorkerStats(f"{kind}-1", kind, 4242, state, job),)


def test_a_store_far_from_its_triggers_has_no_stall() -> None:
    """And nothing more is said."""
    explanation = explain(_stats(runs=4).to_json_dict())
    assert not explanation.stalled
    assert "no stall" == str(explanation)


@pytest.mark.parametrize(
    ("stats", "text"),
    [
        (_stats(runs=18), "no stall; level 0 has 18 of 20 runs, at which writes slow down"),
        (_stats(memtables=2), "no stall; 2 of 3 immutable memtables wait for their flush, at which writes slow down"),
        (
            _stats(debt=90 * MEBIBYTE),
            "no stall; compactions are behind by 90.0 MiB of 100.0 MiB, at which writes slow down",
        ),
    ],
)
def test_a_stall_that_is_near_is_told_before_it_comes(stats: Stats, text: str) -> None:
    """With the figure against its trigger."""
    assert text == str(explain(stats.to_json_dict())).splitlines()[0]


def test_stopped_writes_are_explained_by_level_0_with_the_job_that_helps() -> None:
    """Since when, by what, who works on it and how far that is, and which settings to change to what."""
    jobs = JobStats(
        (RunningJob(9, "compaction", 1, 100 * MEBIBYTE, 5.0),),
        compactions=JobSums(4, bytes_read=400 * MEBIBYTE, seconds=40.0),
    )
    stats = _stats(
        state="stop", reason="level 0 runs", runs=36, jobs=jobs, workers=_workers("compaction", "busy", "job 9 (...)")
    )
    explanation = explain(stats.to_json_dict())
    assert ("stop", 12.5, 987.5) == (explanation.state, explanation.seconds, explanation.since)
    assert ["level 0 runs"] == [finding.condition for finding in explanation.findings]
    (relief,) = explanation.relief
    assert (9, "compaction-1", 0.5, 5.0) == (relief.job, relief.worker, relief.progress, relief.seconds_left)
    assert {"compaction_workers": "2", "level0_stop_writes_trigger": "54"}.items() <= {
        each.setting: each.value for each in explanation.remedies
    }.items()
    assert [
        "writes have been stopped for 12.5 s",
        "level 0 has 36 runs, and writes stop at 36",
        "relief: compaction job 9 to level 1 on compaction-1, about 50% done, about 5.0 s left",
        "change: compaction_workers = 2 (all that there are, are busy)",
    ] == str(explanation).splitlines()[:4]


def test_a_slowdown_tells_the_speed_that_is_left() -> None:
    """And no relief where nothing runs."""
    stats = _stats(state="slowdown", reason="immutable memtables", memtables=3)
    stats = replace(stats, stall=replace(stats.stall, delayed_write_bytes_per_second=4 * MEBIBYTE))
    lines = str(explain(stats.to_json_dict())).splitlines()
    assert [
        "writes have been slowed down for 12.5 s, to 4.0 MiB/s together",
        "3 immutable memtables wait for their flush, slowed down from 3, stopped at 4",
        "relief: no job is running",
        "change: flush_workers = 2 (flushes run side by side)",
        "change: max_immutable_memtables = 8 (longer bursts, for more memory)",
    ] == lines


def test_a_limit_below_what_is_written_is_named_as_the_cause() -> None:
    """With the rate that would do: 2 MiB/s come in and are written twice."""
    stats = _stats(
        state="stop",
        reason="immutable memtables",
        memtables=4,
        wal=WalStats(written_bytes=200 * MEBIBYTE),
        levels=(LevelStats(0, bytes_from_above=100, bytes_written=200),),
        limiter=LimiterStats(MEBIBYTE, 0, 0.0, {"flush": LimiterPriorityStats(5, 0, 0.0, 1)}),
    )
    explanation = explain(stats.to_json_dict())
    assert ["immutable memtables", "rate limit"] == [finding.condition for finding in explanation.findings]
    assert "the rate limit of 1.0 MiB/s holds back 1 requests; what is written needs about 4.0 MiB/s" == (
        explanation.findings[1].text
    )
    assert ("rate_limit_bytes_per_sec", "6MiB") == (explanation.remedies[0].setting, explanation.remedies[0].value)


def test_a_full_disk_is_the_cause_and_room_the_remedy() -> None:
    """Before any setting."""
    stats = _stats(state="stop", reason="immutable memtables", memtables=4)
    stats = replace(stats, stall=replace(stats.stall, trouble={"flushes": ("NoSpaceError", "no space left")}))
    explanation = explain(stats.to_json_dict())
    assert "disk full" in [finding.condition for finding in explanation.findings]
    assert "the disk of /data/x" == explanation.remedies[0].setting
    other = replace(stats, stall=replace(stats.stall, trouble={"compactions": ("StorageError", "EIO")}))
    assert "failing compactions" in [finding.condition for finding in explain(other.to_json_dict()).findings]


def test_a_background_error_ends_all_writes() -> None:
    """Whatever the backlogs are."""
    explanation = explain(_stats(background_error="table 13 is damaged").to_json_dict())
    assert ("failed", "background error") == (explanation.state, explanation.findings[0].condition)
    assert "no write is taken: the background has failed\nbackground work has ended: table 13" in str(explanation)


def test_paused_compactions_are_told_when_level_0_grows() -> None:
    """Who pauses them has mostly forgotten it."""
    stats = _stats(state="stop", reason="level 0 runs", runs=40, compactions_paused=True)
    assert "pause_background()" in [each.setting for each in explain(stats.to_json_dict()).remedies]
    assert () == explain(_stats(compactions_paused=True).to_json_dict()).findings


def test_a_job_without_a_worker_is_said_to_wait() -> None:
    """All workers are busy with other stores, or being started."""
    stats = _stats(
        state="stop", reason="level 0 runs", runs=36, jobs=JobStats((RunningJob(9, "compaction", 1, 100, 5.0),))
    )
    assert "relief: compaction job 9 to level 1 waits for a free worker" in str(explain(stats.to_json_dict()))


def test_a_closed_store_is_explained_by_what_its_next_owner_finds() -> None:
    """The tree as it lies there, against the settings."""
    stats = _stats(levels=(LevelStats(0, 36),))
    explanation = explain_closed(stats.to_json_dict())
    assert ("stop", "level 0 runs") == (explanation.state, explanation.findings[0].condition)
    assert "normal" == explain_closed(_stats().to_json_dict()).state


def test_parts_of_a_tree_are_explained_as_far_as_they_go() -> None:
    """The page of another version may hold less."""
    assert "no stall" == str(explain({}))
    assert "stop" == explain({"stall": {"state": "stop"}}).state


def test_an_explanation_is_plain_data_too() -> None:
    """For scripts."""
    tree = explain(_stats(state="stop", reason="level 0 runs", runs=36).to_json_dict()).to_json_dict()
    assert tree == json.loads(json.dumps(tree))
    assert (True, 36) == (tree["stalled"], tree["findings"][0]["value"])  # type: ignore[index]
