"""Writes and reads the file STATUS, a page at a time; see formats/status_page.py."""

from __future__ import annotations

import time
from typing import Any

from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import STATUS
from lsmproc.formats.status_page import SLOT_BYTES, decode_status, slot_offset
from lsmproc.storage.file_system import CREATE_NEW, READ, READ_WRITE, FileSystem

_READ_ATTEMPTS = 5
_AGAIN_SECONDS = 0.002  # a page is written in a hundredth of that


def write_page(fs: FileSystem, number: int, page: bytes) -> None:
    """Write an encoded page into its slot. Raises StorageError."""
    try:
        fd = fs.open(STATUS, READ_WRITE)
    except FileNotFoundError:
        fd = fs.open(STATUS, CREATE_NEW)
    try:
        fs.write_all(fd, page, slot_offset(number))
    finally:
        fs.close(fd)


def read_page(fs: FileSystem) -> tuple[int, dict[str, Any]]:
    """Number and content of the newest page. Raises FileNotFoundError, CorruptionError, StorageError."""
    for _ in range(_READ_ATTEMPTS - 1):
        try:
            return _read_once(fs)
        except CorruptionError:
            time.sleep(_AGAIN_SECONDS)  # The first page ever is just being written.
    return _read_once(fs)


def _read_once(fs: FileSystem) -> tuple[int, dict[str, Any]]:
    fd = fs.open(STATUS, READ)
    try:
        return decode_status(fs.pread(fd, 2 * SLOT_BYTES, 0))
    finally:
        fs.close(fd)
