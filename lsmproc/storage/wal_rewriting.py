"""Writing the log's unpromised bytes again, in place, before an opening trusts what it reads of them.

After a failed sync the kernel may hold pages that it believes clean and the disk does not have: they read well until
memory is short, and no later sync writes them. So what can be read is not what is durable. An owner whose sync fails
stops writing, and leaves no promise for those bytes; the next opening does, before it replays anything, this:

* each segment is written again from where its promises end, byte for byte what was read. From then on the pages are
  dirty: what is replayed afterwards is what the next sync writes. The bytes on the disk were the same or worse, so a
  crash in the middle costs nothing;
* clean pages are dropped just before: ext4 remembers in a page that its place on the disk is known, and once writing
  there has failed does not mark the place as written any more. It reads as zeros then, whatever was synced later;
* its descriptor is kept until that sync, so that the kernel has somebody to tell if writing fails on the way;
* what a promise covers is left alone, and so are all segments before one that holds a promise: a sync covers them.
  The promise itself is not covered, and must be: the next segment's header says that this one ends behind it. So a
  store that was closed in order is opened with one small write.

Nothing of this looks at frames: a torn tail is written again as it is, and judged by the replay.
"""

from __future__ import annotations

from collections.abc import Iterable

from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import wal_name
from lsmproc.formats.log_format import (
    HEADER_SIZE,
    chain_seed,
    decode_header,
    frame,
    is_zeros,
    latest_promise,
    promise_body,
)
from lsmproc.storage.file_system import READ_WRITE, FileSystem, storage_error

_CHUNK_BYTES = 1 << 18  # small enough to stay in the processor's cache between the read and the write
_PAGE_BYTES = 1 << 16  # or a multiple, on every machine
_PROMISE_FRAME_BYTES = len(frame(0, promise_body(0, 0, 0)))


def write_again(fs: FileSystem, numbers: Iterable[int]) -> dict[int, int]:
    """Write again what no promise covers in the segments ``numbers``; the descriptors of those it concerned.

    The caller syncs and closes them. Raises StorageError, and then nothing is open.
    """
    descriptors: dict[int, int] = {}
    try:
        for number in sorted(numbers, reverse=True):
            fd = descriptors[number] = fs.open(wal_name(number), READ_WRITE)
            written, promised = _write_segment_again(fs, fd, wal_name(number))
            if not written:
                fs.close(descriptors.pop(number))
            if promised:
                break
    except BaseException:
        for fd in descriptors.values():
            fs.close(fd)
        raise
    return descriptors


def _write_segment_again(fs: FileSystem, fd: int, name: str) -> tuple[bool, bool]:
    """Whether anything was written, and whether a promise was found: it covers all segments before as well.

    From the end backwards, so that the last promise is found first and nothing below it is even read.
    """
    written = False
    try:
        header = fs.pread(fd, HEADER_SIZE, 0)
        if not _is_header(header, name):
            return False, False  # Not part of the log yet, or damaged: it will not be replayed.
        seed = chain_seed(header)
        end, following = fs.size(fd), b""
        while end:
            start = (end - 1) // _CHUNK_BYTES * _CHUNK_BYTES
            data = fs.pread(fd, end - start, start)
            # A promise may lie across the border of two chunks.
            border = data[-_PROMISE_FRAME_BYTES:] + following
            promised_end = latest_promise(border, seed) or latest_promise(data, seed)
            if promised_end:
                written = _write_from(fs, fd, promised_end, start, data) or written
                return written, True
            written = _write(fs, fd, data, start) or written
            end, following = start, data[:_PROMISE_FRAME_BYTES]
    except OSError as error:
        raise storage_error(error, name) from error
    return written, False


def _write_from(fs: FileSystem, fd: int, position: int, start: int, data: bytes) -> bool:
    """Write again from ``position`` to the end of ``data``, which begins at ``start``; what follows is done."""
    position -= position % _PAGE_BYTES
    if position < start:
        between = fs.pread(fd, start - position, position)
        return _write(fs, fd, between + data, position)
    return _write(fs, fd, data[position - start :], position)


def _write(fs: FileSystem, fd: int, data: bytes, position: int) -> bool:
    """Write ``data`` unless it is space that was allocated and never used."""
    if data[:1] in {b"", b"\0"} and is_zeros(data):
        return False
    fs.drop_cached(fd, position, len(data) + _PAGE_BYTES)
    fs.write_all(fd, data, position)
    return True


def _is_header(header: bytes, name: str) -> bool:
    try:
        decode_header(header, name)
    except CorruptionError:
        return False
    return True
