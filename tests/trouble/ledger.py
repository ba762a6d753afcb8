"""What a store has acknowledged, write by write, and whether it still says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import lsmproc
from lsmproc.errors import Error

SMALL = {
    "memtable_max_bytes": 64 << 10,
    "sstable_max_bytes": 64 << 10,
    "level_base_bytes": 256 << 10,
    "level0_compaction_trigger": 2,
    "block_bytes": 1024,
}  # a store that flushes and compacts within a megabyte


class Ledger:
    """Makes random writes of a seed and knows what must be there afterwards."""

    def __init__(self, seed: int, keys: int = 3000, value_bytes: int = 2000) -> None:
        self.records: dict[bytes, bytes] = {}
        self.writes = 0
        self.keys = [b"key %06d" % number for number in range(keys)]
        self._random = Random(seed)
        self._value_bytes = value_bytes

    def write(self, db: lsmproc.LSMStore) -> None:
        """One put, delete or batch; only what the store has acknowledged is noted. Raises what the store raises."""
        kind = self._random.random()
        changes: dict[bytes, bytes | None] = {}
        for _ in range(5 if kind > 0.95 else 1):
            value = self._random.randbytes(self._random.randrange(50, self._value_bytes))
            changes[self._random.choice(self.keys)] = None if kind < 0.05 else value
        if len(changes) > 1:
            with db.write_batch() as batch:
                for key, new in changes.items():
                    batch.put(key, new or b"")
        else:
            ((key, new),) = changes.items()
            if new is None:
                db.delete(key)
            else:
                db.put(key, new)
        self.note(changes)

    def note(self, changes: dict[bytes, bytes | None]) -> None:
        """The store has acknowledged these."""
        self.writes += 1
        for key, value in changes.items():
            if value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = value

    def write_until_error(self, db: lsmproc.LSMStore, seconds: float) -> Error:
        """Write until the store raises; fails if that takes longer than ``seconds``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self.write(db)
            except Error as error:
                return error
        raise AssertionError(f"no error in {seconds:g} s, after {self.writes} writes")

    def check(self, db: lsmproc.LSMStore) -> None:
        """Every acknowledged write is there, nothing else is, and reads and scans agree."""
        wrong = [key for key in self.keys if db.get(key) != self.records.get(key)]
        assert [] == wrong[:5], f"{len(wrong)} records of {len(self.keys)} are wrong"
        assert sorted(self.records.items()) == list(db.range())


def until(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Wait until ``condition`` holds; how long that took. Fails after ``seconds``."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.005)
    return time.monotonic() - began


def files_without_owner(directory: Path, db: lsmproc.LSMStore) -> list[str]:
    """Tables and temporary files that the store does not name. REQUIRES: no background work."""
    named = {file.name for file in db.live_files()}
    tables = [path.name for path in directory.glob("*.sst") if path.name not in named]
    return tables + [str(path.relative_to(directory)) for path in (directory / "tmp").iterdir()]
