"""Processes without a job for long leave, and others take their places when there is work again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import lsmproc
from lsmproc.events.event import Event, WorkerStarted
from lsmproc.formats.messages import FlushDone

Eventually = Callable[..., None]


def test_an_idle_process_leaves_and_the_next_job_gets_a_new_one(
    make_runs: Callable[..., Any], stand_in_jobs: ModuleType, eventually: Eventually
) -> None:
    """That is no death: nothing is logged as one, and no restart is counted."""
    runs = make_runs(idle_seconds=0.05)
    events: list[Event] = []
    runs.background.watch(events.append)
    for job in (1, 2):
        assert isinstance(runs.run(stand_in_jobs.flush(job)), FlushDone)
        eventually(lambda: not runs.background.worker_reports())
    assert ["flush-1", "flush-1"] == [event.worker for event in events if isinstance(event, WorkerStarted)]
    assert [0, 0] == [event.restarts for event in events if isinstance(event, WorkerStarted)]
    assert 2 == len(events)


def test_an_idle_store_keeps_no_worker(tmp_path: Path, eventually: Eventually) -> None:
    """It is asked for with ``worker_idle_seconds``; what is written later is flushed as ever."""
    with lsmproc.open(tmp_path, worker_idle_seconds=1) as db:
        for value in (b"1", b"2"):
            db.put(b"key", value)
            db.flush_memtable()
            eventually(lambda: not db.stats().workers)
        assert b"2" == db.get(b"key")
