"""Prints what the demo does, compares what came out with what should, and remembers what did not hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

_CODE_WIDTH = 62


class Narrator:
    """Prints to one stream. ``failures`` lists what did not hold."""

    def __init__(self, output: TextIO) -> None:
        """Print to ``output``."""
        self.output = output
        self.failures: list[str] = []

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._print(f"\n{text}\n{'=' * len(text)}")

    def say(self, text: str) -> None:
        """A sentence for the reader."""
        self._print(text)

    def call(self, code: str, result: object = None) -> None:
        """A call that was just made, with its result."""
        self._print(f"    {code}" if result is None else f"    {code:<{_CODE_WIDTH}} -> {result}")

    def check(self, claim: str, expected: object, actual: object) -> None:
        """Compare; prints the claim with "ok", or with what came instead."""
        if expected == actual:
            self._print(f"  ok    {claim}")
            return
        self.failures.append(claim)
        self._print(f"  FAIL  {claim}: expected {expected!r:.200}, got {actual!r:.200}")

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        """Two columns."""
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self._print(f"  {name:<{width}}  {value}")

    def conclude(self) -> None:
        """Say whether everything held."""
        if self.failures:
            self._print("\nThese do not hold:")
            for claim in self.failures:
                self._print(f"  {claim}")
        else:
            self._print("\nEverything held.")

    def _print(self, text: str) -> None:
        print(text, file=self.output, flush=True)
