"""What every table format promises: the records come back by every way of asking, and damage never passes for data."""

from __future__ import annotations

import contextlib
import threading
from bisect import bisect_left
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lsmproc.errors import ClosedError, CorruptionError
from lsmproc.formats.block import decode_columns
from lsmproc.formats.messages import TableOptions
from lsmproc.protocols import MISSING
from lsmproc.storage.block_cache import BlockCache
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.tables import create_table
from tests.storage.table_files import Records, fixed_records, hash_of, mixed_records, read_table, write_table

OPTIONS = {
    "lz4": TableOptions(),
    "zstd": TableOptions(compression="zstd", block_bytes=1024),
    "bare": TableOptions(compression="none", filter_kind="none", block_bytes=300),
    "plain": TableOptions(table_format="plain"),
}
RECORDS = {
    "fixed": fixed_records(1200),
    "mixed": mixed_records(900),
    "one": Records([b""], [None], [1]),
    "huge": Records([b"a", b"b", b"k" * 131_071], [b"v" * 200_000, None, b""], [3, 2, 1]),
}
ALL_OPTIONS = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
ALL_RECORDS = pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[PosixFileSystem]:
    """The real disk, in an empty directory."""
    made = PosixFileSystem(str(tmp_path))
    yield made
    made.shut()


@ALL_OPTIONS
@ALL_RECORDS
@pytest.mark.parametrize("cache_bytes", [None, 3000, 1 << 24])
def test_every_record_is_found(
    fs: PosixFileSystem, options: TableOptions, records: Records, cache_bytes: int | None
) -> None:
    """By get and lookup, cold and cached, with a cache too small and large enough; absent keys are missing."""
    metadata = write_table(fs, "t", records, options)
    cache = None if cache_bytes is None else BlockCache(cache_bytes)
    reader = read_table(fs, metadata, "t", cache=cache)
    for _ in range(4):
        for key, value, sequence in zip(*records.columns, strict=True):
            assert value == reader.get(key, hash_of(key))
            assert (sequence, value) == reader.lookup(key, hash_of(key))
            absent = key + b"\x00?"
            assert MISSING is reader.get(absent, hash_of(absent))
            assert MISSING is reader.lookup(absent, hash_of(absent))
    reader.close()
    assert cache is None or cache.used_bytes == 0


@ALL_OPTIONS
@ALL_RECORDS
def test_metadata_describes_the_table(fs: PosixFileSystem, options: TableOptions, records: Records) -> None:
    """Counts, bounds and sizes of the builder's answer."""
    metadata = write_table(fs, "t", records, options, unique_id=1 << 63)
    keys, values, sequences = records.columns
    fd = fs.open("t", 0)
    assert fs.size(fd) == metadata.size
    fs.close(fd)
    assert (0, 1 << 63) == (metadata.number, metadata.unique_id)
    assert (keys[0], keys[-1], len(keys)) == (metadata.smallest, metadata.largest, metadata.entries)
    assert values.count(None) == metadata.tombstones
    assert (min(sequences), max(sequences)) == (metadata.smallest_sequence, metadata.largest_sequence)
    assert sum(map(len, keys)) + sum(len(value or b"") for value in values) == metadata.raw_bytes


