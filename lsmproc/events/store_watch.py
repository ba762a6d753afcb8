"""What one open store tells to the outside: its events, the file LOG and the page STATUS, kept together.

The store's parts publish; its ticker comes round and writes. Without a ticker, ``background="inline"``, there is no
STATUS, and LOG only if it was asked for: it is written when memtables are rotated and when the store is closed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsmproc.events.event import (
    BackgroundFailed,
    CorruptionFound,
    Event,
    StallChanged,
    StoreClosed,
    StoreOpened,
)
from lsmproc.events.event_log import EventLog
from lsmproc.events.event_stream import EventStream
from lsmproc.events.status_writer import StatusWriter
from lsmproc.formats.file_names import EVENT_LOG

if TYPE_CHECKING:
    from lsmproc.config import LSMConfig
    from lsmproc.errors import CorruptionError
    from lsmproc.events.subscription import Subscription
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.version import Version

_MOST_PLACES = 1000  # damaged places that are remembered, so that each is told of once


class StoreWatch:
    """The events of one store and what becomes of them. Thread-safe."""

    def __init__(self, config: LSMConfig, *, ticks: bool) -> None:
        """``ticks``: whether ``tick`` will be called. Nothing is written before ``begin``."""
        wanted = config.event_log == "on" or (config.event_log == "auto" and ticks)
        self._has_log = wanted and not config.read_only
        self._has_status = config.status_page and ticks and not config.read_only
        self._stream = EventStream(for_log=self._has_log)
        self._log: EventLog | None = None
        self._status: StatusWriter | None = None
        self._places: set[tuple[str | None, int | None]] = set()
        self._path = ""
        self._failed = False  # and told of it

    def begin(
        self,
        fs: FileSystem,
        config: LSMConfig,
        collect: Callable[[], dict[str, object]],
        pulse: Callable[[], object],
        sequence: int,
        version: Version,
    ) -> None:
        """The store is open: ``collect`` gives its statistics, ``pulse`` differs once they do; see StatusWriter."""
        self._path = fs.path
        if self._has_log:
            self._log = EventLog(fs, config.event_log_max_bytes, config.event_log_old_files)
        if self._has_status:
            self._status = StatusWriter(fs, collect, pulse, self._stream)
        sizes = [file.size for _, file in version.files()]
        self._stream.publish(
            StoreOpened(path=fs.path, pid=os.getpid(), sequence=sequence, tables=len(sizes), bytes=sum(sizes))
        )

    def publish(self, event: Event) -> None:
        """Pass on what has happened. Never waits, never raises."""
        self._stream.publish(event)
        if type(event) is BackgroundFailed:
            self._failed = True
        if type(event) in {StallChanged, BackgroundFailed} and self._status is not None:
            self._status.hurry()

    def damaged(self, error: CorruptionError) -> None:
        """Damage was found in a file; publish it unless it is known."""
        place = (error.file, error.offset)
        if place not in self._places and len(self._places) < _MOST_PLACES:
            self._places.add(place)
            self.publish(CorruptionFound(file=error.file, offset=error.offset, message=str(error)))

    def subscribe(self, callback: Callable[[Event], object]) -> Subscription:
        """See LSMStore.subscribe."""
        return self._stream.subscribe(callback)

    def tick(self, failure: Exception | None = None) -> None:
        """From time to time: write what is due. ``failure``: why no writes are taken any more, if that is so."""
        if failure is not None and not self._failed:
            self.publish(BackgroundFailed(error=type(failure).__name__, message=str(failure)))
        self.write_log()
        if self._status is not None:
            self._status.tick()

    def write_log(self) -> None:
        """Write the events that wait for LOG."""
        if self._log is not None:
            self._log.write(self._stream.take_for_log())

    def closing(self) -> None:
        """The store is about to be taken apart: take the last figures."""
        if self._status is not None:
            try:
                self._status.remember()
            except Exception:
                # Closing must go on, whatever is wrong with the figures.
                logging.getLogger("lsmproc.events").exception("%s: the last figures cannot be taken", self._path)

    def close(self) -> None:
        """Tell of the end, and write it down. Idempotent; does nothing but end subscriptions if nothing was begun."""
        if self._path:
            self._stream.publish(StoreClosed(path=self._path, pid=os.getpid()))
        self._stream.close()
        self.write_log()
        if self._status is not None:
            self._status.finish()

    def forked(self) -> None:
        """In a forked child: nothing is told and nothing written any more."""
        self._stream.forked()
        self._log = self._status = None

    def __repr__(self) -> str:
        """Which of the two files are written."""
        return f"<StoreWatch of {self._path!r}, {EVENT_LOG}: {self._has_log}, STATUS: {self._has_status}>"
