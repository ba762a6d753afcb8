"""Decoding a row of puts that are all equally long, as most logs of numbers, ids and fixed records hold them.

The general decoder in ``frame_decoding.py`` makes objects first and then works out where each frame began. Where keys
and values are as long as the first frame's, all of that is known beforehand: the bytes that say what follows are
compared as columns, each a slice with the frame's size as its step, and ``struct`` takes the frames apart. What comes
out is the same, in half the time; what is not such a row is left to the general decoder.
"""

from __future__ import annotations

from itertools import chain
from struct import Struct
from zlib import crc32

from lsmproc.formats.log_format import BIN32, BIN_HEAD, CRC_HEAD, FRAME_MARK, PUT_OVERHEAD, UINT64

# Fewer are not worth the comparisons.
_FEWEST = 16
# A frame's mark and checksum, mark and sequence, the key's head; then the key, the value's head, the value.
_FRAME_HEAD = Struct(">BIBQBI")
_MARK_OFFSETS = (0, 5, 14, 15, 16, 17, 18)
assert _FRAME_HEAD.size + BIN_HEAD.size == PUT_OVERHEAD


def uniform_puts(data: bytes, end: int, checksum: int) -> tuple[list[int], list[int], list[bytes], list[bytes], int]:
    """The valid puts at the start of ``data[:end]`` that are as long as the first: columns, and the size of one frame.

    The columns are the checksums, the sequences, the keys and the values; empty unless there are several in a row.
    ``checksum``: where the chain stands.
    """
    nothing: tuple[list[int], list[int], list[bytes], list[bytes], int] = ([], [], [], [], 0)
    lengths = _lengths(data, end)
    if lengths is None:
        return nothing
    key_bytes, value_bytes = lengths
    size = PUT_OVERHEAD + key_bytes + value_bytes
    value_head = _FRAME_HEAD.size + key_bytes
    count = _alike(data, size, end // size, (*_MARK_OFFSETS, *range(value_head, value_head + BIN_HEAD.size)))
    if count < _FEWEST:
        return nothing
    frames = memoryview(data)[: count * size]
    row = Struct(f">xIxQ5x{key_bytes}s5x{value_bytes}s")
    flat = list(chain.from_iterable(row.iter_unpack(frames)))
    checksums: list[int] = flat[::4]
    bodies = chain.from_iterable(Struct(f"{CRC_HEAD.size}x{size - CRC_HEAD.size}s").iter_unpack(frames))
    # Each stored checksum seeds the next. There is one seed more than there are bodies: map stops with the bodies.
    actual = list(map(crc32, bodies, chain((checksum,), checksums)))
    if actual != checksums:
        count = next(i for i in range(count) if actual[i] != checksums[i])
    return checksums[:count], flat[1 : 4 * count : 4], flat[2 : 4 * count : 4], flat[3 : 4 * count : 4], size


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
