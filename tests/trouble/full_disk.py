"""Scenarios of disks that fill up; each runs in a process and a mount namespace of its own."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import lsmproc
from lsmproc.errors import NoSpaceError
from tests.trouble.ledger import SMALL, Ledger, files_without_owner, until
from tests.trouble.private_mounts import Ballast, Ext4Image, Tmpfs

_FILL_SECONDS = 30.0
_RESUME_SECONDS = 5.0
_MORE_BYTES = 32 << 20


class _Failures(logging.Handler):
    """Counts what background work complains of."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = dict.fromkeys(("a flush failed", "a compaction failed", "no log segment"), 0)

    def emit(self, record: logging.LogRecord) -> None:
        for name in self.counts:
            self.counts[name] += record.getMessage().startswith(name)


def fill_many(directory: Path, sizes: list[int], options: list[dict[str, Any]]) -> dict[str, Any]:
    """Fill a tmpfs of each size; ``options`` are those of each store. Sums up what happened."""
    return _many(directory, [(Tmpfs, size, option) for size, option in zip(sizes, options, strict=True)])


def fill_many_ext4(directory: Path, sizes: list[int], options: list[dict[str, Any]]) -> dict[str, Any]:
    """Fill an ext4 image that has so many bytes left."""
    return _many(directory, [(Ext4Image, size, option) for size, option in zip(sizes, options, strict=True)])


def _many(directory: Path, cases: list[tuple[Any, int, dict[str, Any]]]) -> dict[str, Any]:
    failures = _Failures()
    log = logging.getLogger("lsmproc")
    log.addHandler(failures)
    log.propagate = False
    summary: dict[str, Any] = {"not opened": 0, "writes": 0, "put seconds": 0.0, "background seconds": 0.0}
    for index, (kind, size, options) in enumerate(cases):
        try:
            found = _fill_one(directory / str(index), kind, size, options, index)
        except AssertionError as error:
            raise AssertionError(f"{kind.__name__} of {size} bytes, {options}, case {index}: {error}") from error
        for name, value in found.items():
            summary[name] = max(summary[name], value) if "seconds" in name else summary[name] + value
    return summary | failures.counts


