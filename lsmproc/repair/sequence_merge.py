"""Merges runs of records whose ages are mixed: of each key the record with the highest sequence number wins.

The merge of compactions knows which run is newer; a repair does not, since the manifest that knew may be lost. The
steps are the same: windows of all runs up to the least of their last keys, at a time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from lsmproc.repair.table_scan import Columns


class _Cursor:
    """The unread part of a run's current window."""

    __slots__ = ("keys", "run", "start", "window")

    def __init__(self, run: Iterator[Columns]) -> None:
        self.run = run
        self.window = Columns([], [], [])
        self.keys: list[bytes] = []
        self.start = 0

    def advance(self) -> bool:
        """Load the next window; False at the end of the run."""
        window = next(self.run, None)
        if window is None:
            return False
        self.window, self.keys, self.start = window, window.keys, 0
        return True

    def take(self, bound: bytes) -> Columns:
        """The records up to ``bound``."""
        start, self.start = self.start, bisect_right(self.keys, bound, self.start)
        part = slice(start, self.start)
        return Columns(self.keys[part], self.window.values[part], self.window.sequences[part])


def merge_by_sequence(runs: Sequence[Iterator[Columns]]) -> Iterator[Columns]:
    """The newest record of each key, ascending. REQUIRES: the windows of each run ascend, and none is empty."""
    live = [cursor for cursor in map(_Cursor, runs) if cursor.advance()]
    while live:
        bound = min([cursor.keys[-1] for cursor in live])
        parts = [cursor.take(bound) for cursor in live if cursor.keys[cursor.start] <= bound]
        yield parts[0] if len(parts) == 1 else _newest(parts)
        live = [cursor for cursor in live if cursor.start < len(cursor.keys) or cursor.advance()]


def _newest(parts: list[Columns]) -> Columns:
    found: dict[bytes, tuple[int, bytes | None]] = {}
    for part in parts:
        for key, value, sequence in zip(part.keys, part.values, part.sequences, strict=True):
            known = found.get(key)
            if known is None or known[0] < sequence:
                found[key] = (sequence, value)
    keys = sorted(found)
    records = [found[key] for key in keys]
    return Columns(keys, [value for _, value in records], [sequence for sequence, _ in records])
