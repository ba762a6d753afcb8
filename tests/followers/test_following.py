"""What the owner does while it is followed, and what becomes of its files."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc import CorruptionError, Follower, LSMStore, NotAStoreError
from lsmproc.follower.followed_store import FollowedStore
from lsmproc.formats.file_names import FileKind, parse_file_name
from lsmproc.snapshot import Pin, Snapshot
from lsmproc.storage.block_cache import BlockCache
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.log_tail import LogTail
from lsmproc.storage.row_cache import RowBudget
from tests.faults.interrupts import Interrupter
from tests.followers.numbered_writes import Model, write

Own = Callable[..., LSMStore]
Follow = Callable[..., Follower]
Die = Callable[[LSMStore], None]

BACKENDS = [{}, {"wal": "mapped", "manifest": "snapshot", "memtable": "sorted_dict"}, {"compaction_style": "tiered"}]


def segments(directory: Path) -> list[Path]:
    """The log segments, oldest first."""
    parsed = [(parse_file_name(path.name), path) for path in directory.iterdir()]
    return sorted(path for of, path in parsed if of is not None and of[0] is FileKind.WAL)


@pytest.mark.parametrize(
    ("options", "seed"), [*((each, 0) for each in BACKENDS), ({}, 1)], ids=["default", "alternate", "tiered", "again"]
)
def test_every_state_shown_is_a_prefix_whatever_the_owner_does(
    own: Own, follow: Follow, die: Die, options: dict[str, Any], seed: int
) -> None:
    """Writes, flushes, merges, manifest rolls, orderly and sudden ends of owners, in a random order."""
    chance = random.Random(seed)
    store = own(memtable_max_bytes=16 << 10, sstable_max_bytes=16 << 10, **options)
    followers = [(follow(refresh=refresh), Model()) for refresh in ("read", "manual", "manual")]
    number = 0
    for _ in range(60):
        for _ in range(chance.randrange(12)):
            number += 1
            write(store, number)
        step = chance.random()
        if step < 0.1:
            store.flush_memtable()
        elif step < 0.15:
            store.compact_range()
        elif step < 0.22:
            if chance.random() < 0.5:
                store.close()
            else:
                die(store)
            store = own(memtable_max_bytes=16 << 10, sstable_max_bytes=16 << 10, **options)
        elif step < 0.3:
            store.sync()
        for follower, model in followers:
            if chance.random() < 0.3:
                follower.refresh()
                model.check(dict(follower.range()))
                assert number == model.number
            elif chance.random() < 0.1:
                model.check(dict(follower.range()))
    for follower, model in followers:
        follower.refresh()
        model.check(dict(follower.range()))
        assert number == model.number
        assert 0.0 == follower.lag().seconds


def test_a_new_owner_drops_an_empty_segment_that_holds_promises(own: Own, follow: Follow, die: Die) -> None:
    """The log then goes on from the segment before it, and the follower goes with it."""
    store = own()
    for number in range(60):
        store.put(b"%03d" % number, b"v" * 100)
    while store._parts.log is None or store._parts.log.current.end > 64:  # up to the first write of the next segment
        store.put(b"filler", b"v" * 50)
    follower = follow()
    store.sync()
    store._parts.log.current.promise(64)
    assert b"v" * 100 == follower.get(b"059")
    die(store)
    store = own()
    store.put(b"new", b"1")
    assert b"1" == follower.get(b"new")


def test_an_owner_that_opens_and_ends_at_once_leaves_nothing_to_wait_for(own: Own, follow: Follow, die: Die) -> None:
    """Several owners in a row, some of which wrote nothing."""
    store, follower = own(), follow()
    for number in range(8):
        if number % 3:
            store.put(b"key", b"%d" % number)
            expected = b"%d" % number
            assert expected == follower.get(b"key")
        die(store)
        store = own()
        if number > 1:
            assert expected == follower.get(b"key")
    store.put(b"key", b"end")
    assert b"end" == follower.get(b"key")


def test_a_half_written_frame_is_not_there_yet(own: Own, directory: Path, tmp_path: Path) -> None:
    """At any length of what is there of it, with zeros behind it or the end of the file; then the rest comes."""
    store = own(memtable_max_bytes=1 << 20)
    store.put(b"a", b"first")
    start = store._parts.log.current.end  # type: ignore[union-attr]
    store.put(b"b", b"second" * 20)
    end = store._parts.log.current.end  # type: ignore[union-attr]
    store.close()
    (log,) = segments(directory)
    whole = log.read_bytes()
    copy = shutil.copytree(directory, tmp_path / "copy") / log.name
    for length in range(start, end, 7):
        for padding in (0, 5000):
            copy.write_bytes(whole[:length] + bytes(padding))
            with lsmproc.open_follower(copy.parent, refresh="manual") as follower:
                assert [b"a"] == list(follower)
                follower.refresh()
                assert [b"a"] == list(follower)
                with copy.open("r+b") as file:
                    file.write(whole)
                follower.refresh()
                assert [b"a", b"b"] == list(follower)


@pytest.mark.parametrize("damage", [b"\xff", b"\0"], ids=["garbage", "zero"])
def test_damage_below_a_promise_is_damage(own: Own, directory: Path, tmp_path: Path, damage: bytes) -> None:
    """Met at the opening or later; the follower goes on showing what it has shown."""
    store = own(memtable_max_bytes=1 << 20)
    store.put(b"a", b"first")
    start = store._parts.log.current.end  # type: ignore[union-attr]
    store.put(b"b", b"second" * 20)
    store.sync()
    store.close()
    (log,) = segments(directory)
    whole = log.read_bytes()
    copy = shutil.copytree(directory, tmp_path / "copy") / log.name
    copy.write_bytes(whole[:start] + damage + whole[start + 1 :])
    with pytest.raises(CorruptionError, match=rf"{log.name} at byte {start}: the log was synced beyond"):
        lsmproc.open_follower(copy.parent)
    copy.write_bytes(whole[:start] + bytes(5000))
    with lsmproc.open_follower(copy.parent, refresh="manual") as follower:
        follower._store._clock = lambda: 1e12
        copy.write_bytes(whole[:start] + damage + whole[start + 1 :])
        for _ in range(2):
            with pytest.raises(CorruptionError, match="synced beyond"):
                follower.refresh()
            assert [b"a"] == list(follower)
        copy.write_bytes(whole)
        follower.refresh()
        assert [b"a", b"b"] == list(follower)


def test_a_table_that_is_really_missing_is_named(own: Own, directory: Path) -> None:
    """Nothing newer explains it."""
    store = own()
    store.put(b"a", b"1")
    store.flush_memtable()
    store.close()
    (table,) = directory.glob("*.sst")
    table.unlink()
    with pytest.raises(CorruptionError, match=f"{table.name}: the file is missing"):
        lsmproc.open_follower(directory)


def test_a_store_that_loses_what_was_shown_is_not_believed(own: Own, follow: Follow, directory: Path) -> None:
    """An older copy in its place: the follower says so and stays where it is."""
    store = own()
    store.put(b"a", b"1")
    store.close()
    older = shutil.copytree(directory, directory.parent / "older")
    store = own()
    store.put(b"a", b"2")
    store.close()
    follower = follow(refresh="manual")
    for path in directory.iterdir():
        if path.is_file():
            path.unlink()
    shutil.copytree(older, directory, dirs_exist_ok=True)
    for _ in range(2):
        with pytest.raises(CorruptionError, match="has shown"):
            follower.refresh()
        with pytest.raises(CorruptionError, match="has shown"):
            follower.lag()
        assert b"2" == follower.get(b"a")


def test_a_store_that_is_gone_says_so(own: Own, follow: Follow, directory: Path) -> None:
    """Removed, or replaced by another one: what was shown can still be read."""
    own().put(b"a", b"1")
    follower = follow(refresh="manual")
    shutil.rmtree(directory)
    lsmproc.open(directory, background="inline").close()
    with pytest.raises(NotAStoreError, match="is gone"):
        follower.refresh()
    assert b"1" == follower.get(b"a")


class Meddling(PosixFileSystem):
    """A file system on which something happens just before a file of some kind is opened."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.before: dict[str, Callable[[], None]] = {}

    def open(self, name: str, flags: int) -> int:
        for part in [part for part in self.before if part in name]:
            self.before.pop(part)()
        return super().open(name, flags)


