"""Whatever a caller passes by mistake: one clear error that names the thing and the remedy, and nothing changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc import ConfigError, LSMStore, NotAStoreError, RecordTooLargeError
from lsmproc.record_limits import MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES

OpenStore = Callable[..., LSMStore]

WAIT_SECONDS = 5.0
RECORDS = {b"a": b"1", b"b": b"", b"c": b"3" * 100}

NO_KEYS: dict[str, Any] = {
    "str": "text",
    "None": None,
    "int": 7,
    "bool": True,
    "float": 1.5,
    "bytearray": bytearray(b"a"),
    "memoryview": memoryview(b"a"),
    "list": [b"a"],
    "tuple": (b"a", b"1"),
    "dict": {b"a": b"1"},
    "class": bytes,
    "object": object(),
}
NO_VALUES: dict[str, Any] = {
    "str": "text",
    "None": None,
    "int": 7,
    "bool": False,
    "Decimal": Decimal("1.5"),
    "list": [b"a"],
    "list of ints": [1, 2, 3],
    "object": object(),
    "class": bytes,
}


@pytest.fixture
def store(open_store: OpenStore) -> Iterator[LSMStore]:
    """Records in a table and in the memtable; after the test all of them are still what they were, and writable."""
    store = open_store()
    store.put(b"a", b"old")
    store.put(b"c", b"3" * 100)
    store.flush_memtable()
    store.put(b"a", b"1")
    store.put(b"b", b"")
    sequence, files = store.stats().sequence, store.live_files()
    yield store
    assert RECORDS == dict(store.items())
    assert (sequence, files) == (store.stats().sequence, store.live_files())
    store.put(b"z", b"26")
    store.close()
    assert RECORDS | {b"z": b"26"} == dict(open_store().items())


KEY_USES: dict[str, Callable[[LSMStore, Any], object]] = {
    "put": lambda s, key: s.put(key, b"v"),
    "put synced": lambda s, key: s.put(key, b"v", sync=True),
    "delete": lambda s, key: s.delete(key),
    "get": lambda s, key: s.get(key),
    "get_with_meta": lambda s, key: s.get_with_meta(key),
    "get_many": lambda s, key: s.get_many([b"a", key]),
    "[]": lambda s, key: s[key],
    "[] =": lambda s, key: s.__setitem__(key, b"v"),
    "del": lambda s, key: s.__delitem__(key),
    "in": lambda s, key: key in s,
    "batch put": lambda s, key: s.write_batch().put(key, b"v"),
    "batch delete": lambda s, key: s.write_batch().delete(key),
    "snapshot get": lambda s, key: s.snapshot().get(key),
    "snapshot get_with_meta": lambda s, key: s.snapshot().get_with_meta(key),
    "snapshot []": lambda s, key: s.snapshot()[key],
    "snapshot in": lambda s, key: key in s.snapshot(),
    "seek": lambda s, key: s.iterator().seek(key),
}


@pytest.mark.parametrize("key", NO_KEYS)
@pytest.mark.parametrize("use", KEY_USES)
def test_what_is_no_key_is_a_type_error(store: LSMStore, use: str, key: str) -> None:
    """It names the type that was passed; for text it names the remedy."""
    with pytest.raises(TypeError, match=rf"bytes.*not {type(NO_KEYS[key]).__name__}") as refused:
        KEY_USES[use](store, NO_KEYS[key])
    if key == "str":
        assert ".encode()" in str(refused.value)


VALUE_USES: dict[str, Callable[[LSMStore, Any], object]] = {
    "put": lambda s, value: s.put(b"a", value),
    "put synced": lambda s, value: s.put(b"a", value, sync=True),
    "[] =": lambda s, value: s.__setitem__(b"a", value),
    "batch": lambda s, value: s.write_batch().put(b"a", value),
}


@pytest.mark.parametrize("value", NO_VALUES)
@pytest.mark.parametrize("use", VALUE_USES)
def test_what_is_no_value_is_a_type_error(store: LSMStore, use: str, value: str) -> None:
    """None names delete(), text names encode()."""
    name = "None" if value == "None" else type(NO_VALUES[value]).__name__
    with pytest.raises(TypeError, match=rf"value is bytes.*not {name}") as refused:
        VALUE_USES[use](store, NO_VALUES[value])
    remedy = {"str": ".encode()", "None": "delete()"}.get(value, "")
    assert remedy in str(refused.value)


@pytest.mark.parametrize("use", ["put", "put synced", "delete", "[] =", "batch put", "batch delete"])
def test_a_key_above_the_limit_is_refused(store: LSMStore, use: str) -> None:
    """With its size and the limit; the longest one allowed is taken."""
    with pytest.raises(RecordTooLargeError, match="131072 bytes is above the limit of 131071"):
        KEY_USES[use](store, b"k" * (MAX_KEY_BYTES + 1))


@pytest.mark.parametrize("use", VALUE_USES)
def test_a_value_above_the_limit_is_refused(store: LSMStore, use: str) -> None:
    """With its size and the limit."""
    with pytest.raises(
        RecordTooLargeError, match=f"{MAX_VALUE_BYTES + 1} bytes is above the limit of {MAX_VALUE_BYTES}"
    ):
        VALUE_USES[use](store, bytes(MAX_VALUE_BYTES + 1))


def test_a_batch_above_the_limit_is_refused_and_still_usable(store: LSMStore) -> None:
    """The write that would go over it is not in the batch."""
    value = bytes(MAX_VALUE_BYTES)
    batch = store.write_batch()
    for number in range(MAX_BATCH_BYTES // MAX_VALUE_BYTES - 1):
        batch.put(b"%d" % number, value)
    batch.put(b"x", bytes(MAX_VALUE_BYTES - 100))
    with pytest.raises(RecordTooLargeError, match="batch"):
        batch.put(b"y", value)
    assert MAX_BATCH_BYTES // MAX_VALUE_BYTES == len(batch)
    batch.clear()
    assert 0 == len(batch)


def test_a_batch_with_one_bad_write_writes_nothing(store: LSMStore) -> None:
    """The good writes before it neither."""
    batch = store.write_batch()
    batch.put(b"a", b"2")
    with pytest.raises(TypeError), batch:
        batch.put(b"b", 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [lambda s: s, lambda s: s.snapshot()], ids=["store", "snapshot"])
@pytest.mark.parametrize("method", ["range", "iterator"])
@pytest.mark.parametrize("bound", ["start", "stop", "prefix"])
@pytest.mark.parametrize("value", ["str", "int", "bytearray", "list", "object"])
def test_what_is_no_bound_is_a_type_error_at_once(
    store: LSMStore, make: Callable[[LSMStore], Any], method: str, bound: str, value: str
) -> None:
    """Not at the first record."""
    with pytest.raises(TypeError, match=rf"not {type(NO_KEYS[value]).__name__}"):
        getattr(make(store), method)(**{bound: NO_KEYS[value]})


def test_prefix_and_ends_exclude_each_other(store: LSMStore) -> None:
    """Rather than one of them winning silently."""
    for ends in ({"start": b"a"}, {"stop": b"b"}):
        with pytest.raises(TypeError, match="by start and stop or by prefix"):
            store.range(prefix=b"a", **ends)
        with pytest.raises(TypeError, match="by start and stop or by prefix"):
            store.items(prefix=b"a", **ends)


@pytest.mark.parametrize("level", [-1, 7, 100, 1 << 70, "0", None, 1.0, 0.5, b"0", [0]], ids=repr)
def test_a_level_that_does_not_exist_is_refused(store: LSMStore, level: Any) -> None:
    """With the levels that there are, and at once: nothing waits for a compaction that cannot run."""
    with pytest.raises((ValueError, TypeError), match="level"):
        store.compact_level(level, timeout=WAIT_SECONDS)


@pytest.mark.parametrize("bound", ["a", 1, bytearray(b"a")], ids=repr)
def test_compactions_refuse_what_is_no_bound(store: LSMStore, bound: Any) -> None:
    """Before they flush or merge anything."""
    for use in (store.compact_range, lambda *ends, timeout: store.compact_level(0, *ends, timeout=timeout)):
        for ends in ((bound, None), (None, bound)):
            with pytest.raises(TypeError, match="bytes or None"):
                use(*ends, timeout=WAIT_SECONDS)


SNAPSHOT_USES: dict[str, Callable[[LSMStore, Any], object]] = {
    "get": lambda s, snapshot: s.get(b"a", snapshot=snapshot),
    "get_with_meta": lambda s, snapshot: s.get_with_meta(b"a", snapshot=snapshot),
    "range": lambda s, snapshot: s.range(snapshot=snapshot),
    "iterator": lambda s, snapshot: s.iterator(snapshot=snapshot),
}


@pytest.mark.parametrize("use", SNAPSHOT_USES)
@pytest.mark.parametrize("snapshot", [5, "snapshot", b"a", {b"a": b"1"}, object()], ids=lambda it: type(it).__name__)
def test_what_is_no_snapshot_is_a_type_error(store: LSMStore, use: str, snapshot: Any) -> None:
    """Even if it has a method ``get``."""
    with pytest.raises(TypeError, match="snapshot"):
        SNAPSHOT_USES[use](store, snapshot)


@pytest.mark.parametrize("use", SNAPSHOT_USES)
def test_a_snapshot_of_another_store_is_refused(store: LSMStore, open_store: OpenStore, use: str) -> None:
    """Reading another store's records through this one would be silently wrong."""
    other = open_store("other")
    other.put(b"a", b"of the other store")
    with pytest.raises(ValueError, match="another store"):
        SNAPSHOT_USES[use](store, other.snapshot())


