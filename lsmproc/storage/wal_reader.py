"""Reading log segments: strictly for a flush, forgivingly for recovery.

A flush knows from the owner where a sealed segment ends and what its checksum is; anything else is corruption.
Recovery knows nothing: it takes the longest valid run of frames and asks whether a promise was broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import compress, repeat
from operator import is_

from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import wal_name
from lsmproc.formats.frame_decoding import DecodedFrames, decode_frame, decode_frames
from lsmproc.formats.log_format import (
    HEADER_SIZE,
    KIND_WAL,
    MAGIC,
    PROMISE_MARK,
    LogHeader,
    chain_seed,
    decode_header,
    is_seal,
    is_zeros,
    latest_promise,
)
from lsmproc.formats.messages import SegmentEnd
from lsmproc.storage.file_system import READ, FileSystem, storage_error

_CHUNK_BYTES = 1 << 20
_OVERLAP_BYTES = 32  # more than a promise takes
SEQUENCES = 1 << 63  # No clock gets there; beyond 64 bits the next number would have no place in a frame.

Records = dict[bytes, tuple[int, bytes | None]]


@dataclass(slots=True)
class RecoveredLog:
    """What recovery found in one log file."""

    header: LogHeader
    end: int  # bytes up to the end of the last valid frame
    checksum: int  # of the last valid frame
    last_sequence: int
    sealed: bool
    promised_end: int  # no byte below it may be missing
    size: int  # bytes of the file
    dirty_tail: bool  # something other than zeros follows the last valid frame


def read_segment(
    fs: FileSystem, segment: SegmentEnd, store_uuid: bytes, consume: Callable[[DecodedFrames], None]
) -> None:
    """Hand over the frames of a finished segment. Raises CorruptionError unless it is exactly what ``segment`` says."""
    name = wal_name(segment.number)
    try:
        log = read_log(fs, name, KIND_WAL, store_uuid, consume, stop_at=segment.end)
    except FileNotFoundError as error:
        raise CorruptionError("the log segment is missing", file=name) from error
    if (log.end, log.checksum) != (segment.end, segment.checksum):
        raise CorruptionError(
            f"the log segment should hold valid frames up to byte {segment.end}",
            file=name,
            offset=log.end,
        )


def apply_frames(records: Records, frames: DecodedFrames) -> None:
    """Enter decoded frames into ``records``, in their order."""
    sequences, keys, values = frames.sequences, frames.keys, frames.values
    if frames.plain or tuple not in set(map(type, keys)):
        records.update(zip(keys, zip(sequences, values)))  # type: ignore[arg-type]  # noqa: B905
    else:
        # Batches hold columns of their own: enter the single records between them in one call each.
        start = 0
        for i in (i for i, key in enumerate(keys) if type(key) is tuple):
            records.update(zip(keys[start:i], zip(sequences[start:i], values[start:i])))  # type: ignore[arg-type]  # noqa: B905
            records.update(zip(keys[i], zip(repeat(sequences[i]), values[i])))  # type: ignore[arg-type]  # noqa: B905
            start = i + 1
        records.update(zip(keys[start:], zip(sequences[start:], values[start:])))  # type: ignore[arg-type]  # noqa: B905
    if not frames.plain:
        # Promises and the seal have no key.
        records.pop(None, None)  # type: ignore[call-overload]


def read_log(
    fs: FileSystem,
    name: str,
    kind: int,
    store_uuid: bytes | None,
    consume: Callable[[DecodedFrames], None],
    *,
    stop_at: int | None = None,
) -> RecoveredLog:
    """Read a log file up to its last valid frame (or ``stop_at``), handing over the frames as they are decoded.

    ``stop_at``: where a finished segment ends, by somebody who knows its last checksum too and compares both.
    Raises CorruptionError when the header is bad, when the file belongs to another store (``store_uuid`` given) or
    is of another kind, and when frames are missing below a promise.
    """
    fd = fs.open(name, READ)
    try:
        size = fs.size(fd)
        encoded = fs.pread(fd, HEADER_SIZE, 0)
        header = decode_header(encoded, name)
        if header.kind != kind:
            raise CorruptionError(
                f"a log file of kind {header.kind} stands where kind {kind} belongs", file=name, offset=8
            )
        if store_uuid is not None and header.store_uuid != store_uuid:
            raise CorruptionError("the file belongs to another store", file=name, offset=16)
        seed = chain_seed(encoded)
        log = RecoveredLog(header, HEADER_SIZE, seed, 0, sealed=False, promised_end=0, size=size, dirty_tail=False)
        limit = size if stop_at is None else min(stop_at, size)
        for frames in _decoded_chunks(fs, fd, limit, seed, as_whole=stop_at is not None):
            consume(frames)
            log.end += frames.size
            log.checksum = frames.checksum
            log.last_sequence = frames.sequences[-1]
            if not 0 <= frames.sequences[0] <= log.last_sequence < SEQUENCES:
                raise CorruptionError("a frame has a sequence number that no store reaches", file=name)
            log.sealed = is_seal(frames.keys[-1], frames.values[-1])
            if not frames.plain:
                for payload in compress(frames.values, map(is_, frames.keys, repeat(None))):
                    log.promised_end = max(log.promised_end, latest_promise(payload, seed))  # type: ignore[arg-type]
        if stop_at is None:
            _judge_tail(fs, fd, name, seed, log)
        return log
    except OSError as error:
        raise storage_error(error, name) from error
    finally:
        fs.close(fd)


def is_blank(fs: FileSystem, name: str) -> bool:
    """True if the segment is not part of the log yet: allocated ahead of its use, or lost before it ever was synced.

    That is a file of zeros, one whose header is unfinished with nothing behind it, and one whose header is all zeros
    although frames follow: its pages reached the disk in another order before the power went. A promise among such
    frames proves that the header was durable once, and then this raises CorruptionError. Raises StorageError.
    """
    fd = fs.open(name, READ)
    try:
        encoded = fs.pread(fd, HEADER_SIZE, 0)
        begun = bool(encoded.strip(b"\0"))
        if begun and (_is_header(encoded, name) or not _may_be_torn(encoded)):
            return False
        used = False
        for data in _overlapping_chunks(fs, fd):
            if PROMISE_MARK in data and not begun:
                raise CorruptionError("the header of a log that was synced is missing", file=name, offset=0)
            used = used or not is_zeros(data)
        return not (begun and used)
    except OSError as error:
        raise storage_error(error, name) from error
    finally:
        fs.close(fd)


def promised_beyond(fs: FileSystem, fd: int, seed: int, position: int) -> int:
    """The highest durable end that a promise behind ``position`` gives, 0 if there is none. Raises StorageError."""
    try:
        return max((latest_promise(data, seed) for data in _overlapping_chunks(fs, fd, position)), default=0)
    except OSError as error:
        raise storage_error(error, f"descriptor {fd}") from error


def _is_header(encoded: bytes, name: str) -> bool:
    try:
        decode_header(encoded, name)
    except CorruptionError:
        return False
    return True


def _may_be_torn(encoded: bytes) -> bool:
    """Whether these bytes can be what power loss left of a header: the magic as far as it was written, and zeros."""
    return all(found in {0, wanted} for found, wanted in zip(encoded, MAGIC, strict=False))


def _overlapping_chunks(fs: FileSystem, fd: int, position: int = HEADER_SIZE) -> Iterator[bytes]:
    """What follows ``position``; each chunk begins with the end of the one before, so that a promise is never cut."""
    overlap = b""
    while data := fs.pread(fd, _CHUNK_BYTES, position):
        yield overlap + data
        overlap = data[-_OVERLAP_BYTES:]
        position += len(data)


def _decoded_chunks(fs: FileSystem, fd: int, limit: int, checksum: int, *, as_whole: bool) -> Iterator[DecodedFrames]:
    """Decode a file chunk by chunk, up to ``limit`` or the first byte that is no valid frame."""
    position = HEADER_SIZE
    while position < limit:
        data = fs.pread(fd, min(_CHUNK_BYTES, limit - position), position)
        frames = decode_frames(data, checksum, as_whole=as_whole)
        if not frames.size and position + len(data) < limit:
            frames = _long_frame(fs, fd, position, limit, checksum)
        if not frames.size:
            return
        yield frames
        position += frames.size
        checksum = frames.checksum


def _long_frame(fs: FileSystem, fd: int, position: int, limit: int, checksum: int) -> DecodedFrames:
    """The frame at ``position``, perhaps longer than a chunk; no frames if there is no valid one up to ``limit``."""
    size = _CHUNK_BYTES
    while True:
        data = fs.pread(fd, min(size, limit - position), position)
        frames = decode_frame(data, checksum)
        if frames is not None:
            return frames
        if size >= limit - position:
            return DecodedFrames([], [], [], 0, checksum)
        size *= 2


def _judge_tail(fs: FileSystem, fd: int, name: str, seed: int, log: RecoveredLog) -> None:
    """Fill in what follows the valid frames; raise if a promise covers bytes that are not valid."""
    for data in _overlapping_chunks(fs, fd, log.end):
        if not is_zeros(data):
            log.dirty_tail = True
            log.promised_end = max(log.promised_end, latest_promise(data, seed))
    if log.promised_end > log.end:
        raise CorruptionError(
            f"the log was synced up to byte {log.promised_end}, but its frames are valid only up to here",
            file=name,
            offset=log.end,
        )
