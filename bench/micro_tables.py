"""Times each inner step of tables: encode, decode, filter, point read, merge. Prints microseconds, best of several.

Usage: ``python -m lsmproc.bench.micro_tables [--records 60000] [--rounds 7]``. 16-byte keys, 100-byte values.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from array import array
from typing import TYPE_CHECKING

import xxhash

from lsmproc.formats.block import (
    BlockEncoder,
    check_layout,
    decode_columns,
    decode_keys,
    find_value,
    seal_block,
    sequence_planes,
    unseal_block,
)
from lsmproc.formats.bloom_filter import BlockedBloomFilter, build_bloom_filter
from lsmproc.formats.byte_planes import decode_sequences
from lsmproc.formats.compression import Codec
from lsmproc.formats.messages import TableOptions
from lsmproc.iterators.merge_windows import Window, merge_windows
from lsmproc.storage.block_cache import BlockCache
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.open_file import OpenFiles
from lsmproc.storage.table_builder import BlockTableBuilder
from lsmproc.storage.table_reader import BlockTableReader

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK_RECORDS = 36
_WINDOW = 504
_SEED = 20
_UNIQUE_ID = 0x1234_5678_9ABC_DEF0

Columns = tuple[list[bytes], list["bytes | None"], list[int]]


def main() -> None:
    """Run all steps and print a line for each."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=60_000)
    arguments.add_argument("--rounds", type=int, default=7)
    options = arguments.parse_args()
    records = make_records(options.records, random.Random(_SEED))
    bench = Bench(options.rounds)
    time_blocks(bench, records)
    time_filter(bench, records[0])
    time_merge(bench, options.records)
    time_table(bench, records)