def _fill_one(directory: Path, kind: Any, size: int, options: dict[str, Any], index: int) -> dict[str, Any]:
    if kind is Tmpfs:
        disk = Tmpfs(directory, size)
        ballast = None
    else:
        disk = Ext4Image(directory, directory.with_suffix(".image"), _MORE_BYTES)
        ballast = Ballast(directory / "ballast")
        ballast.take(_free_bytes(directory) - size)

    def make_room() -> None:
        if ballast is None:
            disk.resize(size + _MORE_BYTES)
        else:
            ballast.release()

    path = directory / "db"
    settings = SMALL | options
    try:
        db = lsmproc.open(path, **settings)
    except NoSpaceError as error:
        assert error.filename
        make_room()
        _check_works(path, Ledger(index), settings)
        return {"not opened": 1}
    ledger = Ledger(index, keys=1000 + size // 300)
    with db:
        error = ledger.write_until_error(db, _FILL_SECONDS)
        assert isinstance(error, NoSpaceError), repr(error)
        assert error.filename, repr(error)
        ledger.check(db)
        _try_to_delete(db, ledger)
        ledger.check(db)
        until(lambda: not list((path / "tmp").iterdir()), 5.0, "what failed jobs wrote is removed")
        found: dict[str, Any] = {}
        if index % 3:
            make_room()
            found = _time_to_resume(db, ledger)
    if index % 3 == 0:
        _reopen_while_full(path, ledger, settings)
        make_room()
    _check_works(path, ledger, settings)
    disk.unmount()
    return found | {"writes": ledger.writes}


def full_for_long(directory: Path) -> dict[str, float]:
    """A disk that is full until the pauses between attempts are as long as they get, and then has room."""
    logging.getLogger("lsmproc").propagate = False
    disk = Tmpfs(directory / "disk", 400_000)
    ledger = Ledger(1)
    with lsmproc.open(disk.path / "db", **SMALL) as db:
        error = ledger.write_until_error(db, _FILL_SECONDS)
        assert isinstance(error, NoSpaceError), repr(error)
        retries = db._parts.maintenance._flushes.retries
        until(lambda: retries.failures >= 7, 30.0, "seven attempts have failed")
        disk.resize(_MORE_BYTES)
        found = _time_to_resume(db, ledger)
        ledger.check(db)
    return found


def stopped_by_a_full_disk(directory: Path, background: str) -> dict[str, float]:
    """Memtables wait that no disk space is left for, and the log has room: a write must not wait with them."""
    logging.getLogger("lsmproc").propagate = False
    disk = Tmpfs(directory / background, 16 << 20)
    ballast = Ballast(disk.path / "ballast")
    ledger = Ledger(2)
    settings = SMALL | {"background": background, "max_immutable_memtables": 1}
    with lsmproc.open(disk.path / "db", **settings) as db:
        for _ in range(100):
            ledger.write(db)
        db.wait_idle(20)
        until(lambda: background == "inline" or db._parts.log._spare is not None, 10.0, "the next segment is there")
        # Enough for the log to go on in a new segment, and not for the table of a memtable.
        ballast.take(_free_bytes(disk.path) - SMALL["memtable_max_bytes"] // 2)
        began = time.monotonic()
        error = ledger.write_until_error(db, _FILL_SECONDS)
        fill_seconds = time.monotonic() - began
        assert isinstance(error, NoSpaceError), repr(error)
        assert "flush" in str(error), repr(error)
        assert error.filename
        began = time.monotonic()
        again = ledger.write_until_error(db, 2.0)
        assert isinstance(again, NoSpaceError), repr(again)
        ledger.check(db)
        found = {"first error seconds": fill_seconds, "next error seconds": time.monotonic() - began}
        ballast.release()
        return found | _time_to_resume(db, ledger)


def manifest_full(directory: Path, manifest: str) -> dict[str, int]:
    """The disk becomes full between a finished table and its line in the manifest."""
    logging.getLogger("lsmproc").propagate = False
    disk = Tmpfs(directory / manifest, 8 << 20)
    ballast = Ballast(disk.path / "ballast")
    path = disk.path / "db"
    settings = SMALL | {"manifest": manifest, "background": "inline"}
    ledger = Ledger(3, keys=500, value_bytes=300)
    refused = 0
    with lsmproc.open(path, **settings) as db:
        tree = db._parts.tree
        change = tree.change

        def change_on_a_full_disk(*arguments: Any) -> None:
            ballast.take_all()
            change(*arguments)
            ballast.release()

        setattr(tree, "change", change_on_a_full_disk)  # noqa: B010 - to mypy it is a method
        flushes = 0
        while not refused:
            for _ in range(5):
                ledger.write(db)
            try:
                db.flush_memtable(timeout=5)
            except (NoSpaceError, TimeoutError):
                maintenance = db._parts.maintenance
                refused = maintenance._flushes.retries.failures + maintenance._compactions.retries.failures
                assert refused
            flushes += 1
            assert flushes < 2000, "the manifest always found room"
        ledger.check(db)
        # Another process that opened the store now would find the same.
        copy = directory / "copy"
        shutil.copytree(path, copy)
        with lsmproc.open(copy, **settings) as second:
            ledger.check(second)
        ballast.release()
        setattr(tree, "change", change)  # noqa: B010
        for _ in range(20):
            ledger.write(db)
        until(lambda: _flushed(db), _RESUME_SECONDS, "flushes go on")
        db.wait_idle(10)
        ledger.check(db)
        assert [] == files_without_owner(path, db)
    _check_works(path, ledger, settings)
    return {"flushes": flushes, "refused": refused}


def _flushed(db: lsmproc.LSMStore) -> bool:
    try:
        db.flush_memtable(timeout=1)
    except (NoSpaceError, TimeoutError):
        return False
    return True


def _try_to_delete(db: lsmproc.LSMStore, ledger: Ledger) -> None:
    """A deletion takes space as well: it works as a whole or raises."""
    for key in sorted(ledger.records)[:3]:
        try:
            db.delete(key)
        except NoSpaceError:
            continue
        ledger.note({key: None})


def _time_to_resume(db: lsmproc.LSMStore, ledger: Ledger) -> dict[str, float]:
    """How long writes and background work take to go on, without any help."""
    began = time.monotonic()

    def written() -> bool:
        try:
            ledger.write(db)
        except NoSpaceError:
            return False
        return True

    put_seconds = until(written, _RESUME_SECONDS, "writes go on")
    parts = db._parts
    if db.config.background == "inline":
        db.wait_idle(_RESUME_SECONDS)
    until(lambda: not parts.write_path.view.immutables, _RESUME_SECONDS, f"flushes go on: {db.stats()}")
    until(lambda: not parts.maintenance._compactions.retries.failures, _RESUME_SECONDS, "compactions go on")
    seconds = time.monotonic() - began
    assert seconds < _RESUME_SECONDS
    return {"put seconds": put_seconds, "background seconds": seconds}


def _reopen_while_full(path: Path, ledger: Ledger, settings: dict[str, Any]) -> None:
    """Reading needs no space; an owner may be refused, with the error that says why."""
    with lsmproc.open(path, **settings, read_only=True) as db:
        ledger.check(db)
    try:
        with lsmproc.open(path, **settings) as db:
            ledger.check(db)
    except NoSpaceError as error:
        assert error.filename
    with lsmproc.open(path, **settings, read_only=True) as db:
        ledger.check(db)


def _check_works(path: Path, ledger: Ledger, settings: dict[str, Any]) -> None:
    """The store opens with everything in it, works, and leaves no file that it does not name."""
    with lsmproc.open(path, **settings) as db:
        ledger.check(db)
        for _ in range(100):
            ledger.write(db)
        db.flush_memtable(timeout=20)
        db.wait_idle(20)
        ledger.check(db)
        assert [] == files_without_owner(path, db)
    with lsmproc.open(path, **settings) as db:
        ledger.check(db)
        assert [] == files_without_owner(path, db)


def _free_bytes(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize
