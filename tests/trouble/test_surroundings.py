"""Surroundings that a store does not choose: closed streams, clocks that jump, a LOCK that names somebody else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random

import pytest

import lsmproc
from lsmproc.errors import CorruptionError, LockedError
from lsmproc.storage.file_system import PosixFileSystem
from tests.tally import Tally
from tests.trouble.ledger import SMALL, Ledger
from tests.trouble.scenario_process import run_scenario

DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize("background", ["process", "inline"])
def test_a_program_with_closed_streams_has_no_store_file_there(tmp_path: Path, background: str, tally: Tally) -> None:
    """A stray print would otherwise land in a table."""
    assert [] == run_scenario("surroundings.closed_streams", tmp_path, background)
    tally.add("programs without standard streams")


class JumpingClock(PosixFileSystem):
    """The real disk, and a wall clock that is a number of nanoseconds off."""

    offset_ns = 0

    def now_ns(self) -> int:  # type: ignore[override]
        return 1_700_000_000 * 10**9 + type(self).offset_ns


@pytest.mark.parametrize("retention", [0, 3600])
def test_a_clock_that_jumps_changes_no_order(
    tmp_path: Path, retention: int, monkeypatch: pytest.MonkeyPatch, full: bool, tally: Tally
) -> None:
    """Back and forth by a day, while the store is open and between two openings: the later write wins."""
    random = Random(52)
    ledger = Ledger(52, keys=300, value_bytes=400)
    settings = SMALL | {"tombstone_retention_seconds": retention}
    newest = 0
    jumps = 40 if full else 8
    for _ in range(jumps):
        with lsmproc.Env(background="inline", open_file_system=JumpingClock) as env:
            with lsmproc.open(tmp_path / "db", env=env, **settings) as db:
                ledger.check(db)
                for _ in range(4):
                    monkeypatch.setattr(JumpingClock, "offset_ns", random.randrange(-DAY_NS, DAY_NS))
                    for _ in range(100):
                        ledger.write(db)
                    entry = max(e.sequence for key in ledger.records if (e := db.get_with_meta(key)) is not None)
                    assert newest < entry
                    newest = entry
                db.flush_memtable()
                ledger.check(db)
    tally.add("jumps of the clock", jumps * 4)


def test_a_lock_file_that_names_a_living_process_locks_nobody_out(tmp_path: Path) -> None:
    """Process numbers are used again, and 1 lives always: only the kernel's lock counts, and nobody is signalled."""
    lsmproc.open(tmp_path, background="inline").close()
    for pid in (1, os.getpid(), os.getppid()):
        (tmp_path / "LOCK").write_text(json.dumps({"pid": pid, "host": "h", "command": "init", "since": "ever"}))
        with lsmproc.open(tmp_path, background="inline") as db:
            db.put(b"key", b"value")
            (tmp_path / "LOCK").write_text(json.dumps({"pid": pid, "host": "h", "command": "init", "since": "ever"}))
            with pytest.raises(LockedError) as caught:
                lsmproc.open(tmp_path, background="inline")
            assert f"pid {os.getpid()}" in caught.value.owner
            assert b"value" == db.get(b"key")


def test_a_table_cut_short_under_its_reader_raises_for_the_missing_blocks_only(tmp_path: Path, tally: Tally) -> None:
    """Another program truncates an open table: an error with file and place, never SIGBUS and never a wrong value."""
    settings = SMALL | {"memtable_max_bytes": 4 << 20, "block_cache_bytes": 0}
    cuts = 0
    for tenth in range(1, 10):
        ledger = Ledger(53 + tenth, keys=1000)
        path = tmp_path / str(tenth)
        with lsmproc.open(path, background="inline", **settings) as db, db.background_paused():
            for _ in range(800):
                ledger.write(db)
            db.flush_memtable()
            ledger.check(db)
            (file,) = db.live_files()
            os.truncate(path / file.name, file.size * tenth // 10)
            served = 0
            for key in ledger.keys:
                try:
                    assert ledger.records.get(key) == db.get(key)
                    served += 1
                except CorruptionError as error:
                    assert file.name == error.file
                    assert error.offset is not None
            assert 0 < served < len(ledger.keys)
            with pytest.raises(CorruptionError):
                list(db.range())
            db.put(b"key 0", b"new")
            assert b"new" == db.get(b"key 0")
            cuts += 1
    tally.add("tables cut short under a reader", cuts)
