"""The life of a worker process: wait for a request, run it, answer, until the owner says stop or is gone.

A worker imports only what its jobs need, has no thread, writes nothing but its outputs, and knows its owner by two
pipes. It leaves at the next call of ``grant`` (jobs call it at least once per few MiB read or written) once the
owner has died or sent Stop, and at once when idle. From those calls it also tells from time to time that its job gets
on, since a worker that says nothing for long is killed. Signals meant for the owner's process group are ignored: the
owner decides when a worker ends, and losing the owner ends it too.
"""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import select
import sys
import time
from collections import deque
from dataclasses import replace

from lsmproc.compaction.job import JobCancelled
from lsmproc.formats.messages import (
    CompactionRequest,
    FlushRequest,
    Grant,
    GrantRequest,
    JobFailed,
    Message,
    Pace,
    Progress,
    Ready,
    Stop,
)
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.peak_memory import peak_memory_bytes
from lsmproc.workers.group_signals import ignore_group_signals
from lsmproc.workers.job_run import Reply, failed, load_runner, run_job
from lsmproc.workers.log_forwarding import DEBUG, ERROR, LogForwarder
from lsmproc.workers.message_queue import MessageReader, MessageWriter, QueueEndedError

# The pipe's end tells of the owner's death within milliseconds. Should a stray copy of the pipe hide it, the
# parent's number does, this much later.
PARENT_CHECK_SECONDS = 5.0

_LOGGER = "lsmproc.workers.jobs"


def run_worker(
    runner_name: str, request_fd: int, reply_fd: int, niceness: int, progress_seconds: float, log_level: int
) -> None:
    """Serve the owner until it says stop or is gone: the target of the new process.

    ``progress_seconds``: how often to tell that a job gets on. ``log_level``: from which on what is logged here is
    told to the owner.
    """
    ignore_group_signals()
    if sys.stderr is not None:
        faulthandler.enable()
    if niceness:
        os.nice(niceness)
    forwarder = LogForwarder(log_level)
    forwarder.hear_warnings()
    runner = load_runner(runner_name)
    owner = _Owner(MessageReader(request_fd), MessageWriter(reply_fd), progress_seconds, forwarder)
    # Jobs make millions of tuples and lists and no cycles, so the collector would only walk them again and again. It
    # runs between jobs instead, and never over what the imports made.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        owner.send(Ready(os.getpid()))
        while True:
            request = owner.next_request()
            reply = run_job(runner, request, owner.grant, PosixFileSystem)
            if reply is None:
                return
            if isinstance(reply, JobFailed):
                forwarder.say(_LOGGER, ERROR, reply.traceback)
            forwarder.say(_LOGGER, DEBUG, f"job {request.job}, attempt {request.attempt}: {type(reply).__name__}")
            owner.answer(request, reply)
            del request, reply
            gc.collect()
    except _OwnerGoneError:
        return


class _OwnerGoneError(Exception):
    """The owner has sent Stop or died."""


class _Owner:
    """The worker's side of its two queues."""

    def __init__(
        self, reader: MessageReader, writer: MessageWriter, progress_seconds: float, forwarder: LogForwarder
    ) -> None:
        self._forwarder = forwarder
        self._written = 0  # bytes, by the running job
        self._progress_seconds = progress_seconds
        self._progress_at = 0.0  # when to send the next sign of life
        self._reader = reader
        self._writer = writer
        self._owner_pid = os.getppid()
        self._poll = select.poll()
        self._poll.register(reader.fd, select.POLLIN)
        parent = multiprocessing.parent_process()
        assert parent is not None
        self._poll.register(parent.sentinel, select.POLLIN)
        self._reader_fd = reader.fd
        self._requests: deque[FlushRequest | CompactionRequest] = deque()
        self._job = 0
        self._paced = False
        self._granted = 0

    def next_request(self) -> FlushRequest | CompactionRequest:
        """Wait for the next request."""
        self._tell_records()
        while not self._requests:
            self._take_messages(PARENT_CHECK_SECONDS)
        request = self._requests.popleft()
        self._job = request.job
        self._written = 0
        self._progress_at = time.monotonic() + self._progress_seconds
        return request

    def grant(self, size: int) -> None:
        """Return when ``size`` bytes may be written. Raises JobCancelled when there is nobody to write them for."""
        try:
            self._forwarder.hear_loggers()
            self._take_messages(0.0)
            self._tell_progress()
            self._written += size
            if not self._paced or not size:
                return
            self._granted = 0
            self.send(GrantRequest(self._job, size))
            while self._paced and self._granted < size:
                self._take_messages(min(PARENT_CHECK_SECONDS, self._progress_seconds))
                self._tell_progress()
        except _OwnerGoneError as gone:
            raise JobCancelled(str(gone)) from gone

    def answer(self, request: FlushRequest | CompactionRequest, reply: Reply) -> None:
        """Send the answer, or why it cannot be sent."""
        if not isinstance(reply, JobFailed):
            cost = replace(reply.cost, pid=os.getpid(), peak_memory_bytes=peak_memory_bytes())
            reply = replace(reply, cost=cost)
        try:
            self._tell_records()
            self.send(reply)
        except ValueError as error:
            self.send(failed(request, error))

    def send(self, message: Message) -> None:
        """Send a message, waiting for the owner to take it."""
        try:
            self._writer.put(message)
            self._poll.register(self._writer.fd, select.POLLOUT)
            try:
                while self._writer.pending:
                    self._take_messages(PARENT_CHECK_SECONDS)
                    self._writer.flush()
            finally:
                self._poll.unregister(self._writer.fd)
        except QueueEndedError as ended:
            raise _OwnerGoneError("the owner has closed its end") from ended

    def _tell_progress(self) -> None:
        """Send a sign of life if one is due; also while waiting for a grant, which is the owner's doing."""
        now = time.monotonic()
        if now >= self._progress_at:
            self._progress_at = now + self._progress_seconds
            self._tell_records()
            self.send(Progress(self._job, self._written))

    def _tell_records(self) -> None:
        for record in self._forwarder.take():
            self.send(record)

    def _take_messages(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for something to happen and take it in."""
        for fd, _ in self._poll.poll(timeout * 1000):
            if fd == self._reader_fd:
                self._receive()
            elif fd != self._writer.fd:
                raise _OwnerGoneError("the owner has died")
        if timeout and os.getppid() != self._owner_pid:
            raise _OwnerGoneError("the owner has died")

    def _receive(self) -> None:
        try:
            messages = self._reader.receive()
        except QueueEndedError as ended:
            raise _OwnerGoneError("the owner has closed its end") from ended
        for message in messages:
            match message:
                case FlushRequest() | CompactionRequest():
                    self._requests.append(message)
                    self._paced = message.paced
                case Grant(size):
                    self._granted += size
                case Pace(paced):
                    self._paced = paced
                case Stop():
                    raise _OwnerGoneError("the owner has sent Stop")
                case _:
                    raise ValueError(f"a worker was sent a {type(message).__name__}")
