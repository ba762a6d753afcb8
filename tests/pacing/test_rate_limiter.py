"""The limiter's arithmetic under a clock that the test moves, and its waiting under the real one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.protocols import Priority

MIB = 1 << 20
STEP_SECONDS = 0.01


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Simulation:
    """Clients that always have a request waiting, and a poller that comes by every 10 ms."""

    def __init__(self, rate: int | None, request_bytes: dict[Priority, int]) -> None:
        self.clock = FakeClock()
        self.limiter = RateLimiter(rate, self.clock)
        self.granted: Counter[Priority] = Counter()
        self._request_bytes = request_bytes
        self._open = dict.fromkeys(request_bytes, 0)

    def run(self, seconds: float) -> Iterator[Counter[Priority]]:
        """Pass time in steps; yields the bytes granted to each priority in each step."""
        for _ in range(round(seconds / STEP_SECONDS)):
            step: Counter[Priority] = Counter()
            for priority, size in self._request_bytes.items():
                if not self._open[priority]:
                    self.limiter.submit(priority, size, priority)
                    self._open[priority] = size
            for token, size in self.limiter.poll():
                assert isinstance(token, Priority)
                step[token] += size
                self._open[token] -= size
            self.granted += step
            yield step
            self.clock.now += STEP_SECONDS

    def pass_time(self, seconds: float) -> Counter[Priority]:
        """The bytes granted to each priority in so many seconds."""
        return sum(self.run(seconds), Counter())


RATES = pytest.mark.parametrize("rate", [50_000, MIB, 33 * MIB, 1 << 30])
SIZES = pytest.mark.parametrize("size", [100, 4096, MIB, 16 * MIB])


@RATES
@SIZES
def test_any_second_sees_the_rate_within_a_tenth(rate: int, size: int) -> None:
    """Whatever the size of the requests, as long as there are enough of them."""
    if size * 100 < rate:
        size = rate // 100  # one request a step must be able to use up the rate
    simulation = Simulation(rate, {Priority.FLUSH: size})
    steps = [step.total() for step in simulation.run(5.0)]
    seconds = [sum(steps[first : first + 100]) for first in range(0, 400, 7)]
    assert [] == [second for second in seconds if not 0.9 * rate <= second <= 1.1 * rate + 1]


def test_a_higher_priority_takes_most_and_starves_nobody() -> None:
    """Each waiting lower priority gets about its floor of what is granted above it."""
    simulation = Simulation(MIB, dict.fromkeys(Priority, 256 << 10))
    granted = simulation.pass_time(60.0)
    total = granted.total()
    assert granted[Priority.FLUSH] / total == pytest.approx(0.86, abs=0.04)
    assert granted[Priority.LEVEL0] / total == pytest.approx(0.09, abs=0.03)
    assert granted[Priority.DEEPER] / total == pytest.approx(0.05, abs=0.02)


def test_a_flush_waits_for_no_compaction() -> None:
    """Beside compactions that want everything, a flush of less than the rate gets all it asks for within a second."""
    simulation = Simulation(10 * MIB, {Priority.FLUSH: 8 * MIB, Priority.LEVEL0: 64 * MIB, Priority.DEEPER: 64 * MIB})
    granted = simulation.pass_time(1.0)
    assert granted[Priority.FLUSH] >= 8 * MIB * 0.95


def test_deeper_work_all_but_pauses_while_upper_work_waits_and_then_gets_everything() -> None:
    """Its floor is a twentieth; the moment nobody else waits it has the whole rate."""
    simulation = Simulation(MIB, {Priority.LEVEL0: MIB, Priority.DEEPER: MIB})
    granted = simulation.pass_time(20.0)
    assert granted[Priority.DEEPER] / granted.total() == pytest.approx(0.05, abs=0.015)
    del simulation._request_bytes[Priority.LEVEL0]
    simulation.pass_time(2.0)
    assert simulation.pass_time(10.0)[Priority.DEEPER] == pytest.approx(10 * MIB, rel=0.05)


def test_what_waits_can_be_moved_to_another_priority() -> None:
    """A compaction that writes stall for goes first from that moment on."""
    clock = FakeClock()
    limiter = RateLimiter(MIB, clock)
    limiter.submit("level 0", 10 * MIB, Priority.LEVEL0)
    limiter.submit("deeper", MIB, Priority.DEEPER)
    limiter.move("deeper", Priority.FLUSH)
    limiter.move("nobody", Priority.FLUSH)
    granted: Counter[object] = Counter()
    for _ in range(200):
        clock.now += STEP_SECONDS
        for token, size in limiter.poll():
            granted[token] += size
    assert MIB == granted["deeper"]
    assert granted["level 0"] == pytest.approx(MIB, rel=0.15)


def test_the_lowest_priority_gets_something_every_few_seconds() -> None:
    """Starvation is bounded in time, not only on average."""
    simulation = Simulation(MIB, dict.fromkeys(Priority, 1 << 20))
    gaps, gap = [], 0
    for step in simulation.run(30.0):
        gap += 1
        if step[Priority.DEEPER]:
            gaps.append(gap)
            gap = 0
    assert max(*gaps, gap) * STEP_SECONDS < 2.0


def test_a_lone_low_priority_gets_the_whole_rate() -> None:
    """Priorities matter only between those that wait."""
    granted = Simulation(MIB, {Priority.DEEPER: 64 << 10}).pass_time(10.0)
    assert granted[Priority.DEEPER] == pytest.approx(10 * MIB, rel=0.05)


def test_a_flush_that_comes_later_overtakes_a_large_compaction() -> None:
    """A request larger than the bucket is granted in pieces, and a flush goes in between."""
    clock = FakeClock()
    limiter = RateLimiter(MIB, clock)
    limiter.submit("compaction", 100 * MIB, Priority.DEEPER)
    limiter.poll()
    limiter.submit("flush", 100_000, Priority.FLUSH)
    granted: Counter[object] = Counter()
    for _ in range(20):
        clock.now += STEP_SECONDS
        for token, size in limiter.poll():
            granted[token] += size
    assert 100_000 == granted["flush"]


def test_a_change_of_the_rate_holds_from_the_next_moment_on() -> None:
    """Up, down, off and on again; what was saved up at a high rate is not kept for a low one."""
    simulation = Simulation(MIB, {Priority.LEVEL0: 512 << 10})
    simulation.pass_time(2.0)
    simulation.limiter.set_rate(10 * MIB)
    assert simulation.pass_time(2.0).total() == pytest.approx(20 * MIB, rel=0.1)
    simulation.limiter.set_rate(MIB)
    assert simulation.pass_time(2.0).total() == pytest.approx(2 * MIB, rel=0.1)
    simulation.limiter.set_rate(None)
    assert simulation.pass_time(0.1).total() == 10 * (512 << 10) - 0 or simulation.granted
    simulation.limiter.set_rate(MIB)
    assert simulation.pass_time(2.0).total() == pytest.approx(2 * MIB, rel=0.3)


def test_no_rate_grants_everything_at_once() -> None:
    """In full, in the order of priorities."""
    limiter = RateLimiter(None, FakeClock())
    limiter.submit("b", 1 << 40, Priority.DEEPER)
    limiter.submit("a", 1, Priority.FLUSH)
    assert [("a", 1), ("b", 1 << 40)] == limiter.poll()
    assert limiter.seconds_until_next() is None


def test_seconds_until_next_is_when_poll_has_news() -> None:
    """Sleeping that long, and no longer, is enough; an empty limiter asks for no wake-up at all."""
    clock = FakeClock()
    limiter = RateLimiter(1_000_000, clock)
    assert limiter.seconds_until_next() is None
    limiter.submit("job", 10_000_000, Priority.LEVEL0)
    polls = 0
    granted = 0
    while granted < 10_000_000:
        granted += sum(size for _, size in limiter.poll())
        seconds = limiter.seconds_until_next()
        if seconds is not None:
            assert 0.0 < seconds <= 0.1
            clock.now += seconds
        polls += 1
    assert clock.now - 1000.0 == pytest.approx(9.9, abs=0.1)
    assert polls < 400


def test_a_cancelled_token_gets_nothing_more() -> None:
    """And the bytes it did not take are there for others."""
    clock = FakeClock()
    limiter = RateLimiter(1000, clock)
    limiter.submit("dead", 1_000_000, Priority.FLUSH)
    limiter.cancel("dead")
    limiter.cancel("unknown")
    limiter.submit("alive", 100, Priority.DEEPER)
    assert [("alive", 100)] == limiter.poll()


def test_the_report_counts_bytes_and_waits_by_priority() -> None:
    """Requested when asked, granted when given, waited when finished."""
    clock = FakeClock()
    limiter = RateLimiter(1000, clock)
    limiter.submit("a", 100, Priority.FLUSH)
    limiter.submit("b", 500, Priority.DEEPER)
    limiter.poll()
    for _ in range(20):
        clock.now += 0.05
        limiter.poll()
    flush, deeper = limiter.report()[Priority.FLUSH], limiter.report()[Priority.DEEPER]
    assert (100, 100, 0) == (flush.requested_bytes, flush.granted_bytes, flush.waiting_requests)
    assert (500, 500, 0) == (deeper.requested_bytes, deeper.granted_bytes, deeper.waiting_requests)
    assert deeper.waited_seconds == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_that_allows_nothing_is_refused(rate: int) -> None:
    """None is the way to say that there is no limit."""
    with pytest.raises(ValueError, match="use None"):
        RateLimiter(rate)
    limiter = RateLimiter(None)
    with pytest.raises(ValueError, match="use None"):
        limiter.set_rate(rate)


def test_a_rate_that_is_no_number_is_refused_with_the_way_that_takes_text() -> None:
    """Settings take text, so a text is what people try."""
    limiter = RateLimiter(1000)
    with pytest.raises(TypeError, match=r"not '4 MiB'; set_options\("):
        limiter.set_rate("4 MiB")  # type: ignore[arg-type]
    assert 1000 == limiter.bytes_per_second


def test_a_blocked_thread_goes_on_when_the_limit_goes() -> None:
    """At once, not when its bytes would have been due in an hour."""
    limiter = RateLimiter(1000)
    granted = threading.Event()
    thread = threading.Thread(target=lambda: limiter.request(4_000_000, Priority.LEVEL0) and granted.set())
    thread.start()
    assert not granted.wait(0.05)
    limiter.set_rate(None)
    assert granted.wait(1.0)
    thread.join(5.0)


def test_a_blocked_thread_gives_up_when_cancelled() -> None:
    """Within a slice of the wait, and its request is forgotten."""
    limiter = RateLimiter(1000)
    cancelled = threading.Event()
    results: list[bool] = []
    thread = threading.Thread(
        target=lambda: results.append(limiter.request(4_000_000, Priority.LEVEL0, cancelled.is_set))
    )
    thread.start()
    cancelled.set()
    thread.join(2.0)
    assert [False] == results
    assert 0 == limiter.report()[Priority.LEVEL0].waiting_requests


def test_threads_share_the_rate() -> None:
    """Three threads that take 300 KB in all at 1 MB/s need 0.2 s at least: a tenth of a second's bytes was there."""
    limiter = RateLimiter(1_000_000)
    finished = threading.Barrier(4)

    def take() -> None:
        for _ in range(10):
            limiter.request(10_000, Priority.DEEPER)
        finished.wait(10.0)

    threads = [threading.Thread(target=take) for _ in range(3)]
    early = threading.Event()
    timer = threading.Timer(0.17, early.set)
    timer.start()
    for thread in threads:
        thread.start()
    finished.wait(10.0)
    assert early.is_set()
    for thread in (*threads, timer):
        thread.join(5.0)


def test_watchers_hear_of_each_change() -> None:
    """So that an event loop can look again; one that stopped watching hears nothing."""
    limiter = RateLimiter(None)
    heard: list[int | None] = []

    def watcher() -> None:
        heard.append(limiter.bytes_per_second)

    limiter.watch(watcher)
    limiter.set_rate(5)
    limiter.set_rate(None)
    limiter.unwatch(watcher)
    limiter.set_rate(7)
    assert [5, None] == heard
