"""Numbers in byte planes: the lowest bytes of all of them, then all second bytes, up to the eighth.

Numbers of one block that are close to each other then have long runs of equal bytes, which compress to nothing.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence


def planes_of(sequences: Sequence[int]) -> bytes:
    """The planes of some u64s."""
    return planes_between(little_endian(array("Q", sequences)), 0, len(sequences))


def little_endian(numbers: array[int]) -> bytes:
    """The bytes of some u64s, the lowest first."""
    if sys.byteorder == "big":
        numbers = array("Q", numbers)
        numbers.byteswap()
    return numbers.tobytes()


def planes_between(numbers: bytes, start: int, stop: int) -> bytes:
    """The planes of the numbers ``[start, stop)`` of those that :func:`little_endian` gave."""
    data = numbers[8 * start : 8 * stop]
    return b"".join((data[0::8], data[1::8], data[2::8], data[3::8], data[4::8], data[5::8], data[6::8], data[7::8]))


def decode_sequences(blocks: Sequence[bytes]) -> list[int]:
    """The sequence numbers of successive blocks, given as their planes: several at once cost half as much."""
    parts = [(planes, len(planes) // 8) for planes in blocks]
    numbers = bytearray(8 * sum([count for _, count in parts]))
    for plane in range(8):
        numbers[plane::8] = b"".join([planes[plane * count : (plane + 1) * count] for planes, count in parts])
    column = array("Q", bytes(numbers))
    if sys.byteorder == "big":
        column.byteswap()
    return column.tolist()


def sequence_at(planes: bytes, index: int) -> int:
    """The sequence number of the record ``index``, from the block's planes."""
    return int.from_bytes(planes[index :: len(planes) // 8], "little")
