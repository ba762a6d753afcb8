"""The public face: a dict's operators, ranges, handles, and what a handle says and refuses."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import lsmproc
from lsmproc import ClosedError, LSMStore

OpenStore = Callable[..., LSMStore]


@pytest.fixture
def store(open_store: OpenStore) -> LSMStore:
    """Five records: two in a table, two in the memtable over it, one in both."""
    store = open_store()
    for key in (b"a", b"c", b"e"):
        store.put(key, b"old " + key)
    store.flush_memtable()
    for key in (b"b", b"d", b"e"):
        store.put(key, b"new " + key)
    return store


PAIRS = [(b"a", b"old a"), (b"b", b"new b"), (b"c", b"old c"), (b"d", b"new d"), (b"e", b"new e")]
KEYS = [key for key, _ in PAIRS]


def test_it_is_used_as_a_dict_is(store: LSMStore) -> None:
    """The operators set, get, look for and remove, and a missing key is a KeyError with that key."""
    store[b"f"] = bytearray(b"six")
    assert b"six" == store[b"f"]
    assert b"f" in store
    del store[b"f"]
    assert b"f" not in store
    with pytest.raises(KeyError) as missing:
        store[b"f"]
    assert (b"f",) == missing.value.args
    with pytest.raises(KeyError):
        del store[b"f"]
    assert KEYS == list(store)
    assert KEYS == list(store.keys())
    assert [value for _, value in PAIRS] == list(store.values())
    assert PAIRS == list(store.items())
    assert [(b"c", b"old c"), (b"b", b"new b")] == list(store.items(b"b", b"d", reverse=True))
    assert dict(PAIRS) == dict(store.items())


def test_a_store_is_true_though_it_may_be_empty(open_store: OpenStore) -> None:
    """``if store:`` asks whether there is one, and never scans it."""
    assert open_store()


def test_get_gives_the_default_for_what_is_missing(store: LSMStore) -> None:
    """By position, by keyword, and for each of many keys."""
    assert store.get(b"x") is None
    assert b"d" == store.get(b"x", b"d")
    assert 7 == store.get(b"x", default=7)
    assert b"old a" == store.get(b"a", b"d")
    assert [b"old a", None, b"new b"] == store.get_many([b"a", b"x", b"b"])
    assert [b"old a", 0] == store.get_many(iter([b"a", b"x"]), default=0)
    assert [] == store.get_many([])


def test_get_with_meta_tells_where_a_record_was_found(store: LSMStore) -> None:
    """The memtable or a table with its level and number; sequences tell the order of writes."""
    new, old = store.get_with_meta(b"b"), store.get_with_meta(b"a")
    assert new is not None
    assert old is not None
    assert (b"new b", "memtable", None, None, 0) == (new.value, new.source, new.level, new.file_number, new.probes)
    assert (b"old a", "table", 0, 1) == (old.value, old.source, old.level, old.probes)
    assert store.live_files()[0].number == old.file_number
    assert old.sequence < new.sequence
    assert store.get_with_meta(b"x") is None
    store.delete(b"a")
    assert store.get_with_meta(b"a") is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, KEYS),
        ({"start": b"b", "stop": b"d"}, [b"b", b"c"]),
        ({"start": b"b", "stop": b"d", "reverse": True}, [b"c", b"b"]),
        ({"start": b"aa", "stop": b"cc"}, [b"b", b"c"]),
        ({"start": b"d", "stop": b"b"}, []),
        ({"start": b"b", "stop": b"b"}, []),
        ({"start": b"b", "stop": b"b", "include_stop": True}, [b"b"]),
        ({"start": b"b", "stop": b"d", "include_start": False, "include_stop": True}, [b"c", b"d"]),
        ({"stop": b"b", "include_stop": True, "reverse": True}, [b"b", b"a"]),
        ({"prefix": b"b"}, [b"b"]),
        ({"prefix": b""}, KEYS),
        ({"prefix": b"zz"}, []),
    ],
)
def test_bounds_mean_the_same_everywhere(store: LSMStore, arguments: dict[str, Any], expected: list[bytes]) -> None:
    """In iterators of the store and of a snapshot, and in ranges as far as ranges take them."""
    assert expected == [key for key, _ in store.iterator(**arguments)]
    assert expected == list(store.keys(**arguments))
    with store.snapshot() as snapshot:
        assert expected == [key for key, _ in snapshot.iterator(**arguments)]
        assert expected == [key for key, _ in store.iterator(**arguments, snapshot=snapshot)]
    if not any(name.startswith("include") for name in arguments):
        assert expected == [key for key, _ in store.range(**arguments)]


def test_include_flags_choose_what_is_yielded(store: LSMStore) -> None:
    """Pairs, keys, values, or nothing but the count."""
    assert PAIRS[0] == next(store.iterator())
    assert b"a" == next(store.iterator(include_value=False))
    assert b"old a" == next(store.iterator(include_key=False))
    assert [None] * 5 == list(store.iterator(include_key=False, include_value=False))


def test_an_iterator_moves_both_ways_and_survives_a_merge(store: LSMStore) -> None:
    """It reads the state it was made in, whatever is written, flushed and merged after that."""
    with store.iterator() as iterator:
        assert PAIRS[0] == next(iterator)
        store.put(b"bb", b"later")
        store.delete(b"c")
        store.compact_range()
        assert PAIRS[1] == next(iterator)
        assert PAIRS[2] == next(iterator)
        assert PAIRS[2] == iterator.prev()
        iterator.seek(b"d")
        assert PAIRS[3:] == list(iterator)
        iterator.seek_to_start()
        with pytest.raises(StopIteration):
            iterator.prev()
        assert PAIRS == list(iterator)
    assert [b"a", b"b", b"bb", b"d", b"e"] == list(store)


def test_a_batch_is_written_at_the_end_of_its_block(store: LSMStore) -> None:
    """As one: nothing shows before, everything has one sequence number after."""
    with store.write_batch() as batch:
        batch.put(b"x", b"1")
        batch[b"y"] = b"2"
        del batch[b"a"]
        assert 3 == len(batch)
        assert b"x" not in store
    assert (b"1", b"2", None) == (store.get(b"x"), store.get(b"y"), store.get(b"a"))
    x, y = store.get_with_meta(b"x"), store.get_with_meta(b"y")
    assert x is not None
    assert y is not None
    assert x.sequence == y.sequence
    assert 0 == len(batch)


def test_a_batch_that_raises_is_discarded(store: LSMStore) -> None:
    """The error passes through, and the batch is empty afterwards."""
    batch = store.write_batch()
    batch.put(b"x", b"1")
    batch.delete(b"a")
    with pytest.raises(ZeroDivisionError), batch:
        raise ZeroDivisionError
    assert PAIRS == list(store.items())
    assert 0 == len(batch)


def test_a_batch_is_cleared_and_written_by_hand(store: LSMStore) -> None:
    """``clear`` forgets, ``write`` commits, and an empty batch is no write."""
    sequence = store.stats().sequence
    batch = store.write_batch(sync=True)
    batch.write()
    assert sequence == store.stats().sequence
    batch.put(b"x", b"1")
    batch.clear()
    batch.put(b"y", b"2")
    batch.write()
    assert (None, b"2") == (store.get(b"x"), store.get(b"y"))


def test_a_snapshot_stays_as_it_is(store: LSMStore) -> None:
    """By every way to read it."""
    with store.snapshot() as snapshot:
        store.put(b"a", b"changed")
        store.delete(b"b")
        store.put(b"z", b"added")
        store.compact_range()
        assert PAIRS == list(snapshot.range())
        assert KEYS == list(snapshot)
        assert b"old a" == snapshot[b"a"] == snapshot.get(b"a") == store.get(b"a", snapshot=snapshot)
        assert b"b" in snapshot
        assert b"z" not in snapshot
        assert 0 == snapshot.get(b"z", 0)
        with pytest.raises(KeyError):
            snapshot[b"z"]
        meta = snapshot.get_with_meta(b"b")
        assert meta is not None
        assert meta.sequence <= snapshot.sequence < store.stats().sequence
        assert PAIRS[::-1] == list(store.range(reverse=True, snapshot=snapshot))
        assert 1 == store.stats().snapshots.count
    assert snapshot.closed
    assert 0 == store.stats().snapshots.count


def test_a_deleted_key_may_be_deleted_again(store: LSMStore) -> None:
    """``delete`` does not look."""
    store.delete(b"x")
    store.delete(b"a")
    store.delete(b"a", sync=True)
    assert KEYS[1:] == list(store)


def test_a_handle_shows_path_and_state(store: LSMStore) -> None:
    """Before and after close, without raising."""
    assert store.path in repr(store)
    assert " open " in repr(store)
    assert "L0=1" in repr(store)
    assert not store.closed
    store.close()
    assert f"<LSMStore {store.path!r} closed>" == repr(store)
    assert store.closed


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_handle_is_not_copied(store: LSMStore, duplicate: Callable[[object], object]) -> None:
    """The error says what to do instead."""
    with pytest.raises(TypeError, match="open it in the process that needs it"):
        duplicate(store)
    with pytest.raises(TypeError):
        duplicate(store.snapshot())


def test_flush_and_compaction_tell_what_they_did(store: LSMStore) -> None:
    """And an empty memtable is no flush."""
    flushed = store.flush_memtable()
    assert flushed is not None
    assert [0] == [table.level for table in flushed.tables]
    assert (3, b"b", b"e") == (flushed.tables[0].entries, flushed.tables[0].smallest, flushed.tables[0].largest)
    assert store.flush_memtable() is None
    assert lsmproc.CompactionResult(0, 1) == store.compact_level(0)
    assert all(table.level for table in store.live_files())
    assert lsmproc.CompactionResult(0, 0) == store.compact_level(0)
    assert PAIRS == list(store.items())


def test_compact_range_leaves_nothing_that_could_go(open_store: OpenStore) -> None:
    """Overwritten records and tombstones are gone, and a range of nothing is no error."""
    store = open_store(level0_compaction_trigger=19)
    assert isinstance(store.compact_range(), tuple)
    for _ in range(3):
        for number in range(20):
            store.put(b"%02d" % number, b"v")
        store.flush_memtable()
    for number in range(10):
        store.delete(b"%02d" % number)
    store.compact_range()
    assert [(10, 0)] == [(table.entries, table.tombstones) for table in store.live_files()]


def test_the_rest_of_the_handle(store: LSMStore) -> None:
    """What config, env and stats tell, and that a sync is counted."""
    assert store.path == store.config.data_dir
    assert "inline" == store.env.kind
    syncs = store.stats().wal.syncs
    store.sync()
    store.put(b"x", b"1", sync=True)
    assert syncs + 2 == store.stats().wal.syncs
    assert lsmproc.format_stats(store.stats())
    assert store.stats().to_json_dict()["path"] == store.path


def _write_batch(store: LSMStore) -> None:
    with store.write_batch() as batch:
        batch.put(b"a", b"1")


USES: dict[str, Callable[[LSMStore], object]] = {
    "put": lambda s: s.put(b"a", b"1"),
    "put synced": lambda s: s.put(b"a", b"1", sync=True),
    "delete": lambda s: s.delete(b"a"),
    "get": lambda s: s.get(b"a"),
    "get_with_meta": lambda s: s.get_with_meta(b"a"),
    "get_many": lambda s: s.get_many([b"a"]),
    "range": lambda s: s.range(),
    "iterator": lambda s: s.iterator(),
    "snapshot": lambda s: s.snapshot(),
    "write_batch": _write_batch,
    "[]": lambda s: s[b"a"],
    "[] =": lambda s: s.__setitem__(b"a", b"1"),
    "del": lambda s: s.__delitem__(b"a"),
    "in": lambda s: b"a" in s,
    "iter": iter,
    "keys": lambda s: s.keys(),
    "values": lambda s: s.values(),
    "items": lambda s: s.items(),
    "flush_memtable": lambda s: s.flush_memtable(),
    "compact_level": lambda s: s.compact_level(0, timeout=5),
    "compact_range": lambda s: s.compact_range(timeout=5),
    "wait_idle": lambda s: s.wait_idle(5),
    "background_paused": lambda s: s.background_paused().__enter__(),
    "sync": lambda s: s.sync(),
    "stats": lambda s: s.stats(),
    "live_files": lambda s: s.live_files(),
    "with": lambda s: s.__enter__(),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("background", ["inline", "thread"])
def test_a_closed_store_refuses_every_use(open_store: OpenStore, use: str, background: str) -> None:
    """At once, not at the first record, and with what to do."""
    store = open_store(background=background)
    store.put(b"a", b"1")
    store.close()
    with pytest.raises(ClosedError, match="open"):
        USES[use](store)


def test_close_is_idempotent(open_store: OpenStore) -> None:
    """Again, with a flush, and at the end of a with block."""
    with open_store() as store:
        store.put(b"a", b"1")
        store.close(flush=True)
        store.close(flush=True)
        store.close()
    assert store.closed
    store = open_store()
    assert 1 == len(store.live_files())
    assert b"1" == store.get(b"a")


def test_a_store_closes_its_snapshots_and_iterators(store: LSMStore) -> None:
    """They raise ClosedError, and closing them is still fine."""
    snapshot, iterator, scan = store.snapshot(), store.iterator(), store.range()
    fresh = snapshot.iterator()
    next(iterator)
    store.close()
    uses: list[Callable[[], object]] = [
        lambda: snapshot.get(b"a"),
        lambda: snapshot.get_with_meta(b"a"),
        lambda: list(snapshot.range()),
        lambda: list(snapshot),
        lambda: b"a" in snapshot,
        lambda: next(fresh),
        lambda: next(scan),
        lambda: [iterator.seek_to_start(), next(iterator)],
        lambda: store.get(b"a", snapshot=snapshot),
    ]
    for use in uses:
        with pytest.raises(ClosedError):
            use()
    for handle in (snapshot, iterator, fresh):
        handle.close()
        handle.close()
        assert handle.closed


def test_closed_snapshots_and_iterators_refuse_every_use(store: LSMStore) -> None:
    """The store they came from is open and goes on."""
    snapshot, iterator = store.snapshot(), store.iterator()
    of_snapshot = snapshot.iterator()
    snapshot.close()
    iterator.close()
    uses: list[Callable[[], object]] = [
        lambda: snapshot.get(b"a"),
        lambda: snapshot.get_with_meta(b"a"),
        snapshot.range,
        snapshot.iterator,
        lambda: snapshot.sequence,
        lambda: snapshot[b"a"],
        lambda: b"a" in snapshot,
        lambda: iter(snapshot),
        snapshot.__enter__,
        lambda: store.get(b"a", snapshot=snapshot),
        lambda: store.range(snapshot=snapshot),
        lambda: store.iterator(snapshot=snapshot),
        lambda: next(iterator),
        iterator.prev,
        lambda: iterator.seek(b"a"),
        iterator.seek_to_start,
        iterator.seek_to_stop,
        lambda: iter(iterator),
        iterator.__enter__,
        lambda: next(of_snapshot),
    ]
    for use in uses:
        with pytest.raises(ClosedError):
            use()
    assert PAIRS == list(store.items())


def test_dropped_snapshots_and_iterators_pin_nothing(store: LSMStore) -> None:
    """What nobody holds any more is closed by the garbage collector."""
    store.snapshot()
    store.iterator()
    next(store.range())
    list(store.items())
    assert 0 == store.stats().snapshots.count
