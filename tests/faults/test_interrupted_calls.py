"""Ctrl-C at every instruction of reads, flushes, groups of writers and close: nothing hangs and nothing is kept."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import StorageError
from tests.faults.faulty_file_system import QuickFileSystem
from tests.faults.hurried_store import hurried
from tests.faults.interrupts import Interrupter
from tests.faults.test_interrupted_writes import CODE, DEADLINE_SECONDS, replayed
from tests.tally import Tally

READING = (
    "lsmproc/store.py",
    "lsmproc/opening/store_parts.py",
    "lsmproc/writing/write_path.py",
    "lsmproc/snapshot.py",
    "lsmproc/reading/live_snapshots.py",
    "lsmproc/reading/read_view.py",
    "iterators/db_iterator.py",
)
FLUSHING = ("workers/job_run.py", "compaction/flush_job.py", "storage/table_builder.py")  # the job, wherever it runs
CLOSING = (
    "lsmproc/store.py",
    "lsmproc/opening/store_parts.py",
    "lsmproc/writing/write_path.py",
    "lsmproc/writing/log_segments.py",
    "lsmproc/env.py",
    "maintenance/maintenance.py",
)
RECORDS = {b"%03d" % number: b"v" * 50 for number in range(40)}

Kept = list[Any]


def take_and_release(db: LSMStore, kept: Kept) -> None:
    """A snapshot's whole life."""
    snapshot = db.snapshot()
    kept.append(snapshot)
    snapshot.close()


def walk(db: LSMStore, kept: Kept) -> None:
    """A cursor is made, moved both ways and closed."""
    iterator = db.iterator(start=b"003")
    kept.append(iterator)
    next(iterator)
    iterator.seek(b"020")
    iterator.prev()
    iterator.close()


def walk_in_a_block(db: LSMStore, kept: Kept) -> None:
    """The same with ``with``, and backwards."""
    with db.iterator(reverse=True) as iterator:
        kept.append(iterator)
        next(iterator)


def begin_a_range(db: LSMStore, kept: Kept) -> None:
    """A lazy range that nobody finishes."""
    kept.append(records := db.range(b"005"))
    next(records)


def get(db: LSMStore, kept: Kept) -> None:
    """From the memtable and from a table."""
    kept.append((db.get(b"001"), db.get(b"new")))


def get_many(db: LSMStore, kept: Kept) -> None:
    """From one state."""
    kept.append(db.get_many([b"001", b"new", b"missing"]))


def close_again(handles: Kept) -> None:
    """A close that was interrupted is done again, while the handle is alive."""
    for each in handles:
        if hasattr(each, "close"):
            each.close()


def in_another_thread(call: Callable[[], object], where: str) -> None:
    """Do something that a lock which nobody gives back would make wait for ever."""
    errors: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the test tells of it
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive(), f"hangs after an interrupt at {where}"
    assert [] == errors, where


def open_store(directory: Path, open_file_system: Any = QuickFileSystem, **options: object) -> LSMStore:
    """Without threads; nothing is synced really."""
    config = LSMConfig.from_options(directory, **{"memtable_max_bytes": 1 << 16, "wal_sync": "none", **options})
    return LSMStore(config, env=Env(background="inline", open_file_system=open_file_system))


