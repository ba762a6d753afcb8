"""Scenarios of processes with limits: on the size of files, on descriptors, on memory."""

from __future__ import annotations

import errno
import logging
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import psutil

import lsmproc
from lsmproc.errors import Error, StorageError
from tests.trouble.ledger import SMALL, Ledger, files_without_owner, until


def file_size(directory: Path, background: str) -> dict[str, int]:
    """No file may grow beyond a limit that lies in the middle of the log; later it may."""
    logging.getLogger("lsmproc").propagate = False
    settings = {"memtable_max_bytes": 1 << 20, "background": background}
    ledger = Ledger(4)
    path = directory / "db"
    with lsmproc.open(path, **settings) as db:
        for _ in range(50):
            ledger.write(db)
        limit = db._parts.log.current.end + 100_001  # in the middle of a frame: a write that is cut short
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        for _ in range(5):
            error = ledger.write_until_error(db, 20.0)
            assert isinstance(error, StorageError), repr(error)
            assert (errno.EFBIG, ".wal") == (error.errno, str(error.filename)[-4:]), repr(error)
        ledger.check(db)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        ledger.write(db)
        ledger.check(db)
    with lsmproc.open(path, **settings) as db:
        ledger.check(db)
    return {"writes": ledger.writes}


def file_size_in_a_worker(directory: Path) -> dict[str, float]:
    """The same limit in the workers only: the flush fails and is tried again until it may."""
    logging.getLogger("lsmproc").propagate = False
    ledger = Ledger(5)
    path = directory / "db"
    with lsmproc.open(path, memtable_max_bytes=1 << 20) as db:
        _start_workers(db)
        for pid in _worker_pids(db):
            psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (50_001, psutil.RLIM_INFINITY))
        for _ in range(300):
            ledger.write(db)
        try:
            db.flush_memtable(timeout=20)
        except Error as error:
            assert "File too large" in str(error), repr(error)
            assert ".sst" in str(error), repr(error)
        else:
            raise AssertionError("a table was flushed beyond the limit")
        ledger.check(db)
        assert [] == list((path / "tmp").glob("*.sst"))
        for pid in _worker_pids(db):
            psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        seconds = until(lambda: not db._parts.write_path.view.immutables, 5.0, "the flush is tried again")
        db.wait_idle(10)
        ledger.check(db)
        assert [] == files_without_owner(path, db)
    return {"seconds": seconds}


def descriptors(directory: Path, limit: int, max_open_files: int | None, writes: int) -> dict[str, int]:
    """A service that may open few files, with a store of many tables."""
    logging.getLogger("lsmproc").propagate = False
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    settings: dict[str, Any] = SMALL | {
        "memtable_max_bytes": 16 << 10,
        "level0_slowdown_writes_trigger": 1000,
        "level0_stop_writes_trigger": 2000,
        "max_open_files": max_open_files,
    }
    ledger = Ledger(6, keys=20_000, value_bytes=1000)
    random = Random(7)
    path = directory / "db"
    highest = 0
    with lsmproc.open(path, **settings) as db:
        with db.background_paused():
            for number in range(writes):
                ledger.write(db)
                if not number % 4:
                    key = random.choice(ledger.keys)
                    assert ledger.records.get(key) == db.get(key)
                    highest = max(highest, len(os.listdir("/proc/self/fd")))
            db.flush_memtable(timeout=20)
            tables = len(db.live_files())
        # A merge of all of them, in a worker with the same limit.
        db.wait_idle(60)
        ledger.check(db)
        failures = db.stats().failed_jobs
    with lsmproc.open(path, **settings) as db:
        with _no_descriptor_left():
            errors = _without_descriptors(db, ledger, random)
        ledger.check(db)
        for _ in range(200):
            ledger.write(db)
        until(lambda: _flushed(db), 10.0, "flushes go on")
        db.wait_idle(60)
        ledger.check(db)
    return {"tables": tables, "highest": highest, "failures": failures, "errors": errors}


def _without_descriptors(db: lsmproc.LSMStore, ledger: Ledger, random: Random) -> int:
    """Reads of tables that are not open raise, naming the file; reads of others, and writes, go on."""
    errors = 0
    for key in random.sample(ledger.keys, 300):
        try:
            assert ledger.records.get(key) == db.get(key)
        except StorageError as error:
            assert (errno.EMFILE, ".sst") == (error.errno, str(error.filename)[-4:]), repr(error)
            errors += 1
    for _ in range(20):
        ledger.write(db)
    return errors


@contextmanager
def _no_descriptor_left() -> Iterator[None]:
    taken = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    try:
        yield
    finally:
        for fd in taken:
            os.close(fd)


def _flushed(db: lsmproc.LSMStore) -> bool:
    try:
        db.flush_memtable(timeout=5)
    except Error:
        return False
    return True


def memory_in_a_worker(directory: Path) -> dict[str, Any]:
    """A worker that gets no more memory fails its job, and the job is run again."""
    logging.getLogger("lsmproc").propagate = False
    ledger = Ledger(8)
    path = directory / "db"
    with lsmproc.open(path, memtable_max_bytes=16 << 20) as db:
        _start_workers(db)
        before = _worker_pids(db)
        for pid in before:
            process = psutil.Process(pid)
            process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + (2 << 20), psutil.RLIM_INFINITY))
        for _ in range(6000):
            ledger.write(db)
        failed = ""
        try:
            db.flush_memtable(timeout=30)
        except Error as error:
            failed = str(error)
        began = time.monotonic()
        for pid in _worker_pids(db):
            psutil.Process(pid).rlimit(psutil.RLIMIT_AS, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        ledger.write(db)
        until(lambda: not db._parts.write_path.view.immutables, 10.0, "the flush is tried again")
        seconds = time.monotonic() - began
        ledger.check(db)
        db.wait_idle(20)
        assert [] == files_without_owner(path, db)
        restarts = sum(report.restarts for report in db.env.background.worker_reports())
    return {"failed": failed, "seconds": seconds, "restarts": restarts}


def _start_workers(db: lsmproc.LSMStore) -> None:
    db.put(b"first", b"")
    db.flush_memtable(timeout=20)
    db.delete(b"first")
    db.flush_memtable(timeout=20)
    db.compact_range(timeout=20)


def _worker_pids(db: lsmproc.LSMStore) -> list[int]:
    return [report.pid for report in db.env.background.worker_reports() if report.pid is not None]
