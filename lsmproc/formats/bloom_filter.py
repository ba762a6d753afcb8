"""The filters of a table: a register-blocked bloom filter, and no filter at all.

A key is known by its hash, ``xxh3-64(key)``, so that a read hashes a key once for all tables. The filter is an
array of 64-bit words, little-endian on disk::

    word index   (hash >> 12 & 0x3FFFFFFF) % word count
    mask         MASKS[hash & 4095]: six of the lower 60 bits
    a key may be in the table if  words[index] & mask == mask

Thirty bits of a number, and sixty of a word, are what the interpreter calculates with in one and in two steps.

One word per probe (Putze, Sanders, Singler: "Cache-, Hash- and Space-Efficient Bloom Filters", 2007) costs a few
more false positives than bits spread over the whole filter, and is three times as fast here. Measured with
100,000 keys: 1.2 % false positives at 12 bits a key and 0.55 % at 16. Six bits a mask are the best of three to eight
at 16 bits a key, and within a tenth of the best, five, at 12.

The mask table is drawn from xxh3 with its index as the seed: it is part of the format and must never change.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from functools import cache

import xxhash

from lsmproc.errors import CorruptionError

# Written to disk: do not change.
MASK_COUNT = 4096
MASK_BITS = 6
USED_BITS = 60
PLACE_MASK = 0x3FFFFFFF

WORD_BYTES = 8
_PLACE_SHIFT = 12

# Hashes that are split at once: their numbers stay in the processor's nearest cache.
_STEP_HASHES = 2048
_EVERY_PLACE = int.from_bytes(PLACE_MASK.to_bytes(WORD_BYTES, "little") * _STEP_HASHES, "little")
# So many times the masks, and the lowest 16 bits of a hash say which, as its lowest 12 do.
_MASKS_REPEATED = (1 << 16) // MASK_COUNT
_ALL_ONES = (1 << 64) - 1


class BlockedBloomFilter:
    """The filter read back from a table."""

    __slots__ = ("masks", "word_count", "words")

    def __init__(self, data: bytes) -> None:
        """Wrap the bytes that :func:`build_bloom_filter` made; raises CorruptionError on a wrong length."""
        if not data or len(data) % WORD_BYTES:
            raise CorruptionError(f"a filter of {len(data)} bytes is not made of 64-bit words")
        self.words: Sequence[int] = _words_of(data)
        self.word_count: int = len(self.words)
        self.masks: tuple[int, ...] = filter_masks()

    def may_contain(self, key_hash: int, /) -> bool:
        """See Filter.may_contain."""
        mask = self.masks[key_hash & 4095]
        return self.words[(key_hash >> 12 & PLACE_MASK) % self.word_count] & mask == mask


class NoFilter:
    """Says "maybe" to every key; in the same shape, so that a reader can inline one probe for both."""

    __slots__ = ("masks", "word_count", "words")

    def __init__(self) -> None:
        self.words: Sequence[int] = (_ALL_ONES,)
        self.word_count: int = 1
        self.masks: tuple[int, ...] = filter_masks()

    def may_contain(self, key_hash: int, /) -> bool:  # noqa: ARG002 (the protocol's argument)
        """See Filter.may_contain."""
        return True


def build_bloom_filter(hashes: Iterable[int], count: int, bits_per_key: int) -> bytes:
    """The filter of ``count`` key hashes with about ``bits_per_key`` bits for each; quickest from an array of u64s."""
    word_count = max(1, -(-count * bits_per_key // USED_BITS))
    words = [0] * word_count
    masks = filter_masks() * _MASKS_REPEATED
    numbers = hashes if isinstance(hashes, array) else array("Q", hashes)
    # The one loop per record in the background: 0.15 us. The same out of map and operator takes twice that, because
    # every step of it is a call, where the interpreter runs these few instructions specialised.
    for start in range(0, len(numbers), _STEP_HASHES):
        places, lowest = _split(numbers[start : start + _STEP_HASHES])
        for place, low in zip(places, lowest, strict=True):
            words[place % word_count] |= masks[low]
    return _bytes_of(words)


def _split(numbers: array[int]) -> tuple[array[int], array[int]]:
    """The place bits of each hash, and its lowest 16 bits: what takes three steps of the interpreter for each.

    All the hashes in a row are one large number, whose bits are shifted and masked at once.
    """
    data = numbers.tobytes()
    shifted = int.from_bytes(data, sys.byteorder) >> _PLACE_SHIFT & _EVERY_PLACE
    first = 0 if sys.byteorder == "little" else -1
    halves = array("I", shifted.to_bytes(len(data), sys.byteorder))
    return halves[first % 2 :: 2], array("H", data)[first % 4 :: 4]


@cache
def filter_masks() -> tuple[int, ...]:
    """The 4096 masks; the same objects at every call, because they are never changed."""
    return tuple(_mask(index) for index in range(MASK_COUNT))


def _mask(index: int) -> int:
    """Six distinct bits out of 60, from the six-bit groups of as many hashes as it takes."""
    mask = 0
    draw = 0
    while mask.bit_count() < MASK_BITS:
        group = draw % 10
        number = xxhash.xxh3_64_intdigest(b"lsmproc bloom mask %d" % (draw // 10), seed=index)
        bit = number >> (6 * group) & 63
        mask |= 1 << bit if bit < USED_BITS else 0
        draw += 1
    return mask


def _words_of(data: bytes) -> Sequence[int]:
    words = array("Q", data)
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _bytes_of(words: Iterable[int]) -> bytes:
    packed = array("Q", words)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()
