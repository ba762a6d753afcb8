"""The lines of the file LOG: one JSON object for each event, in UTF-8, ended by a newline.

::

    {"time":"2026-01-31T12:00:00.123Z","event":"flush_finished","job":7,"tables":[13], ... }

``time`` is UTC with milliseconds, ``event`` the kind; the other fields are those of the kind. A process that is killed
may leave a line without its end. Whatever cannot be read is counted and skipped: the lines around it count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

MAX_LINE_BYTES = 64 << 10
_MAX_TEXT_CHARACTERS = 4096  # of one field; messages with a traceback are longer


def encode_event_line(fields: Mapping[str, object]) -> bytes:
    """One event as a line. Long texts are cut; whatever is no plain data is written as text."""
    line = _line(fields)
    if len(line) > MAX_LINE_BYTES:
        line = _line({key: fields.get(key) for key in ("time", "event")} | {"cut": True})
    return line


def decode_event_lines(data: bytes) -> tuple[list[dict[str, object]], int]:
    """The events in ``data``, and how many lines could not be read; a torn last line is one of these."""
    events: list[dict[str, object]] = []
    unreadable = 0
    for line in data.split(b"\n"):
        if not line:
            continue
        event = _decoded(line)
        if event is None:
            unreadable += 1
        else:
            events.append(event)
    return events, unreadable


def time_text(time_ns: int) -> str:
    """A wall clock time as UTC text with milliseconds."""
    whole = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}Z"


def _line(fields: Mapping[str, object]) -> bytes:
    cut = {key: value[:_MAX_TEXT_CHARACTERS] if isinstance(value, str) else value for key, value in fields.items()}
    return json.dumps(cut, separators=(",", ":"), default=str).encode() + b"\n"


def _decoded(line: bytes) -> dict[str, object] | None:
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if type(event) is dict and type(event.get("time")) is str and type(event.get("event")) is str:
        return event
    return None
