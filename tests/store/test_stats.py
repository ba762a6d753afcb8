"""The figures of a store at work: every operation counted, reads followed to their source, jobs with their workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lsmproc
from lsmproc.statistics import collector
from lsmproc.statistics.latency import Operation
from lsmproc.statistics.read_samples import ReadSamples

OpenStore = Callable[..., lsmproc.LSMStore]


@pytest.fixture
def always_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time and follow every call."""
    for name in ("GET_SAMPLED_EVERY", "WRITE_SAMPLED_EVERY", "LONG_SAMPLED_EVERY"):
        monkeypatch.setattr(collector, name, 1)


def test_every_operation_is_counted_and_timed(open_store: OpenStore, tiny: dict[str, Any]) -> None:
    """One in many of the frequent ones, each of the rare ones, and the open itself."""
    store = open_store(**tiny)
    for number in range(300):
        store.put(b"%03d" % number, b"v" * 100)
    store.delete(b"000")
    with store.write_batch() as batch:
        batch.put(b"a", b"1")
        batch.put(b"b", b"2")
    for number in range(600):
        store.get(b"%03d" % (number % 300))
    store.get_many([b"001", b"002", b"003"])
    assert 301 == len(list(store.range()))
    iterator = store.iterator()
    iterator.seek(b"100")
    assert b"100" == next(iterator)[0]
    store.compact_range()
    store.sync()
    stats = store.stats()
    assert (300, 1, 1, 2) == (
        stats.writes.puts,
        stats.writes.deletes,
        stats.writes.batches,
        stats.writes.batch_records,
    )
    assert (603, 2) == (stats.reads.gets, stats.reads.scans)
    assert {
        "put": (300, 2),
        "delete": (1, 1),
        "batch": (1, 1),
        "get": (600, 1),
        "get_many": (1, 1),
        "seek": (61, 1),
        "log_sync": (1, 1),
        "open": (1, 1),
    }.items() <= {name: (each.count, each.samples) for name, each in stats.operations.items()}.items()
    assert 0 < stats.operations["next"].samples
    assert 0 < stats.operations["flush"].count == stats.jobs.flushes.jobs
    assert 0 < stats.operations["compaction"].count == stats.jobs.compactions.jobs
    assert all(each.max_seconds > 0 for each in stats.operations.values())
    assert 300 * 100 < stats.wal.written_bytes


@pytest.mark.usefixtures("always_sampled")
def test_sampled_reads_tell_where_keys_were_found(open_store: OpenStore) -> None:
    """Each source, and keys that are nowhere; and a followed read answers what any other does."""
    store = open_store(bloom_bits_per_key=[16])
    for number in range(100):
        store.put(b"%03d" % number, b"below")
    store.compact_range()
    for number in range(0, 100, 2):
        store.put(b"%03d" % number, b"level 0")
    store.flush_memtable()
    store.put(b"000", b"memtable")
    store.delete(b"002")
    assert [b"memtable", None, b"below", b"level 0"] == [store.get(key) for key in (b"000", b"002", b"001", b"004")]
    assert b"below" == store.get(b"001")
    assert [None] * 50 == [store.get(b"%03dx" % number) for number in range(50)]
    assert 7 == store.get(b"x", 7)
    reads = store.stats().reads
    deepest = f"level {max(level.level for level in store.stats().levels if level.files)}"
    assert {"memtable": 2, "row cache": 1, "level 0": 1, deepest: 1, "none": 51} == reads.sources
    assert (56, 1) == (reads.samples, reads.sampled_every)
    assert 2 / 56 == reads.memtable_hit_ratio
    assert 1 / 54 == reads.row_cache_hit_ratio
    level0 = reads.filters[0]
    assert 53 == level0.probes  # but for those that the memtable and the row cache answered
    assert 50 <= level0.negatives
    assert level0.negatives + level0.false_positives == 52
    assert level0.false_positive_ratio < 0.1


def test_a_followed_read_answers_as_a_plain_one(open_store: OpenStore, tiny: dict[str, Any]) -> None:
    """For each key of a tree with overwritten and deleted records, and keys between them."""
    store = open_store(**tiny, row_cache_bytes=0)
    for round_number in range(3):
        for number in range(round_number, 200, round_number + 1):
            if (number + round_number) % 7:
                store.put(b"%03d" % number, b"%d" % round_number * 50)
            else:
                store.delete(b"%03d" % number)
    view, samples = store._write_path.view, ReadSamples()
    assert 2 < sum(1 for level in view.version.levels if level)
    keys = [b"%03d%s" % (number, end) for number in range(210) for end in (b"", b"x")]
    assert [view.get(key) for key in keys] == [view.followed_get(key, samples) for key in keys]


def test_bad_keys_and_closed_stores_raise_the_same_when_sampled(open_store: OpenStore) -> None:
    """The first call of each operation is a sampled one."""
    store = open_store()
    with pytest.raises(TypeError, match="encode"):
        store.get("text")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="encode"):
        store.put("text", b"")  # type: ignore[arg-type]
    store.close()
    for operation in (lambda: store.delete(b"k"), lambda: store.get_many([b"k"]), store.range):
        with pytest.raises(lsmproc.ClosedError):
            operation()


def test_a_sampled_get_of_a_closed_store_says_so(open_store: OpenStore) -> None:
    """Its first get ever."""
    store = open_store()
    store.close()
    with pytest.raises(lsmproc.ClosedError):
        store.get(b"k")


def test_a_range_ends_and_lets_go_of_its_state_when_timed(open_store: OpenStore) -> None:
    """The first range of a store is one that is timed."""
    store = open_store()
    store.put(b"a", b"1")
    records: Iterator[tuple[bytes, bytes]] = store.range()
    assert 1 == store.stats().snapshots.count
    assert [(b"a", b"1")] == list(records)
    assert 0 == store.stats().snapshots.count


def test_jobs_tell_which_worker_did_them_and_what_it_used(open_store: OpenStore) -> None:
    """Process id, CPU time and peak memory come with the worker's answer."""
    store = open_store(background="process", compaction_workers=1)
    for number in range(5000):
        store.put(b"%06d" % number, os.urandom(20))
    store.flush_memtable(timeout=30.0)
    jobs = store.stats().jobs
    (flush,) = jobs.last
    workers = {worker.kind: worker.pid for worker in store.stats().workers}
    assert ("flush", 0, 5000, 5000, workers["flush"]) == (
        flush.kind,
        flush.level,
        flush.records_read,
        flush.records_written,
        flush.pid,
    )
    assert 5 << 20 < flush.peak_memory_bytes < 1 << 30
    assert 0 < flush.cpu_seconds <= flush.seconds + 0.1
    assert flush.bytes_written == jobs.flushes.bytes_written == sum(file.size for file in store.live_files())
    assert () == jobs.running


def test_operations_sample_a_prime_share_of_their_calls() -> None:
    """A program that works in rounds of a round number is seen at every point of its round."""
    statistics = collector.Statistics()
    every = {getattr(statistics, name).every for name in ("put", "delete", "batch", "get", "get_many", "range")}
    assert all(n > 1 and all(n % d for d in range(2, n)) for n in every)
    assert isinstance(statistics.put, Operation)