def followed(fs: PosixFileSystem) -> FollowedStore:
    """A followed store on a file system of the test."""
    return FollowedStore(fs, BlockCache(1 << 20), RowBudget(0))


@pytest.mark.parametrize("manifest", ["log", "snapshot"])
@pytest.mark.parametrize("kind", [".sst", ".wal", "MANIFEST", "CURRENT"])
@pytest.mark.parametrize("when", ["opening", "refresh"])
def test_a_file_that_goes_just_before_it_is_opened_costs_another_look(
    own: Own, directory: Path, kind: str, manifest: str, when: str
) -> None:
    """The owner merges, flushes, rolls its manifest or is replaced between two steps of a follower."""
    store = own(manifest=manifest)

    def write_much(value: bytes) -> None:
        for number in range(200):
            store.put(b"%03d" % number, value * 60)
        store.flush_memtable()

    def meddle() -> None:
        nonlocal store
        write_much(b"2")
        store.compact_range()
        store.put(b"end", b"1")
        if kind == "CURRENT":
            store.close()
            store = own(manifest=manifest)
        store.put(b"end", b"2")

    write_much(b"0")
    write_much(b"1")
    fs = Meddling(str(directory))
    if when == "opening":
        fs.before[kind] = meddle
    with closing(followed(fs)) as follower:
        if when == "refresh":
            fs.before[kind] = meddle
            write_much(b"3")
            store.compact_range()
            if kind in {"MANIFEST", "CURRENT"}:
                store.close()
                store = own(manifest=manifest)
            store.put(b"more", b"1")
        follower.refresh(thorough=True)
        assert {} == fs.before
        assert dict(store.range()) == dict(Snapshot(Pin(follower)).range())


