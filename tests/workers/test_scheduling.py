"""Who goes first among jobs: upper work before deeper work, and whatever writes stall for before all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lsmproc.formats.messages import CompactionDone
from lsmproc.protocols import Priority

Eventually = Callable[..., None]
MakeRuns = Callable[..., Any]
MIB = 1 << 20


def jobs_of(runs: Any) -> dict[str, str]:
    """What each worker does."""
    return {report.name: report.job for report in runs.background.worker_reports()}


@pytest.mark.parametrize("rate", [None, 64 * MIB])
def test_a_deeper_job_pauses_while_upper_work_needs_its_place(
    make_runs: MakeRuns, stand_in_jobs: ModuleType, tmp_path: Path, eventually: Eventually, rate: int | None
) -> None:
    """It keeps its process and its work, writes nothing meanwhile, and goes on afterwards; no job is lost."""
    runs = make_runs(compactors=1, rate=rate)
    endless = 1 << 40
    runs.submit(stand_in_jobs.compaction(1, stand_in_jobs.WRITE, tmp_path, size=endless), Priority.DEEPER)
    eventually((tmp_path / stand_in_jobs.mark_name(1)).exists)
    runs.submit(stand_in_jobs.compaction(2, stand_in_jobs.HOLD, tmp_path), Priority.LEVEL0)
    eventually((tmp_path / stand_in_jobs.mark_name(2)).exists)
    assert "paused for upper work" in jobs_of(runs)["compaction-1"]
    granted = runs.limiter.report()[Priority.DEEPER].granted_bytes
    runs.submit(stand_in_jobs.compaction(3, stand_in_jobs.FINISH), Priority.LEVEL0)
    (tmp_path / "release").touch()
    assert [2, 3] == [reply.job for reply in runs.wait(2)]
    eventually(lambda: "paused" not in jobs_of(runs)["compaction-1"] and len(jobs_of(runs)) == 1)
    if rate is not None:
        eventually(lambda: runs.limiter.report()[Priority.DEEPER].granted_bytes > granted + MIB)


def test_a_worker_that_dies_while_it_is_paused_is_no_loss(
    make_runs: MakeRuns, stand_in_jobs: ModuleType, tmp_path: Path, eventually: Eventually
) -> None:
    """Its job runs again, as ever."""
    import os
    import signal

    runs = make_runs(compactors=1)
    runs.submit(stand_in_jobs.compaction(1, stand_in_jobs.WRITE, tmp_path, size=8 << 30), Priority.DEEPER)
    mark = tmp_path / stand_in_jobs.mark_name(1)
    eventually(mark.exists)
    runs.submit(stand_in_jobs.compaction(2, stand_in_jobs.HOLD, tmp_path), Priority.LEVEL0)
    eventually((tmp_path / stand_in_jobs.mark_name(2)).exists)
    os.kill(int(mark.read_text()), signal.SIGKILL)
    (tmp_path / "release").touch()
    eventually((tmp_path / stand_in_jobs.mark_name(1, 2)).exists)
    assert [2] == [reply.job for reply in runs.wait(1)]


def test_a_job_that_writes_stall_for_goes_before_all_others(
    make_runs: MakeRuns, stand_in_jobs: ModuleType, tmp_path: Path, eventually: Eventually
) -> None:
    """A deeper compaction of the store that is stalled by its debt overtakes upper work of another store."""
    runs = make_runs(compactors=1)
    stalled = tmp_path / "stalled"
    stalled.mkdir()
    runs.submit(stand_in_jobs.compaction(1, stand_in_jobs.HOLD, tmp_path), Priority.LEVEL0)
    eventually((tmp_path / stand_in_jobs.mark_name(1)).exists)
    runs.submit(stand_in_jobs.compaction(2), Priority.LEVEL0)
    runs.submit(stand_in_jobs.compaction(3, directory=stalled), Priority.DEEPER)
    runs.background.promote(str(stalled), frozenset({Priority.DEEPER}))
    (tmp_path / "release").touch()
    assert [1, 3, 2] == [reply.job for reply in runs.wait(3)]
    assert all(isinstance(reply, CompactionDone) for reply in runs.replies)


def test_a_promoted_job_that_runs_gets_its_bytes_first(
    make_runs: MakeRuns, stand_in_jobs: ModuleType, tmp_path: Path, eventually: Eventually
) -> None:
    """Also if it began long before it was promoted, and only as long as it is."""
    runs = make_runs(compactors=2, rate=8 * MIB)
    stalled = tmp_path / "stalled"
    stalled.mkdir()
    runs.submit(stand_in_jobs.compaction(1, stand_in_jobs.WRITE, tmp_path, size=1 << 40), Priority.LEVEL0)
    runs.submit(stand_in_jobs.compaction(2, stand_in_jobs.WRITE, stalled, size=1 << 40), Priority.DEEPER)
    eventually((tmp_path / stand_in_jobs.mark_name(1)).exists)
    eventually((stalled / stand_in_jobs.mark_name(2)).exists)
    runs.background.promote(str(stalled), frozenset({Priority.DEEPER}))
    eventually(lambda: runs.limiter.report()[Priority.FLUSH].granted_bytes > MIB)
    runs.background.promote(str(stalled), frozenset())
    before = runs.limiter.report()[Priority.DEEPER].granted_bytes
    eventually(lambda: runs.limiter.report()[Priority.DEEPER].granted_bytes > before)


def test_workers_write_at_the_rate_that_is_set_within_a_tenth_each_second(
    make_runs: MakeRuns, stand_in_jobs: ModuleType, tmp_path: Path, eventually: Eventually
) -> None:
    """Three processes that want more than they get, over seconds of the real clock; a change is felt within one."""
    runs = make_runs(compactors=2, rate=MIB)
    runs.submit(stand_in_jobs.flush(1, stand_in_jobs.WRITE, tmp_path, size=1 << 30))
    for job in (2, 3):
        runs.submit(stand_in_jobs.compaction(job, stand_in_jobs.WRITE, tmp_path, size=1 << 40), Priority.DEEPER)
    for job in (1, 2, 3):
        eventually((tmp_path / stand_in_jobs.mark_name(job)).exists)
    pause = threading.Event()

    def rate_of_a_second() -> float:
        def granted() -> int:
            return sum(report.granted_bytes for report in runs.limiter.report().values())

        began, before = time.monotonic(), granted()
        pause.wait(1.0)
        return (granted() - before) / (time.monotonic() - began)

    assert [pytest.approx(MIB, rel=0.1)] * 2 == [rate_of_a_second() for _ in range(2)]
    runs.limiter.set_rate(3 * MIB)
    pause.wait(0.2)
    assert pytest.approx(3 * MIB, rel=0.1) == rate_of_a_second()
