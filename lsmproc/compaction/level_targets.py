"""How large each level should be: targets computed from the last level upwards.

The largest level is taken as it is, each level above it should be ``multiplier`` times smaller, and the first level
whose target is at most ``base_bytes`` is the base level: level 0 is merged straight into it and the levels above it
stay empty. So about nine tenths of the data are in the last level whatever the size of the store, which bounds the
space that overwritten records take to about 1/multiplier. (RocksDB's ``level_compaction_dynamic_level_bytes``.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LevelTargets:
    """Target sizes for one shape of the tree."""

    base_level: int  # level 0 is merged into it; every level between is empty
    target_bytes: tuple[int, ...]  # by level; 0 above the base level
    lowest_unneeded_level: int  # levels from the base level to this one should be emptied; 0 if there is none


def level_targets(level_bytes: Sequence[int], base_bytes: int, multiplier: int) -> LevelTargets:
    """The targets for a tree whose levels have ``level_bytes``; level 0 takes no part.

    The base level is never below a level that holds tables: level 0 could otherwise pass older data on its way down.
    """
    last = len(level_bytes) - 1
    first_used = next((level for level in range(1, last + 1) if level_bytes[level]), last)
    smallest_base = base_bytes // multiplier
    size = max(level_bytes[1:])
    lowest_unneeded = 0
    for level in range(last - 1, first_used - 1, -1):
        size //= multiplier
        if not lowest_unneeded and size <= smallest_base:
            lowest_unneeded = level
    base = first_used
    while base > 1 and size > base_bytes:
        base -= 1
        size //= multiplier
    targets = [0] * (last + 1)
    size = min(max(size, smallest_base + 1), base_bytes)
    for level in range(base, last + 1):
        # No target below base_bytes: a level smaller than level 0 would only be one more step to rewrite.
        targets[level] = max(size, base_bytes)
        size *= multiplier
    return LevelTargets(base, tuple(targets), lowest_unneeded)
