"""Runs jobs in other processes: the default background of a store."""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Callable
from functools import partial

from lsmproc.errors import ConfigError
from lsmproc.events.event import Event
from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.protocols import Priority
from lsmproc.workers.job_queue import Job
from lsmproc.workers.job_run import COMPACTION_RUNNER, FLUSH_RUNNER, OnReply, Request
from lsmproc.workers.placement import Placement
from lsmproc.workers.supervisor import Supervisor
from lsmproc.workers.worker import PROGRESS_SECONDS, Worker
from lsmproc.workers.worker_pool import HANG_SECONDS, WorkerPool
from lsmproc.workers.worker_report import WorkerReport

FORGOTTEN_CLOSE_SECONDS = 0.5  # for the workers of a background that was dropped, or of a program that ends, to leave


class ProcessBackground:
    """Flushes and compactions in worker processes; see lsmproc.workers.supervisor.

    A background that is dropped without ``close``, or still open when the program ends, is closed by a finalizer. A job
    that has not been answered keeps alive whatever its ``on_reply`` refers to.
    """

    def __init__(
        self,
        flush_workers: int,
        compaction_workers: int,
        limiter: RateLimiter,
        niceness: int = 0,
        *,
        io_priority: str = "normal",
        cpus: tuple[int, ...] | None = None,
        hang_seconds: float = HANG_SECONDS,
        idle_seconds: float | None = None,
        flush_runner: str = FLUSH_RUNNER,
        compaction_runner: str = COMPACTION_RUNNER,
    ) -> None:
        """Use up to so many processes of each kind, started when needed. Raises ConfigError under gevent, eventlet.

        A worker that gives no sign of life during a job for ``hang_seconds`` is killed and the job run again. One
        that had no job for ``idle_seconds`` leaves until there is one; with None it stays.
        """
        check_worker_counts(flush_workers, compaction_workers)
        _refuse_green_threads()
        # Only compactions step back: writes stop when flushes fall behind (SILK's order of priorities).
        progress = min(PROGRESS_SECONDS, hang_seconds / 10)
        flush_worker = partial(Worker, "flush", runner_name=flush_runner, niceness=0, progress_seconds=progress)
        compaction_worker = partial(
            Worker, "compaction", runner_name=compaction_runner, niceness=niceness, progress_seconds=progress
        )
        make_pool = partial(WorkerPool, clock=time.monotonic, hang_seconds=hang_seconds, idle_seconds=idle_seconds)
        flush_pool = make_pool("flush", flush_workers, flush_worker)
        compaction_pool = make_pool("compaction", compaction_workers, compaction_worker)
        if io_priority != "normal" or cpus is not None:
            flush_pool.place(Placement(0, "normal", cpus))
            compaction_pool.place(Placement(niceness, io_priority, cpus))
        self._supervisor = Supervisor(
            flush_pool,
            compaction_pool,
            limiter,
        )
        self._finalizer = weakref.finalize(self, self._supervisor.close, FORGOTTEN_CLOSE_SECONDS)

    def submit(self, request: Request, priority: Priority, on_reply: OnReply) -> None:
        """See Background.submit. Raises ClosedError after ``close``; ``on_reply`` is not called then."""
        self._supervisor.submit(Job(request, priority, on_reply))

    def call_soon(self, callback: Callable[[], None]) -> None:
        """See Background.call_soon. Raises ClosedError after ``close``."""
        self._supervisor.call_soon(callback)

    def promote(self, directory: str, priorities: frozenset[Priority]) -> None:
        """See Background.promote. Raises ClosedError after ``close``."""
        self._supervisor.promote(directory, priorities)

    def set_workers(self, flush: int, compaction: int) -> None:
        """See Background.set_workers. Raises ConfigError, and ClosedError after ``close``."""
        check_worker_counts(flush, compaction)
        self._supervisor.set_workers(flush, compaction)

    def place_workers(self, flush: Placement, compaction: Placement) -> None:
        """See Background.place_workers. Raises ClosedError after ``close``."""
        self._supervisor.place_workers(flush, compaction)

    def worker_reports(self) -> tuple[WorkerReport, ...]:
        """What each worker is doing; those without a job for long, and all before the first job, are not there."""
        return self._supervisor.reports()

    def watch(self, publish: Callable[[Event], None]) -> None:
        """See Background.watch. Publishes on the supervisor's thread."""
        self._supervisor.watch(publish)

    def unwatch(self, publish: Callable[[Event], None]) -> None:
        """See Background.unwatch."""
        self._supervisor.unwatch(publish)

    def close(self, timeout: float) -> None:
        """See Background.close. No process is left afterwards."""
        self._supervisor.close(timeout)
        self._finalizer.detach()


def check_worker_counts(flush_workers: int, compaction_workers: int) -> None:
    """Raise ConfigError unless there is at least one flush worker and no negative number of compaction workers."""
    problems = []
    if flush_workers < 1:
        problems.append(f"flush_workers is {flush_workers}, and without one nothing is ever flushed")
    if compaction_workers < 0:
        problems.append(f"compaction_workers is {compaction_workers}; use 0 for no compaction at all")
    if problems:
        raise ConfigError(problems)


def _refuse_green_threads() -> None:
    """Waiting for pipes and processes does not work where gevent or eventlet have replaced threads."""
    gevent = sys.modules.get("gevent.monkey")
    eventlet = sys.modules.get("eventlet.patcher")
    patched = (gevent is not None and gevent.is_module_patched("threading")) or (
        eventlet is not None and eventlet.is_monkey_patched("thread")
    )
    if patched:
        raise ConfigError(['background="process" does not work with patched threads: use background="inline"'])
