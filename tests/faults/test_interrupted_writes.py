"""Ctrl-C at every instruction of a write: the log and the memtable agree afterwards, and the store goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import StorageError
from lsmproc.formats.file_names import FileKind, parse_file_name
from lsmproc.storage.manifest import read_manifest
from lsmproc.storage.wal_recovery import replay_log
from tests.faults.faulty_file_system import QuickFileSystem
from tests.faults.interrupts import Interrupter

Write = Callable[[LSMStore], None]

CODE = (
    "lsmproc/writing/write_path.py",
    "lsmproc/writing/commit.py",
    "lsmproc/writing/log_segments.py",
    "storage/wal_writer.py",
    "storage/mapped_wal.py",
)
DEADLINE_SECONDS = 10.0
_INTERRUPTS_PER_STORE = 25


def open_store(directory: Path, **options: object) -> LSMStore:
    """A store that never flushes on its own, and syncs nothing really."""
    config = LSMConfig.from_options(directory, **{"memtable_max_bytes": 1 << 16, **options})
    return LSMStore(config, env=Env(background="inline", open_file_system=QuickFileSystem))


def one_put(db: LSMStore) -> None:
    """The shortest way."""
    db.put(b"key", b"new")


def one_synced_put(db: LSMStore) -> None:
    """Through the queue."""
    db.put(b"key", b"new", sync=True)


def one_delete(db: LSMStore) -> None:
    """A tombstone."""
    db.delete(b"key")


def one_batch(db: LSMStore) -> None:
    """Two records that belong together."""
    with db.write_batch() as batch:
        batch.put(b"key", b"new")
        batch.put(b"other", b"new")


def one_synced_batch(db: LSMStore) -> None:
    """Two records that belong together, through the queue."""
    with db.write_batch(sync=True) as batch:
        batch.put(b"key", b"new")
        batch.delete(b"other")


def one_sync(db: LSMStore) -> None:
    """No write at all."""
    db.put(b"key", b"new")
    db.sync()


def replayed(db: LSMStore) -> dict[bytes, bytes]:
    """What the next owner would find in the log if this one were killed now."""
    fs = QuickFileSystem(db.path)
    try:
        manifest = read_manifest(fs)
        parsed = map(parse_file_name, fs.list_directory())
        numbers = [each[1] for each in parsed if each and each[0] is FileKind.WAL]
        log = replay_log(fs, numbers, manifest.version.log_number, manifest.store_uuid)
    finally:
        fs.shut()
    return {key: value for key, (_, value) in log.records.items() if value is not None}


def check(db: LSMStore, allowed: list[dict[bytes, bytes]], where: str) -> None:
    """Log and memtable hold the same; a batch is whole; and writes go on, or say clearly that they do not."""
    contents = dict(db.range())
    assert contents in allowed, where
    assert contents == replayed(db), where
    errors = []

    def go_on() -> None:
        try:
            db.put(b"next", b"1")
            db.put(b"next", b"2", sync=True)
        except StorageError as error:
            errors.append(error)

    # On another thread, so that a lock which nobody gives back fails the test and does not hang it.
    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive(), f"writes hang after an interrupt at {where}"
    if errors:
        assert "open the store again" in str(errors[0]), where
    else:
        contents[b"next"] = b"2"
    assert contents == dict(db.range()), where
    assert contents == replayed(db), where


OLD = {b"key": b"old", b"other": b"old"}
ALLOWED = [
    OLD,
    {b"key": b"new", b"other": b"old"},
    {b"other": b"old"},
    {b"key": b"new", b"other": b"new"},
    {b"key": b"new"},
]


@pytest.fixture(autouse=True)
def small_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapped segment is read whole after each interrupt: let it be small."""
    monkeypatch.setattr("lsmproc.storage.mapped_wal._GROWTH_BYTES", 64 << 10)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory if the machine has one: hundreds of small stores are made in it."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(dir=shared) as directory:
        yield Path(directory)


@pytest.mark.parametrize(
    ("write", "wal"),
    [
        (one_put, "pwrite"),
        (one_synced_put, "pwrite"),
        (one_delete, "pwrite"),
        (one_batch, "pwrite"),
        (one_synced_batch, "mapped"),
        (one_sync, "mapped"),
    ],
)
def test_an_interrupt_at_any_instruction_leaves_log_and_memtable_equal(scratch: Path, write: Write, wal: str) -> None:
    """Every instruction of a write is interrupted once; what the store shows is what a reopen finds."""
    assert 30 < interrupt_everywhere(scratch, write, wal=wal)


@pytest.mark.parametrize(("write", "wal"), [(one_put, "pwrite"), (one_put, "mapped"), (one_synced_put, "pwrite")])
def test_an_interrupt_while_the_memtable_is_rotated_loses_nothing(scratch: Path, write: Write, wal: str) -> None:
    """The write fills the memtable: the interrupt may come between two segments."""
    assert 150 < interrupt_everywhere(scratch, write, wal=wal, memtable_max_bytes=1024, filler=b"f" * 840)


@pytest.mark.parametrize("write", [one_put, one_batch], ids=lambda write: write.__name__)
def test_an_interrupt_beside_a_live_snapshot_keeps_its_past(scratch: Path, write: Write) -> None:
    """Entries that link to older ones are completed as well."""
    assert 30 < interrupt_everywhere(scratch, write, snapshot=True)


def interrupt_everywhere(
    scratch: Path, write: Write, *, filler: bytes = b"", snapshot: bool = False, **options: object
) -> int:
    """Run ``write`` on a fresh store, interrupted at each of its instructions in turn; returns their number."""
    old = {**OLD, b"filler": filler} if filler else OLD
    allowed = [{**each, b"filler": filler} for each in ALLOWED] if filler else ALLOWED
    db: LSMStore | None = None
    for at in count():
        if db is None or filler or at % _INTERRUPTS_PER_STORE == 0 or not db._write_path.usable:
            if db is not None:
                db.close()
            db = open_store(scratch / str(at), **options)
            # No flushes: then the log alone is what the next owner finds.
            db._write_path._on_rotate = _do_nothing
        for key in sorted(old):
            db.put(key, old[key])
        db.delete(b"next")
        past = db.snapshot() if snapshot else None
        interrupted = False
        with Interrupter(at, *CODE) as interrupter:
            try:
                write(db)
            except KeyboardInterrupt:
                interrupted = True
        if interrupted:
            check(db, allowed, interrupter.where)
        if past is not None:
            assert old == dict(past.range()), interrupter.where
            past.close()
        if not interrupted:
            db.close()
            return at
    raise AssertionError


def _do_nothing() -> None:
    """Nobody is told of a rotation."""
