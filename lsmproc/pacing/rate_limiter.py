"""How many bytes background work may write per second, and who goes first.

A token bucket that holds at most a tenth of a second's bytes, so that any second sees at most 10 % more than the
rate. Requests wait in one queue per priority. The highest priority goes first (SILK, ATC'19), and of every byte it
gets, each lower priority that waits is credited its floor (the fairness of RocksDB's limiter, without its dice): deeper
work all but pauses while upper work waits, and nothing starves. A request larger than the bucket is granted in pieces.

The same limiter serves two kinds of callers: threads call :meth:`RateLimiter.request`, which blocks; an event loop,
of which there may be one per limiter, uses ``submit``, ``poll`` and ``seconds_until_next``, which never do. Time is
whatever ``clock`` says, so the arithmetic is tested without waiting.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from lsmproc.protocols import Priority

BUCKET_SECONDS = 0.1  # the bucket holds this much of the rate: the bound on bursts
PIECE_SECONDS = 0.05  # the smallest piece of a large request, so that a grant is worth its message
# Of each byte granted above it, a waiting lower priority is credited this much: its floor while all want everything.
FLOORS = {Priority.FLUSH: 0.0, Priority.LEVEL0: 0.1, Priority.DEEPER: 0.05}
_SHORTEST_WAIT_SECONDS = 0.001  # rounding may leave a wait too short for a clock to notice
WAIT_SLICE_SECONDS = 0.1  # a blocked thread looks at its cancellation at least this often


@dataclass(frozen=True, slots=True)
class PriorityReport:
    """What one priority asked for and got since the limiter was made."""

    requested_bytes: int
    granted_bytes: int
    waited_seconds: float  # summed over finished requests
    waiting_requests: int


class RateLimiter:
    """Shares a number of bytes per second among requests of three priorities. Thread-safe."""

    def __init__(
        self,
        bytes_per_second: int | None,
        clock: Callable[[], float] = time.monotonic,
        floors: Mapping[Priority, float] = FLOORS,
    ) -> None:
        """Pace to ``bytes_per_second``; None means that nothing waits. ``clock`` gives seconds and never goes back.

        ``floors``: what each priority is credited of each byte granted above it while it waits.
        """
        self._clock = clock
        # Entered by itself and not through its condition, which could not let go of it without memory.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._limit = self._rate = _checked(bytes_per_second)
        self._available = 0.0 if self._rate is None else self._rate * BUCKET_SECONDS
        self._refilled_at = clock()
        self._queues = {priority: _PriorityQueue(floors[priority]) for priority in Priority}
        self._grants: list[tuple[Hashable, int]] = []  # granted to submitted tokens, not yet polled
        self._watchers: list[Callable[[], None]] = []

    @property
    def bytes_per_second(self) -> int | None:
        """The rate in force; None when nothing is paced."""
        return self._rate

    @property
    def limit(self) -> int | None:
        """The rate that was set last: what an automatic rate may not exceed."""
        return self._limit

    def set_rate(self, bytes_per_second: int | None) -> None:
        """Change the rate now: blocked requests and watchers are woken at once. An automatic rate begins anew there.

        Raises TypeError for what is no whole number, such as a text, and ValueError below 1.
        """
        self._limit = _checked(bytes_per_second)
        self.adapt(bytes_per_second)

    def adapt(self, bytes_per_second: int | None) -> None:
        """Pace to this rate until the next change, at most to ``limit``: for whoever follows the load."""
        rate, limit = _checked(bytes_per_second), self._limit
        if limit is not None:
            rate = limit if rate is None else min(rate, limit)
        with self._lock:
            self._refill()
            self._rate = rate
            self._available = 0.0 if rate is None else min(self._available, rate * BUCKET_SECONDS)
            self._changed.notify_all()
            watchers = tuple(self._watchers)
        for watcher in watchers:
            watcher()

    def request(self, size: int, priority: Priority, cancelled: Callable[[], bool] | None = None) -> bool:
        """Block until ``size`` bytes are granted. False, with the rest given up, once ``cancelled()`` is true."""
        with self._lock:
            waiting = _Waiting(None, size, self._clock())
            self._queues[priority].add(waiting)
            while True:
                self._distribute()
                if not waiting.remaining:
                    return True
                if cancelled is not None and cancelled():
                    self._queues[priority].remove(waiting)
                    return False
                self._changed.wait(min(self._seconds_until_next(), WAIT_SLICE_SECONDS))

    def submit(self, token: Hashable, size: int, priority: Priority) -> None:
        """Ask for ``size`` bytes on behalf of ``token``; ``poll`` tells when, in pieces that add up to ``size``."""
        with self._lock:
            self._queues[priority].add(_Waiting(token, size, self._clock()))

    def cancel(self, token: Hashable) -> None:
        """Forget what ``token`` still waits for. Harmless if it waits for nothing."""
        with self._lock:
            for queue in self._queues.values():
                for waiting in [each for each in queue.waiting if each.token == token]:
                    queue.remove(waiting)
            self._grants = [grant for grant in self._grants if grant[0] != token]
            self._changed.notify_all()

    def move(self, token: Hashable, priority: Priority) -> None:
        """Let what ``token`` still waits for wait at another priority. Harmless if it waits for nothing."""
        with self._lock:
            target = self._queues[priority]
            for queue in self._queues.values():
                for waiting in [each for each in queue.waiting if each.token == token and queue is not target]:
                    queue.remove(waiting)
                    target.waiting.append(waiting)

    def poll(self) -> list[tuple[Hashable, int]]:
        """The bytes granted since the last call, as (token, bytes)."""
        with self._lock:
            self._distribute()
            grants, self._grants = self._grants, []
            return grants

    def seconds_until_next(self) -> float | None:
        """How long until ``poll`` will have something to tell; None while nothing waits."""
        with self._lock:
            if self._grants:
                return 0.0
            return self._seconds_until_next() if self._first_waiting() is not None else None

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` after each change of the rate, on the thread that changed it."""
        with self._lock:
            self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Undo ``watch``. Harmless if it does not watch."""
        with self._lock:
            self._watchers = [each for each in self._watchers if each != watcher]

    def report(self) -> dict[Priority, PriorityReport]:
        """What each priority asked for, got and waited."""
        with self._lock:
            return {priority: queue.report() for priority, queue in self._queues.items()}

    def _distribute(self) -> None:
        """Give the bytes at hand to the requests whose turn it is. REQUIRES: the lock."""
        self._refill()
        while (chosen := self._choose()) is not None:
            queue, size = chosen
            waiting = queue.waiting[0]
            if self._rate is not None:
                self._available -= size
            queue.grant(size, self._clock())
            self._credit_below(queue, size)
            if waiting.token is not None:
                self._grants.append((waiting.token, size))
            elif not waiting.remaining:
                self._changed.notify_all()

    def _refill(self) -> None:
        now = self._clock()
        if self._rate is not None:
            earned = (now - self._refilled_at) * self._rate
            self._available = min(self._available + earned, self._rate * BUCKET_SECONDS)
        self._refilled_at = now

    def _choose(self) -> tuple[_PriorityQueue, int] | None:
        """Whose turn it is and for how many bytes, or None until more bytes have come in."""
        turn = self._turn()
        if turn is None:
            return None
        queue, by_credit = turn
        if self._rate is None:
            return queue, queue.waiting[0].remaining
        piece = self._piece(queue)
        if self._available < piece:
            return None
        return queue, piece if by_credit else min(queue.waiting[0].remaining, int(self._available))

    def _turn(self) -> tuple[_PriorityQueue, bool] | None:
        """The queue to serve next, and whether it comes before its turn because it has saved up enough credit."""
        first = self._first_waiting()
        if first is None:
            return None
        if self._rate is not None:
            for queue in reversed(self._queues.values()):
                if queue is not first and queue.waiting and queue.credit >= self._piece(queue):
                    return queue, True
        return first, False

    def _first_waiting(self) -> _PriorityQueue | None:
        return next((queue for queue in self._queues.values() if queue.waiting), None)

    def _piece(self, queue: _PriorityQueue) -> int:
        """The smallest grant worth making to the head of ``queue``. REQUIRES: a rate."""
        return min(queue.waiting[0].remaining, max(1, int((self._rate or 0) * PIECE_SECONDS)))

    def _credit_below(self, granted: _PriorityQueue, size: int) -> None:
        """Pay from the credit of ``granted`` and credit those that waited below it."""
        granted.credit = max(0.0, granted.credit - size)
        below = False
        for queue in self._queues.values():
            if below and queue.waiting:
                queue.credit += size * queue.floor
            below = below or queue is granted

    def _seconds_until_next(self) -> float:
        turn = self._turn()
        if turn is None or self._rate is None:
            return 0.0
        return max(_SHORTEST_WAIT_SECONDS, (self._piece(turn[0]) - self._available) / self._rate)


@dataclass(slots=True, eq=False)
class _Waiting:
    """One request in a queue."""

    token: Hashable | None  # None: a blocked thread
    remaining: int
    since: float


class _PriorityQueue:
    """The requests of one priority, oldest first, and what they have been granted."""

    def __init__(self, floor: float) -> None:
        self.floor = floor
        self.waiting: deque[_Waiting] = deque()
        self.credit = 0.0  # bytes this priority may take before its turn
        self._requested_bytes = 0
        self._granted_bytes = 0
        self._waited_seconds = 0.0

    def add(self, waiting: _Waiting) -> None:
        """Queue a request; one of no bytes at all is granted on the spot."""
        if waiting.remaining < 0:
            raise ValueError(f"{waiting.remaining} bytes cannot be granted")
        self._requested_bytes += waiting.remaining
        if waiting.remaining or waiting.token is not None:
            self.waiting.append(waiting)

    def grant(self, size: int, now: float) -> None:
        """Grant ``size`` bytes to the oldest request."""
        head = self.waiting[0]
        head.remaining -= size
        self._granted_bytes += size
        if not head.remaining:
            self._waited_seconds += now - head.since
            self.remove(head)

    def remove(self, waiting: _Waiting) -> None:
        """Take a request out. A priority that waits for nothing keeps no credit."""
        self.waiting.remove(waiting)
        if not self.waiting:
            self.credit = 0.0

    def report(self) -> PriorityReport:
        """See PriorityReport."""
        return PriorityReport(self._requested_bytes, self._granted_bytes, self._waited_seconds, len(self.waiting))


def _checked(bytes_per_second: int | None) -> int | None:
    if bytes_per_second is None:
        return None
    if not isinstance(bytes_per_second, int):
        raise TypeError(
            f"a rate is a whole number of bytes per second, or None for no limit, and not {bytes_per_second!r}; "
            "set_options(rate_limit_bytes_per_sec='4MiB/s') takes text"
        )
    if bytes_per_second <= 0:
        raise ValueError(f"a rate of {bytes_per_second} bytes per second allows nothing; use None for no limit")
    return bytes_per_second
