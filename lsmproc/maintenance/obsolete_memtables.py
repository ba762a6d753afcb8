"""What flushed memtables held, given back a little at a time.

Freeing a dict is one step of the interpreter: with a few hundred thousand entries every thread stands still for
30 ms or more, and a put with it. So when the table of a memtable is installed and no reader is left, its dict goes to
the writers, each of whom frees a few entries with its write. Only while nobody writes is it freed here, in small
portions with a rest in between: beside a writer each portion would make a put wait.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from lsmproc.memtable.obsolete_entries import free_entries

_FEW = 500  # entries, which are freed in about 0.3 ms
_MOST_DICTS = 16  # that wait; more are left to whoever drops them last, at once
_PORTION = 500  # entries, about 0.3 ms
_REST_SECONDS = 0.0001  # long enough for a thread that waits for the interpreter lock to wake up and take it
_PAUSE_SECONDS = 0.2  # without a write, after which nobody seems to write any more


class Writers(Protocol):
    """Those who write to the store: see WritePath."""

    last_sequence: int
    obsolete: deque[dict[Any, Any]]

    def take_obsolete(self) -> deque[dict[Any, Any]]:
        """Take away what they have not freed."""
        ...


class ObsoleteMemtables:
    """Dicts to be freed. Used on the background's callback thread only."""

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], None],
        writers: Writers | None,
        rest: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``call_soon(step)`` has the callback thread do one step when it has done what else there is.

        ``writers`` free what they are given; None if nobody would call ``wake`` from time to time to see that they do.
        """
        self._waiting: deque[dict[Any, Any]] = deque()
        self._call_soon = call_soon
        self._writers = writers
        self._rest = rest
        self._clock = clock
        self._stepping = False
        self._unread = _references(deque([{}]))  # How many there are of a dict that nobody else has.
        self._seen = (0, 0.0)  # the newest write, and when it was first seen

    @property
    def waiting(self) -> bool:
        """Whether there is anything to free."""
        return bool(self._waiting or (self._writers is not None and self._writers.obsolete))

    def add(self, entries: object) -> None:
        """Free ``entries`` as soon as only this object refers to them; only large plain dicts are worth it."""
        if type(entries) is dict and len(entries) > _FEW and len(self._waiting) < _MOST_DICTS:
            self._waiting.append(entries)
            self.wake()

    def wake(self) -> None:
        """Begin, or go on after the last reader has left or the writers have stopped."""
        if self.waiting and not self._stepping:
            self._stepping = True
            self._call_soon(self._step)

    def _step(self) -> None:
        """Hand to the writers what nobody reads any more, or free one portion of it and ask for the next step."""
        self._stepping = False
        if self._writers is not None:
            if self._writing(self._writers):
                for _ in range(len(self._waiting)):
                    if self._find_unread():
                        self._writers.obsolete.append(self._waiting.popleft())
                return
            self._waiting.extendleft(self._writers.take_obsolete())
        if self._find_unread():
            free_entries(self._waiting, _PORTION)
            self._rest(_REST_SECONDS)
            self.wake()

    def _writing(self, writers: Writers) -> bool:
        """Whether there was a write a short time ago."""
        now = self._clock()
        if writers.last_sequence != self._seen[0]:
            self._seen = (writers.last_sequence, now)
        return now - self._seen[1] < _PAUSE_SECONDS

    def _find_unread(self) -> bool:
        """Bring a dict that nobody else refers to to the front; False if there is none."""
        for _ in range(len(self._waiting)):
            if _references(self._waiting) <= self._unread:
                return True
            self._waiting.rotate(-1)
        return False


def _references(waiting: deque[dict[Any, Any]]) -> int:
    """How many references there are to the first of these dicts."""
    return sys.getrefcount(waiting[0])
