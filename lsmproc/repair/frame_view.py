"""One frame of a log file as its lengths make it, whether its checksum matches or not (see formats/log_format.py)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

from lsmproc.formats.log_format import FRAME_MARK, PROMISE_MARK, is_seal

_HEAD = struct.Struct(">BIBQ")
assert _HEAD.size == 14
_BIN = struct.Struct(">BI")
_UINT64, _BIN32, _ARRAY32, _NIL = 0xCF, 0xC6, 0xDD, 0xC0
_BODY = 5  # where the part begins that the checksum covers

# The bytes that every frame begins with; overlapping, since any byte may begin one.
_START = re.compile(rb"(?=\xce....\xcf........[\xc6\xdd\xc0])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FrameView:
    """A frame by its lengths alone."""

    offset: int
    end: int
    checksum: int  # as stored
    sequence: int
    kind: str  # put, delete, batch, promise, seal, control
    records: int

    def checks_from(self, data: bytes, checksum: int) -> bool:
        """Whether the frame follows one whose checksum is ``checksum``."""
        return crc32(memoryview(data)[self.offset + _BODY : self.end], checksum) == self.checksum


def frame_at(data: bytes, offset: int) -> FrameView | None:
    """The frame that begins at ``offset``, or None if none can: what lies there has not the form of one."""
    if len(data) - offset < _HEAD.size + 1:
        return None
    mark, checksum, number, sequence = _HEAD.unpack_from(data, offset)
    if mark != FRAME_MARK or number != _UINT64:
        return None
    place = offset + _HEAD.size
    lead = data[place]
    if lead == _NIL:
        end = _item_end(data, place + 1)
        kind = "control" if end is None else _control_kind(data[place + 6 : end])
        records = 0
    elif lead == _ARRAY32:
        end, records = _columns_end(data, place)
        kind = "batch"
    else:
        middle = _item_end(data, place)
        end = None if middle is None else _item_end(data, middle, nil=True)
        kind = "delete" if middle is not None and data[middle : middle + 1] == b"\xc0" else "put"
        records = 1
    return None if end is None else FrameView(offset, end, checksum, sequence, kind, records)


def frame_starts(data: bytes, offset: int) -> Iterator[int]:
    """Every place from ``offset`` on where a frame could begin, judged by its first bytes."""
    return (match.start() for match in _START.finditer(data, offset))


def keys_of(data: bytes, frame: FrameView) -> list[bytes]:
    """The keys in a frame, in its order."""
    place = frame.offset + _HEAD.size
    if frame.kind == "batch":
        keys = []
        place += _BIN.size
        for _ in range(frame.records):
            end = _item_end(data, place)
            assert end is not None
            keys.append(data[place + _BIN.size : end])
            place = end
        return keys
    if not frame.records:
        return []
    end = _item_end(data, place)
    return [data[place + _BIN.size : end]]


def value_of(data: bytes, frame: FrameView) -> bytes:
    """The value of a put. REQUIRES: kind is put."""
    middle = _item_end(data, frame.offset + _HEAD.size)
    assert middle is not None
    return data[middle + _BIN.size : frame.end]


def promised_end(data: bytes, frame: FrameView) -> int:
    """The durable end that a promise gives. REQUIRES: kind is promise."""
    payload = frame.end - 12
    return int.from_bytes(data[payload : payload + 8], "big")


def _item_end(data: bytes, place: int, *, nil: bool = False) -> int | None:
    """The end of a bin, or of a nil where one is allowed."""
    if nil and data[place : place + 1] == b"\xc0":
        return place + 1
    if len(data) - place < _BIN.size:
        return None
    lead, size = _BIN.unpack_from(data, place)
    end = place + _BIN.size + size
    return end if lead == _BIN32 and end <= len(data) else None


def _columns_end(data: bytes, place: int) -> tuple[int | None, int]:
    """The end of a batch's two columns, and how many records they hold."""
    if len(data) - place < _BIN.size:
        return None, 0
    _, count = _BIN.unpack_from(data, place)
    end: int | None = place
    for nil in (False, True):
        assert end is not None
        if len(data) - end < _BIN.size or _BIN.unpack_from(data, end) != (_ARRAY32, count):
            return None, 0
        end += _BIN.size
        for _ in range(count):
            end = _item_end(data, end, nil=nil)
            if end is None:
                return None, 0
    return end, count


def _control_kind(payload: bytes) -> str:
    if payload.startswith(PROMISE_MARK):
        return "promise"
    return "seal" if is_seal(None, payload) else "control"
