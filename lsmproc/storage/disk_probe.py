"""Tries what a store needs of a disk, on a temporary file: reserving space, and how long a sync takes."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

from lsmproc.errors import StorageError
from lsmproc.storage.file_system import CREATE_NEW, FileSystem

_SYNCS = 20
_WRITE_BYTES = 4096
_RESERVED_BYTES = 1 << 20
_MOST_SECONDS = 10.0  # a disk slower than that is known well enough after fewer syncs


@dataclass(frozen=True, slots=True)
class SyncTimes:
    """Seconds that some syncs took, each after a write of 4 KiB."""

    median: float
    longest: float
    count: int


@dataclass(frozen=True, slots=True)
class ProbedDisk:
    """What the probe saw."""

    reserve_error: str  # why no space could be reserved; empty if it could
    reserved_bytes: int  # of the mebibyte that was asked for
    fsync: SyncTimes
    fdatasync: SyncTimes


def probe_disk(fs: FileSystem, clock: Callable[[], float] = time.perf_counter) -> ProbedDisk:
    """Write, sync and remove one file. Raises StorageError if it cannot even be made or written."""
    name = f".lsmproc-doctor-{secrets.token_hex(8)}"
    fd = fs.open(name, CREATE_NEW)
    try:
        error = ""
        try:
            fs.allocate(fd, _RESERVED_BYTES)
        except StorageError as refused:
            error = refused.strerror or str(refused)
        reserved = os.fstat(fd).st_blocks * 512
        fs.truncate(fd, 0)
        fsync = _timed(fs, fd, lambda: os.fsync(fd), clock)
        fdatasync = _timed(fs, fd, lambda: fs.fdatasync(fd), clock)
        return ProbedDisk(error, reserved, fsync, fdatasync)
    finally:
        fs.close(fd)
        with suppress(FileNotFoundError):
            fs.unlink(name)


def _timed(fs: FileSystem, fd: int, sync: Callable[[], None], clock: Callable[[], float]) -> SyncTimes:
    """Append and sync: appending makes the file grow, as a table and a manifest do."""
    seconds: list[float] = []
    begun = clock()
    while len(seconds) < _SYNCS and clock() - begun < _MOST_SECONDS:
        fs.write_all(fd, os.urandom(_WRITE_BYTES), fs.size(fd))
        start = clock()
        sync()
        seconds.append(clock() - start)
    return SyncTimes(median(seconds), max(seconds), len(seconds))
