"""The automatic rate: background work gets what the writes that come in need, and no more, within seconds.

Every byte that comes in has to be flushed and then rewritten some times; how often is learned from what was granted
over the last half minute. The rate is, with some headroom, the bytes that come in times that factor, and the debt of
compactions over a payback time, all of it more while writes are stalling. It follows a rise within a second or two
and lets go slower, so that the work behind a burst is done. A wrong factor corrects itself: too low, the debt grows
and is paid; too high, the rate is not used and the factor falls. (RocksDB raises its rate by a twentieth every ten
seconds, and so needs ten minutes from its floor to its ceiling; SILK, ATC'19, follows the load, and that is followed
here.)
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from lsmproc.pacing.rate_limiter import RateLimiter

RISE_SECONDS = 1.0  # time constant with which a higher rate of writes is believed
FALL_SECONDS = 5.0  # ... and a lower one
MEMORY_SECONDS = 30.0  # ... over which it is learned how often a byte is rewritten
PAYBACK_SECONDS = 30.0  # in which present debt is to be paid
HEADROOM = 1.25
STALL_BOOST = 3.0  # so much more, and once the plain rate, just before writes stop
FIRST_FACTOR = 4.0  # rewrites of a byte before anything is learned
FACTORS = (2.0, 30.0)
FLOOR_BYTES_PER_SECOND = 1 << 20
_FLOOR_SHARE = 20  # of the ceiling: work that nobody waits for gets on all the same
_STEP_SECONDS = 0.2  # closer observations would only measure the granularity of writes
_NOTICEABLE = 0.05  # a smaller change is not worth waking anybody


@dataclass(frozen=True, slots=True)
class Load:
    """What one store, or all of them together, have to work off."""

    ingested_bytes: int  # since the opening
    debt_bytes: int
    excess: float  # how far writes are stalled: 0 not at all, 1 stopped


class AutoRate:
    """From the load at successive moments follows the rate. Not thread-safe."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._at: float | None = None
        self._ingested = self._granted = 0
        self._ingest = 0.0  # bytes per second, smoothed
        self._recent_ingested = self._recent_granted = 0.0

    @property
    def factor(self) -> float:
        """How many bytes of background writes come of one byte that is put."""
        if self._recent_ingested < FLOOR_BYTES_PER_SECOND:
            return FIRST_FACTOR
        return min(max(self._recent_granted / self._recent_ingested, FACTORS[0]), FACTORS[1])

    def next(self, now: float, load: Load, granted_bytes: int, limit: int | None) -> int | None:
        """The rate from ``now`` on, at most ``limit``; None if it is too soon to tell."""
        if self._at is None:
            self._at, self._ingested, self._granted = now, load.ingested_bytes, granted_bytes
            return None
        seconds = now - self._at
        if seconds < _STEP_SECONDS:
            return None
        came, granted = max(0, load.ingested_bytes - self._ingested), max(0, granted_bytes - self._granted)
        self._at, self._ingested, self._granted = now, load.ingested_bytes, granted_bytes
        ingest = came / seconds
        constant = RISE_SECONDS if ingest > self._ingest else FALL_SECONDS
        self._ingest += (1 - math.exp(-seconds / constant)) * (ingest - self._ingest)
        kept = math.exp(-seconds / MEMORY_SECONDS)
        self._recent_ingested = self._recent_ingested * kept + came
        self._recent_granted = self._recent_granted * kept + granted
        rate = HEADROOM * self.factor * self._ingest + load.debt_bytes / PAYBACK_SECONDS
        rate *= 1 + STALL_BOOST * load.excess
        floor = max(FLOOR_BYTES_PER_SECOND, (limit or 0) // _FLOOR_SHARE)
        return int(max(floor, rate) if limit is None else min(max(floor, rate), limit))


class RatePacer:
    """Lets the limiter of an Env follow the load of all its stores, while it is enabled. Thread-safe."""

    def __init__(self, limiter: RateLimiter, *, enabled: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """Pace ``limiter`` whenever a store tells of its load."""
        self._limiter = limiter
        self._clock = clock
        self._lock = threading.Lock()
        self._loads: dict[Hashable, Load] = {}
        self._gone_bytes = 0  # what stores that were closed had taken
        self._auto = AutoRate()
        self._enabled = enabled

    def enable(self, *, enabled: bool) -> None:
        """Begin to follow the load, or go back to the rate that was set."""
        with self._lock:
            if enabled is self._enabled:
                return
            self._enabled, self._auto = enabled, AutoRate()
        self._limiter.adapt(self._limiter.limit)

    def observe(self, store: Hashable, load: Load) -> None:
        """What ``store`` has to work off now; to be told a few times a second."""
        if not self._enabled:
            return
        with self._lock:
            self._loads[store] = load
            loads = self._loads.values()
            whole = Load(
                self._gone_bytes + sum(each.ingested_bytes for each in loads),
                sum(each.debt_bytes for each in loads),
                max(each.excess for each in loads),
            )
            granted = sum(report.granted_bytes for report in self._limiter.report().values())
            rate = self._auto.next(self._clock(), whole, granted, self._limiter.limit)
        present = self._limiter.bytes_per_second
        if rate is not None and (present is None or abs(rate - present) > _NOTICEABLE * present):
            self._limiter.adapt(rate)

    def forget(self, store: Hashable) -> None:
        """``store`` is closed."""
        with self._lock:
            load = self._loads.pop(store, None)
            self._gone_bytes += load.ingested_bytes if load is not None else 0
