"""The records of all log segments that check, and the holes between them.

Segments form a chain: each header names its predecessor and where that ends. Going back along it from the newest
one finds which segments are missing, which were given up by an earlier opening (they stand between a segment and its
predecessor), and where each must end. What follows a hole is kept, since it proves itself; but the hole is reported,
as records in it may be older or newer than what the tables hold for the same keys. ``strict`` stops at the first hole,
as an opening would after a power cut: what is kept then is a prefix of what was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import wal_name
from lsmproc.formats.frame_decoding import DecodedFrames
from lsmproc.formats.log_format import HEADER_SIZE, KIND_WAL, LogHeader, decode_header
from lsmproc.repair.log_scan import Gap, LogScan, SegmentTip
from lsmproc.repair.report import Loss, RepairReport
from lsmproc.repair.surviving_files import SurvivingFiles
from lsmproc.storage.file_system import READ, FileSystem, storage_error


@dataclass(frozen=True, slots=True)
class _Link:
    """One segment of the chain."""

    number: int
    name: str
    header: LogHeader | None
    tip: SegmentTip | None  # where it ends, as its successor says


class LogSalvage:
    """Reads the live segments of one store, oldest first."""

    def __init__(self, fs: FileSystem, files: SurvivingFiles, report: RepairReport, *, strict: bool) -> None:
        """Read ``files.segments``; what is lost goes into ``report``."""
        self._fs = fs
        self._files = files
        self._report = report
        self._strict = strict
        self.last_sequence: int = 0

    def frames(self) -> Iterator[DecodedFrames]:
        """All frames that check, in the order in which they were written. Raises StorageError."""
        links = self._chain()
        stopped = self._strict and any(loss.file.endswith(".wal") for loss in self._report.losses)
        for link in links:
            if stopped:
                self._lose(link.name, None, None, "left out: it follows a hole in the log, and --strict was asked for")
                continue
            for part in self._parts(link):
                if isinstance(part, DecodedFrames):
                    yield part
                else:
                    stopped = self._strict
        self._note_missing({link.number for link in links})

    def _parts(self, link: _Link) -> Iterator[DecodedFrames | Gap]:
        """The frames and the holes of one segment; up to the first hole if strict."""
        scan = LogScan(self._fs, link.name, link.tip, self._files.synced_ends.get(link.number, 0))
        self._report.bytes_read += scan.size
        if scan.is_blank:
            if link.tip is not None and link.tip.end > HEADER_SIZE:
                self._lose(link.name, None, None, "the segment is empty, but the next one says that it had records")
                yield Gap(0, scan.size, "", torn=False)
            return
        self._report.segments += 1
        if scan.header_problem:
            self._report.notes.append(f"{link.name}: the header is damaged ({scan.header_problem})")
        for part in scan.parts():
            if isinstance(part, Gap):
                if part.torn:
                    self._report.notes.append(f"{link.name} has a torn tail at byte {part.offset}")
                    continue
                self._lose(link.name, part.offset, part.end - part.offset, f"a hole in the log: {part.problem}")
                yield part
                if self._strict:
                    return
            else:
                self.last_sequence = max(self.last_sequence, part.frames.sequences[-1])
                yield part.frames

    def _chain(self) -> list[_Link]:
        """The segments that belong together, oldest first."""
        found = self._headers()
        links: list[_Link] = []
        tip: SegmentTip | None = None
        numbers = sorted(found)
        while numbers:
            number = numbers.pop()
            name, header = found[number]
            links.append(_Link(number, name, header, tip))
            tip = None
            if header is None:
                continue
            tip = SegmentTip(header.predecessor_end, header.predecessor_checksum)
            while numbers and numbers[-1] > header.predecessor:
                dropped = found[numbers.pop()][0]
                self._report.notes.append(f"{dropped} is not part of the log: an earlier opening has given it up")
            if not numbers or numbers[-1] != header.predecessor:
                # The oldest one may follow segments that are in tables.
                if header.predecessor >= self._files.log_number and (numbers or self._files.whole):
                    self._lose_missing(header.predecessor)
                tip = None
        first = self._files.log_number
        if self._files.whole and first and first not in found:
            self._lose_missing(first)
        return links[::-1]

    def _headers(self) -> dict[int, tuple[str, LogHeader | None]]:
        """Name and header of each segment that has begun, by the number it gives itself."""
        found: dict[int, tuple[str, LogHeader | None]] = {}
        for number in self._files.segments:
            name = wal_name(number)
            header = self._header(name)
            if header is not None and header.kind != KIND_WAL:
                self._lose(name, None, None, "the file is no log segment")
            elif header is not None and self._files.store_uuid not in (None, header.store_uuid):
                self._lose(name, None, None, "the file belongs to another store")
            elif header is not None and header.number != number:
                self._report.notes.append(f"{name} holds segment {header.number}: the file has the wrong name")
                if header.number >= self._files.log_number:
                    found.setdefault(header.number, (name, header))
            elif header is not None or self._has_begun(name):
                found[number] = (name, header)
        return found

    def _header(self, name: str) -> LogHeader | None:
        try:
            return decode_header(self._read(name), name)
        except CorruptionError:
            return None

    def _has_begun(self, name: str) -> bool:
        """False for a segment that was made ahead and never used."""
        return not LogScan(self._fs, name).is_blank

    def _read(self, name: str) -> bytes:
        fd = self._fs.open(name, READ)
        try:
            return self._fs.pread(fd, HEADER_SIZE, 0)
        except OSError as error:
            raise storage_error(error, name) from error
        finally:
            self._fs.close(fd)

    def _note_missing(self, read: set[int]) -> None:
        """Say which segments are lost that nothing follows: only the manifest knows of them."""
        for number, synced_end in self._files.synced_ends.items():
            if number not in self._files.segments:
                self._lose_missing(number)
            elif number not in read and synced_end:
                self._lose(wal_name(number), None, None, "the segment is empty, but records in it had been synced")

    def _lose_missing(self, number: int) -> None:
        name = wal_name(number)
        if number and all(loss.file != name for loss in self._report.losses):
            self._lose(name, None, None, "the log segment is missing")

    def _lose(self, name: str, offset: int | None, size: int | None, reason: str) -> None:
        self._report.losses.append(Loss(name, offset, size, None, None, None, None, reason))
        doubt = "records of the log are lost: keys that they deleted may be back, and older values of others"
        if doubt not in self._report.doubts:
            self._report.doubts.append(doubt)
