"""Small inputs that ask for much memory. Each case is a name, made anew in a process that has done nothing else."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from random import Random
from zlib import crc32

import zstandard

from lsmproc.errors import CorruptionError
from lsmproc.formats.block import (
    HEADER,
    TRAILER,
    check_layout,
    checksum_of,
    decode_columns,
    seal_block,
)
from lsmproc.formats.compression import Codec
from lsmproc.formats.frame_decoding import decode_frames
from lsmproc.formats.log_format import frame
from lsmproc.formats.messages import decode_message
from lsmproc.formats.table_format import decode_partition, decode_properties, decode_top_index
from lsmproc.formats.version_edit import decode_version_edit
from lsmproc.storage.wal_reader import read_log
from tests.hostile import log_targets, table_targets
from tests.hostile.memory_files import memory_files

Case = Callable[[Random], bool]
MIB = 1 << 20

# What to fill space with: each is the form of some object that takes many times its bytes.
FILLINGS = {
    "empty arrays": b"\x90",
    "arrays of one": b"\x91\xc0",
    "empty maps": b"\x80",
    "maps of one": b"\x81\xc4\0\xc0",
    "empty extensions": b"\xc7\0\5",
    "timestamps": b"\xd6\xff\0\0\0\1",
    "numbers": b"\xcd\1\1",
    "short keys": b"\xc4\2ab",
    "nils": b"\xc0",
    "floats": b"\xca\0\0\0\1",
}
HEADERS = {
    "array headers": b"\xdd\x00\x0f\xff\xff",
    "short array headers": b"\xdc\xff\xff",
    "array headers below the limit": b"\xdc\x08\x00",
    "deep arrays": b"\x91",
}


def lz4_zeros(size: int) -> bytes:
    """Some more than ``size`` zeros as lz4 makes them: one zero, repeated."""
    return b"\x1f\0\1\0" + b"\xff" * (size // 255) + b"\0" + b"\x50" + bytes(5)


def zstd_zeros(size: int, *, stated: bool = True) -> bytes:
    """So many zeros as zstd makes them."""
    compressor = zstandard.ZstdCompressor().compressobj(**({"size": size} if stated else {}))
    return b"".join([compressor.compress(bytes(MIB)) for _ in range(size // MIB)]) + compressor.flush()


def zstd_lie() -> bytes:
    """A frame of 256 MiB that says of itself that it holds 64 bytes."""
    frame_of_zeros = zstd_zeros(256 * MIB)
    size = struct.pack("<I", 256 * MIB)
    assert 0 < frame_of_zeros.find(size) < 10
    return frame_of_zeros.replace(size, struct.pack("<I", 64), 1)


# Payload, codec and stated raw length of each.
BOMBS: dict[str, Callable[[], tuple[bytes, int, int]]] = {
    "lz4 that holds more than it states": lambda: (lz4_zeros(64 * MIB), 1, 4096),
    "lz4 that states more than it holds": lambda: (lz4_zeros(100), 1, 127 * MIB),
    "lz4 that states more than any block": lambda: (lz4_zeros(64 * MIB), 1, 200 * MIB),
    "lz4 of the size that it states": lambda: (lz4_zeros(64 * MIB), 1, 64 * MIB // 255 * 255 + 25),
    "zstd that holds more than it states": lambda: (zstd_zeros(256 * MIB), 2, 4096),
    "zstd that states more than any block": lambda: (zstd_zeros(256 * MIB), 2, 256 * MIB),
    "zstd of a size that it does not state": lambda: (zstd_zeros(64 * MIB, stated=False), 2, 4096),
    "zstd whose own header lies": lambda: (zstd_lie(), 2, 64),
    "zstd of the size that it states": lambda: (zstd_zeros(120 * MIB), 2, 120 * MIB),
    "raw that states more than there is": lambda: (b"x" * 100, 0, 127 * MIB),
    "a codec that does not exist": lambda: (b"x" * 100, 3, 127 * MIB),
}


def decoder(name: str) -> Callable[[bytes], object]:
    """A decoder by name, fed with the content that only it would see."""
    return {
        "log": lambda data: decode_frames(frame(crc32(data), data), 0),
        "log file": _read_log,
        "log batch": _read_batch,
        "version edit": lambda data: decode_version_edit(b"\x97" + data),
        "message": lambda data: decode_message(b"\x9d\x01" + data),
        "block": _decode_block,
        "partition": lambda data: decode_partition(b"\x92\xdd" + len(data).to_bytes(4, "big") + data),
        "top index": lambda data: decode_top_index(b"\x94\xdd" + len(data).to_bytes(4, "big") + data),
        "properties": lambda data: decode_properties(b"\x9c" + data),
    }[name]


DECODERS = ("log", "log file", "log batch", "version edit", "message", "block", "partition", "top index", "properties")


def _read_log(data: bytes) -> object:
    content = log_targets.HEADER + b"\xce\0\0\0\0\xcf" + bytes(8) + b"\xdd" + len(data).to_bytes(4, "big") + data
    return read_log(memory_files(a=content), "a", 1, None, lambda frames: None)


def _read_batch(data: bytes) -> object:
    array = b"\xdd" + len(data).to_bytes(4, "big") + data
    content = log_targets.log_of([b"\xcf" + bytes(8) + array + array])
    return read_log(memory_files(a=content), "a", 1, None, lambda frames: None)


def _decode_block(data: bytes) -> object:
    count = len(data) // 10 or 1
    values = b"\xdd" + count.to_bytes(4, "big") + data
    raw = (
        HEADER.pack(count, 1, len(values), 0, 0) + b"\x90" + values + bytes((12 if len(values) > 65535 else 10) * count)
    )
    raw += bytes(4 if len(values) > 65535 else 2)
    check_layout(raw)
    return decode_columns(raw)


def _fill(decode: str, filling: bytes) -> Callable[[], Case]:
    def make() -> Case:
        size = MIB if decode == "log" else 3 * MIB  # The log is decoded in chunks of a mebibyte.
        data = filling * (size // len(filling)) if filling in FILLINGS.values() else filling * 1500 + b"\1" * size
        run = decoder(decode)
        with suppress(CorruptionError):
            run(b"\xc0")

        def case(rng: Random) -> bool:
            run(data)
            return True

        return case

    return make


def _explode(name: str) -> Callable[[], Case]:
    def make() -> Case:
        payload, codec, raw_length = BOMBS[name]()
        plan = table_targets.sound_plan(Random(1))
        plan.plain, plan.codec = False, Codec.ZSTD
        table_targets.read_everything(*table_targets.build(plan), Random(1))
        plan.seal = lambda raw, kind, seed: (
            payload + TRAILER.pack(codec, raw_length, checksum_of(payload, codec, raw_length, seed))
            if raw is plan.raws[0]
            else seal_block(raw, kind, seed)
        )
        data, metadata = table_targets.build(plan)

        def case(rng: Random) -> bool:
            return table_targets.read_everything(data, metadata, Random(1))

        return case

    return make


TARGETS: dict[str, Callable[[], Case]] = {
    **{f"bomb: {name}": _explode(name) for name in BOMBS},
    **{
        f"bomb: {decode}, {name}": _fill(decode, filling)
        for decode in DECODERS
        for name, filling in {**FILLINGS, **HEADERS}.items()
    },
}
