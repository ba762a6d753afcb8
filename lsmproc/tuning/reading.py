"""Reads the History of a store from its files, without its lock: STATUS, LOG, and the machine it runs on."""

from __future__ import annotations

import os
from typing import Any

from lsmproc.config import LSMConfig
from lsmproc.monitoring.store_status import read_events, read_status
from lsmproc.storage.memory_limit import memory_limit
from lsmproc.tuning.history import History, event_time, events_to_judge, number, settings_changed

_NOT_READ = frozenset({"table_created", "table_deleted", "tables_moved", "flush_begun", "compaction_begun"})


def read_history(path: str | os.PathLike[str], config: LSMConfig, *, window_seconds: float = 600.0) -> History:
    """What the store in ``path``, which works with ``config``, has done in its last ``window_seconds`` of work.

    Writes nothing; the store may be open elsewhere. Raises NotAStoreError, StorageError.
    """
    status = read_status(path)
    events = _events_of_last_opening(path)
    newest = event_time(events[-1]) if events else 0.0
    opened = max((event_time(event) for event in events if event.get("event") == "store_opened"), default=0.0)
    written = number(status.page, "written_ns") / 1e9
    end = max(newest, written)
    kept, span = events_to_judge(events, end, window_seconds)
    return History(
        config=config,
        # A page from before the last opening tells of an owner with other settings, perhaps.
        stats=status.stats if written >= opened else {},
        events=kept,
        end=end,
        span_seconds=span,
        changed=settings_changed(events),
        cpus=_cpus(),
        memory_bytes=_memory_bytes(),
    )


def _events_of_last_opening(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """With full logs there may be a hundred thousand; those that no rule reads are left out."""
    events: list[dict[str, Any]] = []
    for event in read_events(path):
        if event["event"] == "store_opened":
            events.clear()
        if event["event"] not in _NOT_READ:
            events.append(event)
    return events


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_bytes() -> int | None:
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return memory_limit()
    limit = memory_limit()
    return whole if limit is None else min(whole, limit)
