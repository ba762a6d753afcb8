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

Because the frames are a valid msgpack stream, a whole segment is decoded in C. Two properties carry the safety:

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
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from operator import add
from typing import Any
from zlib import crc32

import msgpack

from lsmproc.errors import CorruptionError
from lsmproc.formats.bounded_msgpack import refuse_extension, refuse_map
from lsmproc.record_limits import MAX_VALUE_BYTES

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

_CRC_HEAD = struct.Struct(">BI")
_KEY_HEAD = struct.Struct(">BQBI")
_BIN_HEAD = struct.Struct(">BI")
_SEQUENCE_HEAD = struct.Struct(">BQ")
assert (_CRC_HEAD.size, _KEY_HEAD.size, _BIN_HEAD.size, _SEQUENCE_HEAD.size) == (5, 14, 5, 9)

# The hottest path of the product: bound once. A frame is ``pack_frame_head(FRAME_MARK, checksum) + body``.
pack_frame_head, _pack_key_head, _pack_bin_head = _CRC_HEAD.pack, _KEY_HEAD.pack, _BIN_HEAD.pack
FRAME_MARK, _UINT64, _BIN32, _ARRAY32, _NIL = 0xCE, 0xCF, 0xC6, 0xDD, b"\xc0"
# What a put frame takes beyond its key and value.
PUT_OVERHEAD = _CRC_HEAD.size + _KEY_HEAD.size + _BIN_HEAD.size

_SMALLEST_STEP = 64  # bytes: below, looking at each is faster than halving on
_FRAME_LEAD, _ARRAY_LEAD = bytes((FRAME_MARK,)), bytes((_ARRAY32,))

# Longer arrays are read item by item: nested, arrays of n items take memory for n at each of a thousand depths.
_LARGEST_ARRAY, _SLICE_ITEMS = 2048, 4096

FrameKey = bytes | tuple[bytes, ...] | None
FrameValue = bytes | tuple["bytes | None", ...] | None


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
    return _pack_key_head(_UINT64, sequence, _BIN32, len(key)) + key + _pack_bin_head(_BIN32, len(value)) + value


def delete_body(sequence: int, key: bytes) -> bytes:
    """Body of the frame of one delete."""
    return _KEY_HEAD.pack(_UINT64, sequence, _BIN32, len(key)) + key + _NIL


def batch_body(sequence: int, keys: list[bytes], values: list[bytes | None]) -> bytes:
    """Body of the frame of a batch: parallel columns under one sequence number. None is a tombstone."""
    array_head = _pack_bin_head(_ARRAY32, len(keys))
    return b"".join((_SEQUENCE_HEAD.pack(_UINT64, sequence), array_head, _column(keys), array_head, _column(values)))


def _column(items: Sequence[bytes | None]) -> bytes:
    """The items of an array one after the other; without bytecode for each if all are equally long."""
    lengths = list(map(len, items)) if None not in items else []  # type: ignore[arg-type]
    if lengths and lengths.count(lengths[0]) == len(lengths):
        head = _pack_bin_head(_BIN32, lengths[0])
        return head + head.join(items)  # type: ignore[arg-type]
    return b"".join([_NIL if item is None else _pack_bin_head(_BIN32, len(item)) + item for item in items])


def promise_body(sequence: int, seed: int, durable_end: int) -> bytes:
    """Body of the control frame that promises: every byte before ``durable_end`` survives power loss."""
    fields = PROMISE_MARK + durable_end.to_bytes(8, "big")
    payload = _PROMISE.pack(PROMISE_MARK, durable_end, crc32(fields, seed))
    return _control_body(sequence, payload)


def seal_body(sequence: int) -> bytes:
    """Body of the control frame that ends a segment for good."""
    return _control_body(sequence, _SEAL_MARK)


def _control_body(sequence: int, payload: bytes) -> bytes:
    return _SEQUENCE_HEAD.pack(_UINT64, sequence) + _NIL + _BIN_HEAD.pack(_BIN32, len(payload)) + payload


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
    position = data.find(PROMISE_MARK)
    while position >= 0:
        payload = data[position : position + _PROMISE.size]
        if len(payload) == _PROMISE.size:
            _, durable_end, check = _PROMISE.unpack(payload)
            if check == crc32(payload[:16], seed):
                highest = max(highest, durable_end)
        position = data.find(PROMISE_MARK, position + 1)
    return highest


