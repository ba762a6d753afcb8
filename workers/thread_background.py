"""Runs jobs in daemon threads of the owner's process: for platforms and programs that must not start processes.

One thread delivers answers and runs callbacks, one at a time; the others run jobs. Jobs hold the interpreter lock while
they run Python bytecode, so the application feels them more than those of worker processes.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

from lsmproc.compaction.job import JobCancelled
from lsmproc.errors import ClosedError, ForkedHandleError
from lsmproc.events.event import Event
from lsmproc.formats.messages import FlushRequest
from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.protocols import Priority
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.workers.job_queue import Job, JobQueue
from lsmproc.workers.job_run import (
    COMPACTION_RUNNER,
    FLUSH_RUNNER,
    OnReply,
    OpenFileSystem,
    Reply,
    Request,
    closed,
    describe,
    failed,
    load_runner,
    run_job,
)
from lsmproc.workers.placement import Placement
from lsmproc.workers.process_background import FORGOTTEN_CLOSE_SECONDS, check_worker_counts
from lsmproc.workers.promotions import Promotions
from lsmproc.workers.worker_report import WorkerReport, WorkerState

MAX_WAIT_SECONDS = 30.0  # every wait has a deadline, though nothing is expected at this one


class ThreadBackground:
    """Flushes and compactions in threads. Threads start at the first job or call.

    A background that is dropped without ``close``, or still open when the program ends, is closed by a finalizer.
    """

    def __init__(
        self,
        flush_workers: int,
        compaction_workers: int,
        limiter: RateLimiter,
        niceness: int = 0,
        *,
        flush_runner: str = FLUSH_RUNNER,
        compaction_runner: str = COMPACTION_RUNNER,
        open_file_system: OpenFileSystem = PosixFileSystem,
    ) -> None:
        """Use up to so many threads of each kind; threads have no niceness. Jobs use ``open_file_system``."""
        check_worker_counts(flush_workers, compaction_workers)
        del niceness
        self._crew = _Crew(limiter, open_file_system)
        self._flushers = _ThreadPool("flush", flush_workers, flush_runner, self._crew)
        self._compactors = _ThreadPool("compaction", compaction_workers, compaction_runner, self._crew)
        pools = (self._flushers, self._compactors)
        self._finalizer = weakref.finalize(self, self._crew.close, pools, FORGOTTEN_CLOSE_SECONDS)

    def submit(self, request: Request, priority: Priority, on_reply: OnReply) -> None:
        """See Background.submit. Raises ClosedError after ``close``; ``on_reply`` is not called then."""
        pool = self._flushers if isinstance(request, FlushRequest) else self._compactors
        pool.submit(Job(request, priority, on_reply))

    def call_soon(self, callback: Callable[[], None]) -> None:
        """See Background.call_soon. Raises ClosedError after ``close``."""
        self._crew.call_soon(callback)

    def promote(self, directory: str, priorities: frozenset[Priority]) -> None:
        """See Background.promote. What waits at the limiter already keeps its place."""
        with self._crew.lock:
            self._crew.promotions.set(directory, priorities)
            self._compactors.reorder()

    def set_workers(self, flush: int, compaction: int) -> None:
        """See Background.set_workers. Raises ConfigError."""
        check_worker_counts(flush, compaction)
        self._flushers.set_limit(flush)
        self._compactors.set_limit(compaction)

    def place_workers(self, flush: Placement, compaction: Placement) -> None:
        """Nothing to change: threads stand where their process stands."""

    def worker_reports(self) -> tuple[WorkerReport, ...]:
        """What each thread is doing; empty before the first job."""
        return (*self._flushers.reports(), *self._compactors.reports())

    def watch(self, publish: Callable[[Event], None]) -> None:
        """Nothing to tell: there are no processes."""

    def unwatch(self, publish: Callable[[Event], None]) -> None:
        """Nothing to end."""

    def close(self, timeout: float) -> None:
        """See Background.close. A job notices at its next grant; one that does not in time is left to its thread."""
        self._crew.close((self._flushers, self._compactors), timeout)
        self._finalizer.detach()


class _Crew:
    """What all threads share: the lock, whether they should leave, and the thread that delivers answers."""

    def __init__(self, limiter: RateLimiter, open_file_system: OpenFileSystem) -> None:
        # Reentrant, because a garbage collection under the lock may close a dropped background.
        # Entered by itself and not through its condition, which could not let go of it without memory.
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.closing = False
        self.limiter = limiter
        self.open_file_system = open_file_system
        self.promotions = Promotions()
        self._owner_pid = os.getpid()
        self._callbacks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run a callback on the delivering thread."""
        self.check_open()
        with self.lock:
            self.start_delivering()
            self.deliver(callback)

    def check_open(self) -> None:
        """Raise ForkedHandleError in a forked child, ClosedError after close."""
        if os.getpid() != self._owner_pid:
            raise ForkedHandleError(f"the background belongs to process {self._owner_pid}: open the store here")
        if self.closing:
            raise ClosedError("the background is closed")

    def deliver(self, callback: Callable[[], None]) -> None:
        """Queue a callback, even while closing."""
        self._callbacks.put(callback)

    def start_delivering(self) -> None:
        """Start the delivering thread if it does not run. REQUIRES: the lock."""
        self.check_open()
        if self._thread is None:
            thread = threading.Thread(target=self._deliver_all, name="lsmproc-callbacks", daemon=True)
            start(thread)
            self._thread = thread

    def close(self, pools: tuple[_ThreadPool, ...], timeout: float) -> None:
        """Cancel all jobs, answer the waiting ones and end the threads. Idempotent; does nothing in a forked child."""
        if os.getpid() != self._owner_pid:
            return
        deadline = time.monotonic() + timeout
        with self.lock:
            first = not self.closing
            self.closing = True
            self.changed.notify_all()
        unanswered = [job for pool in pools for job in pool.join(deadline)] if first else []
        for job in unanswered:
            self.deliver(partial(job.on_reply, closed(job.request)))
        if self._thread is None:
            return
        self._callbacks.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(max(0.1, deadline - time.monotonic()))

    def _deliver_all(self) -> None:
        while (callback := self._callbacks.get()) is not None:
            try:
                callback()
            except Exception:
                logging.getLogger("lsmproc.workers").exception("a callback of a background job failed")
            del callback


