"""Copies a store's directory cheaply, so that the copying does not disturb what is measured next.

Tables never change, so they are linked: gigabytes that the kernel would write back during the measurement stay
unwritten. Of all other files the holes are not filled: LMDB's file is as long as its map.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress

_CHUNK_BYTES = 1 << 20
_TABLES = (".sst", ".ldb")  # of the LSM systems


def copy_store(source: str, target: str) -> None:
    """Copy the directory ``source`` to ``target``, which must not exist."""
    shutil.copytree(source, target, copy_function=_copy_file)


def _copy_file(source: str, target: str) -> None:
    if source.endswith(_TABLES):
        with suppress(OSError):  # a file system without links
            os.link(source, target)
            return
    with open(source, "rb") as reader, open(target, "wb") as writer:
        size = os.fstat(reader.fileno()).st_size
        # Found beforehand: looking for them moves the position that reading uses.
        for start, stop in list(_extents(reader.fileno(), size)):
            reader.seek(start)
            writer.seek(start)
            left = stop - start
            while left > 0 and (data := reader.read(min(_CHUNK_BYTES, left))):
                left -= writer.write(data)
        writer.truncate(size)


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file holds data."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            raise
        at = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, at
