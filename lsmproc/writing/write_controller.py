"""When writes must wait for the background work, for how long, and why.

Three backlogs can grow under a writer that is faster than flushes and compactions: immutable memtables, runs in
level 0, and bytes that compactions still have to rewrite. Each has a trigger at which writes are slowed down and one
at which they stop. Two parts, kept apart:

* :func:`stall_of` and :func:`delay_seconds` are pure: from the present backlog follow state, reason and delay. The
  delay of a byte grows linearly with how far the backlog is past its trigger and remembers nothing, so it is gone
  the moment the backlog is (Speedb's way; a remembered rate can sink and stay sunk long after the cause is over);
* :class:`WriteController` lets writers wait, and records what they waited for. A slowed write never waits longer
  than ``max_delay_seconds``; a stopped one waits until the state changes or its deadline has passed, and not at all
  for work that keeps failing: it raises the error of that work, NoSpaceError when the disk is full.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from lsmproc.errors import Error, WriteStallTimeout, copy_of

_SHORTEST_DELAY_SECONDS = 0.001  # shorter ones are saved up: waking a thread costs about 0.1 ms
_LONGEST_LEAD_SECONDS = 0.1  # what all writers together may owe at most
_LONGEST_WAIT_SECONDS = 1.0  # a stopped writer looks again after that long, whatever happens to the wake-ups
_BLOCKED_WAIT_SECONDS = 0.1  # ... and gives up after that long while the work that it waits for keeps failing


class StallState(Enum):
    """How writes go on."""

    NORMAL = "normal"
    SLOWDOWN = "slowdown"
    STOP = "stop"


class StallReason(Enum):
    """Which backlog stalls the writes."""

    NONE = "none"
    MEMTABLES = "immutable memtables"
    LEVEL0 = "level 0 runs"
    DEBT = "compaction debt"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteControllerOptions:
    """Triggers and speeds. Defaults are those of ``LSMConfig``."""

    max_immutable_memtables: int = 4  # stop at so many; from 4 on, slow down at one less
    level0_slowdown_writes_trigger: int = 20
    level0_stop_writes_trigger: int = 36
    soft_pending_compaction_bytes: int = 64 << 30  # slow down
    hard_pending_compaction_bytes: int = 256 << 30  # stop
    slowest_write_bytes_per_sec: int = 4 << 20  # speed of all writers together just before STOP
    max_delay_seconds: float = 0.005  # longest delay of one write by SLOWDOWN


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is waiting for the background at one moment."""

    immutable_memtables: int = 0
    level0_runs: int = 0
    debt_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Stall:
    """What a backlog means for writes."""

    state: StallState = StallState.NORMAL
    reason: StallReason = StallReason.NONE
    excess: float = 0.0  # 0 at the slowdown trigger or below, 1 at the stop trigger
    text: str = "writes are not stalled"


@dataclass(frozen=True, slots=True)
class StallReport:
    """What writes wait for now, and what they have waited for since the store was opened."""

    stall: Stall
    backlog: Backlog
    seconds_in_state: float
    stalls: dict[StallReason, int] = field(default_factory=dict)  # times that writes began to be stalled by it
    seconds: dict[StallReason, float] = field(default_factory=dict)  # how long it lasted, by the clock
    waits: int = 0  # writes that waited
    waited_seconds: float = 0.0  # sum over all writers
    timeouts: int = 0  # writes that gave up or refused to wait
    triggers: dict[StallReason, tuple[int, int, int]] = field(default_factory=dict)  # value, slowdown at, stop at
    delayed_write_bytes_per_second: int = 0  # the speed that SLOWDOWN leaves to all writers together, else 0
    trouble: dict[str, Error] = field(default_factory=dict)  # why "flushes" or "compactions" keep failing

    def explain(self) -> str:
        """The report in a few sentences, for people."""
        lines = [f"{self.stall.state.value.upper()} for {self.seconds_in_state:.1f} s: {self.stall.text}."]
        lines += [
            f"Since the start {times} stalls by {reason.value}, {self.seconds[reason]:.1f} s in all."
            for reason, times in self.stalls.items()
            if times
        ]
        lines.append(
            f"{self.waits} writes waited {self.waited_seconds:.1f} s together; {self.timeouts} gave up or refused."
        )
        return "\n".join(lines)


def stall_of(backlog: Backlog, options: WriteControllerOptions) -> Stall:
    """State, reason and excess for a backlog: those of the cause that is furthest along."""
    worst = Stall()
    for reason, (value, slowdown, stop) in causes_of(backlog, options).items():
        if value < min(slowdown, stop):
            continue
        excess = 1.0 if value >= stop else (value - slowdown + 1) / (stop - slowdown + 1)
        if excess > worst.excess:
            state = StallState.STOP if value >= stop else StallState.SLOWDOWN
            text = f"{reason.value}: {value} (slowdown at {slowdown}, stop at {stop})"
            worst = Stall(state, reason, excess, text)
    return worst


