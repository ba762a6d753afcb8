"""Write stalls: what follows from a backlog, and how writers wait."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from lsmproc.errors import BackgroundError, WriteStallTimeout
from lsmproc.writing.write_controller import (
    Backlog,
    Stall,
    StallReason,
    StallState,
    WriteController,
    WriteControllerOptions,
    delay_seconds,
    stall_of,
)

MEBIBYTE = 1 << 20
OPTIONS = WriteControllerOptions(
    max_immutable_memtables=4,
    level0_slowdown_writes_trigger=20,
    level0_stop_writes_trigger=36,
    soft_pending_compaction_bytes=100 * MEBIBYTE,
    hard_pending_compaction_bytes=300 * MEBIBYTE,
    slowest_write_bytes_per_sec=4 * MEBIBYTE,
    max_delay_seconds=0.005,
)
STOPPED = Backlog(level0_runs=36)
SLOWED = Backlog(level0_runs=28)
CALM = Backlog()
PATIENCE_SECONDS = 10.0


class FakeTime:
    """A clock that goes on only while somebody waits, and events that happen meanwhile."""

    def __init__(self) -> None:
        self.now = 100.0
        self.events: list[tuple[float, Callable[[], object]]] = []
        self.waits: list[float] = []

    def clock(self) -> float:
        """Seconds."""
        return self.now

    def wait_on(self, condition: threading.Condition, timeout: float) -> None:
        """Let ``timeout`` pass, or the time up to the next event, which then happens."""
        self.waits.append(timeout)
        if self.events and self.events[0][0] <= self.now + timeout:
            self.now, happen = self.events.pop(0)
            happen()
        else:
            self.now += timeout


@pytest.fixture
def time() -> FakeTime:
    """A fake clock."""
    return FakeTime()


@pytest.fixture
def controller(time: FakeTime) -> WriteController:
    """A controller in NORMAL on the fake clock."""
    return WriteController(OPTIONS, time.clock, time.wait_on)


@pytest.mark.parametrize(
    ("backlog", "state", "reason"),
    [
        (Backlog(), StallState.NORMAL, StallReason.NONE),
        (Backlog(2, 19, 100 * MEBIBYTE - 1), StallState.NORMAL, StallReason.NONE),
        (Backlog(immutable_memtables=3), StallState.SLOWDOWN, StallReason.MEMTABLES),
        (Backlog(immutable_memtables=4), StallState.STOP, StallReason.MEMTABLES),
        (Backlog(level0_runs=20), StallState.SLOWDOWN, StallReason.LEVEL0),
        (Backlog(level0_runs=35), StallState.SLOWDOWN, StallReason.LEVEL0),
        (Backlog(level0_runs=36), StallState.STOP, StallReason.LEVEL0),
        (Backlog(debt_bytes=100 * MEBIBYTE), StallState.SLOWDOWN, StallReason.DEBT),
        (Backlog(debt_bytes=300 * MEBIBYTE), StallState.STOP, StallReason.DEBT),
        (Backlog(3, 35, 100 * MEBIBYTE), StallState.SLOWDOWN, StallReason.LEVEL0),
        (Backlog(4, 35, 100 * MEBIBYTE), StallState.STOP, StallReason.MEMTABLES),
    ],
)
def test_state_and_reason_are_those_of_the_cause_furthest_along(
    backlog: Backlog, state: StallState, reason: StallReason
) -> None:
    """Each trigger from both sides, and several at once."""
    stall = stall_of(backlog, OPTIONS)
    assert (state, reason) == (stall.state, stall.reason)


def test_few_immutable_memtables_stop_but_never_slow_down() -> None:
    """With a limit of 3 or less there is no room between: RocksDB's rule."""
    options = WriteControllerOptions(max_immutable_memtables=2)
    assert StallState.NORMAL is stall_of(Backlog(immutable_memtables=1), options).state
    assert StallState.STOP is stall_of(Backlog(immutable_memtables=2), options).state


def test_delay_grows_linearly_with_the_excess_and_with_the_bytes() -> None:
    """20 runs are one step past the trigger, 35 are sixteen: sixteen times the delay."""
    first, last = (stall_of(Backlog(level0_runs=runs), OPTIONS) for runs in (20, 35))
    assert 16 * delay_seconds(1000, first, OPTIONS) == pytest.approx(delay_seconds(1000, last, OPTIONS))
    assert 5 * delay_seconds(1000, first, OPTIONS) == pytest.approx(delay_seconds(5000, first, OPTIONS))
    assert 0 == delay_seconds(1000, Stall(), OPTIONS)
    assert delay_seconds(4 * MEBIBYTE, last, OPTIONS) < 1.0


def test_normal_writes_do_not_wait(controller: WriteController, time: FakeTime) -> None:
    """And a writer need not even ask: engaged is false."""
    assert not controller.engaged
    assert 0 == controller.wait(MEBIBYTE, refuse=True)
    assert [] == time.waits


