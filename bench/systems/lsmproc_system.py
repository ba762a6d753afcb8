"""lsmproc itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import Any

import lsmproc
from lsmproc.bench.systems.system import StoreOptions, System

_ROW_SHARE = 8


class LsmprocSystem:
    """A store of this package."""

    def __init__(self, db: lsmproc.LSMStore, settings: dict[str, Any]) -> None:
        self._db = db
        self.settings = settings
        self.put = self._db.put
        self.delete = self._db.delete
        self.get = self._db.get
        self.get_many = self._db.get_many
        self.version = _version()

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """See System."""
        with self._db.write_batch() as batch:
            put = batch.put
            for key, value in records:
                put(key, value)

    def scan(self, *, reverse: bool = False) -> Iterator[Any]:
        """See System."""
        return self._db.range(reverse=reverse)

    def seek(self, key: bytes, count: int) -> Any:
        """See System."""
        return list(islice(self._db.range(key), count))

    def compact(self) -> None:
        """See System."""
        self._db.compact_range()

    def flush(self) -> None:
        """See System."""
        self._db.flush_memtable()

    def wait_idle(self, timeout: float) -> float:
        """See System."""
        self._db.wait_idle(timeout)
        return time.perf_counter()

    def activity(self) -> tuple[str, ...]:
        """See System."""
        running = " ".join(self._db.stats().running_jobs)
        return tuple(kind for kind in ("flush", "compaction") if kind in running)

    def figures(self) -> dict[str, float]:
        """See System. Compactions are counted in bytes; the tables there are tell how many records those are."""
        stats, files = self._db.stats(), self._db.live_files()
        seconds = sum(level.seconds for level in stats.levels[1:])
        read = sum(level.bytes_from_above + level.bytes_from_level for level in stats.levels[1:])
        size = sum(file.size for file in files)
        figures = {"write_amplification": stats.write_amplification, "stalled_seconds": stats.stall.waited_seconds}
        figures["levels"] = float(sum(1 for level in stats.levels if level.files))
        if seconds and size:
            figures["merged_per_second"] = read / seconds * sum(file.entries for file in files) / size
        return figures

    def close(self) -> None:
        """See System."""
        self._db.close()


def open_system(directory: str, options: StoreOptions) -> System:
    """See OpenSystem."""
    settings: dict[str, Any] = {}
    if not options.defaults:
        settings = {
            "memtable_max_bytes": max(options.write_buffer_bytes, 1 << 10),
            # Both caches together have the memory that others have for their one.
            "block_cache_bytes": options.cache_bytes - options.cache_bytes // _ROW_SHARE,
            "row_cache_bytes": options.cache_bytes // _ROW_SHARE,
            "bloom_bits_per_key": (options.bloom_bits,),
        }
    settings |= {"background": options.background, "wal_sync": "every_write" if options.sync else "none"}
    db = lsmproc.open(directory, **settings)
    return LsmprocSystem(db, settings | {"compression": db.config.compression})


def open_configured(name: str, directory: str, options: StoreOptions) -> System:
    """As OpenSystem, with the file of settings of the system ``name``, which alone counts, but for synced workloads."""
    synced = {"wal_sync": "every_write"} if options.sync else {}
    file = options.configs[name]
    config = lsmproc.LSMConfig.from_toml(file, data_dir=directory, **synced)
    return LsmprocSystem(lsmproc.LSMStore(config), {"config": file})


def _version() -> str:
    try:
        return version("lsmproc")
    except PackageNotFoundError:
        return "of this checkout"
