"""Writing one segment of the log through a memory map: no system call for a commit.

The alternate form of the log. It survives the death of the process as the ``pwrite`` form does and is a little
faster, at a price: a disk that turns out bad below an allocated page kills the process with SIGBUS, where
``pwrite`` would have raised. The space is therefore always allocated before it is mapped.
"""

from __future__ import annotations

import mmap
from zlib import crc32

from lsmproc.errors import DurabilityError
from lsmproc.formats.file_names import wal_name
from lsmproc.formats.log_format import (
    FRAME_MARK,
    HEADER_SIZE,
    LogHeader,
    chain_seed,
    encode_header,
    frame,
    pack_frame_head,
    promise_body,
    seal_body,
)
from lsmproc.formats.messages import SegmentEnd
from lsmproc.storage.file_system import CREATE_NEW, FileSystem, storage_error

_GROWTH_BYTES = 4 << 20


class MappedWal:
    """One segment. Methods and attributes promise what PwriteWal's do."""

    def __init__(self, fs: FileSystem, number: int, allocate_bytes: int) -> None:
        """Create, allocate and map the segment's file. Raises StorageError, and then leaves no file."""
        self.number = number
        self.name: str = wal_name(number)
        self.durable_end: int = 0
        self.synced_end: int = 0
        self.sealed: bool = False
        self.doubtful: bool = False
        self._fs = fs
        self._tip = (0, 0, 0)
        self._seed = 0
        self._size = max(allocate_bytes, _GROWTH_BYTES)
        self._fd = fs.open(self.name, CREATE_NEW)
        try:
            fs.allocate(self._fd, self._size)
            self._map = mmap.mmap(self._fd, self._size)
        except BaseException as error:
            fs.close(self._fd)
            fs.unlink(self.name)
            if isinstance(error, OSError):
                raise storage_error(error, self.name) from error
            raise

    @property
    def end(self) -> int:
        """Bytes written so far, header included."""
        return self._tip[0]

    @property
    def last_sequence(self) -> int:
        """Sequence number of the last commit in the log, this segment or the ones before."""
        return self._tip[2]

    def begin(self, header: LogHeader, last_sequence: int) -> None:
        """Write the header: from here on the segment is part of the log."""
        encoded = encode_header(header)
        self._map[:HEADER_SIZE] = encoded
        self._seed = chain_seed(encoded)
        self._tip = (HEADER_SIZE, self._seed, last_sequence)

    def append(self, body: bytes, sequence: int) -> int:
        """See PwriteWal.append."""
        start, checksum, _ = self._tip
        checksum = crc32(body, checksum)
        whole = pack_frame_head(FRAME_MARK, checksum) + body
        end = start + len(whole)
        try:
            # One byte is kept free behind the last frame, so that there is always room to take a frame back.
            if end >= self._size:
                self._grow(end)
            self._map[start:end] = whole
            self._tip = (end, checksum, sequence)
        except BaseException:
            self.doubtful = True
            if self._tip[0] == start and self._map[start:end] == whole:
                self._tip = (end, checksum, sequence)  # Others may have read it.
            else:
                self._map[self._tip[0]] = 0
            self.doubtful = False
            raise
        return end

    def sync(self) -> int:
        """Make every frame appended before the call durable; returns the end that this covers."""
        end = self.end
        if end > self.durable_end:
            try:
                # fdatasync also writes back pages dirtied through a shared map of the file.
                self._fs.fdatasync(self._fd)
            except OSError as error:
                raise DurabilityError(
                    error.errno, f"the log could not be synced: {error.strerror}", self.name
                ) from error
            self.synced_end = end
        return end

    def promise(self, durable_end: int) -> None:
        """See PwriteWal.promise."""
        if durable_end > self.durable_end:
            start, _, sequence = self._tip
            end = self.append(promise_body(sequence, self._seed, durable_end), sequence)
            self.durable_end = end if start == durable_end else durable_end

    def seal_end(self) -> SegmentEnd:
        """What ``seal`` would return, were it called next. Writes nothing."""
        end, checksum, last_sequence = self._tip
        body = seal_body(last_sequence)
        return SegmentEnd(self.number, end + len(frame(0, body)), crc32(body, checksum), last_sequence)

    def seal(self) -> SegmentEnd:
        """Append the seal and describe the finished segment. Nothing can be appended afterwards."""
        self.append(seal_body(self._tip[2]), self._tip[2])
        self.sealed = True
        end, checksum, last_sequence = self._tip
        return SegmentEnd(self.number, end, checksum, last_sequence)

    def trim(self) -> None:
        """Give back the space that was allocated and not used. Nothing can be appended afterwards."""
        self._map.close()
        self._fs.truncate(self._fd, self.end)

    def close(self) -> None:
        """Unmap and give the descriptor back. Idempotent."""
        if self._fd >= 0:
            self._map.close()
            fd, self._fd = self._fd, -1
            self._fs.close(fd)

    def _grow(self, end: int) -> None:
        size = end + _GROWTH_BYTES
        self._fs.allocate(self._fd, size)
        try:
            grown = mmap.mmap(self._fd, size)
        except OSError as error:
            raise storage_error(error, self.name) from error
        replaced, self._map = self._map, grown
        self._size = size
        replaced.close()