def test_slowed_writes_keep_to_the_rate_of_their_backlog(controller: WriteController, time: FakeTime) -> None:
    """28 runs are 9/17 of the way: 4 MiB/s * 17/9."""
    controller.update(SLOWED)
    assert controller.engaged
    began = time.now
    for _ in range(3000):
        controller.wait(1000)
    rate = 3_000_000 / (time.now - began)
    assert rate == pytest.approx(4 * MEBIBYTE * 17 / 9, rel=0.02)


def test_no_slowed_write_waits_longer_than_the_cap_whatever_its_size(
    controller: WriteController, time: FakeTime
) -> None:
    """A 15 MB batch passes at once, and those after it wait 5 ms each, for a tenth of a second at most."""
    controller.update(SLOWED)
    assert 0 == controller.wait(15_000_000)
    waited = [controller.wait(0) for _ in range(100)]
    assert max(waited) <= 0.005 + 1e-9
    assert sum(waited) == pytest.approx(0.1, abs=0.01)


def test_tiny_delays_are_saved_up(controller: WriteController, time: FakeTime) -> None:
    """Writes of 100 bytes do not wake up for 12 microseconds each."""
    controller.update(SLOWED)
    for _ in range(100):
        controller.wait(100)
    assert len(time.waits) <= 2


def test_the_delay_is_forgotten_when_writes_are_normal_again(controller: WriteController, time: FakeTime) -> None:
    """No memory of what was owed."""
    controller.update(SLOWED)
    controller.wait(15_000_000)
    controller.update(CALM)
    controller.update(SLOWED)
    assert 0 == controller.wait(1)


def test_a_delay_ends_when_the_state_changes(controller: WriteController, time: FakeTime) -> None:
    """A slowed write does not sleep through the end of the stall."""
    controller.update(SLOWED)
    controller.wait(MEBIBYTE)
    time.events = [(time.now + 0.002, lambda: controller.update(CALM))]
    assert 0.002 == pytest.approx(controller.wait(1))


def test_stopped_writes_wait_until_the_state_changes(controller: WriteController, time: FakeTime) -> None:
    """However long it takes, in steps of a second."""
    controller.update(STOPPED)
    time.events = [(time.now + 2.5, lambda: controller.update(Backlog(level0_runs=30)))]
    assert 2.5 == pytest.approx(controller.wait(100))
    assert max(time.waits) <= 1.0


def test_a_stopped_write_gives_up_at_its_deadline(controller: WriteController, time: FakeTime) -> None:
    """The error says what writes wait for."""
    controller.update(STOPPED)
    with pytest.raises(WriteStallTimeout, match=r"level 0 runs: 36 \(slowdown at 20, stop at 36\)"):
        controller.wait(100, deadline=time.now + 0.3)
    assert 100.3 == pytest.approx(time.now)


def test_a_deadline_in_the_past_fails_without_waiting(controller: WriteController, time: FakeTime) -> None:
    """But only if the write would have to wait."""
    assert 0 == controller.wait(100, deadline=time.now - 1)
    controller.update(STOPPED)
    with pytest.raises(WriteStallTimeout):
        controller.wait(100, deadline=time.now - 1)
    assert [] == time.waits


def test_a_write_may_refuse_to_wait(controller: WriteController, time: FakeTime) -> None:
    """Stopped, or slowed down with a delay that is due; it is not charged for the attempt."""
    controller.update(STOPPED)
    with pytest.raises(WriteStallTimeout):
        controller.wait(100, refuse=True)
    controller.update(SLOWED)
    assert 0 == controller.wait(MEBIBYTE, refuse=True)
    with pytest.raises(WriteStallTimeout):
        controller.wait(100, refuse=True)
    assert [] == time.waits
    assert 2 == controller.report().timeouts


def test_a_slowed_write_whose_deadline_comes_first_gives_up(controller: WriteController, time: FakeTime) -> None:
    """Without waiting for nothing."""
    controller.update(SLOWED)
    controller.wait(MEBIBYTE)
    with pytest.raises(WriteStallTimeout, match="slowed down"):
        controller.wait(100, deadline=time.now + 0.001)
    assert [] == time.waits


def test_an_abort_is_raised_in_waiting_and_in_later_writes(controller: WriteController, time: FakeTime) -> None:
    """Nobody waits for a background that has failed; each gets an exception of its own."""
    controller.update(STOPPED)
    time.events = [(time.now + 0.5, lambda: controller.abort(lambda: BackgroundError("gone")))]
    errors = []
    for _ in range(2):
        with pytest.raises(BackgroundError) as raised:
            controller.wait(100)
        errors.append(raised.value)
    assert errors[0] is not errors[1]
    controller.update(CALM)
    assert controller.engaged
    controller.resume()
    assert not controller.engaged
    assert 0 == controller.wait(100)


def test_update_tells_changes_of_state_and_reason_only(controller: WriteController) -> None:
    """What the store reports as an event."""
    assert controller.update(CALM) is None
    assert StallState.SLOWDOWN is getattr(controller.update(Backlog(level0_runs=20)), "state", None)
    assert controller.update(Backlog(level0_runs=21)) is None
    assert StallReason.MEMTABLES is getattr(controller.update(Backlog(3, 20)), "reason", None)
    assert StallState.NORMAL is getattr(controller.update(CALM), "state", None)


