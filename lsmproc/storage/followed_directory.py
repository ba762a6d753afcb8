"""The directory of a store that another process owns, to be read while it changes, and never to be touched.

A FileSystem that refuses everything that would leave a trace: nothing is created, written, renamed, removed or locked
through it, so it works on a read-only mount and whatever is built on it cannot harm the store.

What it adds is *holding*: the owner removes a table as soon as it needs it no more, and a file that is open stays
readable after that. So the tables that somebody may still read are held open, one descriptor each, and opening one
again by its name finds the descriptor that is held.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import NoReturn

from lsmproc.errors import NotAStoreError, ReadOnlyError, StorageError
from lsmproc.formats.file_names import CURRENT
from lsmproc.storage.file_system import READ, FileSystem, storage_error


class FollowedDirectory:
    """See FileSystem. ``open`` and ``close`` are thread-safe; ``hold``, ``release`` and ``shut`` are the follower's."""

    now_ns: staticmethod[[], int] = staticmethod(time.time_ns)

    def __init__(self, fs: FileSystem) -> None:
        """Read through ``fs``, which is shut with this object. Raises StorageError."""
        self.path: str = fs.path
        # The hot call goes straight to the system's.
        self.pread: Callable[[int, int, int], bytes] = fs.pread
        self.size: Callable[[int], int] = fs.size
        self.list_directory: Callable[..., list[str]] = fs.list_directory
        self._fs = fs
        self._held: dict[str, int] = {}  # descriptor by name
        self._uses: dict[int, int] = {}  # of held descriptors: by the hold itself, and by readers
        self._lock = threading.RLock()  # reentrant: a reader that is collected as garbage closes its file anywhere
        self._current = -1  # the file CURRENT that was read last; while it is open no other can have its inode
        self._inode = 0
        try:
            self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise storage_error(error, self.path) from error

    @property
    def held(self) -> frozenset[str]:
        """The names that are held."""
        return frozenset(self._held)

    def hold(self, names: Iterable[str]) -> None:
        """Keep these files readable until they are released, whatever becomes of their names.

        Raises FileNotFoundError if one is gone already, StorageError; those before it are held then.
        """
        for name in names:
            if name not in self._held:
                try:
                    fd = self._fs.open(name, READ)
                except StorageError as error:
                    if error.errno not in {errno.EMFILE, errno.ENFILE}:
                        raise
                    text = f"a follower holds every table open, {len(self._held)} so far: raise the limit (ulimit -n)"
                    raise StorageError(error.errno, text, name) from error
                self._uses[fd] = 1
                self._held[name] = fd

    def release(self, names: Iterable[str]) -> None:
        """Hold these no longer; a reader that still has one open keeps it until it closes it."""
        for name in names:
            with self._lock:
                fd = self._held.pop(name, -1)
            if fd >= 0:
                self.close(fd)

    def open(self, name: str, flags: int) -> int:
        """See FileSystem.open."""
        if flags != READ:
            self._refuse()
        with self._lock:
            fd = self._held.get(name, -1)
            if fd >= 0:
                self._uses[fd] += 1
                return fd
        return self._fs.open(name, READ)

    def close(self, fd: int) -> None:
        """See FileSystem.close."""
        with self._lock:
            uses = self._uses.get(fd, 1) - 1
            if uses:
                self._uses[fd] = uses
                return
            self._uses.pop(fd, None)
        self._fs.close(fd)

    def read_current(self, size: int) -> bytes:
        """What the file CURRENT holds, up to ``size`` bytes; ``current_is_read`` is about this file from now on.

        Raises FileNotFoundError, StorageError.
        """
        fd = self._fs.open(CURRENT, READ)
        try:
            text = self._fs.pread(fd, size, 0)
            inode = os.fstat(fd).st_ino
        except BaseException:
            self._fs.close(fd)
            raise
        replaced, self._current, self._inode = self._current, fd, inode
        if replaced >= 0:
            self._fs.close(replaced)
        return text

    def current_is_read(self) -> bool:
        """Whether CURRENT is still the file that was read last. Raises NotAStoreError if there is none any more."""
        try:
            return os.stat(CURRENT, dir_fd=self._directory, follow_symlinks=False).st_ino == self._inode
        except FileNotFoundError as error:
            raise NotAStoreError(f"the store at {self.path} is gone; close the follower") from error
        except OSError as error:
            raise storage_error(error, CURRENT) from error

    def shut(self) -> None:
        """Give back what is held, and the directory. What readers have open they close. Idempotent."""
        self.release(tuple(self._held))
        if self._current >= 0:
            fd, self._current = self._current, -1
            self._fs.close(fd)
        if self._directory >= 0:
            fd, self._directory = self._directory, -1
            os.close(fd)
        self._fs.shut()

    def forked(self) -> None:
        """In a forked child: a thread of the parent may have held the lock."""
        self._lock = threading.RLock()

    def drop_cached(self, fd: int, offset: int, size: int) -> None:
        """Nothing: what memory holds of a file is its owner's as well."""

    def _refuse(self, *_arguments: object, **_options: object) -> NoReturn:
        raise ReadOnlyError(f"a follower changes nothing in {self.path}; open the store to write")

    pwrite: Callable[..., NoReturn] = _refuse
    write_all: Callable[..., NoReturn] = _refuse
    fdatasync: Callable[..., NoReturn] = _refuse
    allocate: Callable[..., NoReturn] = _refuse
    truncate: Callable[..., NoReturn] = _refuse
    rename: Callable[..., NoReturn] = _refuse
    unlink: Callable[..., NoReturn] = _refuse
    link: Callable[..., NoReturn] = _refuse
    sync_directory: Callable[..., NoReturn] = _refuse
    make_directory: Callable[..., NoReturn] = _refuse
    lock: Callable[..., NoReturn] = _refuse
    unlock: Callable[..., NoReturn] = _refuse
