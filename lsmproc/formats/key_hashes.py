"""The hashes of many keys: xxh3-64, by which filters and the tags of blocks know a key."""

from __future__ import annotations

import sys
from array import array

import xxhash


def hashes_of(keys: list[bytes]) -> array[int]:
    """The hash of each key. As one string they become an array in half the time that as many numbers take."""
    hashes = array("Q", b"".join(map(xxhash.xxh3_64_digest, keys)))
    if sys.byteorder == "little":  # a digest begins with the highest byte
        hashes.byteswap()
    return hashes
