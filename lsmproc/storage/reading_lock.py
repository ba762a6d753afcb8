"""The lock of a directory that is only looked at: nothing is written, not even into the LOCK file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lsmproc.errors import LockedError
from lsmproc.formats.file_names import LOCK
from lsmproc.storage.directory_lock import owner_of
from lsmproc.storage.file_system import READ, FileSystem


@contextmanager
def locked_for_reading(fs: FileSystem, remedy: str) -> Iterator[None]:
    """Hold the lock, so that no owner changes a file meanwhile. A copy of a store may have no LOCK: nobody has it.

    Raises LockedError, which ends with ``remedy``, if an owner has it.
    """
    try:
        fd = fs.open(LOCK, READ)
    except FileNotFoundError:
        yield
        return
    try:
        if not fs.lock(fd):
            owner = owner_of(fs)
            raise LockedError(
                f"{fs.path} is open, by {owner or 'another process'}: an open store changes while it is read; {remedy}",
                owner=owner,
            )
        yield
    finally:
        fs.close(fd)