def interrupted(at: int, code: tuple[str, ...], call: Callable[[], object]) -> str:
    """Where ``call`` was interrupted; empty once it has fewer instructions."""
    with Interrupter(at, *code) as interrupter:
        with suppress(KeyboardInterrupt):
            call()
    return interrupter.where


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "read", [take_and_release, walk, walk_in_a_block, begin_a_range, get, get_many], ids=lambda read: read.__name__
)
def test_an_interrupted_read_keeps_nothing_and_stops_nobody(
    scratch: Path, tally: Tally, read: Callable[[LSMStore, Kept], None]
) -> None:
    """No snapshot is kept once its handle is closed again or dropped, and the store reads and writes on."""
    with open_store(scratch / "db") as db:
        for key, value in RECORDS.items():
            db.put(key, value)
        db.flush_memtable()
        db.put(b"new", b"1")
        shown = dict(db.range())
        for at in count():
            kept: Kept = []
            where = interrupted(at, READING, lambda kept=kept: read(db, kept))  # type: ignore[misc]
            close_again(kept)
            if read is begin_a_range:
                kept.clear()  # That has no close: it ends when it is dropped.
            if db._write_path.snapshots:
                gc.collect()
            assert () == db._write_path.snapshots, where
            in_another_thread(lambda: db.put(b"new", b"1"), where)
            assert b"1" == db.get(b"new"), where
            if not where:
                break
        assert shown == dict(db.range())
    assert 20 < at
    tally.add("interrupts in reads", at)


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What has failed is tried again at once."""
    with hurried(monkeypatch):
        yield


@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "by a write that fills the memtable"])
def test_an_interrupted_flush_is_done_the_next_time(
    scratch: Path, tally: Tally, full: bool, asked: bool, hurry: None
) -> None:
    """The job that was interrupted is done again, and its memtable and log are read until then."""
    step = 1 if full else 11
    for at in count(0, step):
        directory = scratch / str(at)
        with open_store(directory, memtable_max_bytes=1 << 16 if asked else 1024) as db:
            for key, value in list(RECORDS.items())[:12]:
                db.put(key, value)
            state = dict(db.range())
            call = db.flush_memtable if asked else lambda: db.put(b"filler", b"f" * 400)
            where = interrupted(at, FLUSHING, call)
            shown = dict(db.range())
            assert shown in (state, {**state, b"filler": b"f" * 400}), where
            if db._write_path.usable:
                in_another_thread(lambda: db.put(b"next", b"1"), where)
                in_another_thread(lambda: db.flush_memtable(timeout=DEADLINE_SECONDS), where)
                shown[b"next"] = b"1"
                assert 0 < len(db.live_files()), where
            assert shown == dict(db.range()), where
        with open_store(directory) as db:
            assert shown == dict(db.range()), where
            live = {file.name for file in db.live_files()}
        assert live == {path.name for path in directory.glob("**/*.sst")}, where
        if not where:
            break
    assert 100 < at
    tally.add("interrupts in flushes", at // step)


@pytest.mark.parametrize("wal", ["pwrite", "mapped"])
def test_an_interrupted_close_is_finished_by_the_next(scratch: Path, tally: Tally, wal: str) -> None:
    """Lock and descriptors are given back by the second close, whatever the first one had done."""
    for at in count():
        directory = scratch / str(at)
        config = LSMConfig.from_options(directory, background="inline", wal=wal, memtable_max_bytes=1 << 16)
        db = LSMStore(config)
        db.put(b"key", b"value")
        db._parts.log.prepare_spare()  # type: ignore[union-attr]
        where = interrupted(at, CLOSING, db.close)
        db.close()
        assert db.closed, where
        assert [] == descriptors_in(directory), where
        with LSMStore(config) as second:
            assert {b"key": b"value"} == dict(second.range()), where
        assert 2 >= len(list(directory.glob("*.wal"))), where
        if not where:
            break
    assert 100 < at
    tally.add("interrupts in close", at)


def descriptors_in(directory: Path) -> list[str]:
    """Open files of a store."""
    found = []
    for name in os.listdir("/proc/self/fd") if Path("/proc/self/fd").is_dir() else []:
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue  # The listing's own.
    return [target for target in found if target.startswith(f"{directory}")]


class GatedFileSystem(QuickFileSystem):
    """Calls ``on_sync`` while a segment is being synced."""

    def __init__(self, path: str, gate: Gate) -> None:
        super().__init__(path)
        self._gate = gate

    def fdatasync(self, fd: int) -> None:
        """Let others come in between."""
        if self._name_of(fd).endswith(".wal"):
            self._gate.on_sync()


class Gate:
    """What happens during a sync; nothing by default."""

    def __init__(self) -> None:
        self.on_sync: Callable[[], None] = _nothing

    def open_file_system(self, path: str) -> GatedFileSystem:
        """For ``Env(open_file_system=...)``."""
        return GatedFileSystem(path, self)


def _nothing() -> None:
    """Syncs are quick."""


class Writers:
    """Threads that write with a sync, and what became of it."""

    def __init__(self, db: LSMStore) -> None:
        self._db = db
        self._threads: list[threading.Thread] = []
        self.outcomes: dict[bytes, Exception | None] = {}

    def start(self, key: bytes) -> None:
        """Write ``key`` in a thread of its own."""
        thread = threading.Thread(target=self._write, args=(key,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _write(self, key: bytes) -> None:
        try:
            self._db.put(key, b"1", sync=True)
        except StorageError as error:
            self.outcomes[key] = error
        else:
            self.outcomes[key] = None

    def join(self, where: str) -> None:
        """They all come to an end."""
        for thread in self._threads:
            thread.join(DEADLINE_SECONDS)
            assert not thread.is_alive(), f"a writer beside one that was interrupted at {where} waits for ever"


@contextmanager
def group_of_writers(directory: Path) -> Iterator[tuple[LSMStore, Gate, Writers]]:
    """A store whose syncs can be held up, and writers beside the traced one."""
    gate = Gate()
    db = open_store(directory, gate.open_file_system)
    db._write_path._on_rotate = _nothing
    try:
        yield db, gate, Writers(db)
    finally:
        gate.on_sync = _nothing
        db.close()


def wait_for(condition: Callable[[], object]) -> None:
    """A few instructions of other threads."""
    pause = threading.Event()
    for _ in range(int(DEADLINE_SECONDS / 0.001)):
        if condition():
            return
        pause.wait(0.001)
    raise TimeoutError


def check_group(db: LSMStore, writers: Writers, where: str) -> None:
    """What was acknowledged is there, log and memtable are equal, and writes go on or say why they do not."""
    writers.join(where)
    shown = dict(db.range())
    assert shown == replayed(db), where
    for key, error in writers.outcomes.items():
        assert key in shown or error is not None, where
        assert error is None or not db._write_path.usable, f"{where}: {error!r}"
    assert shown.keys() <= {*writers.outcomes, b"key"}, where
    if db._write_path.usable:
        in_another_thread(lambda: db.put(b"next", b"1", sync=True), where)
        in_another_thread(lambda: db.put(b"next", b"2"), where)
        assert {**shown, b"next": b"2"} == dict(db.range()) == replayed(db), where


def test_a_leader_that_is_interrupted_leaves_nobody_waiting(scratch: Path, tally: Tally) -> None:
    """Two writers have queued behind its sync when it is interrupted, at any instruction from there on."""
    for at in count():
        with group_of_writers(scratch / str(at)) as (db, gate, writers):

            def others_come(gate: Gate = gate, writers: Writers = writers, db: LSMStore = db) -> None:
                gate.on_sync = _nothing
                writers.start(b"a")
                writers.start(b"b")
                wait_for(lambda: len(db._write_path._queue) == 2)

            gate.on_sync = others_come
            where = interrupted(at, CODE, lambda: db.put(b"key", b"1", sync=True))
            gate.on_sync = _nothing
            check_group(db, writers, where)
        if not where:
            assert {b"a", b"b"} == writers.outcomes.keys()
            break
    assert 100 < at
    tally.add("interrupts of leaders", at)


def test_a_follower_that_is_interrupted_leaves_nobody_waiting(scratch: Path, tally: Tally) -> None:
    """Another thread leads and syncs; this one queues behind it, with a third behind itself."""
    for at in count():
        with group_of_writers(scratch / str(at)) as (db, gate, writers):
            syncing, go_on = threading.Event(), threading.Event()

            def hold(gate: Gate = gate, syncing: threading.Event = syncing, go_on: threading.Event = go_on) -> None:
                gate.on_sync = _nothing
                syncing.set()
                assert go_on.wait(DEADLINE_SECONDS)

            def release(go_on: threading.Event = go_on, writers: Writers = writers, db: LSMStore = db) -> None:
                wait_for(lambda: go_on.is_set() or db._write_path._queue)
                writers.start(b"b")
                go_on.set()

            gate.on_sync = hold
            writers.start(b"a")
            assert syncing.wait(DEADLINE_SECONDS)
            releasing = threading.Thread(target=release, daemon=True)
            releasing.start()
            where = interrupted(at, CODE, lambda: db.put(b"key", b"1", sync=True))
            go_on.set()
            releasing.join(DEADLINE_SECONDS)
            check_group(db, writers, where)
        if not where:
            break
    assert 50 < at
    tally.add("interrupts of followers", at)
