"""Workers that are stopped or hang delay their job, for a limited time, and nobody else."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lsmproc.formats.messages import FlushDone, JobFailed
from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.protocols import Priority
from lsmproc.workers.process_background import ProcessBackground
from tests.tally import Tally
from tests.trouble.ledger import Ledger, files_without_owner, until
from tests.trouble.memory_group import memory_group, why_no_memory_group
from tests.trouble.scenario_process import run_scenario

HANG_SECONDS = 1.0


def start_workers(db: Any) -> None:
    """Have one process of each kind, and nothing to do for them."""
    db.put(b"first", b"")
    db.flush_memtable(timeout=20)
    db.delete(b"first")
    db.flush_memtable(timeout=20)
    db.compact_range(timeout=20)
    db.wait_idle(20)


@contextmanager
def stopped(pids: list[int], seconds: float) -> Iterator[None]:
    """Stop processes for so long, or for the length of the block, whatever is shorter."""

    def go_on() -> None:
        for pid in pids:
            # One whose job had to make place for upper work may have been let go meanwhile.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    timer = threading.Timer(seconds, go_on)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        go_on()


def test_a_stop_of_all_workers_is_the_longest_that_a_write_waits(
    open_store: Any, worker_pids: Any, tmp_path: Path, full: bool, tally: Tally
) -> None:
    """Writes go on while memtables have room; afterwards each job is done once, and no worker was replaced."""
    seconds = 5.0 if full else 1.5
    db = open_store()
    ledger = Ledger(31)
    start_workers(db)
    pids = worker_pids(db)
    longest = 0.0
    with stopped(pids, seconds):
        deadline = time.monotonic() + seconds + 0.5
        while time.monotonic() < deadline:
            before = time.monotonic()
            ledger.write(db)
            longest = max(longest, time.monotonic() - before)
    assert longest < seconds + 1
    until(lambda: not db._parts.write_path.view.immutables, 10, "the flushes are done")
    db.wait_idle(60)
    ledger.check(db)
    assert {0} == {report.restarts for report in db.env.background.worker_reports()}
    assert 0 == db.stats().failed_jobs
    assert [] == files_without_owner(tmp_path / "db", db)
    tally.add("workers stopped for a while", len(pids))


def test_a_worker_that_is_stopped_for_ever_is_replaced(
    open_store: Any, worker_pids: Any, tmp_path: Path, tally: Tally
) -> None:
    """Its job is run again as after a death: nobody has to come and wake it."""
    db = open_store({"hang_seconds": HANG_SECONDS})
    ledger = Ledger(32)
    start_workers(db)
    pids = worker_pids(db)
    with stopped(pids, 60):
        for _ in range(1000):
            ledger.write(db)
        db.flush_memtable(timeout=20)
        db.wait_idle(20)
        ledger.check(db)
        assert [] == files_without_owner(tmp_path / "db", db)
        until(lambda: not set(pids) & set(worker_pids(db)), 5, "both workers are replaced")
        tally.add("workers stopped for ever", len(pids))
        pids.clear()  # They are gone, and their numbers may be given to others.


class Jobs:
    """A background with stand-in jobs and a short limit for silence."""

    def __init__(self, runner: str, hang_seconds: float, rate: int | None = None) -> None:
        self.replies: list[Any] = []
        self.background = ProcessBackground(
            1, 1, RateLimiter(rate), hang_seconds=hang_seconds, flush_runner=runner, compaction_runner=runner
        )

    def run(self, request: Any, timeout: float) -> Any:
        """Submit a request and return its answer."""
        answered = threading.Event()
        self.background.submit(
            request,
            Priority.FLUSH,
            lambda reply: (self.replies.append(reply), answered.set()),  # type: ignore[func-returns-value]
        )
        assert answered.wait(timeout), "no answer"
        return self.replies[-1]


@pytest.fixture
def make_jobs(stand_in_jobs: ModuleType) -> Iterator[Callable[..., Jobs]]:
    """Makes such backgrounds and closes them after the test."""
    made: list[Jobs] = []

    def make(hang_seconds: float, rate: int | None = None) -> Jobs:
        made.append(Jobs(stand_in_jobs.__name__, hang_seconds, rate))
        return made[-1]

    yield make
    for jobs in made:
        jobs.background.close(1.0)


def test_a_job_that_hangs_every_time_is_given_up(
    make_jobs: Callable[..., Jobs], stand_in_jobs: ModuleType, tmp_path: Path
) -> None:
    """Three times as long as the limit, and a little; then it is a failure like any other, and the next job runs."""
    jobs = make_jobs(0.5)
    before = time.monotonic()
    failure = jobs.run(stand_in_jobs.flush(1, stand_in_jobs.HANG, tmp_path), 20)
    assert isinstance(failure, JobFailed)
    assert ("WorkerDiedError", 3) == (failure.error, failure.attempt)
    assert 1.5 <= time.monotonic() - before < 10
    assert isinstance(jobs.run(stand_in_jobs.flush(2), 10), FlushDone)


def test_a_long_job_that_gets_on_is_never_taken_for_hung(
    make_jobs: Callable[..., Jobs], stand_in_jobs: ModuleType, tmp_path: Path
) -> None:
    """It takes four times the limit, and says that it lives whenever it looks for messages."""
    jobs = make_jobs(0.5)
    threading.Timer(2.0, (tmp_path / "release").touch).start()
    answer = jobs.run(stand_in_jobs.flush(1, stand_in_jobs.HOLD, tmp_path), 20)
    assert (FlushDone, 1) == (type(answer), answer.attempt)


def test_a_job_that_waits_for_the_rate_limiter_is_never_taken_for_hung(
    make_jobs: Callable[..., Jobs], stand_in_jobs: ModuleType
) -> None:
    """The owner itself lets it wait, for four times the limit."""
    jobs = make_jobs(0.5, rate=4 << 10)
    before = time.monotonic()
    answer = jobs.run(stand_in_jobs.flush(1, stand_in_jobs.WRITE, size=12 << 10), 20)
    assert (FlushDone, 1) == (type(answer), answer.attempt)
    assert time.monotonic() - before > 1.0


def test_time_in_which_the_owner_was_stopped_does_not_count(tmp_path: Path) -> None:
    """Owner and worker are stopped together, as by Ctrl-Z or a debugger, and the owner goes on first."""
    assert ["FlushDone", 1] == run_scenario("stopped_owner.stopped_together", tmp_path)


def test_a_worker_killed_for_its_memory_is_a_dead_worker(
    open_store: Any, worker_pids: Any, tmp_path: Path, tally: Tally
) -> None:
    """The kernel kills it in its control group; the next one, outside, does the job; the owner goes on throughout."""
    if reason := why_no_memory_group():
        tally.skip("workers killed for their memory", 2, reason)
    db = open_store(memtable_max_bytes=4 << 20, sstable_max_bytes=4 << 20)
    ledger = Ledger(33, keys=20_000)
    start_workers(db)
    with memory_group(1 << 20) as group:
        for pid in worker_pids(db):
            group.take(pid)
        for _ in range(9_000):
            ledger.write(db)
        db.flush_memtable(timeout=30)
        db.compact_range(timeout=60)
        kills = group.kills
    ledger.check(db)
    assert 2 == kills
    assert 2 == sum(report.restarts for report in db.env.background.worker_reports())
    db.wait_idle(20)
    assert [] == files_without_owner(tmp_path / "db", db)
    tally.add("workers killed for their memory", kills)
