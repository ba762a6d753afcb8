"""Reads around bad sectors: what the disk cannot read comes back as zeros, which no checksum takes for data."""

from __future__ import annotations

import errno

from lsmproc.storage.file_system import FileSystem, storage_error

_SECTOR_BYTES = 4096


def read_what_can_be(fs: FileSystem, fd: int, name: str, size: int, offset: int) -> tuple[bytes, int]:
    """Up to ``size`` bytes from ``offset``, and how many of them could not be read. Raises StorageError.

    Only an input/output error is read around; any other means that no byte of the file can be had.
    """
    try:
        return fs.pread(fd, size, offset), 0
    except OSError as error:
        if error.errno != errno.EIO:
            raise storage_error(error, name) from error
    parts: list[bytes] = []
    unread = 0
    place, end = offset, min(offset + size, fs.size(fd))
    while place < end:
        count = min(_SECTOR_BYTES - place % _SECTOR_BYTES, end - place)
        try:
            parts.append(fs.pread(fd, count, place))
        except OSError as error:
            if error.errno != errno.EIO:
                raise storage_error(error, name) from error
            parts.append(bytes(count))
            unread += count
        place += count
    return b"".join(parts), unread
