"""The bugs that the prototype of this engine had, each by its name: none of them comes back."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc.formats.file_names import UNNUMBERED_NAMES
from tests.store.recording_file_system import RecordingDisk

OpenStore = Callable[..., lsmproc.LSMStore]

WAIT_SECONDS = 20.0


@pytest.mark.parametrize("table_format", ["block", "plain"])
@pytest.mark.parametrize("value", [b"", bytearray(), memoryview(b"")], ids=["bytes", "bytearray", "memoryview"])
def test_an_empty_value_is_not_a_deletion(open_store: OpenStore, table_format: str, value: Any) -> None:
    """In the memtable, in the replayed log, in a table and after a merge."""
    store = open_store(table_format=table_format)
    store.put(b"deleted", b"")
    store.delete(b"deleted")
    store.put(b"empty", value)

    def check(where: str) -> None:
        assert b"" == store.get(b"empty"), where
        assert b"empty" in store, where
        assert [b""] == store.get_many([b"empty"]), where
        assert [(b"empty", b"")] == list(store.range()), where
        assert store.get(b"deleted") is None, where

    check("memtable")
    store.close()
    store = open_store(table_format=table_format)
    check("replayed log")
    store.flush_memtable()
    check("table")
    store.compact_range()
    check("merged table")
    assert 1 == len(store.live_files())


def test_a_rotated_log_is_replayed(open_store: OpenStore, tmp_path: Path, tiny: dict[str, Any]) -> None:
    """A crash finds sealed segments that no table holds yet: all of them come back, not the newest one only."""
    env = lsmproc.Env(background="thread")
    env.background.submit = lambda *_: None  # type: ignore[method-assign]  # flushes are asked for and never run
    store = open_store(env=env, **tiny | {"max_immutable_memtables": 8})
    written = {b"key %03d" % number: b"%d" % number * 30 for number in range(120)}
    for key, value in written.items():
        store.put(key, value)
    assert 3 <= store.stats().immutable_memtables.count
    quiet = threading.Event()  # segments are allocated ahead on the background's thread: not while files are copied
    env.background.call_soon(quiet.set)
    assert quiet.wait(WAIT_SECONDS)
    shutil.copytree(tmp_path / "store", tmp_path / "crashed")
    store.close()
    env.close()
    recovered = open_store("crashed", **tiny)
    assert written == dict(recovered.items())
    recovered.flush_memtable()
    recovered.close()
    assert written == dict(open_store("crashed", **tiny).items())


@pytest.mark.parametrize("manifest", ["log", "snapshot"])
def test_file_numbers_never_restart(open_store: OpenStore, manifest: str, tiny: dict[str, Any]) -> None:
    """Not after a flush, a merge, a removal, a clean end or a start with nothing left on disk."""
    disk = RecordingDisk()
    env = lsmproc.Env(background="inline", open_file_system=disk.open)
    for round_number in range(6):
        store = open_store(env=env, manifest=manifest, **tiny)
        for number in range(60):
            store.put(b"key %d" % number, b"%d" % round_number * 40)
        if round_number % 2:
            store.delete(b"key 1")
            store.compact_range()
        store.close()
    created = [name for what, name in disk.operations if what in {"create", "rename"} and not name.startswith("tmp/")]
    numbers = [int(name.removeprefix("MANIFEST-").split(".")[0]) for name in created if name not in UNNUMBERED_NAMES]
    assert 40 < len(numbers)
    assert len(set(numbers)) == len(numbers)
    env.close()


def test_a_compaction_merges_with_the_target_level(open_store: OpenStore) -> None:
    """Tables of the target level that overlap are inputs: a level below 0 never holds a key twice."""
    store = open_store(sstable_max_bytes=4096, block_bytes=256, level0_compaction_trigger=19)
    for generation in range(5):
        for number in range(200):
            store.put(b"key %03d" % number, b"%d" % generation * 50)
        store.flush_memtable()
        store.compact_level(0)
        for level in range(1, 7):
            files = [file for file in store.live_files() if file.level == level]
            assert all(left.largest < right.smallest for left, right in pairwise(files))
        assert 200 == sum(file.entries for file in store.live_files())
        assert {b"%d" % generation * 50} == set(store.values())


def test_a_tombstone_never_lets_older_values_return(open_store: OpenStore, tiny: dict[str, Any]) -> None:
    """Whatever level the value lies in and however far the tombstone has sunk."""
    for depth in range(1, 7):
        store = open_store(f"store {depth}", **tiny | {"level0_compaction_trigger": 19})
        store.put(b"key", b"old")
        store.flush_memtable()
        for level in range(depth):
            store.compact_level(level)
        store.delete(b"key")
        store.flush_memtable()
        for level in range(7):
            assert store.get(b"key") is None
            assert [] == list(store.range())
            store.compact_level(level)
        assert store.get(b"key") is None
        assert [] == store.live_files()
        store.close()


def test_removing_inputs_and_adding_outputs_is_one_commit(
    open_store: OpenStore, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    """However a crash cuts the manifest, the tree holds either all inputs or all outputs: each key once or more."""
    store = open_store(**tiny | {"level0_compaction_trigger": 19})
    for generation in range(3):
        for number in range(40):
            store.put(b"key %02d" % number, b"%d" % generation * 20)
        store.flush_memtable()
    files_before = store.live_files()
    pinned = store.snapshot()  # the inputs stay on disk, so the directory holds both states
    manifest = tmp_path / "store" / (tmp_path / "store" / "CURRENT").read_text().split()[0]
    before = manifest.read_bytes()
    store.compact_level(0)
    after = manifest.read_bytes()
    assert before == after[: len(before)]
    for cut in range(len(before), len(after) + 1, 7):
        crashed = tmp_path / f"cut at {cut}"
        shutil.copytree(tmp_path / "store", crashed)
        (crashed / manifest.name).write_bytes(after[:cut])
        with lsmproc.open(crashed, read_only=True, background="inline") as found:
            assert {b"key %02d" % number: b"2" * 20 for number in range(40)} == dict(found.items())
            names = {file.name for file in found.live_files()}
        assert names in ({file.name for file in files_before}, {file.name for file in store.live_files()})
        shutil.rmtree(crashed)
    pinned.close()


@pytest.mark.parametrize("manifest", ["log", "snapshot"])
def test_tables_and_their_directory_are_synced_before_the_manifest_names_them(
    open_store: OpenStore, manifest: str, tiny: dict[str, Any]
) -> None:
    """Write, sync, rename, sync the directory, then the manifest; inputs and logs are removed only after that."""
    disk = RecordingDisk()
    env = lsmproc.Env(background="inline", open_file_system=disk.open)
    store = open_store(env=env, manifest=manifest, **tiny)
    for number in range(300):
        store.put(b"key %03d" % (number * 7 % 60), b"v" * 50)
    store.compact_range()
    store.close()
    env.close()
    durable_names = in_manifest = True  # of the outputs renamed so far
    renamed = removed = 0
    for what, name in disk.operations:
        if what == "rename" and name.endswith(".sst"):
            renamed += 1
            durable_names = in_manifest = False
        elif (what, name) == ("sync directory", "."):
            durable_names = True
        elif name.startswith("MANIFEST") and what in {"write", "sync"}:
            assert durable_names, f"{what} of {name} before the names of the outputs were durable"
            in_manifest = in_manifest or what == "sync"
        elif what == "unlink" and name[0].isdigit():
            removed += 1
            assert in_manifest, f"{name} was removed before the manifest named what replaces it"
    assert 10 < renamed
    assert 10 < removed


def test_every_output_is_synced_under_its_temporary_name(open_store: OpenStore, tiny: dict[str, Any]) -> None:
    """Between the last write to a job's output and the rename there is a sync of it."""
    disk = RecordingDisk()
    env = lsmproc.Env(background="inline", open_file_system=disk.open)
    store = open_store(env=env, **tiny)
    for number in range(150):
        store.put(b"key %03d" % number, b"v" * 50)
    store.close()
    env.close()
    outputs = {name for what, name in disk.operations if what == "create" and name.endswith(".sst")}
    assert 5 < len(outputs)
    for output in outputs:
        history = [what for what, name in disk.operations if name == output]
        assert "sync" == history[-1], f"{output}: {history}"
        assert "write" in history


