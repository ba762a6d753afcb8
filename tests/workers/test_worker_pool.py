"""What a pool decides: who starts, who gets which job, and what deaths lead to. No process, and a clock of the test."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from lsmproc.formats.messages import Message, Stop
from lsmproc.protocols import Priority
from lsmproc.workers.job_queue import Job
from lsmproc.workers.message_queue import QueueEndedError
from lsmproc.workers.worker_pool import MAX_BACK_OFF_SECONDS, START_SECONDS, WorkerPool
from lsmproc.workers.worker_report import WorkerState


class PretendWorker:
    """A worker without a process: it notes what it is told."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"pretend-{number}"
        self.state = WorkerState.DEAD
        self.job: Job | None = None
        self.deadline: float | None = None
        self.stopping = False
        self.outdated = False
        self.paused = False
        self.withheld_bytes = 0
        self.idle_since = 0.0
        self.jobs_done = 0
        self.sent: list[Message] = []
        self.killed = False
        self.deaf = False

    def start(self, deadline: float) -> None:
        self.state, self.deadline = WorkerState.STARTING, deadline

    def send(self, message: Message) -> None:
        if self.deaf:
            raise QueueEndedError("nobody reads")
        self.sent.append(message)

    def stop(self, deadline: float) -> None:
        self.stopping, self.deadline = True, deadline
        self.send(Stop())

    def kill(self) -> None:
        self.killed = True

    def bury(self) -> Job | None:
        self.state, self.deadline, self.stopping = WorkerState.DEAD, None, False
        job, self.job = self.job, None
        return job


class Pool:
    """A pool of pretended workers and the clock it reads."""

    def __init__(self, limit: int, idle_seconds: float | None = None) -> None:
        self.now = 0.0
        make_worker: Any = PretendWorker
        self.pool = WorkerPool("pretend", limit, make_worker, lambda: self.now, idle_seconds=idle_seconds)

    def assign(self) -> list[Any]:
        return self.pool.assign(paced=False)

    def states(self) -> list[str]:
        return [worker.state for worker in self.pool.workers]

    def worker(self, index: int = 0) -> Any:
        return self.pool.workers[index]

    def ready(self) -> None:
        for worker in self.pool.workers:
            if worker.state is WorkerState.STARTING:
                self.pool.ready(worker)


@pytest.fixture
def job(stand_in_jobs: ModuleType) -> Any:
    """Makes jobs whose answers nobody waits for."""

    def make(number: int, priority: Priority = Priority.DEEPER) -> Job:
        return Job(stand_in_jobs.compaction(number), priority, lambda _: None)

    return make


def test_workers_start_only_for_jobs_and_up_to_the_limit(job: Any) -> None:
    """One for each waiting job that no starting worker will take."""
    pool = Pool(limit=2)
    assert [] == pool.assign() + pool.states()
    pool.pool.jobs.push(job(1))
    pool.assign()
    pool.assign()
    assert ["starting"] == pool.states()
    for number in (2, 3, 4):
        pool.pool.jobs.push(job(number))
    pool.assign()
    assert ["starting", "starting"] == pool.states()
    pool.ready()
    pool.assign()
    assert ["busy", "busy"] == pool.states()
    assert 2 == len(pool.pool.jobs)


def test_jobs_go_by_priority_and_a_repeated_one_keeps_its_place(job: Any) -> None:
    """The job of a dead worker is ahead of those submitted after it."""
    pool = Pool(limit=1)
    for number, priority in [(1, Priority.DEEPER), (2, Priority.DEEPER), (3, Priority.LEVEL0)]:
        pool.pool.jobs.push(job(number, priority))
    ran = []
    for dies in (False, True, False, False):
        pool.assign()
        pool.ready()
        pool.assign()
        request = pool.worker().sent[-1]
        ran.append((request.job, request.attempt))
        if dies:
            pool.pool.died(pool.worker())
        else:
            pool.pool.done(pool.worker())
    assert [(3, 1), (1, 1), (1, 2), (2, 1)] == ran


