"""LevelDB through plyvel. Snappy is the one codec it offers; it tells nothing of its background work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import plyvel

from lsmproc.bench.systems.system import StoreOptions, System, wait_quiet

_LEVELS = 7


class PlyvelSystem:
    """A LevelDB database."""

    def __init__(self, directory: str, options: StoreOptions) -> None:
        self.settings: dict[str, Any] = (
            {}
            if options.defaults
            else {
                "write_buffer_size": options.write_buffer_bytes,
                "lru_cache_size": options.cache_bytes,
                "bloom_filter_bits": options.bloom_bits,
            }
        )
        self._db = plyvel.DB(directory, create_if_missing=True, compression="snappy", **self.settings)
        self.settings |= {"compression": "snappy", "sync": options.sync}
        self._sync = options.sync
        # A keyword only where it is needed: without it the call is the system's own method.
        self.put = partial(self._db.put, sync=True) if options.sync else self._db.put
        self.delete = partial(self._db.delete, sync=True) if options.sync else self._db.delete
        self.get = self._db.get
        self.version = f"{plyvel.__version__}, LevelDB {plyvel.__leveldb_version__}"
        self._tables = self._count_tables()

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """See System."""
        with self._db.write_batch(sync=self._sync) as batch:
            put = batch.put
            for key, value in records:
                put(key, value)

    def get_many(self, keys: list[bytes]) -> Any:
        """See System. There is no call for it."""
        return list(map(self._db.get, keys))

    def scan(self, *, reverse: bool = False) -> Iterator[Any]:
        """See System."""
        found: Iterator[Any] = self._db.iterator(reverse=reverse)
        return found

    def seek(self, key: bytes, count: int) -> Any:
        """See System."""
        with self._db.iterator(start=key) as records:
            return list(islice(records, count))

    def compact(self) -> None:
        """See System."""
        self._db.compact_range()

    def flush(self) -> None:
        """See System. There is no call for it: the next open does it."""

    def wait_idle(self, timeout: float) -> float:
        """See System."""
        return wait_quiet(timeout)

    def activity(self) -> tuple[str, ...]:
        """See System. Told after the fact: level 0 has grown, or a deeper level has changed."""
        before, self._tables = self._tables, self._count_tables()
        flushed = ("flush",) if self._tables[0] > before[0] else ()
        return (*flushed, "compaction") if self._tables[1:] != before[1:] else flushed

    def figures(self) -> dict[str, float]:
        """See System."""
        return {}

    def close(self) -> None:
        """See System."""
        self._db.close()

    def _count_tables(self) -> list[int]:
        return [int(self._db.get_property(b"leveldb.num-files-at-level%d" % level)) for level in range(_LEVELS)]


def open_system(directory: str, options: StoreOptions) -> System:
    """See OpenSystem."""
    return PlyvelSystem(directory, options)