def test_equal_keys_and_sequences_do_not_raise(open_store: OpenStore, tiny: dict[str, Any]) -> None:
    """A merge never compares values: one batch gives many records one sequence, and None cannot be ordered."""
    store = open_store(**tiny)
    for _ in range(3):
        with store.write_batch() as batch:
            for number in range(30):
                batch.put(b"key %02d" % number, b"first")
                batch.delete(b"key %02d" % number)
                batch.put(b"key %02d" % number, b"last" * 10)
        with store.write_batch() as batch:
            for number in range(0, 30, 2):
                batch.put(b"key %02d" % number, b"first")
                batch.delete(b"key %02d" % number)
        store.flush_memtable()
    expected = {b"key %02d" % number: b"last" * 10 for number in range(1, 30, 2)}
    assert expected == dict(store.items())
    store.compact_range()
    assert expected == dict(store.items())
    assert 1 == len({store.get_with_meta(key).sequence for key in expected})  # type: ignore[union-attr]


def test_a_range_is_lazy(open_store: OpenStore, tiny: dict[str, Any]) -> None:
    """A few records of many cost a few blocks, in both directions."""
    store = open_store(**tiny)
    for number in range(2000):
        store.put(b"key %04d" % number, b"v" * 30)
    store.compact_range()

    def reads() -> int:
        cache = store.stats().block_cache
        return cache.hits + cache.misses

    before = reads()
    unread: Iterator[Any] = store.range()
    assert before == reads()
    assert [b"key 0000", b"key 0001", b"key 0002"] == [key for key, _ in islice(unread, 3)]
    assert [b"key 1999", b"key 1998"] == [key for key, _ in islice(store.range(reverse=True), 2)]
    with store.iterator(start=b"key 1000") as iterator:
        assert (b"key 1000", b"v" * 30) == next(iterator)
    assert 100 > reads() - before
    assert 2000 == len(list(store.range()))


