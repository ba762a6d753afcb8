"""The workers of one kind and the jobs that wait for them: who starts, who gets what, and what a death means.

Decides and records; the supervisor waits, and delivers the answers that come out of here.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

from lsmproc.formats.messages import JobFailed
from lsmproc.protocols import Priority
from lsmproc.workers.job_queue import Job, JobQueue
from lsmproc.workers.job_run import describe
from lsmproc.workers.message_queue import QueueEndedError
from lsmproc.workers.placement import Placement
from lsmproc.workers.promotions import Promotions
from lsmproc.workers.worker import Worker
from lsmproc.workers.worker_report import WorkerState

MAX_ATTEMPTS = 3  # a job whose worker died this often is given up
MAX_START_FAILURES = 3  # after so many processes in a row that never became ready, waiting jobs are given up
START_SECONDS = 30.0  # a process that is not ready by then is killed
STOP_SECONDS = 5.0  # a process that does not leave in this time after Stop is killed
MAX_BACK_OFF_SECONDS = 5.0
# A busy worker that gave no sign of life for so long is killed, and its job run again. Between two signs lies at most
# the sync of one table or the sorting of one memtable: generous for those, because a slow disk is no hung worker.
HANG_SECONDS = 300.0
# The silence is counted in so many looks and not by the clock: a program that was itself stopped, or a machine that
# slept, has missed all looks but one, and its workers get the rest of their time.
_LOOKS = 5

Answer = tuple[Job, JobFailed]


class WorkerPool:
    """Workers of one kind. Not thread-safe."""

    def __init__(
        self,
        kind: str,
        limit: int,
        make_worker: Callable[[int], Worker],
        clock: Callable[[], float],
        hang_seconds: float = HANG_SECONDS,
        idle_seconds: float | None = None,
    ) -> None:
        """Have at most ``limit`` processes; the first starts when the first job comes.

        One that had nothing to do for ``idle_seconds`` leaves; with None it stays.
        REQUIRES: the workers tell of their progress several times in ``hang_seconds``.
        """
        self.kind = kind
        self.limit = limit
        self._placement: Placement | None = None
        self.promotions: Promotions = Promotions()
        self.jobs: JobQueue = JobQueue(self.promotions.rank)
        self.workers: tuple[Worker, ...] = ()
        self._left: dict[int, Worker] = {}  # by number: who comes back keeps its name and counts
        self._make_worker = make_worker
        self._clock = clock
        self._deaths = 0  # in a row, of processes that were starting or busy
        self._start_failures = 0  # in a row
        self._start_after = 0.0
        self._hang_seconds = hang_seconds
        self._idle_seconds = idle_seconds
        self._next_look = 0.0

    def living(self) -> Iterator[Worker]:
        """The workers that have a process."""
        return (worker for worker in self.workers if worker.state is not WorkerState.DEAD)

    def assign(self, *, paced: bool) -> list[Answer]:
        """Hand jobs to idle workers, start and stop workers as needed; the jobs that had to be given up."""
        self._make_place()
        self._stop_surplus()
        answers = []
        for worker in self.workers:
            if self.jobs and worker.state is WorkerState.IDLE and not worker.stopping:
                answers += self._give(worker, self.jobs.pop(), paced=paced)
        while self._wants_worker() and self._clock() >= self._start_after:
            answers += self._start(self._free_worker())
        return answers

    def heard(self, worker: Worker) -> None:
        """``worker`` has sent something, whatever it is: it is not hung."""
        worker.silent_looks = 0

    def place(self, placement: Placement) -> None:
        """Have all workers, those to come included, stand there beside other processes."""
        self._placement = placement
        for worker in self.workers:
            worker.place(placement)

    def ready(self, worker: Worker) -> None:
        """The process of ``worker`` has started."""
        self._start_failures = 0
        if not worker.stopping:
            worker.state = WorkerState.IDLE
            worker.idle_since = self._clock()
            worker.deadline = None
        if self._placement is not None:
            worker.place(self._placement)

    def done(self, worker: Worker) -> Job | None:
        """``worker`` has answered: its job, and it is idle."""
        self._deaths = 0
        job, worker.job = worker.job, None
        worker.paused, worker.withheld_bytes = False, 0
        worker.jobs_done += job is not None
        if worker.state is WorkerState.BUSY:
            worker.state = WorkerState.IDLE
            worker.idle_since = self._clock()
        return job

    def died(self, worker: Worker) -> list[Answer]:
        """The process of ``worker`` has ended: its job waits again, or is given up after too many deaths."""
        starting, stopping = worker.state is WorkerState.STARTING, worker.stopping
        job = worker.bury()
        if stopping:
            self.workers = tuple(each for each in self.workers if each is not worker)
            self._left[worker.number] = worker
        elif starting:
            return self._count_start_failure("its process ended before it was ready")
        if job is None:
            return []
        self._back_off()
        job.deaths += 1
        if job.deaths < MAX_ATTEMPTS:
            job.next_attempt()
            self.jobs.push(job)
            return []
        return [(job, _worker_died(job, f"its worker process died on each of {job.deaths} attempts"))]

    def next_deadline(self) -> float | None:
        """When to look again though nothing happens; None if there is no need."""
        deadlines = [worker.deadline for worker in self.living() if worker.deadline is not None]
        if self._wants_worker():
            deadlines.append(self._start_after)
        if any(worker.state is WorkerState.BUSY for worker in self.workers):
            deadlines.append(self._next_look)
        if self._idle_seconds is not None:
            idle = [worker for worker in self.workers if worker.state is WorkerState.IDLE and not worker.stopping]
            deadlines += [worker.idle_since + self._idle_seconds for worker in idle]
        return min(deadlines, default=None)

    def kill_overdue(self) -> None:
        """Kill the processes that should have started or left by now, and those whose job has hung."""
        now = self._clock()
        for worker in self.living():
            if worker.deadline is not None and now >= worker.deadline:
                worker.kill()
        if now >= self._next_look:
            self._next_look = now + self._hang_seconds / _LOOKS
            for worker in self.living():
                if worker.state is WorkerState.BUSY:
                    self._look_at(worker)

    def _look_at(self, worker: Worker) -> None:
        """Count the silence of a busy worker; kill it, which also works if it is stopped, when that is too long."""
        worker.silent_looks += 1
        # The first look may come right after the last sign of life.
        if worker.silent_looks == _LOOKS + 1:
            logging.getLogger("lsmproc.workers").warning(
                "worker %s gave no sign of life for %g s and is killed; its job is run again",
                worker.name,
                self._hang_seconds,
            )
            worker.kill()

    @property
    def _places(self) -> int:
        """How many processes there may be: one that is paused does not count."""
        return self.limit + sum(worker.paused for worker in self.workers)

    def _make_place(self) -> None:
        """Pause a deeper job while upper work waits for its place, and let it go on when there is a place again.

        One at a time: a paused job keeps its process and its memory.
        """
        rank = self.promotions.rank
        busy = [worker for worker in self.workers if worker.job is not None]
        paused = [worker for worker in busy if worker.paused]
        upper_waits = bool(self.jobs) and rank(self.jobs.first()) < Priority.DEEPER
        for worker in paused:
            working = sum(each.state is not WorkerState.DEAD and each is not worker for each in self.workers)
            idle = sum(each.state is WorkerState.IDLE for each in self.workers)
            relieved = worker.job is not None and rank(worker.job) < Priority.DEEPER
            if relieved or self._start_failures or (not upper_waits and working - idle < self.limit):
                worker.paused = False
        if upper_waits and not paused and not self._start_failures and len(busy) >= self.limit:
            deeper = [worker for worker in busy if worker.job is not None and rank(worker.job) is Priority.DEEPER]
            if deeper and not any(worker.state is WorkerState.STARTING for worker in self.workers):
                deeper[-1].paused = True

    def _stop_surplus(self) -> None:
        living = [worker for worker in self.living() if not worker.stopping]
        surplus = len(living) - self._places
        for worker in reversed(living):
            if worker.state is WorkerState.IDLE and (surplus > 0 or worker.outdated or self._has_idled(worker)):
                surplus -= 1
                self.stop(worker, STOP_SECONDS)

    def _has_idled(self, worker: Worker) -> bool:
        """Whether an idle worker had nothing to do for so long that its memory is worth more than its start."""
        if self._idle_seconds is None or self.jobs:
            return False
        return self._clock() - worker.idle_since >= self._idle_seconds

    def stop(self, worker: Worker, timeout: float) -> None:
        """Ask the process of ``worker`` to leave. REQUIRES: it has one."""
        try:
            worker.stop(self._clock() + timeout)
        except QueueEndedError:
            worker.kill()

    def _give(self, worker: Worker, job: Job, *, paced: bool) -> list[Answer]:
        job.request = replace(job.request, paced=paced)
        try:
            worker.send(job.request)
        except QueueEndedError:
            # It has just died, which its other pipe is about to tell; the job was never read.
            self.jobs.push(job)
        except ValueError as error:
            return [(job, _not_run(job, type(error).__name__, str(error), retriable=False))]
        else:
            worker.job, worker.job_began, worker.bytes_written = job, self._clock(), 0
        worker.state = WorkerState.BUSY
        worker.silent_looks = 0
        return []

    def _wants_worker(self) -> bool:
        living = list(self.living())
        coming = sum(worker.state is WorkerState.STARTING for worker in living)
        return len(self.jobs) > coming and len(living) < self._places

    def _free_worker(self) -> Worker:
        """A worker without a process: the one with the lowest number, or a new one."""
        dead = [worker for worker in self.workers if worker.state is WorkerState.DEAD]
        if dead:
            return dead[0]
        taken = {worker.number for worker in self.workers}
        number = next(number for number in range(1, len(taken) + 2) if number not in taken)
        worker = self._left.pop(number, None) or self._make_worker(number)
        if self._placement is not None:
            worker.place(self._placement)
        self.workers = tuple(sorted((*self.workers, worker), key=lambda each: each.number))
        return worker

    def _start(self, worker: Worker) -> list[Answer]:
        try:
            worker.start(self._clock() + START_SECONDS)
        except (OSError, RuntimeError, ValueError) as error:
            logging.getLogger("lsmproc.workers").warning("worker %s cannot be started: %s", worker.name, error)
            return self._count_start_failure(str(error), error if _passes(error) else None)
        return []

    def _count_start_failure(self, reason: str, passing: Exception | None = None) -> list[Answer]:
        """A process did not become ready. ``passing``: the error, if the next one may well be luckier."""
        self._back_off()
        self._start_failures += 1
        if self._start_failures < MAX_START_FAILURES:
            return []
        self._start_failures = 0
        if any(worker.state in {WorkerState.IDLE, WorkerState.BUSY} for worker in self.workers):
            return []  # Those that live get through the jobs, if not as fast.
        text = f"no {self.kind} worker could be started in {MAX_START_FAILURES} attempts: {reason}"
        if passing is not None:
            return [(job, _not_run(job, type(passing).__name__, text, retriable=True)) for job in self.jobs.drain()]
        return [(job, _worker_died(job, text)) for job in self.jobs.drain()]

    def _back_off(self) -> None:
        """The first restart is immediate; each death in a row doubles the wait from then on."""
        delay = 0.0 if not self._deaths else min(0.05 * 2**self._deaths, MAX_BACK_OFF_SECONDS)
        self._deaths += 1
        self._start_after = self._clock() + delay


def _passes(error: Exception) -> bool:
    """Whether the system is out of something that others may give back: descriptors, memory, processes."""
    return isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}


def _worker_died(job: Job, text: str) -> JobFailed:
    return _not_run(job, "WorkerDiedError", f"{text}; its inputs are untouched", retriable=False)


def _not_run(job: Job, error: str, text: str, *, retriable: bool) -> JobFailed:
    message = f"{describe(job.request)}: {text}"
    return JobFailed(job.request.job, job.request.attempt, error, message, "", retriable)
