"""Blocks of equally long records: the short way of encoding them, against the general one."""

from __future__ import annotations

from array import array
from itertools import product
from pathlib import Path
from random import Random

import pytest
import xxhash

from lsmproc.formats.block import BlockEncoder, tags_of
from lsmproc.formats.byte_planes import planes_of
from lsmproc.formats.equal_records import LARGEST_VALUE_BYTES, EqualRecordsEncoder
from lsmproc.formats.messages import TableOptions
from lsmproc.storage import table_builder
from lsmproc.storage.file_system import PosixFileSystem


@pytest.mark.parametrize(
    ("count", "value_bytes"),
    [
        *product((1, 15, 16, 300, 70_000), (0, 1, 255)),
        *product((1, 15, 16), (256, 1000, LARGEST_VALUE_BYTES)),
    ],
)
def test_the_block_is_the_same_byte_for_byte(count: int, value_bytes: int) -> None:
    """Whatever header the arrays need, and however long the values are."""
    keys = [b"%08d" % n for n in range(count)]
    values: list[bytes | None] = [b"%d" % (n % 10) * value_bytes for n in range(count)]
    sequences = [1 << 60 | n for n in range(count)]
    hashes = array("Q", map(xxhash.xxh3_64_intdigest, keys))
    encoder = EqualRecordsEncoder(count, (8, value_bytes))
    quick = encoder.encode(keys, values, tags_of(hashes), planes_of(sequences))  # type: ignore[arg-type]
    assert BlockEncoder().encode(keys, values, sequences, hashes) == quick


def build(fs: PosixFileSystem, windows: list[int], value_bytes: list[int | None]) -> bytes:
    """A table of windows of so many records, with values of the lengths given in turn; None is a tombstone."""
    builder = table_builder.BlockTableBuilder(
        fs, "table", TableOptions(block_bytes=300), unique_id=7, grant=lambda size: None
    )
    number = 0
    for count, size in zip(windows, value_bytes, strict=True):
        keys = [b"%08d" % n for n in range(number, number + count)]
        values = [None if size is None else b"v" * size] * count
        builder.add(keys, values, list(range(number, number + count)))
        number += count
    size_bytes = builder.finish().size
    fd = fs.open("table", 0)
    try:
        return fs.pread(fd, size_bytes, 0)
    finally:
        fs.close(fd)
        fs.unlink("table")


def test_a_table_is_the_same_whichever_way_its_blocks_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of all sizes, equal and mixed, with and without tombstones: every byte of the file."""
    fs = PosixFileSystem(str(tmp_path))
    random = Random(7)
    try:
        for _ in range(20):
            windows = [random.choice((1, 2, 3, 40, 200)) for _ in range(6)]
            sizes = [random.choice((0, 5, 5, 5, 30, 400, None)) for _ in windows]
            quick = build(fs, windows, sizes)
            with monkeypatch.context() as patch:
                patch.setattr(table_builder, "LARGEST_KEY_BYTES", -1)
                assert build(fs, windows, sizes) == quick
    finally:
        fs.shut()
