"""When to try a kind of work again that has failed."""

from __future__ import annotations

from collections.abc import Callable

_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 5.0


class Retries:
    """Counts failures in a row and doubles the pause after each. Not thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds and never goes back."""
        self.failures = 0  # in a row
        self._clock = clock
        self._not_before = 0.0

    @property
    def due(self) -> bool:
        """Whether work may be tried now."""
        return self.failures == 0 or self._clock() >= self._not_before

    def failed(self) -> None:
        """An attempt has failed: pause."""
        delay = min(_FIRST_DELAY_SECONDS * 2**self.failures, _LONGEST_DELAY_SECONDS)
        self.failures += 1
        self._not_before = self._clock() + delay

    def succeeded(self) -> None:
        """An attempt has worked: no pause any more."""
        self.failures = 0