@dataclass(frozen=True, slots=True)
class DecodedFrames:
    """The longest run of valid frames at the start of some bytes, as columns."""

    sequences: list[int]
    keys: list[FrameKey]
    values: list[FrameValue]
    size: int  # bytes that the valid frames take
    checksum: int  # of the last valid frame, or the one given if there is none


def decode_frames(data: bytes, checksum: int) -> DecodedFrames:
    """Decode and check frames from the start of ``data``, whose chain stands at ``checksum``.

    Stops without raising at the first byte that does not belong to a valid whole frame; what that means
    (end, more to read, torn tail, corruption) is for the caller to say. Runs in C but for a few calls per chunk.
    """
    # The zeros of preallocated space would decode to one integer object each.
    end = _end_without_zeros(data)
    run = _decode_run(data, 0, end, checksum)
    # What is left may begin with a large batch, or be a last frame whose own zeros were cut off above.
    while single := decode_frame(data, run.checksum, run.size):
        if not single.size:
            break
        start = run.size + single.size
        after = _decode_run(data, start, max(start, end), single.checksum)
        for part in (single, after):
            run.sequences.extend(part.sequences)
            run.keys.extend(part.keys)
            run.values.extend(part.values)
        run = DecodedFrames(run.sequences, run.keys, run.values, start + after.size, after.checksum)
    return run


def decode_frame(data: bytes, checksum: int, start: int = 0) -> DecodedFrames | None:
    """Decode and check the one frame that begins at ``start``, however large its batch is.

    No frames if there is no valid one; None if ``data`` ends before that is known. Takes memory only for what a
    writer could have written, whatever the frame says of itself.
    """
    nothing = DecodedFrames([], [], [], 0, checksum)
    if data[start : start + 1] != _FRAME_LEAD:
        return nothing if start < len(data) else None
    unpacker = _unpacker(len(data) - start, 0)
    unpacker.feed(memoryview(data)[start:])
    try:
        stored, sequence = unpacker.unpack(), unpacker.unpack()
        key = _read_column(unpacker, data, start, None)
        value = _read_column(unpacker, data, start, key)
    except msgpack.OutOfData:
        return None
    except (ValueError, TypeError, msgpack.UnpackException, CorruptionError):
        return nothing
    size = unpacker.tell()
    sound = type(stored) is type(sequence) is int and _frame_sizes([key], [value]) == [size]
    if sound and crc32(memoryview(data)[start + _CRC_HEAD.size : start + size], checksum) == stored:
        return DecodedFrames([sequence], [key], [value], size, stored)
    return nothing


def is_zeros(data: bytes) -> bool:
    """Whether ``data`` is nothing but zeros: space that was allocated and not written."""
    return data == bytes(len(data))  # One memcmp; strip() looks at every byte on its own.


def _end_without_zeros(data: bytes) -> int:
    """Where the last byte of ``data`` ends that is not zero, found by halving."""
    end = len(data)
    step = end // 2
    while step > _SMALLEST_STEP:
        if is_zeros(data[end - step : end]):
            end -= step
        step = min(step, end) // 2
    while end and not data[end - 1]:
        end -= 1
    return end


def _unpacker(size: int, largest_array: int) -> Any:
    """A decoder of ``size`` bytes that takes nothing but numbers, nil, bytes and, up to a length, arrays."""
    # No writer produces maps, strings or extensions: refusing them bounds what a damaged log can make of memory.
    return msgpack.Unpacker(
        use_list=False,
        max_array_len=largest_array,
        max_bin_len=MAX_VALUE_BYTES,
        max_map_len=0,
        max_str_len=0,
        max_ext_len=0,
        object_pairs_hook=refuse_map,
        ext_hook=refuse_extension,
        max_buffer_size=max(size, 1),
    )


def _decode_run(data: bytes, start: int, end: int, checksum: int) -> DecodedFrames:
    """The valid frames in ``data[start:end]``, up to the first that holds a large batch."""
    unpacker = _unpacker(end - start, _LARGEST_ARRAY)
    unpacker.feed(memoryview(data)[start:end])
    flat: list[Any] = []
    # What follows the last good object may be no msgpack. list.extend keeps what it got before the exception.
    with suppress(ValueError, TypeError, msgpack.UnpackException, CorruptionError):
        flat.extend(unpacker)
    return _checked(data, start, end, flat, checksum)


