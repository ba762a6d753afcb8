"""The owner's side of one worker: its process, its two queues and what it is doing.

The process may die; the worker, with its name and counts, is started again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from lsmproc.formats.messages import Message, Stop
from lsmproc.workers.fork_guard import fork_guard
from lsmproc.workers.job_queue import Job
from lsmproc.workers.job_run import describe, input_bytes
from lsmproc.workers.message_queue import MessageReader, MessageWriter
from lsmproc.workers.placement import Placement
from lsmproc.workers.spawn import SpawnedProcess, pipe_above_stderr
from lsmproc.workers.worker_process import run_worker
from lsmproc.workers.worker_report import WorkerReport, WorkerState

PROGRESS_SECONDS = 1.0  # how often a busy worker gives a sign of life


@dataclass(slots=True, eq=False)
class _Life:
    """What lives and ends with one process."""

    process: SpawnedProcess
    requests: MessageWriter
    replies: MessageReader


class Worker:
    """One worker of one kind. Used by the supervisor's thread only, but for ``report`` and ``kill``."""

    def __init__(
        self,
        kind: str,
        number: int,
        runner_name: str,
        niceness: int,
        progress_seconds: float = PROGRESS_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Describe a worker; ``start`` starts its process, which tells so often that its job gets on."""
        self.kind = kind
        self.number = number
        self.name: str = f"{kind}-{number}"
        self.state: WorkerState = WorkerState.DEAD
        self.job: Job | None = None
        self.deadline: float | None = None  # a process that starts or stops is killed at this time
        self.idle_since: float = 0.0  # set by the pool
        self.stopping: bool = False
        self.paused: bool = False  # its job gets no bytes while upper work needs its place
        self.withheld_bytes: int = 0  # that it has asked for meanwhile
        self.silent_looks: int = 0  # of the pool at the busy worker, since it was last heard of
        self.restarts: int = 0
        self.jobs_done: int = 0
        self.bytes_written: int = 0  # of the running job, as far as its process has told
        self.job_began: float = 0.0
        self._clock = clock
        self._runner_name = runner_name
        self.niceness: int = niceness
        self.outdated: bool = False  # its process is to be replaced after its job
        self._progress_seconds = progress_seconds
        self._life: _Life | None = None
        self._lost_process = False  # and not by being asked to leave

    def start(self, deadline: float) -> None:
        """Start a process; it says Ready before ``deadline``. REQUIRES: dead. Raises what SpawnedProcess raises."""
        guard = fork_guard()
        made: list[int] = []
        with guard.making():
            try:
                request_read, request_write = pipe_above_stderr(made)
                reply_read, reply_write = pipe_above_stderr(made)
                guard.add(request_write, reply_read)
                process = SpawnedProcess(
                    f"lsmproc-{self.name}",
                    run_worker,
                    (
                        self._runner_name,
                        request_read,
                        reply_write,
                        self.niceness,
                        self._progress_seconds,
                        logging.getLogger("lsmproc").getEffectiveLevel(),
                    ),
                    (request_read, reply_write),
                )
            except BaseException:
                guard.close(*made)
                raise
            guard.close(request_read, reply_write)
        self._life = _Life(process, MessageWriter(request_write), MessageReader(reply_read))
        self.state = WorkerState.STARTING
        self.outdated = False
        self.deadline = deadline
        self.restarts += self._lost_process

    @property
    def fds(self) -> tuple[int, int, int | None]:
        """The descriptors to wait on: replies, end of the process, and, if requests wait for the pipe, requests.

        REQUIRES: not dead.
        """
        life = self._alive()
        return life.replies.fd, life.process.sentinel, life.requests.fd if life.requests.pending else None

    def send(self, message: Message) -> None:
        """Send a message. Raises QueueEndedError, ValueError. REQUIRES: not dead."""
        self._alive().requests.put(message)

    def flush(self) -> None:
        """Send what the pipe did not take before. Raises QueueEndedError. REQUIRES: not dead."""
        self._alive().requests.flush()

    def receive(self) -> list[Message]:
        """The messages that have arrived. Raises QueueEndedError, CorruptionError. REQUIRES: not dead."""
        return self._alive().replies.receive()

    def stop(self, deadline: float) -> None:
        """Ask the process to leave before ``deadline``. Raises QueueEndedError. REQUIRES: not dead."""
        self.stopping = True
        self.deadline = deadline
        self.send(Stop())

    def kill(self) -> None:
        """Kill the process if there is one; its end is noticed as any other."""
        if (life := self._life) is not None:
            life.process.kill()

    def bury(self) -> Job | None:
        """Reap the ended process and give everything of it back; the job it was running, if any."""
        life = self._alive()
        self._life = None
        life.process.kill()
        life.process.close()
        life.requests.close()
        life.replies.close()
        self.state = WorkerState.DEAD
        self.deadline = None
        self._lost_process = not self.stopping
        self.stopping = self.paused = False
        self.withheld_bytes = 0
        job, self.job = self.job, None
        return job

    def place(self, placement: Placement) -> None:
        """Have the process, and those that follow it, stand there; one that may not is replaced after its job."""
        self.niceness = placement.niceness
        # A process that starts makes itself as nice as it was told; it is placed when it is ready.
        if (life := self._life) is not None and self.state is not WorkerState.STARTING:
            self.outdated = not placement.apply(life.process.pid)

    def report(self) -> WorkerReport:
        """The worker at this moment; callable from any thread."""
        life, job = self._life, self.job
        return WorkerReport(
            self.name,
            self.kind,
            None if life is None else life.process.pid,
            self.state,
            "" if job is None else describe(job.request) + (", paused for upper work" if self.paused else ""),
            self.restarts,
            self.jobs_done,
            self.bytes_written if job is not None else 0,
            0 if job is None else input_bytes(job.request),
            0.0 if job is None else self._clock() - self.job_began,
        )

    def _alive(self) -> _Life:
        assert self._life is not None, f"{self.name} has no process"
        return self._life
