"""Runs each job in the call that submits it: no process, no thread, the same order every time.

For unit tests, for debuggers and for programs whose threads are not real (gevent).
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from lsmproc.compaction.job import JobCancelled
from lsmproc.errors import ClosedError, ForkedHandleError
from lsmproc.events.event import Event
from lsmproc.formats.messages import FlushRequest
from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.protocols import Priority
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.workers.job_run import (
    COMPACTION_RUNNER,
    FLUSH_RUNNER,
    OnReply,
    OpenFileSystem,
    Request,
    closed,
    failed,
    load_runner,
    run_job,
)
from lsmproc.workers.placement import Placement
from lsmproc.workers.worker_report import WorkerReport


class InlineBackground:
    """Runs jobs and callbacks on the thread that submits them, one at a time.

    What a callback submits is queued and run by the outermost call before it returns, in the order of submission:
    callbacks never nest. When two threads submit at once, one of them runs the work of both.
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
        """Pace jobs by ``limiter``. The counts and the niceness mean nothing here; jobs use ``open_file_system``."""
        del flush_workers, compaction_workers, niceness
        self._limiter = limiter
        self._runner_names = (flush_runner, compaction_runner)
        self._open_file_system = open_file_system
        self._owner_pid = os.getpid()
        self._lock = threading.Lock()  # guards the queue and who drains it, and is never held while anything runs
        self._tasks: deque[Callable[[], None]] = deque()
        self._draining = False
        self._closing = False

    def submit(self, request: Request, priority: Priority, on_reply: OnReply) -> None:
        """See Background.submit. Raises ClosedError after ``close``; ``on_reply`` is not called then."""
        self._post(partial(self._run, request, priority, on_reply))

    def call_soon(self, callback: Callable[[], None]) -> None:
        """See Background.call_soon. Raises ClosedError after ``close``."""
        self._post(callback)

    def promote(self, directory: str, priorities: frozenset[Priority]) -> None:
        """Nothing to change: there is never more than one job."""

    def set_workers(self, flush: int, compaction: int) -> None:
        """Nothing to change: the caller is the only worker."""

    def place_workers(self, flush: Placement, compaction: Placement) -> None:
        """Nothing to change: the caller stands where its process stands."""

    def worker_reports(self) -> tuple[WorkerReport, ...]:
        """None: there are no workers."""
        return ()

    def watch(self, publish: Callable[[Event], None]) -> None:
        """Nothing to tell: there are no processes."""

    def unwatch(self, publish: Callable[[Event], None]) -> None:
        """Nothing to end."""

    def close(self, timeout: float) -> None:
        """See Background.close. A job running on another thread is cancelled; ``timeout`` is not needed."""
        del timeout
        self._closing = True

    def _post(self, task: Callable[[], None]) -> None:
        if os.getpid() != self._owner_pid:
            raise ForkedHandleError(f"the background belongs to process {self._owner_pid}: open the store here")
        if self._closing:
            raise ClosedError("the background is closed")
        drains = False
        try:
            with self._lock:
                self._tasks.append(task)
                if self._draining:
                    return
                drains = self._draining = True
            while (next_task := self._next_task()) is not None:
                try:
                    next_task()
                except Exception:
                    logging.getLogger("lsmproc.workers").exception("a callback of a background job failed")
        except BaseException:
            if drains:
                self._draining = False  # What waits is run by the next call.
            raise

    def _next_task(self) -> Callable[[], None] | None:
        with self._lock:
            if self._tasks:
                return self._tasks.popleft()
            self._draining = False
            return None

    def _run(self, request: Request, priority: Priority, on_reply: OnReply) -> None:
        if self._closing:
            on_reply(closed(request))
            return
        try:
            runner = load_runner(self._runner_names[not isinstance(request, FlushRequest)])
            reply = run_job(runner, request, partial(self._grant, priority), self._open_file_system)
        except MemoryError as error:  # Before the job began; without an answer it would be under way for ever.
            reply = failed(request, error)
        except BaseException as error:
            on_reply(failed(request, error))  # An interrupt: the job is done again, as after any failure.
            raise
        on_reply(closed(request) if reply is None else reply)

    def _grant(self, priority: Priority, size: int) -> None:
        if self._closing or not self._limiter.request(size, priority, lambda: self._closing):
            raise JobCancelled("the background was closed")
