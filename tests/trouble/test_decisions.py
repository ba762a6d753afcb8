"""What stopped writes, pools and jobs decide when something is in trouble: neither disk nor process is needed."""

from __future__ import annotations

import errno
import threading
import weakref
from types import ModuleType
from typing import Any

import pytest

from lsmproc.errors import BackgroundError, NoSpaceError, WriteStallTimeout
from lsmproc.formats.messages import JobFailed
from lsmproc.maintenance.retries import Retries
from lsmproc.protocols import Priority
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.workers import job_run
from lsmproc.workers.job_queue import Job
from lsmproc.workers.worker_pool import WorkerPool
from lsmproc.workers.worker_report import WorkerState
from lsmproc.writing.write_controller import Backlog, WriteController, WriteControllerOptions

FULL = NoSpaceError(errno.ENOSPC, "no space", "db")


def stopped_controller(backlog: Backlog) -> tuple[WriteController, list[float]]:
    """A controller in STOP, whose waits take no time, and their lengths."""
    waits: list[float] = []
    now = [0.0]

    def wait(condition: threading.Condition, seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    controller = WriteController(WriteControllerOptions(), clock=lambda: now[0], wait_on=wait)
    controller.update(backlog)
    return controller, waits


def test_a_write_stopped_by_work_that_keeps_failing_raises_its_error() -> None:
    """Each writer gets a copy of its own, after one short look whether things have changed."""
    controller, waits = stopped_controller(Backlog(immutable_memtables=4))
    controller.blocked(FULL, None)
    for _ in range(2):
        with pytest.raises(NoSpaceError) as caught:
            controller.wait(100)
        assert (errno.ENOSPC, "db") == (caught.value.errno, caught.value.filename)
        assert FULL is not caught.value
    assert 2 == len(waits)
    assert max(waits) < 1


def test_a_write_stopped_by_other_work_waits() -> None:
    """Failing flushes say nothing about level 0."""
    controller, _ = stopped_controller(Backlog(level0_runs=36))
    controller.blocked(FULL, None)
    with pytest.raises(WriteStallTimeout):
        controller.wait(100, deadline=5.0)
    controller.blocked(None, FULL)
    with pytest.raises(NoSpaceError):
        controller.wait(100)
    controller.blocked(None, None)
    with pytest.raises(WriteStallTimeout):
        controller.wait(100, deadline=20.0)


def test_work_is_in_trouble_after_three_failures_in_a_row_and_one_success_ends_that() -> None:
    """The pauses between attempts grow to a few seconds and no further."""
    now = [0.0]
    retries = Retries(lambda: now[0])
    errors = [BackgroundError(str(number)) for number in range(10)]
    pauses = []
    for number, error in enumerate(errors):
        assert (number < 3) == (retries.trouble is None)
        retries.failed(error)
        began = now[0]
        while not retries.due:
            now[0] += 0.05
        pauses.append(now[0] - began)
    assert errors[-1] is retries.trouble
    assert sorted(pauses) == pauses
    assert pauses[-1] < 4.5
    retries.succeeded()
    assert retries.trouble is None
    assert retries.due


class PretendWorker:
    """A worker without a process, that is killed or not."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"pretend-{number}"
        self.state = WorkerState.DEAD
        self.job: Job | None = None
        self.deadline: float | None = None
        self.stopping = self.outdated = self.paused = False
        self.withheld_bytes = 0
        self.idle_since = 0.0
        self.jobs_done = 0
        self.killed = False

    def start(self, deadline: float) -> None:
        self.state = WorkerState.IDLE

    def send(self, message: object) -> None:
        self.killed = False

    def kill(self) -> None:
        self.killed = True


def busy_pool(stand_in_jobs: ModuleType, now: list[float]) -> tuple[WorkerPool, Any]:
    """A pool with one busy worker, which is taken for hung after 100 seconds of silence."""
    make_worker: Any = PretendWorker
    pool = WorkerPool("pretend", 1, make_worker, lambda: now[0], hang_seconds=100.0)
    pool.jobs.push(Job(stand_in_jobs.compaction(1), Priority.DEEPER, lambda _: None))
    pool.assign(paced=False)
    pool.assign(paced=False)
    (worker,) = pool.workers
    assert worker.state is WorkerState.BUSY
    return pool, worker


def seconds_until_killed(pool: WorkerPool, worker: Any, now: list[float]) -> float:
    """Look whenever the pool asks for it, until it kills."""
    began = now[0]
    while not worker.killed:
        now[0] = max(now[0], pool.next_deadline() or 0.0)
        pool.kill_overdue()
    return now[0] - began


def test_a_busy_worker_is_killed_after_the_limit_of_silence(stand_in_jobs: ModuleType) -> None:
    """Counted from its last sign of life; a fifth of the limit more at most."""
    now = [1000.0]
    pool, worker = busy_pool(stand_in_jobs, now)
    assert 100 <= seconds_until_killed(pool, worker, now) <= 120
    worker.killed = False
    pool.heard(worker)
    now[0] += 7
    pool.heard(worker)
    assert 100 <= seconds_until_killed(pool, worker, now) <= 120


def test_a_worker_that_is_heard_of_or_idle_is_never_killed(stand_in_jobs: ModuleType) -> None:
    """Whatever it sends; and without a job there is nothing to hear of."""
    now = [1000.0]
    pool, worker = busy_pool(stand_in_jobs, now)
    for _ in range(100):
        now[0] += 30
        pool.kill_overdue()
        pool.heard(worker)
    pool.done(worker)
    assert pool.next_deadline() is None
    for _ in range(100):
        now[0] += 30
        pool.kill_overdue()
    assert not worker.killed


def test_hours_in_which_nobody_looked_are_one_look(stand_in_jobs: ModuleType) -> None:
    """The program was stopped, and its worker with it: it gets nearly all of its time."""
    now = [1000.0]
    pool, worker = busy_pool(stand_in_jobs, now)
    now[0] += 50_000
    assert seconds_until_killed(pool, worker, now) >= 80


def test_a_job_without_memory_lets_go_of_its_memory_before_it_answers(
    stand_in_jobs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or there would be none for the answer, and the worker would die of it."""
    held: list[weakref.ref[set[int]]] = []
    alive: list[bool] = []

    def run(*_: object) -> Any:
        taken = {1, 2, 3}
        held.append(weakref.ref(taken))
        raise MemoryError

    def failed(request: Any, error: Exception) -> JobFailed:
        alive.append(held[0]() is not None)
        return original(request, error)

    original = job_run.failed
    monkeypatch.setattr(job_run, "failed", failed)
    reply = job_run.run_job(run, stand_in_jobs.flush(1), lambda _: None, PosixFileSystem)
    assert isinstance(reply, JobFailed)
    assert ("MemoryError", True, [False]) == (reply.error, reply.retriable, alive)
