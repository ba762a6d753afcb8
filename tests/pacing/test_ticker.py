"""Periodic work: called in time, never after it was removed, and one failure does not end it."""

from __future__ import annotations

import threading
import time

import pytest

from lsmproc.pacing.ticker import Ticker

DEADLINE_SECONDS = 5.0


class Calls:
    """Counts calls and lets a test wait for them."""

    def __init__(self, error: Exception | None = None) -> None:
        self.count = 0
        self._error = error
        self._changed = threading.Condition()

    def __call__(self) -> None:
        """One more."""
        with self._changed:
            self.count += 1
            self._changed.notify_all()
        if self._error is not None:
            raise self._error

    def wait_for(self, more: int) -> None:
        """Until there were so many more calls."""
        with self._changed:
            target = self.count + more
            assert self._changed.wait_for(lambda: self.count >= target, DEADLINE_SECONDS)


def test_functions_are_called_again_and_again_until_they_are_removed() -> None:
    """Two of them, one removed while the other goes on; the thread ends with the last."""
    ticker, first, second = Ticker(), Calls(), Calls()
    ticker.add(first, 0.002)
    ticker.add(second, 0.002)
    first.wait_for(3)
    second.wait_for(3)
    ticker.remove(first)
    count = first.count
    second.wait_for(3)
    assert count == first.count
    ticker.remove(second)
    ticker.remove(second)
    ticker.add(first, 0.002)
    first.wait_for(2)
    ticker.remove(first)


def test_a_shorter_interval_counts_at_once() -> None:
    """Even if the thread has just begun to wait for a much longer one."""
    ticker, slow, quick = Ticker(), Calls(), Calls()
    ticker.add(slow, 3600)
    began = time.monotonic()
    ticker.add(quick, 0.002)
    quick.wait_for(2)
    assert time.monotonic() - began < DEADLINE_SECONDS
    ticker.remove(slow)
    ticker.remove(quick)


def test_a_function_that_raises_is_logged_and_called_again(caplog: pytest.LogCaptureFixture) -> None:
    """The others are called as well."""
    ticker, bad, good = Ticker(), Calls(ValueError("a reason")), Calls()
    ticker.add(bad, 0.002)
    ticker.add(good, 0.002)
    bad.wait_for(3)
    good.wait_for(1)
    ticker.remove(bad)
    ticker.remove(good)
    assert "a periodic task failed" in caplog.text
    assert "a reason" in caplog.text


def test_a_removed_function_is_not_running_any_more() -> None:
    """Whoever removes it waits for a call under way."""
    ticker = Ticker()
    running, go_on = threading.Event(), threading.Event()
    ended = []

    def work() -> None:
        running.set()
        assert go_on.wait(DEADLINE_SECONDS)
        ended.append(True)

    ticker.add(work, 0.001)
    assert running.wait(DEADLINE_SECONDS)
    remover = threading.Thread(target=ticker.remove, args=(work,))
    remover.start()
    go_on.set()
    remover.join(DEADLINE_SECONDS)
    assert not remover.is_alive()
    count = len(ended)
    assert 1 <= count
    assert count == len(ended)
