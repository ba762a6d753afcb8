"""What to take from level 0 when nothing needs it: so that reads after a load meet one sorted run in each key range.

A level 0 below its trigger asks for nothing and stays as it is for ever, and every read passes its runs. LevelDB merges
a table that lookups had to pass too often (``allowed_seeks``), Pebble does the same for ranges that are iterated over
(read-triggered compactions), RocksDB rewrites what is old (``ttl``, ``periodic_compaction_seconds``) and else leaves it
to its users to call CompactRange after a load. Here it is done while the store takes no writes, and only where it is
worth its writing. Either of these makes it so:

* the tables of level 0 are not much smaller than what they are merged with. A little that trickles into a large store
  never has a level rewritten for it: each byte written in idle time brings its share of level 0 down for good, and an
  ordinary compaction, with a full level 0, would have written about half as much for it;
* reads have paid for it: passing the runs has cost them about as much work as merging these takes, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lsmproc.compaction.claims import Claims
from lsmproc.compaction.compaction import Compaction
from lsmproc.compaction.level0_picks import groups_that_may_leave, oldest_within
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.storage.version import Version, key_range, overlapping

# Bytes of the level below for each byte of level 0. With the default triggers a full level 0 meets about as much as it
# holds, and a base level at its target is twice that.
_MOST_REWRITTEN = 4


def pick_idle(
    version: Version,
    base_level: int,
    limit_bytes: int,
    paid_bytes: int,
    may_move: Callable[[FileMetadata, int], bool],
) -> Compaction | None:
    """The cheapest part of level 0 that is worth merging into ``base_level`` while nothing else is to do.

    ``limit_bytes``: of level 0 at a time, softly; ``paid_bytes``: the rewriting that reads have paid for;
    ``may_move(table, level)``: whether a table that overlaps nothing there may be moved. REQUIRES: nothing is running.
    """
    level0, base = version.levels[0], version.levels[base_level]
    if len(level0) + sum(map(bool, version.levels[1:])) < 2:
        return None  # There is one run, or none.
    reason = f"idle, level 0 has {len(level0)} runs"
    merges: list[tuple[float, int, Compaction]] = []
    for group in groups_that_may_leave(level0, Claims()):
        upper = oldest_within(group, limit_bytes)
        lower = overlapping(base, *key_range(upper))
        if not lower and len(group) == 1 and may_move(group[0], base_level):
            return Compaction(((0, group),), base_level, reason, 0.0, trivial_move=True, idle=True)
        above, below = _bytes(upper), _bytes(lower)
        if below <= _MOST_REWRITTEN * above or above + below <= paid_bytes:
            inputs = tuple((0, (file,)) for file in upper) + (((base_level, lower),) if lower else ())
            merges.append((below / max(above, 1), len(merges), Compaction(inputs, base_level, reason, 0.0, idle=True)))
    return min(merges)[-1] if merges else None


def _bytes(files: Iterable[FileMetadata]) -> int:
    return sum(file.size for file in files)
