"""Decoding the frames of a log (see ``log_format``), in C but for a few calls per chunk of bytes.

Takes memory in proportion to the bytes it is given, whatever they say of themselves, and keeps the longest run of
frames whose chained checksums match; what it means that the run ends is for the caller to say.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from operator import add
from typing import Any
from zlib import crc32

import msgpack

from lsmproc.errors import CorruptionError
from lsmproc.formats.bounded_msgpack import refuse_extension, refuse_map
from lsmproc.formats.log_format import (
    ARRAY32,
    BIN_HEAD,
    CRC_HEAD,
    FRAME_MARK,
    NIL,
    PUT_OVERHEAD,
    SEQUENCE_HEAD,
    is_zeros,
)
from lsmproc.formats.uniform_frames import uniform_puts
from lsmproc.record_limits import MAX_VALUE_BYTES

_SMALLEST_STEP = 64  # bytes: below, looking at each is faster than halving on
_FRAME_LEAD, _ARRAY_LEAD = bytes((FRAME_MARK,)), bytes((ARRAY32,))

# Longer arrays are read item by item: nested, arrays of n items take memory for n at each of a thousand depths.
_LARGEST_ARRAY, _SLICE_ITEMS = 2048, 4096

FrameKey = bytes | tuple[bytes, ...] | None
FrameValue = bytes | tuple["bytes | None", ...] | None


@dataclass(frozen=True, slots=True)
class DecodedFrames:
    """The longest run of valid frames at the start of some bytes, as columns."""

    sequences: list[int]
    keys: list[FrameKey]
    values: list[FrameValue]
    size: int  # bytes that the valid frames take
    checksum: int  # of the last valid frame, or the one given if there is none
    plain: bool = False  # every key is bytes, so there are no batches, promises or seals; True only if that is known


def decode_frames(data: bytes, checksum: int, *, as_whole: bool = False) -> DecodedFrames:
    """Decode and check frames from the start of ``data``, whose chain stands at ``checksum``.

    Stops without raising at the first byte that does not belong to a valid whole frame; what that means
    (end, more to read, torn tail, corruption) is for the caller to say. Runs in C but for a few calls per chunk.
    ``as_whole``: of a log that is known to go on to a later checksum, a damaged checksum in a row of equally long puts
    need not be found if the records around it are proven to be right; it takes less than half the time.
    """
    # The zeros of preallocated space would decode to one integer object each.
    end = _end_without_zeros(data)
    run = _uniform_run(data, end, checksum, as_whole=as_whole)
    run = _joined(run, _decode_run(data, run.size, max(run.size, end), run.checksum))
    # What is left may begin with a large batch, or be a last frame whose own zeros were cut off above.
    while single := decode_frame(data, run.checksum, run.size):
        if not single.size:
            break
        start = run.size + single.size
        run = _joined(_joined(run, single), _decode_run(data, start, max(start, end), single.checksum))
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
    if sound and crc32(memoryview(data)[start + CRC_HEAD.size : start + size], checksum) == stored:
        return DecodedFrames([sequence], [key], [value], size, stored, plain=type(key) is bytes)
    return nothing


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


def _uniform_run(data: bytes, end: int, checksum: int, *, as_whole: bool) -> DecodedFrames:
    """The valid frames at the start of ``data[:end]`` that are puts as long as the first."""
    sequences, keys, values, size, last = uniform_puts(data, end, checksum, as_whole=as_whole)
    return DecodedFrames(sequences, keys, values, len(keys) * size, last, plain=True)  # type: ignore[arg-type]


def _joined(run: DecodedFrames, after: DecodedFrames) -> DecodedFrames:
    """Both as one; the lists of the first grow."""
    if not after.size:
        return run
    if not run.size:
        return after
    run.sequences.extend(after.sequences)
    run.keys.extend(after.keys)
    run.values.extend(after.values)
    return DecodedFrames(
        run.sequences, run.keys, run.values, run.size + after.size, after.checksum, run.plain and after.plain
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
    place += BIN_HEAD.size
    column: list[Any] = []
    while missing:
        items = list(islice(unpacker, min(missing, _SLICE_ITEMS)))
        if len(items) < min(missing, _SLICE_ITEMS):
            raise msgpack.OutOfData
        deletes = 0 if keys is None else items.count(None)
        place += BIN_HEAD.size * (len(items) - deletes) + deletes + sum(map(len, filter(None, items)))
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
    body_starts = accumulate(sizes[:count], initial=start + CRC_HEAD.size)
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
        plain=set(map(type, keys)) <= {bytes},
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
    size = CRC_HEAD.size + SEQUENCE_HEAD.size
    if type(key) is tuple and type(value) is tuple:
        types = set(map(type, value))
        if len(key) != len(value) or not set(map(type, key)) <= {bytes} or not types <= {bytes, type(None)}:
            return None
        deletes = value.count(None) if type(None) in types else 0
        heads = 2 + 2 * len(key) - deletes
        return size + heads * BIN_HEAD.size + deletes + sum(map(len, key)) + sum(map(len, filter(None, value)))
    if type(key) is bytes and type(value) is bytes:
        return PUT_OVERHEAD + len(key) + len(value)
    if type(key) is bytes and value is None:
        return size + BIN_HEAD.size + len(key) + len(NIL)
    if key is None and type(value) is bytes:
        return size + len(NIL) + BIN_HEAD.size + len(value)
    return None


def _well_formed(checksums: list[Any], sequences: list[Any], count: int) -> int:
    """How many leading frames have integers where a checksum and a sequence belong."""
    for i in range(count):
        if type(checksums[i]) is not int or type(sequences[i]) is not int or not 0 <= checksums[i] < 1 << 32:
            return i
    return count
