"""``python -m tests.faults.out_of_memory MODE WAL STRIDE DIRECTORY CALL...``: calls of a store, without memory.

For n = 0, n = STRIDE, ... each call is made on a prepared store while the n-th allocation fails, or so many from the
n-th on (MODE), until the call has gone through unharmed so often that it has no allocation left. After each the store
is held against its promises. Prints one line of JSON for each n before and after, so that whoever runs this in a
process of its own sees where the interpreter itself died; see ``test_out_of_memory``.

Memory that never comes back is not tried: CPython 3.11 then spins for ever on its way into an exception handler, as it
must allocate the offset of the instruction that raised.
"""

from __future__ import annotations

import _testcapi
import gc
import json
import shutil
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import BackgroundError, ClosedError, Error, StorageError
from lsmproc.formats.file_names import FileKind, parse_file_name, wal_name
from lsmproc.formats.frame_decoding import DecodedFrames
from lsmproc.formats.log_format import KIND_WAL
from lsmproc.storage.wal_reader import is_blank, read_log
from tests.faults.faulty_file_system import QuickFileSystem

DEADLINE_SECONDS = 10.0
PASSES_OF_FLUSH = 40  # a job that fails is tried again, so most of its allocations may fail without a word
PASSES_TO_END = 4  # an allocation that fails may do no harm: one call that goes through is not the end
STARTS_PER_STORE = 20
MODES = {"once": 1, "spell": 6, "drought": 100}  # how many allocations fail in a row

State = dict[bytes, bytes]
Call = Callable[[LSMStore, dict[str, Any]], None]

OLD: State = {b"key": b"old", b"other": b"old"}
NEW: State = {b"key": b"new", b"other": b"new"}
LARGE = {b"large%04d" % number: b"v" * 20 for number in range(500)}


class StoppedClock(QuickFileSystem):
    """Time stands still: a sequence number that is used twice shows."""

    @staticmethod
    def now_ns() -> int:  # type: ignore[override]
        """Always the same."""
        return 1


def put(db: LSMStore, _: dict[str, Any]) -> None:
    """The shortest way."""
    db.put(b"key", b"new")


def synced_put(db: LSMStore, _: dict[str, Any]) -> None:
    """Through the queue."""
    db.put(b"key", b"new", sync=True)


def delete(db: LSMStore, _: dict[str, Any]) -> None:
    """A tombstone."""
    db.delete(b"key")


def batch(db: LSMStore, _: dict[str, Any]) -> None:
    """Two records that belong together."""
    with db.write_batch() as writes:
        for key, value in NEW.items():
            writes.put(key, value)


def synced_batch(db: LSMStore, _: dict[str, Any]) -> None:
    """The same, through the queue."""
    with db.write_batch(sync=True) as writes:
        for key, value in NEW.items():
            writes.put(key, value)


def large_batch(db: LSMStore, _: dict[str, Any]) -> None:
    """So many records that the memtable grows under them."""
    with db.write_batch() as writes:
        for key, value in LARGE.items():
            writes.put(key, value)


def sync(db: LSMStore, _: dict[str, Any]) -> None:
    """No write."""
    db.sync()


def flush(db: LSMStore, _: dict[str, Any]) -> None:
    """A rotation, a job and a change of the tree, all in this thread: nothing else runs."""
    db.flush_memtable(timeout=DEADLINE_SECONDS)


def take_snapshot(db: LSMStore, kept: dict[str, Any]) -> None:
    """Kept until the check."""
    kept["snapshot"] = db.snapshot()


def release_snapshot(_: LSMStore, kept: dict[str, Any]) -> None:
    """One that was taken before."""
    kept["old snapshot"].close()


def step(_: LSMStore, kept: dict[str, Any]) -> None:
    """The first step of an iterator, which loads a window."""
    next(kept["iterator"])


