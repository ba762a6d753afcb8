"""A file system in which one operation is armed: there the process dies, or the operation fails, once.

The parent of the rig writes which point is armed into a file beside the store. The owner reads it when it is told to,
and each job of a worker when it begins. Whoever comes to the point first leaves a second file there, so that exactly
one process is hit, and the parent knows.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

from lsmproc.errors import StorageError
from lsmproc.storage.file_system import CREATE_NEW, READ, PosixFileSystem, storage_error
from lsmproc.stress.points import POINTS, Point, file_kind

_ARMED = "armed"
_HIT = "hit"
_MOST_BYTES = 4096
_ERRNO = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}


@dataclass(frozen=True, slots=True)
class Armed:
    """What is armed."""

    point: str
    token: int  # of this arming: whatever a worker remembers of another one does not count
    skip: int  # operations of the kind that pass first
    share: float  # of the bytes that a write takes before it breaks off
    delay_seconds: float

    @classmethod
    def read(cls, root: str, role: str) -> Self | None:
        """What is armed for a role beside the store in ``root``; None if nothing is."""
        fs = PosixFileSystem(root)
        try:
            fd = fs.open(_ARMED, READ)
            try:
                found = cls(**json.loads(fs.pread(fd, _MOST_BYTES, 0)))
            finally:
                fs.close(fd)
        except FileNotFoundError:
            return None
        finally:
            fs.shut()
        return found if POINTS[found.point].role == role else None


def arm(root: str, armed: Armed) -> None:
    """Write down what is armed."""
    fs = PosixFileSystem(root)
    try:
        fd = fs.open(f"{_ARMED}-{armed.token}", CREATE_NEW)
        try:
            fs.write_all(fd, json.dumps(asdict(armed)).encode(), 0)
        finally:
            fs.close(fd)
        fs.rename(f"{_ARMED}-{armed.token}", _ARMED)
    finally:
        fs.shut()


def disarm(root: str) -> None:
    """Nothing is armed from now on; a job that has begun may still come to its point."""
    fs = PosixFileSystem(root)
    try:
        if _ARMED in fs.list_directory():
            fs.unlink(_ARMED)
    finally:
        fs.shut()


def was_hit(root: str, token: int) -> bool:
    """Whether anybody has come to the point that was armed so."""
    return os.path.exists(os.path.join(root, f"{_HIT}-{token}"))


class Trigger:
    """Counts the operations of one process, and acts at the armed one. Thread-safe."""

    def __init__(self, root: str, armed: Armed | None = None) -> None:
        """Act in processes whose store lies in ``root``."""
        self._root = root
        self._lock = threading.Lock()
        self.point: Point | None = None
        if armed is not None:
            self.arm(armed)

    def arm(self, armed: Armed) -> None:
        """From now on this point."""
        with self._lock:
            self._armed = armed
            self._skip = armed.skip
            self.point = POINTS[armed.point]

    def perform(self, operation: str, name: str, call: Callable[[], Any]) -> Any:
        """Do ``call``, which is ``operation`` on the file ``name``, or what happens in its place."""
        point = self.point
        if point is None or point.operation != operation or point.file != file_kind(name) or not self._claimed(point):
            return call()
        if point.moment == "before":
            _die()
        if point.moment == "delay":
            threading.Event().wait(self._armed.delay_seconds)
        elif point.moment in _ERRNO:
            raise OSError(_ERRNO[point.moment], f"{os.strerror(_ERRNO[point.moment])} (armed)", name)
        result = call()
        if point.moment == "after":
            _die()
        return result

    def write(self, name: str, write: Callable[[Any], int], data: Any) -> int:
        """As perform, for a write, which can break off in the middle."""
        point = self.point
        if point is None or point.operation != "write" or point.moment in {"before", "after", "delay"}:
            return int(self.perform("write", name, lambda: write(data)))
        if point.file != file_kind(name) or not self._claimed(point):
            return write(data)
        some = int(self._armed.share * len(data))
        if point.moment == "short":
            return write(data[: max(1, some)])
        if some:
            write(data[:some])
        if point.moment == "torn":
            _die()
        raise OSError(_ERRNO[point.moment], f"{os.strerror(_ERRNO[point.moment])} (armed)", name)

    def _claimed(self, point: Point) -> bool:
        """Whether it is this operation's turn, and no other process was quicker."""
        with self._lock:
            if self.point is not point:
                return False
            if self._skip:
                self._skip -= 1
                return False
            self.point = None
        fs = PosixFileSystem(self._root)
        try:
            fs.close(fs.open(f"{_HIT}-{self._armed.token}", CREATE_NEW))
        except FileExistsError:
            return False
        finally:
            fs.shut()
        return True


class ArmedFileSystem(PosixFileSystem):
    """The real disk, through a trigger."""

    def __init__(self, path: str, trigger: Trigger) -> None:
        """Bind to the directory ``path``."""
        super().__init__(path)
        self._trigger = trigger

    def open(self, name: str, flags: int) -> int:
        """Opening a file that is there is no operation on the disk."""
        if not flags & os.O_CREAT:
            return super().open(name, flags)
        opened: int = self._perform("create", name, lambda: super(ArmedFileSystem, self).open(name, flags))
        return opened

    def pread(self, fd: int, size: int, offset: int, /) -> bytes:
        """Raises what the system call raises."""
        if self._trigger.point is None:
            return os.pread(fd, size, offset)
        data: bytes = self._trigger.perform("read", self._names.get(fd, ""), lambda: os.pread(fd, size, offset))
        return data

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int, /) -> int:
        """Raises what the system call raises."""
        if self._trigger.point is None:
            return os.pwrite(fd, data, offset)
        return self._trigger.write(self._names.get(fd, ""), lambda some: os.pwrite(fd, some, offset), data)

    def fdatasync(self, fd: int) -> None:
        """See FileSystem."""
        self._perform("fdatasync", self._names.get(fd, ""), lambda: super(ArmedFileSystem, self).fdatasync(fd))

    def allocate(self, fd: int, size: int) -> None:
        """See FileSystem."""
        self._perform("allocate", self._names.get(fd, ""), lambda: super(ArmedFileSystem, self).allocate(fd, size))

    def truncate(self, fd: int, size: int) -> None:
        """See FileSystem."""
        self._perform("truncate", self._names.get(fd, ""), lambda: super(ArmedFileSystem, self).truncate(fd, size))

    def rename(self, source: str, target: str) -> None:
        """See FileSystem."""
        self._perform("rename", target, lambda: super(ArmedFileSystem, self).rename(source, target))

    def unlink(self, name: str) -> None:
        """See FileSystem."""
        self._perform("unlink", name, lambda: super(ArmedFileSystem, self).unlink(name))

    def sync_directory(self, name: str = ".") -> None:
        """See FileSystem."""
        self._perform("sync", name, lambda: super(ArmedFileSystem, self).sync_directory(name))

    def _perform(self, operation: str, name: str, call: Callable[[], Any]) -> Any:
        """Errors of the trigger become those that the real disk's methods raise."""
        if self._trigger.point is None:
            return call()
        try:
            return self._trigger.perform(operation, name, call)
        except (StorageError, FileNotFoundError, FileExistsError):
            raise
        except OSError as error:
            raise storage_error(error, name) from error


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
