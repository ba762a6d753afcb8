"""How jobs get to the background, what their failures mean, and what it means when the background is gone."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Protocol

from lsmproc.errors import BackgroundError, CorruptionError, Error, NoSpaceError
from lsmproc.events.event import CorruptionFound, Event, JobFailing
from lsmproc.formats.messages import CompactionDone, CompactionRequest, FlushDone, FlushRequest, JobFailed
from lsmproc.protocols import Priority


class Submit(Protocol):
    """``Background.submit``, with answers delivered while the store is open only."""

    def __call__(
        self,
        request: FlushRequest | CompactionRequest,
        priority: Priority,
        on_reply: Callable[[FlushDone | CompactionDone | JobFailed], None],
        /,
    ) -> None:
        """Hand over ``request``; ``on_reply`` gets the answer on the background's callback thread."""


def publish_failure(publish: Callable[[Event], None], kind: str, failure: JobFailed) -> None:
    """Tell of an attempt at a job that failed, and of the damage it has met, if that was why."""
    publish(JobFailing(kind=kind, error=failure.error, message=failure.message))
    if failure.error == CorruptionError.__name__:
        # The file is named in the words only: they are all that comes from a worker.
        publish(CorruptionFound(file=None, offset=None, message=failure.message))


def background_closed(failure: JobFailed | None = None) -> BackgroundError:
    """The error of an open store whose background was closed."""
    job = "" if failure is None else failure.message
    return BackgroundError("the Env was closed under an open store; close the stores of an Env before the Env", job=job)


def passing_error(failure: JobFailed, directory: str) -> Error:
    """The error of a job that is tried again, for those who will not wait for that."""
    text = f"{failure.message}; it is tried again"
    if failure.error == NoSpaceError.__name__:
        return NoSpaceError(errno.ENOSPC, text, directory)
    return BackgroundError(text, job=failure.message, remote_traceback=failure.traceback)
