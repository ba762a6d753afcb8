"""The codecs: what goes in comes out, and hostile bytes cost no memory."""

from __future__ import annotations

import random
import sys
import tracemalloc

import pytest
import zstandard

from lsmproc.errors import ConfigError, CorruptionError
from lsmproc.formats.compression import Codec, codec_named, compress, decompress

BOMB_BYTES = 256 << 20


@pytest.mark.parametrize("name", ["none", "lz4", "zstd"])
def test_compressed_bytes_come_back(name: str) -> None:
    """Every codec undoes itself and is stored by its number."""
    raw = b"abcdefgh" * 500
    codec, payload = compress(raw, codec_named(name))
    assert codec_named(name) == codec
    assert raw == decompress(payload, codec, len(raw))


@pytest.mark.parametrize("codec", [Codec.LZ4, Codec.ZSTD])
def test_incompressible_bytes_are_stored_as_they_are(codec: Codec) -> None:
    """Saving less than an eighth is not worth a decompression at each read."""
    raw = random.Random(1).randbytes(4096)
    assert (Codec.NONE, raw) == compress(raw, codec)


def test_an_unknown_codec_is_a_configuration_error() -> None:
    """The message names the choices."""
    with pytest.raises(ConfigError, match="none, lz4, zstd"):
        codec_named("gzip")


def test_zstd_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is optional; asking for its codec without it is a clear configuration error."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ConfigError, match="pip install zstandard"):
        codec_named("zstd")


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.LZ4, Codec.ZSTD, 3, 255])
def test_garbage_is_corruption(codec: int) -> None:
    """Random payloads raise CorruptionError, whatever the codec."""
    rng = random.Random(2)
    for size in (0, 1, 5, 100, 4000):
        with pytest.raises(CorruptionError):
            decompress(rng.randbytes(size), codec, size + 1000)


def test_a_zstd_bomb_allocates_nothing() -> None:
    """A frame that states more than the block's trailer is refused before it is opened."""
    bomb = zstandard.ZstdCompressor().compress(bytes(BOMB_BYTES))
    unstated = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 20))
    tracemalloc.start()
    try:
        for frame in (bomb, unstated):
            with pytest.raises(CorruptionError):
                decompress(frame, Codec.ZSTD, 4096)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