def causes_of(backlog: Backlog, options: WriteControllerOptions) -> dict[StallReason, tuple[int, int, int]]:
    """Each backlog against its triggers: (value, slowdown at, stop at)."""
    limit = options.max_immutable_memtables
    return {
        StallReason.MEMTABLES: (backlog.immutable_memtables, limit - 1 if limit > 3 else limit, limit),
        StallReason.LEVEL0: (
            backlog.level0_runs,
            options.level0_slowdown_writes_trigger,
            options.level0_stop_writes_trigger,
        ),
        StallReason.DEBT: (
            backlog.debt_bytes,
            options.soft_pending_compaction_bytes,
            options.hard_pending_compaction_bytes,
        ),
    }


def delay_seconds(size_bytes: int, stall: Stall, options: WriteControllerOptions) -> float:
    """How much later the next write should come after one of ``size_bytes``; 0 unless slowed down."""
    if stall.state is not StallState.SLOWDOWN:
        return 0.0
    return size_bytes * stall.excess / options.slowest_write_bytes_per_sec


class WriteController:
    """Makes writers wait as the backlog demands. Thread-safe.

    A writer looks at ``engaged`` first and calls :meth:`wait` only if it is true, before it takes the commit lock.
    """

    engaged: bool  # whether writes may have to wait; read without a lock on every write
    compactions_paused: bool  # whether somebody has them paused; to be set from outside, for what a refusal advises

    def __init__(
        self,
        options: WriteControllerOptions,
        clock: Callable[[], float] = time.monotonic,
        wait_on: Callable[[threading.Condition, float], object] = threading.Condition.wait,
    ) -> None:
        """Begin in NORMAL. ``wait_on`` waits on a condition for at most so many seconds; tests pass their own."""
        self.engaged = False
        self.compactions_paused = False
        self._options = options
        self._clock = clock
        self._wait_on = wait_on
        # Entered by itself and not through its condition, which could not let go of it without memory.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._backlog = Backlog()
        self._stall = Stall()
        self._make_error: Callable[[], Exception] | None = None
        self._trouble: dict[StallReason, Error | None] = {}
        self._since = clock()
        self._next_write_at = self._since  # when all that was admitted so far has been paid for
        self._stalls = dict.fromkeys(_REASONS, 0)
        self._seconds = dict.fromkeys(_REASONS, 0.0)
        self._waits = 0
        self._waited_seconds = 0.0
        self._timeouts = 0

    @property
    def stall(self) -> Stall:
        """What writes wait for now."""
        return self._stall

    def set_options(self, options: WriteControllerOptions) -> None:
        """Take other triggers; they count from the next :meth:`update` on."""
        with self._lock:
            self._options = options

    def update(self, backlog: Backlog) -> Stall | None:
        """Take note of the present backlog and wake whom it concerns; the new stall if state or reason changed.

        To be called whenever a memtable is sealed and whenever a flush or a compaction has been installed.
        """
        with self._lock:
            before, after = self._stall, stall_of(backlog, self._options)
            self._backlog = backlog
            self._stall = after
            if after.state is StallState.NORMAL:
                self._next_write_at = self._clock()
            self.engaged = after.state is not StallState.NORMAL or self._make_error is not None
            self._changed.notify_all()
            if (before.state, before.reason) == (after.state, after.reason):
                return None
            now = self._clock()
            if before.state is not StallState.NORMAL:
                self._seconds[before.reason] += now - self._since
            self._since = now
            if after.reason is not before.reason and after.state is not StallState.NORMAL:
                self._stalls[after.reason] += 1
            return after

    def blocked(self, flushes: Error | None, compactions: Error | None) -> None:
        """Why flushes or compactions keep failing, None for those that do not: a write that is stopped by their
        backlog raises it in place of waiting for what may take hours. Lasts until the next call.
        """
        with self._lock:
            self._trouble = {
                StallReason.MEMTABLES: flushes,
                StallReason.LEVEL0: compactions,
                StallReason.DEBT: compactions,
            }

    def wait(self, size_bytes: int, *, deadline: float | None = None, refuse: bool = False) -> float:
        """Wait until a write of ``size_bytes`` may go on; the seconds waited.

        Raises WriteStallTimeout when ``deadline`` (of the clock given at construction) passes before, or at once if
        the write would have to wait and ``refuse`` is set; raises the errors given to :meth:`abort` and
        :meth:`blocked`.
        """
        with self._lock:
            began = self._clock()
            try:
                self._raise_if_aborted()
                if self._stall.state is StallState.STOP:
                    self._wait_until_go(deadline, refuse=refuse)
                elif self._stall.state is StallState.SLOWDOWN:
                    self._wait_slowdown(size_bytes, deadline, refuse=refuse)
            except WriteStallTimeout:
                self._timeouts += 1
                raise
            finally:
                waited = self._clock() - began
                if waited >= _SHORTEST_DELAY_SECONDS:
                    self._waits += 1
                    self._waited_seconds += waited
            return waited

    def abort(self, make_error: Callable[[], Exception]) -> None:
        """Raise a new ``make_error()`` in every write that waits or comes: the background will not catch up any more.

        A function, because one exception object raised again and again would collect the frames of all writers.
        """
        with self._lock:
            self._make_error = make_error
            self.engaged = True
            self._changed.notify_all()

    @property
    def failure(self) -> Exception | None:
        """What every write raises since :meth:`abort`; None before."""
        make_error = self._make_error
        return None if make_error is None else make_error()

    def resume(self) -> None:
        """Take back an :meth:`abort`: the background works again."""
        with self._lock:
            self._make_error = None
            self.engaged = self._stall.state is not StallState.NORMAL
            self._changed.notify_all()

    def report(self) -> StallReport:
        """Figures for stats and for people."""
        with self._lock:
            now = self._clock()
            seconds = dict(self._seconds)
            if self._stall.state is not StallState.NORMAL:
                seconds[self._stall.reason] += now - self._since
            return StallReport(
                self._stall,
                self._backlog,
                now - self._since,
                dict(self._stalls),
                seconds,
                self._waits,
                self._waited_seconds,
                self._timeouts,
                causes_of(self._backlog, self._options),
                int(1 / per_byte) if (per_byte := delay_seconds(1, self._stall, self._options)) else 0,
                self._failing(),
            )

    def _failing(self) -> dict[str, Error]:
        kinds = {"flushes": StallReason.MEMTABLES, "compactions": StallReason.LEVEL0}
        return {kind: error for kind, reason in kinds.items() if (error := self._trouble.get(reason)) is not None}

    def _wait_until_go(self, deadline: float | None, *, refuse: bool) -> None:
        while self._stall.state is StallState.STOP:
            left = _LONGEST_WAIT_SECONDS if deadline is None else deadline - self._clock()
            if refuse or left <= 0:
                raise WriteStallTimeout(self._refusal("stopped"))
            trouble = self._trouble.get(self._stall.reason)
            self._wait_on(self._changed, min(left, _LONGEST_WAIT_SECONDS if trouble is None else _BLOCKED_WAIT_SECONDS))
            self._raise_if_aborted()
            if trouble is not None and self._trouble.get(self._stall.reason) is trouble:
                raise copy_of(trouble)

    def _wait_slowdown(self, size_bytes: int, deadline: float | None, *, refuse: bool) -> None:
        now = self._clock()
        due = max(self._next_write_at, now - _SHORTEST_DELAY_SECONDS)
        delay = min(due - now, self._options.max_delay_seconds)
        if delay >= _SHORTEST_DELAY_SECONDS and (refuse or (deadline is not None and now + delay > deadline)):
            raise WriteStallTimeout(self._refusal("slowed down"))
        # This write pays for those before it, and those after it pay for this one: a large batch is not held up for
        # its own size, and what it leaves unpaid is limited.
        due += delay_seconds(size_bytes, self._stall, self._options)
        self._next_write_at = min(due, now + _LONGEST_LEAD_SECONDS)
        until = now + delay
        stall = self._stall
        while delay >= _SHORTEST_DELAY_SECONDS and self._stall is stall and self._make_error is None:
            self._wait_on(self._changed, delay)
            delay = until - self._clock()
        self._raise_if_aborted()

    def _raise_if_aborted(self) -> None:
        if self._make_error is not None:
            raise self._make_error()

    def _refusal(self, how: str) -> str:
        stall = self._stall
        paused = self.compactions_paused and stall.reason in {StallReason.LEVEL0, StallReason.DEBT}
        remedy = _PAUSE_REMEDY if paused else _REMEDIES[stall.reason]
        return f"writes are {how} by {stall.text}; {remedy}; explain_stall() tells more"


_PAUSE_REMEDY = "compactions are paused: call resume_background(), or leave the block of background_paused()"
_REMEDIES = {
    StallReason.NONE: "try again later",
    StallReason.MEMTABLES: "try again later, or raise max_immutable_memtables, memtable_max_bytes or flush_workers",
    StallReason.LEVEL0: "try again later, or raise compaction_workers, the rate limit or level0_stop_writes_trigger",
    StallReason.DEBT: "try again later, or raise compaction_workers, the rate limit or hard_pending_compaction_bytes",
}
_REASONS = (StallReason.MEMTABLES, StallReason.LEVEL0, StallReason.DEBT)
