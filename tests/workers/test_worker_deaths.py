"""The death of a worker process is a non-event: its job runs again, soon, and nobody else notices."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from lsmproc.formats.messages import FlushDone, JobFailed
from lsmproc.protocols import Priority

NEXT_JOB_SECONDS = 10.0  # after a death, the next job is done in this time, also on a machine with much else to do

Eventually = Callable[..., None]


def kill(pid: int) -> None:
    """What the kernel does when memory runs out."""
    os.kill(pid, signal.SIGKILL)


def test_killed_idle_workers_are_replaced_for_the_next_job(runs: Any, stand_in_jobs: ModuleType) -> None:
    """Twelve times in a row, and the next job is done soon after each kill."""
    runs.run(stand_in_jobs.flush(0))
    for job in range(1, 13):
        (pid,) = runs.pids()
        kill(pid)
        assert isinstance(runs.run(stand_in_jobs.flush(job), NEXT_JOB_SECONDS), FlushDone)


def test_killed_busy_workers_lose_only_time(
    runs: Any, stand_in_jobs: ModuleType, tmp_path: Path, eventually: Eventually
) -> None:
    """The job runs again as the next attempt, under names of its own, and is answered once."""
    for job in range(1, 13):
        directory = tmp_path / str(job)
        directory.mkdir()
        runs.submit(stand_in_jobs.flush(job, stand_in_jobs.HOLD, directory))
        # The worker may have been killed, after its last answer, when it is given this job: its attempt counts.
        eventually(lambda path=directory: any(path.glob("running-*")))
        (directory / "release").touch()
        kill(int(next(directory.glob("running-*")).read_text()))
        answer = runs.wait(job, NEXT_JOB_SECONDS)[-1]
        assert job == answer.job
        assert answer.attempt in {1, 2, 3}


def test_workers_killed_while_they_send_leave_no_half_answer(
    runs: Any, stand_in_jobs: ModuleType, tmp_path: Path, eventually: Eventually
) -> None:
    """An answer of 4 MB takes a hundred writes to the pipe; whenever it is cut, the job is answered whole, and once."""
    random = Random(20)
    for job in range(1, 11):
        runs.submit(stand_in_jobs.flush(job, stand_in_jobs.ANSWER_AT_LENGTH, tmp_path))
        eventually(lambda pattern=f"running-{job}-*": any(tmp_path.glob(pattern)))
        threading.Event().wait(random.random() * 0.01)
        kill(int(next(tmp_path.glob(f"running-{job}-*")).read_text()))
        answer = runs.wait(job, NEXT_JOB_SECONDS)[-1]
        assert isinstance(answer, FlushDone)
        assert (job, 4_000_000) == (answer.job, len(answer.outputs[0].temporary_name))
    assert list(range(1, 11)) == [reply.job for reply in runs.replies]


def test_a_job_that_kills_its_workers_is_named_after_three_attempts(runs: Any, stand_in_jobs: ModuleType) -> None:
    """It is given up, soon, and the next job runs."""
    failure = runs.run(stand_in_jobs.flush(9, stand_in_jobs.DIE), NEXT_JOB_SECONDS)
    assert isinstance(failure, JobFailed)
    assert ("WorkerDiedError", 3, False) == (failure.error, failure.attempt, failure.retriable)
    assert "job 9" in failure.message
    assert "000009.wal" in failure.message
    assert isinstance(runs.run(stand_in_jobs.flush(10), NEXT_JOB_SECONDS), FlushDone)


def test_a_job_whose_worker_died_once_is_done_at_the_second_attempt(runs: Any, stand_in_jobs: ModuleType) -> None:
    """And the report counts the restart."""
    answer = runs.run(stand_in_jobs.flush(1, stand_in_jobs.DIE_ONCE), NEXT_JOB_SECONDS)
    assert 2 == answer.attempt
    (report,) = runs.background.worker_reports()
    assert (1, 1) == (report.restarts, report.jobs_done)


def test_a_stopped_worker_delays_only_its_own_job(
    make_runs: Callable[..., Any], stand_in_jobs: ModuleType, tmp_path: Path, eventually: Eventually
) -> None:
    """Jobs of both kinds run while one worker is frozen; once it goes on, its job is done."""
    runs = make_runs(compactors=2)
    runs.submit(stand_in_jobs.compaction(1, stand_in_jobs.HOLD, tmp_path), Priority.DEEPER)
    mark = tmp_path / stand_in_jobs.mark_name(1)
    eventually(mark.exists)
    frozen = int(mark.read_text())
    os.kill(frozen, signal.SIGSTOP)
    try:
        for job in range(2, 12):
            runs.submit(stand_in_jobs.compaction(job))
            runs.submit(stand_in_jobs.flush(job + 100))
        runs.wait(20)
    finally:
        os.kill(frozen, signal.SIGCONT)
    (tmp_path / "release").touch()
    assert 1 == runs.wait(21)[-1].job


def test_close_kills_a_worker_that_does_not_leave(
    runs: Any, stand_in_jobs: ModuleType, tmp_path: Path, eventually: Eventually
) -> None:
    """A job that looks at nothing any more costs the time that close was given, and no more."""
    runs.submit(stand_in_jobs.flush(1, stand_in_jobs.HANG, tmp_path))
    eventually((tmp_path / stand_in_jobs.mark_name(1)).exists)
    before = time.monotonic()
    runs.background.close(0.2)
    # The job goes on for three times as long.
    assert time.monotonic() - before < stand_in_jobs.HOLD_DEADLINE_SECONDS / 3
    assert ["ClosedError"] == [reply.error for reply in runs.replies]


def test_an_answer_above_the_limit_of_a_message_is_a_failure(runs: Any, stand_in_jobs: ModuleType) -> None:
    """The worker says so itself and lives on."""
    failure = runs.run(stand_in_jobs.flush(1, stand_in_jobs.ANSWER_TOO_LONG))
    assert isinstance(failure, JobFailed)
    assert "above the limit" in failure.message
    assert 0 == runs.background.worker_reports()[0].restarts


def test_a_worker_that_cannot_start_fails_its_jobs(
    make_runs: Callable[..., Any], stand_in_jobs: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    """Three processes that die before they are ready are enough; a later job may try again."""
    runs = make_runs()
    for pool in runs.background._supervisor._pools:
        pool._make_worker = lambda number, make=pool._make_worker: make(number, runner_name="lsmproc_no_such_module")
    failure = runs.run(stand_in_jobs.flush(1))
    assert isinstance(failure, JobFailed)
    assert ("WorkerDiedError", False) == (failure.error, failure.retriable)
    assert "could be started" in failure.message
    assert "lsmproc_no_such_module" in capfd.readouterr().err


def test_a_change_of_the_rate_is_felt_by_a_running_job(
    make_runs: Callable[..., Any], stand_in_jobs: ModuleType, tmp_path: Path, eventually: Eventually
) -> None:
    """A job of a thousand seconds ends at once when the limit goes, and another slows down when it comes."""
    runs = make_runs(rate=10_000)
    limiter = runs.background._supervisor._limiter
    runs.submit(stand_in_jobs.flush(1, stand_in_jobs.WRITE, size=10_000_000))
    eventually(lambda: limiter.report()[Priority.FLUSH].waiting_requests)
    limiter.set_rate(None)
    assert isinstance(runs.wait(1)[-1], FlushDone)
    # It says that it runs, because a change that comes before it has read its request is the next test's.
    runs.submit(stand_in_jobs.flush(2, stand_in_jobs.WRITE, tmp_path, size=1 << 50))
    eventually((tmp_path / stand_in_jobs.mark_name(2)).exists)
    limiter.set_rate(10_000)
    eventually(lambda: limiter.report()[Priority.FLUSH].waiting_requests, what="the running job is paced")


def test_a_change_of_the_rate_is_felt_by_a_job_that_its_worker_has_not_read_yet(
    make_runs: Callable[..., Any], stand_in_jobs: ModuleType, tmp_path: Path, eventually: Eventually
) -> None:
    """The worker is stopped until its request and the change lie in its pipe; then the job is paced, not done."""
    runs = make_runs()
    supervisor = runs.background._supervisor
    runs.run(stand_in_jobs.flush(1))
    (pid,) = runs.pids()
    os.kill(pid, signal.SIGSTOP)
    try:
        runs.submit(stand_in_jobs.flush(2, stand_in_jobs.WRITE, tmp_path, size=40_000_000))
        eventually(lambda: runs.pids("busy"))
        supervisor._limiter.set_rate(10_000)
        eventually(lambda: supervisor._paced)
        told = threading.Event()
        supervisor.call_soon(told.set)  # runs in a later step than the one that sent the change
        assert told.wait(10.0)
    finally:
        os.kill(pid, signal.SIGCONT)
    waiting = supervisor._limiter.report
    eventually(lambda: len(runs.replies) == 2 or waiting()[Priority.FLUSH].waiting_requests)
    assert 1 == len(runs.replies)


def test_a_worker_imports_only_what_it_runs(runs: Any, stand_in_jobs: ModuleType, tmp_path: Path) -> None:
    """A worker is started in 50 ms and weighs 16 MiB because nothing else is in it."""
    runs.run(stand_in_jobs.flush(1, stand_in_jobs.MODULES, tmp_path))
    modules = set((tmp_path / "modules").read_text().split())
    heavy = {"asyncio", "rich", "logging", "numpy", "psutil", "concurrent.futures", "sqlite3", "ssl", "email", "pytest"}
    assert set() == heavy & modules
    assert "lsmproc.store" not in modules
    assert "lsmproc.workers.spawn" not in modules
    assert "lsmproc.workers.supervisor" not in modules


def test_signals_to_the_group_do_not_reach_a_worker(
    runs: Any, stand_in_jobs: ModuleType, tmp_path: Path, eventually: Eventually, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C, a service manager's stop and a hangup are the owner's business."""
    runs.submit(stand_in_jobs.flush(1, stand_in_jobs.HOLD, tmp_path))
    mark = tmp_path / stand_in_jobs.mark_name(1)
    eventually(mark.exists)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) * 20:
        os.kill(int(mark.read_text()), number)
    (tmp_path / "release").touch()
    assert 1 == runs.wait(1)[0].attempt
    assert "" == capfd.readouterr().err
