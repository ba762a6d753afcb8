"""Descriptors of immutable files: a bounded number is open, and none is closed under a read.

Each table asks :class:`OpenFiles` for its descriptor when it needs one. Above the capacity, the pool takes the
descriptor of a table that was not read lately away again; that table opens its file anew at its next read. "Taking
away" only drops references: a reading thread holds its own, and the descriptor closes when the last one is gone.
"""

from __future__ import annotations

import errno
from collections import deque
from threading import RLock
from typing import Protocol

from lsmproc.errors import StorageError
from lsmproc.storage.file_system import READ, FileSystem


class OpenFile:
    """One open descriptor; closes itself when nobody refers to it any more."""

    __slots__ = ("_fs", "fd", "used")

    def __init__(self, fs: FileSystem, name: str) -> None:
        """Open ``name`` for reading; raises StorageError."""
        self._fs = fs
        self.used: bool = True  # since the pool last looked; set by readers without a lock
        self.fd: int = -1
        self.fd = fs.open(name, READ)

    def __del__(self) -> None:
        """Close the descriptor."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            self._fs.close(fd)


class FileOwner(Protocol):
    """Whoever keeps an OpenFile for reading: the pool sets ``file`` to None to take it away."""

    file: OpenFile | None


class OpenFiles:
    """Bounds the open files of all their owners: second chance (CLOCK), so that reads need no lock."""

    def __init__(self, capacity: int) -> None:
        """Keep up to ``capacity`` files open, at least one."""
        self.capacity: int = max(1, capacity)
        self._lock = RLock()  # reentrant: a table that is collected as garbage gives its file back anywhere
        self._owners: deque[FileOwner] = deque()

    def __len__(self) -> int:
        """How many owners have an open file."""
        return len(self._owners)

    def open(self, fs: FileSystem, name: str, owner: FileOwner) -> OpenFile:
        """Open a file for ``owner`` and remember it, taking another owner's away when there are too many."""
        with self._lock:
            if owner.file is not None:  # another thread was faster
                return owner.file
            while len(self._owners) >= self.capacity:
                self._take_one()
            try:
                file = OpenFile(fs, name)
            except StorageError as error:
                if error.errno not in {errno.EMFILE, errno.ENFILE} or not self._owners:
                    raise
                # The program needs more descriptors than it left to this pool: be content with fewer.
                for _ in range((len(self._owners) + 1) // 2):
                    self._take_one()
                file = OpenFile(fs, name)
            owner.file = file
            self._owners.append(owner)
            return file

    def forget(self, owner: FileOwner) -> None:
        """Drop the file of an owner that closes. Idempotent."""
        with self._lock:
            owner.file = None
            if owner in self._owners:
                self._owners.remove(owner)

    def _take_one(self) -> None:
        """Take the file of the first owner that was not read since the last look; after one round, of the first."""
        for _ in range(len(self._owners)):
            owner = self._owners.popleft()
            file = owner.file
            if file is None:
                return
            if not file.used:
                owner.file = None
                return
            file.used = False
            self._owners.append(owner)
        self._owners.popleft().file = None
