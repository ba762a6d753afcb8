"""Values that say who wrote them, so that a wrong one names its origin.

::

    +-------+-------+------+-------+--------+-------+----------+------------+-----+----------------+
    | magic | crc32 | seed | cycle | thread | index | position | key length | key | filling        |
    | 4     | 4     | 8    | 4     | 2      | 4     | 2        | 2          |     | to the length  |
    +-------+-------+------+-------+--------+-------+----------+------------+-----+----------------+
      the crc32 covers everything after itself; all numbers are big-endian

The empty value is used too, and says nothing: it must not be taken for a deletion.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from functools import cache
from zlib import crc32

_MAGIC = b"LSMV"
_HEAD = struct.Struct(">4sI")
_STAMP = struct.Struct(">QIHIHH")
_STAMP_OFFSET = _HEAD.size
_KEY_OFFSET = _HEAD.size + _STAMP.size
assert (_HEAD.size, _STAMP.size) == (8, 22)

MINIMUM_SIZE = 64  # bytes of a stamped value with a short key
MAXIMUM_SIZE = 1 << 20
_FILLING_PERIOD = 1 << 16


@dataclass(frozen=True, slots=True, order=True)
class OperationId:
    """Which operation of which thread; ordered as one thread issues them."""

    cycle: int
    index: int
    thread: int


def stamped_value(seed: int, operation: OperationId, position: int, key: bytes, size: int) -> bytes:
    """The value of ``size`` bytes (0, or at least MINIMUM_SIZE) that an operation writes at a position of its batch."""
    if not size:
        return b""
    stamp = _STAMP.pack(seed, operation.cycle, operation.thread, operation.index, position, len(key))
    start = (operation.index * 131 + position) % _FILLING_PERIOD
    rest = b"".join((stamp, key, _filling(seed)[start : start + size - _KEY_OFFSET - len(key)]))
    return _HEAD.pack(_MAGIC, crc32(rest)) + rest


def describe_value(value: bytes, seed: int, key: bytes) -> str:
    """Where a value comes from, in words, for a report about ``key``."""
    if not value:
        return "an empty value"
    if len(value) < _KEY_OFFSET or value[:4] != _MAGIC:
        return f"{len(value)} bytes that no operation wrote: {value[:24]!r}"
    if _HEAD.unpack_from(value)[1] != crc32(value[_STAMP_OFFSET:]):
        return f"{len(value)} bytes whose checksum does not match"
    written_seed, cycle, thread, index, position, key_size = _STAMP.unpack_from(value, _STAMP_OFFSET)
    origin = f"the value of operation {index} of thread {thread} in cycle {cycle}, record {position}"
    if written_seed != seed:
        origin += f" of another run (seed {written_seed})"
    written_key = value[_KEY_OFFSET : _KEY_OFFSET + key_size]
    return origin if written_key == key else f"{origin}, which wrote it to {written_key!r}"


@cache
def _filling(seed: int) -> bytes:
    """Bytes to cut fillings from; computed once for a seed."""
    period = random.Random(seed).randbytes(_FILLING_PERIOD)  # noqa: S311 - filling, not a secret
    return period * (MAXIMUM_SIZE // _FILLING_PERIOD + 2)
