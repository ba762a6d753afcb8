"""The owner's one background thread: it starts workers, hands out jobs, delivers answers and notices deaths.

The thread waits on every queue, on the end of every process and on its own wake-up pipe at once, and never waits for
any one of them: a stopped worker delays only its own job. Everything the thread owns is touched by it alone; other
threads leave what they want in an inbox and wake it.

A job is answered exactly once: by its worker, or with JobFailed when its worker died too often, when it cannot be
sent, or when the supervisor closes. An answer that was complete in the pipe counts even if its worker died right after.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from lsmproc.errors import ClosedError, CorruptionError, ForkedHandleError
from lsmproc.events.event import Event, WorkerDied, WorkerStarted
from lsmproc.formats.messages import (
    CompactionDone,
    FlushDone,
    FlushRequest,
    Grant,
    GrantRequest,
    JobFailed,
    LogRecord,
    Message,
    Pace,
    Progress,
    Ready,
)
from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.protocols import Priority
from lsmproc.workers.fork_guard import fork_guard
from lsmproc.workers.job_queue import Job
from lsmproc.workers.job_run import Reply, closed, describe
from lsmproc.workers.message_queue import QueueEndedError
from lsmproc.workers.placement import Placement
from lsmproc.workers.spawn import pipe_above_stderr
from lsmproc.workers.worker import Worker
from lsmproc.workers.worker_logging import log_again
from lsmproc.workers.worker_pool import WorkerPool
from lsmproc.workers.worker_report import WorkerReport, WorkerState

MAX_WAIT_SECONDS = 30.0  # every wait has a deadline, though nothing is expected at this one
_JOIN_GRACE_SECONDS = 1.0  # on top of the time for the workers, for the thread itself to end


class Supervisor:
    """Runs jobs in worker processes. ``submit``, ``call_soon``, ``reports`` and ``close`` may come from any thread."""

    def __init__(
        self,
        flush_pool: WorkerPool,
        compaction_pool: WorkerPool,
        limiter: RateLimiter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Own the pools from now on. Nothing is started before the first job or call."""
        self._clock = clock
        self._pools = (flush_pool, compaction_pool)
        self._limiter = limiter
        self._owner_pid = os.getpid()
        # Reentrant, because a garbage collection under the lock may close a dropped background.
        self._lock = threading.RLock()
        self._inbox: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._wake_fds = (-1, -1)
        self._close_deadline: float | None = None
        self._paced = limiter.bytes_per_second is not None
        self._watchers: tuple[Callable[[Event], None], ...] = ()

    def submit(self, job: Job) -> None:
        """Run a job. Raises ClosedError after ``close``; its ``on_reply`` is not called then."""
        flush_pool, compaction_pool = self._pools
        pool = flush_pool if isinstance(job.request, FlushRequest) else compaction_pool
        self._post(partial(pool.jobs.push, job))

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` on the supervisor's thread. Raises ClosedError after ``close``."""
        self._post(partial(_call, callback))

    def promote(self, directory: str, priorities: frozenset[Priority]) -> None:
        """Have jobs of these priorities of one store rank with flushes from now on; see Background.promote."""
        self._post(partial(self._promote, directory, priorities))

    def set_workers(self, flush: int, compaction: int) -> None:
        """Change how many processes of each kind there may be; surplus ones leave after their job."""
        for pool, count in zip(self._pools, (flush, compaction), strict=True):
            self._post(partial(setattr, pool, "limit", count))

    def place_workers(self, flush: Placement, compaction: Placement) -> None:
        """Change how the processes of each kind stand beside others, now."""
        for pool, placement in zip(self._pools, (flush, compaction), strict=True):
            self._post(partial(pool.place, placement))

    def reports(self) -> tuple[WorkerReport, ...]:
        """Every worker at this moment."""
        return tuple(worker.report() for pool in self._pools for worker in pool.workers)

    def watch(self, publish: Callable[[Event], None]) -> None:
        """Publish the starts and deaths of workers from now on; callable from any thread, as ``unwatch`` is."""
        with self._lock:
            self._watchers = (*self._watchers, publish)

    def unwatch(self, publish: Callable[[Event], None]) -> None:
        """Publish them there no more."""
        with self._lock:
            self._watchers = tuple(each for each in self._watchers if each != publish)

    def close(self, timeout: float) -> None:
        """Stop all workers within ``timeout`` seconds, then kill what is left; unanswered jobs get JobFailed.

        Idempotent. Called from a callback, it returns at once and the thread closes after the callback. In a forked
        child it does nothing: the workers belong to the parent.
        """
        if os.getpid() != self._owner_pid:
            return
        with self._lock:
            if self._close_deadline is None:
                self._close_deadline = self._clock() + timeout
            thread = self._thread
            if thread is not None and thread.is_alive():
                self._wake()
        if thread is None or thread is threading.current_thread():
            return
        thread.join(timeout + _JOIN_GRACE_SECONDS)
        if thread.is_alive():
            # A callback keeps the thread; the workers must not wait for it.
            for pool in self._pools:
                for worker in pool.workers:
                    worker.kill()

    def _post(self, task: Callable[[], None]) -> None:
        if os.getpid() != self._owner_pid:
            raise ForkedHandleError(
                f"the background belongs to process {self._owner_pid}, which forked this one: open the store here"
            )
        with self._lock:
            if self._close_deadline is not None:
                raise ClosedError("the background is closed")
            self._inbox.append(task)
            if self._thread is None:
                self._start_thread()
            else:
                self._wake()

    def _start_thread(self) -> None:
        made: list[int] = []
        guard = fork_guard()
        with guard.making():
            self._wake_fds = pipe_above_stderr(made)
            guard.add(*made)
        for fd in made:
            os.set_blocking(fd, False)
        self._thread = threading.Thread(target=self._run, name="lsmproc-supervisor", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            self._wake_fds = (-1, -1)
            self._inbox.clear()
            guard.close(*made)
            raise ClosedError(f"the interpreter is ending, or the system has no thread to give: {error}") from error

    def _wake(self) -> None:
        if os.getpid() != self._owner_pid:
            return
        with self._lock:
            if self._wake_fds[1] < 0:
                return
            try:
                os.write(self._wake_fds[1], b"\0")
            except BlockingIOError:
                # The pipe is full of wake-ups that were not seen yet.
                return

    # From here on everything runs on the supervisor's thread.

    def _run(self) -> None:
        self._limiter.watch(self._wake)
        try:
            while self._close_deadline is None:
                self._step()
            self._stop_workers()
            while any(self._living()) and self._clock() < self._close_deadline:
                self._wait(self._close_deadline)
        except Exception:
            logging.getLogger("lsmproc.workers").exception("the supervisor failed; its background is closed")
        finally:
            self._limiter.unwatch(self._wake)
            self._end()

    def _step(self) -> None:
        # Only what is there now: a callback may post itself again, and the workers must not wait for its end.
        for _ in range(len(self._inbox)):
            self._inbox.popleft()()
        self._pay_grants()
        for pool in self._pools:
            pool.kill_overdue()
            paused = {worker for worker in pool.workers if worker.paused}
            for job, failure in pool.assign(paced=self._paced):
                self._answer(job, failure)
            self._hold_or_let_go(pool, paused)
        self._wait(self._clock() if self._inbox else self._next_deadline())

    def _next_deadline(self) -> float:
        deadlines = [self._clock() + MAX_WAIT_SECONDS]
        if (seconds := self._limiter.seconds_until_next()) is not None:
            deadlines.append(self._clock() + seconds)
        deadlines += [at for pool in self._pools if (at := pool.next_deadline()) is not None]
        return min(deadlines)

    def _pay_grants(self) -> None:
        for worker, size in self._limiter.poll():
            assert isinstance(worker, Worker)
            self._tell(worker, Grant(size))
        paced = self._limiter.bytes_per_second is not None
        if paced is not self._paced:
            self._paced = paced
            for _, worker in self._living():
                if worker.state is WorkerState.BUSY and not worker.paused:
                    self._tell(worker, Pace(paced))

    def _promote(self, directory: str, priorities: frozenset[Priority]) -> None:
        for pool in self._pools:
            pool.promotions.set(directory, priorities)
            pool.jobs.reorder()
            for worker in pool.workers:
                if worker.job is not None:
                    self._limiter.move(worker, pool.promotions.rank(worker.job))

    def _hold_or_let_go(self, pool: WorkerPool, before: set[Worker]) -> None:
        """Tell the workers whose job the pool has paused, or lets go on. A job waits in its next ask for bytes."""
        for worker in pool.workers:
            if worker.state is not WorkerState.BUSY or worker.paused is (worker in before):
                continue
            if worker.paused:
                self._tell(worker, Pace(paced=True))
                continue
            size, worker.withheld_bytes = worker.withheld_bytes, 0
            if not self._paced:
                self._tell(worker, Pace(paced=False))
            elif size:
                self._ask(pool, worker, size)

    def _ask(self, pool: WorkerPool, worker: Worker, size: int) -> None:
        rank = pool.promotions.rank(worker.job) if worker.job else Priority.DEEPER
        self._limiter.submit(worker, size, rank)

    def _tell(self, worker: Worker, message: Message) -> None:
        """Send a message to a worker that may have died: its end is noticed by its other pipe."""
        try:
            worker.send(message)
        except QueueEndedError:
            worker.kill()

    def _living(self) -> Iterator[tuple[WorkerPool, Worker]]:
        return ((pool, worker) for pool in self._pools for worker in pool.living())

    def _wait(self, deadline: float) -> None:
        """Wait until something happens, or ``deadline``, and take it in."""
        poll = select.poll()
        poll.register(self._wake_fds[0], select.POLLIN)
        events: dict[int, Callable[[], None]] = {self._wake_fds[0]: self._clear_wake_ups}
        deaths: dict[int, Callable[[], None]] = {}
        for pool, worker in self._living():
            reply_fd, sentinel, request_fd = worker.fds
            events[reply_fd] = partial(self._receive, pool, worker)
            deaths[sentinel] = partial(self._bury, pool, worker)
            poll.register(reply_fd, select.POLLIN)
            poll.register(sentinel, select.POLLIN)
            if request_fd is not None:
                events[request_fd] = partial(self._flush, worker)
                poll.register(request_fd, select.POLLOUT)
        # Rounded up, or the last fraction of a millisecond would be spent in a busy loop.
        ready = [fd for fd, _ in poll.poll(max(0.0, deadline - self._clock()) * 1000 + 0.999)]
        for fd in ready:
            if fd in events:
                events[fd]()
        for fd in ready:
            if fd in deaths:
                deaths[fd]()

    def _clear_wake_ups(self) -> None:
        os.read(self._wake_fds[0], 4096)

    def _flush(self, worker: Worker) -> None:
        try:
            worker.flush()
        except QueueEndedError:
            worker.kill()

    def _receive(self, pool: WorkerPool, worker: Worker) -> None:
        try:
            messages = worker.receive()
        except QueueEndedError:
            # Without its queue a worker is of no use, even should it live.
            worker.kill()
        except CorruptionError:
            logging.getLogger("lsmproc.workers").exception("worker %s sent no message and is killed", worker.name)
            worker.kill()
        else:
            if messages:
                pool.heard(worker)
            for message in messages:
                self._take(pool, worker, message)

    def _take(self, pool: WorkerPool, worker: Worker, message: Message) -> None:
        match message:
            case Ready(pid):
                pool.ready(worker)
                self._publish(WorkerStarted(worker=worker.name, pid=pid, restarts=worker.restarts))
            case GrantRequest(_, size):
                if worker.paused:
                    worker.withheld_bytes += size
                    return
                self._ask(pool, worker, size)
                self._pay_grants()
            case FlushDone() | CompactionDone() | JobFailed():
                self._limiter.cancel(worker)
                if (job := pool.done(worker)) is not None:
                    self._answer(job, message)
            case Progress(_, bytes_written):
                worker.bytes_written = bytes_written
            case LogRecord():
                _call(partial(log_again, worker.name, worker.report().pid, message))
            case _:
                logging.getLogger("lsmproc.workers").error(
                    "worker %s sent a %s and is killed", worker.name, type(message).__name__
                )
                worker.kill()

    def _bury(self, pool: WorkerPool, worker: Worker) -> None:
        """A process has ended: take in what it still said, then do without it."""
        if worker.state is WorkerState.DEAD:
            return
        self._receive(pool, worker)
        self._limiter.cancel(worker)
        if not worker.stopping:
            pid = worker.report().pid or 0
            job_text = "" if worker.job is None else describe(worker.job.request)
            self._publish(WorkerDied(worker=worker.name, pid=pid, job=job_text))
        if (job := worker.job) is not None and not worker.stopping:
            logging.getLogger("lsmproc.workers").warning(
                "worker %s died during %s, attempt %d", worker.name, describe(job.request), job.request.attempt
            )
        for job, failure in pool.died(worker):
            self._answer(job, failure)

    def _stop_workers(self) -> None:
        """Begin to close: no job waits any more, and every worker is told to leave."""
        while self._inbox:
            self._inbox.popleft()()
        for pool in self._pools:
            for job in pool.jobs.drain():
                self._answer(job, closed(job.request))
        for pool, worker in self._living():
            if worker.state is WorkerState.STARTING:
                worker.kill()
            else:
                pool.stop(worker, MAX_WAIT_SECONDS)

    def _end(self) -> None:
        """Kill and reap what is left and answer what is unanswered, whatever happened before."""
        with self._lock:
            if self._close_deadline is None:
                self._close_deadline = self._clock()
        for _, worker in tuple(self._living()):
            job = worker.bury()
            if job is not None:
                self._answer(job, closed(job.request))
        for pool in self._pools:
            pool.workers = ()
            for job in pool.jobs.drain():
                self._answer(job, closed(job.request))
        with self._lock:
            fds, self._wake_fds = self._wake_fds, (-1, -1)
        fork_guard().close(*fds)

    def _publish(self, event: Event) -> None:
        for publish in self._watchers:
            _call(partial(publish, event))

    def _answer(self, job: Job, reply: Reply) -> None:
        _call(partial(job.on_reply, reply))


def _call(callback: Callable[[], None]) -> None:
    """Run a callback of the store. Its exceptions are the store's to handle; here they must not end the thread."""
    try:
        callback()
    except Exception:
        logging.getLogger("lsmproc.workers").exception("a callback of a background job failed")