def _read_column(unpacker: Any, data: bytes, start: int, keys: Any) -> Any:
    """The next object; an array, the keys of a batch or the values to its ``keys``, is read item by item.

    Raises ValueError at the first few items that no writer wrote, before the rest takes memory.
    """
    place = unpacker.tell()
    if data[start + place : start + place + 1] != _ARRAY_LEAD:
        return unpacker.unpack()
    missing = unpacker.read_array_header()
    if keys is not None and (type(keys) is not tuple or missing != len(keys)):
        raise ValueError("a batch has another number of values than of keys")
    place += _BIN_HEAD.size
    column: list[Any] = []
    while missing:
        items = list(islice(unpacker, min(missing, _SLICE_ITEMS)))
        if len(items) < min(missing, _SLICE_ITEMS):
            raise msgpack.OutOfData
        deletes = 0 if keys is None else items.count(None)
        place += _BIN_HEAD.size * (len(items) - deletes) + deletes + sum(map(len, filter(None, items)))
        if place != unpacker.tell():
            raise ValueError("a batch holds something else than keys and values")
        column += items
        missing -= len(items)
    return tuple(column)


def _checked(data: bytes, start: int, end: int, flat: list[Any], checksum: int) -> DecodedFrames:
    """Cut the objects decoded from ``data[start:end]`` into frames and keep those whose chained checksums match."""
    count = len(flat) // 4
    checksums, sequences, keys, values = (flat[column : count * 4 : 4] for column in range(4))
    sizes = _frame_sizes(keys, values)
    if len(sizes) < count or not set(map(type, checksums)) <= {int} or not set(map(type, sequences)) <= {int}:
        count = _well_formed(checksums, sequences, len(sizes))
        checksums, sequences, keys, values = checksums[:count], sequences[:count], keys[:count], values[:count]
    ends = list(accumulate(sizes[:count], initial=start))[1:]
    body_starts = accumulate(sizes[:count], initial=start + _CRC_HEAD.size)
    # There is one start more than there are ends: map stops at the shorter of the two.
    bodies = list(map(data.__getitem__, map(slice, body_starts, ends)))
    # Each stored checksum seeds the next.
    actual = list(map(crc32, bodies, chain((checksum,), checksums)))
    if actual != checksums or (ends and ends[-1] > end):
        whole = bisect_right(ends, end)
        count = next((i for i in range(whole) if actual[i] != checksums[i]), whole)
    return DecodedFrames(
        sequences[:count],
        keys[:count],
        values[:count],
        ends[count - 1] - start if count else 0,
        checksums[count - 1] if count else checksum,
    )


def _frame_sizes(keys: list[Any], values: list[Any]) -> list[int]:
    """Bytes of each frame, up to the first whose key or value has a type no writer produces."""
    if set(map(type, keys)) <= {bytes} and set(map(type, values)) <= {bytes}:
        return list(map(PUT_OVERHEAD.__add__, map(add, map(len, keys), map(len, values))))
    sizes = []
    for key, value in zip(keys, values, strict=True):
        size = _frame_size(key, value)
        if size is None:
            break
        sizes.append(size)
    return sizes


def _frame_size(key: object, value: object) -> int | None:
    """Bytes of the frame that a writer makes of these two, None if it never makes one."""
    size = _CRC_HEAD.size + _SEQUENCE_HEAD.size
    if type(key) is tuple and type(value) is tuple:
        types = set(map(type, value))
        if len(key) != len(value) or not set(map(type, key)) <= {bytes} or not types <= {bytes, type(None)}:
            return None
        deletes = value.count(None) if type(None) in types else 0
        heads = 2 + 2 * len(key) - deletes
        return size + heads * _BIN_HEAD.size + deletes + sum(map(len, key)) + sum(map(len, filter(None, value)))
    if type(key) is bytes and type(value) is bytes:
        return PUT_OVERHEAD + len(key) + len(value)
    if type(key) is bytes and value is None:
        return size + _BIN_HEAD.size + len(key) + len(_NIL)
    if key is None and type(value) is bytes:
        return size + len(_NIL) + _BIN_HEAD.size + len(value)
    return None


def _well_formed(checksums: list[Any], sequences: list[Any], count: int) -> int:
    """How many leading frames have integers where a checksum and a sequence belong."""
    for i in range(count):
        if type(checksums[i]) is not int or type(sequences[i]) is not int or not 0 <= checksums[i] < 1 << 32:
            return i
    return count
