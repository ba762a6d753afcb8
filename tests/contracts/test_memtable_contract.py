"""What every memtable promises: ranges in order as a reader at a sequence number sees them, whatever writers do."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmproc.memtable.dict_memtable import DictMemtable
from lsmproc.memtable.sorted_dict_memtable import SortedDictMemtable
from lsmproc.protocols import Memtable

MEMTABLES = pytest.mark.parametrize("make_memtable", [DictMemtable, SortedDictMemtable])
MakeMemtable = Callable[[], Memtable]

KEYS = st.binary(max_size=3)
BOUNDS = st.one_of(st.none(), KEYS)
VALUES = st.one_of(st.none(), st.binary(max_size=2))
WRITES = st.lists(st.tuples(KEYS, VALUES), max_size=40)

DEADLINE_SECONDS = 30


def put(memtable: Memtable, key: bytes, sequence: int, value: bytes | None) -> None:
    """Insert as a commit does while a snapshot of every past sequence lives."""
    older = memtable.entries.get(key)
    memtable.entries[key] = (sequence, value) if older is None else (sequence, value, older)


def read(
    memtable: Memtable, start: bytes | None, stop: bytes | None, sequence: int, limit: int, *, reverse: bool
) -> list[tuple[list[bytes], list[bytes | None]]]:
    """All windows of a range."""
    windows = []
    while True:
        keys, values, bound = memtable.window(start, stop, sequence, limit, reverse=reverse)
        windows.append((keys, values))
        if bound is None:
            return windows
        if reverse:
            stop = bound
        else:
            start = bound


@MEMTABLES
@settings(max_examples=150, deadline=None)
@given(
    writes=WRITES,
    more=WRITES,
    start=BOUNDS,
    stop=BOUNDS,
    limit=st.integers(1, 9),
    late=st.integers(0, 80),
    data=st.data(),
)
def test_windows_of_a_range_hold_what_its_reader_sees(
    make_memtable: MakeMemtable,
    writes: list[tuple[bytes, bytes | None]],
    more: list[tuple[bytes, bytes | None]],
    start: bytes | None,
    stop: bytes | None,
    limit: int,
    late: int,
    data: st.DataObject,
) -> None:
    """Any range, limit, direction and sequence gives the model's records, in windows no larger than the limit."""
    memtable = make_memtable()
    history = [*writes, *more]
    sequence = min(late, len(history))
    for number, (key, value) in enumerate(history, 1):
        put(memtable, key, number, value)
        if number == len(writes):
            memtable.window(None, None, number, 1, reverse=False)
    seen = dict(history[:sequence])
    expected = [
        (key, seen[key]) for key in sorted(seen) if (start is None or key >= start) and (stop is None or key < stop)
    ]
    for reverse in (False, True):
        windows = read(memtable, start, stop, sequence, limit, reverse=reverse)
        assert all(len(keys) == len(values) <= limit for keys, values in windows)
        ascending = reversed(windows) if reverse else windows
        assert expected == [record for keys, values in ascending for record in zip(keys, values, strict=True)]


@MEMTABLES
def test_a_window_without_visible_records_still_says_where_to_go_on(make_memtable: MakeMemtable) -> None:
    """A reader of the past is led over a stretch of newer keys to the one it sees."""
    memtable = make_memtable()
    memtable.entries[b"z"] = (1, b"old")
    for key in (b"a", b"b", b"c"):
        memtable.entries[key] = (2, b"new")
    assert ([], [], b"c") == memtable.window(None, None, 1, 2, reverse=False)
    assert ([b"z"], [b"old"], None) == memtable.window(b"c", None, 1, 2, reverse=False)


@MEMTABLES
def test_columns_hold_the_newest_entry_of_each_key_in_order(make_memtable: MakeMemtable) -> None:
    """Tombstones are in, older entries are not."""
    memtable = make_memtable()
    for sequence, (key, value) in enumerate([(b"b", b"1"), (b"a", b"2"), (b"b", None), (b"c", b"")], 1):
        put(memtable, key, sequence, value)
    assert ([b"a", b"b", b"c"], [b"2", None, b""], [2, 3, 4]) == memtable.columns()


