"""How late an event loop is while a store works hard: its calls made from the loop, and through ``lsmproc.aio``.

``lsmproc bench micro --only aio``: 16 tasks write 100-byte values with a sync each (``sync``), write as fast as the
store takes them with small memtables, so that writes stall (``stalls``), or read keys of tables that memory does not
hold (``reads``). Beside them a heartbeat wakes up every millisecond and notes how late it is. Prints operations per
second and the heartbeat's lateness at the 50th and 99th percentile and the worst, in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

import lsmproc
import lsmproc.aio

_BEAT_SECONDS = 0.001
_TASKS = 16
_RECORDS = 50_000

Call = Callable[[int], Awaitable[object]]

STALLING = {
    "memtable_max_bytes": 256 << 10,
    "level0_compaction_trigger": 2,
    "level0_slowdown_writes_trigger": 3,
    "level0_stop_writes_trigger": 4,
}
UNCACHED = {"block_cache_bytes": 0, "row_cache_bytes": 0}


async def lateness(seconds: float, call: Call) -> tuple[float, list[float]]:
    """Operations per second of all tasks, and the heartbeat's lateness in seconds, ascending."""
    ends, late, done = time.monotonic() + seconds, [], 0

    async def work(number: int) -> None:
        nonlocal done
        draw = random.Random(number)
        while time.monotonic() < ends:
            await call(draw.randrange(1 << 30))
            done += 1
            await asyncio.sleep(0)

    async def beat() -> None:
        while time.monotonic() < ends:
            due = time.monotonic() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            late.append(time.monotonic() - due)

    await asyncio.gather(beat(), *(work(number) for number in range(_TASKS)))
    return done / seconds, sorted(late)


def calls(db: lsmproc.aio.AsyncStore, workload: str, way: str) -> Call:
    """One operation of a workload, given a random number."""
    value, store, sync = bytes(100), db.store, workload == "sync"

    async def put_directly(number: int) -> None:
        store.put(b"%012d" % number, value, sync=sync)

    async def get_directly(number: int) -> None:
        store.get(b"%012d" % (number % _RECORDS))

    if workload == "reads":
        return get_directly if way == "direct" else lambda number: db.get(b"%012d" % (number % _RECORDS))
    return put_directly if way == "direct" else lambda number: db.put(b"%012d" % number, value, sync=sync)


async def measure(directory: str, workload: str, way: str, seconds: float) -> None:
    """One line of the table."""
    options = {"sync": {}, "stalls": STALLING, "reads": UNCACHED}[workload]
    async with lsmproc.aio.open(directory, **options) as db:
        if workload == "reads":
            async with db.write_batch() as batch:
                for number in range(_RECORDS):
                    batch.put(b"%012d" % number, bytes(100))
            await db.flush_memtable()
        rate, late = await lateness(seconds, calls(db, workload, way))
    figures = "".join(f"{late[int(len(late) * part)] * 1e3:9.2f}" for part in (0.5, 0.99, 0.999999))
    print(f"{workload:8}{way:8}{rate:9.0f}/s {figures}   {len(late)} beats")


def main() -> int:
    """Run every workload both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="of each line")
    parser.add_argument("--directory", help="where the stores are made; temporary ones otherwise")
    parser.add_argument("workloads", nargs="*", default=["sync", "stalls", "reads"])
    options = parser.parse_args()
    print(f"{'':8}{'':8}{'operations':>11} {'late p50':>9}{'p99':>9}{'worst':>9}   ms")
    for workload in options.workloads:
        for way in ("direct", "aio"):
            with tempfile.TemporaryDirectory(dir=options.directory) as directory:
                asyncio.run(measure(directory, workload, way, options.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
