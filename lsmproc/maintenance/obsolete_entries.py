"""What flushed memtables held, given back a little at a time.

Freeing a dict is one step of the interpreter: with a few hundred thousand entries every thread stands still for
30 ms or more, and a put with it. So the last reference to such a dict is dropped here, when the table of the memtable
is installed and no reader is left, after its entries were taken out in small portions with a rest in between.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

_FEW = 10_000  # entries, which are freed in about 2 ms
_MOST_DICTS = 16  # that wait; more are left to whoever drops them last, at once
_PORTION = 500  # entries, about 0.1 ms
_REST_SECONDS = 0.0001  # long enough for a thread that waits for the interpreter lock to wake up and take it


class ObsoleteEntries:
    """Dicts to be freed. Used on the background's callback thread only."""

    def __init__(
        self, call_soon: Callable[[Callable[[], None]], None], rest: Callable[[float], None] = time.sleep
    ) -> None:
        """``call_soon(step)`` has the callback thread do one step when it has done what else there is."""
        self._waiting: deque[dict[Any, Any]] = deque()
        self._call_soon = call_soon
        self._rest = rest
        self._stepping = False
        self._unread = _references(deque([{}]))  # How many there are of a dict that nobody else has.

    @property
    def waiting(self) -> bool:
        """Whether there is anything to free."""
        return bool(self._waiting)

    def add(self, entries: object) -> None:
        """Free ``entries`` as soon as only this object refers to them; only large plain dicts are worth it."""
        if type(entries) is dict and len(entries) > _FEW and len(self._waiting) < _MOST_DICTS:
            self._waiting.append(entries)
            self.wake()

    def wake(self) -> None:
        """Begin, or go on after the last reader has left."""
        if self._waiting and not self._stepping:
            self._stepping = True
            self._call_soon(self._step)

    def _step(self) -> None:
        """Free one portion of the first dict that nobody reads any more, and ask for the next step."""
        self._stepping = False
        for _ in range(len(self._waiting)):
            if _references(self._waiting) > self._unread:
                self._waiting.rotate(-1)
                continue
            entries = self._waiting[0]
            take = entries.popitem
            for _ in range(min(_PORTION, len(entries))):
                take()
            if not entries:
                self._waiting.popleft()
            self._rest(_REST_SECONDS)
            self.wake()
            return


def _references(waiting: deque[dict[Any, Any]]) -> int:
    """How many references there are to the first of these dicts."""
    return sys.getrefcount(waiting[0])