@MEMTABLES
def test_a_batch_arrives_at_one_sequence(make_memtable: MakeMemtable) -> None:
    """The commit path's way to insert a batch works on every memtable."""
    memtable = make_memtable()
    memtable.entries.update(zip([b"b", b"a"], zip(repeat(7), [b"1", None]), strict=False))
    assert ([], [], None) == memtable.window(None, None, 6, 9, reverse=False)
    assert ([b"a", b"b"], [None, b"1"], None) == memtable.window(None, None, 7, 9, reverse=False)
    assert (7, b"1") == memtable.entries.get(b"b")
    assert memtable.entries.get(b"c") is None
    assert 2 == len(memtable.entries)


@MEMTABLES
@pytest.mark.parametrize("added", [1, 100, 30_000])
def test_keys_added_after_a_range_was_read_are_found_by_the_next(make_memtable: MakeMemtable, added: int) -> None:
    """Few or many new keys, before, between and after those already in order."""
    draw = Random(added)
    memtable = make_memtable()
    keys = draw.sample([b"%06d" % number for number in range(100_000)], 5000 + added)
    memtable.entries.update(zip(keys[:5000], repeat((1, b"v")), strict=False))
    assert sorted(keys[:5000]) == memtable.columns()[0]
    memtable.entries.update(zip(keys[5000:], repeat((1, b"v")), strict=False))
    assert sorted(keys) == memtable.columns()[0]


@MEMTABLES
def test_readers_beside_a_writer_see_exactly_their_sequence(
    make_memtable: MakeMemtable, fast_thread_switches: None
) -> None:
    """One thread puts, overwrites and writes batches while three scan both ways at published sequences."""
    count = 12_000
    order = Random(5).sample(range(count), count)
    keys = [b"%05d" % number for number in order]
    memtable = make_memtable()
    published = [0]
    done = threading.Event()
    scanned = threading.Semaphore(0)
    end = time.monotonic() + DEADLINE_SECONDS

    def write() -> None:
        try:
            number = 0
            while number < count:
                if published[0] % 80 == 0:
                    # The dict takes all keys within milliseconds: give the readers a share of them each time.
                    assert scanned.acquire(timeout=DEADLINE_SECONDS)
                batch = 50 if number % 500 == 0 else 1
                fresh = keys[number : number + batch]
                # Every commit also overwrites a key that is already there.
                old = keys[number // 2]
                sequence = published[0] + 1
                put(memtable, old, sequence, b"%d" % sequence)
                memtable.entries.update(zip(fresh, zip(repeat(sequence), repeat(b"new")), strict=False))
                history.append(number + len(fresh))
                published[0] = sequence
                number += len(fresh)
        finally:
            done.set()

    def scan(seed: int) -> int:
        draw = Random(seed)
        scans = 0
        while not done.is_set() or scans == 0:
            assert time.monotonic() < end
            sequence = published[0]
            reverse = draw.random() < 0.5
            start = b"%05d" % draw.randrange(count // 2, count)
            windows = read(memtable, start, None, sequence, draw.choice([7, 512]), reverse=reverse)
            if reverse:
                windows.reverse()
            seen = [key for window_keys, _ in windows for key in window_keys]
            expected = set(keys[: history[sequence]])
            assert sorted(key for key in expected if key >= start) == seen
            for _, values in windows:
                assert all(value == b"new" or int(value) <= sequence for value in values if value is not None)
            scans += 1
            scanned.release()
        return scans

    history = [0]
    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(scan, seed) for seed in range(3)]
        writer = pool.submit(write)
        writer.result(timeout=DEADLINE_SECONDS)
        assert all(reader.result(timeout=DEADLINE_SECONDS) > 0 for reader in readers)
    assert sorted(keys) == memtable.columns()[0]


@pytest.fixture
def fast_thread_switches() -> Iterator[None]:
    """Let threads alternate a thousand times as often as usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(interval)
