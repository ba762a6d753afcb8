"""Everything that a store tells of while it is open: one frozen dataclass for each kind of event.

Events go to the callbacks of ``LSMStore.subscribe``, into the file LOG, one JSON line each, and the newest into STATUS.
Fields are plain data; names of kinds and fields only grow: none is renamed and none goes. Sizes are bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from functools import cache

from lsmproc.formats.event_lines import time_text


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOpened:
    """The store is open and was recovered; the first event."""

    time_ns: int = 0  # wall clock, nanoseconds since 1970; of every event
    path: str
    pid: int
    sequence: int
    tables: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreClosed:
    """The store was closed in order; the last event."""

    time_ns: int = 0
    path: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushBegun:
    """A memtable was handed to the flush workers."""

    time_ns: int = 0
    job: int  # numbers of jobs begin anew with each opening of the store
    segments: tuple[int, ...]  # numbers of the log segments that are read
    bytes: int  # of these segments
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushFinished:
    """The table of a memtable is part of the store."""

    time_ns: int = 0
    job: int
    tables: tuple[int, ...]  # file numbers; none if the memtable was empty
    records: int
    raw_bytes: int  # of keys and values
    bytes: int  # of the table
    seconds: float
    cpu_seconds: float
    worker_pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionBegun:
    """Tables were handed to the compaction workers."""

    time_ns: int = 0
    job: int  # of the first part
    parts: int  # key ranges that are merged side by side
    input_levels: tuple[int, ...]
    output_level: int
    inputs: tuple[int, ...]  # file numbers
    bytes: int
    reason: str
    manual: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionFinished:
    """The merged tables have taken the place of the inputs."""

    time_ns: int = 0
    job: int
    input_levels: tuple[int, ...]
    output_level: int
    inputs: tuple[int, ...]
    tables: tuple[int, ...]
    records_read: int
    records_written: int
    bytes_read: int
    bytes_written: int
    seconds: float  # of all workers together
    cpu_seconds: float
    worker_pids: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesMoved:
    """Tables changed their level without being read."""

    time_ns: int = 0
    output_level: int
    tables: tuple[int, ...]
    bytes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailing:
    """An attempt at a flush or a compaction failed. It is made again, unless BackgroundFailed follows."""

    time_ns: int = 0
    kind: str  # "flush" or "compaction"
    error: str  # class name
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StallChanged:
    """Writes are slowed down, stopped or free again, or stalled by another backlog."""

    time_ns: int = 0
    before: str  # "normal", "slowdown" or "stop"
    after: str
    reason: str  # which backlog; "none" when writes are free
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarted:
    """A worker process of the store's Env is ready."""

    time_ns: int = 0
    worker: str  # "flush-1", "compaction-2"
    pid: int
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerDied:
    """A worker process of the store's Env has ended without being asked to. Its job, if it had one, is run again."""

    time_ns: int = 0
    worker: str
    pid: int
    job: str  # in words, or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundFailed:
    """Background work has ended for good: writes raise from now on, reads go on."""

    time_ns: int = 0
    error: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptionFound:
    """Bytes on disk are not what was written there. Told once for each place, however often it is read."""

    time_ns: int = 0
    file: str | None
    offset: int | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCreated:
    """A table has become part of the store."""

    time_ns: int = 0
    number: int
    level: int
    bytes: int
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDeleted:
    """A table that no reader needs any more was removed from the disk."""

    time_ns: int = 0
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionsChanged:
    """Settings were changed while the store is open."""

    time_ns: int = 0
    before: dict[str, object] = field(default_factory=dict)  # of the settings that changed
    after: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsDropped:
    """In the place of events that were lost: the receiver was too slow, or LOG could not be written."""

    time_ns: int = 0
    count: int


Event = (
    StoreOpened
    | StoreClosed
    | FlushBegun
    | FlushFinished
    | CompactionBegun
    | CompactionFinished
    | TablesMoved
    | JobFailing
    | StallChanged
    | WorkerStarted
    | WorkerDied
    | BackgroundFailed
    | CorruptionFound
    | TableCreated
    | TableDeleted
    | OptionsChanged
    | EventsDropped
)


def event_name(event: Event) -> str:
    """The name of its kind in LOG: ``flush_finished`` for a FlushFinished."""
    return _name_of(type(event).__name__)


def to_json_dict(event: Event) -> dict[str, object]:
    """An event as LOG and STATUS hold it: ``time`` as text, ``event`` as the name of its kind, then its fields."""
    tree: dict[str, object] = {"time": time_text(event.time_ns), "event": event_name(event)}
    for each in fields(event):
        if each.name != "time_ns":
            value = getattr(event, each.name)
            if isinstance(value, tuple):
                value = list(value)
            tree[each.name] = round(value, 6) if isinstance(value, float) else value
    return tree


@cache
def _name_of(class_name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


def ignore(event: Event) -> None:
    """Publish to nobody."""
    del event
