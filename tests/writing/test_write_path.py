"""Writes from many threads, on disks that are slow, full or broken: the order, the errors, and what is acknowledged."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import ClosedError, DurabilityError, NoSpaceError, StorageError
from lsmproc.writing.commit import Commit
from tests.faults.faulty_file_system import FaultPlan, FaultyFileSystem, full_disk

Eventually = Callable[..., None]
DEADLINE_SECONDS = 10.0


class SlowSyncs(FaultyFileSystem):
    """A disk whose syncs of the log wait for a gate."""

    gate: threading.Event
    waiting: threading.Event

    def fdatasync(self, fd: int) -> None:
        """Tell that it has begun, wait, then go on."""
        if self._name_of(fd).endswith(".wal"):
            self.waiting.set()
            assert self.gate.wait(DEADLINE_SECONDS)
        super().fdatasync(fd)


@pytest.fixture
def plan() -> FaultPlan:
    """What goes wrong; nothing at first."""
    return FaultPlan()


@pytest.fixture
def open_db(tmp_path: Path, plan: FaultPlan) -> Iterator[Callable[..., LSMStore]]:
    """Opens the store; whatever is open at the end of the test is closed on a healthy disk."""
    opened = []

    def open_(fs: Callable[[str], FaultyFileSystem] = plan.open_file_system, **options: object) -> LSMStore:
        config = LSMConfig.from_options(tmp_path / "store", **options)
        opened.append(LSMStore(config, env=Env(background="inline", open_file_system=fs)))
        return opened[-1]

    yield open_
    plan.at = None
    for db in opened:
        db.close()


@pytest.fixture
def gate(plan: FaultPlan) -> tuple[Callable[[str], SlowSyncs], threading.Event, threading.Event]:
    """A file system maker, the event that lets its syncs pass, and the one that tells of a waiting sync."""
    passing, waiting = threading.Event(), threading.Event()
    passing.set()

    def make(path: str) -> SlowSyncs:
        fs = SlowSyncs(path, plan)
        fs.gate, fs.waiting = passing, waiting
        return fs

    return make, passing, waiting


def test_writers_that_wait_for_a_sync_share_the_next_one(
    open_db: Callable[..., LSMStore],
    gate: tuple[Callable[[str], SlowSyncs], threading.Event, threading.Event],
    eventually: Eventually,
) -> None:
    """Ten synced writers behind a slow sync need two syncs in all, and all are acknowledged."""
    make, passing, waiting = gate
    db = open_db(make)
    path = db._write_path
    passing.clear()
    waiting.clear()
    before = path._log.syncs
    with ThreadPoolExecutor(11) as pool:
        first = pool.submit(db.put, b"first", b"1", sync=True)
        assert waiting.wait(DEADLINE_SECONDS)
        others = [pool.submit(db.put, b"%d" % number, b"x", sync=True) for number in range(9)]
        others.append(pool.submit(db.put, b"unsynced", b"x"))
        eventually(lambda: 10 == len(path._queue), what="all writers queue")
        assert db.get(b"first") is None
        passing.set()
        for each in (first, *others):
            each.result(DEADLINE_SECONDS)
    assert 2 == path._log.syncs - before
    assert 11 == len(dict(db.range()))


def test_the_newest_of_many_concurrent_writes_is_the_same_in_memory_and_after_a_reopen(
    open_db: Callable[..., LSMStore],
) -> None:
    """Sequence numbers never repeat and the log has the order of the memtable, whoever leads."""
    db = open_db()
    sequences: list[int] = []

    def write(thread: int) -> None:
        for number in range(150):
            value = b"%d/%d" % (thread, number)
            if number % 3 == 2:
                with db.write_batch(sync=number % 2 == 0) as batch:
                    batch.put(b"a", value)
                    batch.put(b"b", value)
            else:
                db.put(b"%d" % (number % 5), value, sync=number % 7 == 0)
            sequences.append(db._write_path.last_sequence)

    with ThreadPoolExecutor(6) as pool:
        for each in [pool.submit(write, thread) for thread in range(6)]:
            each.result(DEADLINE_SECONDS * 3)
    expected = dict(db.range())
    metas = {key: db.get_with_meta(key) for key in expected}
    assert expected[b"a"] == expected[b"b"]
    db.close()
    again = open_db()
    assert expected == dict(again.range())
    assert {key: meta.sequence for key, meta in metas.items() if meta} == {
        key: meta.sequence for key in expected if (meta := again.get_with_meta(key))
    }


def test_writers_that_queue_behind_a_failing_sync_are_not_acknowledged(
    open_db: Callable[..., LSMStore],
    plan: FaultPlan,
    gate: tuple[Callable[[str], SlowSyncs], threading.Event, threading.Event],
    eventually: Eventually,
) -> None:
    """The first failed sync is final: those who waited are told, and no second sync makes their writes look durable."""
    make, passing, waiting = gate
    db = open_db(make)
    db.put(b"before", b"1")
    passing.clear()
    waiting.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(db.put, b"first", b"1", sync=True)
        assert waiting.wait(DEADLINE_SECONDS)
        others = [pool.submit(db.put, b"%d" % number, b"x", sync=number < 2) for number in range(3)]
        eventually(lambda: 3 == len(db._write_path._queue), what="all writers queue")
        plan.operations.clear()
        plan.kinds, plan.at, plan.error = frozenset({"fdatasync"}), 0, errno.EIO
        passing.set()
        for each in (first, *others):
            assert isinstance(each.exception(DEADLINE_SECONDS), DurabilityError)
    assert 1 == len(plan.operations)
    assert {b"before": b"1"} == dict(db.range())


@pytest.mark.parametrize("kind", ["fdatasync", "sync_directory"])
def test_a_failed_sync_is_final_and_reads_go_on(open_db: Callable[..., LSMStore], plan: FaultPlan, kind: str) -> None:
    """That write and all later ones raise DurabilityError; what was there is read, now and after a reopen."""
    db = open_db()
    db.put(b"before", b"1")
    plan.operations.clear()
    plan.kinds, plan.at, plan.error = frozenset({kind}), 0, errno.EIO
    with pytest.raises(DurabilityError):
        db.put(b"key", b"1", sync=True)
    for write in (
        lambda: db.put(b"key", b"2"),
        lambda: db.delete(b"key"),
        db.sync,
        lambda: db.put(b"k", b"", sync=True),
    ):
        with pytest.raises(DurabilityError):
            write()
    assert b"1" == db.get(b"before")
    db.close()
    plan.at = None
    again = open_db()
    assert b"1" == again.get(b"before")
    assert again.get(b"key") in {None, b"1"}
    again.put(b"key", b"3", sync=True)


def test_a_full_disk_refuses_writes_until_there_is_space(open_db: Callable[..., LSMStore], plan: FaultPlan) -> None:
    """NoSpaceError, nothing acknowledged, reads go on; the next write after the disk has room just works."""
    db = open_db()
    expected = {}
    for number in range(5):
        db.put(b"key", b"%d" % number)
        expected[b"key"] = b"%d" % number
        full_disk(plan, full=True)
        with pytest.raises(NoSpaceError) as caught:
            db.put(b"key", b"lost")
        assert str(caught.value.filename).endswith(".wal")
        with pytest.raises(NoSpaceError):
            db.put(b"other", b"lost", sync=True)
        with pytest.raises(NoSpaceError), db.write_batch() as batch:
            batch.put(b"key", b"lost")
            batch.delete(b"key")
        assert expected == dict(db.range())
        full_disk(plan, full=False)
        db.delete(b"nothing")
    db.close()
    assert expected == dict(open_db().range())


def test_a_disk_that_is_full_at_a_rotation_costs_no_write(open_db: Callable[..., LSMStore], plan: FaultPlan) -> None:
    """Each operation of the time around a rotation fails once: acknowledged writes stay, and writes go on after."""
    # Inline, nobody but the writer could retry a failed flush: the triggers are out of reach, so it never has to wait.
    db = open_db(
        memtable_max_bytes=1024,
        max_immutable_memtables=64,
        level0_compaction_trigger=40,
        level0_slowdown_writes_trigger=100,
        level0_stop_writes_trigger=200,
    )
    expected = {}
    for at in range(36):
        plan.operations.clear()
        plan.kinds = frozenset({"create", "allocate"})
        plan.at, plan.count, plan.error = at % 5, 1 + at % 3, errno.ENOSPC
        for number in range(12):
            key, value = b"%02d" % (number + at % 7), b"%d" % at * 60
            try:
                db.put(key, value)
            except NoSpaceError:
                continue
            expected[key] = value
        assert expected == dict(db.range())
    plan.at = None
    db.put(b"last", b"1", sync=True)
    expected[b"last"] = b"1"
    db.close()
    assert expected == dict(open_db().range())


def test_short_writes_are_completed(open_db: Callable[..., LSMStore], plan: FaultPlan) -> None:
    """A disk that takes half of each write."""
    db = open_db()
    plan.short = True
    expected = {b"%d" % number: b"v" * number for number in range(100)}
    for key, value in expected.items():
        db.put(key, value)
    db.close()
    assert expected == dict(open_db().range())


def test_a_promise_that_finds_no_room_is_no_failed_write(open_db: Callable[..., LSMStore], plan: FaultPlan) -> None:
    """The write is durable and visible, so its caller must not be told otherwise."""
    db = open_db()
    plan.operations.clear()
    plan.kinds, plan.at, plan.error = frozenset({"pwrite"}), 1, errno.ENOSPC
    db.put(b"key", b"1", sync=True)
    assert b"1" == db.get(b"key")
    plan.operations.clear()
    plan.at = 1
    db.put(b"key", b"2")
    db.sync()


def test_a_sync_of_a_segment_that_is_flushed_meanwhile_does_nothing(
    open_db: Callable[..., LSMStore], plan: FaultPlan
) -> None:
    """The caller took the segment before it was rotated and closed: its records are durable in a table."""
    db = open_db()
    db.put(b"key", b"1")
    path = db._write_path
    wal = path._wal
    db.flush_memtable()
    assert 0 == path._log.sync(wal)
    db.put(b"key", b"2", sync=True)


def test_a_closed_store_refuses_writes_and_close_raises_only_what_matters(
    open_db: Callable[..., LSMStore], plan: FaultPlan
) -> None:
    """Trimming the log at the end only gives space back: that it fails is no error."""
    db = open_db()
    db.put(b"key", b"1")
    plan.operations.clear()
    plan.kinds, plan.at, plan.error = frozenset({"truncate"}), 0, errno.EIO
    db.close()
    with pytest.raises(ClosedError):
        db.put(b"key", b"2")
    plan.at = None
    assert b"1" == open_db().get(b"key")


def test_a_close_whose_sync_fails_gives_everything_back(open_db: Callable[..., LSMStore], plan: FaultPlan) -> None:
    """The error is raised, and the directory can be opened again."""
    db = open_db()
    db.put(b"key", b"1")
    plan.operations.clear()
    plan.kinds, plan.at, plan.error = frozenset({"fdatasync"}), 0, errno.EIO
    with pytest.raises(StorageError):
        db.close()
    assert set() == plan.descriptors
    plan.at = None
    assert b"1" == open_db().get(b"key")


def test_a_flush_that_finds_no_room_for_a_new_segment_says_so(
    open_db: Callable[..., LSMStore], plan: FaultPlan
) -> None:
    """Who asked for a rotation is told that there is none; a write that only happens to fill the memtable is not."""
    db = open_db(memtable_max_bytes=4096)
    db.put(b"key", b"1")
    plan.operations.clear()
    plan.kinds, plan.at, plan.count, plan.error = frozenset({"create", "allocate"}), 0, 1 << 60, errno.ENOSPC
    with pytest.raises(NoSpaceError):
        db._write_path.rotate()
    db.put(b"big", b"x" * 5000)
    db.put(b"next", b"2")
    assert plan.reached
    assert () == db._write_path.view.immutables
    plan.at = None
    assert db.flush_memtable() is not None
    assert {b"key": b"1", b"big": b"x" * 5000, b"next": b"2"} == dict(db.range())


def test_a_segment_that_cannot_be_followed_takes_four_memtables_and_no_more(
    open_db: Callable[..., LSMStore], plan: FaultPlan
) -> None:
    """No other files can be made, for a reason that is no full disk: memory and log stay limited, and it passes."""
    db = open_db(memtable_max_bytes=4096)
    plan.operations.clear()
    plan.kinds, plan.at, plan.count, plan.error = frozenset({"create", "allocate"}), 0, 1 << 60, errno.EPERM
    written: dict[bytes, bytes] = {}
    with pytest.raises(StorageError) as caught:
        for number in range(1000):
            key = b"key%04d" % number
            db.put(key, b"x" * 100)
            written[key] = b"x" * 100
    segment = db._write_path._wal
    assert (errno.EPERM, True) == (caught.value.errno, str(caught.value.filename).endswith(".wal"))
    assert 4 * 4096 < segment.end < 5 * 4096
    end = segment.end
    refused: tuple[Callable[[], object], ...] = (
        lambda: db.put(b"key", b""),
        lambda: db.delete(b"key"),
        lambda: db.put(b"key", b"", sync=True),
        lambda: write_two(db),
        db.flush_memtable,
    )
    for use in refused:
        with pytest.raises(StorageError):
            use()
    assert end == segment.end
    assert written == dict(db.range())
    plan.at = None
    db.put(b"key", b"after")
    assert () == db._write_path.view.immutables  # Sealed by that write, and flushed.
    assert segment is not db._write_path._wal
    db.put(b"key", b"clear again")
    assert {**written, b"key": b"clear again"} == dict(db.range())
    db.close()
    assert {**written, b"key": b"clear again"} == dict(open_db().range())


def test_an_interrupted_group_is_whole_before_a_snapshot_can_be_taken(
    open_db: Callable[..., LSMStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the interrupt and the leader's clearing up, a snapshot sees the whole batch or what it replaced."""
    db = open_db()
    path = db._write_path
    db.put(b"a", b"old")
    db.put(b"b", b"old")
    insert, mutex = path._insert, path._mutex
    seen: list[dict[bytes, bytes | None]] = []
    interrupts = iter([True])

    def interrupted_insert(group: list[Commit]) -> None:
        if next(interrupts, False):
            path._entries[b"a"] = (group[0].sequence, b"new")  # The first half of the batch, and then Ctrl-C.
            raise KeyboardInterrupt
        insert(group)

    class WatchedMutex:
        """Shows what whoever takes it next would see."""

        def __enter__(self) -> None:
            """Take it."""
            mutex.acquire()

        def __exit__(self, *_: object) -> None:
            """Look, and let go."""
            view, sequence = path.view, path.last_sequence
            seen.append({key: view.get_at(key, sequence) for key in (b"a", b"b")})
            mutex.release()

    monkeypatch.setattr(path, "_insert", interrupted_insert)
    monkeypatch.setattr(path, "_mutex", WatchedMutex())
    with pytest.raises(KeyboardInterrupt), db.write_batch(sync=True) as batch:
        batch.put(b"a", b"new")
        batch.put(b"b", b"new")
    old, new = {b"a": b"old", b"b": b"old"}, {b"a": b"new", b"b": b"new"}
    assert old == seen[0]
    assert new == seen[-1]
    assert [] == [each for each in seen if each not in (old, new)]
    assert {b"a": b"new", b"b": b"new"} == dict(db.range())


def test_a_flush_that_ends_after_an_interrupted_rotation_keeps_the_segments_of_the_memtable(
    open_db: Callable[..., LSMStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has gone on and the memtable has not: its records are in the segment that was sealed for nothing."""
    db = open_db()
    path = db._write_path
    monkeypatch.setattr(path, "_on_rotate", lambda: None)  # Sealed memtables wait.
    db.put(b"older", b"1")
    path.rotate()
    db.put(b"newer", b"2")
    needed = db._parts.log.current.number  # type: ignore[union-attr]

    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(path, "_new_memtable", interrupted)
    with pytest.raises(KeyboardInterrupt):
        path.rotate()
    with pytest.raises(StorageError):
        db.put(b"refused", b"")
    (waiting,) = path.view.immutables
    assert needed == path.live_segments(besides=waiting)[0][0]
    db._parts.maintenance.flush_here()
    assert {b"newer": b"2", b"older": b"1"} == dict(db.range())
    db.close()
    assert {b"newer": b"2", b"older": b"1"} == dict(open_db().range())


def write_two(db: LSMStore) -> None:
    """A batch."""
    with db.write_batch() as batch:
        batch.put(b"key", b"1")
        batch.put(b"other", b"2")
