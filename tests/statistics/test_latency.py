"""Histograms and sampled operations: percentiles near the truth, and no call uncounted."""

from __future__ import annotations

import random
import threading

import pytest

from lsmproc.statistics.latency import Histogram, Operation


def test_percentiles_are_within_seven_percent_of_the_truth() -> None:
    """Over seven powers of ten."""
    durations = sorted(int(10 ** random.Random(seed).uniform(2, 9)) for seed in range(5000))
    histogram = Histogram()
    for duration in durations:
        histogram.record(duration)
    for share in (0.01, 0.5, 0.99, 0.999):
        true = durations[int(share * len(durations)) - 1]
        assert histogram.percentiles_ns(share) == [pytest.approx(true, rel=0.07)]
    assert durations[-1] == histogram.longest_ns


def test_short_durations_are_exact_and_odd_ones_fall_into_some_bucket() -> None:
    """A clock that goes back counts as no time; the longest possible duration has a place."""
    histogram = Histogram()
    for duration in (-5, 0, 3, 15, 16, 17, 2**62):
        histogram.record(duration)
    assert 7 == histogram.stats().samples
    assert [0, 3] == histogram.percentiles_ns(0.2, 0.4)
    assert 2**62 == histogram.longest_ns


def test_an_empty_histogram_has_figures_too() -> None:
    """All zero."""
    stats = Histogram().stats()
    assert (0, 0.0, 0.0, 0.0) == (stats.count, stats.mean_seconds, stats.p50_seconds, stats.max_seconds)


class Counted:
    """Something with one operation."""

    def __init__(self, every: int) -> None:
        self.operation = Operation(every)
        self.done = 0

    def call(self, error: Exception | None = None) -> int:
        """Count one."""
        for _ in self.operation.tickets:
            self.done += 1
            if error is not None:
                raise error
            return self.done
        return self.operation.timed(self.call, error)


@pytest.mark.parametrize(("calls", "samples"), [(0, 0), (1, 1), (7, 1), (8, 2), (70, 10), (71, 11)])
def test_every_call_is_counted_and_the_first_of_each_seven_timed(calls: int, samples: int) -> None:
    """And each is done once, sampled or not."""
    counted = Counted(7)
    assert [n + 1 for n in range(calls)] == [counted.call() for _ in range(calls)]
    stats = counted.operation.stats()
    assert (calls, samples, 7) == (stats.count, stats.samples, stats.sampled_every)


def test_a_call_that_raises_is_counted_and_timed_too() -> None:
    """A write that gives up after a long wait is one of the latencies people look for."""
    counted = Counted(3)
    for _ in range(4):
        with pytest.raises(OSError, match="no"):
            counted.call(OSError("no"))
    stats = counted.operation.stats()
    assert (4, 2) == (stats.count, stats.samples)


def test_threads_lose_no_call() -> None:
    """Tickets are taken in C."""
    counted = Counted(13)
    threads = [threading.Thread(target=lambda: [counted.call() for _ in range(5000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
    assert 20_000 == counted.operation.calls