def test_get_many_of_one_key_is_a_type_error(store: LSMStore) -> None:
    """Bytes are an iterable of numbers, and forgetting the list is an easy mistake."""
    with pytest.raises(TypeError, match="bytes, not int"):
        store.get_many(b"abc")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        store.get_many(5)  # type: ignore[arg-type]


def test_odd_but_sound_keys_and_values_are_taken(open_store: OpenStore) -> None:
    """The edges of what is allowed, and buffers of every kind, copied so that later changes do not show."""

    class Subclass(bytes):
        """Behaves as bytes do."""

    store = open_store()
    buffer = bytearray(b"before")
    written: dict[bytes, Any] = {
        b"": b"the empty key",
        b"\0": b"\0" * 10,
        b"\xff" * MAX_KEY_BYTES: b"the greatest key",
        Subclass(b"subclass"): Subclass(b"value"),
        b"view": memoryview(b"0123456789")[::2],
        b"wide view": memoryview(b"12345678").cast("Q"),
        b"buffer": buffer,
        b"large": bytes(5 << 20),
    }
    expected = {bytes(key): bytes(value) for key, value in written.items()}
    for key, value in written.items():
        store.put(key, value)
    buffer[:] = b"after!"
    for _ in range(2):
        assert expected == dict(store.items())
        assert {bytes} == {type(key) for key in store} | {type(value) for value in store.values()}
        store.compact_range()
    store.close()
    assert expected == dict(open_store().items())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"memtable_max_byte": 1}, "memtable_max_bytes"),
        ({"write_buffer_size": 1 << 20}, "memtable_max_bytes"),
        ({"memtable_max_bytes": "many"}, "memtable_max_bytes"),
        ({"memtable_max_bytes": -1}, "memtable_max_bytes"),
        ({"wal_sync": "sometimes"}, "wal_sync"),
        ({"background": "coroutine"}, "background"),
        ({"compression": 5}, "compression"),
        ({"level0_compaction_trigger": 50}, "level0_compaction_trigger"),
        ({"config": 5}, "config"),
        ({"env": 5}, "env"),
        ({"lock_wait_seconds": "long"}, "lock_wait_seconds"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_before_anything_is_made(tmp_path: Path, options: dict[str, Any], named: str) -> None:
    """By name and with a suggestion, and no directory is left behind."""
    with pytest.raises((ConfigError, TypeError), match=named):
        lsmproc.open(tmp_path / "store", **options)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [None, 5, 1.5, b"bytes", ["a"], "", "with\0zero"], ids=repr)
