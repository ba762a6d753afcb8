"""The codecs of stored blocks: bytes in, bytes out, with bounded memory whatever the input.

A codec is stored as its number. ``lz4`` is the block format without a size in front, ``zstd`` one frame that states
its content size. Decompression is told the raw length, which the caller has read from a checksummed and capped
field, and never produces more than that: an lz4 decoder gets a buffer of that size, and a zstd frame that states
another size is refused before it is opened (a few kilobytes of zstd may ask for gigabytes).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import lz4.block

from lsmproc.errors import ConfigError, CorruptionError


class Codec(IntEnum):
    """Written to disk: do not change; append only."""

    NONE = 0
    LZ4 = 1
    ZSTD = 2


_ZSTD_LEVEL = 1

# A block is stored raw unless compression saves at least this part of it.
_LEAST_SAVING = 8


def codec_named(name: str) -> Codec:
    """The codec of a configured name; raises ConfigError for an unknown or unavailable one."""
    try:
        codec = Codec[name.upper()]
    except KeyError:
        raise ConfigError([f"compression {name!r} is unknown; choose one of none, lz4, zstd"]) from None
    if codec is Codec.ZSTD:
        _zstandard()
    return codec


def compress(raw: bytes, codec: Codec) -> tuple[int, bytes]:
    """The codec to store and the payload: the compressed bytes, or ``raw`` itself when little would be saved."""
    if codec is Codec.LZ4:
        packed: bytes = lz4.block.compress(raw, store_size=False)
    elif codec is Codec.ZSTD:
        packed = _zstandard().ZstdCompressor(level=_ZSTD_LEVEL, write_content_size=True).compress(raw)
    else:
        return 0, raw
    if len(packed) > len(raw) - len(raw) // _LEAST_SAVING:
        return 0, raw
    return codec, packed


def decompress(payload: bytes, codec: int, raw_length: int) -> bytes:
    """The inverse of :func:`compress`; raises CorruptionError unless exactly ``raw_length`` bytes come out."""
    if codec == Codec.LZ4:
        try:
            raw: bytes = lz4.block.decompress(payload, uncompressed_size=raw_length)
        except (lz4.block.LZ4BlockError, ValueError, OverflowError) as error:
            raise CorruptionError(f"lz4 data cannot be decompressed: {error}") from error
    elif codec == Codec.NONE:
        raw = payload
    elif codec == Codec.ZSTD:
        raw = _decompress_zstd(payload, raw_length)
    else:
        raise CorruptionError(f"compression codec {codec} is unknown")
    if len(raw) != raw_length:
        raise CorruptionError(f"a block decompresses to {len(raw)} bytes instead of {raw_length}")
    return raw


def _decompress_zstd(payload: bytes, raw_length: int) -> bytes:
    zstandard = _zstandard()
    try:
        stated = zstandard.frame_content_size(payload)
        if stated != raw_length:
            raise CorruptionError(f"a zstd frame states {stated} bytes instead of {raw_length}")
        raw: bytes = zstandard.ZstdDecompressor().decompress(payload, max_output_size=raw_length)
    except zstandard.ZstdError as error:
        raise CorruptionError(f"zstd data cannot be decompressed: {error}") from error
    return raw


def _zstandard() -> Any:
    """The optional package, imported when first used."""
    try:
        import zstandard  # noqa: PLC0415 (optional)
    except ImportError as error:
        problem = "compression 'zstd' needs the package zstandard: pip install zstandard"
        raise ConfigError([problem]) from error
    return zstandard
