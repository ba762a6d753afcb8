"""Reads the file LOG and the old ones, also while the store is open and its owner writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lsmproc.formats.event_lines import MAX_LINE_BYTES, decode_event_lines
from lsmproc.formats.file_names import EVENT_LOG, MAX_OLD_EVENT_LOGS, old_event_log_name
from lsmproc.storage.file_system import READ, FileSystem

_PIECE_BYTES = 1 << 20


def read_all_events(fs: FileSystem) -> Iterator[dict[str, Any]]:
    """All events that LOG and the old logs hold, oldest first; lines that cannot be read are left out.

    Raises StorageError. A rotation meanwhile may repeat a file or leave one out.
    """
    there = set(fs.list_directory())
    names = [old_event_log_name(age) for age in range(MAX_OLD_EVENT_LOGS, 0, -1)] + [EVENT_LOG]
    for name in names:
        if name in there:
            yield from _events_of(fs, name)


def read_last_events(fs: FileSystem, count: int) -> list[dict[str, Any]]:
    """The newest events in LOG, oldest first; none if there is no LOG. Raises StorageError."""
    try:
        fd = fs.open(EVENT_LOG, READ)
    except FileNotFoundError:
        return []
    try:
        size = fs.size(fd)
        start = max(0, size - MAX_LINE_BYTES)
        # What the cut leaves of the first line is skipped as any torn line.
        return decode_event_lines(fs.pread(fd, MAX_LINE_BYTES, start))[0][-count:]
    finally:
        fs.close(fd)


def _events_of(fs: FileSystem, name: str) -> Iterator[dict[str, Any]]:
    try:
        fd = fs.open(name, READ)
    except FileNotFoundError:
        return
    try:
        offset, rest = 0, b""
        while piece := fs.pread(fd, _PIECE_BYTES, offset):
            offset += len(piece)
            lines, newline, rest = (rest + piece).rpartition(b"\n")
            yield from decode_event_lines(lines + newline)[0]
            rest = rest[: MAX_LINE_BYTES + 1]  # Of a line that is too long, enough to be refused.
        yield from decode_event_lines(rest)[0]
    finally:
        fs.close(fd)
