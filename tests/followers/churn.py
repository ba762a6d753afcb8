"""The two sides of the churn test, each a process of its own: an owner that writes, and a follower that checks.

They share one small file beside the store: which write was acknowledged last, and when each of the last ones was.
"""

from __future__ import annotations

import json
import mmap
import os
import statistics
import struct
import sys
import time
from pathlib import Path

import lsmproc
from tests.followers.numbered_writes import Model, last_write, write

CHURN = {
    "memtable_max_bytes": 128 << 10,
    "sstable_max_bytes": 128 << 10,
    "level_base_bytes": 256 << 10,
    "max_immutable_memtables": 16,  # the first flush waits for its worker to start
    "worker_niceness": 0,
    "level0_compaction_trigger": 2,
    "block_bytes": 1024,
    "wal_sync_interval_ms": 20,
}  # a store that flushes and compacts several times a second
COUNTER = b"counter"
_PAUSE_SECONDS = 0.002
_FEWEST_VALUES = 20
_PLACES = 1 << 12
_NUMBER = struct.Struct("<q")
BOARD_BYTES = _NUMBER.size * (1 + _PLACES)


class Board:
    """The last acknowledged write, and when (in nanoseconds of the machine's clock) each of the last ones was."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR)
        self._map = mmap.mmap(fd, BOARD_BYTES)
        os.close(fd)

    def acknowledge(self, number: int) -> None:
        """Write ``number`` has returned."""
        _NUMBER.pack_into(self._map, _NUMBER.size * (1 + number % _PLACES), time.monotonic_ns())
        _NUMBER.pack_into(self._map, 0, number)

    @property
    def acknowledged(self) -> int:
        """The last write that has returned."""
        return int(_NUMBER.unpack_from(self._map)[0])

    def since(self, number: int) -> float:
        """Seconds since write ``number`` returned; 0.0 if it has not yet."""
        if self.acknowledged < number:
            return 0.0
        return (time.monotonic_ns() - _NUMBER.unpack_from(self._map, _NUMBER.size * (1 + number % _PLACES))[0]) / 1e9


def own(directory: Path, options: dict[str, object]) -> None:
    """Write on from where the store ends, until killed."""
    board = Board(directory / "board")
    with lsmproc.open(directory / "store", lock_wait_seconds=20.0, **(CHURN | options)) as store:
        number = last_write(dict(store.range()))
        _say_open()
        while True:
            number += 1
            write(store, number)
            board.acknowledge(number)


def count(directory: Path, options: dict[str, object]) -> None:
    """Count one record up, a few hundred times a second, until killed."""
    board, number = Board(directory / "board"), 0
    with lsmproc.open(directory / "store", **(CHURN | options)) as store:
        _say_open()
        while True:
            number += 1
            store.put(COUNTER, number.to_bytes(8, "big") + bytes(100))
            board.acknowledge(number)
            time.sleep(_PAUSE_SECONDS)


def _say_open() -> None:
    sys.stdout.write("open\n")
    sys.stdout.flush()


def follow(directory: Path, refresh: str) -> dict[str, float]:
    """Check state after state until the file ``stop`` is there; what was seen."""
    board, model = Board(directory / "board"), Model()
    checks = gets = 0
    with lsmproc.open_follower(directory / "store", refresh=refresh, poll_interval=0.05) as follower:  # type: ignore[arg-type]
        while not (directory / "stop").exists():
            acknowledged = board.acknowledged
            if refresh == "manual":
                follower.refresh()
            with follower.snapshot() as snapshot:
                found = dict(snapshot.range())
                if refresh != "interval":
                    seen = last_write(found)
                    assert acknowledged <= seen, f"write {acknowledged} had returned, but only {seen} is shown"
                model.check(found)
                for key in (*list(found)[:20], b"key 00007"):
                    assert found.get(key) == snapshot.get(key), key
            for key, value in list(found.items())[:50]:
                # What lies between may have overwritten it, but nothing older may be there.
                now = follower.get(key)
                assert now is None or now[:8] >= value[:8], f"{key!r} went back"
                gets += 1
            checks += 1
        lag = follower.lag()
        assert lag.shown <= lag.newest
        return {"checks": checks, "gets": gets, "writes": model.number, "refreshes": follower.stats().refreshes}


def watch(directory: Path, refresh: str) -> dict[str, float]:
    """Ask for one key again and again, for twenty values at least: how long after its return is each write seen?"""
    board, latencies, last = Board(directory / "board"), [], 0
    with lsmproc.open_follower(directory / "store", refresh=refresh) as follower:  # type: ignore[arg-type]
        while len(latencies) < _FEWEST_VALUES or not (directory / "stop").exists():
            for _ in range(500):
                number = int.from_bytes(follower.get(COUNTER, b"")[:8], "big")
                if number > last:
                    latencies.append(board.since(number))
                    last = number
    return {"seen": len(latencies), "median": statistics.median(latencies), "max": max(latencies)}


def main() -> None:
    """``own DIRECTORY OPTIONS``, ``count DIRECTORY OPTIONS``, ``follow DIRECTORY MODE`` or ``watch DIRECTORY MODE``."""
    role, directory, argument = sys.argv[1:]
    if role in {"own", "count"}:
        {"own": own, "count": count}[role](Path(directory), json.loads(argument))
    else:
        result = {"follow": follow, "watch": watch}[role](Path(directory), argument)
        sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