@pytest.mark.parametrize("background", ["thread", "process"])
@pytest.mark.parametrize("style", ["leveled", "tiered"])
def test_a_reader_never_meets_a_missing_file(
    open_store: OpenStore, background: str, style: str, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    """Snapshots, iterators and ranges go on reading what they began with, while merges replace every table."""
    store = open_store(background=background, compaction_style=style, max_open_files=16, block_cache_bytes=0, **tiny)
    old = {b"key %03d" % number: b"old" * 20 for number in range(150)}
    for key, value in old.items():
        store.put(key, value)
    store.flush_memtable(timeout=WAIT_SECONDS)
    snapshot, iterator, scan = store.snapshot(), store.iterator(), store.range()
    seen = [next(iterator), next(iterator)]
    scanned = [next(scan)]
    problems: list[BaseException] = []
    done = threading.Event()

    def read_on() -> None:
        try:
            while not done.is_set():
                assert old == dict(snapshot.range())
                assert 150 == len(list(store.range()))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test tells of it
            problems.append(error)

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        for generation in range(4):
            for key in old:
                store.put(key, b"new %d" % generation * 10)
        store.compact_range(timeout=WAIT_SECONDS)
    finally:
        done.set()
        reader.join(WAIT_SECONDS)
    assert [] == problems
    assert sorted(old.items()) == seen + list(iterator)
    assert sorted(old.items()) == scanned + list(scan)
    assert old == dict(snapshot.range())
    assert 0 < store.stats().snapshots.pinned_bytes
    snapshot.close()
    iterator.close()
    store.wait_idle(WAIT_SECONDS)
    assert {file.name for file in store.live_files()} == {path.name for path in (tmp_path / "store").glob("*.sst")}


@pytest.mark.parametrize("background", ["inline", "thread"])
def test_a_write_is_visible_when_put_returns(open_store: OpenStore, background: str, tiny: dict[str, Any]) -> None:
    """To the thread that wrote and to any other it tells, across rotations, flushes and merges."""
    store = open_store(background=background, **tiny)
    problems: list[str] = []

    def write(thread: int) -> None:
        for number in range(300):
            key, value = b"%d of %d" % (number % 50, thread), b"%d" % number * 10
            store.put(key, value)
            if store.get(key) != value:
                problems.append(f"{key!r} is not {value!r} right after put")
            others = [b"%d of %d" % (number % 50, other) for other in range(4)]
            told[thread] = number
            known = list(told)
            for other, at in enumerate(known):
                if at >= 50 and store.get(others[other]) is None:
                    problems.append(f"{others[other]!r} of thread {other} is missing")

    told = [0, 0, 0, 0]
    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert [] == problems