class Bench:
    """Times a function and prints the best round."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds

    def time(self, label: str, count: int, unit: str, function: Callable[[], object]) -> None:
        """Call ``function``, which does ``count`` operations, several times."""
        best = float("inf")
        for _ in range(self._rounds):
            started = time.perf_counter()
            function()
            best = min(best, time.perf_counter() - started)
        print(f"{label:44s} {1e6 * best / count:9.3f} us/{unit}", flush=True)


def make_records(count: int, rng: random.Random) -> Columns:
    """Ascending records with gaps between the keys."""
    keys = sorted({b"%016d" % rng.randrange(16 * count) for _ in range(count)})
    values: list[bytes | None] = [rng.randbytes(50) + b"x" * 50 for _ in keys]
    return keys, values, [1_700_000_000_000_000_000 + rng.randrange(10**12) for _ in keys]


def time_blocks(bench: Bench, records: Columns) -> None:
    """Encoding, sealing and decoding blocks of 4 KiB."""
    keys, values, sequences = records
    count = len(keys)
    size = _BLOCK_RECORDS
    cut = [(keys[i : i + size], values[i : i + size], sequences[i : i + size]) for i in range(0, count, size)]
    encoder = BlockEncoder()
    raws = [encoder.encode(*block) for block in cut]
    stored = [seal_block(raw, Codec.LZ4, _SEED) for raw in raws]
    bench.time("encode raw blocks", count, "record", lambda: [encoder.encode(*block) for block in cut])
    bench.time("seal blocks (lz4, checksum)", count, "record", lambda: [seal_block(r, Codec.LZ4, _SEED) for r in raws])
    bench.time("unseal blocks (checksum, lz4)", count, "record", lambda: [unseal_block(s, _SEED) for s in stored])
    bench.time("check layout", count, "record", lambda: list(map(check_layout, raws)))
    bench.time("decode keys and values", count, "record", lambda: [decode_columns(raw) for raw in raws])
    bench.time(
        "decode sequences",
        count,
        "record",
        lambda: [decode_sequences(list(map(sequence_planes, raws[i : i + 14]))) for i in range(0, len(raws), 14)],
    )
    bench.time("decode keys only", len(raws), "block", lambda: [decode_keys(raw) for raw in raws])
    picked = [(raw, block[0][i % len(block[0])]) for i, (raw, block) in enumerate(zip(raws, cut, strict=True))]
    wanted = [(raw, key, xxhash.xxh3_64_intdigest(key) & 255) for raw, key in picked]

    def find() -> object:
        return [find_value(raw, key, tag) for raw, key, tag in wanted]

    bench.time("find a value in a raw block", len(raws), "read", find)


def time_filter(bench: Bench, keys: list[bytes]) -> None:
    """Building and probing the filter."""
    hashes = array("Q", map(xxhash.xxh3_64_intdigest, keys))
    count = len(keys)
    bench.time("hash keys", count, "key", lambda: array("Q", map(xxhash.xxh3_64_intdigest, keys)))
    bench.time("build filter (12 bits)", count, "key", lambda: build_bloom_filter(hashes, count, 12))
    absent = list(map(xxhash.xxh3_64_intdigest, (b"absent %d" % i for i in range(count))))
    for bits in (8, 12, 16):
        probe = BlockedBloomFilter(build_bloom_filter(hashes, count, bits)).may_contain
        print(f"{f'false positives, {bits} bits':44s} {100 * sum(map(probe, absent)) / count:9.3f} %")
    bench.time("probe filter (method call)", count, "key", lambda: list(map(probe, absent)))


def time_merge(bench: Bench, count: int) -> None:
    """Merging four overlapping runs."""
    rng = random.Random(_SEED)
    runs = [make_records(count // 4, rng) for _ in range(4)]
    total = sum(len(run[0]) for run in runs)
    for columns in (2, 3):
        windows: list[list[Window]] = [
            [tuple(column[i : i + _WINDOW] for column in run[:columns]) for i in range(0, len(run[0]), _WINDOW)]
            for run in runs
        ]

        def merge(windows: list[list[Window]] = windows) -> object:
            return list(merge_windows(list(map(iter, windows))))

        bench.time(f"merge 4 runs, {columns} columns", total, "record", merge)


def time_table(bench: Bench, records: Columns) -> None:
    """A whole table: build, point reads of every kind, scans."""
    keys, values, sequences = records
    count = len(keys)
    with tempfile.TemporaryDirectory(prefix="lsmproc-bench-") as directory:
        fs = PosixFileSystem(directory)
        names = iter(range(1000))

        def build() -> tuple[str, BlockTableBuilder]:
            name = f"{next(names)}.sst"
            builder = BlockTableBuilder(fs, name, TableOptions(), unique_id=_UNIQUE_ID, grant=lambda _size: None)
            for i in range(0, count, _WINDOW):
                builder.add(keys[i : i + _WINDOW], values[i : i + _WINDOW], sequences[i : i + _WINDOW])
            return name, builder

        bench.time("build a table", count, "record", lambda: build()[1].finish())  # noqa: PLW0108 (it is not)
        name, builder = build()
        metadata = builder.finish()
        time_reads(bench, fs, name, metadata, keys)
        fs.shut()


def time_reads(bench: Bench, fs: PosixFileSystem, name: str, metadata: object, keys: list[bytes]) -> None:
    """Point reads and scans of one table; the figures include the loop and a call."""
    rng = random.Random(_SEED)
    hash_of = xxhash.xxh3_64_intdigest
    wanted = [(bytes(bytearray(key)), hash_of(key)) for key in rng.sample(keys, min(20_000, len(keys)))]
    absent = [(key + b"?", hash_of(key + b"?")) for key, _ in wanted]

    def reader(cache: BlockCache | None) -> BlockTableReader:
        made = BlockTableReader(fs, metadata, name, cache=cache, open_files=OpenFiles(4))  # type: ignore[arg-type]
        made.find_block(b"")
        return made

    def read(get: Callable[[bytes, int], object], pairs: list[tuple[bytes, int]]) -> None:
        for key, key_hash in pairs:
            get(key, key_hash)

    uncached = reader(None)
    bench.time("get, absent key (filter)", len(absent), "read", lambda: read(uncached.get, absent))
    bench.time("get, block from the page cache", len(wanted), "read", lambda: read(uncached.get, wanted))
    cached = reader(BlockCache(1 << 30))
    for _ in range(8):
        read(cached.get, wanted)
    bench.time("get, cached block", len(wanted), "read", lambda: read(cached.get, wanted))
    bench.time("lookup, cached block", len(wanted), "read", lambda: read(cached.lookup, wanted))
    bench.time("find_block", len(wanted), "read", lambda: [uncached.find_block(key) for key, _ in wanted])
    blocks = uncached.block_count
    for step in (1, 8, 16):

        def scan(step: int = step) -> object:
            return [uncached.columns(i, step) for i in range(0, blocks, step)]

        bench.time(f"scan, {step} blocks a read", len(keys), "record", scan)
    bench.time(
        "scan with sequences, 16 blocks a read",
        len(keys),
        "record",
        lambda: [uncached.columns_with_sequences(i, 16) for i in range(0, blocks, 16)],
    )
    bench.time("open and load", 1, "table", lambda: reader(None).close())
    bench.time("verify", len(keys), "record", uncached.verify)


if __name__ == "__main__":
    main()
