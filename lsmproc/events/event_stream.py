"""Takes events from wherever they happen and hands them to those who listen.

To publish is to stamp an event and put it into queues: a few microseconds, on any thread, under any lock of the engine.
Callbacks run on one thread of their own, in the order of the events, and that thread is there only while somebody
subscribes. What is to be written into LOG waits here until whoever writes it comes round.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from lsmproc.errors import ClosedError
from lsmproc.events.event import Event, EventsDropped
from lsmproc.events.subscription import CLOSE_SECONDS, Subscription

MOST_RECENT = 16  # the newest events, kept for STATUS
MOST_FOR_LOG = 4096
_LOOK_SECONDS = 30.0  # every wait has a deadline, though nothing is expected at this one


class EventStream:
    """The events of one store. Thread-safe; calls of ``publish`` may come from within each other (garbage collection).

    Attributes:
        published: how many events there were.
    """

    def __init__(self, now_ns: Callable[[], int] = time.time_ns, *, for_log: bool = False) -> None:
        """``for_log``: keep events for ``take_for_log``."""
        self._now_ns = now_ns
        self._for_log: deque[Event] | None = deque() if for_log else None
        self._lost = 0
        # Entered by itself and not through its condition, which could not let go of it without memory.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._subscriptions: tuple[Subscription, ...] = ()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._recent: deque[Event] = deque(maxlen=MOST_RECENT)
        self.published: int = 0

    def publish(self, event: Event) -> None:
        """Stamp ``event`` and pass it on. Never waits and never raises; after ``close``, nobody is there to hear it."""
        with self._lock:
            if self._closed:
                return
            event = replace(event, time_ns=self._now_ns())
            self.published += 1
            self._recent.append(event)
            if self._for_log is not None:
                if len(self._for_log) < MOST_FOR_LOG:
                    self._for_log.append(event)
                else:
                    self._lost += 1
            for subscription in self._subscriptions:
                subscription.offer(event)
            if self._subscriptions:
                self._changed.notify_all()

    def subscribe(self, callback: Callable[[Event], object]) -> Subscription:
        """Call ``callback`` with every event from now on. Raises TypeError, ClosedError."""
        if not callable(callback):
            raise TypeError(f"a subscriber is a function of one event, not {type(callback).__name__}")
        subscription = Subscription(callback, self._end, self._lock)
        with self._lock:
            if self._closed:
                raise ClosedError("the store is closed; open it again with lsmproc.open()")
            if self._thread is None:
                thread = threading.Thread(target=self._deliver_all, name="lsmproc-events", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    raise ClosedError(f"the system has no thread to give, or Python is ending: {error}") from error
                self._thread = thread
            self._subscriptions = (*self._subscriptions, subscription)
        return subscription

    @property
    def recent(self) -> tuple[Event, ...]:
        """The newest events, oldest first."""
        with self._lock:
            return tuple(self._recent)

    def take_for_log(self) -> tuple[Event, ...]:
        """The events that were not taken before, for whoever writes LOG."""
        if not self._for_log and not self._lost:
            return ()
        with self._lock:
            events = tuple(self._for_log or ())
            if self._for_log is not None:
                self._for_log.clear()
            if self._lost:
                events = (*events, EventsDropped(time_ns=self._now_ns(), count=self._lost))
                self._lost = 0
            return events

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Take no more events, let the callbacks hear of those before, and end their thread. Idempotent.

        A callback that takes longer than ``timeout`` is left to its thread, which ends with it.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            self._closed = True
            subscriptions, thread = self._subscriptions, self._thread
        for subscription in subscriptions:
            if thread is threading.current_thread():
                self._deliver_last(subscription)
            subscription.close(max(0.0, deadline - time.monotonic()))
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))

    def forked(self) -> None:
        """In a forked child: nothing is heard any more. Threads of the parent may have held the lock."""
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        for subscription in self._subscriptions:
            subscription.closed = True
        self._subscriptions, self._thread, self._closed = (), None, True
        self._for_log = None

    def _deliver_last(self, subscription: Subscription) -> None:
        """A callback closes the stream: what waits for the others is delivered now, as their thread is this one."""
        if not subscription.running:
            subscription.deliver()
            with self._lock:
                subscription.settle()

    def _end(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions = tuple(each for each in self._subscriptions if each is not subscription)
            subscription.settle()
            self._changed.notify_all()

    def _deliver_all(self) -> None:
        """The thread: deliver until nobody subscribes any more."""
        while True:
            with self._lock:
                for each in self._subscriptions:
                    each.settle()
                while not (waiting := [each for each in self._subscriptions if each.waits]):
                    if not self._subscriptions:
                        self._thread = None
                        return
                    self._changed.wait(_LOOK_SECONDS)
            for each in waiting:
                each.deliver()