def test_the_report_tells_reasons_durations_and_waits(controller: WriteController, time: FakeTime) -> None:
    """Two stalls by level 0, one by memtables; the running one counts up to now."""
    controller.update(SLOWED)
    time.now += 2
    controller.update(STOPPED)
    time.now += 3
    controller.update(CALM)
    time.now += 100
    controller.update(Backlog(immutable_memtables=4))
    time.events = [(time.now + 0.5, lambda: controller.update(STOPPED))]
    with pytest.raises(WriteStallTimeout):
        controller.wait(10, deadline=time.now + 1)
    report = controller.report()
    assert {StallReason.MEMTABLES: 1, StallReason.LEVEL0: 2, StallReason.DEBT: 0} == report.stalls
    assert {StallReason.MEMTABLES: 0.5, StallReason.LEVEL0: 5.5, StallReason.DEBT: 0} == pytest.approx(report.seconds)
    assert (1, 1) == (report.waits, report.timeouts)
    assert 1 == pytest.approx(report.waited_seconds)
    assert 0.5 == pytest.approx(report.seconds_in_state)
    assert STOPPED == report.backlog
    assert "STOP for 0.5 s: level 0 runs: 36 (slowdown at 20, stop at 36)." in report.explain()
    assert "2 stalls by level 0 runs, 5.5 s in all" in report.explain()


def test_threads_that_wait_are_woken_by_the_change() -> None:
    """With real threads and the real clock: all of eight writers go on as soon as the stop ends."""
    entered = threading.Semaphore(0)

    def wait_on(condition: threading.Condition, timeout: float) -> bool:
        entered.release()
        return condition.wait(PATIENCE_SECONDS)

    controller = WriteController(OPTIONS, wait_on=wait_on)
    controller.update(STOPPED)
    waited: list[float] = []
    writers = [threading.Thread(target=lambda: waited.append(controller.wait(10))) for _ in range(8)]
    for writer in writers:
        writer.start()
    for _ in writers:
        assert entered.acquire(timeout=PATIENCE_SECONDS)
    controller.update(CALM)
    for writer in writers:
        writer.join(PATIENCE_SECONDS)
    assert 8 == len(waited)
    assert max(waited) < PATIENCE_SECONDS / 2


def test_the_report_tells_the_triggers_the_speed_and_what_fails(controller: WriteController) -> None:
    """28 runs are 9/17 of the way from slow to stopped; a full disk is told of by the kind of work that meets it."""
    controller.update(SLOWED)
    error = BackgroundError("no space left")
    controller.blocked(error, None)
    report = controller.report()
    assert {
        StallReason.MEMTABLES: (0, 3, 4),
        StallReason.LEVEL0: (28, 20, 36),
        StallReason.DEBT: (0, 100 * MEBIBYTE, 300 * MEBIBYTE),
    } == report.triggers
    assert int(4 * MEBIBYTE * 17 / 9) == pytest.approx(report.delayed_write_bytes_per_second, abs=1)
    assert {"flushes": error} == report.trouble
    controller.update(STOPPED)
    assert 0 == controller.report().delayed_write_bytes_per_second


@pytest.mark.parametrize(
    ("backlog", "text"),
    [
        (Backlog(immutable_memtables=4), "stopped by immutable memtables: 4 .* raise max_immutable_memtables"),
        (STOPPED, "stopped by level 0 runs: 36 .* raise compaction_workers, the rate limit or level0_stop"),
        (Backlog(debt_bytes=300 * MEBIBYTE), "stopped by compaction debt: .* raise compaction_workers"),
    ],
)
def test_a_refusal_names_the_reason_and_the_remedy(controller: WriteController, backlog: Backlog, text: str) -> None:
    """What stands in a log is all that is left of it."""
    controller.update(backlog)
    with pytest.raises(WriteStallTimeout, match=text):
        controller.wait(100, refuse=True)


@pytest.mark.parametrize(
    ("backlog", "text"),
    [
        (STOPPED, r"level 0 runs: 36 .*; compactions are paused: call resume_background\(\)"),
        (
            Backlog(debt_bytes=300 * MEBIBYTE),
            r"compaction debt: .*; compactions are paused: call resume_background\(\)",
        ),
        (Backlog(immutable_memtables=4), "immutable memtables: 4 .*; try again later, or raise max_immutable"),
    ],
)
def test_a_refusal_while_compactions_are_paused_names_the_pause(
    controller: WriteController, backlog: Backlog, text: str
) -> None:
    """If compactions are what it waits for; until they go on."""
    controller.compactions_paused = True
    controller.update(backlog)
    with pytest.raises(WriteStallTimeout, match=text):
        controller.wait(100, refuse=True)
    controller.compactions_paused = False
    with pytest.raises(WriteStallTimeout, match="try again later, or raise"):
        controller.wait(100, refuse=True)
