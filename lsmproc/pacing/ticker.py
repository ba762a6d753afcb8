"""One thread for everything that has to happen from time to time: interval syncs, retries, clean-up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable


class Ticker:
    """Calls registered functions again and again while there are any. Thread-safe.

    The thread starts with the first function and ends with the last. All are called at the shortest interval that
    any of them asked for. A function that raises is logged and called again next time.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._callbacks: tuple[tuple[Callable[[], None], float], ...] = ()
        # Reentrant: a store that is collected as garbage removes its callback wherever the collector runs.
        self._lock = threading.RLock()
        self._round = threading.RLock()  # held while the callbacks are called
        self._stop: threading.Event | None = None  # of the running thread

    def add(self, callback: Callable[[], None], interval_seconds: float) -> None:
        """Call ``callback`` at least about every ``interval_seconds`` from now on."""
        with self._lock:
            shortest = min((interval for _, interval in self._callbacks), default=0.0)
            self._callbacks = (*self._callbacks, (callback, interval_seconds))
            if self._stop is not None and interval_seconds < shortest:
                # The running thread may have just begun to wait for longer than this: another takes its place.
                self._stop.set()
                self._stop = None
            if self._stop is None:
                self._stop = threading.Event()
                threading.Thread(target=self._run, args=(self._stop,), name="lsmproc-ticker", daemon=True).start()

    def remove(self, callback: Callable[[], None]) -> None:
        """Stop calling ``callback``; it is not running any more when this returns. Harmless if it was not added."""
        with self._lock:
            self._callbacks = tuple(each for each in self._callbacks if each[0] != callback)
            if not self._callbacks and self._stop is not None:
                self._stop.set()
                self._stop = None
        with self._round:
            pass

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(min((interval for _, interval in self._callbacks), default=0.0)):
            with self._round:
                for callback, _ in self._callbacks:
                    try:
                        callback()
                    except Exception:
                        logging.getLogger("lsmproc").exception("a periodic task failed; it will be tried again")
