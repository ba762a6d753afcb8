"""The block table's own ways: index partitions, the block cache, and descriptors taken away under a read."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsmproc.errors import CorruptionError, StorageError
from lsmproc.formats.messages import TableOptions
from lsmproc.protocols import MISSING
from lsmproc.storage import table_builder
from lsmproc.storage.block_cache import BlockCache
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.open_file import OpenFiles
from lsmproc.storage.table_reader import BlockTableReader
from tests.storage.table_files import fixed_records, hash_of, mixed_records, read_table, write_table

SMALL_BLOCKS = TableOptions(block_bytes=400)


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[PosixFileSystem]:
    """The real disk, in an empty directory."""
    made = PosixFileSystem(str(tmp_path))
    yield made
    made.shut()


@pytest.mark.parametrize("cached", [False, True])
def test_a_table_of_many_index_partitions_reads_as_one(
    fs: PosixFileSystem, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    """Get, lookup, find_block and columns cross the borders of partitions."""
    monkeypatch.setattr(table_builder, "PARTITION_BLOCKS", 7)
    records = mixed_records(800)
    metadata = write_table(fs, "t", records, SMALL_BLOCKS)
    reader = read_table(fs, metadata, "t", cache=BlockCache(1 << 20) if cached else None)
    assert reader.block_count > 70
    for _ in range(3):
        for key, value, sequence in zip(*records.columns, strict=True):
            assert value == reader.get(key, hash_of(key))
            assert (sequence, value) == reader.lookup(key, hash_of(key))
            assert MISSING is reader.get(key + b"\x00", hash_of(key + b"\x00"))
    assert MISSING is reader.get(b"\xff" * 301, hash_of(records.keys[0]))
    assert (records.keys, records.values) == reader.columns(0, reader.block_count)
    assert records.columns == reader.columns_with_sequences(0, reader.block_count + 5)
    middle = reader.columns(reader.find_block(records.keys[400]), 1)[0]
    assert records.keys[400] in middle
    reader.verify()
    reader.close()


def test_partitions_are_read_when_first_needed(
    fs: PosixFileSystem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Damage in one partition's bytes spoils only the keys below it."""
    monkeypatch.setattr(table_builder, "PARTITION_BLOCKS", 5)
    records = fixed_records(300)
    metadata = write_table(fs, "t", records, SMALL_BLOCKS)
    reader = read_table(fs, metadata, "t")
    assert isinstance(reader, BlockTableReader)
    assert reader._directory is None
    assert reader.block_count > 0
    directory = reader._directory
    assert directory is not None
    data = bytearray((tmp_path / "t").read_bytes())
    data[directory.offsets[-2]] ^= 0xFF
    (tmp_path / "t").write_bytes(data)
    assert records.values[0] == reader.get(records.keys[0], hash_of(records.keys[0]))
    with pytest.raises(CorruptionError) as caught:
        reader.get(records.keys[-1], hash_of(records.keys[-1]))
    assert directory.offsets[-2] == caught.value.offset
    reader.close()


def test_a_damaged_block_spoils_only_its_own_keys(fs: PosixFileSystem, tmp_path: Path) -> None:
    """The error names the block's offset; all other blocks are served."""
    records = fixed_records(300)
    metadata = write_table(fs, "t", records, SMALL_BLOCKS)
    data = bytearray((tmp_path / "t").read_bytes())
    data[10] ^= 1
    (tmp_path / "t").write_bytes(data)
    reader = read_table(fs, metadata, "t", cache=BlockCache(1 << 20))
    for read in (reader.get, reader.lookup):
        with pytest.raises(CorruptionError, match="t at byte 0"):
            read(records.keys[0], hash_of(records.keys[0]))
    with pytest.raises(CorruptionError, match="t at byte 0"):
        reader.columns(0, 3)
    assert records.values[-1] == reader.get(records.keys[-1], hash_of(records.keys[-1]))
    reader.close()


def test_a_failing_disk_is_a_storage_error(fs: PosixFileSystem) -> None:
    """What pread raises is translated, with the file's name."""
    records = fixed_records(300)
    metadata = write_table(fs, "t", records, SMALL_BLOCKS)
    broken = PosixFileSystem(fs.path)

    def pread(fd: int, size: int, offset: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    broken.pread = pread
    reader = BlockTableReader(broken, metadata, "t", cache=None, open_files=OpenFiles(1))
    with pytest.raises(StorageError) as caught:
        reader.get(b"k", 1)
    assert (errno.EIO, "t") == (caught.value.errno, caught.value.filename)
    reader.close()
    broken.shut()


def test_short_reads_are_completed(fs: PosixFileSystem) -> None:
    """A pread may return less than asked for; only the end of the file is corruption."""
    records = fixed_records(300)
    metadata = write_table(fs, "t", records, SMALL_BLOCKS)
    stingy = PosixFileSystem(fs.path)
    real = fs.pread
    stingy.pread = lambda fd, size, offset: real(fd, min(size, 101), offset)
    reader = BlockTableReader(stingy, metadata, "t", cache=None, open_files=OpenFiles(1))
    assert records.columns == reader.columns_with_sequences(0, reader.block_count)
    reader.verify()
    reader.close()
    stingy.shut()


def test_more_tables_than_descriptors_are_all_readable(fs: PosixFileSystem) -> None:
    """The pool takes descriptors away and readers open their files again."""
    records = fixed_records(100)
    pool = OpenFiles(2)
    readers = []
    for i in range(6):
        metadata = write_table(fs, f"t{i}", records, SMALL_BLOCKS, unique_id=i)
        readers.append(BlockTableReader(fs, metadata, f"t{i}", cache=None, open_files=pool))
    for _ in range(3):
        for reader in readers:
            assert records.values[5] == reader.get(records.keys[5], hash_of(records.keys[5]))
            assert len(pool) <= 2
    for reader in readers:
        reader.close()
    assert len(pool) == 0


def test_a_descriptor_taken_away_stays_open_for_the_read_that_uses_it(fs: PosixFileSystem) -> None:
    """Eviction drops the pool's reference only: a reader in the middle of a pread keeps its own."""
    records = fixed_records(100)
    pool = OpenFiles(1)
    one, two = (
        BlockTableReader(
            fs, write_table(fs, f"t{i}", records, SMALL_BLOCKS, unique_id=i), f"t{i}", cache=None, open_files=pool
        )
        for i in range(2)
    )
    assert one.block_count
    held = one._input.file
    assert held is not None
    assert two.block_count
    assert one._input.file is None
    assert b"" != fs.pread(held.fd, 10, 0)
    one.close()
    two.close()


def test_a_table_may_be_unlinked_under_its_reader(fs: PosixFileSystem) -> None:
    """An obsolete file is readable until its reader closes."""
    records = fixed_records(100)
    reader = read_table(fs, write_table(fs, "t", records, SMALL_BLOCKS), "t")
    assert reader.block_count
    fs.unlink("t")
    assert records.columns == reader.columns_with_sequences(0, reader.block_count)
    reader.close()
