"""The seam through which owner and workers reach the disk: every file operation is a method of one object.

A ``FileSystem`` is bound to one store's directory and takes names relative to it, so that no other module joins
paths and no operation can leave the directory. Tests put another object in its place to count, fail, delay or
lose operations. What it promises beyond the system calls of the same names:

* files are created 0600 and directories 0700 whatever the umask, and symbolic links are never followed;
* only regular files are opened: a pipe or a device in the place of one is refused, and not waited for;
* a descriptor handed out is never 0, 1 or 2, so stray output to a closed stderr cannot land in a table;
* a failed call raises ``StorageError`` (``NoSpaceError`` for ENOSPC and EDQUOT) naming the file; a file that is
  missing, or in the way, raises the built-in ``FileNotFoundError`` or ``FileExistsError``. The two calls of the
  hot paths, ``pread`` and ``pwrite``, raise what the system call raises.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from lsmproc.errors import NoSpaceError, StorageError

READ = os.O_RDONLY
READ_WRITE = os.O_RDWR
CREATE_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL

_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700
_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # Without the last, opening a named pipe waits for its writer.


class FileSystem(Protocol):
    """What the engine asks of a disk. Names are relative to the store's directory."""

    path: str

    def open(self, name: str, flags: int) -> int:
        """Open a file (READ, READ_WRITE or CREATE_NEW) and return its descriptor."""

    def close(self, fd: int) -> None:
        """Close a descriptor."""

    def pread(self, fd: int, size: int, offset: int, /) -> bytes:
        """Up to ``size`` bytes from ``offset``; fewer only at the end of the file."""

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int, /) -> int:
        """Write at ``offset``, return how many bytes were taken: may be fewer than given, as the system call."""

    def write_all(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``, however many calls it takes."""

    def fdatasync(self, fd: int) -> None:
        """Make the file's bytes and size durable."""

    def drop_cached(self, fd: int, offset: int, size: int) -> None:
        """Let go of what memory holds of the file there and need not write to the disk any more; a hint."""

    def allocate(self, fd: int, size: int) -> None:
        """Reserve ``size`` bytes of disk for the file; they read as zeros."""

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file to ``size`` bytes."""

    def size(self, fd: int) -> int:
        """Bytes of the open file."""

    def rename(self, source: str, target: str) -> None:
        """Rename, replacing the target. Durable only after :meth:`sync_directory`."""

    def unlink(self, name: str) -> None:
        """Remove a file. Durable only after :meth:`sync_directory`."""

    def link(self, name: str, directory: str) -> None:
        """Give a file the same name in another directory as well. Durable only when that directory is synced."""

    def sync_directory(self, name: str = ".") -> None:
        """Make the names in a directory durable."""

    def make_directory(self, name: str) -> None:
        """Create a directory if it is not there."""

    def list_directory(self, name: str = ".") -> list[str]:
        """Names in a directory, sorted; empty if there is no such directory."""

    def lock(self, fd: int, *, shared: bool = False) -> bool:
        """Take the lock on an open file; False if another open file holds it (exclusively, if ``shared``)."""

    def unlock(self, fd: int) -> None:
        """Let go of the lock, for every descriptor of the same open file: also for those of forked children."""

    def now_ns(self) -> int:
        """Wall clock in nanoseconds: orders nothing on its own, only stamps."""

    def shut(self) -> None:
        """Give the directory's descriptor back. Idempotent."""


class PosixFileSystem:
    """The real disk: one directory, through its descriptor."""

    def __init__(self, path: str) -> None:
        """Bind to the directory ``path``, which must exist."""
        self.path = path
        self._names: dict[int, str] = {}  # of the open descriptors
        with _named_errors(path):
            self._directory = _above_stderr(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    # The two calls of the hot paths are the system calls themselves: no Python frame in between.
    pread: staticmethod[[int, int, int], bytes] = staticmethod(os.pread)
    pwrite: staticmethod[[int, bytes | memoryview, int], int] = staticmethod(os.pwrite)
    now_ns: staticmethod[[], int] = staticmethod(time.time_ns)

    def open(self, name: str, flags: int) -> int:
        """See FileSystem.open."""
        with _named_errors(name):
            fd = _regular(_above_stderr(os.open(name, flags | _ALWAYS, _FILE_MODE, dir_fd=self._directory)))
            self._names[fd] = name
            if flags & os.O_CREAT:
                os.fchmod(fd, _FILE_MODE)
            return fd

    def close(self, fd: int) -> None:
        """See FileSystem.close. The descriptor is given back even if this raises."""
        with _named_errors(self._names.pop(fd, self._name_of(fd))):
            os.close(fd)

    def write_all(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """See FileSystem.write_all. REQUIRES: data is bytes-like with one byte per item."""
        view = memoryview(data)
        with _named_errors(self._name_of(fd)):
            while view:
                written = self.pwrite(fd, view, offset)
                if not written:
                    raise OSError(errno.EIO, "the file takes no bytes")
                view = view[written:]
                offset += written

    def fdatasync(self, fd: int) -> None:
        """See FileSystem.fdatasync. macOS flushes the drive's cache only on F_FULLFSYNC."""
        with _named_errors(self._name_of(fd)):
            if hasattr(fcntl, "F_FULLFSYNC"):
                fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            else:
                os.fdatasync(fd)

    def drop_cached(self, fd: int, offset: int, size: int) -> None:
        """See FileSystem.drop_cached."""
        if hasattr(os, "posix_fadvise"):
            with _named_errors(self._name_of(fd)):
                os.posix_fadvise(fd, offset, size, os.POSIX_FADV_DONTNEED)

    def allocate(self, fd: int, size: int) -> None:
        """See FileSystem.allocate."""
        with _named_errors(self._name_of(fd)):
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, size)
            else:
                os.ftruncate(fd, size)

    def truncate(self, fd: int, size: int) -> None:
        """See FileSystem.truncate."""
        with _named_errors(self._name_of(fd)):
            os.ftruncate(fd, size)

    def size(self, fd: int) -> int:
        """See FileSystem.size."""
        with _named_errors(self._name_of(fd)):
            return os.fstat(fd).st_size

    def rename(self, source: str, target: str) -> None:
        """See FileSystem.rename."""
        with _named_errors(source):
            os.rename(source, target, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def unlink(self, name: str) -> None:
        """See FileSystem.unlink."""
        with _named_errors(name):
            os.unlink(name, dir_fd=self._directory)

    def link(self, name: str, directory: str) -> None:
        """See FileSystem.link."""
        with _named_errors(name):
            os.link(name, os.path.join(directory, name), src_dir_fd=self._directory, follow_symlinks=False)

    def sync_directory(self, name: str = ".") -> None:
        """See FileSystem.sync_directory."""
        with _named_errors(name):
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _ALWAYS, dir_fd=self._directory)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def make_directory(self, name: str) -> None:
        """See FileSystem.make_directory."""
        with _named_errors(name):
            try:
                os.mkdir(name, _DIRECTORY_MODE, dir_fd=self._directory)
            except FileExistsError:
                # Files made below a link would stand wherever it leads.
                if not stat.S_ISDIR(os.stat(name, dir_fd=self._directory, follow_symlinks=False).st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from None
            else:
                os.chmod(name, _DIRECTORY_MODE, dir_fd=self._directory)  # The umask took its part of the mode.

    def list_directory(self, name: str = ".") -> list[str]:
        """See FileSystem.list_directory."""
        with _named_errors(name):
            try:
                fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _ALWAYS, dir_fd=self._directory)
            except FileNotFoundError:
                return []
            try:
                return sorted(os.listdir(fd))
            finally:
                os.close(fd)

    def lock(self, fd: int, *, shared: bool = False) -> bool:
        """See FileSystem.lock. flock, not lockf: a POSIX lock is lost when any descriptor of the file closes."""
        with _named_errors(self._name_of(fd)):
            try:
                fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def unlock(self, fd: int) -> None:
        """See FileSystem.unlock."""
        with _named_errors(self._name_of(fd)):
            fcntl.flock(fd, fcntl.LOCK_UN)

    def shut(self) -> None:
        """Give the directory's descriptor back; the object is not usable afterwards."""
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _name_of(self, fd: int) -> str:
        return self._names.get(fd) or f"descriptor {fd} in {self.path}"


def make_store_directory(path: str) -> None:
    """Create ``path`` and its parents as needed, 0700 whatever the umask, so that their names survive power loss.

    The name of a directory that is there and empty is synced as well: its maker may have died before that.
    Raises StorageError.
    """
    levels = [path]
    while not os.path.isdir(levels[-1]) and (parent := _parent_of(levels[-1])) != levels[-1]:
        levels.append(parent)
    for level in reversed(levels):
        with _named_errors(level):
            made = _make_level(level)
            if made or _is_empty(level):
                _sync_name(level, required=made)


def remove_directory(path: str) -> None:
    """Remove an empty directory, and make that survive power loss where it can. Raises StorageError."""
    with _named_errors(path):
        os.rmdir(path)
    _sync_name(path, required=False)


def _parent_of(path: str) -> str:
    return os.path.dirname(path.rstrip(os.sep)) or (os.sep if path.startswith(os.sep) else os.curdir)


def _make_level(path: str) -> bool:
    """Create one directory; False if it is there."""
    if os.path.isdir(path):
        return False
    try:
        os.mkdir(path, _DIRECTORY_MODE)
    except FileExistsError as error:
        if os.path.isdir(path):
            return False  # Another process was quicker.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from error
    os.chmod(path, _DIRECTORY_MODE)
    return True


def _is_empty(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except PermissionError:
        return False  # What can be searched only was made by somebody else.


def _sync_name(path: str, *, required: bool) -> None:
    """Sync the directory above; unless ``required``, only if it can be: it may be somebody else's, or read-only."""
    try:
        parent = PosixFileSystem(_parent_of(path))
        try:
            parent.sync_directory()
        finally:
            parent.shut()
    except StorageError as error:
        if required or error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL}:
            raise


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Turn an OSError into a StorageError that names the file; a missing or existing file stays what it is."""
    try:
        yield
    except (StorageError, FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        raise storage_error(error, name) from error


def storage_error(error: OSError, name: str) -> StorageError:
    """The error of this package for what the operating system said about the file ``name``."""
    if isinstance(error, StorageError):
        return error
    kind = NoSpaceError if error.errno in {errno.ENOSPC, errno.EDQUOT} else StorageError
    remedy = _READ_ONLY_REMEDY if error.errno == errno.EROFS else ""
    return kind(error.errno, f"{error.strerror}{remedy}", name)


_READ_ONLY_REMEDY = "; to read a store there, open it with read_only=True or with lsmproc.open_follower()"


def _regular(fd: int) -> int:
    """``fd`` again; if it is no regular file, raise and close it."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "it is not a regular file")


def _above_stderr(fd: int) -> int:
    """Move a descriptor out of 0 to 2, where stray prints of the host program would land in it."""
    if fd > 2:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return moved
