"""The rows of one log file, segment or manifest: header, frames, gaps, summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

from lsmproc.cli.dump.file_rows import Row
from lsmproc.formats.log_format import HEADER_SIZE, KIND_MANIFEST, KIND_WAL
from lsmproc.repair.frame_view import FrameView, frame_at, keys_of, promised_end
from lsmproc.repair.log_scan import Gap, LogScan, Run
from lsmproc.storage.file_system import PosixFileSystem

_KINDS = {KIND_WAL: "wal", KIND_MANIFEST: "manifest"}

Describe = Callable[[bytes, FrameView], Row]


def keys_row(data: bytes, frame: FrameView) -> Row:
    """The first and the last key of a frame; what a promise promises."""
    if frame.kind == "promise":
        return {"durable_end": promised_end(data, frame)}
    keys = keys_of(data, frame)
    if not keys:
        return {}
    return {"first_key": keys[0]} if len(keys) == 1 else {"first_key": keys[0], "last_key": keys[-1]}


def log_rows(directory: str, name: str, kind: int, describe: Describe = keys_row) -> Iterator[Row]:
    """All rows of one file; ``describe`` adds what is special to a frame."""
    fs = PosixFileSystem(directory)
    with closing(_Shut(fs)):
        scan = LogScan(fs, name)
    yield _header_row(scan, kind)
    rows = _FrameRows(scan, describe)
    if not scan.is_blank:
        yield from rows.all()
    yield rows.summary()


class _Shut:
    """Closes a file system."""

    def __init__(self, fs: PosixFileSystem) -> None:
        self.close = fs.shut


def _header_row(scan: LogScan, kind: int) -> Row:
    header = scan.header
    if header is None:
        problem = "blank: allocated ahead and never used" if scan.is_blank else scan.header_problem
        return {"row": "header", "file": scan.name, "crc": "blank" if scan.is_blank else "bad", "problem": problem}
    right = header.kind == kind
    return {
        "row": "header",
        "file": scan.name,
        "kind": _KINDS.get(header.kind, str(header.kind)),
        "number": header.number,
        "store_uuid": header.store_uuid.hex(),
        "salt": header.salt,
        "predecessor": header.predecessor,
        "predecessor_end": header.predecessor_end,
        "predecessor_checksum": header.predecessor_checksum,
        "crc": "ok",
        "problem": None if right else f"a {_KINDS[kind]} belongs here",
        "damaged": not right,
    }


class _FrameRows:
    """Rows of the frames and gaps, and the counts of what passed."""

    def __init__(self, scan: LogScan, describe: Describe) -> None:
        self._scan = scan
        self._describe = describe
        self._kinds: Counter[str] = Counter()
        self._records = 0
        self._sequences: tuple[int, int] | None = None
        self._end = HEADER_SIZE
        self._sealed = False
        self._damaged = scan.header is None and not scan.is_blank
        self._first_bad: tuple[int, str] | None = (0, scan.header_problem) if self._damaged else None

    def all(self) -> Iterator[Row]:
        """Frames and gaps in their order."""
        for part in self._scan.parts():
            if isinstance(part, Gap):
                yield from self._gap(part)
            else:
                yield from self._run(part)

    def summary(self) -> Row:
        """Counts, bounds and the first bad byte."""
        scan = self._scan
        first, last = self._sequences or (None, None)
        return {
            "row": "summary",
            "file": scan.name,
            "bytes": scan.size,
            "valid_end": None if scan.is_blank else self._end,
            "frames": sum(self._kinds.values()),
            "records": self._records,
            **{f"{kind}_frames": count for kind, count in sorted(self._kinds.items())},
            "first_sequence": first,
            "last_sequence": last,
            "promised_end": scan.promised_end,
            "sealed": self._sealed,
            "unread_bytes": scan.unread_bytes or None,
            "first_bad_byte": None if self._first_bad is None else self._first_bad[0],
            "problem": None if self._first_bad is None else self._first_bad[1],
            "damaged": self._damaged,
        }

    def _run(self, run: Run) -> Iterator[Row]:
        data = self._scan.data
        position = run.offset
        while position < run.end and (frame := frame_at(data, position)) is not None:
            crc = "ok"
            if run.end == frame.end and frame.checksum != run.frames.checksum:
                crc = "bad, content proven by the next frame"
                self._bad(frame.offset + 1, "the stored checksum of a frame is damaged, not its content", damaged=True)
            self._count(frame)
            yield self._row(frame, crc)
            position = frame.end
        self._end = run.end

    def _gap(self, gap: Gap) -> Iterator[Row]:
        frame = frame_at(self._scan.data, gap.offset)
        if frame is not None and frame.end <= gap.end:
            yield self._row(frame, "bad")
        self._bad(gap.offset, f"torn tail: {gap.problem}" if gap.torn else gap.problem, damaged=not gap.torn)
        yield {"row": "gap", "offset": gap.offset, "end": gap.end, "problem": gap.problem, "torn_tail": gap.torn}

    def _row(self, frame: FrameView, crc: str) -> Row:
        return {
            "row": "frame",
            "offset": frame.offset,
            "bytes": frame.end - frame.offset,
            "sequence": frame.sequence,
            "kind": frame.kind,
            "records": frame.records,
            "crc": crc,
            **self._describe(self._scan.data, frame),
        }

    def _count(self, frame: FrameView) -> None:
        self._kinds[frame.kind] += 1
        self._records += frame.records
        self._sealed = frame.kind == "seal"
        first = frame.sequence if self._sequences is None else self._sequences[0]
        self._sequences = (first, frame.sequence)

    def _bad(self, offset: int, problem: str, *, damaged: bool) -> None:
        self._damaged = self._damaged or damaged
        if self._first_bad is None:
            self._first_bad = (offset, problem)
