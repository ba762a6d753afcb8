"""Tables in two directories at once: by a hard link, or by a copy where the file system has no link to give."""

from __future__ import annotations

import errno

from lsmproc.errors import StorageError
from lsmproc.storage.file_system import CREATE_NEW, READ, FileSystem, storage_error

_COPY_BYTES = 1 << 20
# Another file system, one without hard links, one that forbids them, or too many links to one file.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def link_or_copy(source: FileSystem, target: FileSystem, name: str) -> bool:
    """Have the file ``name`` of ``source`` in ``target`` as well; whether it is a link. Raises StorageError.

    A copy is synced; the name in ``target`` is not.
    """
    try:
        source.link(name, target.path)
    except StorageError as error:
        if error.errno not in _NO_LINK:
            raise
        _copy(source, target, name)
        return False
    return True


def _copy(source: FileSystem, target: FileSystem, name: str) -> None:
    read_fd = source.open(name, READ)
    try:
        write_fd = target.open(name, CREATE_NEW)
        try:
            offset = 0
            while data := _read(source, read_fd, name, offset):
                target.write_all(write_fd, data, offset)
                offset += len(data)
            target.fdatasync(write_fd)
        finally:
            target.close(write_fd)
    finally:
        source.close(read_fd)


def _read(source: FileSystem, fd: int, name: str, offset: int) -> bytes:
    try:
        return source.pread(fd, _COPY_BYTES, offset)
    except OSError as error:
        raise storage_error(error, name) from error
