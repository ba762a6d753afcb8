"""Runs one job, wherever that is, and turns whatever happens into the answer to its request.

A *runner* is a module with a function ``run(request, grant, open_file_system)`` that returns the FlushDone or
CompactionDone; ``lsmproc.workers.flush_worker`` and ``lsmproc.workers.compaction_worker`` are the two that stores use.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from typing import Protocol

from lsmproc.compaction.job import JobCancelled
from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import table_name, wal_name
from lsmproc.formats.messages import CompactionDone, CompactionRequest, FlushDone, FlushRequest, JobFailed
from lsmproc.storage.file_system import FileSystem

FLUSH_RUNNER = "lsmproc.workers.flush_worker"
COMPACTION_RUNNER = "lsmproc.workers.compaction_worker"

_MAX_TRACEBACK_CHARACTERS = 32_768  # the end of a traceback is the part that tells
_MAX_FILES_NAMED = 12

Request = FlushRequest | CompactionRequest
Reply = FlushDone | CompactionDone | JobFailed
OnReply = Callable[[Reply], None]
Grant = Callable[[int], None]


class JobFileSystem(FileSystem, Protocol):
    """The file system of one job: opened for it, and shut when it ends."""

    def shut(self) -> None:
        """Give the directory's descriptor back; the object is not usable afterwards."""


OpenFileSystem = Callable[[str], JobFileSystem]


class Runner(Protocol):
    """What a runner module's ``run`` looks like."""

    def __call__(
        self, request: Request, grant: Grant, open_file_system: OpenFileSystem, /
    ) -> FlushDone | CompactionDone:
        """Do the job; ``grant(size)`` is called before ``size`` bytes are written and may raise JobCancelled."""


def load_runner(module_name: str) -> Runner:
    """The ``run`` function of a runner module."""
    runner: Runner = importlib.import_module(module_name).run
    return runner


def run_job(runner: Runner, request: Request, grant: Grant, open_file_system: OpenFileSystem) -> Reply | None:
    """The answer to ``request``, or None if the job was cancelled."""
    try:
        return runner(request, grant, open_file_system)
    except JobCancelled:
        return None
    except MemoryError as error:
        # Its frames hold what the job has taken; without that there is memory for the answer.
        traceback.clear_frames(error.__traceback__)
        return failed(request, error)
    except Exception as error:  # noqa: BLE001 - whatever a job raises is its answer, and the owner raises it.
        return failed(request, error)


def failed(request: Request, error: BaseException) -> JobFailed:
    """The answer to a request whose job raised ``error``."""
    text = "".join(traceback.format_exception(error))
    return JobFailed(
        request.job,
        request.attempt,
        type(error).__name__,
        f"{describe(request)}: {error}",
        text[-_MAX_TRACEBACK_CHARACTERS:],
        retriable=not isinstance(error, CorruptionError),
    )


def closed(request: Request) -> JobFailed:
    """The answer to a request that a closed background did not finish."""
    message = f"{describe(request)}: abandoned because the background was closed; its inputs are untouched"
    return JobFailed(request.job, request.attempt, "ClosedError", message, "", retriable=False)


def input_bytes(request: Request) -> int:
    """Bytes of the files that the job reads. One of several parts of a compaction reads some tables in part only."""
    if isinstance(request, FlushRequest):
        return sum(segment.end for segment in request.segments)
    start, stop = request.start, request.stop
    return sum(
        file.size
        for run in request.runs
        for file in run
        if (start is None or file.largest >= start) and (stop is None or file.smallest < stop)
    )


def describe(request: Request) -> str:
    """The job in words, with its input files: for reports, logs and errors."""
    if isinstance(request, FlushRequest):
        verb, names = "flush", [wal_name(segment.number) for segment in request.segments]
    else:
        verb = f"compaction to level {request.output_level}"
        names = [table_name(file.number) for run in request.runs for file in run]
    more = f" and {len(names) - _MAX_FILES_NAMED} more" if len(names) > _MAX_FILES_NAMED else ""
    return f"job {request.job} ({verb} of {', '.join(names[:_MAX_FILES_NAMED])}{more} in {request.directory})"