@ALL_OPTIONS
@ALL_RECORDS
def test_columns_are_the_records(fs: PosixFileSystem, options: TableOptions, records: Records) -> None:
    """Block by block and many at once, through the cache and past it."""
    reader = read_table(fs, write_table(fs, "t", records, options, step=77), "t", cache=BlockCache(100_000))
    count = reader.block_count
    assert count >= 1
    for step in (1, 3, count):
        for fill_cache in (False, True):
            keys: list[bytes] = []
            values: list[bytes | None] = []
            for first in range(0, count, step):
                block_keys, block_values = reader.columns(first, step, fill_cache=fill_cache)
                keys += block_keys
                values += block_values
            assert (records.keys, records.values) == (keys, values)
    assert records.columns == reader.columns_with_sequences(0, count)
    for key in (records.keys[0], records.keys[len(records.keys) // 2], records.keys[-1], b"", b"\xff" * 400):
        block = reader.find_block(key)
        before = reader.columns(0, block)[0] if block else []
        assert all(other < key for other in before)
        assert block == count or reader.columns(block, 1)[0][-1] >= key
    reader.verify()
    reader.close()


@ALL_OPTIONS
def test_every_flipped_byte_is_found_or_harmless(fs: PosixFileSystem, options: TableOptions, tmp_path: Path) -> None:
    """After any one damaged byte, verify raises, and a read raises or gives the right value, never another."""
    records = mixed_records(24, seed=3)
    records.values = [None if value is None else value[:20] for value in records.values]
    metadata = write_table(fs, "t", records, options)
    good = (tmp_path / "t").read_bytes()
    wanted = list(zip(records.keys, map(hash_of, records.keys), records.values, strict=True))[::5]
    for place in range(len(good)):
        damaged = bytearray(good)
        damaged[place] ^= 0xFF if place % 2 else 1 << place % 8
        (tmp_path / "t").write_bytes(damaged)
        with pytest.raises(CorruptionError) as caught:
            verify(fs, metadata)
        assert caught.value.file == "t"
        try:
            reader = read_table(fs, metadata, "t")
        except CorruptionError:
            continue
        for key, key_hash, value in wanted:
            with contextlib.suppress(CorruptionError):
                assert value == reader.get(key, key_hash)
        reader.close()


def verify(fs: PosixFileSystem, metadata: object) -> None:
    """Open, verify, close."""
    reader = read_table(fs, metadata, "t")  # type: ignore[arg-type]
    try:
        reader.verify()
    finally:
        reader.close()


@ALL_OPTIONS
def test_a_file_of_another_length_is_refused(fs: PosixFileSystem, options: TableOptions, tmp_path: Path) -> None:
    """Cut anywhere, or with junk behind, or gone: CorruptionError naming the file."""
    metadata = write_table(fs, "t", fixed_records(50), options)
    good = (tmp_path / "t").read_bytes()
    for size in [*range(0, len(good), 97), len(good) - 1]:
        (tmp_path / "t").write_bytes(good[:size])
        with pytest.raises(CorruptionError, match="t"):
            verify(fs, metadata)
    (tmp_path / "t").write_bytes(good + b"junk")
    with pytest.raises(CorruptionError, match="t"):
        verify(fs, metadata)
    (tmp_path / "t").unlink()
    with pytest.raises(CorruptionError, match="missing"):
        verify(fs, metadata)


@ALL_OPTIONS
def test_a_table_in_the_place_of_another_is_named(fs: PosixFileSystem, options: TableOptions, tmp_path: Path) -> None:
    """A file with valid checksums but another identity is a CorruptionError, not another table's values."""
    one = write_table(fs, "t", fixed_records(50, seed=1), options, unique_id=1)
    write_table(fs, "u", fixed_records(50, seed=1), options, unique_id=2)
    (tmp_path / "u").rename(tmp_path / "t")
    reader = read_table(fs, one, "t")
    with pytest.raises(CorruptionError, match="another store"):
        reader.get(b"x", 0)
    reader.close()


@ALL_OPTIONS
def test_a_manifest_that_says_otherwise_is_noticed(fs: PosixFileSystem, options: TableOptions) -> None:
    """Properties are compared with the manifest when the table is loaded."""
    metadata = write_table(fs, "t", fixed_records(50), options)
    for wrong in (replace(metadata, entries=49), replace(metadata, largest=b"zz"), replace(metadata, raw_bytes=1)):
        reader = read_table(fs, wrong, "t")
        with pytest.raises(CorruptionError, match="manifest"):
            reader.get(b"x", 0)
        reader.close()


@ALL_OPTIONS
def test_grants_cover_every_byte_before_it_is_written(fs: PosixFileSystem, options: TableOptions) -> None:
    """The sum of the grants is the file, in pieces small beside any sensible rate, and a refusal stops the build."""
    records = fixed_records(30_000)
    grants: list[int] = []
    builder = create_table(fs, "t", options, unique_id=1, grant=grants.append)
    for i in range(0, len(records.keys), 1000):
        builder.add(*(column[i : i + 1000] for column in records.columns))  # type: ignore[arg-type]
    assert builder.finish().size == sum(grants)
    assert max(grants) <= 256 << 10
    builder.abandon()
    assert "t" in fs.list_directory()


@ALL_OPTIONS
def test_an_abandoned_table_is_gone(fs: PosixFileSystem, options: TableOptions) -> None:
    """Abandoning closes and removes, twice as well as once; the name is free again."""
    builder = create_table(fs, "t", options, unique_id=1, grant=lambda size: None)
    builder.add([b"a"], [b"1"], [1])
    builder.abandon()
    builder.abandon()
    assert [] == fs.list_directory()
    write_table(fs, "t", fixed_records(5), options)
    with pytest.raises(FileExistsError):
        create_table(fs, "t", options, unique_id=1, grant=lambda size: None)


@ALL_OPTIONS
def test_records_out_of_order_are_refused(fs: PosixFileSystem, options: TableOptions) -> None:
    """Across calls, keys ascend; columns are equally long and not empty; a table holds something."""
    builder = create_table(fs, "t", options, unique_id=1, grant=lambda size: None)
    with pytest.raises(ValueError, match="at least one record"):
        builder.finish()
    builder.add([b"b"], [b"1"], [1])
    wrong: list[tuple[list[bytes], list[bytes | None], list[int]]] = [
        ([b"a"], [b"1"], [1]),
        ([b"b"], [b"1"], [1]),
        ([], [], []),
        ([b"c"], [], [1]),
    ]
    for columns in wrong:
        with pytest.raises(ValueError, match=r"follow|columns"):
            builder.add(*columns)
    builder.abandon()


@ALL_OPTIONS
def test_many_threads_read_one_reader(fs: PosixFileSystem, options: TableOptions) -> None:
    """Loading, caching and evicting under four threads never gives a wrong value."""
    records = fixed_records(2000)
    metadata = write_table(fs, "t", records, options)
    reader = read_table(fs, metadata, "t", cache=BlockCache(150_000))
    barrier = threading.Barrier(4)

    def read(start: int) -> int:
        barrier.wait(30)
        found = 0
        for _ in range(2):
            for key, value in zip(records.keys[start::4], records.values[start::4], strict=True):
                found += value == reader.get(key, hash_of(key))
        return found

    with ThreadPoolExecutor(4) as pool:
        assert [1000] * 4 == list(pool.map(read, range(4), timeout=60))
    reader.close()


@ALL_OPTIONS
def test_a_closed_reader_gives_its_descriptor_back(fs: PosixFileSystem, options: TableOptions) -> None:
    """Close is idempotent, and a read of bytes that are not in memory raises ClosedError."""
    metadata = write_table(fs, "t", fixed_records(500), options)
    reader = read_table(fs, metadata, "t")
    reader.close()
    reader.close()
    with pytest.raises(ClosedError):
        reader.columns(0, 1)


@ALL_OPTIONS
@ALL_RECORDS
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_parts_one_after_the_other_are_the_range(
    fs: PosixFileSystem, options: TableOptions, records: Records, reverse: bool
) -> None:
    """From any start to any stop, on keys and between them: going on from each bound gives every record once."""
    reader = read_table(fs, write_table(fs, "t", records, options), "t", cache=BlockCache(100_000))
    keys, values, _ = records.columns
    edges = [None, b"", keys[0], keys[len(keys) // 3] + b"\0", keys[len(keys) // 2], keys[-1], keys[-1] + b"\0"]
    for start in edges:
        for stop in edges:
            first = 0 if start is None else bisect_left(keys, start)
            end = len(keys) if stop is None else bisect_left(keys, stop)
            found: list[tuple[bytes, bytes | None]] = []
            low, high = start, stop
            while part := reader.part(low, high, reverse, fill_cache=True):
                part_keys, part_first, part_end, bound, source = part
                part_values = source if isinstance(source, list) else decode_columns(source)[1]
                here = list(zip(part_keys, part_values, strict=True))[part_first:part_end]
                found = here + found if reverse else found + here
                if bound is None:
                    break
                low, high = (low, bound) if reverse else (bound, high)
            assert list(zip(keys[first:end], values[first:end], strict=True)) == found
    reader.close()
