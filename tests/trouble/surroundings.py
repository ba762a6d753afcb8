"""Scenarios of programs with unusual surroundings: closed standard streams, a LOCK file that names another process."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import lsmproc
from tests.trouble.ledger import SMALL, Ledger, files_without_owner

_MOVING_SECONDS = 2.0


def closed_streams(directory: Path, background: str) -> list[str]:
    """A daemon that closed 0, 1 and 2: whatever it opens, no file of the store is one of them."""
    kept = os.dup(1)
    for fd in (0, 1, 2):
        os.close(fd)
    seen: set[str] = set()
    ledger = Ledger(51)
    path = directory / "db"
    with lsmproc.open(path, **SMALL, background=background) as db:
        for _ in range(800):
            ledger.write(db)
            seen.update(_staying_low_descriptors())
            if ledger.writes == 400:
                with contextlib.suppress(OSError):
                    os.write(1, b"a stray line of the host program")
        db.flush_memtable(timeout=20)
        db.compact_range(timeout=20)
        db.wait_idle(20)
        seen.update(_staying_low_descriptors())
        ledger.check(db)
        assert [] == files_without_owner(path, db)
    with lsmproc.open(path, **SMALL, background=background) as db:
        ledger.check(db)
    for fd in (0, 1, 2):
        os.dup2(kept, fd)
    return sorted(name for name in seen if str(directory) in name)


def _staying_low_descriptors() -> set[str]:
    """Those that stay: another thread's file may be on its way from there at this moment, and that thread be slow."""
    found = set(_low_descriptors())
    deadline = time.monotonic() + _MOVING_SECONDS
    while found and time.monotonic() < deadline:
        found &= set(_low_descriptors())
    return found


def _low_descriptors() -> list[str]:
    found = []
    for fd in (0, 1, 2):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        # A directory may pass by there, for the time of a sync: nothing can be written to it.
        if not os.path.isdir(target):
            found.append(target)
    return found
