"""Scenarios of disks and directories that take no more writes while a store is open."""

from __future__ import annotations

import errno
import logging
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import lsmproc
from lsmproc.errors import Error, StorageError
from tests.trouble.ledger import SMALL, Ledger, files_without_owner, until
from tests.trouble.private_mounts import Ext4Image

_IMAGE_BYTES = 32 << 20


def turns_read_only(directory: Path, background: str) -> list[str]:
    """The kernel makes the file system read-only under the open store, as it does when a disk turns out bad."""
    logging.getLogger("lsmproc").propagate = False
    disk = Ext4Image(directory / "disk", directory / "image", _IMAGE_BYTES)
    path = disk.path / "db"
    settings = SMALL | {"background": background}
    ledger = Ledger(11)
    with ExitStack() as stack:
        db = lsmproc.open(path, **settings)
        stack.callback(_close_whatever_it_says, db)
        for _ in range(500):
            ledger.write(db)
        db.sync()
        db.wait_idle(20)
        disk.make_read_only()
        errors = [ledger.write_until_error(db, 10.0) for _ in range(20)]
        for error in errors:
            assert isinstance(error, StorageError), repr(error)
            assert error.errno in {errno.EROFS, errno.EIO}, repr(error)
            assert error.filename, repr(error)
        for call in (lambda: db.put(b"key", b"value", sync=True), lambda: db.flush_memtable(timeout=5)):
            _raises_storage_error(call)
        # Nothing was written after the sync that succeeded, so nothing is unknown.
        ledger.check(db)
    error = _raises_storage_error(lambda: lsmproc.open(path, **settings))
    assert error.filename
    with lsmproc.open(path, **settings, read_only=True) as db:
        ledger.check(db)
    disk.mount_again()
    with lsmproc.open(path, **settings) as db:
        ledger.check(db)
        for _ in range(500):
            ledger.write(db)
        db.flush_memtable(timeout=20)
        db.wait_idle(20)
        ledger.check(db)
        assert [] == files_without_owner(path, db)
    return sorted({type(error).__name__ for error in errors})


def directory_is_immutable(directory: Path) -> dict[str, float]:
    """No file can be made or renamed in the store's directory for a while; those that are open can be written."""
    logging.getLogger("lsmproc").propagate = False
    disk = Ext4Image(directory / "disk", directory / "image", _IMAGE_BYTES)
    path = disk.path / "db"
    ledger = Ledger(12)
    with lsmproc.open(path, **SMALL) as db:
        for _ in range(500):
            ledger.write(db)
        db.wait_idle(20)
        _run("chattr", "+i", str(path))
        try:
            _writes_or_raises(db, ledger, 300)
            error = _raises_storage_error(lambda: db.flush_memtable(timeout=10))
            assert errno.EPERM == error.errno, repr(error)
            ledger.check(db)
        finally:
            _run("chattr", "-i", str(path))
        ledger.write(db)
        db.flush_memtable(wait=False)
        seconds = until(lambda: not db._parts.write_path.view.immutables, 5.0, "flushes go on")
        db.wait_idle(20)
        ledger.check(db)
        # Tables that became obsolete meanwhile could not be removed, and wait for the next open.
        left = [name for name in files_without_owner(path, db) if name.startswith("tmp")]
        assert [] == left, left
    with lsmproc.open(path, **SMALL) as db:
        ledger.check(db)
        assert [] == files_without_owner(path, db)
    return {"seconds": seconds}


def outputs_are_refused(directory: Path) -> dict[str, float]:
    """Jobs cannot make their outputs for a while: writes go on until memory is full of memtables, then raise."""
    logging.getLogger("lsmproc").propagate = False
    disk = Ext4Image(directory / "disk", directory / "image", _IMAGE_BYTES)
    path = disk.path / "db"
    ledger = Ledger(13)
    with lsmproc.open(path, **SMALL) as db:
        for _ in range(200):
            ledger.write(db)
        db.wait_idle(20)
        _run("chattr", "+i", str(path / "tmp"))
        try:
            error = ledger.write_until_error(db, 20.0)
            assert "Operation not permitted" in str(error), repr(error)
            assert ".sst" in str(error), repr(error)
            ledger.check(db)
        finally:
            _run("chattr", "-i", str(path / "tmp"))
        seconds = until(lambda: not db._parts.write_path.view.immutables, 5.0, "flushes go on")
        ledger.write(db)
        db.wait_idle(20)
        ledger.check(db)
        assert [] == files_without_owner(path, db)
    return {"seconds": seconds}


def _close_whatever_it_says(db: lsmproc.LSMStore) -> None:
    """To close is to sync what was not synced, which may fail here; the store is closed all the same."""
    try:
        db.close()
    except StorageError as error:
        assert error.filename, repr(error)
    assert db.closed


def _raises_storage_error(call: Callable[[], object]) -> StorageError:
    try:
        call()
    except StorageError as error:
        assert error.filename, repr(error)
        return error
    raise AssertionError("no error")


def _writes_or_raises(db: lsmproc.LSMStore, ledger: Ledger, count: int) -> None:
    for _ in range(count):
        try:
            ledger.write(db)
        except Error as error:
            assert isinstance(error, StorageError), repr(error)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=10)