class Counting(PosixFileSystem):
    """A file system that counts the bytes that are read."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.bytes = 0
        self.pread = self._pread  # type: ignore[method-assign,assignment]

    def _pread(self, fd: int, size: int, offset: int) -> bytes:
        data = os.pread(fd, size, offset)
        self.bytes += len(data)
        return data


def test_a_refresh_reads_what_is_new_and_little_more(own: Own, directory: Path) -> None:
    """However long the log is that was read before."""
    store = own(memtable_max_bytes=16 << 20)
    for number in range(2000):
        store.put(b"%06d" % number, bytes(1000))
    fs = Counting(str(directory))
    with closing(followed(fs)) as follower:
        assert 2_000_000 < fs.bytes < 4_500_000
        follower.refresh(thorough=True)
        for _ in range(20):
            store.put(b"key", b"value")
            fs.bytes = 0
            follower.refresh(thorough=False)
            assert follower.view.get(b"key") == b"value"
            assert fs.bytes < 10_000
            fs.bytes = 0
            follower.refresh(thorough=False)
            assert fs.bytes <= 1


INTERRUPTS = 60
CODE = ("follower/followed_log.py", "follower/followed_store.py", "storage/log_tail.py", "storage/manifest_tail.py")


def test_an_interrupt_anywhere_in_a_refresh_is_made_good_by_the_next(own: Own, directory: Path) -> None:
    """Whatever instruction Ctrl-C hits: snapshots are whole, nothing goes back, and the next refresh goes on."""
    store, model, number, chance = own(memtable_max_bytes=32 << 10), Model(), 0, random.Random(3)
    interrupted: set[str] = set()
    with closing(followed(PosixFileSystem(str(directory)))) as follower:
        for round_ in range(INTERRUPTS):
            for _ in range(chance.randrange(1, 4)):
                number += 1
                write(store, number)
            if round_ % 10 == 0:
                store.flush_memtable()
            with Snapshot(Pin(follower)) as before:
                expected = dict(before.range())
                try:
                    with Interrupter(chance.randrange(2000 if round_ % 10 == 0 else 900), *CODE) as interrupter:
                        follower.refresh(thorough=True)
                except KeyboardInterrupt:
                    interrupted.add(interrupter.where)
                assert expected == dict(before.range()), interrupter.where
            with Snapshot(Pin(follower)) as now:
                model.check(dict(now.range()))
            follower.refresh(thorough=True)
            with Snapshot(Pin(follower)) as now:
                model.check(dict(now.range()))
            assert number == model.number, interrupter.where
    assert INTERRUPTS // 4 < len(interrupted)


def test_a_seal_that_more_frames_follow_is_no_end(own: Own, follow: Follow) -> None:
    """An owner that is interrupted between the seal and its next segment goes on where it was."""
    store, follower = own(memtable_max_bytes=1 << 20), follow()
    store.put(b"a", b"1")
    log = store._parts.log
    assert log is not None
    log.prepare_spare()
    spare = log._spare
    assert spare is not None
    log._begin(spare, log.current.seal_end(), store._write_path.last_sequence)
    log.current.seal()
    assert b"1" == follower.get(b"a")
    assert 2 == follower.stats().log_segments
    log.current.sealed = False  # What the interrupted owner believes.
    store.put(b"a", b"2")
    assert b"2" == follower.get(b"a")
    store.flush_memtable()
    store.put(b"a", b"3")
    assert b"3" == follower.get(b"a")


def test_a_frame_longer_than_any_read_is_read(own: Own, follow: Follow) -> None:
    """A value of several megabytes, and a batch, seen whole."""
    store, follower = own(memtable_max_bytes=64 << 20), follow()
    value = random.Random(1).randbytes(3_000_000)
    store.put(b"large", value)
    assert value == follower.get(b"large")
    with store.write_batch() as batch:
        for number in range(20_000):
            batch.put(b"%06d" % number, b"v" * 20)
    assert 20_001 == len(list(follower))
    store.put(b"zeros", bytes(2_000_000))
    assert bytes(2_000_000) == follower.get(b"zeros")


def test_a_tail_tells_when_its_file_is_another_stores(own: Own, directory: Path) -> None:
    """A segment of another store in the place of one is refused by name."""
    own().put(b"a", b"1")
    fs = PosixFileSystem(str(directory))
    (log,) = segments(directory)
    with pytest.raises(CorruptionError, match="another store"):
        LogTail(fs, log.name, 1, bytes(16))
    fs.shut()
