"""A file system that writes down what is done to it, in the order in which it is done."""

from __future__ import annotations

import os
from typing import Any

from lsmproc.storage.file_system import PosixFileSystem

Operation = tuple[str, str]  # what was done, and the name of the file


class RecordingDisk:
    """Makes file systems of the same record: those of the store and those of its jobs."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def open(self, path: str) -> RecordingFileSystem:
        """The ``open_file_system`` of an Env."""
        return RecordingFileSystem(path, self.operations)

    def count(self, what: str) -> int:
        """How often something was done."""
        return sum(operation == what for operation, _ in self.operations)


class RecordingFileSystem:
    """The real disk, with a record of each write, sync, rename and removal."""

    def __init__(self, path: str, operations: list[Operation]) -> None:
        self._disk = PosixFileSystem(path)
        self._operations = operations
        self._names: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)

    def open(self, name: str, flags: int) -> int:
        fd = self._disk.open(name, flags)
        self._names[fd] = name
        if flags & os.O_CREAT:
            self._operations.append(("create", name))
        return fd

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int, /) -> int:
        self._operations.append(("write", self._names[fd]))
        return self._disk.pwrite(fd, data, offset)

    def write_all(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self._operations.append(("write", self._names[fd]))
        self._disk.write_all(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        self._operations.append(("sync", self._names[fd]))
        self._disk.fdatasync(fd)

    def rename(self, source: str, target: str) -> None:
        self._operations.append(("rename", target))
        self._disk.rename(source, target)

    def unlink(self, name: str) -> None:
        self._operations.append(("unlink", name))
        self._disk.unlink(name)

    def sync_directory(self, name: str = ".") -> None:
        self._operations.append(("sync directory", name))
        self._disk.sync_directory(name)