def get(db: LSMStore, _: dict[str, Any]) -> None:
    """One key that is there and one that is not."""
    db.get(b"key")
    db.get(b"nothing")


def scan(db: LSMStore, _: dict[str, Any]) -> None:
    """Everything."""
    for _record in db.range():
        pass


def close(db: LSMStore, _: dict[str, Any]) -> None:
    """Whatever happens, a second close finishes it."""
    db.close()


CALLS: dict[str, Call] = {
    each.__name__: each
    for each in (
        put,
        synced_put,
        delete,
        batch,
        synced_batch,
        large_batch,
        sync,
        flush,
        take_snapshot,
        release_snapshot,
        step,
        get,
        scan,
        close,
    )
}
RESULTS: dict[str, list[State]] = {
    "put": [{**OLD, b"key": b"new"}],
    "synced_put": [{**OLD, b"key": b"new"}],
    "delete": [{b"other": b"old"}],
    "batch": [NEW],
    "synced_batch": [NEW],
    "large_batch": [{**OLD, **LARGE}],
    "rotating_put": [{**OLD, b"key": b"new"}],
}


class Trial:
    """One call, tried again and again on stores that are made as they are needed."""

    def __init__(self, call: str, mode: str, wal: str, directory: Path) -> None:
        self._rotating = call == "rotating_put"
        self._call = CALLS["put" if self._rotating else call]
        self._name = call
        self._failures = MODES[mode]
        self._wal = wal
        self._directory = directory
        self._filler = b"f" * 840 if self._rotating else b"f"
        self._db: LSMStore | None = None
        self._stores = count()
        self._used = 0

    def run(self, stride: int) -> None:
        """From the first allocation to beyond the last."""
        passes = 0
        for start in count(0, stride):
            tell(call=self._name, trying=start)
            outcome = self._once(start)
            tell(call=self._name, start=start, outcome=outcome)
            passes = passes + 1 if outcome == "passed" else 0
            if passes == (PASSES_OF_FLUSH if self._name == "flush" else PASSES_TO_END):
                break
        self._end()

    def _once(self, start: int) -> str:
        db = self._prepared()
        kept: dict[str, Any] = {"old snapshot": db.snapshot(), "iterator": db.iterator()}
        before = {**OLD, b"filler": self._filler}
        gc.collect()
        fill_free_list()
        outcome, call = "passed", self._call
        _testcapi.set_nomemory(start, start + self._failures)
        try:
            call(db, kept)
        except BaseException as error:
            _testcapi.remove_mem_hooks()
            outcome = type(error).__name__
            no_memory = isinstance(error, MemoryError) or "can't allocate lock" in str(error)
            if not no_memory and not isinstance(error, (Error, TimeoutError)):
                raise
        else:
            _testcapi.remove_mem_hooks()
        allowed = [before, *({**after, b"filler": self._filler} for after in RESULTS.get(self._name, ()))]
        if outcome == "passed":
            allowed = allowed[-1:]
        self._check(db, allowed, before, kept)
        return outcome

    def _prepared(self) -> LSMStore:
        """A store with a table, a memtable and a live snapshot or two."""
        self._used += 1
        fresh = self._name in {"close", "rotating_put"} or self._used % STARTS_PER_STORE == 0
        if self._db is not None and (fresh or not self._db._write_path.usable):
            self._end()
        if self._db is None:
            directory = self._directory / str(next(self._stores))
            self._db = open_store(directory, self._wal, memtable_max_bytes=1024 if self._rotating else 1 << 16)
            self._db.put(b"filler", b"old")
            self._db.flush_memtable()
        for key in [key for key, _ in self._db.range() if key not in OLD and key != b"filler"]:
            self._db.delete(key)
        for key, value in {**OLD, b"filler": self._filler}.items():
            self._db.put(key, value)
        return self._db

    def _check(self, db: LSMStore, allowed: list[State], before: State, kept: dict[str, Any]) -> None:
        if self._name == "close":
            db.close()
            assert db.closed
            expect(before, contents_after_reopening(Path(db.path), self._wal), "after a close")
            return
        living = dict(db.range())
        assert living in allowed, f"the store shows {living!r:.300}"
        assert living == {key: db.get(key) for key in living}
        if self._name != "release_snapshot":
            expect(before, dict(kept["old snapshot"].range()), "an old snapshot shows")
        if "snapshot" in kept:
            expect(before, dict(kept["snapshot"].range()), "the new snapshot shows")
            kept["snapshot"].close()
        assert before.items() >= dict(kept["iterator"]).items()
        copied = contents_after_reopening(Path(db.path), self._wal)
        assert copied in allowed, f"the next owner finds {copied!r:.300}"
        trouble = go_on(db)
        if trouble is None:
            expect(copied, living, "the store shows something else than the next owner finds")
            living[b"next"] = b"2"
        expect(living, dict(db.range()), "a write changed something else")
        again = contents_after_reopening(Path(db.path), self._wal)
        expect(living if trouble is None else copied, again, "an interrupted write changed later")
        for snapshot in ("old snapshot", "iterator"):
            kept[snapshot].close()

    def _end(self) -> None:
        if self._db is not None:
            with suppress(BackgroundError):
                self._db.close()
            shutil.rmtree(self._db.path)
            self._db = None


