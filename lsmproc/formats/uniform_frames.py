"""Decoding a row of puts that are all equally long, as most logs of numbers, ids and fixed records hold them.

The general decoder in ``frame_decoding.py`` makes objects first and then works out where each frame began. Where keys
and values are as long as the first frame's, all of that is known beforehand: the bytes that say what follows are
compared as columns, each a slice with the frame's size as its step, and ``struct`` takes the frames apart. What comes
out is the same, in half the time; what is not such a row is left to the general decoder.
"""

from __future__ import annotations

from itertools import chain
from struct import Struct
from typing import Any
from zlib import crc32

from lsmproc.formats.log_format import BIN32, BIN_HEAD, CRC_HEAD, FRAME_MARK, PUT_OVERHEAD, UINT64

# Fewer are not worth the comparisons.
_FEWEST = 16
# Taken apart by one call: half of what a call for each takes.
_CUT_FRAMES = 64
# A frame's mark and checksum, mark and sequence, the key's head; then the key, the value's head, the value.
_FRAME_HEAD = Struct(">BIBQBI")
_MARK_OFFSETS = (0, 5, 14, 15, 16, 17, 18)
assert _FRAME_HEAD.size + BIN_HEAD.size == PUT_OVERHEAD


def uniform_puts(
    data: bytes, end: int, checksum: int, *, as_whole: bool = False
) -> tuple[list[int], list[bytes], list[bytes], int, int]:
    """The valid puts at the start of ``data[:end]`` that are as long as the first.

    The columns of sequences, keys and values, then the size of one frame and the checksum of the last; the columns are
    empty unless there are several in a row. ``checksum``: where the chain stands. ``as_whole``: what counts is that the
    records are right, even if a checksum between them is not.
    """
    lengths = _lengths(data, end)
    if lengths is None:
        return [], [], [], 0, checksum
    key_bytes, value_bytes = lengths
    size = PUT_OVERHEAD + key_bytes + value_bytes
    value_head = _FRAME_HEAD.size + key_bytes
    count = _alike(data, size, end // size, (*_MARK_OFFSETS, *range(value_head, value_head + BIN_HEAD.size)))
    if count < _FEWEST:
        return [], [], [], 0, checksum
    if as_whole and (last := _checksum_of_all(data, size, count, checksum)) is not None:
        checksum = last
    else:
        count, checksum = _valid(data, size, count, checksum)
    return (*_columns(data, size, count, f"6xQ5x{key_bytes}s5x{value_bytes}s"), size, checksum)


def _checksum_of_all(data: bytes, size: int, count: int, checksum: int) -> int | None:
    """The checksum of the last frame if it is right, which proves the bodies of all; else None.

    Each checksum starts from the one before, so the last is that of all bodies one after the other. Saying so of a
    thousand frames in one call costs a quarter of a call for each.
    """
    bodies = bytearray(memoryview(data)[: count * size])
    for taken in range(CRC_HEAD.size):
        del bodies[:: size - taken]
    _, last = CRC_HEAD.unpack_from(data, (count - 1) * size)
    return last if crc32(bodies, checksum) == last else None


def _valid(data: bytes, size: int, count: int, checksum: int) -> tuple[int, int]:
    """How many of ``count`` frames are valid, and where the chain stands behind them."""
    frames = Struct(f">xI{size - CRC_HEAD.size}s").iter_unpack(memoryview(data)[: count * size])
    flat = list(chain.from_iterable(frames))
    checksums: list[int] = flat[::2]
    # Each stored checksum seeds the next. There is one seed more than there are bodies: map stops with the bodies.
    actual = list(map(crc32, flat[1::2], chain((checksum,), checksums)))
    if actual != checksums:
        count = next(i for i in range(count) if actual[i] != checksums[i])
    return count, checksums[count - 1] if count else checksum


def _columns(data: bytes, size: int, count: int, frame: str) -> tuple[list[int], list[bytes], list[bytes]]:
    """The sequences, keys and values of ``count`` frames of the format ``frame``."""
    cut = Struct(">" + frame * _CUT_FRAMES).unpack_from
    whole = count - count % _CUT_FRAMES
    flat: list[Any] = []
    for start in range(0, whole * size, _CUT_FRAMES * size):
        flat += cut(data, start)
    flat += Struct(">" + frame * (count - whole)).unpack_from(data, whole * size)
    return flat[::3], flat[1::3], flat[2::3]


def _lengths(data: bytes, end: int) -> tuple[int, int] | None:
    """How long the key and the value of the first frame are; None if it is no whole put."""
    if end < _FRAME_HEAD.size:
        return None
    first, _, second, _, third, key_bytes = _FRAME_HEAD.unpack_from(data)
    value_head = _FRAME_HEAD.size + key_bytes
    if (first, second, third) != (FRAME_MARK, UINT64, BIN32) or value_head + BIN_HEAD.size > end:
        return None
    mark, value_bytes = BIN_HEAD.unpack_from(data, value_head)
    return (key_bytes, value_bytes) if mark == BIN32 else None


def _alike(data: bytes, size: int, count: int, offsets: tuple[int, ...]) -> int:
    """How many frames of ``size``, of ``count``, have the bytes of the first one at all ``offsets``."""
    for offset in offsets:
        column, wanted = data[offset : count * size : size], data[offset : offset + 1]
        if column != wanted * count:
            count -= len(column.lstrip(wanted))
        if count < _FEWEST:
            break
    return count
