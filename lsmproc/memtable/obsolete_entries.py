"""Freeing what flushed memtables held, a few entries at a time.

Freeing a dict is one step of the interpreter: with a few hundred thousand entries every thread stands still for
30 ms or more. A writer that frees a few entries of an old memtable for each one it adds to the new one spreads that
evenly, and no other thread has to take the interpreter lock away from it.
"""

from __future__ import annotations

from collections import deque
from typing import Any

# Old memtables are gone when the new one is half full, so that memory does not hold two full ones for long.
FREED_PER_PUT = 2


def free_entries(obsolete: deque[dict[Any, Any]], count: int) -> None:
    """Free up to ``count`` entries of the first of these dicts, which nobody else refers to, and leave out empty ones.

    Interrupted, it has freed fewer. REQUIRES: nobody else takes out of these dicts, or dicts out of these, meanwhile.
    """
    if not obsolete:
        return
    entries = obsolete[0]
    take = entries.popitem
    for _ in range(min(count, len(entries))):
        take()
    if not entries:
        obsolete.popleft()
