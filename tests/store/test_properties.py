"""``get_property``: the figures under the names that users of RocksDB and LevelDB know."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

import lsmproc
from lsmproc.monitoring.properties import StoreFigures, property_names, property_of
from lsmproc.statistics import JobStats, LevelStats, MemtableStats, SnapshotStats, StallStats, Stats
from lsmproc.statistics.stats_tree import RunningJob

OpenStore = Callable[..., lsmproc.LSMStore]

FIGURES = StoreFigures(
    Stats(
        memtable=MemtableStats(1, 10, 1000),
        immutable_memtables=MemtableStats(2, 20, 2000),
        levels=(LevelStats(0, 3, 300, 0.75), LevelStats(1, 2, 5 << 20, 1.25, 3 << 20, 1 << 20, 4 << 20, 0, 2.0, 1)),
        compaction_debt_bytes=777,
        failed_jobs=2,
        stall=StallStats("slowdown", "level 0 runs", delayed_write_bytes_per_second=4096),
        jobs=JobStats((RunningJob(1, "flush", 0, 5, 0.5),)),
        snapshots=SnapshotStats(1, 1_700_000_000_123_456_789, 5.0, 400),
    ),
    [],
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rocksdb.num-files-at-level0", "3"),
        ("rocksdb.num-files-at-level1", "2"),
        ("leveldb.num-files-at-level1", "2"),
        ("leveldb.num-files-at-level01", "2"),
        ("leveldb.num-files-at-level00", "3"),
        ("rocksdb.num-immutable-mem-table", "2"),
        ("rocksdb.mem-table-flush-pending", "1"),
        ("rocksdb.num-running-flushes", "1"),
        ("rocksdb.num-running-compactions", "0"),
        ("rocksdb.compaction-pending", "1"),
        ("rocksdb.estimate-pending-compaction-bytes", "777"),
        ("rocksdb.background-errors", "2"),
        ("rocksdb.cur-size-all-mem-tables", "3000"),
        ("rocksdb.estimate-num-keys", "30"),
        ("rocksdb.num-snapshots", "1"),
        ("rocksdb.oldest-snapshot-time", "1700000000"),
        ("rocksdb.live-sst-files-size", str((5 << 20) + 300)),
        ("rocksdb.total-sst-files-size", str((5 << 20) + 700)),
        ("rocksdb.actual-delayed-write-rate", "4096"),
        ("rocksdb.is-write-stopped", "0"),
        ("leveldb.approximate-memory-usage", "3000"),
    ],
)
def test_a_property_is_the_figure_that_its_name_says(name: str, value: str) -> None:
    """As text for a name in text, as bytes for one in bytes."""
    assert value == property_of(name, lambda: FIGURES)
    assert value.encode() == property_of(name.encode(), lambda: FIGURES)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "rocksdb.",
        "nonsense",
        "rocksdb.num-files-at-level",
        "rocksdb.num-files-at-level7",
        "rocksdb.num-files-at-level12",
        "rocksdb.stats1",
        "ü",
    ],
)
def test_an_unknown_property_is_none(name: str) -> None:
    """As in plyvel; a name that nothing begins with costs no look at the store."""
    assert property_of(name, lambda: FIGURES) is None
    assert property_of(name.encode(), lambda: FIGURES) is None
    assert property_of(b"\xff", lambda: FIGURES) is None


def test_a_name_that_is_no_text_is_refused(open_store: OpenStore) -> None:
    """With its type."""
    with pytest.raises(TypeError, match="int"):
        open_store().get_property(7)  # type: ignore[call-overload]


def test_leveldbs_tables_look_as_there() -> None:
    """Level table and list of tables, as tools parse them."""
    assert [
        " " * 31 + "Compactions",
        "Level  Files Size(MB) Time(sec) Read(MB) Write(MB)",
        "--------------------------------------------------",
        "  0        3        0         0        0         0",
        "  1        2        5         2        4         4",
    ] == str(property_of("leveldb.stats", lambda: FIGURES)).splitlines()
    assert "--- level 0 ---\n--- level 1 ---\n" == property_of("leveldb.sstables", lambda: FIGURES)


def test_an_open_store_answers_every_name(open_store: OpenStore) -> None:
    """With what is in it."""
    store = open_store()
    for number in range(100):
        store.put(b"k\x00%03d" % number, b"v" * 50)
    store.flush_memtable()
    store.delete(b"k\x00000")
    for name in property_names():
        assert store.get_property(name.replace("<N>", "0")) is not None
    assert "1" == store.get_property("rocksdb.num-files-at-level0")
    assert b"101" == store.get_property(b"rocksdb.estimate-num-keys")
    assert "['k\\x00000' .. 'k\\x00099']" in store.get_property("leveldb.sstables")
    assert store.get_property("rocksdb.stats").startswith("Level  Files")
    with store.snapshot():
        assert 60 > time.time() - int(store.get_property("rocksdb.oldest-snapshot-time"))
    assert "0" == store.get_property("rocksdb.oldest-snapshot-time")
