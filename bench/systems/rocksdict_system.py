"""RocksDB through rocksdict, in raw mode: bytes go in and out unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import version
from itertools import islice
from typing import Any

import rocksdict

from lsmproc.bench.systems.system import StoreOptions, System, poll

_BUSY = (
    "rocksdb.mem-table-flush-pending",
    "rocksdb.num-running-flushes",
    "rocksdb.compaction-pending",
    "rocksdb.num-running-compactions",
)


class RocksdictSystem:
    """A RocksDB database."""

    def __init__(self, directory: str, options: StoreOptions) -> None:
        native = rocksdict.Options(raw_mode=True)
        self.settings: dict[str, Any] = {"raw_mode": True, "sync": options.sync}
        if not options.defaults:
            tables = rocksdict.BlockBasedOptions()
            tables.set_bloom_filter(options.bloom_bits, False)
            tables.set_block_cache(rocksdict.Cache(options.cache_bytes))
            native.set_block_based_table_factory(tables)
            native.set_write_buffer_size(options.write_buffer_bytes)
            native.set_compression_type(rocksdict.DBCompressionType.lz4())
            self.settings |= {
                "write_buffer_size": options.write_buffer_bytes,
                "block_cache": options.cache_bytes,
                "bloom_filter": options.bloom_bits,
                "compression": "lz4",
            }
        # Named, because an existing database is opened with defaults for each column family that is not: without
        # filter, and with a small cache.
        self._db = rocksdict.Rdict(directory, native, column_families={"default": native})
        self._write_options = rocksdict.WriteOptions()
        self._write_options.sync = options.sync
        self.put = partial(self._db.put, write_opt=self._write_options) if options.sync else self._db.put
        self.delete = partial(self._db.delete, write_opt=self._write_options) if options.sync else self._db.delete
        self.get = self._db.get
        self.get_many: Any = self._db.get  # takes a list too
        self.version = version("rocksdict")

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """See System."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in records:
            put(key, value)
        self._db.write(batch, self._write_options)

    def scan(self, *, reverse: bool = False) -> Iterator[Any]:
        """See System."""
        found: Iterator[Any] = self._db.items(backwards=reverse)
        return found

    def seek(self, key: bytes, count: int) -> Any:
        """See System."""
        return list(islice(self._db.items(from_key=key), count))

    def compact(self) -> None:
        """See System."""
        self._db.compact_range(None, None)

    def flush(self) -> None:
        """See System."""
        self._db.flush()

    def wait_idle(self, timeout: float) -> float:
        """See System."""
        read = self._db.property_int_value
        return poll(lambda: not any(map(read, _BUSY)), timeout)

    def activity(self) -> tuple[str, ...]:
        """See System."""
        read = self._db.property_int_value
        flushing = ("flush",) if read("rocksdb.num-running-flushes") else ()
        return (*flushing, "compaction") if read("rocksdb.num-running-compactions") else flushing

    def figures(self) -> dict[str, float]:
        """See System."""
        return {}

    def close(self) -> None:
        """See System."""
        self._db.close()


def open_system(directory: str, options: StoreOptions) -> System:
    """See OpenSystem."""
    return RocksdictSystem(directory, options)
