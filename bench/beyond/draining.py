"""Experiment: how long a number of compaction processes takes for a backlog."""

from __future__ import annotations

import time
from pathlib import Path

import lsmproc
from lsmproc.bench.beyond.experiment import IDLE_SECONDS, Answer, store_options
from lsmproc.bench.process_tree import cpu_seconds
from lsmproc.bench.settings import Settings


def drain(settings: Settings, directory: str, *, workers: int) -> Answer:
    """Open the store and wait until nothing is left to compact. The processes are started before the clock."""
    options = store_options(settings) | {"compaction_workers": workers, "create_if_missing": False}
    with lsmproc.open(directory, **options) as db:
        with db.background_paused():
            _start_workers(db)
            before, started = cpu_seconds(), time.perf_counter()
        db.wait_idle(IDLE_SECONDS)
        seconds = time.perf_counter() - started
        stats = db.stats()
        files = db.live_files()
        busy = sum(level.seconds for level in stats.levels)
        read = sum(level.bytes_from_above + level.bytes_from_level for level in stats.levels)
        size = sum(file.size for file in files)
        records = read * sum(file.entries for file in files) / size if size else 0.0
        return {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds() - before,
            "busy_seconds": busy,
            "merged_records": round(records),
            "compactions": sum(level.compactions for level in stats.levels),
            "load": float(Path("/proc/loadavg").read_text().split()[0]) if Path("/proc/loadavg").exists() else None,
        }


def _start_workers(db: lsmproc.LSMStore) -> None:
    """Have a job done, so that the processes are there."""
    db.put(b"\x00", b"")
    db.flush_memtable(timeout=IDLE_SECONDS)
