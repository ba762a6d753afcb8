"""Micro-benchmarks of memtables and iterators: what they cost on top of reading and decoding tables.

    python -m lsmproc.bench.micro_iterators [records]

Tables are lists of decoded blocks in memory, so every figure is the price of the iterator itself. plyvel is measured
beside it when it is installed: its figures include reading its own, freshly compacted, tables.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from lsmproc.iterators.db_iterator import DBIterator, scan
from lsmproc.iterators.merge_windows import merge_windows, merge_windows_reverse
from lsmproc.iterators.sources import memtable_windows, table_windows
from lsmproc.memtable.dict_memtable import DictMemtable
from lsmproc.memtable.sorted_dict_memtable import SortedDictMemtable
from lsmproc.protocols import Columns, Memtable

BLOCK_RECORDS = 35  # 4 KiB of 16-byte keys and 100-byte values
ROUNDS = 3


class ListTable:
    """A table that is already decoded."""

    def __init__(self, keys: list[bytes], values: list[bytes | None]) -> None:
        self.keys = keys
        self.values = values
        self.lasts = [*keys[BLOCK_RECORDS - 1 :: BLOCK_RECORDS], keys[-1]]
        self.block_count = -(-len(keys) // BLOCK_RECORDS)

    def find_block(self, key: bytes) -> int:
        """See TableReader."""
        return min(bisect_left(self.lasts, key), self.block_count)

    def columns(self, first: int, count: int, *, fill_cache: bool = True) -> Columns:
        """See TableReader; assembled block by block, as the real one does."""
        del fill_cache
        ends = range(first * BLOCK_RECORDS, (first + count) * BLOCK_RECORDS, BLOCK_RECORDS)
        return (
            list(chain.from_iterable([self.keys[end : end + BLOCK_RECORDS] for end in ends])),
            list(chain.from_iterable([self.values[end : end + BLOCK_RECORDS] for end in ends])),
        )


def main() -> None:
    """Print microseconds per record or per call, the best of a few rounds."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    keys = [b"%016d" % number for number in range(count)]
    values: list[bytes | None] = [b"%0100d" % number for number in range(count)]
    measure_memtables(keys, values)
    table = ListTable(keys, values)
    measure_reads("one table", keys, lambda a, b, r: table_windows(table, a, b, r))  # type: ignore[arg-type]
    draw = random.Random(1)
    runs = [sorted(draw.sample(range(count), count // 4)) for _ in range(3)]
    tables = [ListTable([keys[i] for i in run], [values[i] for i in run]) for run in runs] + [table]
    measure_reads("four overlapping tables", keys, lambda a, b, r: merged(tables, a, b, reverse=r))
    memtable = DictMemtable()
    memtable.entries.update(zip(keys, zip(repeat(1), values, strict=False), strict=True))
    measure_reads("one memtable", keys, lambda a, b, r: memtable_windows(memtable, a, b, 1, r))
    measure_plyvel(keys, values)


def merged(tables: list[ListTable], start: bytes | None, stop: bytes | None, *, reverse: bool) -> Iterator[Any]:
    """The windows of several tables, merged."""
    sources: list[Any] = [table_windows(table, start, stop, reverse) for table in tables]  # type: ignore[arg-type]
    return (merge_windows_reverse if reverse else merge_windows)(sources)


def measure_memtables(keys: list[bytes], values: list[bytes | None]) -> None:
    """Puts in random order, then the first range, then a range after each put."""
    order = random.Random(2).sample(range(len(keys)), len(keys))
    pairs = [(keys[i], values[i]) for i in order]
    kinds: tuple[type[Memtable], ...] = (DictMemtable, SortedDictMemtable)
    for kind in kinds:
        memtable = kind()
        entries = memtable.entries
        report(f"{kind.__name__}: put", len(keys), partial(put_all, entries, pairs), rounds=1)
        report(f"{kind.__name__}: first range", 1, partial(memtable.window, None, None, 1, 10, reverse=False), rounds=1)
        count = len(keys) // 1000
        name = f"{kind.__name__}: put a new key and read 10 records"
        report(name, count, partial(put_and_read, memtable, keys[::1000]))


def put_and_read(memtable: Memtable, keys: list[bytes]) -> None:
    """After each key put a new one and read the range that begins with it."""
    for key in keys:
        memtable.entries[key + b"x%d" % len(memtable.entries)] = (1, b"")
        memtable.window(key, None, 1, 10, reverse=False)


def put_all(entries: Any, pairs: list[tuple[bytes, bytes | None]]) -> None:
    """The memtable's part of a commit, as a loop of single puts."""
    for key, value in pairs:
        entries[key] = (1, value)


def measure_reads(name: str, keys: list[bytes], make_windows: Callable[[Any, Any, bool], Iterator[Any]]) -> None:
    """Full scans in all forms, then short seeks."""
    count = len(keys)
    report(f"{name}: windows alone", count, lambda: drain(make_windows(None, None, False)))
    report(f"{name}: for k, v in scan()", count, lambda: loop(scan(make_windows)))
    report(f"{name}: for k, v in iterator", count, lambda: loop(DBIterator(make_windows)))
    report(f"{name}: ... reverse", count, lambda: loop(DBIterator(make_windows, reverse=True)))
    report(f"{name}: ... keys only", count, lambda: drain(DBIterator(make_windows, include_value=False)))
    report(f"{name}: next()", count, lambda: drain(step(DBIterator(make_windows).__next__)))
    report(f"{name}: prev()", count, lambda: drain(back(make_windows)))
    starts = random.Random(3).sample(keys, 2000)
    report(f"{name}: new iterator, first record", 2000, lambda: [next(DBIterator(make_windows, k)) for k in starts])
    report(f"{name}: new iterator, 10 records", 2000, lambda: seek_and_read(make_windows, starts, 10))
    report(f"{name}: new iterator, 100 records", 2000, lambda: seek_and_read(make_windows, starts, 100))


def measure_plyvel(keys: list[bytes], values: list[bytes | None]) -> None:
    """The same with plyvel."""
    try:
        import plyvel  # noqa: PLC0415 - optional
    except ImportError:
        print("plyvel is not installed: no comparison")
        return
    with tempfile.TemporaryDirectory() as directory:
        db = plyvel.DB(str(Path(directory, "db")), create_if_missing=True)
        with db.write_batch() as batch:
            for key, value in zip(keys, values, strict=True):
                batch.put(key, value)
        db.compact_range()
        count = len(keys)
        report("plyvel: for k, v in iterator", count, lambda: loop(db.iterator()))
        report("plyvel: ... reverse", count, lambda: loop(db.iterator(reverse=True)))
        report("plyvel: ... keys only", count, lambda: drain(db.iterator(include_value=False)))
        starts = random.Random(3).sample(keys, 2000)
        report("plyvel: new iterator, first record", 2000, lambda: [next(db.iterator(start=key)) for key in starts])
        db.close()


def seek_and_read(make_windows: Callable[[Any, Any, bool], Iterator[Any]], starts: list[bytes], count: int) -> None:
    """Short ranges, left early."""
    for start in starts:
        for number, _ in enumerate(DBIterator(make_windows, start), 1):
            if number == count:
                break


def loop(records: Iterator[Any]) -> None:
    """The loop a user writes."""
    for _key, _value in records:
        pass


def drain(records: Iterator[Any]) -> None:
    """Exhaust an iterator at no cost of its own."""
    deque(records, maxlen=0)


def back(make_windows: Callable[[Any, Any, bool], Iterator[Any]]) -> Iterator[Any]:
    """All records from the end with prev()."""
    iterator = DBIterator(make_windows)
    iterator.seek_to_stop()
    return step(iterator.prev)


def step(method: Callable[[], Any]) -> Iterator[Any]:
    """Call until StopIteration."""
    while True:
        try:
            yield method()
        except StopIteration:
            return


def report(name: str, count: int, run: Callable[[], Any], *, rounds: int = ROUNDS) -> None:
    """Time ``run``, which handles ``count`` records or calls."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    print(f"{name:58s}{1e6 * best / count:12.3f} us", flush=True)


if __name__ == "__main__":
    main()
