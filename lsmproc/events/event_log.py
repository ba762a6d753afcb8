"""Writes events into the file LOG: appended, rotated by size, never synced, never in anybody's way.

A line that cannot be written is lost, and counted in a line that can be: a full or broken disk harms the log only. The
file is opened for each batch of lines, so no descriptor is kept, and whoever moves it away is given a new one. A line
that a kill has torn is ended by the next batch.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from lsmproc.events.event import Event, EventsDropped, to_json_dict
from lsmproc.formats.event_lines import encode_event_line
from lsmproc.formats.file_names import EVENT_LOG, MAX_OLD_EVENT_LOGS, old_event_log_name
from lsmproc.storage.file_system import CREATE_NEW, READ_WRITE, FileSystem

_log = logging.getLogger("lsmproc.events")

_RETRY_SECONDS = 5.0  # after a failure; a disk that is full stays so for a while


class EventLog:
    """The LOG of one store. Thread-safe."""

    def __init__(
        self, fs: FileSystem, max_bytes: int, old_files: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin a new file above ``max_bytes`` and keep so many old ones. Opens nothing yet."""
        self._fs = fs
        self._max_bytes = max_bytes
        self._old_files = old_files
        self._clock = clock
        self._lock = threading.Lock()
        self._may_be_torn = True  # another process wrote the end of the file, or a write failed
        self._lost = 0
        self._failing = False
        self._retry_at = 0.0

    def write(self, events: Iterable[Event]) -> None:
        """Append the events. What the disk refuses is counted as lost; nothing is raised for it."""
        with self._lock:
            lines = [encode_event_line(to_json_dict(event)) for event in events]
            if not lines:
                return
            if self._failing and self._clock() < self._retry_at:
                self._lost += len(lines)
                return
            before = self._lost_line()
            try:
                self._append(before + b"".join(lines))
            except OSError as error:
                self._may_be_torn = True
                self._lost += len(lines)
                self._retry_at = self._clock() + _RETRY_SECONDS
                if not self._failing:
                    _log.warning("%s: events cannot be written to %s: %s", self._fs.path, EVENT_LOG, error)
                self._failing = True
            else:
                self._lost, self._failing = 0, False

    def _lost_line(self) -> bytes:
        if not self._lost:
            return b""
        return encode_event_line(to_json_dict(EventsDropped(time_ns=self._fs.now_ns(), count=self._lost)))

    def _append(self, data: bytes) -> None:
        fd = self._open()
        try:
            end = self._fs.size(fd)
            if end and end + len(data) > self._max_bytes:
                self._fs.close(fd)
                fd = -1
                self._rotate()
                fd = self._open()
                end = self._fs.size(fd)
            elif end and self._may_be_torn and self._fs.pread(fd, 1, end - 1) != b"\n":
                data = b"\n" + data
            self._fs.write_all(fd, data, end)
            self._may_be_torn = False
        finally:
            if fd >= 0:
                self._fs.close(fd)

    def _open(self) -> int:
        try:
            return self._fs.open(EVENT_LOG, READ_WRITE)
        except FileNotFoundError:
            return self._fs.open(EVENT_LOG, CREATE_NEW)

    def _rotate(self) -> None:
        """LOG becomes LOG.old.1, and each old one a rotation older; what is too old goes."""
        there = set(self._fs.list_directory())
        for age in range(MAX_OLD_EVENT_LOGS, 0, -1):
            name = old_event_log_name(age)
            if name not in there:
                continue
            if age >= self._old_files:
                self._fs.unlink(name)
            else:
                self._fs.rename(name, old_event_log_name(age + 1))
        if self._old_files:
            self._fs.rename(EVENT_LOG, old_event_log_name(1))
        else:
            self._fs.unlink(EVENT_LOG)
