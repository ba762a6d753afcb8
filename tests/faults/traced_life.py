"""``python -m tests.faults.traced_life DIRECTORY``: two short lives of a store with real workers, run under strace.

Each line on standard output is ``STEP NUMBER OUTCOME``, written when the call has returned: the outcome is ``ok``
or the name of the error's type. The write of number n is that of :func:`record`; numbers are never used twice.
An error that is none of the package's own ends the program.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.errors import Error

LIVES = 2
WRITES = 36
_EACH_SYNCED = 6
_LATER_WRITES = 8
_OPENINGS = 4
_DEADLINE_SECONDS = 30.0

Result = TypeVar("Result")


def record(number: int) -> tuple[bytes, bytes]:
    """The key and the value of a write; neighbours in time are far apart in the order of keys."""
    return b"%02d-%04d" % (number * 37 % 100, number), b"%d:" % number * 60


def options(directory: Path) -> LSMConfig:
    """A few kilobytes fill the memtable, two tables are compacted; nothing is synced but what asks for it."""
    return LSMConfig.from_options(
        directory, wal_sync="none", memtable_max_bytes=4096, level0_compaction_trigger=2, compaction_workers=1
    )


class Life:
    """One process's use of the store."""

    def __init__(self, directory: Path) -> None:
        self._config = options(directory)
        self._acknowledged: dict[bytes, bytes] = {}
        self._uncertain: dict[bytes, bytes] = {}

    def run(self, first: int) -> int:
        """Open, write, flush, write, compact, read, close; returns the next unused number."""
        db = None
        for attempt in range(_OPENINGS):
            db = db or self._told("open", attempt, lambda: LSMStore(self._config))
        if db is None:
            sys.exit("the store cannot be opened")
        last = first + WRITES
        for number in range(first, last):
            self._write(db, number, sync=number % _EACH_SYNCED == 0)
        self._told("sync", first, db.sync)
        self._told("flush", first, lambda: db.flush_memtable(timeout=_DEADLINE_SECONDS))
        for number in range(last, last + _LATER_WRITES):
            self._write(db, number, sync=False)
        self._told("compact", first, lambda: db.compact_range(timeout=_DEADLINE_SECONDS))
        self._told("idle", first, lambda: db.wait_idle(timeout=_DEADLINE_SECONDS))
        self._told("read", first, lambda: self._read(db))
        self._write(db, last + _LATER_WRITES, sync=True)
        self._told("close", first, db.close)
        return last + _LATER_WRITES + 1

    def _write(self, db: LSMStore, number: int, *, sync: bool) -> None:
        key, value = record(number)
        self._uncertain[key] = value
        if self._told("synced" if sync else "put", number, lambda: db.put(key, value, sync=sync) or db):
            self._acknowledged[key] = self._uncertain.pop(key)

    def _read(self, db: LSMStore) -> None:
        """What was acknowledged is there, and nothing that was never written."""
        shown = dict(db.range())
        if not self._acknowledged.items() <= shown.items() <= (self._acknowledged | self._uncertain).items():
            sys.exit("a read shows something else than what was written")
        if any(value != db.get(key) for key, value in shown.items()):
            sys.exit("a point read shows something else than a range")

    def _told(self, step: str, number: int, call: Callable[[], Result]) -> Result | None:
        """The result, or None after an error; either is reported at once, on a pipe that a kill does not empty."""
        outcome, result = "ok", None
        try:
            result = call()
        except Error as error:
            outcome = type(error).__name__
        os.write(1, f"{step} {number} {outcome}\n".encode())
        return result


if __name__ == "__main__":
    life = Life(Path(sys.argv[1]))
    number = 0
    for _ in range(LIVES):
        number = life.run(number)
    sys.stdout.write("end 0 ok\n")