def start(thread: threading.Thread) -> None:
    """Start a thread. Raises ClosedError where that is not possible any more."""
    try:
        thread.start()
    except RuntimeError as error:
        raise ClosedError(f"the interpreter is ending, or the system has no thread to give: {error}") from error


class _ThreadPool:
    """The threads of one kind and the jobs that wait for them."""

    def __init__(self, kind: str, limit: int, runner_name: str, crew: _Crew) -> None:
        self._kind = kind
        self._limit = limit
        self._runner_name = runner_name
        self._crew = crew
        self._jobs = JobQueue(crew.promotions.rank)
        self._threads: dict[int, threading.Thread] = {}
        self._running: dict[int, Job] = {}
        self._jobs_done: dict[int, int] = {}

    def submit(self, job: Job) -> None:
        """Queue a job, and start a thread for it if all are busy and there may be more."""
        with self._crew.lock:
            self._crew.start_delivering()
            self._start_threads(coming=1)
            self._jobs.push(job)
            self._crew.changed.notify_all()

    def reorder(self) -> None:
        """Rank the waiting jobs anew. REQUIRES: the lock."""
        self._jobs.reorder()

    def set_limit(self, limit: int) -> None:
        """Have at most ``limit`` threads: surplus ones leave after their job."""
        with self._crew.lock:
            self._limit = limit
            self._start_threads()
            self._crew.changed.notify_all()

    def reports(self) -> tuple[WorkerReport, ...]:
        """Every thread at this moment."""
        with self._crew.lock:
            return tuple(
                WorkerReport(
                    f"{self._kind}-{number}",
                    self._kind,
                    None,
                    WorkerState.BUSY if number in self._running else WorkerState.IDLE,
                    describe(self._running[number].request) if number in self._running else "",
                    0,
                    self._jobs_done.get(number, 0),
                )
                for number in sorted(self._threads)
            )

    def join(self, deadline: float) -> list[Job]:
        """Wait for the threads to leave and take the jobs that nobody will answer. REQUIRES: closing, no lock."""
        for thread in tuple(self._threads.values()):
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._crew.lock:
            left = list(self._running.values())
            self._running.clear()
            return self._jobs.drain() + left

    def _start_threads(self, coming: int = 0) -> None:
        idle = len(self._threads) - len(self._running)
        while len(self._jobs) + coming > idle and len(self._threads) < self._limit and not self._crew.closing:
            number = next(n for n in range(1, len(self._threads) + 2) if n not in self._threads)
            thread = threading.Thread(
                target=self._work, args=(number,), name=f"lsmproc-{self._kind}-{number}", daemon=True
            )
            start(thread)
            self._threads[number] = thread
            idle += 1

    def _work(self, number: int) -> None:
        while (job := self._next_job(number)) is not None:
            reply = self._run(job)
            with self._crew.lock:
                # Gone from there if close has lost patience and answered for it.
                answered_by_close = self._running.pop(number, None) is None
                self._jobs_done[number] = self._jobs_done.get(number, 0) + 1
            if not answered_by_close:
                self._crew.deliver(partial(job.on_reply, reply))
            del job, reply

    def _next_job(self, number: int) -> Job | None:
        """The next job for thread ``number``, or None when it should leave."""
        with self._crew.lock:
            while not self._crew.closing and len(self._threads) <= self._limit:
                if self._jobs:
                    self._running[number] = job = self._jobs.pop()
                    return job
                self._crew.changed.wait(MAX_WAIT_SECONDS)
            if not self._crew.closing:
                del self._threads[number]
            return None

    def _run(self, job: Job) -> Reply:
        try:
            runner = load_runner(self._runner_name)
        except Exception as error:  # noqa: BLE001 - without an answer the store would wait for ever.
            return failed(job.request, error)
        reply = run_job(runner, job.request, partial(self._grant, job), self._crew.open_file_system)
        return closed(job.request) if reply is None else reply

    def _grant(self, job: Job, size: int) -> None:
        priority = self._crew.promotions.rank(job)
        if self._crew.closing or not self._crew.limiter.request(size, priority, lambda: self._crew.closing):
            raise JobCancelled("the background was closed")
