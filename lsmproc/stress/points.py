"""The places where a process can die, or an operation fail: every kind of file operation of every role.

A point is named role.operation.file.moment: ``owner.rename.CURRENT.before``, ``flush.fdatasync.table.after``,
``compaction.write.table.torn``, ``owner.write.wal.ENOSPC``. The first three say where. The last one says what happens:
the process dies ``before`` the operation, ``after`` it, or with half of the bytes written (``torn``); or the operation
fails with EIO or ENOSPC, takes half of the bytes (``short``), or lasts long (``delay``).

Which operations a role performs, and in which stage of its life, is written down here, so that one that never comes
is noticed: a point that is armed and never reached is a failure of the run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from lsmproc.formats.file_names import CURRENT, LOCK, FileKind, parse_file_name

# Stages of the owner's life in which a point can be reached.
OPENING, LOADED, CLOSING = "opening", "loaded", "closing"

DEATHS = ("before", "after", "torn")
ERRORS = ("EIO", "ENOSPC", "short", "delay")

_CHANGES = ("before", "after", "EIO", "ENOSPC", "delay")
_WRITES = (*DEATHS, *ERRORS)
_REMOVALS = ("before", "after", "EIO", "delay")
_READS = ("before", "EIO", "delay")
_MOMENTS = {
    "create": _CHANGES,
    "allocate": _CHANGES,
    "write": _WRITES,
    "fdatasync": _CHANGES,
    "truncate": _REMOVALS,
    "rename": _CHANGES,
    "unlink": _REMOVALS,
    "sync": _REMOVALS,
    "read": _READS,
}

_PLACES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("owner.create.wal", (LOADED, OPENING)),
    ("owner.allocate.wal", (LOADED, OPENING)),
    ("owner.write.wal", (LOADED,)),
    ("owner.fdatasync.wal", (LOADED,)),
    ("owner.truncate.wal", (CLOSING,)),
    ("owner.unlink.wal", (LOADED,)),
    ("owner.create.manifest", (OPENING,)),
    ("owner.write.manifest", (LOADED, OPENING)),
    ("owner.fdatasync.manifest", (LOADED, OPENING)),
    ("owner.unlink.manifest", (OPENING,)),
    ("owner.create.CURRENT", (OPENING,)),
    ("owner.write.CURRENT", (OPENING,)),
    ("owner.fdatasync.CURRENT", (OPENING,)),
    ("owner.rename.CURRENT", (OPENING,)),
    ("owner.read.table", (LOADED,)),
    ("owner.rename.table", (LOADED,)),
    ("owner.unlink.table", (LOADED,)),
    ("owner.sync.directory", (LOADED, OPENING)),
    ("owner.truncate.LOCK", (OPENING,)),
    ("owner.write.LOCK", (OPENING,)),
    ("flush.read.wal", (LOADED,)),
    ("flush.create.table", (LOADED,)),
    ("flush.write.table", (LOADED,)),
    ("flush.fdatasync.table", (LOADED,)),
    ("compaction.read.table", (LOADED,)),
    ("compaction.create.table", (LOADED,)),
    ("compaction.write.table", (LOADED,)),
    ("compaction.fdatasync.table", (LOADED,)),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One place and what happens there."""

    role: str  # "owner", "flush" or "compaction"
    operation: str
    file: str
    moment: str
    stages: tuple[str, ...]

    def __str__(self) -> str:
        """The name."""
        return f"{self.place}.{self.moment}"

    @property
    def place(self) -> str:
        """The name without the moment."""
        return f"{self.role}.{self.operation}.{self.file}"

    @property
    def kills(self) -> bool:
        """Whether the process dies; else the operation fails."""
        return self.moment in DEATHS

    @property
    def breaks_promises(self) -> bool:
        """Whether the store may end its writes with an error, to be opened again.

        A sync that failed leaves open what is durable. A log that did not take the head of a new segment, or the
        end of an old one, cannot go on.
        """
        fails = self.moment in {"EIO", "ENOSPC"}
        return fails and (self.operation in {"fdatasync", "sync"} or self.place == "owner.write.wal")

    def stages_with(self, manifest: str | None) -> tuple[str, ...]:
        """When it can be reached in a store with such a manifest: a snapshot for each change writes CURRENT often."""
        if manifest == "snapshot" and self.file in {"manifest", CURRENT}:
            return (LOADED, OPENING)
        return self.stages


def _points() -> tuple[Point, ...]:
    found = []
    for place, stages in _PLACES:
        role, operation, file = place.split(".")
        found += [Point(role, operation, file, moment, stages) for moment in _MOMENTS[operation]]
    return tuple(found)


POINTS = {str(point): point for point in _points()}
KILL_POINTS = tuple(name for name, point in POINTS.items() if point.kills)
ERROR_POINTS = tuple(name for name, point in POINTS.items() if not point.kills)


def chosen(names: tuple[str, ...], wanted: tuple[str, ...], *, syncs: bool) -> tuple[str, ...]:
    """Those of ``names`` that begin as one of ``wanted`` does (all, if that is empty) and can be reached.

    Without ``syncs`` no owner of the run ever syncs its log.
    """
    suitable = [name for name in names if syncs or not name.startswith("owner.fdatasync.wal")]
    return tuple(name for name in suitable if not wanted or any(f"{name}.".startswith(f"{each}.") for each in wanted))


def file_kind(name: str) -> str:
    """What points call the file ``name`` of a store's directory."""
    base = os.path.basename(name)
    if base.startswith(CURRENT):
        return CURRENT
    if base == LOCK:
        return LOCK
    parsed = parse_file_name(base)
    if parsed is not None:
        return {FileKind.WAL: "wal", FileKind.TABLE: "table", FileKind.MANIFEST: "manifest"}[parsed[0]]
    return "table" if base.endswith(".sst") else "directory"
