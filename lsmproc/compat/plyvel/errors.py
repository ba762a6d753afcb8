"""plyvel's errors, and which of them stands for which error of lsmproc.

::

    plyvel.Error
    ├── IOError (OSError)        files: the operating system, the lock
    ├── CorruptionError          bytes on disk are not what was written there
    └── IteratorInvalidError     a raw iterator that stands on no record was asked for one

A closed handle raises RuntimeError, which is none of these; ``ClosedError`` of lsmproc is one and passes as it is.
"""

from __future__ import annotations

import os
from typing import NoReturn

from lsmproc import errors


class Error(Exception):
    """Base of the errors of this module."""


class IOError(Error, OSError):  # noqa: A001 - plyvel's name
    """The operating system refused something, or somebody else has the database open."""


class CorruptionError(Error):
    """Bytes on disk are not what was written there."""


class IteratorInvalidError(Error):
    """A raw iterator stands on no record."""


def reraise(error: errors.Error) -> NoReturn:
    """Raise the error of plyvel for one of lsmproc, with that one as its cause."""
    match error:
        case errors.ClosedError():
            raise error
        case errors.StorageError():
            raise IOError(error.errno, error.strerror, error.filename) from error
        case errors.LockedError() | errors.ReadOnlyError():
            raise IOError(str(error)) from error
        case errors.CorruptionError():
            raise CorruptionError(str(error)) from error
        case _:
            raise Error(str(error)) from error


def reraise_opening(error: errors.Error, path: str) -> NoReturn:
    """As reraise, for an error of opening: LevelDB writes to a directory before it looks what is in it."""
    if isinstance(error, errors.NotAStoreError):
        if os.path.lexists(path) and not os.path.isdir(path):
            raise IOError(str(error)) from error
        if os.path.isdir(path) and not os.access(path, os.W_OK):
            raise IOError(f"{path} cannot be written to: change its permissions or the path") from error
    reraise(error)
