"""Finds sealed blocks in a stretch of a table without an index.

A sealed block ends with its codec, its raw length and a checksum that is bound to the place where the block begins.
So the end of a block that begins at a known place is found by trying each place that could be an end: few look like
one, and of those only the right one matches a 64-bit checksum. When a block is damaged, nobody knows where the next
one begins; then each place that could be an end is taken for the end of it, and every beginning is tried that its
raw length allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from lsmproc.formats.block import STORED_OVERHEAD, TRAILER, checksum_of
from lsmproc.formats.compression import Codec

TRAILER_BYTES = STORED_OVERHEAD

Read = Callable[[int, int], bytes]

_CHECKSUM_BYTES = 8  # at the end of the trailer
_WINDOW_BYTES = 1 << 20
# A block is at least searched for so far behind its beginning: one that holds a single value may have 64 MiB.
_LARGE_WINDOW_BYTES = 160 << 20
# What is hashed and looked at in one window at most, before the search goes on behind it: no input makes it take for
# ever. Blocks of real tables need a thousandth of it.
_HASH_BYTES = 16 << 30
_MOST_LOOKS = 1_000_000

# A codec and a raw length, not zero: of at most 128 KiB, as almost all blocks have, and of at most 128 MiB. The
# patterns look ahead, since any byte may begin one. In random bytes the first is found once in two mebibytes.
_SMALL = re.compile(rb"(?=[\x00-\x02](?!\x00{3})..[\x00\x01]\x00)", re.DOTALL)
_LARGE = re.compile(rb"(?=[\x00-\x02](?!\x00{4})...[\x00-\x08])", re.DOTALL)
_MOST_EXPANSION = 255  # of lz4; blocks that zstd shrank by more are only found with an index


def trailer_of(stored: bytes) -> tuple[int, int]:
    """Codec and raw length as a stored block states them. REQUIRES: at least TRAILER_BYTES."""
    codec, raw_bytes, _ = TRAILER.unpack_from(stored, len(stored) - STORED_OVERHEAD)
    return codec, raw_bytes


def next_sealed(read: Read, unique_id: int, start: int, stop: int) -> tuple[int, int] | None:
    """Offset and size of the first sealed block in ``[start, stop)``; None if there is none.

    Right behind damage only a block of at most 128 KiB is found; larger ones there are lost with it.
    """
    window = _Window(read(start, min(_WINDOW_BYTES, stop - start)), start, unique_id)
    found = window.block_at_start(_SMALL) or window.block_at_start(_LARGE)
    if found is None and stop - start > _WINDOW_BYTES:
        large = _Window(read(start, min(_LARGE_WINDOW_BYTES, stop - start)), start, unique_id)
        found = large.block_at_start(_LARGE)
    place = start
    while found is None and place < stop:
        found = _Window(read(place, min(_WINDOW_BYTES, stop - place)), place, unique_id).block_behind_damage()
        place += _WINDOW_BYTES // 2
    return found


class _Window:
    """Some bytes of a table, and the search for a block in them."""

    def __init__(self, data: bytes, base: int, unique_id: int) -> None:
        self._data = data
        self._base = base
        self._unique_id = unique_id
        self._hash_bytes = _HASH_BYTES
        self._looks = _MOST_LOOKS

    def block_at_start(self, trailers: re.Pattern[bytes]) -> tuple[int, int] | None:
        """The block that begins with the first byte."""
        for end in self._ends(trailers):
            first, last = self._beginnings(end)
            if first <= 0 <= last and self._checks(0, end):
                return self._base, end
        return None

    def block_behind_damage(self) -> tuple[int, int] | None:
        """The first block that begins anywhere. What its trailer says leaves few places for its beginning."""
        for end in self._ends(_SMALL):
            first, last = self._beginnings(end)
            for begin in range(max(0, first), last + 1):
                if self._checks(begin, end):
                    return self._base + begin, end - begin
        return None

    def _ends(self, trailers: re.Pattern[bytes]) -> Iterator[int]:
        """Every place behind what could be the trailer of a block, while the limits last."""
        stop = max(0, len(self._data) - _CHECKSUM_BYTES)
        for match in trailers.finditer(self._data, 0, stop):
            self._looks -= 1
            if self._looks < 0 or self._hash_bytes < 0:
                return
            yield match.start() + STORED_OVERHEAD

    def _beginnings(self, end: int) -> tuple[int, int]:
        """The first and the last place where the block that ends there could begin, by codec and raw length."""
        codec, raw_bytes, _ = TRAILER.unpack_from(self._data, end - STORED_OVERHEAD)
        payload_end = end - STORED_OVERHEAD
        if codec == Codec.NONE:
            return payload_end - raw_bytes, payload_end - raw_bytes
        return payload_end - raw_bytes + 1, payload_end - max(1, raw_bytes // _MOST_EXPANSION)

    def _checks(self, begin: int, end: int) -> bool:
        self._looks -= 1
        self._hash_bytes -= end - begin
        if self._looks < 0 or self._hash_bytes < 0:
            return False
        payload = memoryview(self._data)[begin : end - STORED_OVERHEAD]
        codec, raw_bytes, checksum = TRAILER.unpack_from(self._data, end - STORED_OVERHEAD)
        seed = self._unique_id ^ (self._base + begin)
        return bool(checksum == checksum_of(payload, codec, raw_bytes, seed))