def open_store(directory: Path, wal: str, **options: Any) -> LSMStore:
    """A store without threads and processes: every allocation is of the call that is tried."""
    config = LSMConfig.from_options(directory, wal=wal, **options)
    return LSMStore(config, env=Env(background="inline", open_file_system=StoppedClock))


def contents_after_reopening(directory: Path, wal: str) -> State:
    """What another owner finds in a copy. No two commits in the log have the same sequence number."""
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    try:
        check_sequences(copy)
        with open_store(copy, wal) as db:
            return dict(db.range())
    finally:
        shutil.rmtree(copy)


def fill_free_list() -> None:
    """Have CPython keep some tuples of three at hand, as it does in every program but just after a full collection.

    It needs one to call ``__exit__``: without it, every ``with lock:`` of every program leaves its lock held.
    """
    tuples = [(number, number, number) for number in range(64)]
    tuples.clear()


def check_sequences(directory: Path) -> None:
    """Each commit of the log has a higher number than the one before."""
    fs = QuickFileSystem(str(directory))
    last = 0

    def consume(frames: DecodedFrames) -> None:
        nonlocal last
        for sequence, key in zip(frames.sequences, frames.keys, strict=True):
            if key is not None:
                assert sequence > last, f"sequence number {sequence} comes after {last}"
                last = sequence

    try:
        parsed = filter(None, map(parse_file_name, fs.list_directory()))
        for number in sorted(number for kind, number in parsed if kind is FileKind.WAL):
            if not is_blank(fs, wal_name(number)):
                read_log(fs, wal_name(number), KIND_WAL, None, consume)
    finally:
        fs.shut()


def go_on(db: LSMStore) -> Error | None:
    """Write from another thread, which hangs if a lock was left held; the error if the store takes no writes."""
    errors: list[Error] = []

    def write() -> None:
        try:
            db.put(b"next", b"1")
            db.put(b"next", b"2", sync=True)
        except (StorageError, BackgroundError, ClosedError) as error:
            errors.append(error)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive(), "writes hang"
    return errors[0] if errors else None


def tell(**facts: object) -> None:
    """One line for whoever runs this."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def expect(expected: State, actual: State, what: str) -> None:
    """Equal, or an error that can be read."""
    assert expected == actual, f"{what}: expected {expected!r:.300}, got {actual!r:.300}"


if __name__ == "__main__":
    mode, wal, stride, directory, *calls = sys.argv[1:]
    gc.disable()
    for call in calls:
        Trial(call, mode, wal, Path(directory) / call).run(int(stride))
