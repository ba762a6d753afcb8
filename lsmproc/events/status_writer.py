"""Writes the page STATUS of an open store about once a second, for ``lsmproc top`` and other processes to read.

The page is the store's statistics, whatever they hold, with what tells a living owner from a dead one, some rates, and
the newest events. It costs what ``db.stats()`` costs: where that is much, the page is written less often, so that it
never takes more than two thousandths of a core; and while nothing happens in the store, every five seconds is often
enough. The first page comes a second after the opening.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from lsmproc.errors import Error
from lsmproc.events.event import to_json_dict
from lsmproc.events.event_stream import EventStream
from lsmproc.events.rates import rates
from lsmproc.formats.event_lines import time_text
from lsmproc.formats.status_page import encode_status_page
from lsmproc.storage.file_system import FileSystem
from lsmproc.storage.owner_process import this_process
from lsmproc.storage.status_file import read_page, write_page

_log = logging.getLogger("lsmproc.events")

INTERVAL_SECONDS = 1.0
IDLE_SECONDS = 5.0  # between two pages of a store in which nothing happens
_SOONEST_SECONDS = 0.2  # between two pages, however often the stall changes
_LARGEST_SHARE = 0.002  # of one core


class StatusWriter:
    """The STATUS of one store. Thread-safe."""

    def __init__(
        self,
        fs: FileSystem,
        collect: Callable[[], dict[str, object]],
        pulse: Callable[[], object],
        stream: EventStream,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """``collect`` gives the statistics, ``pulse`` something that differs once they do, and costs little.

        Writes nothing before a second has passed.
        """
        self._pulse = pulse
        self._last_pulse: object = None
        self._cpu_clock = cpu_clock
        self._fs = fs
        self._collect = collect
        self._stream = stream
        self._clock = clock
        self._opened = fs.now_ns()
        self._interval = INTERVAL_SECONDS
        self._written_at = clock()
        self._hurry = False
        self._number = -1  # of the last page, once one was written
        self._identity: dict[str, object] = {}
        self._events: list[dict[str, object]] = []
        self._events_published = -1
        self._before: tuple[float, dict[str, Any]] | None = None
        self._last: dict[str, object] | None = None
        self._failing = False
        self._lock = threading.Lock()

    def hurry(self) -> None:
        """Write the next page at the next chance: something has changed that people wait for."""
        self._hurry = True

    def tick(self) -> None:
        """Write a page if one is due."""
        age = self._clock() - self._written_at
        if age < self._interval and not (self._hurry and self._number >= 0 and age >= _SOONEST_SECONDS):
            return
        pulse = (self._pulse(), self._stream.published)
        if pulse == self._last_pulse and age < IDLE_SECONDS:
            return
        with self._lock:
            self._hurry = False
            self._last_pulse = pulse
            self._written_at = self._clock()  # Also if the figures cannot be had: they are asked for in a second again.
            if self._number < 0:
                self._begin()
            began = self._cpu_clock()
            self._write("open", self._fresh())
            self._interval = max(INTERVAL_SECONDS, (self._cpu_clock() - began) / _LARGEST_SHARE)

    def remember(self) -> None:
        """Take the statistics for the last page: the store is about to close, if any page was written."""
        with self._lock:
            if self._number >= 0:
                self._last = self._fresh()

    def finish(self) -> None:
        """Leave word that the store was closed in order, if any page was written. Idempotent."""
        with self._lock:
            if self._last is not None:
                content, self._last = self._last, None
                self._write("closed", content)

    def _fresh(self) -> dict[str, object]:
        """Statistics, rates since the last page, and the newest events."""
        stats: dict[str, Any] = self._collect()
        now = self._clock()
        content: dict[str, object] = {"stats": stats, "rates": {}}
        if self._before is not None:
            content["rates"] = rates(self._before[1], stats, now - self._before[0])
        self._before = (now, stats)
        return content

    def _write(self, state: str, content: dict[str, object]) -> None:
        try:
            self._number += 1
            write_page(self._fs, self._number, self._page(state, content))
        except OSError as error:
            if not self._failing:
                _log.warning("%s: the status page cannot be written: %s", self._fs.path, error)
            self._failing = True
        else:
            self._failing = False
        finally:
            self._written_at = self._clock()

    def _begin(self) -> None:
        """Go on behind the last page of the owner before, and find out who this one is."""
        try:
            self._number, _ = read_page(self._fs)
        except (OSError, ValueError, Error):
            self._number = 0
        me = this_process()
        self._identity = {
            "path": self._fs.path,
            "pid": me.pid,
            "process_started": me.started,
            "boot_id": me.boot_id,
            "host": socket.gethostname(),
            "parent_pid": os.getppid(),
            "opened_at": time_text(self._opened),
        }

    def _page(self, state: str, content: dict[str, object]) -> bytes:
        if self._events_published != self._stream.published:
            self._events_published = self._stream.published
            self._events = [to_json_dict(event) for event in self._stream.recent]
        now_ns = self._fs.now_ns()
        head = {
            "status_version": 1,
            **self._identity,
            "state": state,
            "written_at": time_text(now_ns),
            "written_ns": now_ns,
            "interval_seconds": max(self._interval, IDLE_SECONDS),  # the next page is there by then
        }
        try:
            return encode_status_page(self._number, {**head, **content, "events": self._events})
        except ValueError:
            # Very many levels, workers or histograms: at least the head says who and when.
            return encode_status_page(self._number, {**head, "stats": {}, "rates": {}, "events": [], "cut": True})
