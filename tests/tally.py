"""What the exhaustive suites counted, printed at the end of the run: "0 failures" means little without "of how many".

A test takes the fixture ``tally`` and says ``tally.add("states after a power cut", 210)``, or, when the machine lacks
something, ``tally.skip("power cuts on xfs", 20, "mkfs.xfs is not installed")``, which also skips the test.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NoReturn

import pytest


class Tally:
    """Counts by name. Not thread-safe."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._checked: Counter[str] = Counter()
        self._skipped: dict[str, tuple[int, str]] = {}

    def add(self, what: str, count: int = 1) -> None:
        """So many more of ``what`` were tried, and every one of them held."""
        self._checked[what] += count

    def skip(self, what: str, count: int, reason: str) -> NoReturn:
        """So many of ``what`` cannot be tried on this machine."""
        before, _ = self._skipped.get(what, (0, ""))
        self._skipped[what] = (before + count, reason)
        pytest.skip(f"{count} {what} not tried: {reason}")

    def state(self) -> dict[str, dict[str, Any]]:
        """All of it as plain data, for ``merge`` in another process."""
        return {"checked": dict(self._checked), "skipped": dict(self._skipped)}

    def merge(self, state: dict[str, dict[str, Any]]) -> None:
        """Add what another process counted."""
        self._checked.update(state["checked"])
        for what, (count, reason) in state["skipped"].items():
            before, _ = self._skipped.get(what, (0, ""))
            self._skipped[what] = (before + count, reason)

    def lines(self) -> list[str]:
        """One line for each name."""
        checked = [f"{what}: {count:,} checked" for what, count in sorted(self._checked.items())]
        return checked + [
            f"{what}: {count:,} NOT TRIED, {reason}" for what, (count, reason) in sorted(self._skipped.items())
        ]
