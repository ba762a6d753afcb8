"""What to take from level 0, whose tables may overlap: the part of leveled compaction that can go wrong.

The law: a table may leave level 0 only together with, or after, every older table of level 0 that it overlaps.
Otherwise an old record would stay above a newer one. Tables that overlap nothing in common may leave in any order.

And for merges that stay in level 0: the tables must be neighbours in age. Level 0 is ordered by largest sequence,
so a result that swallowed its newer and older neighbours but not the one between would stand on the wrong side of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from lsmproc.compaction.claims import Claims
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.storage.version import Level

FEWEST_RUNS_MERGED_IN_LEVEL0 = 4  # below that, a merge costs more writing than it saves reading (RocksDB's figure)


def groups_that_may_leave(level0: Level, claims: Claims) -> list[Level]:
    """Groups of tables that may leave level 0 now, each newest first; tables of different groups do not overlap.

    Within a group the oldest tables may also leave without the newer ones.
    """
    staying: list[FileMetadata] = []
    leaving: list[FileMetadata] = []
    for file in reversed(level0):
        blocked = file.number in claims.tables or any(_overlap(file, older) for older in staying)
        (staying if blocked else leaving).append(file)
    age = {file.number: index for index, file in enumerate(level0)}
    return [tuple(sorted(group, key=lambda file: age[file.number])) for group in _connected(leaving)]


def oldest_within(group: Level, limit_bytes: int) -> Level:
    """The oldest tables of ``group`` that are ``limit_bytes`` together, at least one; newest first."""
    total = 0
    for count, file in enumerate(reversed(group)):
        total += file.size
        if count and total > limit_bytes:
            return group[len(group) - count :]
    return group


def runs_to_merge_in_level0(level0: Level, claims: Claims, limit_bytes: int) -> Level:
    """Neighbours in age worth merging into one table of level 0, newest first; empty if there are none.

    Starting from the newest table, older ones are added as long as the bytes rewritten for each run saved fall
    (RocksDB's rule): a big old table is not rewritten for the sake of some small new ones.
    """
    for claimed, neighbours in groupby(level0, key=lambda file: file.number in claims.tables):
        if claimed:
            continue
        files = tuple(neighbours)
        for first in range(len(files) - FEWEST_RUNS_MERGED_IN_LEVEL0 + 1):
            chosen = files[first : first + _cheapest_count(files[first:], limit_bytes)]
            if len(chosen) >= FEWEST_RUNS_MERGED_IN_LEVEL0:
                return chosen
    return ()


def _cheapest_count(files: Level, limit_bytes: int) -> int:
    """How many of ``files`` to merge for the lowest cost of each run saved."""
    total = files[0].size
    cost = float("inf")
    for saved, file in enumerate(files[1:], start=1):
        total += file.size
        if total > limit_bytes or total / saved >= cost:
            return saved
        cost = total / saved
    return len(files)


def _overlap(left: FileMetadata, right: FileMetadata) -> bool:
    return left.smallest <= right.largest and right.smallest <= left.largest


def _connected(files: Sequence[FileMetadata]) -> list[list[FileMetadata]]:
    """``files`` in groups such that tables of different groups do not overlap."""
    groups: list[list[FileMetadata]] = []
    end = b""
    for file in sorted(files, key=lambda file: file.smallest):
        if groups and file.smallest <= end:
            groups[-1].append(file)
            end = max(end, file.largest)
        else:
            groups.append([file])
            end = file.largest
    return groups
