"""How long operations take, at a cost that the operations do not notice.

A :class:`Histogram` is a list of counts, eight for each power of two of nanoseconds, so that a percentile is within
about 6 % of the truth (the layout of HdrHistogram with three significant bits). An :class:`Operation` times one call
in ``every``: the others take a ticket from an iterator in C, which is cheaper than a counter and counts exactly.
``every`` is a prime, so that a program that does things in rounds is not always seen at the same point of its round.

No lock is taken to record: two threads that record at the same moment may lose one count, never more.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate, repeat
from operator import length_hint
from threading import RLock
from typing import Any, TypeVar

from lsmproc.statistics.stats_tree import LatencyStats

Result = TypeVar("Result")

_LINEAR_BITS = 4  # durations of less than 16 ns have a bucket each
_BUCKETS = 64 << 3  # up to 2 ** 63 ns, and whatever a clock may say never falls beside


class Histogram:
    """Counts of durations by their size. Records without a lock; see the module."""

    __slots__ = ("_buckets", "_total_ns", "longest_ns")

    def __init__(self) -> None:
        """Empty."""
        self._buckets = [0] * _BUCKETS
        self._total_ns = 0
        self.longest_ns: int = 0

    def record(self, duration_ns: int) -> None:
        """Count one duration. A clock that goes back counts as no time at all."""
        duration_ns = max(duration_ns, 0)
        bits = duration_ns.bit_length()
        if bits > _LINEAR_BITS:
            self._buckets[bits << 3 | duration_ns >> bits - 4 & 7] += 1
        else:
            self._buckets[duration_ns] += 1
        self._total_ns += duration_ns
        self.longest_ns = max(self.longest_ns, duration_ns)

    def percentiles_ns(self, *shares: float) -> list[int]:
        """For each of ``shares`` (0 to 1) the duration that so many of all recorded ones did not exceed, or 0."""
        seen = list(accumulate(self._buckets))
        places = [bisect_left(seen, max(1.0, share * seen[-1])) for share in shares]
        return [min(_middle_of(place), self.longest_ns) if seen[-1] else 0 for place in places]

    def stats(self, every: int = 1, calls: int | None = None) -> LatencyStats:
        """The figures for people; ``calls`` is how many there were in truth, if more than were recorded."""
        count = sum(self._buckets)
        if not count:
            return LatencyStats(calls or 0, 0, every)
        p50, p99, p999 = self.percentiles_ns(0.5, 0.99, 0.999)
        return LatencyStats(
            count=count * every if calls is None else calls,
            samples=count,
            sampled_every=every,
            mean_seconds=self._total_ns / count / 1e9,
            p50_seconds=p50 / 1e9,
            p99_seconds=p99 / 1e9,
            p999_seconds=p999 / 1e9,
            max_seconds=self.longest_ns / 1e9,
        )


class Operation:
    """Counts the calls of one operation and times one in ``every``, the first among them.

    The operation itself begins so, and ends in the loop's body::

        for _ in operation.tickets:
            return ...
        return operation.timed(this_method, ...)

    Attributes:
        tickets: one for each call until the next one that is timed.
    """

    __slots__ = ("_histogram", "_issued", "_lock", "every", "tickets")

    def __init__(self, every: int) -> None:
        """Time the first call and then every ``every``-th."""
        self.every: int = every
        self.tickets: Iterator[None] = repeat(None, 0)
        self._issued = 0
        self._histogram = Histogram()
        self._lock = RLock()  # reentrant: a signal handler may run an operation within any other

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return self._issued - length_hint(self.tickets)

    def timed(self, call: Callable[..., Result], /, *arguments: Any, **options: Any) -> Result:
        """What ``call`` returns, having been timed; it takes a ticket of the operation itself."""
        self.renew()
        began = time.perf_counter_ns()
        try:
            return call(*arguments, **options)
        finally:
            self._histogram.record(time.perf_counter_ns() - began)

    def renew(self) -> Iterator[None]:
        """Issue tickets, unless another thread just did; returns them, for who keeps them nearer to its calls."""
        with self._lock:
            if not length_hint(self.tickets):
                self.tickets = repeat(None, self.every)
                self._issued += self.every
            return self.tickets

    def stats(self) -> LatencyStats:
        """Calls and latencies so far."""
        return self._histogram.stats(self.every, self.calls)


def _middle_of(index: int) -> int:
    """The middle of the durations that fall into a bucket, in ns."""
    if index < 1 << _LINEAR_BITS:
        return index
    bits, place = index >> 3, index & 7
    width = 1 << bits - 4
    return (8 + place) * width + width // 2
