"""Reads one log file, segment or manifest, that may be damaged: the frames that check, and the gaps between them.

The checksums of a log are chained: a frame checks from the stored checksum of the frame before it. That is what finds
the log again behind damage, and proves that it is found:

* if only the stored checksum of a frame is damaged, the next frame checks from the one that the frame *should* have:
  then that frame is whole, and nothing is lost;
* if a frame's content or length is damaged, some later frame checks from the checksum that the damaged frame stores;
* if nothing follows from the damaged frame, two frames are looked for of which the second checks from the first. The
  second begins the log again, provided that a promise of this very file follows, or the end that the next segment
  knows; a value may hold a copy of another log. The first stays lost: nothing proves its content.

What follows the end that the next segment's header states was given up by an earlier opening; it does not count.
A file is read into memory as a whole: its owner held its records there as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from zlib import crc32

from lsmproc.errors import CorruptionError
from lsmproc.formats.frame_decoding import DecodedFrames, decode_frames
from lsmproc.formats.log_format import HEADER_SIZE, LogHeader, chain_seed, decode_header, is_zeros, latest_promise
from lsmproc.repair.bad_sectors import read_what_can_be
from lsmproc.repair.frame_view import FrameView, frame_at, frame_starts
from lsmproc.storage.file_system import READ, FileSystem

_CHUNK_BYTES = 1 << 20
# So many times the rest of the file is hashed at most in search of the next frame, whatever the bytes look like.
_HASH_FACTOR = 64
_MOST_PLACES = 200_000


@dataclass(frozen=True, slots=True)
class Run:
    """Frames that follow each other and check."""

    offset: int
    frames: DecodedFrames

    @property
    def end(self) -> int:
        """Offset behind the last of them."""
        return self.offset + self.frames.size


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes in which frames are lost, or, at the end of a log, were never whole."""

    offset: int
    end: int
    problem: str
    torn: bool  # nothing follows and no promise covers it: what a crash leaves of the last write


@dataclass(frozen=True, slots=True)
class SegmentTip:
    """Where a segment ends, as the header of its successor says."""

    end: int
    checksum: int


