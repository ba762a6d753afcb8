"""A file system in memory that can only be read: a decoder meets ten thousand files in the time of one on disk."""

from __future__ import annotations

from lsmproc.storage.file_system import FileSystem


class MemoryFiles:
    """Files by name. As much of a FileSystem as reading takes."""

    def __init__(self, **files: bytes) -> None:
        """Hold ``files``; more can be set in ``files``."""
        self.path = "/memory"
        self.files = dict(files)
        self._open: list[bytes] = []

    def open(self, name: str, flags: int) -> int:
        if name not in self.files:
            raise FileNotFoundError(2, "no such file", name)
        self._open.append(self.files[name])
        return len(self._open) - 1

    def close(self, fd: int) -> None:
        self._open[fd] = b""

    def size(self, fd: int) -> int:
        return len(self._open[fd])

    def pread(self, fd: int, size: int, offset: int, /) -> bytes:
        if size < 0 or offset < 0 or offset + size >= 1 << 63:
            raise OverflowError("no system call takes this")
        return self._open[fd][offset : offset + size]


def memory_files(**files: bytes) -> FileSystem:
    """A MemoryFiles, for those who ask for a FileSystem."""
    return MemoryFiles(**files)  # type: ignore[return-value]
