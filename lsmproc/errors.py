"""Every error that lsmproc raises on purpose.

A new type exists only where the caller would act differently; each message says what to do next::

Error:
    ├── ClosedError (RuntimeError)             the handle is closed: open the store again
    │   └── ForkedHandleError                  the handle belongs to the parent of this forked process
    ├── LockedError (OSError)                  another process or handle owns the directory
    ├── NotAStoreError (OSError)               the directory holds no store, or holds one unexpectedly
    ├── ReadOnlyError (PermissionError)        a write on a read-only handle
    ├── StorageError (OSError)                 the operating system refused a file operation
    │   ├── NoSpaceError                       the disk is full: nothing acknowledged was lost
    │   └── DurabilityError                    a sync failed: writes stop until the store is opened again
    ├── CorruptionError                        bytes on disk are not what was written there
    ├── ConfigError (ValueError)               every problem of a configuration, at once
    ├── RecordTooLargeError (ValueError)       a key, value or batch above its documented limit
    ├── WriteStallTimeout (TimeoutError)       a write's deadline passed while writes were stalled
    └── BackgroundError                        a flush or compaction failed for good
        └── WorkerDiedError                    ... because its worker process died

Wrong types raise the built-in ``TypeError``, a missing key asked for with ``db[key]`` the built-in ``KeyError``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

__all__ = [
    "BackgroundError",
    "ClosedError",
    "ConfigError",
    "CorruptionError",
    "DurabilityError",
    "Error",
    "ForkedHandleError",
    "LockedError",
    "NoSpaceError",
    "NotAStoreError",
    "ReadOnlyError",
    "RecordTooLargeError",
    "StorageError",
    "WorkerDiedError",
    "WriteStallTimeout",
]


# What can be done about damaged files; ends the messages that tell of them.
DAMAGE_REMEDY = "restore it from a backup, or save the rest with lsmproc repair"


class Error(Exception):
    """Base of all errors that lsmproc raises on purpose."""


class ClosedError(Error, RuntimeError):
    """The store, snapshot, iterator or batch is closed."""


class ForkedHandleError(ClosedError):
    """The handle was opened in another process; open the store again in this one."""


class LockedError(Error, OSError):
    """Another owner holds the directory.

    Attributes:
        owner: what the LOCK file tells of the holder, as text; empty when it tells nothing.
    """

    def __init__(self, message: str, *, owner: str = "") -> None:
        super().__init__(message)
        self.owner = owner


class NotAStoreError(Error, OSError):
    """The directory holds no store where one was expected, or the other way round."""


class ReadOnlyError(Error, PermissionError):
    """A write was asked of a handle opened with ``read_only=True``."""


class StorageError(Error, OSError):
    """The operating system refused a file operation; ``errno`` and ``filename`` are those of the original."""


class NoSpaceError(StorageError):
    """The disk is full (or a quota is reached). Nothing acknowledged was lost; free space and try again."""


class DurabilityError(StorageError):
    """A sync failed, so the kernel may have dropped data it took. Writes stop, reads go on; open the store again."""


class CorruptionError(Error):
    """Bytes on disk are not what was written there.

    Attributes:
        file: name of the damaged file.
        offset: byte offset of the first bad byte that is known, or None when the whole file is meant.
    """

    def __init__(self, message: str, *, file: str = "", offset: int | None = None) -> None:
        place = file if offset is None else f"{file} at byte {offset}"
        super().__init__(f"{place}: {message}" if place else message)
        self.file = file
        self.offset = offset


class ConfigError(Error, ValueError):
    """A configuration is not usable.

    Attributes:
        problems: one sentence for each problem found, in the order of the options.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        super().__init__("; ".join(self.problems))

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[str, ...]]]:
        """Pickle by the problems: the text alone would be taken apart into characters."""
        return type(self), (self.problems,)


class RecordTooLargeError(Error, ValueError):
    """A key, a value or a batch is above its documented limit; nothing was written."""


class WriteStallTimeout(Error, TimeoutError):  # noqa: N818 - it is a timeout, as the built-in one
    """Writes were stalled for longer than this write was willing to wait; nothing was written."""


class BackgroundError(Error):
    """A flush or a compaction failed for good: writes raise this, reads go on.

    Attributes:
        job: the job in words, with its input files.
        remote_traceback: the traceback in the worker as text, or an empty string.
    """

    def __init__(self, message: str, *, job: str = "", remote_traceback: str = "") -> None:
        super().__init__(message)
        self.job = job
        self.remote_traceback = remote_traceback


class WorkerDiedError(BackgroundError):
    """The worker process of a job died on every attempt."""


def copy_of(failure: Error) -> Error:
    """A fresh copy of an error that many callers will raise, each with its own traceback."""
    if isinstance(failure, StorageError):
        return type(failure)(failure.errno, failure.strerror, failure.filename)
    if isinstance(failure, BackgroundError):
        return type(failure)(str(failure), job=failure.job, remote_traceback=failure.remote_traceback)
    return type(failure)(*failure.args)
