"""Writing one segment of the log with ``pwrite``: one system call for each commit.

A commit that reached ``pwrite`` survives the death of the process; one that was synced survives power loss. A
segment's file is made ahead of its use (:meth:`PwriteWal.__init__`); it becomes part of the log when its header is
written (:meth:`PwriteWal.begin`). Recovery removes files that never got a header.

Space is allocated a few mebibytes ahead of the end: syncs then have no growth of the file to record, and a store that
is not written holds little that it does not use.
"""

from __future__ import annotations

from contextlib import suppress
from zlib import crc32

from lsmproc.errors import DurabilityError, StorageError
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

_STEP_BYTES = 4 << 20
_NEVER = 1 << 63


class PwriteWal:
    """One segment. The caller serialises all methods but ``sync``.

    Attributes:
        number: file number of the segment.
        end: bytes written so far, header included.
        durable_end: bytes that need no sync: those that were synced, and a promise right behind them.
        synced_end: bytes known to survive power loss.
        sealed: no commit can follow.
        doubtful: an append raised, and whether its frame is in the file or not is not known.
    """

    def __init__(self, fs: FileSystem, number: int, allocate_bytes: int) -> None:
        """Create the segment's file, without a header. Raises StorageError, and then leaves no file.

        ``allocate_bytes``: how long the segment will be, if it is to have its space ahead of its end, or 0.
        """
        self.number = number
        self.name: str = wal_name(number)
        self.durable_end: int = 0
        self.synced_end: int = 0
        self.sealed: bool = False
        self.doubtful: bool = False
        self._fs = fs
        self._pwrite = fs.pwrite
        # End, checksum and last sequence change together: one attribute, so that an exception that arrives
        # between two instructions finds them all old or all new.
        self._tip = (0, 0, 0)
        self._seed = 0
        self._room = min(allocate_bytes, _STEP_BYTES) if allocate_bytes else _NEVER  # allocated up to here
        self._allocate_bytes = allocate_bytes
        self._fd = fs.open(self.name, CREATE_NEW)
        try:
            if allocate_bytes:
                fs.allocate(self._fd, self._room)
        except BaseException:
            # A failed fallocate can leave a partly grown file behind.
            self.close()
            fs.unlink(self.name)
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
        """Write the header: from here on the segment is part of the log. ``last_sequence``: of the commit before."""
        encoded = encode_header(header)
        self._fs.write_all(self._fd, encoded, 0)
        self._seed = chain_seed(encoded)
        self._tip = (HEADER_SIZE, self._seed, last_sequence)

    def append(self, body: bytes, sequence: int) -> int:
        """Append one frame, return the new end.

        After an error the segment ends as before. After an interrupt it ends as before or with the whole frame, as
        ``end`` and ``last_sequence`` say, or it is ``doubtful``.
        """
        end, checksum, _ = self._tip
        checksum = crc32(body, checksum)
        whole = pack_frame_head(FRAME_MARK, checksum) + body
        try:
            written = self._pwrite(self._fd, whole, end)
            if written != len(whole):
                self._fs.write_all(self._fd, memoryview(whole)[written:], end + written)
            end += len(whole)
            self._tip = (end, checksum, sequence)
            if end > self._room:
                self._make_room(end)
        except OSError as error:
            # Less than the frame was written, which will never check; a full disk may refuse this byte as well.
            with suppress(StorageError):
                self._take_back()
            raise storage_error(error, self.name) from error
        except BaseException:
            self.doubtful = True
            if not self._keep(whole, checksum, sequence):
                self._take_back()
            self.doubtful = False
            raise
        return end

    def sync(self) -> int:
        """Make every frame appended before the call durable; returns the end that this covers.

        May run beside ``append``. Follow it with :meth:`promise` under the caller's lock.
        Raises DurabilityError: the segment must not be synced again, see errors.DurabilityError.
        """
        end = self.end
        if end > self.durable_end:
            try:
                self._fs.fdatasync(self._fd)
            except OSError as error:
                raise DurabilityError(
                    error.errno, f"the log could not be synced: {error.strerror}", self.name
                ) from error
            self.synced_end = end
        return end

    def promise(self, durable_end: int) -> None:
        """Leave in the log that it is durable up to ``durable_end``, so that damage below is told from a torn tail."""
        if durable_end > self.durable_end:
            start, _, sequence = self._tip
            end = self.append(promise_body(sequence, self._seed, durable_end), sequence)
            # The promise itself needs no sync: nothing is lost with it. But commits between need one.
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
        self._fs.truncate(self._fd, self.end)

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._fs.close(fd)

    def _make_room(self, end: int) -> None:
        """Allocate the next step. It only helps: where there is no space, the append that needs it will tell."""
        room = min(end + _STEP_BYTES, self._allocate_bytes)
        self._room = room if room > end else _NEVER
        if room > end:
            with suppress(StorageError):
                self._fs.allocate(self._fd, room)

    def _keep(self, whole: bytes, checksum: int, sequence: int) -> bool:
        """Count the frame of an interrupted append if all of it is in the file, where others may have read it."""
        end = self._tip[0]
        try:
            found = self._fs.pread(self._fd, len(whole), end)
        except (OSError, MemoryError):
            return False  # To take it back needs neither a file that can be read nor memory.
        if found == whole:
            self._tip = (end + len(whole), checksum, sequence)
        return found == whole

    def _take_back(self) -> None:
        """Make sure that no half-written frame is ever replayed: a zero byte never begins a frame.

        Needs no memory, as there may be none: see MemoryError in ``append``.
        """
        try:
            self._pwrite(self._fd, b"\0", self._tip[0])
        except OSError as error:
            raise storage_error(error, self.name) from error