def test_each_death_in_a_row_waits_longer_and_success_forgets(job: Any) -> None:
    """At once after the first, and never longer than a few seconds."""
    pool = Pool(limit=1)
    waits = []
    for _ in range(10):
        pool.pool.jobs.push(job(1))
        pool.assign()
        pool.ready()
        pool.assign()
        pool.pool.died(pool.worker())
        pool.pool.jobs.drain()
        pool.pool.jobs.push(job(1))
        waits.append(round((pool.pool.next_deadline() or 0.0) - pool.now, 3))
        pool.now += waits[-1]
        pool.pool.jobs.drain()
    assert [0.0, 0.1, 0.2, 0.4] == waits[:4]
    assert MAX_BACK_OFF_SECONDS == waits[-1]
    pool.pool.jobs.push(job(1))
    pool.assign()
    pool.ready()
    pool.assign()
    pool.pool.done(pool.worker())
    pool.pool.jobs.push(job(2))
    pool.assign()
    pool.pool.died(pool.worker())
    assert pool.now >= (pool.pool.next_deadline() or 0.0)


def test_a_worker_that_never_gets_ready_is_killed(job: Any) -> None:
    """A process that hangs while it starts must not keep its place for ever."""
    pool = Pool(limit=1)
    pool.pool.jobs.push(job(1))
    pool.assign()
    assert START_SECONDS == pool.pool.next_deadline()
    pool.pool.kill_overdue()
    assert not pool.worker().killed
    pool.now = START_SECONDS
    pool.pool.kill_overdue()
    assert pool.worker().killed


def test_jobs_are_given_up_when_no_worker_ever_starts(job: Any) -> None:
    """After three processes in a row; the job that comes later makes a new try."""
    pool = Pool(limit=1)
    pool.pool.jobs.push(job(7))
    answers = []
    for _ in range(3):
        assert [] == answers
        pool.now += 10
        pool.assign()
        answers = pool.pool.died(pool.worker())
    ((_, failure),) = answers
    assert (7, "WorkerDiedError") == (failure.job, failure.error)
    pool.pool.jobs.push(job(8))
    pool.now += 10
    assert [] == pool.assign()
    assert ["starting"] == pool.states()


def test_a_lower_limit_stops_idle_workers_and_spares_busy_ones(job: Any) -> None:
    """A busy one leaves after its job; the stopped one is forgotten once it has ended."""
    pool = Pool(limit=2)
    for number in (1, 2):
        pool.pool.jobs.push(job(number))
    pool.assign()
    pool.ready()
    pool.assign()
    pool.pool.limit = 1
    pool.assign()
    assert [False, False] == [worker.stopping for worker in pool.pool.workers]
    pool.pool.done(pool.worker(0))
    pool.assign()
    assert [True, False] == [worker.stopping for worker in pool.pool.workers]
    pool.pool.died(pool.worker(0))
    assert [2] == [worker.number for worker in pool.pool.workers]


def test_a_worker_without_a_job_for_long_leaves_and_comes_back_for_the_next(job: Any) -> None:
    """It keeps its name and its counts; the time is that since its last job, and one that works stays."""
    pool = Pool(limit=2, idle_seconds=60.0)
    for number in (1, 2):
        pool.pool.jobs.push(job(number))
    pool.assign()
    pool.ready()
    pool.assign()
    pool.now = 100.0
    first = pool.worker(0)
    pool.pool.done(first)
    pool.assign()
    pool.now = 159.0
    pool.assign()
    assert not first.stopping
    pool.now = 160.0
    pool.assign()
    assert [True, False] == [worker.stopping for worker in pool.pool.workers]
    pool.pool.died(first)
    assert [2] == [worker.number for worker in pool.pool.workers]
    for number in (3, 4):
        pool.pool.jobs.push(job(number))
    pool.assign()
    assert first is pool.worker(0)
    assert ["starting", "busy"] == pool.states()
    assert 1 == first.jobs_done


def test_an_idle_worker_is_given_the_job_that_comes_when_its_time_is_over(job: Any) -> None:
    """Rather than be sent away, and another started."""
    pool = Pool(limit=1, idle_seconds=60.0)
    pool.pool.jobs.push(job(1))
    pool.assign()
    pool.ready()
    pool.assign()
    pool.pool.done(pool.worker())
    assert 60.0 == pool.pool.next_deadline()
    pool.now = 1000.0
    pool.pool.jobs.push(job(2))
    pool.assign()
    assert ["busy"] == pool.states()
    assert not pool.worker().stopping


def test_a_job_that_could_not_be_sent_waits_again(job: Any) -> None:
    """A worker that has just died never read it, so it costs no attempt."""
    pool = Pool(limit=1)
    pool.pool.jobs.push(job(1))
    pool.assign()
    pool.ready()
    pool.worker().deaf = True
    assert [] == pool.assign()
    assert [] == pool.pool.died(pool.worker())
    assert 1 == pool.pool.jobs.pop().request.attempt
