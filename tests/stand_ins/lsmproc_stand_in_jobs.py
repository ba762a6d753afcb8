"""A runner module (see lsmproc.workers.job_run) whose jobs do what a test asks of them.

The first segment's ``end`` (of a flush) or ``output_level`` (of a compaction) means nothing here. What a job does is
chosen by ``epoch``, one of the constants below; it leaves marks as files in ``directory``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from lsmproc.errors import CorruptionError
from lsmproc.formats.messages import (
    MAX_MESSAGE_BYTES,
    CompactionDone,
    CompactionRequest,
    FlushDone,
    FlushRequest,
    JobCost,
    JobOutput,
    SegmentEnd,
    TableOptions,
)
from lsmproc.formats.version_edit import FileMetadata

FINISH = 1  # answer at once
HOLD = 2  # until the file "release" is there, or cancelled
DIE = 3  # kill the own process, like the kernel does when memory runs out
RAISE = 4  # ValueError
CORRUPT = 5  # CorruptionError
WRITE = 6  # ask for grants of 4 KiB for as many bytes as droppable_below or the first segment's end says
DIE_ONCE = 7  # on the first attempt only
ANSWER_AT_LENGTH = 8  # with an answer of some MiB, which takes many writes to the pipe
ANSWER_TOO_LONG = 9  # with an answer above the limit of a message
HANG = 10  # never look at anything again
MODULES = 11  # leave the names of all imported modules in the file "modules"
LOG = 12  # say a word to a logger, and warn

HOLD_DEADLINE_SECONDS = 30.0
_TABLE = FileMetadata(0, 1, 1, 1, b"a", b"z", 1, 0, 1, 1, 2)
_COST = JobCost(0, 0, 0, 0, 0.0, 0.0)

Request = FlushRequest | CompactionRequest


def flush(job: int, does: int = FINISH, directory: object = "/", size: int = 0) -> FlushRequest:
    """A request for a flush worker."""
    segment = SegmentEnd(job, size, 0, 0)
    return FlushRequest(job, 1, str(directory), b"u" * 16, does, (segment,), TableOptions(), paced=False)


def compaction(job: int, does: int = FINISH, directory: object = "/", size: int = 0) -> CompactionRequest:
    """A request for a compaction worker."""
    runs = ((FileMetadata(job, 1, 1, 1, b"a", b"z", 1, 0, 1, 1, 2),),)
    return CompactionRequest(
        job, 1, str(directory), does, runs, None, None, 1, (), (), size, TableOptions(), paced=False
    )


def run(request: Request, grant: Callable[[int], None], open_file_system: object) -> FlushDone | CompactionDone:
    """Do what ``request.epoch`` says."""
    directory = Path(request.directory)
    outputs: tuple[JobOutput, ...] = ()
    grant(0)
    match request.epoch:
        case 2:
            _mark(directory, request)
            _hold(directory, grant)
        case 3:
            os.kill(os.getpid(), signal.SIGKILL)
        case 4:
            raise ValueError("the stand-in was told to raise")
        case 5:
            raise CorruptionError("the stand-in was told so", file="000001.sst", offset=7)
        case 6:
            if directory != Path("/"):
                _mark(directory, request)
            _write(_size(request), grant)
        case 7 if request.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        case 8:
            _mark(directory, request)
            outputs = (JobOutput("x" * 4_000_000, _TABLE),)
        case 9:
            outputs = (JobOutput("x" * (MAX_MESSAGE_BYTES + 1), _TABLE),)
        case 10:
            _mark(directory, request)
            threading.Event().wait(HOLD_DEADLINE_SECONDS)
        case 11:
            (directory / "modules").write_text("\n".join(sorted(sys.modules)))
        case 12:
            _speak(request, grant)
    done = FlushDone if isinstance(request, FlushRequest) else CompactionDone
    return done(request.job, request.attempt, outputs, _COST)


def mark_name(job: int, attempt: int = 1) -> str:
    """The file that tells that an attempt at a job runs; it holds the process id."""
    return f"running-{job}-{attempt}"


def _mark(directory: Path, request: Request) -> None:
    partial = directory / f"partial-{request.job}-{request.attempt}"
    partial.write_text(str(os.getpid()))
    partial.rename(directory / mark_name(request.job, request.attempt))


def _hold(directory: Path, grant: Callable[[int], None]) -> None:
    pause = threading.Event()
    deadline = time.monotonic() + HOLD_DEADLINE_SECONDS
    while not (directory / "release").exists() and time.monotonic() < deadline:
        grant(0)
        pause.wait(0.002)


def _speak(request: Request, grant: Callable[[int], None]) -> None:
    import logging

    grant(0)
    logging.getLogger("lsmproc.stand_in").info("a word from job %d", request.job)
    warnings.warn("a stand-in warns", UserWarning, stacklevel=1)


def _write(size: int, grant: Callable[[int], None]) -> None:
    for _ in range(size // 4096):
        grant(4096)


def _size(request: Request) -> int:
    return request.segments[0].end if isinstance(request, FlushRequest) else request.droppable_below
