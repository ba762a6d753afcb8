"""Makes small tables for the tests: records of every shape, and a table of either format holding them."""

from __future__ import annotations

import random
from dataclasses import dataclass

import xxhash

from lsmproc.formats.messages import TableOptions
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.protocols import TableReader
from lsmproc.storage.block_cache import BlockCache
from lsmproc.storage.file_system import FileSystem
from lsmproc.storage.open_file import OpenFiles
from lsmproc.storage.tables import create_table, open_table

hash_of = xxhash.xxh3_64_intdigest


@dataclass
class Records:
    """Ascending columns."""

    keys: list[bytes]
    values: list[bytes | None]
    sequences: list[int]

    @property
    def columns(self) -> tuple[list[bytes], list[bytes | None], list[int]]:
        """The three lists."""
        return self.keys, self.values, self.sequences


def fixed_records(count: int, seed: int = 1) -> Records:
    """Keys of 16 bytes, values of 100, no tombstones."""
    rng = random.Random(seed)
    keys = [b"%016d" % number for number in sorted(rng.sample(range(20 * count), count))]
    return Records(keys, [rng.randbytes(100) for _ in keys], [rng.randrange(1, 1 << 63) for _ in keys])


def mixed_records(count: int, seed: int = 1) -> Records:
    """Keys and values of all lengths, tombstones and empty values among them."""
    rng = random.Random(seed)
    keys = sorted({rng.randbytes(rng.choice([1, 2, 8, 20, 300])) for _ in range(count)})
    lengths = [0, 1, 15, 16, 200, 255, 256, 700] * 20 + [66_000]
    values = [None if rng.random() < 0.2 else rng.randbytes(rng.choice(lengths)) for _ in keys]
    return Records(keys, values, [rng.randrange(1, 1 << 63) for _ in keys])


def write_table(
    fs: FileSystem, name: str, records: Records, options: TableOptions, *, unique_id: int = 77, step: int = 500
) -> FileMetadata:
    """Write all records as one table."""
    builder = create_table(fs, name, options, unique_id=unique_id, grant=lambda size: None)
    for i in range(0, len(records.keys), step):
        builder.add(records.keys[i : i + step], records.values[i : i + step], records.sequences[i : i + step])
    return builder.finish()


def read_table(fs: FileSystem, metadata: FileMetadata, name: str, *, cache: BlockCache | None = None) -> TableReader:
    """A reader with a pool of its own."""
    return open_table(fs, metadata, name, cache=cache, open_files=OpenFiles(4))
