"""One callback that hears of events: its queue, and what was dropped because it is slow."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from lsmproc.events.event import Event, EventsDropped
from lsmproc.timeouts import checked_timeout

MOST_WAITING = 4096  # events for one callback; more are dropped, counted and told of
CLOSE_SECONDS = 1.0  # to wait for a callback to hear of what has happened before its subscription ends

_log = logging.getLogger("lsmproc.events")


class Subscription:
    """What ``LSMStore.subscribe`` returns. A context manager; ``close`` is idempotent and callable from anywhere.

    Attributes:
        closed: whether no event comes any more.
        dropped: how many events the callback has missed because it was too slow.
        failed: how many events the callback has raised on. The 1st, 2nd, 4th, 8th ... failure is logged.
    """

    def __init__(
        self,
        callback: Callable[[Event], object],
        end: Callable[[Subscription], None],
        lock: AbstractContextManager[object],
    ) -> None:
        """Made by EventStream only; ``end`` takes the subscription off its list, ``lock`` is the stream's."""
        self._callback = callback
        self._lock = lock
        self._end = end
        self._waiting: deque[Event] = deque()
        self._untold = 0  # dropped since the callback was told of that
        self._idle = threading.Event()  # nothing waits and the callback does not run
        self._idle.set()
        self._thread: int | None = None  # on which the callback runs now
        self.closed: bool = False
        self.dropped: int = 0
        self.failed: int = 0

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """End the subscription, when the callback has heard of everything up to now or ``timeout`` seconds have passed.

        Called by the callback itself, it ends the subscription at once. Raises TypeError, ValueError for a bad timeout.
        """
        timeout = checked_timeout(timeout)
        if not self.closed and self._thread != threading.get_ident():
            self._idle.wait(timeout)
        self.closed = True
        self._end(self)

    def __enter__(self) -> Self:
        """The subscription itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # For EventStream: offer under its lock, deliver on its thread.

    def offer(self, event: Event) -> None:
        """Queue an event, or drop it if too many wait. REQUIRES: the stream's lock."""
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            self._untold += 1
            return
        if self._untold:
            self._waiting.append(EventsDropped(time_ns=event.time_ns, count=self._untold))
            self._untold = 0
        self._waiting.append(event)
        self._idle.clear()

    @property
    def running(self) -> bool:
        """Whether the callback runs now."""
        return self._thread is not None

    @property
    def waits(self) -> bool:
        """Whether there is anything to deliver."""
        return bool(self._waiting) or (self._untold > 0 and not self.closed)

    def deliver(self) -> None:
        """Call the callback with all that waits now. REQUIRES: the delivering thread, and no lock."""
        self._thread = threading.get_ident()
        try:
            for _ in range(len(self._waiting)):
                event = self._waiting.popleft()
                if self.closed:
                    return
                self._call(event)
            if self._untold:
                with self._lock:
                    # If something has come since, the count is in front of it.
                    count, self._untold = (0, self._untold) if self._waiting else (self._untold, 0)
                if count:
                    self._call(EventsDropped(count=count))
        finally:
            self._thread = None

    def settle(self) -> None:
        """Let go of those who wait for the callback if nothing waits any more. REQUIRES: the stream's lock."""
        if not self.waits or self.closed:
            self._idle.set()

    def _call(self, event: Event) -> None:
        try:
            self._callback(event)
        except BaseException as error:  # noqa: BLE001 - the thread is not the callback's: not even SystemExit may end it.
            self.failed += 1
            self._complain(event, error)

    def _complain(self, event: Event, error: BaseException) -> None:
        """Log the first failure and then each that doubles their number.

        A callback that is broken fails on every event, and a large compaction alone has hundreds of them.
        """
        if self.failed & (self.failed - 1):
            return
        name = getattr(self._callback, "__qualname__", None) or repr(self._callback)
        _log.error(
            "the subscriber %s raised on %s, %d times by now; it goes on with the next event",
            name,
            type(event).__name__,
            self.failed,
            exc_info=error,
        )
