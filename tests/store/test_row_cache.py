"""Hot keys are served out of the row cache, and whatever becomes of them meanwhile, never with a value of the past."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import lsmproc
from tests.store.test_threads import run_threads

OpenStore = Callable[..., lsmproc.LSMStore]

KEYS = [b"key %02d" % number for number in range(20)]


@pytest.fixture
def store(open_store: OpenStore, tiny: dict[str, Any]) -> lsmproc.LSMStore:
    """Every key has the value b"old" in the tables and in the row cache."""
    made = open_store(**tiny)
    for key in KEYS:
        made.put(key, b"old")
    made.flush_memtable()
    assert {b"old"} == {made.get(key) for key in KEYS}
    assert dict.fromkeys(KEYS, b"old") == rows_of(made)
    return made


def rows_of(store: lsmproc.LSMStore) -> dict[bytes, bytes]:
    """What the row cache of the present view holds."""
    return store._write_path.view.row_cache.rows


def test_the_second_get_of_a_key_is_a_hit_and_asks_no_block(store: lsmproc.LSMStore) -> None:
    """The block cache neither hits nor misses."""
    before = store.stats().block_cache
    assert b"old" == store.get(KEYS[3])
    assert [b"old"] * 20 == store.get_many(KEYS)
    assert before == store.stats().block_cache


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("value", [b"new", b"", None])
def test_an_overwritten_or_deleted_key_is_never_served_from_the_cache(
    store: lsmproc.LSMStore, value: bytes | None, flush: bool, compact: bool
) -> None:
    """By put, delete and batch; in the memtable, after its flush, after a merge; by every way of asking."""
    if value is None:
        store.delete(KEYS[0])
    else:
        store.put(KEYS[0], value)
    with store.write_batch() as batch:
        for key in KEYS[1:4]:
            batch.delete(key) if value is None else batch.put(key, value)
    for _ in range(3):
        if flush:
            store.flush_memtable()
        if compact:
            store.compact_range()
        expected = [value] * 4 + [b"old"] * 16
        assert expected == [store.get(key) for key in KEYS]
        assert expected == store.get_many(KEYS)
        assert expected == [entry and entry.value for entry in map(store.get_with_meta, KEYS)]
        assert {key: found for key, found in zip(KEYS, expected, strict=True) if found is not None} == dict(store)
        with store.snapshot() as snapshot:
            assert expected == [snapshot.get(key) for key in KEYS]


def test_a_snapshot_reads_its_own_past_whatever_the_cache_has_learnt_since(store: lsmproc.LSMStore) -> None:
    """Old values for the snapshot and new ones for the store, asked in turns, over a flush and a merge."""
    with store.snapshot() as snapshot:
        store.put(KEYS[0], b"new")
        store.delete(KEYS[1])
        for step in (lambda: None, store.flush_memtable, store.compact_range, lambda: None):
            step()
            for _ in range(2):
                assert [b"old"] * 20 == [snapshot.get(key) for key in KEYS]
                assert [b"new", None, b"old"] == [store.get(key) for key in KEYS[:3]]
                assert [b"new", None, b"old"] == store.get_many(KEYS[:3])


def test_a_merge_leaves_the_cache_as_it_is_and_a_flush_empties_it(store: lsmproc.LSMStore) -> None:
    """A merge moves records and changes none."""
    store.compact_level(0)
    assert dict.fromkeys(KEYS, b"old") == rows_of(store)
    store.put(KEYS[0], b"new")
    store.flush_memtable()
    assert {} == rows_of(store)
    assert b"new" == store.get(KEYS[0])
    assert {KEYS[0]: b"new"} == rows_of(store)


def test_a_store_that_is_opened_again_begins_with_no_rows(open_store: OpenStore, tiny: dict[str, Any]) -> None:
    """Also when its Env outlives it."""
    with lsmproc.Env(background="inline") as env:
        for value in (b"one", b"two", b"three"):
            store = open_store(env=env, **tiny)
            assert {} == rows_of(store)
            store.put(b"key", value)
            store.flush_memtable()
            assert [value, value] == [store.get(b"key"), store.get(b"key")]
            store.close()


def test_a_missing_key_is_not_remembered_as_missing(store: lsmproc.LSMStore) -> None:
    """Not before and not after it is written."""
    assert [None, None] == [store.get(b"no key"), store.get(b"no key")]
    store.put(b"no key", b"here")
    store.flush_memtable()
    assert b"here" == store.get(b"no key")


@pytest.mark.parametrize("background", ["inline", "thread"])
def test_no_reader_ever_goes_back_in_time(
    open_store: OpenStore, tiny: dict[str, Any], background: str, full: bool
) -> None:
    """Two writers count keys up through flushes and merges while readers watch: what was seen once is the least."""
    store = open_store(background=background, row_cache_bytes=20_000, **tiny)
    rounds = 1500 if full else 60
    written = dict.fromkeys(KEYS, 0)
    for key in KEYS:
        store.put(key, b"%020d" % 0)
    done: list[bool] = []

    def write(keys: list[bytes]) -> None:
        try:
            for number in range(1, rounds):
                for key in keys:
                    store.put(key, b"%020d" % number)
                    written[key] = number
        finally:
            done.append(True)

    def read(seed: int) -> None:
        rng = random.Random(seed)
        while len(done) < 2:
            keys = rng.choices(KEYS, k=8)
            least = [written[key] for key in keys]
            found = store.get_many(keys) if seed else [store.get(key) for key in keys]
            assert all(int(value) >= number for value, number in zip(found, least, strict=True))

    run_threads(lambda: write(KEYS[::2]), lambda: write(KEYS[1::2]), lambda: read(0), lambda: read(1))
    assert [b"%020d" % (rounds - 1)] * 20 == [store.get(key) for key in KEYS]