class LogScan:
    """One log file, read as a whole.

    Attributes:
        header: None if it does not check; ``header_problem`` says why.
        seed: where the chain begins; None if the header is damaged so far that nothing proves it.
        promised_end: no byte below it may be missing.
        unread_bytes: bytes that the disk could not read; zeros stand for them.
        end: where the log ends for us: the file's size, or what its successor knows.
    """

    def __init__(self, fs: FileSystem, name: str, tip: SegmentTip | None = None, synced_end: int = 0) -> None:
        """Read ``name``, of which the manifest says that it was synced up to ``synced_end``.

        Raises StorageError, FileNotFoundError.
        """
        self.name = name
        self.data: bytes
        self.unread_bytes: int
        self.data, self.unread_bytes = _read_all(fs, name)
        self.size: int = len(self.data)
        self.header: LogHeader | None = None
        self.header_problem: str = ""
        try:
            self.header = decode_header(self.data[:HEADER_SIZE], name)
        except CorruptionError as error:
            place = f"{name} at byte {error.offset}: "
            self.header_problem = str(error).removeprefix(place)
        self.is_blank: bool = is_zeros(self.data) or (bool(self.header_problem) and is_zeros(self.data[HEADER_SIZE:]))
        self._tip = tip
        self.end: int = self.size if tip is None else min(tip.end, self.size)
        self.seed: int | None = self._find_seed()
        self.promised_end: int = 0 if self.seed is None else min(latest_promise(self.data, self.seed), self.end)
        self.promised_end = max(self.promised_end, synced_end)

    def parts(self) -> Iterator[Run | Gap]:
        """Runs and gaps, in their order, up to the end of the log. Runs have about a mebibyte each."""
        if self.is_blank:
            return
        data = self.data if self.end == self.size else self.data[: self.end]
        position = min(HEADER_SIZE, len(data))
        checksum, sequence = self.seed, 0
        while True:
            if checksum is not None:
                for run in _runs(data, position, checksum):
                    yield run
                    position, checksum, sequence = run.end, run.frames.checksum, run.frames.sequences[-1]
            if is_zeros(data[position:]):
                if self._lacks_more(position, checksum):
                    yield Gap(position, max(self._expected_end(), position), "the log should go on here", torn=False)
                return
            found = self._resume(data, position, checksum, sequence)
            if found is None:
                problem = "no valid frame" if checksum is not None else "no frame can be checked without the header"
                torn = checksum is not None and not self._lacks_more(position, checksum)
                yield Gap(position, len(data.rstrip(b"\0")), problem, torn=torn)
                return
            if found.first is not None:
                # Its content is proven by the frame behind it, so it is decoded under the checksum it should have.
                mended = (
                    data[position : position + 1]
                    + found.checksum.to_bytes(4, "big")
                    + data[position + 5 : found.offset]
                )
                yield Run(position, decode_frames(mended, checksum or 0))
            else:
                yield Gap(position, found.offset, "frames that do not check", torn=False)
            position, checksum = found.offset, found.checksum

    def _expected_end(self) -> int:
        return self.promised_end if self._tip is None else self._tip.end

    def _lacks_more(self, position: int, checksum: int | None) -> bool:
        """Whether frames are missing that were there once: promised, or known to the next segment."""
        if self._tip is not None:
            return (position, checksum) != (self._tip.end, self._tip.checksum)
        return self.promised_end > position

    def _find_seed(self) -> int | None:
        if self.header is not None:
            return chain_seed(self.data)
        if len(self.data) < HEADER_SIZE:
            return None
        first = frame_at(self.data, HEADER_SIZE)
        for seed in (chain_seed(self.data), crc32(self.data[: HEADER_SIZE - 4])):
            if first is not None and first.checks_from(self.data, seed):
                return seed
        return None

    def _resume(self, data: bytes, start: int, checksum: int | None, sequence: int) -> _Resumed | None:
        """Where the log goes on behind the bad frame at ``start``; see the module."""
        bad = frame_at(data, start)
        if bad is not None and checksum is not None:
            computed = crc32(data[start + 5 : bad.end], checksum)
            following = frame_at(data, bad.end)
            if following is not None and following.checks_from(data, computed):
                return _Resumed(bad.end, computed, bad)
        budget = _HASH_FACTOR * (len(data) - start) + _CHUNK_BYTES
        stored = int.from_bytes(data[start + 1 : start + 5], "big")
        for place in islice(frame_starts(data, start + 1), _MOST_PLACES):
            frame = frame_at(data, place)
            if frame is None or frame.sequence < sequence:
                continue
            budget -= frame.end - place
            if budget < 0:
                return None
            if checksum is not None and frame.checks_from(data, stored):
                return _Resumed(place, stored, None)
        return self._resume_from_pair(data, start, sequence)

    def _resume_from_pair(self, data: bytes, start: int, sequence: int) -> _Resumed | None:
        budget = _HASH_FACTOR * (len(data) - start) + _CHUNK_BYTES
        for place in islice(frame_starts(data, start), _MOST_PLACES):
            frame = frame_at(data, place)
            following = None if frame is None else frame_at(data, frame.end)
            if frame is None or following is None or not sequence <= frame.sequence <= following.sequence:
                continue
            budget -= following.end - following.offset
            if budget < 0:
                return None
            if following.checks_from(data, frame.checksum) and self._is_ours(data, frame):
                return _Resumed(frame.end, frame.checksum, None)
        return None

    def _is_ours(self, data: bytes, frame: FrameView) -> bool:
        """Whether what follows ``frame`` belongs to this log, not to a copy of another one inside a value."""
        if frame.offset == HEADER_SIZE:
            return True  # The only place where the first frame of this log can stand.
        end, checksum = frame.end, frame.checksum
        promised = 0
        for run in _runs(data, end, checksum):
            if self.seed is not None:
                promised = max(promised, latest_promise(data[run.offset : run.end], self.seed))
            end, checksum = run.end, run.frames.checksum
        return promised > 0 or (self._tip is not None and (end, checksum) == (self._tip.end, self._tip.checksum))


@dataclass(frozen=True, slots=True)
class _Resumed:
    """Where a log goes on."""

    offset: int
    checksum: int  # of the frame before
    first: FrameView | None  # that frame, if it is whole but for its stored checksum


def _runs(data: bytes, position: int, checksum: int) -> Iterator[Run]:
    """The frames that check from ``position`` on, in runs."""
    chunk_bytes = _CHUNK_BYTES
    while position < len(data):
        frames = decode_frames(data[position : position + chunk_bytes], checksum)
        if frames.size:
            yield Run(position, frames)
            position += frames.size
            checksum = frames.checksum
            chunk_bytes = _CHUNK_BYTES
        elif position + chunk_bytes < len(data) and data[position]:
            chunk_bytes *= 2  # Perhaps a frame longer than the chunk.
        else:
            return


def _read_all(fs: FileSystem, name: str) -> tuple[bytes, int]:
    fd = fs.open(name, READ)
    try:
        parts: list[bytes] = []
        position = unread = 0
        while True:
            data, missing = read_what_can_be(fs, fd, name, _CHUNK_BYTES, position)
            if not data:
                return b"".join(parts), unread
            parts.append(data)
            position += len(data)
            unread += missing
    finally:
        fs.close(fd)
