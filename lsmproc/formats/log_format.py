"""The log format: how write-ahead log segments and manifests are laid out, byte by byte.

A log file is a header and then frames, one for each commit. All numbers are big-endian, as in msgpack::

    header, 64 bytes
    +--------+------+---------+-----+------+------------+--------+-------------+-----------------+------------+
    | magic  | kind | version | pad | salt | store uuid | number | predecessor | predecessor end | checksum   |
    | 8      | 1    | 1       | 2   | 4    | 16         | 8      | 8           | 8               | 4 + 4      |
    +--------+------+---------+-----+------+------------+--------+-------------+-----------------+------------+
      the last two fields: checksum of the predecessor's last frame, crc32 of the 60 bytes before

    frame: four msgpack objects
    +---------------+-----------------+-----------------------+--------------------------------+
    | ce crc32      | cf sequence     | c6 length key         | c6 length value  (put)         |
    |               |                 | c6 length key         | c0               (delete)      |
    |               |                 | dd count (c6 key)*    | dd count (c6 value | c0)*      |  (batch)
    |               |                 | c0                    | c6 length payload              |  (control)
    +---------------+-----------------+-----------------------+--------------------------------+

Because the frames are a valid msgpack stream, a whole segment is decoded in C, see ``frame_decoding.py``. Two
properties carry the safety:

*The checksum is chained.* A frame's crc32 covers the frame after its first five bytes and starts from the crc of
the frame before it; the first starts from the header's. So a frame only checks in its place, in its order, in its
segment, in its store. A zero byte never begins a frame, so the zeros of preallocated space end a log.

*The synced promise.* After each sync the writer appends a control frame that says up to which byte the log is
durable. The promise checks on its own, without the chain, so it is found behind damage: a bad frame below a
promise is corruption, a bad frame above every promise is the torn tail of a crash. A seal is the control frame
that ends a segment for good.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

from lsmproc.errors import CorruptionError

# Written to disk: do not change.
MAGIC = b"LSMPLOG\x01"
FORMAT_VERSION = 1
KIND_WAL = 1
KIND_MANIFEST = 2
PROMISE_MARK = b"\x93SYNCED\x93"
_SEAL_MARK = b"\x93SEALED\x93"

_HEADER = struct.Struct(">8sBBxxI16sQQQI")
_CHECKSUM = struct.Struct(">I")
HEADER_SIZE = _HEADER.size + _CHECKSUM.size
assert HEADER_SIZE == 64

_PROMISE = struct.Struct(">8sQI")
assert _PROMISE.size == 20

CRC_HEAD = struct.Struct(">BI")
_KEY_HEAD = struct.Struct(">BQBI")
BIN_HEAD = struct.Struct(">BI")
SEQUENCE_HEAD = struct.Struct(">BQ")
assert (CRC_HEAD.size, _KEY_HEAD.size, BIN_HEAD.size, SEQUENCE_HEAD.size) == (5, 14, 5, 9)

# The hottest path of the product: bound once. A frame is ``pack_frame_head(FRAME_MARK, checksum) + body``.
pack_frame_head: Callable[..., bytes] = CRC_HEAD.pack
_pack_key_head, _pack_bin_head = _KEY_HEAD.pack, BIN_HEAD.pack
FRAME_MARK, UINT64, BIN32, ARRAY32, NIL = 0xCE, 0xCF, 0xC6, 0xDD, b"\xc0"
# What a put frame takes beyond its key and value.
PUT_OVERHEAD = CRC_HEAD.size + _KEY_HEAD.size + BIN_HEAD.size


@dataclass(frozen=True, slots=True)
class LogHeader:
    """The first 64 bytes of a log file."""

    kind: int
    store_uuid: bytes  # 16 bytes
    number: int
    salt: int  # 32 random bits: two files never share a chain
    predecessor: int = 0  # file number, 0 for none
    predecessor_end: int = 0
    predecessor_checksum: int = 0


def encode_header(header: LogHeader) -> bytes:
    """The header's bytes. Their last four are the seed of the frames' chain, see :func:`chain_seed`."""
    fields = _HEADER.pack(
        MAGIC,
        header.kind,
        FORMAT_VERSION,
        header.salt,
        header.store_uuid,
        header.number,
        header.predecessor,
        header.predecessor_end,
        header.predecessor_checksum,
    )
    return fields + _CHECKSUM.pack(crc32(fields))


def decode_header(data: bytes, file: str) -> LogHeader:
    """The inverse of :func:`encode_header`; raises CorruptionError naming ``file``."""
    if len(data) < HEADER_SIZE:
        raise CorruptionError("the file ends inside the log header", file=file, offset=len(data))
    fields = data[: _HEADER.size]
    magic, kind, version, salt, store_uuid, number, predecessor, end, checksum = _HEADER.unpack(fields)
    if magic != MAGIC:
        raise CorruptionError("this is not a log file: the magic does not match", file=file, offset=0)
    if version != FORMAT_VERSION:
        raise CorruptionError(f"log format version {version} is unknown to this release", file=file, offset=9)
    if chain_seed(data) != crc32(fields):
        raise CorruptionError("the checksum of the log header does not match", file=file, offset=0)
    return LogHeader(kind, store_uuid, number, salt, predecessor, end, checksum)


def chain_seed(header: bytes) -> int:
    """Where the chain of checksums starts, for an encoded header."""
    seed: int = _CHECKSUM.unpack_from(header, _HEADER.size)[0]
    return seed


def put_body(sequence: int, key: bytes, value: bytes) -> bytes:
    """Body (all but the checksum) of the frame of one put."""
    return _pack_key_head(UINT64, sequence, BIN32, len(key)) + key + _pack_bin_head(BIN32, len(value)) + value


def delete_body(sequence: int, key: bytes) -> bytes:
    """Body of the frame of one delete."""
    return _KEY_HEAD.pack(UINT64, sequence, BIN32, len(key)) + key + NIL


def batch_body(sequence: int, keys: list[bytes], values: list[bytes | None]) -> bytes:
    """Body of the frame of a batch: parallel columns under one sequence number. None is a tombstone."""
    array_head = _pack_bin_head(ARRAY32, len(keys))
    return b"".join((SEQUENCE_HEAD.pack(UINT64, sequence), array_head, _column(keys), array_head, _column(values)))


def _column(items: Sequence[bytes | None]) -> bytes:
    """The items of an array one after the other; without bytecode for each if all are equally long."""
    lengths = list(map(len, items)) if None not in items else []  # type: ignore[arg-type]
    if lengths and lengths.count(lengths[0]) == len(lengths):
        head = _pack_bin_head(BIN32, lengths[0])
        return head + head.join(items)  # type: ignore[arg-type]
    return b"".join([NIL if item is None else _pack_bin_head(BIN32, len(item)) + item for item in items])


def promise_body(sequence: int, seed: int, durable_end: int) -> bytes:
    """Body of the control frame that promises: every byte before ``durable_end`` survives power loss."""
    fields = PROMISE_MARK + durable_end.to_bytes(8, "big")
    payload = _PROMISE.pack(PROMISE_MARK, durable_end, crc32(fields, seed))
    return _control_body(sequence, payload)


def seal_body(sequence: int) -> bytes:
    """Body of the control frame that ends a segment for good."""
    return _control_body(sequence, _SEAL_MARK)


def _control_body(sequence: int, payload: bytes) -> bytes:
    return SEQUENCE_HEAD.pack(UINT64, sequence) + NIL + BIN_HEAD.pack(BIN32, len(payload)) + payload


def frame(checksum: int, body: bytes) -> bytes:
    """A whole frame from its checksum (``crc32(body, checksum of the frame before)``) and body."""
    return pack_frame_head(FRAME_MARK, checksum) + body


def is_seal(key: object, value: object) -> bool:
    """True for the key and value of a decoded seal frame."""
    return key is None and value == _SEAL_MARK


def latest_promise(data: bytes, seed: int) -> int:
    """The highest durable end that any promise in ``data`` gives, 0 if there is none.

    Looks for promises byte by byte, not along the chain, so ``data`` may start in damage.
    """
    highest = 0
    position = data.rfind(PROMISE_MARK)  # half as long on its way as find
    while position >= 0:
        payload = data[position : position + _PROMISE.size]
        if len(payload) == _PROMISE.size:
            _, durable_end, check = _PROMISE.unpack(payload)
            if check == crc32(payload[:16], seed):
                highest = max(highest, durable_end)
        position = data.rfind(PROMISE_MARK, 0, position + len(PROMISE_MARK) - 1)
    return highest


def is_zeros(data: bytes) -> bool:
    """Whether ``data`` is nothing but zeros: space that was allocated and not written."""
    return data == bytes(len(data))  # One memcmp; strip() looks at every byte on its own.
