"""When to try a kind of work again that has failed."""

from __future__ import annotations

from collections.abc import Callable

from lsmproc.errors import Error

_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 4.0  # a store goes on within 5 seconds once a full disk has room again
_MOST_DOUBLINGS = 16  # more would only overflow
_FAILURES_TO_REPORT = 3  # who waits for the work is told after so many failures in a row; the retries go on


class Retries:
    """Counts failures in a row and doubles the pause after each. Not thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds and never goes back."""
        self.failures: int = 0  # in a row
        self._clock = clock
        self._error: Error | None = None  # of the last failure
        self._not_before = 0.0

    @property
    def due(self) -> bool:
        """Whether work may be tried now."""
        return self.failures == 0 or self._clock() >= self._not_before

    @property
    def trouble(self) -> Error | None:
        """Why this kind of work does not get on: the last error, once several attempts in a row have failed."""
        return self._error if self.failures >= _FAILURES_TO_REPORT else None

    def failed(self, error: Error) -> None:
        """An attempt has failed: pause."""
        self._error = error
        delay = min(_FIRST_DELAY_SECONDS * 2 ** min(self.failures, _MOST_DOUBLINGS), _LONGEST_DELAY_SECONDS)
        self.failures += 1
        self._not_before = self._clock() + delay

    def succeeded(self) -> None:
        """An attempt has worked: no pause any more."""
        self.failures = 0