def test_what_is_no_path_is_refused(path: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made in the working directory instead."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ConfigError, TypeError), match=r"data_dir|path"):
        lsmproc.open(path, background="inline").close()
    assert [] == list(tmp_path.iterdir())


def test_all_wrong_options_are_told_at_once(tmp_path: Path) -> None:
    """One round of corrections, not one for each mistake."""
    with pytest.raises(ConfigError) as refused:
        lsmproc.open(tmp_path / "store", memtabel="dict", wal_sync="never", flush_workers=0)
    assert 3 == len(refused.value.problems)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """Neither opened nor changed: not a byte, not a new file."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(NotAStoreError, match=r"thesis\.txt.*empty directory"):
        lsmproc.open(tmp_path, background="inline")
    assert ["thesis.txt"] == os.listdir(tmp_path)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    """Nor is a link to nowhere."""
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(NotAStoreError, match="not a directory"):
            lsmproc.open(tmp_path / name, background="inline")
    assert "text" == (tmp_path / "file").read_text()


@pytest.mark.parametrize(
    "damage", ["CURRENT missing", "CURRENT empty", "CURRENT wrong", "manifest missing", "table missing", "table cut"]
)
def test_a_damaged_store_is_refused_by_file_and_not_changed(open_store: OpenStore, tmp_path: Path, damage: str) -> None:
    """The damaged file is named, and what else there is stays as it was, for a repair."""
    store = open_store()
    store.put(b"a", b"1")
    store.flush_memtable()
    store.put(b"b", b"2")
    table = tmp_path / "store" / store.live_files()[0].name
    store.close()
    current = tmp_path / "store" / "CURRENT"
    manifest = tmp_path / "store" / current.read_text().split()[0]
    named = {"C": current, "m": manifest, "t": table}[damage[0]]
    if damage.endswith("missing"):
        named.unlink()
    else:
        named.write_bytes(
            {"empty": b"", "wrong": b"MANIFEST-999999 00000000\n", "cut": named.read_bytes()[:-1]}[damage.split()[1]]
        )
    before = {path.name: path.read_bytes() for path in (tmp_path / "store").iterdir() if path.is_file()}
    before.pop("LOCK")
    with pytest.raises(lsmproc.CorruptionError, match=named.name) as refused:
        open_store()
    assert named.name == refused.value.file
    after = {path.name: path.read_bytes() for path in (tmp_path / "store").iterdir() if path.is_file()}
    after.pop("LOCK")
    assert before == after


def test_a_damaged_table_is_found_by_the_read_that_needs_it(open_store: OpenStore, tmp_path: Path) -> None:
    """The error names file and place; other tables are read on."""
    store = open_store(compression="none", block_bytes=256, level0_compaction_trigger=19)
    for number in range(100):
        store.put(b"key %02d" % number, b"value %02d" % number)
    store.flush_memtable()
    store.put(b"other", b"table")
    store.flush_memtable()
    table = tmp_path / "store" / store.live_files()[-1].name
    store.close()
    content = bytearray(table.read_bytes())
    place = content.index(b"value 50")
    content[place] ^= 1
    table.write_bytes(content)
    store = open_store(compression="none", block_bytes=256, level0_compaction_trigger=19)
    with pytest.raises(lsmproc.CorruptionError, match=table.name):
        store.get(b"key 50")
    with pytest.raises(lsmproc.CorruptionError, match=table.name):
        list(store.range())
    assert (b"table", b"value 01") == (store.get(b"other"), store.get(b"key 01"))
