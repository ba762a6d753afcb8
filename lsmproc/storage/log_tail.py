"""Reading a log file that its owner is writing: what is new since the last look, and nothing twice.

The owner appends frame after frame, each in one ``pwrite``, and a reader may meet the last one half-written: its
checksum does not match, or zeros follow where it should go on. That is *not yet* and no damage. What tells damage is a
promise further on (see ``formats/log_format.py``): the owner leaves it after a sync, so that all before it was whole
once. A frame that was whole is never taken back, so what was read stays true.
"""

from __future__ import annotations

from collections.abc import Iterator

from lsmproc.errors import DAMAGE_REMEDY, CorruptionError
from lsmproc.formats.frame_decoding import DecodedFrames, decode_frame, decode_frames
from lsmproc.formats.log_format import (
    HEADER_SIZE,
    LogHeader,
    chain_seed,
    decode_header,
    is_seal,
    is_zeros,
)
from lsmproc.storage.file_system import READ, FileSystem, storage_error
from lsmproc.storage.wal_reader import SEQUENCES, is_blank, promised_beyond

# The first read of a look: what a busy writer appends in a few milliseconds. Each further one is twice as large.
_FIRST_BYTES = 1 << 13
_LARGEST_BYTES = 1 << 20

# How far behind the end zeros are believed to be the end. Writers of megabytes of zeros are seen a little later.
_PEEK_BYTES = 1 << 16


class LogTail:
    """One log file, open, and how far it was read.

    Attributes:
        name: of the file.
        header: of the file, as it was when it was opened.
        torn: whether the last look ended at something that is neither a frame nor zeros.
    """

    def __init__(self, fs: FileSystem, name: str, kind: int, store_uuid: bytes | None) -> None:
        """Open the file and read its header.

        Raises FileNotFoundError, StorageError, and CorruptionError if the file is not what it should be; that is
        also the answer to one without a header, see ``open_begun``.
        """
        self.name = name
        self.torn: bool = False
        self._fs = fs
        self._fd = fs.open(name, READ)
        try:
            self._header_bytes = self._pread(HEADER_SIZE, 0)
            self.header: LogHeader = decode_header(self._header_bytes, name)
            _check_header(self.header, name, kind, store_uuid)
        except BaseException:
            self.close()
            raise
        self._seed = chain_seed(self._header_bytes)
        # End, checksum, last sequence and whether it is a seal change together: one attribute, so that an interrupt
        # finds them all old or all new.
        self._place = (HEADER_SIZE, self._seed, 0, False)

    @property
    def end(self) -> int:
        """Bytes read so far, up to the end of a frame."""
        return self._place[0]

    @property
    def checksum(self) -> int:
        """Checksum of the last frame read."""
        return self._place[1]

    @property
    def last_sequence(self) -> int:
        """Sequence number of the last frame read, 0 before the first."""
        return self._place[2]

    @property
    def sealed(self) -> bool:
        """Whether the last frame read is a seal. More may follow it, if the owner was interrupted."""
        return self._place[3]

    @property
    def empty(self) -> bool:
        """Whether no frame was read yet."""
        return self.end == HEADER_SIZE

    def has_more(self) -> bool:
        """Whether there is anything behind the end: one system call. Raises StorageError."""
        return self._pread(1, self.end) not in {b"", b"\0"}

    def same_header(self) -> bool:
        """Whether the header is still the one that was read: an owner may begin an empty segment anew."""
        return self._pread(HEADER_SIZE, 0) == self._header_bytes

    def is_in_place(self) -> bool:
        """Whether the file of this name still holds what was read. Raises FileNotFoundError, StorageError."""
        fd = self._fs.open(self.name, READ)
        try:
            for size, offset in ((HEADER_SIZE, 0), (HEADER_SIZE, self.end - HEADER_SIZE)):
                if self._fs.pread(fd, size, offset) != self._pread(size, offset):
                    return False
        except OSError as error:
            raise storage_error(error, self.name) from error
        finally:
            self._fs.close(fd)
        return True

    def new_frames(self) -> Iterator[DecodedFrames]:
        """The frames behind the end, which moves on when the next ones are asked for. Raises as ``ahead``."""
        for frames in self.ahead():
            yield frames
            seal = is_seal(frames.keys[-1], frames.values[-1])
            self._place = (self.end + frames.size, frames.checksum, frames.sequences[-1], seal)

    def ahead(self) -> Iterator[DecodedFrames]:
        """The frames behind the end, without moving it. Raises StorageError, CorruptionError for what cannot be."""
        position, checksum, _, _ = self._place
        size = _FIRST_BYTES
        self.torn = False
        while data := self._pread(size, position):
            frames = decode_frames(data, checksum)
            if frames.size:
                if not 0 <= frames.sequences[0] <= frames.sequences[-1] < SEQUENCES:
                    raise CorruptionError("a frame has a sequence number that no store reaches", file=self.name)
                yield frames
                position += frames.size
                checksum = frames.checksum
                if data[frames.size : frames.size + 1] == b"\0":
                    return
                size = max(size, min(2 * size, _LARGEST_BYTES))
            elif len(data) < size or decode_frame(data, checksum) is not None:
                self.torn = data[0] != 0
                return
            else:
                size *= 2  # A frame that is longer than this.

    def judge(self) -> bool:
        """Whether all is well: no promise covers bytes behind the end that cannot be read as frames.

        After False the caller reads once more, as the owner may have been faster, and then takes it for damage.
        """
        if self._pread(1, self.end) in {b"", b"\0"} and is_zeros(self._pread(_PEEK_BYTES, self.end)):
            return True
        return promised_beyond(self._fs, self._fd, self._seed, self.end) <= self.end

    def damage(self) -> CorruptionError:
        """The error for a log that cannot be read on from its end."""
        text = f"the log was synced beyond here, but cannot be read on from here; {DAMAGE_REMEDY}"
        return CorruptionError(text, file=self.name, offset=self.end)

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._fs.close(fd)

    def _pread(self, size: int, offset: int) -> bytes:
        try:
            return self._fs.pread(self._fd, size, offset)
        except OSError as error:
            raise storage_error(error, self.name) from error


def _check_header(header: LogHeader, name: str, kind: int, store_uuid: bytes | None) -> None:
    if header.kind != kind:
        raise CorruptionError(f"a log file of kind {header.kind} stands where kind {kind} belongs", file=name, offset=8)
    if store_uuid is not None and header.store_uuid != store_uuid:
        raise CorruptionError("the file belongs to another store", file=name, offset=16)


def open_begun(fs: FileSystem, name: str, kind: int, store_uuid: bytes) -> LogTail | None:
    """The tail of a log file; None if it was made and not begun, so that it is not part of the log yet.

    Raises FileNotFoundError, StorageError, CorruptionError.
    """
    try:
        return LogTail(fs, name, kind, store_uuid)
    except CorruptionError:
        if is_blank(fs, name):
            return None
    return LogTail(fs, name, kind, store_uuid)  # The header may have been written between the two looks.
