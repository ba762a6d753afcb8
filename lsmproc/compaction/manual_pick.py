"""Compactions that a user asks for: one level, or a key range of it, merged one step down.

Unlike the pickers' own choices these never move a table unread: who asks for a compaction wants tombstones and
overwritten records gone, and a move would keep them.
"""

from __future__ import annotations

from lsmproc.compaction.claims import Claims
from lsmproc.compaction.compaction import Compaction
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.storage.version import Level, Version, key_range, overlapping


def pick_manually(
    version: Version, level: int, output_level: int, bounds: tuple[bytes | None, bytes | None], claims: Claims
) -> Compaction | None:
    """Merge the tables of ``level`` that overlap [start, stop), the ``bounds``, into ``output_level``.

    Returns None when ``level`` holds nothing there, or when a running compaction is in the way.
    """
    start, stop = bounds
    if level == 0:
        upper = _with_older(version.levels[0], start, stop)
    else:
        upper = tuple(file for file in version.levels[level] if _meets(file, start, stop))
    if not upper:
        return None
    lower = () if output_level == level else overlapping(version.levels[output_level], *key_range(upper))
    files = upper + lower
    if not (claims.leave(files) and claims.leave_range(output_level, files)):
        return None
    runs = tuple((0, (file,)) for file in upper) if level == 0 else ((level, upper),)
    return Compaction(runs + (((output_level, lower),) if lower else ()), output_level, "manual", 0.0)


def _with_older(level0: Level, start: bytes | None, stop: bytes | None) -> Level:
    """Tables of level 0 in the range, and the older ones that must not be overtaken by them; newest first."""
    taken: list[FileMetadata] = []
    for file in level0:
        if _meets(file, start, stop) or any(
            file.smallest <= newer.largest and newer.smallest <= file.largest for newer in taken
        ):
            taken.append(file)
    return tuple(taken)


def _meets(file: FileMetadata, start: bytes | None, stop: bytes | None) -> bool:
    return (start is None or file.largest >= start) and (stop is None or file.smallest < stop)
